"""Requests in the format of OpenAI's Responses API: each message encoded once, the same bytes every time."""

import json
import re
from functools import lru_cache
from typing import Any

from sunwell.core.message import Message, Part, Text, Thinking, ToolCall, ToolResult
from sunwell.core.model import Request, ToolSpec
from sunwell.models.chat_encoding import quirks_for

FORMAT = "openai-responses"
ORIGIN = "openai-responses"
_WRITE = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
_REASONS = re.compile(r"o\d|gpt-(?:[5-9]|\d\d)")
_INCLUDE = "reasoning.encrypted_content"


def encode_request(model_id: str, request: Request, *, streaming: bool) -> tuple[bytes, ...]:
    """Return the pieces of a body: equal for equal requests, and siblings share their first ones."""
    breakpoints = quirks_for("openai", model_id).breakpoints
    sections = tuple(section for section in request.system if section)
    system = _system(sections, breakpoints and request.caching.prefix is not None)
    messages = request.messages.encoded(FORMAT, encode_message)
    return (
        b'{"model":',
        _bytes(_WRITE(model_id)),
        _tools(request.tools),
        b',"input":[',
        system,
        b"," if system and messages else b"",
        messages,
        b"]",
        _tail(model_id, request, breakpoints=breakpoints, streaming=streaming),
        b"}",
    )


def encode_message(message: Message) -> bytes:
    """Return the items of one message, joined by commas: text, calls, results and reasoning stand apart."""
    items: list[str] = []
    # Results answer calls, so they come before anything that the user adds.
    for part in sorted(message.parts, key=lambda part: not isinstance(part, ToolResult)):
        item = _item(part, message.role == "assistant")
        if item:
            items.append(item)
    if not items and message.role == "user":
        items.append(_said("user", ""))
    return _bytes(",".join(items))


def _item(part: Part, is_answer: bool) -> str:
    match part:
        case Text(text):
            return _said("assistant" if is_answer else "user", text) if text or not is_answer else ""
        case Thinking(_, raw, origin):
            return raw if origin == ORIGIN and is_answer else ""
        case ToolCall(call_id, name, arguments):
            called = f'"call_id":{_WRITE(call_id)},"name":{_WRITE(name)}'
            return f'{{"type":"function_call",{called},"arguments":{_WRITE(arguments or "{}")}}}'
        case ToolResult(call_id, content, is_error):
            output = f"Error: {content}" if is_error else content
            answered = f'"call_id":{_WRITE(call_id)},"output":{_WRITE(output)}'
            return f'{{"type":"function_call_output",{answered}}}'


def _said(role: str, text: str) -> str:
    kind = "output_text" if role == "assistant" else "input_text"
    content = f'[{{"type":"{kind}","text":{_WRITE(text)}}}]'
    return f'{{"type":"message","role":"{role}","content":{content}}}'


@lru_cache(maxsize=64)
def _system(sections: tuple[str, ...], mark: bool) -> bytes:
    if not sections:
        return b""
    content: list[dict[str, Any]] = [{"type": "input_text", "text": section} for section in sections]
    if mark:  # the field ``instructions`` is plain text and could not be marked
        content[-1]["prompt_cache_breakpoint"] = {"mode": "explicit"}
    return _bytes(_WRITE({"type": "message", "role": "system", "content": content}))


@lru_cache(maxsize=64)
def _tools(tools: tuple[ToolSpec, ...]) -> bytes:
    if not tools:
        return b""
    written = [
        f'{{"type":"function","name":{_WRITE(tool.name)},"description":{_WRITE(tool.description)},'
        f'"parameters":{tool.schema_text},"strict":false}}'
        for tool in tools
    ]
    return _bytes(f',"tools":[{",".join(written)}]')


def _tail(model_id: str, request: Request, *, breakpoints: bool, streaming: bool) -> bytes:
    fields: dict[str, Any] = {"store": False}
    if _REASONS.match(model_id):
        # What is not stored at the provider's must come back with the next request, encrypted.
        fields["include"] = [_INCLUDE]
    if request.max_output_tokens is not None:
        fields["max_output_tokens"] = request.max_output_tokens
    if request.tools and request.tool_choice == "none":
        fields["tool_choice"] = "none"
    if request.effort is not None:
        fields["reasoning"] = {"effort": request.effort}
    schema = request.response_schema
    if schema is not None:
        described = {"type": "json_schema", "name": schema.name, "schema": schema.schema, "strict": True}
        fields["text"] = {"format": described}
    if request.caching.key:
        fields["prompt_cache_key"] = request.caching.key
    if breakpoints and not request.caching.conversation:
        fields["prompt_cache_options"] = {"mode": "explicit"}  # no write for the end of the messages
    if streaming:
        fields["stream"] = True
    return b"," + _bytes(_WRITE(fields))[1:-1]


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "replace")  # half a surrogate pair cannot be sent
