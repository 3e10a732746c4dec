"""Which files the conversation of a run rests on, and whether somebody else has changed them since."""

from collections.abc import Awaitable, Callable, Iterable

import attrs

from sunwell.core.message import FileRead, ToolResult
from sunwell.journal.records import (
    Continued,
    Forked,
    Key,
    Note,
    Record,
    RunResumed,
    ToolFinished,
    ToolStarted,
)

CONTEXT = "context"
"""Name of the note with what the smart model was shown of the workspace."""

SCOUTING = "scouting"
"""Name of the note with how far the smart model looks into the workspace before it writes a lens."""

Hashes = Callable[[tuple[str, ...]], Awaitable[tuple[str | None, ...]]]
"""Gives the SHA-256 of each file as it stands, ``None`` where there is none."""


@attrs.define(eq=False)
class FilesSeen:
    """Follows the files that a run has read or changed, as its records tell of them.

    A file may stand as the run last read it, or as the run itself left it.
    """

    hashes: Hashes | None = None
    """``None``: nobody can look, so nothing is ever found changed."""
    _expected: dict[str, set[str | None]] = attrs.field(factory=dict, init=False)
    _changed: set[str] = attrs.field(factory=set, init=False)
    _open: dict[Key, ToolStarted] = attrs.field(factory=dict, init=False)

    def see(self, record: Record) -> None:
        """Take note of *record*; records come in order."""
        match record:
            case ToolStarted():
                self._open[record.key] = record
            case ToolFinished():
                self._open.pop(record.key, None)
                self.take(record.result)
            case Note(name="context"):
                self._read(FileRead(path, sha256) for path, sha256 in record.value["reads"])
            case Continued():
                self._read(record.files)
            case RunResumed(accepted=True) | Forked(accepted=True):
                self._expected.clear()
                self._changed.clear()

    def take(self, result: ToolResult) -> None:
        """Take note of the result of a call that has just been made."""
        self._read(result.reads)
        for change in result.changes:
            known = self._expected.get(change.path, set()) if change.path in self._changed else set()
            self._expected[change.path] = known | {change.after}
            self._changed.add(change.path)

    def expect_as_before(self, result: ToolResult) -> None:
        """Expect files that are not known yet as they were before the call that gave *result*."""
        for change in result.changes:
            self._expected.setdefault(change.path, {change.before})

    async def look_again(self) -> tuple[FileRead, ...]:
        """Return how all known files stand after a call that may have changed any of them."""
        if self.hashes is None or not self._expected:
            return ()
        paths = tuple(self._expected)
        return tuple(map(FileRead, paths, await self.hashes(paths)))

    async def changed_since(self) -> tuple[str, ...]:
        """Return the files that are neither as the run read them nor as it left them.

        What a call was about to change when the run ended is left out: that call decides it. Where a
        call was under way whose changes nobody knows, nothing can be told, and nothing is returned.
        """
        if self.hashes is None or any(_is_opaque(started) for started in self._open.values()):
            return ()
        undecided = {change.path for started in self._open.values() for change in started.changes}
        paths = tuple(path for path in self._expected if path not in undecided)
        now = await self.hashes(paths)
        found = zip(paths, now, strict=True)
        return tuple(path for path, sha256 in found if sha256 not in self._expected[path])

    def _read(self, reads: Iterable[FileRead]) -> None:
        for read in reads:
            # Beside a worker that reads, another may have written: both states are the run's own.
            known = self._expected.get(read.path, set()) if read.path in self._changed else set()
            self._expected[read.path] = known | {read.sha256}


def _is_opaque(started: ToolStarted) -> bool:
    return not started.repeatable and not started.changes
