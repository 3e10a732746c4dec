"""The journal of a run as a file that is only added to."""

from collections.abc import Iterator
from pathlib import Path
from typing import Self, cast

import attrs

from sunwell.errors import JournalError
from sunwell.journal.codec import decode, encode
from sunwell.journal.disk import Disk, PosixDisk, as_journal_error, sentence
from sunwell.journal.folders import make_folders
from sunwell.journal.layout import journal_path
from sunwell.journal.protocol import R
from sunwell.journal.reading import LONGEST_LINE_BYTES, Repair, Scan
from sunwell.journal.records import Key, Record, RunOpened
from sunwell.journal.space import Space
from sunwell.journal.sync import SharedSync


@attrs.define(eq=False)
class FileJournal:
    """The record of a run in ``journal.jsonl``; made by :meth:`create` or :meth:`open`.

    A record is written in the moment of the call, so the order in the file is the order of the calls;
    :meth:`append` then returns once a sync, shared with whoever else appends, has made it durable.
    After a write or a sync that failed, nothing more is taken: what is durable then is not known.
    For one event loop at a time.
    """

    run_id: str
    path: Path
    _disk: Disk
    repair: Repair | None = None
    """What :meth:`open` cut off the end; ``None`` where the file was whole."""
    _size: int = 0
    _count: int = 0
    _index: dict[tuple[str, Key], tuple[int, int]] = attrs.field(factory=dict)
    """Offset and length of the latest line for each kind and key."""
    _sync: SharedSync = attrs.field(init=False)
    _space: Space = attrs.field(init=False)
    _refusal: str | None = attrs.field(default=None, init=False)
    """Why no record is taken any more."""
    _is_closed: bool = attrs.field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self._sync = SharedSync(self._disk.sync, lambda: self._count, self._disk.threaded, self._count)
        self._space = Space(self._disk)

    @classmethod
    def create(cls, directory: Path, run_id: str, *, disk: Disk | None = None, threaded: bool = True) -> Self:
        """Begin the journal of *run_id* under the workspace *directory*, in ``.sunwell/runs``.

        The first record to append is :class:`RunOpened`. Syncs run in a thread, or on the event loop
        itself where *threaded* is false (a virtual clock knows no threads). *disk* replaces the file and
        its folders.
        Raises :exc:`~sunwell.errors.JournalError` where the file exists or cannot be made.
        """
        path = journal_path(directory, run_id)
        if disk is None:
            make_folders(directory, path.parent)
            disk = PosixDisk.create(path, threaded=threaded)
        return cls(run_id, path, disk)

    @classmethod
    def open(cls, path: Path, *, disk: Disk | None = None, threaded: bool = True) -> Self:
        """Take up the journal at *path*: read it through, cut off a torn tail, hold its lock.

        What is cut off is kept in ``journal.torn`` beside the file and told in ``repair``. All that can
        be read is durable on return. Raises :exc:`~sunwell.errors.JournalError` where another process
        has the journal, or it cannot be read or written, or is damaged before its end; nothing is
        changed then.
        """
        disk = disk or PosixDisk.open(path, threaded=threaded)
        try:
            with as_journal_error(path, "taken up"):
                return cls._read(path, disk)
        except BaseException:
            disk.close()
            raise

    @classmethod
    def _read(cls, path: Path, disk: Disk) -> Self:
        scan = Scan(disk.read, str(path))
        index: dict[tuple[str, Key], tuple[int, int]] = {}
        run_id = ""
        for entry in scan:
            record = entry.line.record
            if record.key is not None:
                index[record.kind, record.key] = (entry.offset, entry.size)
            if isinstance(record, RunOpened) and entry.line.seq == 0:
                run_id = record.run_id
        size = scan.end
        if scan.repair:
            disk.set_aside(disk.read(size, scan.repair.dropped_bytes))
            disk.truncate(size)
        if scan.ends_open:
            disk.write(b"\n")
            size += 1
        disk.sync()  # a killed process may have left records that only the system's memory holds
        return cls(run_id, path, disk, scan.repair, size, scan.count, index)

    async def append(self, record: Record, *, durable: bool = True) -> None:
        """Add *record*. Where *durable*, return only once it would survive a loss of power.

        A record that is not durable becomes so with the next one that is, or at :meth:`close`. A call
        that is cancelled while it waits has written its record all the same. Raises
        :exc:`~sunwell.errors.JournalError` where it cannot be written; the run must stop. Raises
        :exc:`TypeError` for a record that could not be read back.
        """
        self._refuse_if_ended()
        self._write(record)
        if durable and not await self._sync.coming():
            self._refuse_if_ended()

    async def reserve_space(self, size_bytes: int) -> None:
        """Make sure that an answer of *size_bytes* can be written, before it is asked and paid for.

        Call it before the intent of each attempt. The room of calls in flight, those whose intent has
        neither answer nor failure, is kept apart. Raises :exc:`~sunwell.errors.JournalError` where the
        disk is too full; the journal goes on taking records. Where the system cannot allocate ahead,
        the free space is looked at instead.
        """
        self._refuse_if_ended()
        with as_journal_error(self.path, f"given room for an answer of {size_bytes:,} bytes"):
            self._space.reserve(self._size, size_bytes)

    def find(self, kind: type[R], key: Key) -> R | None:
        """Return the latest record of the class *kind* with *key*, or ``None``; read from the file."""
        place = self._index.get((kind.kind, key))
        if place is None:
            return None
        offset, size = place
        with as_journal_error(self.path, "read"):
            line = decode(self._disk.read(offset, size))
        if line is None:
            raise JournalError(f"the journal {self.path} was changed by somebody else while the run goes on")
        return cast(R, line.record)

    def records(self) -> Iterator[Record]:
        """Yield the records that are there now, in order, from the file; memory does not grow."""
        end = self._size
        scan = Scan(lambda offset, size: self._disk.read(offset, min(size, end - offset)), str(self.path))
        with as_journal_error(self.path, "read"):
            for entry in scan if end else ():
                yield entry.line.record

    def close(self) -> None:
        """Make the rest durable and give up the file and its lock. Calling it twice is fine.

        Raises :exc:`~sunwell.errors.JournalError` where records that were not durable yet cannot be
        made so; the file is given up all the same.
        """
        if self._is_closed:
            return
        self._is_closed = True
        failed_before = self._refusal is not None or self._sync.failure is not None
        try:
            self._sync.close()
            if not failed_before:
                self._refuse_if_ended()
                with as_journal_error(self.path, "closed"):
                    self._space.give_back(self._size)
        finally:
            self._refusal = f"the journal {self.path} is closed"
            self._disk.close()

    def _write(self, record: Record) -> None:
        if not self._count and not (isinstance(record, RunOpened) and record.run_id == self.run_id):
            raise JournalError(f"the journal {self.path} begins with the record of run {self.run_id}")
        line = encode(record, self._count, self._sync.synced)
        if len(line) > LONGEST_LINE_BYTES:
            raise JournalError(
                f"a record of {len(line):,} bytes is too long for the journal {self.path}, which takes "
                f"{LONGEST_LINE_BYTES:,}: ask for less at once"
            )
        try:
            self._disk.write(line + b"\n")
        except OSError as error:
            self._refusal = sentence(self.path, "written", error)
            raise JournalError(self._refusal) from error
        if record.key is not None:
            self._index[record.kind, record.key] = (self._size, len(line))
        self._size += len(line) + 1
        self._count += 1
        self._space.note(record)

    def _refuse_if_ended(self) -> None:
        failure = self._sync.failure
        if self._refusal is None and failure is not None:
            if not isinstance(failure, OSError):
                raise failure
            self._refusal = sentence(self.path, "made durable", failure)
        if self._refusal is not None:
            raise JournalError(self._refusal) from failure
