"""Anthropic's Messages API: how requests are written and answers are read, and the model itself."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any, Literal

import attrs

from sunwell.core.message import History, Message, Part, Text, Thinking, ToolCall, ToolResult
from sunwell.core.model import (
    CacheLife,
    Caching,
    Completion,
    Consulted,
    Delta,
    Effort,
    Request,
    ToolSpec,
)
from sunwell.models.answers import (
    ErrorInAnswer,
    NotAnAnswer,
    as_json,
    decode,
    decode_object,
    error_of,
    finished,
    is_error_word,
    members,
    stop_of,
    thinking,
    whole,
    words,
)
from sunwell.models.connection import Connection, Sdk
from sunwell.models.http_model import UNTUNED, HttpModel, Tuning
from sunwell.models.learning import Lesson, asked_in_words, learned, lesson, without
from sunwell.models.returned import goes_back, origin_of, sound_arguments, sound_name
from sunwell.models.usage import NO_USAGE, UsageReading, count, stated_cost_usd, usage_of
from sunwell.models.written import RequestFrame, kept_frames, utf8, write_json, write_text

FORMAT = "anthropic-messages"
ORIGIN = "anthropic"
DEFAULT_MAX_OUTPUT_TOKENS = 8_192
"""Sent if a request sets no limit: this API requires one."""
LEAST_THINKING_TOKENS = 1_024
"""Smallest thinking budget that the API accepts."""
LEAST_ANSWER_TOKENS = 1_024
"""Room that thinking leaves for the answer."""

_EFFORTS: Mapping[Effort, str] = {"none": "low", "minimal": "low"}
"""The lowest effort that this API knows stands for those below it."""
_EMPTY = '{"type":"text","text":"(empty)"}'
_OPENING = f'{{"role":"user","content":[{_EMPTY}]}}'.encode()
_LONGEST_NAME = 128
_LONGEST_ID = 1_000  # the API sets no limit


ThinkingForm = Literal["budget", "adaptive"]
"""``budget``: ``enabled`` with ``budget_tokens``; ``adaptive``: the model decides how much it thinks."""


def thinking_budget(thinking_tokens: int, limit_tokens: int) -> int | None:
    """Return the budget for an answer of at most *limit_tokens*, thinking included; ``None``: no thinking.

    A quarter of the limit, at least :data:`LEAST_ANSWER_TOKENS`, is kept for the answer itself.
    """
    room = limit_tokens - max(LEAST_ANSWER_TOKENS, limit_tokens // 4)
    budget = min(max(thinking_tokens, LEAST_THINKING_TOKENS), room)
    return budget if budget >= LEAST_THINKING_TOKENS else None


@attrs.frozen(cache_hash=True)  # looked up with each request
class MessagesFeatures:
    """Which optional fields of the format a server supports. The defaults are Anthropic's."""

    effort: bool = True
    """Send ``output_config.effort`` if the request sets one."""
    schema: Literal["json_schema", "none"] = "json_schema"
    """How a JSON answer is requested."""
    cache: bool = True
    """Mark the end of the system prompt, or of the tools, with ``cache_control``."""
    cache_conversation: bool = True
    """Ask with a top-level ``cache_control`` to cache the messages, too."""
    cache_life: bool = True
    """Send how long an entry is kept: ``ttl``."""
    returns_thinking: bool = True
    """Send thinking back unchanged to the model that wrote it."""
    thinking: tuple[ThinkingForm, ...] = ("adaptive", "budget")
    """How thinking is requested if a budget was set; what follows the first is tried if that is refused."""


def encode_request(
    model_id: str,
    request: Request,
    features: MessagesFeatures = MessagesFeatures(),
    *,
    streaming: bool,
    counting: bool = False,
    thinking_tokens: int | None = None,
    origin: str = ORIGIN,
) -> tuple[bytes, ...]:
    """Return the body in pieces: equal for equal requests; sibling requests share the first pieces.

    *origin* names the model that is asked: what it thought goes back to it. With *counting*, the fields are
    left out that the endpoint does not accept which only counts.
    """
    frame = _frame(
        request,
        features,
        model_id=model_id,
        origin=origin,
        thinking_tokens=thinking_tokens,
        streaming=streaming,
        counting=counting,
    )
    messages = request.messages.encoded(frame.message_format, frame.encode)
    is_kept = request.caching.conversation and features.cache and features.cache_conversation
    ended = request.far_end_of_last() if is_kept else None
    if ended is not None:
        mark = _conversation_mark(request.caching, features)
        messages = _with_mark_after(request.messages, ended, frame.encode, mark)
    # A conversation must begin with the user's side.
    opening = b"" if messages and request.messages[0].role != "assistant" else _OPENING
    return (*frame.before, opening + b"," if opening and messages else opening, messages, frame.after)


@kept_frames
def _frame(
    request: Request,
    features: MessagesFeatures,
    *,
    model_id: str,
    origin: str,
    thinking_tokens: int | None,
    streaming: bool,
    counting: bool,
) -> RequestFrame:
    sections = _written_sections(request.system) + asked_in_words(request, features.schema)
    life = request.caching.prefix if features.cache else None
    prefix_mark = "" if life is None else _cache_control(life if features.cache_life else None)
    returned = origin if features.returns_thinking else ""
    tail = _tail(request, features, thinking_tokens, streaming=streaming, counting=counting)
    return RequestFrame(
        before=(
            b'{"model":',
            utf8(write_text(model_id)),
            _tools(request.tools, "" if sections else prefix_mark),
            _system(sections, prefix_mark),
            b',"messages":[',
        ),
        after=b"]" + tail + b"}",
        message_format=f"{FORMAT}|{returned}",
        encode=partial(encode_message, origin=returned),
    )


def _with_mark_after(messages: History, index: int, encode: Callable[[Message], bytes], mark: str) -> bytes:
    """Return all messages, and an entry of the cache at the end of the message at *index*."""
    written = [encode(message) for message in messages]
    written[index] = written[index].removesuffix(b"}]}") + utf8(mark) + b"}]}"
    return b",".join(written)


def encode_message(message: Message, origin: str = ORIGIN) -> bytes:
    """Return one message. The API itself merges consecutive messages of one role.

    *origin* names the model that is asked: what it thought goes back to it.
    """
    role = "assistant" if message.role == "assistant" else "user"
    ordered: Sequence[Part] = message.parts
    if role == "user" and len(ordered) > 1:  # results of tools first in the message that answers the calls
        ordered = sorted(ordered, key=lambda part: not isinstance(part, ToolResult))
    blocks = [block for part in ordered if (block := _block(part, origin))]
    return utf8(f'{{"role":"{role}","content":[{",".join(blocks or [_EMPTY])}]}}')


def _block(part: Part, origin: str) -> str:
    match part:
        case Text(text):  # blank text is refused by the API
            return f'{{"type":"text","text":{write_text(text)}}}' if text.strip() else ""
        case Thinking():
            return part.raw if goes_back(part, origin) else ""
        case ToolCall(call_id, name, arguments):
            named = f'"id":{write_text(_id(call_id))},"name":{write_text(sound_name(name, _LONGEST_NAME))}'
            return f'{{"type":"tool_use",{named},"input":{sound_arguments(arguments)}}}'
        case ToolResult(call_id, content, is_error):
            error = ',"is_error":true' if is_error else ""
            answered = f'"tool_use_id":{write_text(_id(call_id))},"content":{write_text(content)}'
            return f'{{"type":"tool_result",{answered}{error}}}'


def _id(text: str) -> str:
    """Return *text* as a valid id for the API: other servers allow more characters."""
    return sound_name(text, _LONGEST_ID)


@lru_cache(maxsize=64)
def _written_sections(system: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(section for section in system if section.strip())


@lru_cache(maxsize=64)
def _system(sections: tuple[str, ...], mark: str) -> bytes:
    if not sections:
        return b""
    blocks = [f'{{"type":"text","text":{write_text(section)}' for section in sections]
    return utf8(',"system":[' + "},".join(blocks) + mark + "}]")


@lru_cache(maxsize=64)
def _tools(tools: tuple[ToolSpec, ...], mark: str) -> bytes:
    if not tools:
        return b""
    written = [
        f'{{"name":{write_text(tool.name)},"description":{write_text(tool.description)},'
        f'"input_schema":{tool.schema_text}'
        for tool in tools
    ]
    return utf8(',"tools":[' + "},".join(written) + mark + "}]")


@lru_cache(maxsize=8)
def _cache_control(life: CacheLife | None) -> str:
    """Return the field that marks the end of a cached prefix; without *life*, for the server's own time."""
    kept = f',"ttl":{write_json(life)}' if life else ""
    return f',"cache_control":{{"type":"ephemeral"{kept}}}'


def _conversation_mark(caching: Caching, features: MessagesFeatures) -> str:
    return _cache_control((caching.prefix or "5m") if features.cache_life else None)


def _tail(
    request: Request,
    features: MessagesFeatures,
    thinking_tokens: int | None,
    *,
    streaming: bool,
    counting: bool,
) -> bytes:
    asked, effort, caching = request.max_output_tokens, request.effort, request.caching
    limit = DEFAULT_MAX_OUTPUT_TOKENS if asked is None else asked
    # What only counts accepts neither the limit nor a stream.
    fields: dict[str, Any] = {} if counting else {"max_tokens": limit}
    budget = None if thinking_tokens is None else thinking_budget(thinking_tokens, limit)
    if budget is not None and effort != "none" and features.thinking:
        is_adaptive = features.thinking[0] == "adaptive"
        fields["thinking"] = (
            {"type": "adaptive"} if is_adaptive else {"type": "enabled", "budget_tokens": budget}
        )
    if request.tools and request.tool_choice == "none":
        fields["tool_choice"] = {"type": "none"}
    output: dict[str, Any] = {}
    if effort is not None and features.effort:
        output["effort"] = _EFFORTS.get(effort, effort)
    if request.response_schema is not None and features.schema == "json_schema":
        output["format"] = {"type": "json_schema", "schema": request.response_schema.schema}
    if output:
        fields["output_config"] = output
    if streaming and not counting:
        fields["stream"] = True
    written = "," + write_json(fields)[1:-1] if fields else ""
    if caching.conversation and features.cache and features.cache_conversation:
        written += _conversation_mark(caching, features)
    return utf8(written)


def _less_caching(features: MessagesFeatures, refusal: str) -> MessagesFeatures:
    """The top-level field goes first, unless the refusal names the place of another one."""
    names_place = re.search(r"(?:system|tools|messages)\S*cache_control", refusal)
    if features.cache_conversation and not names_place:
        return attrs.evolve(features, cache_conversation=False)
    return attrs.evolve(features, cache=False)


def _other_thinking(features: MessagesFeatures, _: str) -> MessagesFeatures:
    return attrs.evolve(features, thinking=features.thinking[1:])


LESSONS: tuple[Lesson[MessagesFeatures], ...] = (
    lesson(
        r"signature.{0,60}thinking|thinking.{0,60}(?:signature|cannot be modified)",
        without(returns_thinking=False),
    ),
    # Before effort: the refusal of a budget says to set effort instead.
    lesson(
        r"thinking\.(?:type|budget_tokens|enabled|adaptive)|budget_tokens|adaptive thinking"
        r"|\bthinking\b[^.]{0,60}(?:support|permitted)|support[^.]{0,60}\bthinking\b",
        _other_thinking,
        is_about_size=False,
    ),
    lesson(r"output_config\.effort|\beffort\b", without(effort=False)),
    lesson(r"output_config\.format|output.?format|json_schema|structured.?output", without(schema="none")),
    lesson(r"output_config", without(effort=False, schema="none")),
    lesson(r"\bttl\b", without(cache_life=False)),
    lesson(r"cache_control", _less_caching),
)
"""What is left out after which refusal."""


_GROWING = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature"}


def read_answer(data: bytes, asked: str, origin: str = ORIGIN) -> Completion:
    """Return the completion in a complete answer; *origin* names the model that was asked.

    Raises :exc:`~sunwell.models.answers.NotAnAnswer` and
    :exc:`~sunwell.models.answers.ErrorInAnswer`.
    """
    answer = decode_object(data)
    content = answer.get("content")
    if answer.get("type") == "error" or (content is None and "error" in answer):
        raise ErrorInAnswer(answer.get("error"))
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    if not isinstance(content, list):
        raise NotAnAnswer("sent an answer without content", arrived=True)
    blocks = list(map(members, content))
    plain = all(block.get("type") in ("text", "tool_use") for block in blocks)
    raws = [""] * len(blocks) if plain else _raw_blocks(data, blocks)
    parts = [_part(block, raw, origin) for block, raw in zip(blocks, raws, strict=True)]
    return _completion(answer, parts, members(answer.get("usage")), asked, is_body=True)


def _raw_blocks(data: bytes, blocks: list[dict[str, Any]]) -> list[str]:
    """The JSON of each block exactly as the provider wrote it, to be sent back unchanged."""
    import msgspec

    try:
        fields = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
        raws = msgspec.json.decode(fields["content"], type=list[msgspec.Raw])
        return [bytes(raw).decode() for raw in raws]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return [as_json(block) for block in blocks]


def _part(block: Mapping[str, Any], raw: str, origin: str) -> Part:
    kind = block.get("type")
    if kind == "text":
        return Text(words(block.get("text")))
    if kind == "tool_use":
        given = block.get("input")
        arguments = whole(given) if isinstance(given, str) else as_json({} if given is None else given)
        return ToolCall(words(block.get("id")), words(block.get("name")), arguments)
    # Thinking, and blocks of unknown kinds, are kept and sent back unchanged.
    return thinking(words(block.get("thinking")), raw, origin)


def _completion(
    answer: Mapping[str, Any], parts: list[Part], usage: Mapping[str, Any], asked: str, *, is_body: bool
) -> Completion:
    stop, said = stop_of(answer, "stop_reason", is_body=is_body)
    model, answer_id = words(answer.get("model")) or asked, words(answer.get("id"))
    consulted, reading = _consulted(usage.get("iterations"), model), read_usage(usage)
    reported = None if consulted is None else reading.usage  # advisors without usage were billed, too
    completion = Completion(
        *finished(parts, stop, reported, answer_id),
        model,
        said,
        answer_id,
        consulted or (),
        is_batch=usage.get("service_tier") == "batch",
        stated_cost_usd=stated_cost_usd(usage),
        usage_doubt=reading.doubt,
    )
    error = answer.get("error")
    if error or (stop == "other" and is_error_word(said)):
        raise ErrorInAnswer(error or error_of(said), completion)
    return completion


def _consulted(iterations: Any, answered: str) -> tuple[Consulted, ...] | None:
    """Return the other models that took part; ``None`` if their usage is not reported.

    The tokens of an advisor are only in the list of iterations; those of messages are counted in the
    usage itself.
    """
    if not isinstance(iterations, list):
        return ()
    found = []
    for one in iterations:
        part = members(one)
        if part.get("type") in ("message", None):
            continue
        usage = read_usage(part).usage
        if usage is None:
            return None
        found.append(Consulted(words(part.get("model")) or answered, usage))
    return tuple(found)


def read_usage(usage: Mapping[str, Any]) -> UsageReading:
    """Return what the usage means. Here the reported input excludes cached tokens."""
    uncached, output = count(usage.get("input_tokens")), count(usage.get("output_tokens"))
    if uncached is None:
        return NO_USAGE
    by_life = members(usage.get("cache_creation"))
    hour = count(by_life.get("ephemeral_1h_input_tokens")) or 0
    short = count(by_life.get("ephemeral_5m_input_tokens")) or 0
    written = max(count(usage.get("cache_creation_input_tokens")) or 0, short + hour)
    read = count(usage.get("cache_read_input_tokens")) or 0
    details = members(usage.get("output_tokens_details"))
    return usage_of(
        uncached + written + read,
        output,
        total_tokens=count(usage.get("total_tokens")),
        cache_read_tokens=read,
        cache_write_tokens=written - hour,
        cache_write_1h_tokens=hour,
        reasoning_tokens=count(details.get("thinking_tokens")),
    )


@attrs.define(eq=False)
class _Block:
    """A content block while it arrives: its first event, and the pieces of growing fields."""

    start: dict[str, Any]
    pieces: dict[str, list[str]] = attrs.field(factory=dict)

    def add(self, field: str, piece: str) -> None:
        self.pieces.setdefault(field, []).append(piece)

    def part(self, origin: str) -> Part:
        block = dict(self.start)
        for field, pieces in self.pieces.items():
            begun = block.get(field)
            block[field] = (begun if isinstance(begun, str) else "") + "".join(pieces)
        is_plain = block.get("type") in ("text", "tool_use")
        return _part(block, "" if is_plain else as_json(block), origin)


@attrs.define(eq=False)
class MessageReader:
    """Builds a completion from the events of a stream."""

    asked: str
    origin: str = ORIGIN
    done: bool = attrs.field(default=False, init=False)
    """Whether the terminal event, ``message_stop``, has arrived."""
    _message: dict[str, Any] = attrs.field(factory=dict, init=False)
    _usage: dict[str, Any] = attrs.field(factory=dict, init=False)
    _blocks: dict[int, _Block] = attrs.field(factory=dict, init=False)
    _last: int = attrs.field(default=-1, init=False)

    def take(self, data: bytes) -> Delta | None:
        """Process the data of one event; return the part to show to a user."""
        event = decode(data)
        if not isinstance(event, dict):
            return None
        match event.get("type"):
            case "content_block_delta":
                return self._grow(event)
            case "content_block_start":
                return self._begin(event)
            case "message_start":
                self._message.update(members(event.get("message")))
                self._learn(self._message.get("usage"))
            case "message_delta":
                self._message.update(
                    {key: value for key, value in members(event.get("delta")).items() if value is not None}
                )
                self._learn(event.get("usage"))
            case "message_stop":
                self.done = True
            case "error":
                self._fail(event.get("error"))
            case None if "error" in event:
                self._fail(event["error"])
        return None

    def _fail(self, error: Any) -> None:
        """Raise *error*; if the answer had already ended, with the usage that is billed."""
        if self._message.get("stop_reason") is None:
            raise ErrorInAnswer(error)
        self._message["error"] = error or {"message": "an error without a message"}
        self._completion()

    def completion(self) -> Completion:
        """Return the complete answer. Raises :exc:`NotAnAnswer` before it has ended.

        It has ended with ``message_stop``, or with a stop reason and the usage, which come just before that.
        """
        has_ended = self._message.get("stop_reason") is not None and "output_tokens" in self._usage
        if not (self.done or has_ended) or not self._message:
            raise NotAnAnswer("closed the stream without message_stop")
        return self._completion()

    def _completion(self) -> Completion:
        parts = [self._blocks[index].part(self.origin) for index in sorted(self._blocks)]
        return _completion(self._message, parts, self._usage, self.asked, is_body=False)

    def _learn(self, usage: Any) -> None:
        for key, value in members(usage).items():
            # The counts only grow, but some servers end with zeros for what they said at the beginning.
            if value is not None and not (value == 0 and self._usage.get(key)):
                self._usage[key] = value

    def _begin(self, event: Mapping[str, Any]) -> Delta | None:
        block = members(event.get("content_block"))
        index = event.get("index")
        self._last = index if isinstance(index, int) else self._last + 1
        self._blocks[self._last] = _Block(block)
        if block.get("type") == "tool_use":
            return Delta(tool_name=words(block.get("name")))
        text = words(block.get("text"))
        return Delta(text=text) if text else None

    def _grow(self, event: Mapping[str, Any]) -> Delta | None:
        delta = members(event.get("delta"))
        kind = delta.get("type")
        index = event.get("index")
        block = self._blocks.get(index) if isinstance(index, int) else None
        if block is None:  # no index, or an unknown one: some gateways leave out either
            block = self._blocks.setdefault(self._last, _Block({"type": "text"}))
        if kind == "input_json_delta":
            piece = delta.get("partial_json")
            if isinstance(piece, str) and piece:
                block.add("input", piece)
            return None
        field = _GROWING.get(kind) if isinstance(kind, str) else None
        piece = delta.get(field) if field else None
        if field is None or not isinstance(piece, str):
            return None
        block.add(field, piece)
        if field == "text":
            return Delta(text=piece)
        return Delta(thinking=piece) if field == "thinking" else None


STREAM_ABOVE_TOKENS = 21_333
"""Answers that may take longer than 10 minutes are streamed: Anthropic closes a silent connection."""


@attrs.frozen
class _Messages:
    provider: str
    features: MessagesFeatures = MessagesFeatures()
    thinking_tokens: int | None = None
    sdk: Sdk = "anthropic"
    path: str = "/v1/messages"
    count_path: str = "/v1/messages/count_tokens"

    def encode(
        self, model_id: str, request: Request, *, streaming: bool, counting: bool = False
    ) -> tuple[bytes, ...]:
        return encode_request(
            model_id,
            request,
            self.features,
            streaming=streaming,
            counting=counting,
            thinking_tokens=self.thinking_tokens,
            origin=origin_of(ORIGIN, self.provider, model_id),
        )

    def read(self, data: bytes, asked: str) -> Completion:
        return read_answer(data, asked, origin_of(ORIGIN, self.provider, asked))

    def reader(self, asked: str) -> MessageReader:
        return MessageReader(asked, origin_of(ORIGIN, self.provider, asked))

    def without(self, refusal: str) -> "_Messages | None":
        changed = learned(self.features, refusal, LESSONS)
        return None if changed is None else attrs.evolve(self, features=changed)


@lru_cache(maxsize=64)
def _one_of_equal(features: MessagesFeatures) -> MessagesFeatures:
    """Return the same object for equal ones: with each request they are looked up, and told sooner."""
    return features


class AnthropicModel(HttpModel):
    """A model of the Messages API, called through the SDK ``anthropic``.

    ``model_id`` is the provider's id; ``name`` is the name used here, by default the id.
    ``features`` says which optional fields the server supports, by default all.
    The API key is read at the first call; :meth:`check_key` checks it immediately.
    """

    __slots__ = ()

    def __init__(
        self,
        model_id: str,
        connection: Connection,
        *,
        name: str | None = None,
        features: MessagesFeatures = MessagesFeatures(),
        tuning: Tuning = UNTUNED,
    ) -> None:
        # Without a budget there is nothing to refuse, and no form to try next.
        forms = () if tuning.thinking_tokens is None else features.thinking
        known = _one_of_equal(attrs.evolve(features, thinking=forms))
        wire = _Messages(connection.provider, known, tuning.thinking_tokens)
        super().__init__(model_id, connection, name or model_id, wire, STREAM_ABOVE_TOKENS, tuning)

    @property
    def features(self) -> MessagesFeatures:
        """The optional fields that the server supports, as far as known by now."""
        wire = self.wire
        assert isinstance(wire, _Messages)
        return wire.features

    @property
    def thinking_tokens(self) -> int | None:
        """The thinking budget that was set; it counts as output."""
        return self.tuning.thinking_tokens

    def is_thinking(self, request: Request) -> bool:
        """Whether *request* is sent with a thinking budget, which its own limit may leave no room for."""
        budget, asked = self.tuning.thinking_tokens, request.max_output_tokens
        if budget is None or self.tuning.applied(request).effort == "none":
            return False
        return thinking_budget(budget, DEFAULT_MAX_OUTPUT_TOKENS if asked is None else asked) is not None
