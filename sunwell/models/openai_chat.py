"""Chat Completions of OpenAI and compatible servers: how requests and answers look, and the model itself."""

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import attrs

from sunwell.core.message import Message, Part, Text, Thinking, ToolCall, ToolResult
from sunwell.core.model import Completion, Delta, Request, ToolSpec
from sunwell.errors import BadRequest
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
from sunwell.models.catalog import vendor_of
from sunwell.models.connection import Connection, Sdk
from sunwell.models.http_model import UNTUNED, HttpCall, HttpModel, Tuning
from sunwell.models.learning import Lesson, asked_in_words, learned, lesson, without
from sunwell.models.quirks import ChatQuirks, quirks_for
from sunwell.models.usage import ANY_CHAT, UsageDialect, stated_cost_usd

ORIGIN = "openai-chat"
_WRITE = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def encode_request(
    model_id: str, request: Request, quirks: ChatQuirks, *, streaming: bool
) -> tuple[bytes, ...]:
    """Return the body in pieces: equal for equal requests; sibling requests share the first pieces."""
    encode = _encode_with_reasoning if quirks.returns_reasoning else encode_message
    mark = quirks.breakpoints and request.caching.prefix is not None
    sections = tuple(section for section in request.system if section) + asked_in_words(
        request, quirks.schema
    )
    system = _system(sections, quirks.system_parts, mark)
    messages = request.messages.encoded(quirks.message_format, encode)
    return (
        b'{"model":',
        _bytes(_WRITE(model_id)),
        _tools(request.tools, quirks.strict_tools),
        b',"messages":[',
        system,
        b"," if system and messages else b"",
        messages,
        b"]",
        _tail(request, quirks, streaming=streaming),
        b"}",
    )


def encode_message(message: Message, *, reasoning: bool = False) -> bytes:
    """Return one message, or several joined by commas if it contains tool results."""
    if message.role == "assistant":
        return _assistant(message, reasoning=reasoning)
    written = [_result(part) for part in message.parts if isinstance(part, ToolResult)]
    if message.role == "user" or not written or message.text:
        written.append(f'{{"role":"user","content":{_WRITE(message.text)}}}')
    return _bytes(",".join(written))


def _encode_with_reasoning(message: Message) -> bytes:
    return encode_message(message, reasoning=True)


def _assistant(message: Message, *, reasoning: bool) -> bytes:
    calls = [_call(part) for part in message.parts if isinstance(part, ToolCall)]
    content = "null" if calls and not message.text else _WRITE(message.text)
    written = f'{{"role":"assistant","content":{content}'
    raws = [part.raw for part in message.parts if isinstance(part, Thinking) and part.origin == ORIGIN]
    if reasoning and raws:
        written += "," + raws[-1].strip()[1:-1]
    if calls:
        written += f',"tool_calls":[{",".join(calls)}]'
    return _bytes(written + "}")


def _call(call: ToolCall) -> str:
    function = f'{{"name":{_WRITE(call.name)},"arguments":{_WRITE(call.arguments or "{}")}}}'
    return f'{{"id":{_WRITE(call.id)},"type":"function","function":{function}}}'


def _result(result: ToolResult) -> str:
    content = f"Error: {result.content}" if result.is_error else result.content
    return f'{{"role":"tool","tool_call_id":{_WRITE(result.call_id)},"content":{_WRITE(content)}}}'


@lru_cache(maxsize=64)
def _system(sections: tuple[str, ...], in_parts: bool, mark: bool) -> bytes:
    if not sections:
        return b""
    content: Any = "\n\n".join(sections)
    if in_parts or mark:
        content = [{"type": "text", "text": section} for section in sections]
    if mark:
        content[-1]["prompt_cache_breakpoint"] = {"mode": "explicit"}
    return _bytes(_WRITE({"role": "system", "content": content}))


@lru_cache(maxsize=64)
def _tools(tools: tuple[ToolSpec, ...], strict: bool) -> bytes:
    if not tools:
        return b""
    flag = ',"strict":true' if strict else ""
    written = [
        f'{{"type":"function","function":{{"name":{_WRITE(tool.name)},'
        f'"description":{_WRITE(tool.description)},"parameters":{tool.schema_text}{flag}}}}}'
        for tool in tools
    ]
    return _bytes(f',"tools":[{",".join(written)}]')


def _tail(request: Request, quirks: ChatQuirks, *, streaming: bool) -> bytes:
    fields: dict[str, Any] = {}
    if request.max_output_tokens is not None:
        fields[quirks.token_limit] = request.max_output_tokens
    if request.tools and request.tool_choice == "none":
        fields["tool_choice"] = "none"
    if request.effort is not None and quirks.effort:
        fields["reasoning_effort"] = request.effort
    schema = request.response_schema
    if schema is not None and quirks.schema == "json_schema":
        described = {"name": schema.name, "schema": schema.schema, "strict": True}
        fields["response_format"] = {"type": "json_schema", "json_schema": described}
    elif schema is not None and quirks.schema == "json_object":
        fields["response_format"] = {"type": "json_object"}
    if quirks.cache_key and request.caching.key:
        fields["prompt_cache_key"] = request.caching.key
    if quirks.breakpoints and not request.caching.conversation:
        fields["prompt_cache_options"] = {"mode": "explicit"}  # no write for the end of the messages
    if streaming:
        fields["stream"] = True
        if quirks.stream_usage:
            fields["stream_options"] = {"include_usage": True}
    return b"," + _bytes(_WRITE(fields))[1:-1] if fields else b""


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "replace")  # a lone surrogate cannot be sent


_REASONING = ("reasoning_content", "reasoning")


def read_answer(data: bytes, asked: str, dialect: UsageDialect = ANY_CHAT) -> Completion:
    """Return the completion in a complete answer.

    Raises :exc:`~sunwell.models.answers.NotAnAnswer` and
    :exc:`~sunwell.models.answers.ErrorInAnswer`.
    """
    answer = decode_object(data)
    choices, usage = answer.get("choices"), usage_in(answer)
    if not choices and answer.get("error"):
        if dialect.read(usage).usage is None and stated_cost_usd(usage) is None:
            raise ErrorInAnswer(answer["error"])
        choices = [{}]  # it is billed, so a model has worked
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise NotAnAnswer("sent an answer without choices", arrived=True)
    choice = choices[0]
    message = choice.get("message")
    error = choice.get("error") or answer.get("error") or members(message).get("error")
    if not isinstance(message, dict) and not error:
        raise NotAnAnswer("sent an answer without a message", arrived=True)
    message = members(message)
    found = _Found(words(message.get("refusal")), _text(message.get("content")))
    for field in _REASONING:
        if text := words(message.get(field)):
            found.reasoning, found.reasoning_field = text, field
            break
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else []:
        function = members(members(call).get("function"))
        given = function.get("arguments")
        arguments = whole(given) if isinstance(given, str) else as_json({} if given is None else given)
        found.calls.append(ToolCall(words(members(call).get("id")), words(function.get("name")), arguments))
    return found.completion(answer, choice, usage, asked, dialect, error=error, is_body=True)


@attrs.define(eq=False)
class _Found:
    """The parts of a message before they are put in order."""

    refusal: str = ""
    text: str = ""
    reasoning: str = ""
    reasoning_field: str = _REASONING[0]
    calls: list[ToolCall] = attrs.field(factory=list)

    def completion(
        self,
        answer: Mapping[str, Any],
        choice: Mapping[str, Any],
        usage: Any,
        asked: str,
        dialect: UsageDialect,
        *,
        error: Any,
        is_body: bool,
    ) -> Completion:
        """Return the completion. Raises :exc:`ErrorInAnswer` for *error* or an error as stop reason."""
        parts: list[Part] = []
        if self.reasoning:
            raw = as_json({self.reasoning_field: self.reasoning})
            parts.append(thinking(self.reasoning, raw, ORIGIN))
        parts += [Text(whole(self.text)), Text(whole(self.refusal)), *self.calls]
        stop, said = stop_of(choice, "finish_reason", is_body=is_body)
        if self.refusal:
            stop = "refusal"
        reading = dialect.read(usage)
        found = Completion(
            (),
            stop,
            reading.usage,
            words(answer.get("model")) or asked,
            said,
            words(answer.get("id")),
            stated_cost_usd=stated_cost_usd(usage),
            usage_doubt=reading.doubt,
        )
        completion = finished(parts, stop, found)
        if error or is_error_word(said):
            raise ErrorInAnswer(error or error_of(said), completion)
        return completion


def usage_in(answer: Mapping[str, Any]) -> Any:
    """Return the usage that an answer, or a chunk of one, reports; ``None`` if it reports none.

    Moonshot reports it in the choice of the last chunk, Groq also in ``x_groq``.
    """
    usage = answer.get("usage")
    if usage is not None:
        return usage
    choices = answer.get("choices")
    for place in (*(choices if isinstance(choices, list) else ()), answer.get("x_groq")):
        usage = members(place).get("usage")
        if usage is not None:
            return usage
    return None


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "".join(words(members(part).get("text")) for part in content)
    return words(content)


@attrs.define(eq=False)
class _CallPieces:
    """A tool call while it arrives."""

    id: str = ""
    name: str = ""
    arguments: list[str] = attrs.field(factory=list)

    @property
    def is_complete(self) -> bool:
        """Whether the arguments are a whole JSON object."""
        try:
            return isinstance(json.loads("".join(self.arguments)), dict)
        except (ValueError, RecursionError):
            return False


@attrs.define(eq=False)
class ChunkReader:
    """Builds a completion from the chunks of a stream."""

    asked: str
    dialect: UsageDialect = ANY_CHAT
    done: bool = attrs.field(default=False, init=False)
    """Whether ``[DONE]`` has arrived."""
    _choice: Any = attrs.field(default=None, init=False)
    """Index of the choice that is read; ``None``: none had an index yet."""
    _head: dict[str, Any] = attrs.field(factory=dict, init=False)
    _usage: Any = attrs.field(default=None, init=False)
    _finish: dict[str, Any] = attrs.field(factory=dict, init=False)
    _error: Any = attrs.field(default=None, init=False)
    _text: list[str] = attrs.field(factory=list, init=False)
    _refusal: list[str] = attrs.field(factory=list, init=False)
    _reasoning: list[str] = attrs.field(factory=list, init=False)
    _reasoning_field: str = attrs.field(default=_REASONING[0], init=False)
    _calls: list[_CallPieces] = attrs.field(factory=list, init=False)
    _by_index: dict[int, _CallPieces] = attrs.field(factory=dict, init=False)

    def take(self, data: bytes) -> Delta | None:
        """Process the data of one event; return the part to show to a user."""
        if data.strip() == b"[DONE]":
            self.done = True
            return None
        chunk = decode(data)
        if not isinstance(chunk, dict):
            return None
        if not self._head:
            self._head = {key: chunk[key] for key in ("id", "model") if chunk.get(key)}
        usage = usage_in(chunk)
        if usage is not None:
            self._usage = usage
        choice = self._chosen(chunk.get("choices"))
        finish = choice.get("finish_reason")
        if finish is not None and finish != "":
            self._finish = {"finish_reason": finish}
        delta = choice.get("delta")
        # The usage may follow an error, so a stream that has begun is read to its end.
        error = choice.get("error") or members(delta).get("error") or chunk.get("error")
        if error and not (choice or self._usage is not None or self._has_begun):
            raise ErrorInAnswer(error)
        self._error = self._error or error
        return self._grow(delta) if isinstance(delta, dict) else None

    def _chosen(self, choices: Any) -> dict[str, Any]:
        """Return what a chunk adds to the answer: its part of the choice that came first."""
        for choice in map(members, choices if isinstance(choices, list) else ()):
            index = choice.get("index")
            if self._choice is None:
                self._choice = index
            if index in (None, self._choice):  # another choice is another answer, not more of this one
                return choice
        return {}

    def completion(self) -> Completion:
        """Return the complete answer. Raises :exc:`NotAnAnswer` before it has ended.

        It has ended with ``[DONE]``. Some servers never send that, so a finish reason and the usage, which
        come after the last text, also end it.
        """
        if not (self.done or self._error or (self._finish and self._usage is not None)):
            raise NotAnAnswer("closed the stream without [DONE]")
        found = _Found("".join(self._refusal), "".join(self._text), "".join(self._reasoning))
        found.reasoning_field = self._reasoning_field
        found.calls = [
            ToolCall(call.id, call.name, whole("".join(call.arguments)) or "{}") for call in self._calls
        ]
        return found.completion(
            self._head,
            self._finish,
            self._usage,
            self.asked,
            self.dialect,
            error=self._error,
            is_body=False,
        )

    @property
    def _has_begun(self) -> bool:
        return bool(self._text or self._refusal or self._reasoning or self._calls or self._finish)

    def _grow(self, delta: Mapping[str, Any]) -> Delta | None:
        shown = thought = name = ""
        content = delta.get("content")
        if content:
            shown = content if isinstance(content, str) else _text(content)
            self._text.append(shown)
        refusal = delta.get("refusal")
        if isinstance(refusal, str) and refusal:
            self._refusal.append(refusal)
            shown += refusal
        for field in _REASONING:
            piece = delta.get(field)
            if isinstance(piece, str) and piece:
                self._reasoning.append(piece)
                self._reasoning_field = field
                thought = piece
                break
        calls = delta.get("tool_calls")
        if isinstance(calls, list):
            name = "".join([self._grow_call(members(call)) for call in calls])
        return Delta(shown, thought, name) if shown or thought or name else None

    def _grow_call(self, piece: Mapping[str, Any]) -> str:
        """Add *piece* to its call; return the call's name if this is its beginning."""
        function = members(piece.get("function"))
        call_id, name = words(piece.get("id")), words(function.get("name"))
        call = self._call_of(piece.get("index"), call_id, name, adds=bool(function.get("arguments")))
        begins = not call.name
        call.id, call.name = call.id or call_id, call.name or name
        arguments = function.get("arguments")
        if arguments is not None:
            call.arguments.append(arguments if isinstance(arguments, str) else as_json(arguments))
        return call.name if begins else ""

    def _call_of(self, index: Any, call_id: str, name: str, *, adds: bool) -> _CallPieces:
        """Find the call by index, or by id and name if the server omits or repeats the index.

        *adds*: whether the piece has arguments.
        """
        indexed = isinstance(index, int)
        call = self._by_index.get(index) if indexed else (self._calls[-1] if self._calls else None)
        if call is not None:
            other_name = not indexed and name != call.name
            # Without ids, a name begins a call, unless the server repeats the name with each piece.
            if name and not call_id and (other_name or (adds and call.is_complete)):
                call = None
        if call is not None:
            other_id = call_id and call.id and call_id != call.id
            if not (other_id and (name or not indexed)):
                return call
        call = _CallPieces()
        self._calls.append(call)
        if indexed:
            self._by_index[index] = call
        return call


_LIMITS = re.compile(r"max_completion_tokens|max_tokens")


def _weaker_schema(quirks: ChatQuirks, refusal: str) -> ChatQuirks:
    if quirks.schema == "json_schema" and ("json_object" in refusal or "json_schema" in refusal):
        return attrs.evolve(quirks, schema="json_object")
    return attrs.evolve(quirks, schema="none")


def _other_limit(quirks: ChatQuirks, refusal: str) -> ChatQuirks:
    """The first name in the message is the rejected one; the second may be the suggestion."""
    refused = _LIMITS.search(refusal)
    if refused is None or refused[0] != quirks.token_limit:
        return quirks
    is_new = quirks.token_limit == "max_completion_tokens"
    return attrs.evolve(quirks, token_limit="max_tokens" if is_new else "max_completion_tokens")


LESSONS: tuple[Lesson[ChatQuirks], ...] = (
    lesson(r"response_format|json_schema|structured output", _weaker_schema),
    lesson(r"stream_options|include_usage", without(stream_usage=False)),
    lesson(r"reasoning.?effort", without(effort=False)),
    lesson(r"\bstrict\b", without(strict_tools=False)),
    lesson(r"prompt_cache", without(breakpoints=False, cache_key=False)),
    lesson(r"content.{0,40}string", without(system_parts=False, breakpoints=False)),
    lesson(_LIMITS.pattern, _other_limit, is_about_size=False),
)
"""What is left out after which refusal."""


@attrs.frozen
class _Chat:
    quirks: ChatQuirks
    dialect: UsageDialect = ANY_CHAT
    sdk: Sdk = "openai"
    path: str = "/chat/completions"

    def encode(self, model_id: str, request: Request, *, streaming: bool) -> tuple[bytes, ...]:
        return encode_request(model_id, request, self.quirks, streaming=streaming)

    def read(self, data: bytes, asked: str) -> Completion:
        return read_answer(data, asked, self.dialect)

    def reader(self, asked: str) -> ChunkReader:
        return ChunkReader(asked, self.dialect)

    def without(self, refusal: str) -> "_Chat | None":
        changed = learned(self.quirks, refusal, LESSONS)
        return None if changed is None else attrs.evolve(self, quirks=changed)


class ChatModel(HttpModel):
    """A model of Chat Completions, called through the SDK ``openai``.

    ``model_id`` is the server's id; ``name`` is the name used here, by default the id.
    ``quirks`` says which features the server supports, by default as known for provider and id.
    The API key is read at the first call; :meth:`check_key` checks it immediately.
    """

    __slots__ = ()

    def __init__(
        self,
        model_id: str,
        connection: Connection,
        *,
        name: str | None = None,
        quirks: ChatQuirks | None = None,
        tuning: Tuning = UNTUNED,
    ) -> None:
        known = quirks or quirks_for(connection.provider, model_id)
        vendor = vendor_of(connection)
        wire = _Chat(known, vendor.usage if vendor else ANY_CHAT)
        super().__init__(model_id, connection, name or model_id, wire, tuning=tuning)

    @property
    def quirks(self) -> ChatQuirks:
        """The features that the server supports, as far as known by now."""
        wire = self.wire
        assert isinstance(wire, _Chat)
        return wire.quirks

    def _call(self, request: Request) -> HttpCall:
        if request.tools and not self.quirks.tools:
            reason = "the server does not support tools: use another model for this work, or send no tools"
            raise BadRequest(self.name, reason)
        return super()._call(request)
