"""Requests in the format of the Messages API: each message encoded once, the same bytes every time."""

import hashlib
import json
import re
from functools import lru_cache
from typing import Any

from sunwell.core.message import Message, Part, Text, Thinking, ToolCall, ToolResult
from sunwell.core.model import CacheLife, Request, ToolSpec

FORMAT = "anthropic-messages"
ORIGIN = "anthropic"
DEFAULT_MAX_OUTPUT_TOKENS = 8_192
"""Sent where a request names no limit: this API takes no request without one."""
LEAST_THINKING_TOKENS = 1_024
"""Smallest budget of thinking that the API takes."""

_EMPTY = '{"type":"text","text":"(empty)"}'
_WRITE = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
_NOT_IN_ID = re.compile(r"[^a-zA-Z0-9_-]")


def encode_request(
    model_id: str, request: Request, *, streaming: bool, thinking_tokens: int | None = None
) -> tuple[bytes, ...]:
    """Return the pieces of a body: equal for equal requests, and siblings share their first ones."""
    caching = request.caching
    sections = tuple(section for section in request.system if section.strip())
    return (
        b'{"model":',
        _bytes(_WRITE(model_id)),
        _tools(request.tools, None if sections else caching.prefix),
        _system(sections, caching.prefix),
        b',"messages":[',
        _opening(request),
        request.messages.encoded(FORMAT, encode_message),
        b"]",
        _tail(request, streaming=streaming, thinking_tokens=thinking_tokens),
        b"}",
    )


def encode_message(message: Message) -> bytes:
    """Return one message. The API joins neighbours of one role by itself, so none is ever rewritten."""
    role = "assistant" if message.role == "assistant" else "user"
    # Results of tools must come first in the message that answers the calls.
    ordered = sorted(message.parts, key=lambda part: not isinstance(part, ToolResult))
    blocks = [block for part in ordered if (block := _block(part))]
    return _bytes(f'{{"role":"{role}","content":[{",".join(blocks or [_EMPTY])}]}}')


def _block(part: Part) -> str:
    match part:
        case Text(text):  # blank text is refused by the API
            return f'{{"type":"text","text":{_WRITE(text)}}}' if text.strip() else ""
        case Thinking(_, raw, origin):
            return raw if origin == ORIGIN else ""
        case ToolCall(call_id, name, arguments):
            named = f'"id":{_WRITE(_id(call_id))},"name":{_WRITE(_id(name)[:128])}'
            return f'{{"type":"tool_use",{named},"input":{_input(arguments)}}}'
        case ToolResult(call_id, content, is_error):
            error = ',"is_error":true' if is_error else ""
            answered = f'"tool_use_id":{_WRITE(_id(call_id))},"content":{_WRITE(content)}'
            return f'{{"type":"tool_result",{answered}{error}}}'


def _input(arguments: str) -> str:
    """The arguments as an object, which the API demands: what is none is kept as text inside one."""
    try:
        value = json.loads(arguments or "{}", parse_constant=_refuse)
        if isinstance(value, dict):
            return _WRITE(value)
    except (ValueError, RecursionError):
        pass
    return _WRITE({"malformed_arguments": arguments})


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _id(text: str) -> str:
    """Return *text* as the API takes ids and names: others come from servers with freer rules."""
    cleaned = _NOT_IN_ID.sub("_", text)
    if cleaned == text and text:
        return text
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()
    return f"{cleaned}_{digest}"


def _opening(request: Request) -> bytes:
    """A conversation must begin with the user's side."""
    messages = request.messages
    if len(messages) and messages[0].role != "assistant":
        return b""
    opening = f'{{"role":"user","content":[{_EMPTY}]}}'.encode()
    return opening + b"," if len(messages) else opening


@lru_cache(maxsize=64)
def _system(sections: tuple[str, ...], life: CacheLife | None) -> bytes:
    if not sections:
        return b""
    blocks: list[dict[str, Any]] = [{"type": "text", "text": section} for section in sections]
    if life is not None:
        blocks[-1]["cache_control"] = _cache_control(life)
    return b',"system":' + _bytes(_WRITE(blocks))


@lru_cache(maxsize=64)
def _tools(tools: tuple[ToolSpec, ...], life: CacheLife | None) -> bytes:
    if not tools:
        return b""
    written = [
        f'{{"name":{_WRITE(tool.name)},"description":{_WRITE(tool.description)},'
        f'"input_schema":{tool.schema_text}'
        for tool in tools
    ]
    if life is not None:
        written[-1] += f',"cache_control":{_WRITE(_cache_control(life))}'
    return _bytes(',"tools":[' + "},".join(written) + "}]")


def _cache_control(life: CacheLife) -> dict[str, str]:
    return {"type": "ephemeral", "ttl": life}


def _tail(request: Request, *, streaming: bool, thinking_tokens: int | None) -> bytes:
    asked = request.max_output_tokens
    limit = DEFAULT_MAX_OUTPUT_TOKENS if asked is None else asked
    fields: dict[str, Any] = {"max_tokens": limit}
    if thinking_tokens is not None and limit > LEAST_THINKING_TOKENS:
        # The API wants room for the answer besides the thinking: a short answer gets less of both.
        budget = max(LEAST_THINKING_TOKENS, min(thinking_tokens, limit - 1))
        fields["thinking"] = {"type": "enabled", "budget_tokens": budget}
    if request.tools and request.tool_choice == "none":
        fields["tool_choice"] = {"type": "none"}
    output: dict[str, Any] = {}
    if request.effort is not None:
        output["effort"] = request.effort
    if request.response_schema is not None:
        output["format"] = {"type": "json_schema", "schema": request.response_schema.schema}
    if output:
        fields["output_config"] = output
    if request.caching.conversation:
        fields["cache_control"] = _cache_control(request.caching.prefix or "5m")
    if streaming:
        fields["stream"] = True
    return b"," + _bytes(_WRITE(fields))[1:-1]


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "replace")  # half a surrogate pair cannot be sent
