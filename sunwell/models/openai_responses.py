"""OpenAI's Responses API: how requests are written and answers are read, and the model itself."""

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache, partial
from typing import Any, Literal

import attrs

from sunwell.core.message import Message, Part, Text, Thinking, ToolCall, ToolResult
from sunwell.core.model import Completion, Delta, Request, Stop, ToolSpec
from sunwell.models.answers import (
    ErrorInAnswer,
    NotAnAnswer,
    as_json,
    decode,
    decode_object,
    finished,
    members,
    thinking,
    whole,
    words,
)
from sunwell.models.catalog import quirks_for
from sunwell.models.connection import Connection, Sdk
from sunwell.models.http_model import UNTUNED, HttpModel, Tuning
from sunwell.models.learning import Lesson, asked_in_words, learned, lesson, without
from sunwell.models.returned import (
    extra_of,
    goes_back,
    kept,
    origin_of,
    short_id,
    sound_arguments,
    sound_name,
)
from sunwell.models.usage import OPENAI_RESPONSES, stated_cost_usd
from sunwell.models.written import RequestFrame, kept_frames, utf8, write_json, write_text

FORMAT = "openai-responses"
ORIGIN = "openai-responses"
_LONGEST_NAME = 128
_LONGEST_ID = 64
_INCLUDE = "reasoning.encrypted_content"


@attrs.frozen(cache_hash=True)  # looked up with each request
class ResponsesFeatures:
    """Which optional fields of the format a server supports. The defaults are OpenAI's."""

    include: bool = True
    """Request encrypted reasoning with ``include``."""
    effort: bool = True
    """Send ``reasoning.effort`` if the request sets one."""
    schema: Literal["json_schema", "json_object", "none"] = "json_schema"
    """How a JSON answer is requested."""
    cache_key: bool = True
    """Send ``prompt_cache_key``."""
    breakpoints: bool = True
    """Mark the end of the system prompt with ``prompt_cache_breakpoint``."""
    token_limit: bool = True
    """Send ``max_output_tokens``."""
    store: bool = True
    """Say with ``store`` that the provider must not keep the answer."""
    returns_reasoning: bool = True
    """Send encrypted reasoning back unchanged to the model that wrote it."""


def features_for(provider: str) -> ResponsesFeatures:
    """Return OpenAI's features; only a provider whose preset has them is sent cache breakpoints."""
    return ResponsesFeatures(breakpoints=quirks_for(provider).breakpoints)


def encode_request(
    model_id: str,
    request: Request,
    features: ResponsesFeatures = ResponsesFeatures(),
    *,
    streaming: bool,
    counting: bool = False,
    origin: str = ORIGIN,
) -> tuple[bytes, ...]:
    """Return the body in pieces: equal for equal requests; sibling requests share the first pieces.

    *origin* names the model that is asked: what it wrote goes back to it. With *counting*, the fields are
    left out that the endpoint does not accept which only counts.
    """
    frame = _frame(
        request, features, model_id=model_id, origin=origin, streaming=streaming, counting=counting
    )
    messages = request.messages.encoded(frame.message_format, frame.encode)
    return (*frame.before, b"," if frame.before[-1] and messages else b"", messages, frame.after)


@kept_frames
def _frame(
    request: Request,
    features: ResponsesFeatures,
    *,
    model_id: str,
    origin: str,
    streaming: bool,
    counting: bool,
) -> RequestFrame:
    asked = asked_in_words(request, features.schema)
    sections = tuple(section for section in request.system if section) + asked
    mark = features.breakpoints and request.caching.prefix is not None
    returned = origin if features.returns_reasoning else ""
    tail = _tail(request, features, streaming=streaming, counting=counting)
    return RequestFrame(
        before=(
            b'{"model":',
            utf8(write_text(model_id)),
            _tools(request.tools),
            b',"input":[',
            _system(sections, mark),
        ),
        after=b"]" + tail + b"}",
        message_format=f"{FORMAT}|{returned}",
        encode=partial(encode_message, origin=returned),
    )


def encode_message(message: Message, origin: str = ORIGIN) -> bytes:
    """Return the items of one message, joined by commas: text, calls, results and reasoning are separate."""
    items: list[str] = []
    # Results answer calls, so they come before text that the user adds.
    for part in sorted(message.parts, key=lambda part: not isinstance(part, ToolResult)):
        item = _item(part, message.role == "assistant", origin)
        if item:
            items.append(item)
    if not items and message.role == "user":
        items.append(_said_by_user(""))
    return utf8(",".join(items))


def _item(part: Part, is_answer: bool, origin: str) -> str:
    match part:
        case Text(text) if is_answer:
            # A list as content would need the id and status of a stored message.
            content = f"{write_text(text)}{extra_of(part, origin)}"
            said = f'{{"type":"message","role":"assistant","content":{content}}}'
            return said if text else ""
        case Text(text):
            return _said_by_user(text)
        case Thinking():
            return part.raw if is_answer and goes_back(part, origin) and _has_content(part.raw) else ""
        case ToolCall(call_id, name, arguments):
            named = sound_name(name, _LONGEST_NAME)
            called = f'"call_id":{write_text(short_id(call_id, _LONGEST_ID))},"name":{write_text(named)}'
            given = f'"arguments":{write_text(sound_arguments(arguments))}{extra_of(part, origin)}'
            return f'{{"type":"function_call",{called},{given}}}'
        case ToolResult(call_id, content, is_error):
            output = f"Error: {content}" if is_error else content
            answered = f'"call_id":{write_text(short_id(call_id, _LONGEST_ID))},"output":{write_text(output)}'
            return f'{{"type":"function_call_output",{answered}}}'


def _has_content(raw: str) -> bool:
    """Whether a reasoning item holds its reasoning; one without it refers to an item that was stored."""
    try:
        item = members(json.loads(raw))
    except ValueError:
        return False
    return bool(item.get("encrypted_content") or item.get("content"))


def _said_by_user(text: str) -> str:
    return f'{{"type":"message","role":"user","content":[{{"type":"input_text","text":{write_text(text)}}}]}}'


@lru_cache(maxsize=64)
def _system(sections: tuple[str, ...], mark: bool) -> bytes:
    if not sections:
        return b""
    content: list[dict[str, Any]] = [{"type": "input_text", "text": section} for section in sections]
    if mark:  # the field ``instructions`` is plain text and cannot be marked
        content[-1]["prompt_cache_breakpoint"] = {"mode": "explicit"}
    return utf8(write_json({"type": "message", "role": "system", "content": content}))


@lru_cache(maxsize=64)
def _tools(tools: tuple[ToolSpec, ...]) -> bytes:
    if not tools:
        return b""
    written = [
        f'{{"type":"function","name":{write_text(tool.name)},"description":{write_text(tool.description)},'
        f'"parameters":{tool.schema_text},"strict":false}}'
        for tool in tools
    ]
    return utf8(f',"tools":[{",".join(written)}]')


_NOT_COUNTED = (
    "store",
    "include",
    "max_output_tokens",
    "prompt_cache_key",
    "prompt_cache_options",
    "stream",
)
"""Fields that add nothing to the input, and that the endpoint does not accept which only counts."""


def _tail(request: Request, features: ResponsesFeatures, *, streaming: bool, counting: bool) -> bytes:
    fields: dict[str, Any] = {"store": False} if features.store else {}
    if features.include:
        # The provider stores nothing, so encrypted reasoning must be sent again with the next request.
        fields["include"] = [_INCLUDE]
    if request.max_output_tokens is not None and features.token_limit:
        fields["max_output_tokens"] = request.max_output_tokens
    if request.tools and request.tool_choice == "none":
        fields["tool_choice"] = "none"
    if request.effort is not None and features.effort:
        fields["reasoning"] = {"effort": request.effort}
    schema = None if features.schema == "none" else request.response_schema
    if schema is not None and features.schema == "json_schema":
        described = {"type": "json_schema", "name": schema.name, "schema": schema.schema, "strict": True}
        fields["text"] = {"format": described}
    elif schema is not None:
        fields["text"] = {"format": {"type": "json_object"}}
    if request.caching.key and features.cache_key:
        fields["prompt_cache_key"] = request.caching.key
    if features.breakpoints and not request.caching.conversation:
        fields["prompt_cache_options"] = {"mode": "explicit"}  # no write for the end of the messages
    if streaming:
        fields["stream"] = True
    if counting:
        fields = {name: value for name, value in fields.items() if name not in _NOT_COUNTED}
    return b"," + utf8(write_json(fields))[1:-1] if fields else b""


def _weaker_schema(features: ResponsesFeatures, refusal: str) -> ResponsesFeatures:
    is_whole = features.schema == "json_schema" and "json_" in refusal
    return attrs.evolve(features, schema="json_object" if is_whole else "none")


LESSONS: tuple[Lesson[ResponsesFeatures], ...] = (
    # Before ``include``: these are about reasoning that was sent back.
    lesson(
        r"encrypted.content.{0,40}(?:verified|decrypted|parsed)|invalid_encrypted_content"
        r"|\brs_\S*.{0,20}not found|input\[\d+\]\.(?:phase|namespace|caller)",
        without(returns_reasoning=False),
    ),
    lesson(
        r"text\.format|(?:'body',|parameter:|\bfield) '?text\b|json_schema|json_object|structured.?output",
        _weaker_schema,
    ),
    lesson(r"prompt_cache_(?:breakpoint|options)", without(breakpoints=False)),
    lesson(r"prompt_cache", without(breakpoints=False, cache_key=False)),
    lesson(r"reasoning\.effort|reasoning_effort|'reasoning'|\beffort\b", without(effort=False)),
    lesson(r"\binclude\b|encrypted.content", without(include=False)),
    lesson(r"max_output_tokens", without(token_limit=False), is_about_size=False),
    lesson(r"'store'|\bstore:|\bfield store\b", without(store=False)),
    lesson(r"\breasoning\b", without(effort=False)),
)
"""What is left out after which refusal."""


_TERMINAL = ("response.completed", "response.incomplete", "response.failed", "response.cancelled")
_INCOMPLETE: Mapping[str, Stop] = {"max_output_tokens": "length", "content_filter": "refusal"}
_GROWING = {
    "response.output_text.delta": "text",
    "response.refusal.delta": "text",
    "response.reasoning_summary_text.delta": "thinking",
    "response.reasoning_text.delta": "thinking",
}


def read_answer(data: bytes, asked: str, origin: str = ORIGIN) -> Completion:
    """Return the completion in a complete answer; *origin* names the model that was asked.

    Raises :exc:`~sunwell.models.answers.NotAnAnswer` and
    :exc:`~sunwell.models.answers.ErrorInAnswer`.
    """
    return _completion(decode_object(data), asked, origin)


def _completion(answer: Mapping[str, Any], asked: str, origin: str) -> Completion:
    status, output = words(answer.get("status")), answer.get("output")
    error = answer.get("error") or ({"message": "status failed"} if status == "failed" else None)
    if error and not isinstance(output, list):
        output = []
    if not isinstance(output, list):
        raise NotAnAnswer("sent an answer without output", arrived=True)
    items = [members(item) for item in output]
    parts = [part for item in items for part in _parts(item, origin)]
    said = words(members(answer.get("incomplete_details")).get("reason"))
    reading = OPENAI_RESPONSES.read(answer.get("usage"))
    answer_id = words(answer.get("id"))
    completion = Completion(
        *finished(parts, _stop(answer, items, status, said), reading.usage, answer_id),
        words(answer.get("model")) or asked,
        said or status,
        answer_id,
        stated_cost_usd=stated_cost_usd(answer.get("usage")),
        usage_doubt=reading.doubt,
    )
    if error:
        raise ErrorInAnswer(error, completion if completion.usage or completion.parts else None)
    return completion


def _stop(answer: Mapping[str, Any], items: list[dict[str, Any]], status: str, said: str) -> Stop:
    """Return why the answer ended; an unknown status is not a normal end."""
    if any(part.get("type") == "refusal" for item in items for part in _content(item)):
        return "refusal"
    if status == "incomplete" or said:
        return _INCOMPLETE.get(said, "other")
    if any(item.get("status") == "incomplete" for item in items):
        return "other"
    return "end" if status == "completed" or "status" not in answer else "other"  # some leave it out


_MESSAGE_EXTRA = ("phase",)
_CALL_EXTRA = ("namespace", "caller")


def _parts(item: Mapping[str, Any], origin: str) -> Iterator[Part]:
    match item.get("type"):
        case "message":
            said = (words(part.get("text")) or words(part.get("refusal")) for part in _content(item))
            extra = kept(item, _MESSAGE_EXTRA)
            yield Text("".join(said), extra, origin if extra else "")
        case "reasoning":
            summary = item.get("summary")
            texts = [words(members(one).get("text")) for one in summary] if isinstance(summary, list) else []
            yield thinking("\n\n".join(texts), as_json(_returnable(item)), origin)
        case "function_call":
            given = item.get("arguments")
            arguments = whole(given) if isinstance(given, str) else as_json({} if given is None else given)
            extra = kept(item, _CALL_EXTRA)
            call_id, name = words(item.get("call_id")), words(item.get("name"))
            yield ToolCall(call_id, name, arguments or "{}", extra, origin if extra else "")


def _returnable(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return a reasoning item without its read-only fields, as the API accepts it back."""
    return {key: value for key, value in item.items() if key != "status"}


def _content(item: Mapping[str, Any]) -> list[dict[str, Any]]:
    content = item.get("content")
    if item.get("type") != "message" or not isinstance(content, list):
        return []
    return [members(part) for part in content]


@attrs.define(eq=False)
class ResponseReader:
    """Builds a completion from the events of a stream: the terminal event carries the complete answer."""

    asked: str
    origin: str = ORIGIN
    _answer: dict[str, Any] | None = attrs.field(default=None, init=False)
    _items: list[dict[str, Any]] = attrs.field(factory=list, init=False)

    @property
    def done(self) -> bool:
        """Whether an event has arrived that ends a response, successfully or not."""
        return self._answer is not None

    def take(self, data: bytes) -> Delta | None:
        """Process the data of one event; return the part to show to a user."""
        if data.strip() == b"[DONE]":
            return None
        event = decode(data)
        if not isinstance(event, dict):
            return None
        kind = words(event.get("type"))
        if kind in _TERMINAL:
            # The event's name counts if the status is missing or claims more success.
            named = {} if kind == "response.completed" else {"status": kind.partition(".")[2]}
            self._answer = {"status": "completed", **members(event.get("response")), **named}
        elif kind == "error":
            raise ErrorInAnswer(event.get("error") or event)
        elif kind == "response.output_item.done":
            self._items.append(members(event.get("item")))
        return self._shown(kind, event)

    def completion(self) -> Completion:
        """Return the complete answer. Raises :exc:`NotAnAnswer` before the terminal event has arrived."""
        if self._answer is None:
            raise NotAnAnswer("closed the stream without response.completed")
        answer = self._answer
        if not answer.get("output") and self._items:  # some servers leave it out of the last event
            answer = {**answer, "output": self._items}
        return _completion(answer, self.asked, self.origin)

    def _shown(self, kind: str, event: Mapping[str, Any]) -> Delta | None:
        if kind in _GROWING:
            piece = words(event.get("delta"))
            if not piece:
                return None
            return Delta(text=piece) if _GROWING[kind] == "text" else Delta(thinking=piece)
        item = members(event.get("item"))
        if kind == "response.output_item.added" and item.get("type") == "function_call":
            return Delta(tool_name=words(item.get("name")))
        return None


@attrs.frozen
class _Responses:
    provider: str
    features: ResponsesFeatures = ResponsesFeatures()
    sdk: Sdk = "openai"
    path: str = "/responses"
    count_path: str = "/responses/input_tokens"

    def encode(
        self, model_id: str, request: Request, *, streaming: bool, counting: bool = False
    ) -> tuple[bytes, ...]:
        origin = origin_of(ORIGIN, self.provider, model_id)
        return encode_request(
            model_id, request, self.features, streaming=streaming, counting=counting, origin=origin
        )

    def read(self, data: bytes, asked: str) -> Completion:
        return read_answer(data, asked, origin_of(ORIGIN, self.provider, asked))

    def reader(self, asked: str) -> ResponseReader:
        return ResponseReader(asked, origin_of(ORIGIN, self.provider, asked))

    def without(self, refusal: str) -> "_Responses | None":
        changed = learned(self.features, refusal, LESSONS)
        return None if changed is None else attrs.evolve(self, features=changed)


class ResponsesModel(HttpModel):
    """A model of the Responses API, called through the SDK ``openai``.

    The provider stores nothing: reasoning comes back encrypted and is sent again.
    ``model_id`` is the provider's id; ``name`` is the name used here, by default the id.
    ``features`` says which optional fields the server supports, by default as known for the provider.
    The API key is read at the first call; :meth:`check_key` checks it immediately.
    """

    __slots__ = ()

    def __init__(
        self,
        model_id: str,
        connection: Connection,
        *,
        name: str | None = None,
        features: ResponsesFeatures | None = None,
        tuning: Tuning = UNTUNED,
    ) -> None:
        wire = _Responses(connection.provider, features or features_for(connection.provider))
        super().__init__(model_id, connection, name or model_id, wire, tuning=tuning)
