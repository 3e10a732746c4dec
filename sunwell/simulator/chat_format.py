"""OpenAI's Chat Completions: reads requests."""

from collections.abc import Mapping, Sequence
from typing import Any

from sunwell.core.message import Message, Part, Text, ToolCall, ToolResult
from sunwell.core.model import CacheLife
from sunwell.simulator.chat_checks import check_fields, check_messages
from sunwell.simulator.pieces import ending_message, message_pieces, schema_piece, system_piece, tool_piece
from sunwell.simulator.prompt import Piece, Prompt
from sunwell.simulator.script import Asked
from sunwell.simulator.wire import Inquiry, encode


def read_chat(body: Mapping[str, Any], headers: Mapping[str, str]) -> Inquiry:
    """Read the body of ``/v1/chat/completions``, or raise :exc:`~sunwell.simulator.wire.Refusal`."""
    check_fields(body)
    messages = check_messages(body.get("messages"))
    functions = [tool["function"] for tool in body.get("tools") or ()]
    shape = body.get("response_format") or {}
    schema = shape["json_schema"].get("schema") if shape.get("type") == "json_schema" else None
    limit = body.get("max_completion_tokens")
    options = body.get("prompt_cache_options") or {}
    pieces: list[Piece] = [] if schema is None else [schema_piece(encode(schema).decode())]
    pieces += (_tool(function) for function in functions)
    pieces += (piece for message in messages for piece in _pieces(message))
    asked = Asked(
        model=body["model"],
        system="\n\n".join(text for m in messages if _is_system(m) for text, _ in _texts(m)),
        messages=_joined([_message(m) for m in messages if not _is_system(m)]),
        tools=() if body.get("tool_choice") == "none" else tuple(function["name"] for function in functions),
        schema=schema,
        max_output_tokens=body.get("max_tokens") if limit is None else limit,
    )
    return Inquiry(
        asked,
        Prompt(
            tuple(pieces),
            (body.get("reasoning_effort") or "").encode(),
            implicit=options.get("mode", "implicit") == "implicit",
        ),
        stream=body.get("stream") is True,
        include_usage=(body.get("stream_options") or {}).get("include_usage") is True,
        thinking=False,  # this format has no place for it
    )


def _is_system(message: Mapping[str, Any]) -> bool:
    return message["role"] in ("system", "developer")


def _tool(function: Mapping[str, Any]) -> Piece:
    schema = encode(function["parameters"]).decode() if "parameters" in function else ""
    return tool_piece(function["name"], function.get("description") or "", schema)


def _pieces(message: Mapping[str, Any]) -> list[Piece]:
    texts = _texts(message)
    if _is_system(message):
        sections = [system_piece(text, mark) for text, mark in texts]
        return [*sections[:-1], ending_message(sections[-1])] if sections else []
    return message_pieces(_message(message), [mark for _, mark in texts])


def _texts(message: Mapping[str, Any]) -> list[tuple[str, CacheLife | None]]:
    content = message.get("content")
    if content is None or content == "":
        return []
    if isinstance(content, str):
        return [(content, None)]
    return [(part["text"], "5m" if part.get("prompt_cache_breakpoint") else None) for part in content]


def _message(message: Mapping[str, Any]) -> Message:
    texts = _texts(message)
    if message["role"] == "tool":
        return Message("tool", (ToolResult(message["tool_call_id"], "".join(text for text, _ in texts)),))
    parts: list[Part] = [Text(text) for text, _ in texts]
    for call in message.get("tool_calls") or ():
        function = call["function"]
        parts.append(ToolCall(call["id"], function["name"], function["arguments"]))
    return Message("assistant" if message["role"] == "assistant" else "user", tuple(parts))


def _joined(messages: Sequence[Message]) -> tuple[Message, ...]:
    """Return *messages* with the results of one turn in one message, as the core has them."""
    out: list[Message] = []
    for message in messages:
        if message.role == "tool" and out and out[-1].role == "tool":
            out[-1] = Message("tool", out[-1].parts + message.parts)
        else:
            out.append(message)
    return tuple(out)
