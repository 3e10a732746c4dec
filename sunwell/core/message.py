"""Messages of a conversation and the parts they are made of."""

import hashlib
from typing import Literal

import attrs

Role = Literal["user", "assistant", "tool"]


@attrs.frozen
class Text:
    """Plain text."""

    text: str


@attrs.frozen
class Thinking:
    """A model's reasoning, kept so that it can be sent back exactly as it came.

    ``raw`` is the provider's own JSON of the block; ``origin`` names the wire format that wrote
    it, and only an adapter of that format sends it back.
    """

    text: str
    raw: str
    origin: str


@attrs.frozen
class ToolCall:
    """A model asks for a tool. ``arguments`` is JSON text as the model wrote it, perhaps malformed."""

    id: str
    name: str
    arguments: str


@attrs.frozen
class FileChange:
    """A file that a tool changed: SHA-256 before and after, ``None`` where there was or is no file."""

    path: str
    before: str | None
    after: str | None


@attrs.frozen
class FileRead:
    """A file as the harness last saw it for the model: SHA-256, ``None`` where there is no file."""

    path: str
    sha256: str | None


@attrs.frozen
class ToolResult:
    """What a tool gave: the text that the model reads, and what the harness itself saw change."""

    call_id: str
    content: str
    is_error: bool = False
    changes: tuple[FileChange, ...] = ()
    exit_code: int | None = None
    """Exit code of a command; ``None`` where no command ran to its end."""
    reads: tuple[FileRead, ...] = ()
    """Files whose text is in ``content``; after a call that may have changed anything, all known ones."""


Part = Text | Thinking | ToolCall | ToolResult


@attrs.frozen
class Message:
    """One message. Results of tools stand in a message of role ``tool``, in the order of the calls."""

    role: Role
    parts: tuple[Part, ...]

    @property
    def text(self) -> str:
        """The plain text in the message, its parts joined without a separator."""
        return "".join(part.text for part in self.parts if isinstance(part, Text))

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The tool calls in the message, in order."""
        return tuple(part for part in self.parts if isinstance(part, ToolCall))

    def fields(self) -> list[str]:
        """Return every string that a model may see of the message, each preceded by its kind."""
        out: list[str] = [self.role]
        for part in self.parts:
            match part:
                case Text(text):
                    out += ("text", text)
                case Thinking(_, raw, origin):
                    out += ("thinking", origin, raw)
                case ToolCall(call_id, name, arguments):
                    out += ("call", call_id, name, arguments)
                case ToolResult(call_id, content, is_error):
                    out += ("error" if is_error else "result", call_id, content)
        return out


def user(text: str) -> Message:
    """Return a user's message of plain text."""
    return Message("user", (Text(text),))


def digest_of(*texts: str, start: bytes = b"") -> bytes:
    """Return 16 bytes that differ where the texts, their number or their borders differ."""
    state = hashlib.blake2b(start, digest_size=16)
    for text in texts:
        data = text.encode("utf-8", "surrogatepass")
        state.update(len(data).to_bytes(8, "big"))
        state.update(data)
    return state.digest()
