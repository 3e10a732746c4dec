"""A run that is followed: what its page shows by now, as versions with what changed between them."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

import attrs

from sunwell.core.threads import in_thread_to_the_end
from sunwell.errors import JournalError
from sunwell.journal.growing import GrowingJournal
from sunwell.journal.records import Record
from sunwell.report.page.page_data import PageData, Patch

_News = tuple[PageData, Patch]

SHARE = 0.2
"""Part of one core that reading and reducing may take, once the page was shown for the first time."""
_SLICE_SECONDS = 0.1
_SLICE_RECORDS = 64


class Reducer(Protocol):
    """Takes the records of a run in order, and gives what its page shows at any moment."""

    def take(self, record: Record) -> None: ...

    def data(self) -> PageData: ...


@attrs.define(eq=False)
class PageVersions:
    """The sections and entries of a page, each with the number of the version that changed it last.

    It remembers no earlier versions, and yet knows what changed since any of them.
    """

    version: int = 0
    """Number of the latest version; 0: there is none yet."""
    _pieces: dict[tuple[str, str | None], tuple[int, Any]] = attrs.field(factory=dict, init=False)
    """Values by section, and by key if it has entries; the latest change last. ``None``: it is gone."""

    def add(self, patch: Patch) -> None:
        """Count what *patch* changes as a new version, if it changes anything."""
        if not patch:
            return
        self.version += 1
        for section, value in patch.items():
            entries = value.items() if section in ENTRIES else [(None, value)]
            for key, piece in entries:
                self._pieces.pop((section, key), None)
                self._pieces[section, key] = (self.version, piece)

    def since(self, version: int) -> Patch:
        """Return what changed since *version*, with what is gone. If there is no such version, that is all.

        After that, what a reader has is right, whichever version it was.
        """
        least = version if 0 <= version <= self.version else 0
        patch: dict[str, Any] = {}
        for (section, key), (changed, piece) in reversed(self._pieces.items()):
            if changed <= least:
                break
            if key is None:
                patch[section] = piece
            else:
                patch.setdefault(section, {})[key] = piece
        # As they came: a reader adds new entries in this order.
        return {
            section: dict(reversed(value.items())) if section in ENTRIES else value
            for section, value in patch.items()
        }


ENTRIES = frozenset(
    field.name for field in attrs.fields(PageData) if str(field.type).startswith("collections.abc.Mapping")
)
"""Sections of :class:`~sunwell.report.page.page_data.PageData` of which a patch has entries."""


@attrs.define(eq=False)
class FollowedRun:
    """Reads the journal of a run while somebody asks for it, and keeps the versions of its page.

    Only what was added is read. That, and making the data of a new version, takes at most :data:`SHARE` of
    one core: after each step it rests as long as that needs. If nobody asks, nothing is read.
    """

    journal: GrowingJournal
    reducer: Callable[[], Reducer]
    """Makes a reducer for the records from the first on."""
    as_patch: Callable[[PageData | None, PageData], Patch]
    """Returns what changed from one state of a page, if there was one, to another."""
    least_rest_seconds: float = 0.2
    """How long it rests between two steps at least."""
    versions: PageVersions = attrs.field(factory=PageVersions, init=False)
    data: PageData | None = attrs.field(default=None, init=False)
    """The latest version."""
    trouble: str = attrs.field(default="", init=False)
    """Why the journal cannot be read on, in a sentence; empty: it can."""
    _reducer: Reducer | None = attrs.field(default=None, init=False)
    _step: "asyncio.Task[None] | None" = attrs.field(default=None, init=False)
    _rests_until: float = attrs.field(default=0.0, init=False)
    _slice_seconds: float = attrs.field(default=_SLICE_SECONDS, init=False)

    @classmethod
    def at(
        cls,
        path: Path,
        reducer: Callable[[], Reducer],
        as_patch: Callable[[PageData | None, PageData], Patch],
    ) -> "FollowedRun":
        """Return the run whose journal is at *path*, read to its present end.

        Raises :exc:`~sunwell.errors.JournalError` if it cannot be read.
        """
        followed = cls(GrowingJournal(path), reducer, as_patch)
        followed._count(followed._read(None))
        return followed

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

    async def _look(self) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(0.0, self._rests_until - loop.time()))
        found, used = await in_thread_to_the_end(self._reading)
        self._rests_until = loop.time() + max(self.least_rest_seconds, used / SHARE - used)
        if isinstance(found, JournalError):
            self.trouble = str(found)
        else:
            self.trouble = ""
            self._count(found)

    def _reading(self) -> tuple[_News | JournalError | None, float]:
        """Read on, and return what came of it and the seconds of a core that it took."""
        began = time.thread_time()
        try:
            found: _News | JournalError | None = self._read(self._slice_seconds)
        except JournalError as error:
            found = error
        return found, time.thread_time() - began

    def _read(self, most_seconds: float | None) -> _News | None:
        """Return what is new, as far as it can be read in *most_seconds*."""
        torn = self.journal.repair
        with closing(self.journal.added()) as added:
            is_changed = self._take(added, most_seconds)
        if self._reducer is None or not (is_changed or self.journal.repair != torn):
            return None
        began = time.thread_time()
        data = self._reducer.data()
        patch = self.as_patch(self.data, data)
        # As long again for reading: in a long run, most time would go into versions of few records each.
        self._slice_seconds = max(_SLICE_SECONDS, time.thread_time() - began)
        return data, patch

    def _count(self, news: _News | None) -> None:
        # On the event loop, where others read the versions: a step runs in a thread.
        if news is not None:
            self.data, patch = news
            self.versions.add(patch)

    def _take(self, added: "Iterator[Record | None]", most_seconds: float | None) -> bool:
        began, is_changed = time.thread_time(), False
        for number, record in enumerate(added, 1):
            is_changed = True
            if record is None or self._reducer is None:
                self._reducer = self.reducer()
            if record is not None:
                self._reducer.take(record)
            is_late = most_seconds is not None and time.thread_time() - began > most_seconds
            if number % _SLICE_RECORDS == 0 and is_late:
                break
        return is_changed
