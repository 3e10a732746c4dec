"""What the rest of the house asks of a journal."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, Protocol, TypeVar

from sunwell.journal.records import Key, Record

R = TypeVar("R", bound=Record)
Durability = bool | Literal["soon"]
"""Whether a record survives a loss of power once its append has returned. ``"soon"``: a moment later, and
before anything that is appended as durable after it. ``False``: with the next that is durable, or at the end.
Killing the process loses none of them."""


class Journal(Protocol):
    """The record of one run, appended to while the run goes on and looked up when it is taken up."""

    @property
    def run_id(self) -> str:
        """Id of the run, sortable by time."""
        ...

    @property
    def path(self) -> Path | None:
        """The file; ``None`` where the journal is in memory."""
        ...

    @property
    def boot(self) -> str:
        """Which start of the machine this is, see :func:`~sunwell.journal.power.boot_id`.

        Empty if the system does not say, or if nothing here survives the process.
        """
        ...

    @property
    def count(self) -> int:
        """How many records there are."""
        ...

    @property
    def synced(self) -> int:
        """How many of the records, from the first, are known to survive a loss of power."""
        ...

    async def append(self, record: Record, *, durable: Durability = True) -> None:
        """Add *record*. Where *durable* is true, return only once it would survive a loss of power.

        Raises :exc:`~sunwell.errors.JournalError` where it cannot be written; the run must stop.
        """
        ...

    async def reserve_space(self, size_bytes: int) -> None:
        """Make sure, before the intent of an attempt, that an answer of *size_bytes* can be written.

        Raises :exc:`~sunwell.errors.JournalError` where it cannot: then do not ask.
        """
        ...

    def find(self, kind: type[R], key: Key) -> R | None:
        """Return the latest record of the class *kind* with *key*, or ``None``."""
        ...

    def has(self, kind: type[Record]) -> bool:
        """Whether there is a record of the class *kind*, which has keys; nothing is read for that."""
        ...

    def records(self) -> Iterator[Record]:
        """Yield all records in order, from the first."""
        ...

    def close(self) -> None:
        """Give up the file and its lock. Calling it twice is fine."""
        ...
