"""A journal that ends with its process."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import cast

import attrs

from sunwell.core.secrets import Secrets
from sunwell.errors import JournalError
from sunwell.journal.codec import encode
from sunwell.journal.power import boot_id
from sunwell.journal.protocol import Durability, R
from sunwell.journal.reading import read_records
from sunwell.journal.records import Key, Record, RunOpened


@attrs.define(eq=False)
class MemoryJournal:
    """The record of a run without a file. It takes exactly the records that a file would take."""

    run_id: str
    secrets: Secrets = attrs.field(factory=Secrets, kw_only=True)
    """Replaced in each record, as in a file."""
    _records: list[Record] = attrs.field(factory=list, init=False)
    _latest: dict[tuple[str, Key], Record] = attrs.field(factory=dict, init=False)
    _closed: bool = attrs.field(default=False, init=False)

    @classmethod
    def of(cls, run_id: str, records: Iterable[Record]) -> "MemoryJournal":
        """Return a journal that holds *records* already, as one that is taken up again would."""
        made = cls(run_id)
        for record in records:
            made._add(record)
        return made

    @property
    def path(self) -> Path | None:
        """Always ``None``: there is no file."""
        return None

    @property
    def boot(self) -> str:
        """Always empty: nothing here survives the process."""
        return ""

    @property
    def count(self) -> int:
        """How many records there are."""
        return len(self._records)

    @property
    def synced(self) -> int:
        """Always 0: nothing here survives the process."""
        return 0

    async def append(self, record: Record, *, durable: Durability = True) -> None:
        """Add *record*. Nothing here survives the process, *durable* or not."""
        if self._closed:
            raise JournalError(f"the journal of run {self.run_id} is closed")
        record = self.secrets.cleaned(record)
        encode(record, len(self._records))  # what a file would refuse must not pass here
        self._add(record)

    async def reserve_space(self, size_bytes: int) -> None:
        """Do nothing: memory is not reserved."""

    def find(self, kind: type[R], key: Key) -> R | None:
        """Return the latest record of the class *kind* with *key*, or ``None``."""
        return cast(R | None, self._latest.get((kind.kind, key)))

    def has(self, kind: type[Record]) -> bool:
        """Whether there is a record of the class *kind* with a key."""
        return any(name == kind.kind for name, _ in self._latest)

    def records(self) -> Iterator[Record]:
        """Yield the records that are there now, in order."""
        return iter(tuple(self._records))

    def close(self) -> None:
        """Take no more records. Calling it twice is fine."""
        self._closed = True

    def _add(self, record: Record) -> None:
        self._records.append(record)
        if record.key is not None:
            self._latest[record.kind, record.key] = record


@attrs.define(eq=False)
class ReplayedJournal(MemoryJournal):
    """The records of a file, to be played again. What is appended stays in memory."""

    source: Path | None = None
    """The file."""

    @property
    def boot(self) -> str:
        """Which start of the machine this is: it tells what the record may lack."""
        return boot_id()

    @property
    def path(self) -> Path | None:
        """The file that the records are from; it is never written to."""
        return self.source

    @classmethod
    def read(cls, path: Path) -> "ReplayedJournal":
        """Return the journal at *path* as it is now; no lock is needed.

        Raises :exc:`~sunwell.errors.JournalError` where it cannot be read.
        """
        return cls.copy_of(path, read_records(path))

    @classmethod
    def copy_of(cls, path: Path | None, records: Iterable[Record]) -> "ReplayedJournal":
        """Return a journal with *records*, of which the first is that of a run."""
        kept = tuple(records)
        if not kept or not isinstance(kept[0], RunOpened):
            raise JournalError(f"the journal {path} does not begin with the record of a run")
        made = cls(kept[0].run_id, source=path)
        for record in kept:
            made._add(record)
        return made
