"""A conversation that only grows, with what is computed of it computed once for each message."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Self, overload

from sunwell.core.message import Message, digest_of

_MESSAGE_OVERHEAD_BYTES = 32  # role and punctuation of any wire format that we write


class History(Sequence[Message]):
    """An immutable sequence of messages; :meth:`plus` gives a longer one at the price of what is new.

    Digest, size and encoded bodies of the shorter history are carried over, so turn 200 of a loop
    costs what turn 10 costs.
    """

    __slots__ = ("_bodies", "_digest", "_messages", "_size_bytes")

    def __init__(self, messages: Iterable[Message] = ()) -> None:
        self._messages: tuple[Message, ...] = ()
        self._digest = digest_of("history")
        self._size_bytes = 0
        self._bodies: dict[str, tuple[int, bytes]] = {}
        self._take(tuple(messages))

    def _take(self, new: tuple[Message, ...]) -> None:
        self._messages += new
        for message in new:
            fields = message.fields()
            self._digest = digest_of(*fields, start=self._digest)
            self._size_bytes += _MESSAGE_OVERHEAD_BYTES * (1 + len(message.parts))
            self._size_bytes += sum(len(text.encode("utf-8", "surrogatepass")) for text in fields)

    def plus(self, *messages: Message) -> Self:
        """Return this history with *messages* at its end."""
        longer = object.__new__(type(self))
        longer._messages = self._messages
        longer._digest = self._digest
        longer._size_bytes = self._size_bytes
        longer._bodies = dict(self._bodies)
        longer._take(messages)
        return longer

    @property
    def digest(self) -> bytes:
        """16 bytes over all that a model may see of the messages."""
        return self._digest

    @property
    def size_bytes(self) -> int:
        """UTF-8 bytes of all that a model may see, with an allowance for each message."""
        return self._size_bytes

    def encoded(self, wire_format: str, encode: Callable[[Message], bytes]) -> bytes:
        """Return the messages in *wire_format*, joined by commas; *encode* sees each message once.

        A message that *encode* turns into no bytes is left out.
        """
        count, body = self._bodies.get(wire_format, (0, b""))
        if count < len(self._messages):
            chunks = [encode(message) for message in self._messages[count:]]
            body = b",".join([chunk for chunk in (body, *chunks) if chunk])
            self._bodies[wire_format] = (len(self._messages), body)
        return body

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
        return hash(self._digest)

    def __repr__(self) -> str:
        return f"History({list(self._messages)!r})"
