"""OpenAI's Responses API: reads requests."""

from collections.abc import Mapping, Sequence
from typing import Any

from sunwell.core.message import Message, Part, Text, Thinking, ToolCall, ToolResult
from sunwell.core.model import CacheLife
from sunwell.simulator.pieces import ending_message, message_pieces, schema_piece, system_piece, tool_piece
from sunwell.simulator.prompt import Piece, Prompt
from sunwell.simulator.responses_checks import check_fields, check_input
from sunwell.simulator.script import Asked
from sunwell.simulator.signatures import as_raw
from sunwell.simulator.wire import Inquiry, encode

_INCLUDE = "reasoning.encrypted_content"
Marked = tuple[Message, list[CacheLife | None]]


def read_responses(body: Mapping[str, Any], headers: Mapping[str, str]) -> Inquiry:
    """Read the body of ``/v1/responses``, or raise :exc:`~sunwell.simulator.wire.Refusal`."""
    check_fields(body)
    items = check_input(body.get("input"))
    tools = body.get("tools") or ()
    shape = (body.get("text") or {}).get("format") or {}
    schema = shape.get("schema") if shape.get("type") == "json_schema" else None
    options = body.get("prompt_cache_options") or {}
    system = _system(body, items)
    messages = _messages([item for item in items if not _is_system(item)])
    pieces: list[Piece] = [] if schema is None else [schema_piece(encode(schema).decode())]
    pieces += (_tool(tool) for tool in tools)
    sections = [system_piece(text, mark) for text, mark in system]
    pieces += [*sections[:-1], ending_message(sections[-1])] if sections else []
    pieces += (piece for message, marks in messages for piece in message_pieces(message, marks))
    asked = Asked(
        model=body["model"],
        system="\n\n".join(text for text, _ in system),
        messages=_joined([message for message, _ in messages]),
        tools=() if body.get("tool_choice") == "none" else tuple(tool["name"] for tool in tools),
        schema=schema,
        max_output_tokens=body.get("max_output_tokens"),
    )
    effort = (body.get("reasoning") or {}).get("effort") or ""
    implicit = options.get("mode", "implicit") == "implicit"
    return Inquiry(
        asked,
        Prompt(tuple(pieces), effort.encode(), implicit=implicit),
        stream=body.get("stream") is True,
        thinking=_INCLUDE in (body.get("include") or ()),
    )


def _is_system(item: Mapping[str, Any]) -> bool:
    return item.get("role") in ("system", "developer")


def _system(
    body: Mapping[str, Any], items: Sequence[Mapping[str, Any]]
) -> list[tuple[str, CacheLife | None]]:
    given = body.get("instructions")
    sections: list[tuple[str, CacheLife | None]] = [(given, None)] if given else []
    return [*sections, *(text for item in items if _is_system(item) for text in _texts(item))]


def _tool(tool: Mapping[str, Any]) -> Piece:
    schema = encode(tool["parameters"]).decode() if "parameters" in tool else ""
    return tool_piece(tool["name"], tool.get("description") or "", schema)


def _messages(items: Sequence[Mapping[str, Any]]) -> list[Marked]:
    """Return the messages that the items make: what the assistant said in a row is one."""
    out: list[Marked] = []
    for item in items:
        message, marks = _message(item)
        if message.role == "assistant" and out and out[-1][0].role == "assistant":
            last, before = out[-1]
            out[-1] = (Message("assistant", last.parts + message.parts), before + marks)
        else:
            out.append((message, marks))
    return out


def _message(item: Mapping[str, Any]) -> Marked:
    match item.get("type", "message"):
        case "function_call":
            return Message("assistant", (ToolCall(item["call_id"], item["name"], item["arguments"]),)), [None]
        case "function_call_output":
            return Message("tool", (ToolResult(item["call_id"], item["output"]),)), [None]
        case "reasoning":
            text = "".join(one["text"] for one in item.get("summary") or ())
            return Message("assistant", (Thinking(text, as_raw(item), "openai-responses"),)), [None]
    texts = _texts(item)
    parts: tuple[Part, ...] = tuple(Text(text) for text, _ in texts)
    role = "assistant" if item["role"] == "assistant" else "user"
    return Message(role, parts), [mark for _, mark in texts]  # type: ignore[arg-type]


def _texts(item: Mapping[str, Any]) -> list[tuple[str, CacheLife | None]]:
    content = item.get("content")
    if isinstance(content, str):
        return [(content, None)]
    return [(part["text"], "5m" if part.get("prompt_cache_breakpoint") else None) for part in content or ()]


def _joined(messages: Sequence[Message]) -> tuple[Message, ...]:
    """Return *messages* with the results of one turn in one message, as the core has them."""
    out: list[Message] = []
    for message in messages:
        if message.role == "tool" and out and out[-1].role == "tool":
            out[-1] = Message("tool", out[-1].parts + message.parts)
        else:
            out.append(message)
    return tuple(out)
