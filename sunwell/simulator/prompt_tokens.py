"""Converts a request into the pieces of a prompt, in the same way for every wire format."""

import hashlib
from collections.abc import Iterable, Sequence

import attrs

from sunwell.core.message import Message, Part, Text, Thinking, ToolCall, ToolResult
from sunwell.core.model import CacheLife

BYTES_PER_TOKEN = 4
MESSAGE_TOKENS = 4
BLOCK_TOKENS = 2
TOOL_TOKENS = 2


def text_tokens(*texts: str) -> int:
    """Return the tokens of *texts* as one piece, without any fixed count."""
    size = 0
    for text in texts:
        size += len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    return -(-size // BYTES_PER_TOKEN)


def part_tokens(part: Part) -> int:
    """Return the tokens of one part of a message, its fixed count included."""
    match part:
        case Text(text):
            return BLOCK_TOKENS + text_tokens(text)
        case Thinking(text):
            return BLOCK_TOKENS + text_tokens(text)
        case ToolCall(_, name, arguments):
            return BLOCK_TOKENS + text_tokens(name, arguments)
        case ToolResult(_, content):
            return BLOCK_TOKENS + text_tokens(content)


def answer_tokens(parts: Iterable[Part]) -> int:
    """Return the tokens of an answer made of *parts*."""
    return sum(part_tokens(part) for part in parts)


_DIGEST_BYTES = 16


@attrs.frozen
class Piece:
    """One block of a prompt: a tool, a section of the system prompt, a part of a message."""

    digest: bytes
    tokens: int
    mark: CacheLife | None = None
    """A breakpoint at the end of this piece, and the lifetime of its entry."""
    ends_message: bool = False


@attrs.frozen
class Prompt:
    """The whole input of one request, in the order in which prefixes are matched."""

    pieces: tuple[Piece, ...]
    settings: bytes = b""
    """Settings that invalidate every prefix if they differ: effort and thinking."""
    implicit: bool = True
    """Whether the end of the last message counts as a breakpoint under the rule ``messages``."""

    @property
    def tokens(self) -> int:
        """All tokens of the prompt."""
        return sum(piece.tokens for piece in self.pieces)

    def prefixes(self, start: bytes) -> list[bytes]:
        """Return the digest of the prefix up to each piece; *start* is included first."""
        state = hashlib.blake2b(start + self.settings, digest_size=_DIGEST_BYTES)
        out = []
        for piece in self.pieces:
            state.update(piece.digest)
            out.append(state.digest())
        return out


def piece(tokens: int, *texts: str, mark: CacheLife | None = None, ends_message: bool = False) -> Piece:
    """Return a piece that equals another one exactly if the *texts* are equal."""
    state = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    for text in texts:
        data = text.encode("utf-8", "surrogatepass")
        state.update(len(data).to_bytes(8, "big"))
        state.update(data)
    return Piece(state.digest(), tokens, mark, ends_message)


def marked_at_end(pieces: Sequence[Piece], life: CacheLife | None) -> tuple[Piece, ...]:
    """Return *pieces*; if *life* is given, the last one gets a breakpoint unless it has one."""
    if not pieces or life is None or pieces[-1].mark is not None:
        return tuple(pieces)
    return (*pieces[:-1], attrs.evolve(pieces[-1], mark=life))


def schema_piece(schema_text: str) -> Piece:
    """Return the piece for the schema of the answer."""
    return piece(text_tokens(schema_text), "schema", schema_text)


def tool_piece(name: str, description: str, schema_text: str, mark: CacheLife | None = None) -> Piece:
    """Return the piece for an offered tool."""
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
    """Return *section* as the end of a separate message."""
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
