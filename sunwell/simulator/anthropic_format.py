"""Anthropic's Messages: reads requests."""

from collections.abc import Mapping, Sequence
from typing import Any

from sunwell.core.message import Message, Part, Role, Text, Thinking, ToolCall, ToolResult
from sunwell.core.model import CacheLife
from sunwell.simulator.anthropic_checks import blocks_of, check_fields, refuse_if
from sunwell.simulator.anthropic_turns import Turn, turns_of
from sunwell.simulator.pieces import message_pieces, schema_piece, system_piece, tool_piece
from sunwell.simulator.prompt import Piece, Prompt, marked_at_end
from sunwell.simulator.script import Asked
from sunwell.simulator.signatures import as_raw
from sunwell.simulator.wire import Inquiry, encode

ORIGIN = "anthropic"


def read_messages(body: Mapping[str, Any], headers: Mapping[str, str]) -> Inquiry:
    """Read the body of ``/v1/messages``, or raise :exc:`~sunwell.simulator.wire.Refusal`."""
    return _read(body, headers, counting=False)


def read_count(body: Mapping[str, Any], headers: Mapping[str, str]) -> Inquiry:
    """Read the body of ``/v1/messages/count_tokens``: the same without a limit on the output."""
    return _read(body, headers, counting=True)


def _read(body: Mapping[str, Any], headers: Mapping[str, str], *, counting: bool) -> Inquiry:
    check_fields(body, headers, counting=counting)
    turns = turns_of(body)
    sections = _system(body.get("system"))
    config = body.get("output_config") or {}
    shape = config.get("format")
    thinking = (body.get("thinking") or {}).get("type", "")
    silent = (body.get("tool_choice") or {}).get("type") == "none"
    marked = [pair for turn in turns for pair in _messages(turn)]
    pieces: list[Piece] = [schema_piece(encode(shape["schema"]).decode())] if shape else []
    pieces += (_tool(tool) for tool in body.get("tools") or ())
    pieces += (system_piece(text, mark) for text, mark in sections)
    pieces += (piece for message, marks in marked for piece in message_pieces(message, marks))
    asked = Asked(
        model=body["model"],
        system="\n\n".join(text for text, _ in sections),
        messages=tuple(message for message, _ in marked),
        tools=() if silent else tuple(tool["name"] for tool in body.get("tools") or ()),
        schema=shape["schema"] if shape else None,
        max_output_tokens=body.get("max_tokens"),
    )
    settings = f"{config.get('effort') or ''}/{thinking}".encode()
    prompt = Prompt(marked_at_end(pieces, _mark(body)), settings)
    return Inquiry(asked, prompt, body.get("stream") is True, thinking=thinking != "disabled")


def _system(system: Any) -> list[tuple[str, CacheLife | None]]:
    if system is None or system == "":
        return []
    sections: list[tuple[str, CacheLife | None]] = []
    for i, block in enumerate(blocks_of(system, "system")):
        refuse_if(block["type"] != "text", f"system.{i}.type: Input should be 'text'", "system")
        text = block.get("text")
        refuse_if(not isinstance(text, str), f"system.{i}.text: Field required", "system")
        refuse_if(not text, "system: text content blocks must be non-empty", "system")
        sections.append((str(text), _mark(block)))
    return sections


def _tool(tool: Mapping[str, Any]) -> Piece:
    schema = encode(tool["input_schema"]).decode()
    return tool_piece(tool["name"], tool.get("description") or "", schema, _mark(tool))


def _mark(block: Mapping[str, Any]) -> CacheLife | None:
    control = block.get("cache_control")
    if not control:
        return None
    life: CacheLife = "1h" if control.get("ttl") == "1h" else "5m"
    return life


def _messages(turn: Turn) -> list[tuple[Message, list[CacheLife | None]]]:
    """Return the core's messages for *turn*, results of tools apart, with the breakpoints of their parts."""
    role, blocks = turn
    split: dict[Role, list[Mapping[str, Any]]] = {}
    for block in blocks:
        spoken: Role = "assistant" if role == "assistant" else "user"
        split.setdefault("tool" if block["type"] == "tool_result" else spoken, []).append(block)
    return [
        (Message(name, tuple(_part(block) for block in group)), [_mark(block) for block in group])
        for name, group in split.items()
    ]


def _part(block: Mapping[str, Any]) -> Part:
    match block["type"]:
        case "text":
            return Text(block["text"])
        case "tool_use":
            return ToolCall(block["id"], block["name"], encode(block["input"]).decode())
        case "tool_result":
            content = _result_text(block.get("content", ""))
            return ToolResult(block["tool_use_id"], content, block.get("is_error") is True)
    return Thinking(block.get("thinking", ""), as_raw(block), ORIGIN)


def _result_text(content: str | Sequence[Mapping[str, Any]]) -> str:
    blocks = blocks_of(content, "tool_result.content")
    texts = []
    for block in blocks:
        refuse_if(block["type"] != "text", "tool_result.content: the simulator reads text only", "messages")
        texts.append(str(block.get("text", "")))
    return "".join(texts)
