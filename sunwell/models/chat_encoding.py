"""Requests in the format of OpenAI's Chat Completions, which compatible servers speak in dialects."""

import json
import re
from functools import lru_cache
from typing import Any, Literal

import attrs

from sunwell.core.message import Message, Thinking, ToolCall, ToolResult
from sunwell.core.model import Request, ToolSpec

ORIGIN = "openai-chat"
_WRITE = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
SCHEMA_IN_WORDS = "Answer with one JSON object and nothing else. It must obey this JSON schema:"
_OWN_MODEL = re.compile(r"gpt-|chatgpt-|o\d")
_VERSION = re.compile(r"gpt-(\d+)(?:\.(\d+))?")
_FIRST_WITH_BREAKPOINTS = (5, 6)


@attrs.frozen
class ChatQuirks:
    """What a server understands of the format. The defaults suit a compatible server."""

    token_limit: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    system_parts: bool = False
    """Send the system prompt as one text part for each section; else joined by blank lines."""
    breakpoints: bool = False
    """Mark the end of the system prompt with ``prompt_cache_breakpoint``."""
    cache_key: bool = False
    """Send ``prompt_cache_key``."""
    strict_tools: bool = False
    """Ask for arguments that obey the schema; every object in it must then be closed."""
    stream_usage: bool = True
    """Ask for usage in streams."""
    schema: Literal["json_schema", "json_object", "none"] = "json_schema"
    """How an answer in JSON is asked for."""
    returns_reasoning: bool = True
    """Send reasoning back to the server as it came."""
    effort: bool = True
    """Send ``reasoning_effort`` where one is asked for."""
    tools: bool = True
    """Whether the server takes tools at all; without them it cannot work, only answer."""

    @property
    def message_format(self) -> str:
        """Names how messages are written with these quirks."""
        return "openai-chat+reasoning" if self.returns_reasoning else "openai-chat"


def quirks_for(provider: str, model_id: str) -> ChatQuirks:
    """Return the quirks of OpenAI's own models where *provider* is ``openai``, else the defaults."""
    if provider != "openai" or not _OWN_MODEL.match(model_id):
        return ChatQuirks()
    version = _VERSION.match(model_id)
    known = (int(version[1]), int(version[2] or 0)) if version else (0, 0)
    return ChatQuirks(
        token_limit="max_completion_tokens",
        system_parts=True,
        breakpoints=known >= _FIRST_WITH_BREAKPOINTS,
        cache_key=True,
        returns_reasoning=False,
    )


def encode_request(
    model_id: str, request: Request, quirks: ChatQuirks, *, streaming: bool
) -> tuple[bytes, ...]:
    """Return the pieces of a body: equal for equal requests, and siblings share their first ones."""
    encode = _encode_with_reasoning if quirks.returns_reasoning else encode_message
    mark = quirks.breakpoints and request.caching.prefix is not None
    sections = tuple(section for section in request.system if section) + _asked_in_words(request, quirks)
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


def _asked_in_words(request: Request, quirks: ChatQuirks) -> tuple[str, ...]:
    """Return the schema as an instruction, where the server itself cannot hold an answer to it."""
    schema = request.response_schema
    if schema is None or quirks.schema == "json_schema":
        return ()
    return (f"{SCHEMA_IN_WORDS}\n{_WRITE(schema.schema)}",)


def encode_message(message: Message, *, reasoning: bool = False) -> bytes:
    """Return one message, or several joined by commas where results of tools are in it."""
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
    return text.encode("utf-8", "replace")  # half a surrogate pair cannot be sent
