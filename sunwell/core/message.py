"""Messages of a conversation and their parts."""

import hashlib
import struct
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, ClassVar, Literal, Self, TypeVar, overload

import attrs

Role = Literal["user", "assistant", "tool"]


@attrs.frozen
class Text:
    """Plain text."""

    part: ClassVar = "text"
    """Its name among the parts of a message, in journals."""
    text: str
    extra: str = attrs.field(default="", metadata={"sparse": True})
    """What the provider wants back with the text: a JSON object; empty if there is nothing."""
    origin: str = attrs.field(default="", metadata={"sparse": True})
    """What wrote ``extra``, as in :class:`Thinking`."""


@attrs.frozen
class Thinking:
    """A model's reasoning, kept to be sent back unchanged.

    ``raw`` is the provider's own JSON of the block, empty if it does not go back. ``origin`` names what wrote
    it: ``FORMAT@PROVIDER/MODEL``, and only the adapter of that model sends it back. Records of older
    versions name the wire format alone; any adapter of that format sends it back.
    """

    part: ClassVar = "thinking"
    text: str
    raw: str
    origin: str


@attrs.frozen
class ToolCall:
    """A model's call of a tool. ``arguments`` is JSON text as the model wrote it; it may be malformed."""

    part: ClassVar = "toolcall"
    id: str
    name: str
    arguments: str
    extra: str = attrs.field(default="", metadata={"sparse": True})
    """What the provider wants back with the call, for example its signature: a JSON object, or empty."""
    origin: str = attrs.field(default="", metadata={"sparse": True})
    """What wrote ``extra``, as in :class:`Thinking`."""


ChangeKind = Literal["made", "changed", "removed"]


@attrs.frozen
class FileChange:
    """A file that a tool changed: SHA-256 before and after, ``None`` if there was or is no file."""

    path: str
    before: str | None
    after: str | None

    @property
    def kind(self) -> ChangeKind:
        """What became of the file, in a word for programs."""
        return "made" if self.before is None else "removed" if self.after is None else "changed"

    @property
    def verb(self) -> str:
        """What became of the file, in a word for people."""
        return "created" if self.kind == "made" else self.kind


def net_changes(changes: Sequence[FileChange]) -> tuple[FileChange, ...]:
    """Return each file once, from its first state to its last; what ends as it began is left out."""
    first: dict[str, str | None] = {}
    last: dict[str, str | None] = {}
    for change in changes:
        first.setdefault(change.path, change.before)
        last[change.path] = change.after
    return tuple(FileChange(path, first[path], last[path]) for path in last if first[path] != last[path])


@attrs.frozen
class FileRead:
    """A file as Sunwell last read it for the model: SHA-256, ``None`` if there is no file."""

    path: str
    sha256: str | None


@attrs.frozen
class ToolResult:
    """The result of a tool: the text that the model reads, and the file changes that Sunwell observed."""

    part: ClassVar = "toolresult"
    call_id: str
    content: str
    is_error: bool = False
    changes: tuple[FileChange, ...] = ()
    exit_code: int | None = None
    """Exit code of a command; ``None`` if no command finished."""
    reads: tuple[FileRead, ...] = ()
    """Files whose text is in ``content``; after a call that may have changed anything, all known files."""
    left_behind: tuple[str, ...] = ()
    """What the call left of files that other programs run by themselves, and what became of it: sentences."""
    refused: bool = attrs.field(default=False, metadata={"sparse": True})
    """Whether the call was refused before it began: there is no such tool, its arguments are invalid, or it
    was not approved. Such a call does not count as called."""

    def with_content(self, content: str) -> "ToolResult":
        """Return the result with *content*: what :func:`attrs.evolve` does, in less time."""
        return ToolResult(
            self.call_id,
            content,
            self.is_error,
            self.changes,
            self.exit_code,
            self.reads,
            self.left_behind,
            self.refused,
        )


Part = Text | Thinking | ToolCall | ToolResult


@attrs.frozen
class Message:
    """One message. Tool results are in a message of role ``tool``, in the order of the calls."""

    role: Role
    parts: tuple[Part, ...]

    @property
    def text(self) -> str:
        """The plain text of the message: its text parts joined without a separator."""
        return "".join([part.text for part in self.parts if isinstance(part, Text)])

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The tool calls in the message, in order."""
        return tuple([part for part in self.parts if isinstance(part, ToolCall)])

    def fields(self) -> list[str]:
        """Return every string of the message that a model may see, each preceded by its kind."""
        out: list[str] = [self.role]
        for part in self.parts:  # by exact types: each message of a conversation passes here
            kind = type(part)
            if kind is Text:
                out += ("text", part.text)  # type: ignore[union-attr]
            elif kind is Thinking:
                out += ("thinking", part.origin, part.raw)  # type: ignore[union-attr]
            elif kind is ToolCall:
                out += ("call", part.id, part.name, part.arguments)  # type: ignore[union-attr]
            elif kind is ToolResult:
                said = "error" if part.is_error else "result"  # type: ignore[union-attr]
                out += (said, part.call_id, part.content)  # type: ignore[union-attr]
            if (kind is Text or kind is ToolCall) and part.extra:  # type: ignore[union-attr]
                # Without: as in records of older versions.
                out += ("extra", part.origin, part.extra)  # type: ignore[union-attr]
        return out


def user(text: str) -> Message:
    """Return a user message with plain text."""
    return Message("user", (Text(text),))


def digest_of(*texts: str, start: bytes = b"") -> bytes:
    """Return a 16-byte digest that differs if the texts, their number or their boundaries differ."""
    return digest_of_framed(framed(*texts), start)


def framed(*texts: str) -> bytes:
    """Return *texts* as :func:`digest_of` hashes them, each after its length."""
    try:
        data = list(map(str.encode, texts))
    except UnicodeEncodeError:  # half a character
        data = [text.encode("utf-8", "surrogatepass") for text in texts]
    return b"".join(chain.from_iterable(zip(map(_LENGTH.pack, map(len, data)), data, strict=True)))


def digest_of_framed(texts: bytes, start: bytes) -> bytes:
    """Return the digest of what :func:`framed` returned after *start*."""
    return hashlib.blake2b(start + texts, digest_size=16).digest()


_LENGTH = struct.Struct(">Q")
_MESSAGE_OVERHEAD_BYTES = 32  # role and punctuation of any wire format that we write


Folded = TypeVar("Folded")


class History(Sequence[Message]):
    """An immutable sequence of messages; :meth:`plus` returns a longer one.

    The longer one reuses what the shorter one has computed (digest, size, encoded bodies, folds), so turn 200
    of a loop takes as much time as turn 10.
    """

    __slots__ = ("_bodies", "_digests", "_folds", "_messages", "_size_bytes")

    def __init__(self, messages: Iterable[Message] = ()) -> None:
        self._messages: tuple[Message, ...] = ()
        self._digests: tuple[bytes, ...] = (digest_of("history"),)
        self._size_bytes = 0
        self._bodies: dict[str, tuple[int, bytes]] = {}
        self._folds: dict[Hashable, tuple[int, Any]] = {}
        self._take(tuple(messages))

    def _take(self, new: tuple[Message, ...]) -> None:
        self._messages += new
        for message in new:
            texts = message.fields()
            data = framed(*texts)
            self._digests += (digest_of_framed(data, self._digests[-1]),)
            own_bytes = len(data) - _LENGTH.size * len(texts)
            self._size_bytes += own_bytes + _MESSAGE_OVERHEAD_BYTES * (1 + len(message.parts))

    def plus(self, *messages: Message) -> Self:
        """Return this history with *messages* appended."""
        longer = object.__new__(type(self))
        longer._messages = self._messages
        longer._digests = self._digests
        longer._size_bytes = self._size_bytes
        longer._bodies = dict(self._bodies)
        longer._folds = dict(self._folds)
        longer._take(messages)
        return longer

    @property
    def digest(self) -> bytes:
        """16-byte digest of everything in the messages that a model may see."""
        return self._digests[-1]

    def digest_at(self, count: int) -> bytes:
        """Return the digest of the first *count* messages alone; two histories with the same one begin alike.

        Raises :exc:`IndexError` if there are fewer.
        """
        return self._digests[count]

    @property
    def size_bytes(self) -> int:
        """UTF-8 bytes of everything that a model may see, plus an allowance for each message."""
        return self._size_bytes

    def encoded(self, wire_format: str, encode: Callable[[Message], bytes]) -> bytes:
        """Return the messages in *wire_format*, joined by commas; *encode* is called once for each message.

        A message for which *encode* returns no bytes is left out.
        """
        count, body = self._bodies.get(wire_format, (0, b""))
        if count < len(self._messages):
            chunks = [encode(message) for message in self._messages[count:]]
            body = b",".join([chunk for chunk in (body, *chunks) if chunk])
            self._bodies[wire_format] = (len(self._messages), body)
        return body

    def folded(self, key: Hashable, start: Folded, step: Callable[[Folded, Message], Folded]) -> Folded:
        """Return *start* after *step* for each message; for one *key*, each message is asked for once.

        *key* stands for *start* and *step*: with the same key they must be the same.
        """
        count: int
        value: Folded
        count, value = self._folds.get(key, (0, start))
        if count < len(self._messages):
            for message in self._messages[count:]:
                value = step(value, message)
            self._folds[key] = (len(self._messages), value)
        return value

    @overload
    def __getitem__(self, index: int) -> Message: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Message, ...]: ...
    def __getitem__(self, index: int | slice) -> Message | tuple[Message, ...]:
        return self._messages[index]

    def __len__(self) -> int:
        return len(self._messages)

    def __iter__(self) -> Iterator[Message]:
        return iter(self._messages)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, History) and self._messages == other._messages

    def __hash__(self) -> int:
        return hash(self._digests[-1])

    def __repr__(self) -> str:
        return f"History({list(self._messages)!r})"
