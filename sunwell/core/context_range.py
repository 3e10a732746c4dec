"""A range of a text that no prompt holds, as those who ask about it see it."""

from typing import Protocol, Self, runtime_checkable


class RangePlace(Protocol):
    """Where a range is. Its text form is for people and models."""

    @property
    def name(self) -> str:
        """Of the context."""
        ...

    @property
    def first_line(self) -> int:
        """Counted from 1."""
        ...

    @property
    def last_line(self) -> int:
        """Counted from 1."""
        ...


@runtime_checkable
class ContextRange(Protocol):
    """A range of a long text, in bytes, that reads no more than it must."""

    @property
    def start(self) -> int:
        """Its first byte, counted from 0."""
        ...

    @property
    def end(self) -> int:
        """The byte behind its last one."""
        ...

    @property
    def place(self) -> RangePlace:
        """Where it is."""
        ...

    def __getitem__(self, part: slice) -> Self: ...

    def lines(self, first: int, last: int | None = None) -> Self:
        """Return the lines from *first* to *last*, counted from 1, both included."""
        ...

    def search(self, pattern: str, limit: int = 100, literal: bool = False) -> list[Self]:
        """Return the lines that match."""
        ...

    def chunks(self, characters: int, overlap: int = 0) -> list[Self]:
        """Return it in parts of at most that many characters."""
        ...

    def text(self) -> str:
        """Return its text; raises :exc:`~sunwell.errors.ToolError` if it is too long."""
        ...

    def digest(self) -> str:
        """Return the SHA-256 of its bytes, in hex."""
        ...
