"""Chat Completions of OpenAI and compatible servers: how requests and answers look, and the model itself."""

import json
import re
from collections.abc import Mapping
from functools import lru_cache, partial
from typing import Any

import attrs

from sunwell.core.message import Message, Part, Text, Thinking, ToolCall, ToolResult
from sunwell.core.model import Completion, Delta, Request, Stop, ToolSpec
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
from sunwell.models.catalog import quirks_for, usage_dialect_of
from sunwell.models.connection import Connection, Sdk
from sunwell.models.http_model import UNTUNED, HttpCall, HttpModel, Tuning
from sunwell.models.learning import Lesson, asked_in_words, learned, lesson, without
from sunwell.models.quirks import COMPATIBLE, ChatQuirks
from sunwell.models.returned import (
    goes_back,
    joined_details,
    joined_parts,
    nine_characters,
    origin_of,
    short_id,
    sound_arguments,
    sound_name,
    thinking_of,
)
from sunwell.models.usage import ANY_CHAT, UsageDialect, UsageReading, stated_cost_usd
from sunwell.models.written import RequestFrame, kept_frames, utf8, write_json, write_text

ORIGIN = "openai-chat"
_LONGEST_NAME = 64
_SHORT_ID = 40  # OpenAI's limit for the id of a tool call in this format


def encode_request(
    model_id: str, request: Request, quirks: ChatQuirks, *, streaming: bool, origin: str = ORIGIN
) -> tuple[bytes, ...]:
    """Return the body in pieces: equal for equal requests; sibling requests share the first pieces.

    *origin* names the model that is asked: what it wrote goes back to it.
    """
    frame = _frame(request, quirks, model_id=model_id, origin=origin, streaming=streaming)
    messages = request.messages.encoded(frame.message_format, frame.encode)
    return (*frame.before, b"," if frame.before[-1] and messages else b"", messages, frame.after)


@kept_frames
def _frame(
    request: Request, quirks: ChatQuirks, *, model_id: str, origin: str, streaming: bool
) -> RequestFrame:
    asked = asked_in_words(request, quirks.schema)
    sections = tuple(section for section in request.system if section) + asked
    mark = quirks.breakpoints and request.caching.prefix is not None
    return RequestFrame(
        before=(
            b'{"model":',
            utf8(write_text(model_id)),
            _tools(request.tools, quirks.strict_tools),
            b',"messages":[',
            _system(sections, quirks.system_parts, mark),
        ),
        after=b"]" + _tail(request, quirks, streaming=streaming) + b"}",
        message_format=quirks.message_format(origin),
        encode=partial(encode_message, quirks=quirks, origin=origin),
    )


def encode_message(message: Message, quirks: ChatQuirks = COMPATIBLE, origin: str = ORIGIN) -> bytes:
    """Return one message, or several joined by commas if it contains tool results."""
    if message.role == "assistant":
        return _assistant(message, quirks, origin)
    written = [_result(part, quirks) for part in message.parts if isinstance(part, ToolResult)]
    if message.role == "user" or not written or message.text:
        written.append(f'{{"role":"user","content":{write_text(message.text)}}}')
    return utf8(",".join(written))


def _assistant(message: Message, quirks: ChatQuirks, origin: str) -> bytes:
    returned = origin if quirks.returns_reasoning else ""
    fields, content = "", []
    for part in message.parts:
        if isinstance(part, Text) and part.text:
            content.append(f'{{"type":"text","text":{write_text(part.text)}}}')
        elif isinstance(part, Thinking) and goes_back(part, returned):
            raw = part.raw.strip()
            if _is_content(raw):
                content.append(raw)
            else:
                fields = "," + raw[1:-1] if raw[1:-1].strip() else fields
    calls = []
    for call in message.tool_calls:
        calls.append(_call(call, quirks, returned))
        if quirks.marks_unsigned_calls:  # the first call is signed for all of a message
            quirks = attrs.evolve(quirks, marks_unsigned_calls=False)
    written = f'{{"role":"assistant","content":{_content_of(message, content, fields, bool(calls))}{fields}'
    if calls:
        written += f',"tool_calls":[{",".join(calls)}]'
    return utf8(written + "}")


def _content_of(message: Message, content: list[str], fields: str, has_calls: bool) -> str:
    if content and any(not part.startswith(_TEXT_PART) for part in content):
        return f"[{','.join(content)}]"
    if message.text.strip():
        return write_text(message.text)
    if has_calls:
        return "null"
    return '""' if fields else _EMPTY  # a message with nothing at all is rejected by strict servers


_TEXT_PART = '{"type":"text","text":'
_EMPTY = '"(empty)"'


def _is_content(raw: str) -> bool:
    """Whether *raw* is a part of the content, not fields of the message."""
    try:
        return "type" in members(json.loads(raw))
    except ValueError:
        return False


def _call(call: ToolCall, quirks: ChatQuirks, origin: str) -> str:
    arguments = sound_arguments(call.arguments)
    function = (
        f'"name":{write_text(sound_name(call.name, _LONGEST_NAME))},"arguments":{write_text(arguments)}'
    )
    extra = members(json.loads(call.extra)) if call.extra and goes_back(call, origin) else {}
    if quirks.marks_unsigned_calls and not extra:
        extra = dict(_UNSIGNED)
    more = ""
    if extra:
        for name, value in members(extra.pop("function", None)).items():
            function += f",{write_text(name)}:{write_json(value)}"
        more = "," + write_json(extra)[1:-1] if extra else ""
    return (
        f'{{"id":{write_text(_call_id(call.id, quirks))},"type":"function","function":{{{function}}}{more}}}'
    )


_UNSIGNED = {"extra_content": {"google": {"thought_signature": "skip_thought_signature_validator"}}}


def _call_id(call_id: str, quirks: ChatQuirks) -> str:
    match quirks.call_ids:
        case "nine":
            return nine_characters(call_id)
        case "short":
            return short_id(call_id, _SHORT_ID)
        case "any":
            return call_id


def _result(result: ToolResult, quirks: ChatQuirks) -> str:
    content = f"Error: {result.content}" if result.is_error else result.content
    call_id = write_text(_call_id(result.call_id, quirks))
    return f'{{"role":"tool","tool_call_id":{call_id},"content":{write_text(content)}}}'


@lru_cache(maxsize=64)
def _system(sections: tuple[str, ...], in_parts: bool, mark: bool) -> bytes:
    if not sections:
        return b""
    content: Any = "\n\n".join(sections)
    if in_parts or mark:
        content = [{"type": "text", "text": section} for section in sections]
    if mark:
        content[-1]["prompt_cache_breakpoint"] = {"mode": "explicit"}
    return utf8(write_json({"role": "system", "content": content}))


@lru_cache(maxsize=64)
def _tools(tools: tuple[ToolSpec, ...], strict: bool) -> bytes:
    if not tools:
        return b""
    flag = ',"strict":true' if strict else ""
    written = [
        f'{{"type":"function","function":{{"name":{write_text(tool.name)},'
        f'"description":{write_text(tool.description)},"parameters":{tool.schema_text}{flag}}}}}'
        for tool in tools
    ]
    return utf8(f',"tools":[{",".join(written)}]')


def _tail(request: Request, quirks: ChatQuirks, *, streaming: bool) -> bytes:
    fields: dict[str, Any] = {}
    if request.max_output_tokens is not None:
        fields[quirks.token_limit] = request.max_output_tokens
    if request.tools and request.tool_choice == "none":
        fields["tool_choice"] = "none"
    if request.effort is not None and quirks.effort:
        fields["reasoning_effort"] = request.effort
    schema = None if quirks.schema == "none" else request.response_schema
    if schema is not None and quirks.schema == "json_schema":
        described = {"name": schema.name, "schema": schema.schema, "strict": True}
        fields["response_format"] = {"type": "json_schema", "json_schema": described}
    elif schema is not None:
        fields["response_format"] = {"type": "json_object"}
    if quirks.cache_key and request.caching.key:
        fields["prompt_cache_key"] = request.caching.key
    if quirks.breakpoints and not request.caching.conversation:
        fields["prompt_cache_options"] = {"mode": "explicit"}  # no write for the end of the messages
    if streaming:
        fields["stream"] = True
        if quirks.stream_usage:
            fields["stream_options"] = {"include_usage": True}
    return b"," + utf8(write_json(fields))[1:-1] if fields else b""


_REASONING = ("reasoning_content", "reasoning")
_CALL_EXTRA = ("extra_content", "thought_signature", "provider_specific_fields")
"""Fields of a tool call, or of its function, that go back with it: Gemini's and LiteLLM's."""
_LISTS = ("reasoning_details", "thinking_blocks")
"""Fields of a message that hold its reasoning in entries: OpenRouter's and LiteLLM's."""
_THOUGHTS = frozenset((*_REASONING, *_LISTS, "extra_content"))
"""Fields of a message besides text and calls of which anything is kept."""
_CALL_EXTRAS = frozenset(_CALL_EXTRA)


def read_answer(
    data: bytes, asked: str, dialect: UsageDialect = ANY_CHAT, origin: str = ORIGIN
) -> Completion:
    """Return the completion in a complete answer; *origin* names the model that was asked.

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
    content, refusal = message.get("content"), words(message.get("refusal"))
    if (content is None or isinstance(content, str)) and _THOUGHTS.isdisjoint(message):  # nearly always
        parts: list[Part] = [Text(whole(content))] if content else []
    else:
        found = _Found(origin)
        found.content.add(content)
        for field in _REASONING:
            if text := words(message.get(field)):
                found.reasoning, found.reasoning_field = text, field
                break
        found.keep(message)
        parts = found.parts(is_body=True)
    calls = message.get("tool_calls")
    called = [_read_call(members(call), origin) for call in (calls if isinstance(calls, list) else ())]
    ended = stop_of(choice, "finish_reason", is_body=True)
    return _completion(parts, refusal, called, ended, answer, asked, dialect.read(usage), usage, error)


def _read_call(call: Mapping[str, Any], origin: str) -> ToolCall:
    function = members(call.get("function"))
    given = function.get("arguments")
    arguments = whole(given) if isinstance(given, str) else as_json({} if given is None else given)
    call_id, name = words(call.get("id")), words(function.get("name"))
    if _CALL_EXTRAS.isdisjoint(call) and _CALL_EXTRAS.isdisjoint(function):  # nearly always
        return ToolCall(call_id, name, arguments)
    return _tool_call(call_id, name, arguments, _extra_of_call(call), origin)


def _completion(
    parts: list[Part],
    refusal: str,
    calls: list[ToolCall],
    ended: tuple[Stop, str],
    answer: Mapping[str, Any],
    asked: str,
    reading: UsageReading,
    usage: Any,
    error: Any,
) -> Completion:
    """Return the completion. Raises :exc:`ErrorInAnswer` for *error* or an error as stop reason."""
    stop, said = ended
    has_failed = stop == "other" and is_error_word(said)
    if refusal:
        stop = "refusal"
        parts.append(Text(whole(refusal)))
    answer_id = words(answer.get("id"))
    completion = Completion(
        *finished([*parts, *calls], stop, reading.usage, answer_id),
        words(answer.get("model")) or asked,
        said,
        answer_id,
        stated_cost_usd=stated_cost_usd(usage),
        usage_doubt=reading.doubt,
    )
    if error or has_failed:
        raise ErrorInAnswer(error or error_of(said), completion)
    return completion


def _extra_of_call(call: Mapping[str, Any]) -> dict[str, Any]:
    """Return what goes back with a call, or with the piece of one, besides id, name and arguments."""
    extra = {name: call[name] for name in _CALL_EXTRA if call.get(name)}
    function = members(call.get("function"))
    inner = {name: function[name] for name in _CALL_EXTRA if function.get(name)}
    return extra | {"function": inner} if inner else extra


def _tool_call(call_id: str, name: str, arguments: str, extra: dict[str, Any], origin: str) -> ToolCall:
    return (
        ToolCall(call_id, name, arguments, as_json(extra), origin)
        if extra
        else ToolCall(call_id, name, arguments)
    )


@attrs.define(eq=False)
class _Content:
    """The content of a message: text, or parts of which some are not text."""

    pieces: list[str] = attrs.field(factory=list)
    """Pieces of the text that grows at the end."""
    _before: list[str | dict[str, Any]] = attrs.field(factory=list, init=False)

    def add(self, content: Any) -> tuple[str, str]:
        """Add *content*, or a piece of it; return its text and its thinking."""
        if isinstance(content, str):
            self.pieces.append(content)
            return content, ""
        text = thought = ""
        for part in map(members, content if isinstance(content, list) else ()):
            if "type" not in part or isinstance(part.get("text"), str):
                self.pieces.append(words(part.get("text")))
                text += self.pieces[-1]
            else:
                thought += thinking_of(part)
                self._add_part(part)
        return text, whole(thought)

    def _add_part(self, part: dict[str, Any]) -> None:
        if self.text:
            self._before.append(self.text)
        self.pieces.clear()
        last = self._before[-1] if self._before else None
        if not (isinstance(last, dict) and joined_parts(last, part)):
            self._before.append(dict(part))

    @property
    def text(self) -> str:
        """The text that grows at the end."""
        return "".join(self.pieces)

    def parts(self, origin: str) -> list[Part]:
        """Return texts, and other parts as thinking that goes back unchanged, in their order."""
        found: list[Part] = []
        for one in (*self._before, self.text):
            if isinstance(one, str):
                found.append(Text(whole(one)))
            else:
                found.append(thinking(thinking_of(one), as_json(one), origin))
        return found


@attrs.define(eq=False)
class _Found:
    """The content of a message and its reasoning, before they are put in order."""

    origin: str = ORIGIN
    content: _Content = attrs.field(factory=_Content)
    reasoning: str = ""
    reasoning_field: str = _REASONING[0]
    _lists: dict[str, list[Any]] = attrs.field(factory=dict, init=False)
    _extra: dict[str, Any] = attrs.field(factory=dict, init=False)

    def keep(self, message: Mapping[str, Any]) -> str:
        """Keep what *message*, or a piece of it, has besides text and calls; return reasoning to show."""
        shown = ""
        for name in _LISTS:
            entries = message.get(name)
            if isinstance(entries, list) and entries:
                self._lists.setdefault(name, []).extend(entries)
                shown += _told_in(entries)
        for vendor, fields in members(message.get("extra_content")).items():
            # ``thought`` says which piece of a stream is thinking: it is not true of the whole message.
            known = {key: value for key, value in members(fields).items() if key != "thought"}
            if known:
                self._extra.setdefault("extra_content", {}).setdefault(vendor, {}).update(known)
        return shown

    def parts(self, *, is_body: bool) -> list[Part]:
        """Return thinking, then the content; the pieces of a stream, which is no *is_body*, are joined."""
        raw: dict[str, Any] = {self.reasoning_field: self.reasoning} if self.reasoning else {}
        lists = {name: ones if is_body else joined_details(ones) for name, ones in self._lists.items()}
        raw |= lists | self._extra
        text = self.reasoning or next(filter(None, map(_told_in, lists.values())), "")
        thought = [thinking(text, as_json(raw), self.origin)] if raw else []
        return [*thought, *self.content.parts(self.origin)]


def usage_in(answer: Mapping[str, Any]) -> Any:
    """Return the usage that an answer, or a chunk of one, reports; ``None`` if it reports none.

    Moonshot reports it in the choice of the last chunk, Groq also in ``x_groq``.
    """
    usage = answer.get("usage")
    if usage is not None:
        return usage
    choices = answer.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, dict) and (usage := choice.get("usage")) is not None:
            return usage
    return members(answer.get("x_groq")).get("usage")


def _told_in(entries: list[Any]) -> str:
    """Return the readable text of entries of reasoning."""
    told = (members(entry) for entry in entries)
    return "".join(
        words(one.get("text")) or words(one.get("summary")) or words(one.get("thinking")) for one in told
    )


@attrs.define(eq=False)
class _CallPieces:
    """A tool call while it arrives."""

    id: str = ""
    name: str = ""
    arguments: list[str] = attrs.field(factory=list)
    extra: dict[str, Any] = attrs.field(factory=dict)
    announced: str = ""
    """A name that came without arguments once the call was complete: another call may begin."""

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
    origin: str = ORIGIN
    done: bool = attrs.field(default=False, init=False)
    """Whether ``[DONE]`` has arrived."""
    _choice: Any = attrs.field(default=None, init=False)
    """Index of the choice that is read; ``None``: none had an index yet."""
    _head: dict[str, Any] = attrs.field(factory=dict, init=False)
    _usage: Any = attrs.field(default=None, init=False)
    _finish: dict[str, Any] = attrs.field(factory=dict, init=False)
    _error: Any = attrs.field(default=None, init=False)
    _found: _Found = attrs.field(init=False)
    _refusal: list[str] = attrs.field(factory=list, init=False)
    _reasoning: list[str] = attrs.field(factory=list, init=False)
    _reasoning_field: str = attrs.field(default=_REASONING[0], init=False)
    _calls: list[_CallPieces] = attrs.field(factory=list, init=False)
    _by_index: dict[int, _CallPieces] = attrs.field(factory=dict, init=False)

    @_found.default
    def _of_origin(self) -> _Found:
        return _Found(self.origin)

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
        if usage or (usage is not None and self._usage is None):
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
        for choice in choices if isinstance(choices, list) else ():
            choice = members(choice)
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
        found = self._found
        found.reasoning, found.reasoning_field = "".join(self._reasoning), self._reasoning_field
        calls = [
            _tool_call(call.id, call.name, whole("".join(call.arguments)) or "{}", call.extra, self.origin)
            for call in self._calls
        ]
        return _completion(
            found.parts(is_body=False),
            "".join(self._refusal),
            calls,
            stop_of(self._finish, "finish_reason", is_body=False),
            self._head,
            self.asked,
            self.dialect.read(self._usage),
            self._usage,
            self._error,
        )

    @property
    def _has_begun(self) -> bool:
        said = self._found.content.pieces or self._refusal or self._reasoning
        return bool(said or self._calls or self._finish)

    def _grow(self, delta: Mapping[str, Any]) -> Delta | None:
        shown = thought = name = ""
        content = delta.get("content")
        if content:
            shown, thought = self._found.content.add(content)
            if len(delta) == 1:  # most pieces hold nothing but text
                return Delta(shown, thought) if shown or thought else None
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
        told = self._found.keep(delta)
        thought = thought or told
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
        call.id, call.name = call.id or call_id, call.name or name or call.announced
        call.announced = "" if begins else call.announced
        arguments = function.get("arguments")
        if arguments is not None:
            call.arguments.append(arguments if isinstance(arguments, str) else as_json(arguments))
        call.extra |= _extra_of_call(piece)
        return call.name if begins else ""

    def _call_of(self, index: Any, call_id: str, name: str, *, adds: bool) -> _CallPieces:
        """Find the call by index, or by id and name if the server omits or repeats the index.

        *adds*: whether the piece has arguments.
        """
        indexed, announced = isinstance(index, int), ""
        call = self._by_index.get(index) if indexed else (self._calls[-1] if self._calls else None)
        if call is not None:
            other_name = not indexed and name != call.name
            # Without ids, a name begins a call, unless the server repeats the name with each piece.
            if not call_id and call.announced and adds:
                announced, call = call.announced, None
            elif name and not call_id and other_name:
                call = None
            elif name and not call_id and call.is_complete:
                call.announced, call = name, None if adds else call
        if call is not None:
            other_id = call_id and call.id and call_id != call.id
            if not (other_id and (name or not indexed)):
                return call
        call = _CallPieces(announced=announced)
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


def _without_reasoning(quirks: ChatQuirks, refusal: str) -> ChatQuirks:
    """Some servers reject reasoning that comes back, and some its absence: then more of it is wanted."""
    return quirks if _WANTED.search(refusal) else attrs.evolve(quirks, returns_reasoning=False)


_WANTED = re.compile(r"missing|must be|is required", re.IGNORECASE)
LESSONS: tuple[Lesson[ChatQuirks], ...] = (
    lesson(r"missing a thought_signature", without(marks_unsigned_calls=True)),
    lesson(r"tool.?call.?id.{0,80}length of 9", without(call_ids="nine")),
    lesson(r"tool_call\S*id.{0,20}too long", without(call_ids="short")),
    lesson(
        r"reasoning_(?:content|details)|thinking_blocks|extra_content|thought_signature"
        r"|provider_specific_fields|\bmessages?\b.{0,60}\breasoning\b(?!.?effort)",
        _without_reasoning,
        is_about_size=False,
    ),
    lesson(r"response_(?:format|schema)|json_schema|structured.?output|guided.?decoding", _weaker_schema),
    lesson(r"stream_options|include_usage", without(stream_usage=False)),
    lesson(
        # Ollama and Gemini call it thinking.
        r"reasoning.?effort|\bthinking\b[^.]{0,40}not support|not support[^.]{0,40}\bthinking\b",
        without(effort=False),
    ),
    lesson(r"\bstrict\b", without(strict_tools=False)),
    lesson(r"prompt_cache", without(breakpoints=False, cache_key=False)),
    lesson(r"content.{0,40}string", without(system_parts=False, breakpoints=False)),
    lesson(_LIMITS.pattern, _other_limit, is_about_size=False),
)
"""What is left out after which refusal."""


@attrs.frozen
class _Chat:
    quirks: ChatQuirks
    provider: str = ""
    dialect: UsageDialect = ANY_CHAT
    sdk: Sdk = "openai"
    path: str = "/chat/completions"
    count_path: None = None

    def encode(
        self, model_id: str, request: Request, *, streaming: bool, counting: bool = False
    ) -> tuple[bytes, ...]:
        origin = origin_of(ORIGIN, self.provider, model_id)
        return encode_request(model_id, request, self.quirks, streaming=streaming, origin=origin)

    def read(self, data: bytes, asked: str) -> Completion:
        return read_answer(data, asked, self.dialect, origin_of(ORIGIN, self.provider, asked))

    def reader(self, asked: str) -> ChunkReader:
        return ChunkReader(asked, self.dialect, origin_of(ORIGIN, self.provider, asked))

    def without(self, refusal: str) -> "_Chat | None":
        changed = learned(self.quirks, refusal, LESSONS)
        return None if changed is None else attrs.evolve(self, quirks=changed)


class ChatModel(HttpModel):
    """A model of Chat Completions, called through the SDK ``openai``.

    ``model_id`` is the server's id; ``name`` is the name used here, by default the id.
    ``quirks`` says which features the server supports, by default as known for the provider.
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
        known = quirks or quirks_for(connection.provider)
        wire = _Chat(known, connection.provider, usage_dialect_of(connection))
        super().__init__(model_id, connection, name or model_id, wire, tuning=tuning)

    @property
    def quirks(self) -> ChatQuirks:
        """The features that the server supports, as far as known by now."""
        wire = self.wire
        assert isinstance(wire, _Chat)
        return wire.quirks

    def _call(self, request: Request) -> HttpCall:
        wire = self.wire
        if request.tools and isinstance(wire, _Chat) and not wire.quirks.tools:
            reason = "the server does not support tools: use another model for this work, or send no tools"
            raise BadRequest(self.name, reason)
        return super()._call(request)
