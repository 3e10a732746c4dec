"""The scratchpad: results of a run's workers, kept for the model that requested them."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, Self

import attrs

from sunwell.core.message import FileChange, digest_of
from sunwell.core.task import CommandRun, Receipts, TaskResult
from sunwell.core.verdict import verification_fields
from sunwell.journal.places import Journals
from sunwell.journal.records import Note, Record, RunOpened, WorkerClosed

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_DIGEST_BITS = 80


@attrs.frozen
class TaskIds:
    """Computes a ULID from a worker's place in a run.

    The first 48 bits are the time at which the run started its first workers, the other 80 a digest of
    the run's id and the worker's span. Time and id are recorded once; this is enough to compute the same
    ids again, so no id is random.
    """

    run_id: str
    milliseconds: int
    """Since 1970 in UTC."""

    def of(self, span_path: str) -> str:
        """Return the id of the worker at *span_path*: 26 characters of Crockford's base 32."""
        low = int.from_bytes(digest_of("worker", self.run_id, span_path)[: _DIGEST_BITS // 8], "big")
        number = (self.milliseconds % 2**48) << _DIGEST_BITS | low
        return "".join(_ALPHABET[number >> shift & 31] for shift in range(125, -1, -5))

    def as_json(self) -> dict[str, Any]:
        """Return JSON values for :meth:`from_json`."""
        return {"run": self.run_id, "milliseconds": self.milliseconds}

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Return the object that :meth:`as_json` described."""
        return cls(str(value["run"]), int(value["milliseconds"]))


IDS_NOTE = "task-ids"
"""Name of the note at the root of a run that holds the data for its workers' ids."""
ENTRY_NOTE = "scratchpad:"
"""Prefix of the name of a note that holds an entry; the entry's key follows."""
PAGE_CHARACTERS = 12_000
EntryType = Literal["analysis", "decision"]
"""``analysis``: a worker's report; ``decision``: a decision of the model that requested the work."""


@attrs.frozen
class ScratchpadEntry:
    """One finding or decision. Its text is only a claim; ``receipts`` is the evidence."""

    key: str
    type: EntryType
    summary: str
    """One line for people."""
    raw: Mapping[str, Any] = attrs.field(factory=dict)
    """The complete result as JSON values; ``output`` is the full text."""
    receipts: Receipts = Receipts()
    run_id: str = ""
    """Id of the run that wrote it."""

    @property
    def text(self) -> str:
        """The full text."""
        return str(self.raw.get("output", ""))

    def page(self, number: int) -> str:
        """Return page *number* of the text, from 1; all pages together are exactly the text."""
        return self.text[(number - 1) * PAGE_CHARACTERS : number * PAGE_CHARACTERS]

    def between(self, first: int, last: int) -> tuple[str, int]:
        """Return the text from character *first* on, to *last* or the end of a page, and where it ends.

        It has at least half a page if there is so much, so that it is worth asking for.
        """
        end = (first // PAGE_CHARACTERS + 1) * PAGE_CHARACTERS
        end += PAGE_CHARACTERS if end - first < PAGE_CHARACTERS // 2 else 0
        end = min(end, last)
        return self.text[first:end], end

    def page_of(self, character: int) -> int:
        """Return the number of the page that has *character*, counted from 0."""
        return character // PAGE_CHARACTERS + 1

    @property
    def pages(self) -> int:
        """Number of pages of the text, at least 1."""
        return max(1, -(-len(self.text) // PAGE_CHARACTERS))

    @classmethod
    def of_worker(cls, record: WorkerClosed, task_id: str, run_id: str) -> Self:
        """Return the entry of a worker that has ended, successfully or not."""
        called = {name: record.tools_called.count(name) for name in sorted(set(record.tools_called))}
        ended = TaskResult(record.query, record.status, record.stop_reason, record.answer, record.error)
        raw = {
            "task_id": task_id,
            "task": record.query,
            "done": True,
            "success": ended.success,
            "status": record.status,
            "stop_reason": record.stop_reason,
            "summary": ended.summary,
            "output": record.answer,
            "error": record.error,
            "turns": record.turns,
            "duration_seconds": record.duration_ms / 1000,
            "tool_calls": len(record.tools_called),
            "tokens_used": record.tokens_used,
            "cost_usd": None if record.cost is None else str(record.cost),
            "unresolved": list(record.unresolved),
            "diff": record.diff,
            "conflicts": [attrs.asdict(conflict) for conflict in record.conflicts],
            "verification": verification_fields(record.verification),
        }
        receipts = Receipts(record.files, record.commands, tuple(called.items()))
        return cls(f"task:{task_id}", "analysis", ended.summary, raw, receipts, run_id)

    def as_json(self) -> dict[str, Any]:
        """Return JSON values for :meth:`from_json`."""
        return {
            "key": self.key,
            "type": self.type,
            "summary": self.summary,
            "raw": dict(self.raw),
            "files": [attrs.asdict(change) for change in self.receipts.files],
            "commands": [attrs.asdict(command) for command in self.receipts.commands],
            "tools_called": dict(self.receipts.tools_called),
            "run_id": self.run_id,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return the object that :meth:`as_json` described."""
        receipts = Receipts(
            tuple(FileChange(**change) for change in value["files"]),
            tuple(CommandRun(**command) for command in value["commands"]),
            tuple(value["tools_called"].items()),
        )
        return cls(value["key"], value["type"], value["summary"], value["raw"], receipts, value["run_id"])


@attrs.define(eq=False)
class Scratchpad:
    """Entries by key, in the order of creation.

    If there are more than ``max_entries``, the oldest is removed: first of those from earlier runs, then
    of the decisions, then of all. The journal keeps all of them.
    """

    run_id: str
    max_entries: int = attrs.field(default=1000, validator=attrs.validators.ge(1))
    _entries: dict[str, ScratchpadEntry] = attrs.field(factory=dict, init=False)

    def put(self, entry: ScratchpadEntry) -> None:
        """Add *entry*; it replaces an earlier one with the same key."""
        self._entries.pop(entry.key, None)
        self._entries[entry.key] = entry
        while len(self._entries) > self.max_entries:
            del self._entries[self._first_to_go(entry)]

    def get(self, key: str) -> ScratchpadEntry | None:
        """Return the entry with *key*; ``None`` if there is none."""
        return self._entries.get(key)

    def entries(self) -> tuple[ScratchpadEntry, ...]:
        """Return all entries, the oldest first."""
        return tuple(self._entries.values())

    def __len__(self) -> int:
        return len(self._entries)

    def _first_to_go(self, new: ScratchpadEntry) -> str:
        old = [entry for entry in self._entries.values() if entry is not new]
        earlier = [entry for entry in old if entry.run_id != self.run_id]
        decisions = [entry for entry in old if entry.type == "decision"]
        return (earlier or decisions or old or [new])[0].key


def entries_of(records: Iterable[Record]) -> tuple[ScratchpadEntry, ...]:
    """Return the scratchpad of a recorded run, from the records of its journal.

    It includes the entries that this run had read from earlier runs.
    """
    kept = tuple(records)
    run_id = next((record.run_id for record in kept if isinstance(record, RunOpened)), "")
    ids: TaskIds | None = None
    found: dict[str, ScratchpadEntry] = {}
    for record in kept:
        match record:
            case Note(name=name) if name == IDS_NOTE:
                ids = TaskIds.from_json(record.value)
            case Note(name=name) if name.startswith(ENTRY_NOTE):
                entry = ScratchpadEntry.from_json(record.value)
                found[entry.key] = entry
            case WorkerClosed():
                task_id = ids.of(record.span) if ids else record.span.removeprefix("run/")
                entry = ScratchpadEntry.of_worker(record, task_id, run_id)
                found[entry.key] = entry
    return tuple(found.values())


def left_by(journals: Journals, workspace: Path, run_ids: Iterable[str]) -> tuple[ScratchpadEntry, ...]:
    """Return the entries of the scratchpads of earlier runs of *workspace*, in the order of the given runs.

    Raises :exc:`~sunwell.errors.JournalError` if a run cannot be found or read.
    """
    return tuple(entry for run in run_ids for entry in entries_of(journals.read(workspace, run).records()))
