"""Turns what a request holds into the pieces of a prompt, the same for every wire format."""

from collections.abc import Sequence

import attrs

from sunwell.core.message import Message, Part, Text, Thinking, ToolCall, ToolResult
from sunwell.core.model import CacheLife
from sunwell.simulator.prompt import Piece, piece
from sunwell.simulator.tokens import MESSAGE_TOKENS, TOOL_TOKENS, part_tokens, text_tokens


def schema_piece(schema_text: str) -> Piece:
    """Return the piece for the schema that an answer must obey."""
    return piece(text_tokens(schema_text), "schema", schema_text)


def tool_piece(name: str, description: str, schema_text: str, mark: CacheLife | None = None) -> Piece:
    """Return the piece for a tool on offer."""
    tokens = TOOL_TOKENS + text_tokens(name, description, schema_text)
    return piece(tokens, "tool", name, description, schema_text, mark=mark)


def system_piece(text: str, mark: CacheLife | None = None) -> Piece:
    """Return the piece for one section of the system prompt."""
    return piece(text_tokens(text), "system", text, mark=mark)


def message_pieces(message: Message, marks: Sequence[CacheLife | None] = ()) -> list[Piece]:
    """Return a piece for each part of *message*; *marks* are the breakpoints of the parts, in order."""
    if not message.parts:
        return [piece(MESSAGE_TOKENS, message.role, ends_message=True)]
    last = len(message.parts) - 1
    out = []
    for i, part in enumerate(message.parts):
        out.append(
            piece(
                part_tokens(part) + (MESSAGE_TOKENS if i == 0 else 0),
                message.role,
                *_texts(part),
                mark=marks[i] if i < len(marks) else None,
                ends_message=i == last,
            )
        )
    return out


def ending_message(section: Piece) -> Piece:
    """Return *section* as the end of a message of its own."""
    return attrs.evolve(section, tokens=section.tokens + MESSAGE_TOKENS, ends_message=True)


def _texts(part: Part) -> tuple[str, ...]:
    match part:
        case Text(text):
            return ("text", text)
        case Thinking(_, raw, origin):
            return ("thinking", origin, raw)
        case ToolCall(call_id, name, arguments):
            return ("call", call_id, name, arguments)
        case ToolResult(call_id, content, is_error):
            return ("error" if is_error else "result", call_id, content)
