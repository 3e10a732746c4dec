"""A run that is followed: what its page shows by now, as versions with what changed between them."""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar, get_origin

import attrs

from sunwell.core.threads import in_thread
from sunwell.errors import JournalError
from sunwell.journal.reading import GrowingJournal
from sunwell.journal.records import Record
from sunwell.report.page.page_data import PageData, Patch
from sunwell.report.page.page_json import page_json, patch
from sunwell.report.page.run_view import RunView

T = TypeVar("T")
_News = tuple[PageData, Patch]

SHARE = 0.2
"""Part of one core that reading and reducing may take, once the page was shown for the first time."""
_SLICE_SECONDS = 0.1
_SLICE_RECORDS = 64
_ENTRIES = frozenset(field.name for field in attrs.fields(PageData) if get_origin(field.type) is Mapping)
"""Sections of which a patch has entries."""


@attrs.define(eq=False)
class PageVersions:
    """The sections and entries of a page, each with the number of the version that changed it last.

    It remembers no earlier versions, and yet knows what changed since any of them.
    """

    version: int = 0
    """Number of the latest version; 0: there is none yet."""
    _pieces: dict[tuple[str, str | None], tuple[int, Any]] = attrs.field(factory=dict, init=False)
    """Values by section, and by key if it has entries; the latest change last. ``None``: it is gone."""

    def add(self, changes: Patch) -> None:
        """Count *changes* as a new version, if there are any."""
        if not changes:
            return
        self.version += 1
        for section, value in changes.items():
            entries = value.items() if section in _ENTRIES else [(None, value)]
            for key, piece in entries:
                self._pieces.pop((section, key), None)
                self._pieces[section, key] = (self.version, piece)

    def since(self, version: int) -> Patch:
        """Return what changed since *version*, with what is gone. If there is no such version, that is all.

        After that, what a reader has is right, whichever version it was.
        """
        least = version if 0 <= version <= self.version else 0
        found: dict[str, Any] = {}
        for (section, key), (changed, piece) in reversed(self._pieces.items()):
            if changed <= least:
                break
            if key is None:
                found[section] = piece
            else:
                found.setdefault(section, {})[key] = piece
        # As they came: a reader adds new entries in this order.
        return {
            section: dict(reversed(value.items())) if section in _ENTRIES else value
            for section, value in found.items()
        }


@attrs.define(eq=False)
class FollowedRun:
    """Reads the journal of a run while somebody asks for it, and keeps the versions of its page.

    Only what was added is read. That, and making the data of a new version, takes at most :data:`SHARE` of
    one core: after each step it rests as long as that needs. If nobody asks, nothing is read.
    """

    journal: GrowingJournal
    view: Callable[[], RunView]
    """Makes what takes the records from the first on."""
    least_rest_seconds: float = 0.2
    """How long it rests between two steps at least."""
    versions: PageVersions = attrs.field(factory=PageVersions, init=False)
    trouble: str = attrs.field(default="", init=False)
    """Why the journal cannot be read on, in a sentence; empty: it can."""
    _data: PageData | None = attrs.field(default=None, init=False)
    _taking: RunView | None = attrs.field(default=None, init=False)
    _working: asyncio.Lock = attrs.field(factory=asyncio.Lock, init=False)
    """Held by the one thread that works with the data: the reader goes on changing what they are made of."""
    _step: "asyncio.Task[None] | None" = attrs.field(default=None, init=False)
    _taken: int = attrs.field(default=0, init=False)
    """How many records were taken by now; those that do not count any more are among them."""
    _refusal: str = attrs.field(default="", init=False)
    """Why no further record can be taken; empty: any can."""
    _rests_until: float = attrs.field(default=0.0, init=False)
    _slice_seconds: float = attrs.field(default=_SLICE_SECONDS, init=False)

    @classmethod
    def at(cls, path: Path, view: Callable[[], RunView]) -> "FollowedRun":
        """Return the run whose journal is at *path*, read to its present end.

        Raises :exc:`~sunwell.errors.JournalError` if it cannot be read.
        """
        followed = cls(GrowingJournal(path), view)
        followed._count(followed._read(None))
        if followed.trouble:
            raise JournalError(followed.trouble)
        return followed

    async def whole(self, use: Callable[[PageData, int], T]) -> T:
        """Return what *use* makes, in a thread, of the data of the latest version and its number."""
        async with self._working:
            assert self._data is not None
            return await in_thread(use, self._data, self.versions.version)

    async def newer(self, version: int, longest_seconds: float) -> None:
        """Return when there is another version than *version*, at the latest after *longest_seconds*."""
        loop = asyncio.get_running_loop()
        end, before = loop.time() + longest_seconds, self.trouble
        while self.versions.version == version and self.trouble == before and (left := end - loop.time()) > 0:
            await self.look(left)

    async def look(self, longest_seconds: float) -> None:
        """Read on once, or wait for another one who does; return at the latest after *longest_seconds*."""
        if self._step is None or self._step.done():  # one step serves all who wait
            self._step = asyncio.get_running_loop().create_task(self._look())
        await asyncio.wait((self._step,), timeout=longest_seconds)
        if self._step.done():
            self._step.result()  # a bug must not be taken for a run in which nothing happens

    async def close(self) -> None:
        """Read no further; a reading that has begun is left to end by itself."""
        if self._step is not None:
            self._step.cancel()
            await asyncio.wait((self._step,))

    async def _look(self) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(0.0, self._rests_until - loop.time()))
        async with self._working:
            news, used = await in_thread(self._timed_reading)
            self._rests_until = loop.time() + max(self.least_rest_seconds, used / SHARE - used)
            self._count(news)

    def _timed_reading(self) -> tuple[_News | None, float]:
        """Read on, and return what is new and the seconds of a core that this took."""
        began = time.thread_time()
        return self._read(self._slice_seconds), time.thread_time() - began

    def _read(self, most_seconds: float | None) -> _News | None:
        """Return what is new, as far as it can be read in *most_seconds*."""
        torn, taken = self.journal.repair, self._taken
        try:
            with closing(self.journal.added()) as added:
                self._take(added, most_seconds)
        except JournalError as error:
            self.trouble = str(error)
        else:
            self.trouble = self._refusal
        if self._taking is None or (self._taken == taken and self.journal.repair == torn):
            return None
        self._taking.torn(self.journal.repair)
        began, before = time.thread_time(), self._data
        data = self._taking.data()
        changes = page_json(data) if before is None else patch(before, data)
        # As long again for reading: in a long run, most time would go into versions of few records each.
        self._slice_seconds = max(_SLICE_SECONDS, time.thread_time() - began)
        return data, changes

    def _count(self, news: _News | None) -> None:
        # On the event loop, where others read the versions: a step runs in a thread.
        if news is not None:
            self._data, changes = news
            self.versions.add(changes)

    def _take(self, added: "Iterator[Record | None]", most_seconds: float | None) -> None:
        began = time.thread_time()
        for record in added:
            self._taken += 1
            if record is None or self._taking is None:
                self._taking, self._refusal = self.view(), ""
            if record is not None and not self._refusal:
                self._take_record(self._taking, record)
            is_late = most_seconds is not None and time.thread_time() - began > most_seconds
            if self._taken % _SLICE_RECORDS == 0 and is_late:
                break

    def _take_record(self, taking: RunView, record: Record) -> None:
        try:
            taking.take(record)
        except (
            JournalError
        ) as error:  # what follows says nothing without it, until the journal is another one
            self._refusal = str(error)
