"""The journal of a run as a file that is only added to."""

import asyncio
import functools
import math
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from time import perf_counter
from typing import Self, cast

import attrs

from sunwell.core.secrets import Secrets
from sunwell.errors import JournalError
from sunwell.journal.codec import decode, encode
from sunwell.journal.disk import Disk, PosixDisk, as_journal_error, sentence
from sunwell.journal.folders import FOLDER, make_run_folder
from sunwell.journal.layout import journal_path
from sunwell.journal.ownership import key_or_doubt, marked, unmarked_warning
from sunwell.journal.protocol import Durability, R
from sunwell.journal.reading import LONGEST_LINE_BYTES, Repair, Scan
from sunwell.journal.records import Answer, Failure, Intent, Key, Record, RunClosed, RunOpened

_STEP_BYTES = 1 << 20  # one allocation serves many calls
_CLOSING_BYTES = 64 << 10  # what a run writes about its end once no answer fits any more

_Attempt = tuple[str, int, int]
_OF_ATTEMPTS = frozenset({Intent, Answer, Failure})
_OF_CALLS = _OF_ATTEMPTS | {RunClosed}
"""Records that wait for no other kind of record."""


@attrs.define(eq=False)
class Space:
    """Keeps blocks allocated past the end of a journal, enough for every call in flight."""

    _disk: Disk
    _allocated_to: int = 0
    _largest_bytes: int = 0
    _announced: int = 0
    """Calls that have reserved and not yet written their intent."""
    _in_flight: set[_Attempt] = attrs.field(factory=set)

    def reserve(self, end: int, size_bytes: int) -> None:
        """Make room for one more call after *end*, or raise OSError."""
        largest = max(self._largest_bytes, size_bytes)
        needed = end + largest * (len(self._in_flight) + self._announced + 1) + _CLOSING_BYTES
        if needed > self._allocated_to:
            self._allocate(end, needed)
        self._largest_bytes = largest
        self._announced += 1

    @property
    def calls(self) -> int:
        """How many calls are in flight, or about to be."""
        return len(self._in_flight) + self._announced

    def note(self, record: Intent | Answer | Failure) -> None:
        """Follow which calls are in flight."""
        if isinstance(record, Intent):
            self._in_flight.add((record.span, record.number, record.attempt))
            self._announced = max(0, self._announced - 1)
        else:
            self._in_flight.discard((record.span, record.number, record.attempt))

    def give_back(self, end: int) -> None:
        """Free what is allocated past *end*."""
        if self._allocated_to > end:
            self._disk.truncate(end)

    def _allocate(self, end: int, needed: int) -> None:
        start = max(end, self._allocated_to)
        try:
            self._disk.allocate(start, max(needed - start, _STEP_BYTES))
            self._allocated_to = max(needed, start + _STEP_BYTES)
        except OSError:  # the disk is nearly full: a whole step does not fit, the exact need may
            self._disk.allocate(start, needed - start)
            self._allocated_to = needed


@functools.cache
def _sync_threads() -> ThreadPoolExecutor:
    """Return the threads that journals of this process sync in: one for each that does so at a time."""
    return ThreadPoolExecutor(_MOST_THREADS, thread_name_prefix="sunwell-journal")


# A forked process has none of the threads, and would wait for them.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_sync_threads.cache_clear)

_MOST_THREADS = 64
_SOON_SECONDS = 0.02
_QUICK_SECONDS = 0.002
_SLOW_IN_A_ROW = 2  # a quick disk has slow moments, too, and a thread for each short run costs more
_TRIED_AGAIN_AFTER, _LONGEST_TRIAL = 16, 1024


@attrs.define(eq=False)
class SharedSync:
    """Makes what was written durable; all who ask while a sync runs share the next one.

    Who is alone need not wait for others, see :meth:`at_once`. On a quick disk the sync runs on the event
    loop itself, since the way to a thread and back costs more. After two slow ones in a row the next sixteen
    run in a thread, so that the loop goes on, and twice as many each time that the one after them is slow
    again; never if *threaded* is false. After the first failure nothing is tried again: a system may report
    a failed sync once and then forget the data.
    """

    _sync: Callable[[], None]
    _written: Callable[[], int]
    """How many records are in the file."""
    _threaded: bool
    synced: int = 0
    """How many records are known to be durable."""
    clock: Callable[[], float] = perf_counter
    failure: Exception | None = None
    """Why the first sync that failed did."""
    _waiting: list["asyncio.Future[bool]"] = attrs.field(factory=list, init=False)
    _running: bool = attrs.field(default=False, init=False)
    _latest: "Future[None] | None" = attrs.field(default=None, init=False)
    """The latest sync that was given to a thread."""
    _in_thread: int = attrs.field(default=0, init=False)
    """How many of the next syncs run in the thread."""
    _slow: int = attrs.field(default=0, init=False)
    """How many of the last ones on the loop were slow, in a row."""
    _due: int = attrs.field(default=0, init=False)
    """How many records are to be durable soon."""
    _due_on: asyncio.AbstractEventLoop | None = attrs.field(default=None, init=False)
    """The event loop that will see to that; ``None``: nothing is due."""
    _timer: asyncio.TimerHandle | None = attrs.field(default=None, init=False)
    _last_at: float = attrs.field(default=-math.inf, init=False)
    """When the latest sync began, by the loop's clock."""

    def coming(self, *, is_alone: bool = False) -> "asyncio.Future[bool]":
        """Return what becomes true once all that is written by now is durable, false if that failed.

        *is_alone*: whether nobody else can be about to append.
        """
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[bool] = loop.create_future()
        self._waiting.append(waiter)
        if not self._running:
            self._running = True
            if is_alone:
                self._begin()
            else:
                loop.call_soon(self._begin)  # not at once: what else is ready to append shares the sync
        return waiter

    def soon(self, *, is_before_a_wait: bool = False) -> None:
        """Make all that is written durable with the next sync, or with one of its own after 20 ms.

        *is_before_a_wait*: whether this process now waits for somebody else. Then it happens at once on a
        quick disk, unless there was a sync in the last 20 ms: to be woken for it costs more.
        """
        loop = asyncio.get_running_loop()
        if is_before_a_wait and loop.time() - self._last_at >= _SOON_SECONDS and self.at_once() is not None:
            return
        self._due = self._written()
        if self._due_on is not loop:
            self._due_on, self._timer = loop, loop.call_later(_SOON_SECONDS, self._sync_what_is_due)

    def _sync_what_is_due(self) -> None:
        self._due_on = self._timer = None
        if self.failure is None and self.synced < self._due:
            self.coming()

    def _forget_what_is_due(self) -> None:
        if self._timer is not None and self.synced >= self._due:
            self._timer.cancel()
            self._due_on = self._timer = None

    def at_once(self) -> bool | None:
        """Make all that is written durable now, and return whether that succeeded.

        ``None``: not done, since a sync runs or is about to, or syncs run in the thread.
        """
        if self._running or self._is_for_thread:
            return None
        self._last_at = asyncio.get_running_loop().time()
        self._sync_here(self._written())
        self._forget_what_is_due()
        return self.failure is None

    @property
    def _is_for_thread(self) -> bool:
        if not self._threaded or self._in_thread <= 0:
            return False
        return getattr(asyncio.get_running_loop(), "has_threads", True)

    def close(self) -> None:
        """Wait for the thread, make the rest durable here, and tell everyone who still waits."""
        if self._latest is not None:
            self._latest.result()
        if self.failure is None and self.synced < self._written():
            self._sync_now(self._written())
        self._tell(self._waiting)
        self._waiting = []

    def _begin(self) -> None:
        # Who asks from now on may have written after the sync began, and gets the next one.
        batch, self._waiting = self._waiting, []
        if not batch:
            self._running = False
            return
        self._last_at = asyncio.get_running_loop().time()
        written = self._written()  # now: what is added while the sync runs is not known to be durable
        if not self._is_for_thread:
            self._sync_here(written)
            self._finish(batch)
            return
        self._in_thread -= 1
        loop = asyncio.get_running_loop()
        # Without the loop's own way: two futures that are chained take two more turns of it.
        self._latest = _sync_threads().submit(self._sync_there, written, batch, loop)

    def _sync_there(
        self, written: int, batch: "list[asyncio.Future[bool]]", loop: asyncio.AbstractEventLoop
    ) -> None:
        self._sync_now(written)
        with suppress(RuntimeError):  # the loop has ended, and nobody waits any more
            loop.call_soon_threadsafe(self._finish, batch)

    def _sync_here(self, written: int) -> None:
        began = self.clock()
        self._sync_now(written)
        # Measured here alone: in the thread the wait for the interpreter's lock would count, too.
        self._slow = self._slow + 1 if self.clock() - began > _QUICK_SECONDS else 0
        if self._slow >= _SLOW_IN_A_ROW:
            self._in_thread = min(_TRIED_AGAIN_AFTER << self._slow - _SLOW_IN_A_ROW, _LONGEST_TRIAL)

    def _sync_now(self, written: int) -> None:
        if self.failure is not None:
            return
        try:
            self._sync()
        except Exception as error:  # whatever it is, nobody may be told that all is well
            self.failure = error
        else:
            self.synced = written

    def _finish(self, batch: "list[asyncio.Future[bool]]") -> None:
        self._tell(batch)
        self._forget_what_is_due()
        self._begin()

    def _tell(self, batch: "list[asyncio.Future[bool]]") -> None:
        for waiter in batch:
            # Done: its append was cancelled. A closed loop: ``close`` is called after the loop that appended.
            if not waiter.done() and not waiter.get_loop().is_closed():
                waiter.set_result(self.failure is None)


_SIZE_BITS = LONGEST_LINE_BYTES.bit_length()
_SIZE_MASK = (1 << _SIZE_BITS) - 1


@attrs.define(eq=False)
class FileJournal:
    """The record of a run in ``journal.jsonl``; made by :meth:`create` or :meth:`open`.

    A record is written in the moment of the call, so the order in the file is the order of the calls. Of
    one that is to be durable, :meth:`append` returns once a sync, shared with all others, has made it so.
    After a write or a sync that failed, nothing more is taken: what is durable then is not known.
    For one event loop at a time.
    """

    run_id: str
    path: Path
    _disk: Disk
    repair: Repair | None = None
    """What :meth:`open` cut off the end; ``None`` if the file was whole."""
    _size: int = 0
    _count: int = 0
    _index: dict[str, dict[Key, int]] = attrs.field(factory=dict)
    """Offset and length of the latest line for each kind and key, as one number: an object less for each
    record, all of which live as long as the run."""
    _key: bytes | None = None
    """What marks the first line as this user's; ``None``: nothing does."""
    unmarked: str = ""
    """A sentence on why a new run bears no mark, and what that means; empty if it bears one."""
    secrets: Secrets = attrs.field(factory=Secrets, init=False)
    """Replaced in each record: whoever writes one has left out what it knows, and this is the last guard."""
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
        itself if *threaded* is false (a virtual clock knows no threads). *disk* replaces the file and
        its folders.
        Raises :exc:`~sunwell.errors.JournalError` if the file exists or cannot be made.
        """
        path = journal_path(directory, run_id)
        if disk is None:
            try:
                folder = make_run_folder(os.fspath(path.parent))
            except OSError as error:
                raise JournalError(sentence(directory / FOLDER, "kept there", error)) from error
            disk = PosixDisk.create(path, threaded=threaded, folder=folder)
        key, doubt = key_or_doubt(make=True)
        return cls(run_id, path, disk, key=key, unmarked=doubt and unmarked_warning(doubt))

    @classmethod
    def open(cls, path: Path, *, disk: Disk | None = None, threaded: bool = True) -> Self:
        """Open the journal at *path* to go on: read it, cut off a torn tail, hold its lock.

        What is cut off is kept in ``journal.torn`` beside the file and told in ``repair``. All that can
        be read is durable on return. Raises :exc:`~sunwell.errors.JournalError` if another process
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
        index: dict[str, dict[Key, int]] = {}
        run_id = ""
        for entry in scan:
            record = entry.line.record
            if record.key is not None:
                index.setdefault(record.kind, {})[record.key] = entry.offset << _SIZE_BITS | entry.size
            if isinstance(record, RunOpened) and entry.line.seq == 0:
                run_id = record.run_id
        size = scan.end
        # Kept before it is cut: a crash between the two leaves the bytes in both files, never in neither.
        if scan.repair:
            disk.set_aside(disk.read(size, scan.repair.dropped_bytes))
            disk.truncate(size)
        # A crash may cut off the line's end alone. The next record would stand on the same line as this one.
        if scan.ends_open:
            disk.write(b"\n")
            size += 1
        disk.sync()  # a killed process may have left records that only the system's memory holds
        return cls(run_id, path, disk, scan.repair, size, scan.count, index)

    async def append(self, record: Record, *, durable: Durability = True) -> None:
        """Add *record*. If *durable* is true, return only once it would survive a loss of power.

        A record that is not durable becomes so with the next one that is, or at :meth:`close`; with
        ``"soon"``, after 20 ms at the latest, as long as the event loop is not held up; an intent at once,
        unless the disk is slow or had a sync in the last 20 ms. A call
        that is cancelled while it waits has written its record all the same. Raises
        :exc:`~sunwell.errors.JournalError` if it cannot be written; the run must stop. Raises
        :exc:`TypeError` for a record that could not be read back.
        """
        self._refuse_if_ended()
        if durable is not True:
            self._write(record)
            if durable == "soon":
                self._sync.soon(is_before_a_wait=type(record) is Intent)
                if self._sync.failure is not None:
                    self._refuse_if_ended()
            return
        # Only calls append at the same moment as others do, and this one may be the only one. Then the way
        # through the event loop, on which others would join, costs more than the sync. At its end a run has
        # nobody else.
        is_alone = type(record) in _OF_CALLS and self._space.calls <= 1
        self._write(record)
        is_durable = self._sync.at_once() if is_alone else None
        if is_durable is None:
            is_durable = await self._sync.coming(is_alone=is_alone)
        if not is_durable:
            self._refuse_if_ended()

    @property
    def boot(self) -> str:
        """Which start of the machine this is; empty if the system does not say."""
        return self._disk.boot

    @property
    def count(self) -> int:
        """How many records there are."""
        return self._count

    @property
    def synced(self) -> int:
        """How many of the records, from the first, are known to survive a loss of power."""
        return self._sync.synced

    async def reserve_space(self, size_bytes: int) -> None:
        """Make sure that an answer of *size_bytes* can be written, before it is asked and paid for.

        Call it before the intent of each attempt. The room of calls in flight, those whose intent has
        neither answer nor failure, is kept apart. Raises :exc:`~sunwell.errors.JournalError` if the
        disk is too full; the journal goes on taking records. If the system cannot allocate ahead,
        the free space is looked at instead.
        """
        self._refuse_if_ended()
        try:
            self._space.reserve(self._size, size_bytes)
        except OSError as error:
            doing = f"given room for an answer of {size_bytes:,} bytes"
            raise JournalError(sentence(self.path, doing, error)) from error

    def find(self, kind: type[R], key: Key) -> R | None:
        """Return the latest record of the class *kind* with *key*, or ``None``; read from the file."""
        of_kind = self._index.get(kind.kind)
        place = None if of_kind is None else of_kind.get(key)
        if place is None:
            return None
        offset, size = place >> _SIZE_BITS, place & _SIZE_MASK
        with as_journal_error(self.path, "read"):
            line = decode(self._disk.read(offset, size))
        if line is None:
            raise JournalError(f"the journal {self.path} was changed by somebody else while the run goes on")
        return cast(R, line.record)

    def has(self, kind: type[Record]) -> bool:
        """Whether there is a record of the class *kind* with a key; nothing is read."""
        return kind.kind in self._index

    def records(self) -> Iterator[Record]:
        """Yield the records that are there now, in order, from the file; memory does not grow."""
        end = self._size
        scan = Scan(lambda offset, size: self._disk.read(offset, min(size, end - offset)), str(self.path))
        with as_journal_error(self.path, "read"):
            for entry in scan if end else ():
                yield entry.line.record

    def close(self) -> None:
        """Make the rest durable and give up the file and its lock. Calling it twice is fine.

        Raises :exc:`~sunwell.errors.JournalError` if records that were not durable yet cannot be
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
                try:
                    self._space.give_back(self._size)
                except OSError as error:
                    raise JournalError(sentence(self.path, "closed", error)) from error
        finally:
            self._refusal = f"the journal {self.path} is closed"
            self._disk.close()

    def _write(self, record: Record) -> None:
        if not self._count:
            self._require_beginning(record)
        try:
            line = encode(record, self._count, self._sync.synced)
        except TypeError:  # its sentence may name a value of the record
            record = self.secrets.cleaned(record)
            line = encode(record, self._count, self._sync.synced)
        if self.secrets.may_be_in_json(line) and (clean := self.secrets.cleaned(record)) is not record:
            record, line = clean, encode(clean, self._count, self._sync.synced)
        if not self._count and self._key is not None:
            line = marked(line, self._key, self.path)
        size = len(line)
        if size > LONGEST_LINE_BYTES:
            raise JournalError(
                f"a record of {size:,} bytes is too long for the journal {self.path}, which takes "
                f"{LONGEST_LINE_BYTES:,}: ask for less at once"
            )
        try:
            self._disk.write(line + b"\n")
        except OSError as error:
            # A part of the line may be in the file. What followed would join it, and good records after a bad
            # line are damage, but a bad end alone is repaired.
            self._refusal = sentence(self.path, "written", error)
            raise JournalError(self._refusal) from error
        key = record.key
        if key is not None:
            self._index.setdefault(record.kind, {})[key] = self._size << _SIZE_BITS | size
        self._size += size + 1
        self._count += 1
        if type(record) in _OF_ATTEMPTS:
            self._space.note(cast(Intent | Answer | Failure, record))

    def _require_beginning(self, record: Record) -> None:
        if not (isinstance(record, RunOpened) and record.run_id == self.run_id):
            raise JournalError(f"the journal {self.path} begins with the record of run {self.run_id}")

    def _refuse_if_ended(self) -> None:
        failure = self._sync.failure
        if self._refusal is None and failure is not None:
            if not isinstance(failure, OSError):
                raise failure
            self._refusal = sentence(self.path, "made durable", failure)
        if self._refusal is not None:
            raise JournalError(self._refusal) from failure
