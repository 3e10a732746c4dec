"""The workers of a run as JSON values: one schema for a result, for a trace and for an exported journal."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any, Self

import attrs

from sunwell.core.message import FileChange
from sunwell.core.model import Usage
from sunwell.core.task import CommandRun, Conflict, TaskResult
from sunwell.core.verdict import Verification, verification_fields
from sunwell.journal.exports import export_json
from sunwell.journal.records import (
    Note,
    Record,
    RunClosed,
    ToolFinished,
    ToolStarted,
    WorkerClosed,
    WorkerOpened,
)
from sunwell.journal.tree import Node, tree
from sunwell.memory.scratchpad import IDS_NOTE, TaskIds
from sunwell.report.figures import exact, one_line

_TASK_CHARACTERS = 200
_STARTED_BY_A_CALL = re.compile(r"task-\d+-\d+-\d+")
_DIGITS = re.compile(r"(\d+)")
_ROOT = "run/"


@attrs.frozen(kw_only=True)
class WorkerEntry:
    """One worker, as its result or the journal tells of it. Figures include those of its own workers."""

    id: str
    span: str
    """Its place in the run's tree."""
    task: str
    status: str
    """As in a result, or ``open`` if it has begun and not ended."""
    stop_reason: str | None
    usage: Usage
    cost_usd: Decimal | None
    error: str = ""
    answer: str = ""
    answer_by: str = "model"
    turns: int = 0
    milliseconds: int | None = None
    tools_called: tuple[tuple[str, int], ...] = ()
    files: tuple[FileChange, ...] = ()
    commands: tuple[CommandRun, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    unresolved: tuple[str, ...] = ()
    verification: Verification | None = None

    @classmethod
    def of_result(cls, result: TaskResult) -> Self:
        """Return the entry of a worker's *result*."""
        return cls(
            id=result.task_id,
            span=result.span or f"{_ROOT}{result.task_id}",
            task=result.task,
            status=result.status,
            stop_reason=result.stop_reason,
            usage=result.bill.usage,
            cost_usd=result.bill.cost_usd,
            error=result.error,
            answer=result.answer,
            answer_by=result.answer_by,
            turns=result.turns,
            milliseconds=round(result.duration_seconds * 1000),
            tools_called=result.tools_called,
            files=result.files,
            commands=result.commands,
            conflicts=result.conflicts,
            unresolved=result.unresolved,
            verification=result.verification,
        )

    @classmethod
    def of_record(cls, task_id: str, record: WorkerOpened | WorkerClosed, node: Node) -> Self:
        """Return the entry of the worker that *record* tells of; *node* is its place in the tree."""
        begun = cls(
            id=task_id,
            span=record.span,
            task=record.query,
            status="open",
            stop_reason=None,
            usage=node.total_usage,
            cost_usd=node.total_cost_usd,
        )
        if isinstance(record, WorkerOpened):
            return begun
        return attrs.evolve(
            begun,
            status=record.status,
            stop_reason=record.stop_reason,
            error=record.error,
            answer=record.answer,
            answer_by=record.answer_by,
            turns=record.turns,
            milliseconds=record.duration_ms,
            tools_called=tuple(sorted(Counter(record.tools_called).items())),
            files=record.files,
            commands=record.commands,
            conflicts=record.conflicts,
            unresolved=record.unresolved,
            verification=record.verification,
        )


def workers_of_result(result: TaskResult, *, with_texts: bool = False) -> dict[str, Any]:
    """Return what *result* says of its workers, and the confidence, conflicts and unresolved of the run."""
    entries = [WorkerEntry.of_result(worker) for worker in result.workers]
    return _object(entries, result.confidence, result.unresolved, with_texts=with_texts)


def workers_of_records(
    records: Sequence[Record], root: Node | None = None, *, with_texts: bool = False
) -> dict[str, Any]:
    """Return the same of the run that *records* tell of, also if it has not ended; *root* is its tree."""
    return _of_records(records, root or tree(records), with_texts=with_texts)


def exported(records: Iterable[Record], *, with_texts: bool = False) -> str:
    """Return the run that *records* tell of as JSON: its workers as in ``--json``, and its whole tree."""
    given = list(records)
    root = tree(given)
    return export_json(root, _of_records(given, root, with_texts=with_texts))


def _of_records(records: Sequence[Record], root: Node, *, with_texts: bool) -> dict[str, Any]:
    nodes = {node.span: node for node in root.walk() if node.type == "sub_completion"}
    found: dict[str, WorkerOpened | WorkerClosed] = {}
    ids: TaskIds | None = None
    ended: RunClosed | None = None
    for record in records:
        match record:
            case WorkerOpened() | WorkerClosed():  # one that is taken up again is opened again
                found[record.span] = record
            case Note() if record.name == IDS_NOTE:
                ids = TaskIds.from_json(record.value)
            case RunClosed():
                ended = record
    entries = [
        WorkerEntry.of_record(worker_id(span, ids), record, nodes[span])
        for span, record in found.items()
        if span in nodes
    ]
    said = (f"{one.id}: {sentence}" for one in entries for sentence in one.unresolved)
    unresolved = tuple(said) if ended is None else ended.unresolved
    return _object(entries, _confidence(records), unresolved, with_texts=with_texts)


def worker_id(span: str, ids: TaskIds | None) -> str:
    """Return how conflicts and reports call the worker at *span*; *ids* makes the ids of those that models
    started."""
    name = span.rpartition("/")[2]
    if ids is not None and _STARTED_BY_A_CALL.fullmatch(name):
        return ids.of(span)
    return span.removeprefix(_ROOT)


def _confidence(records: Sequence[Record]) -> float | None:
    """Return the confidence of the last answer that was set; an argument that was refused does not count."""
    called: dict[tuple[str, int, int], Any] = {}
    confidence: float | None = None
    for record in records:
        if isinstance(record, ToolStarted) and record.call.name == "set_answer":
            called[record.span, record.turn, record.index] = _arguments(record.call.arguments)
        elif isinstance(record, ToolFinished) and record.tool == "set_answer" and not record.result.is_error:
            given = called.get((record.span, record.turn, record.index), {}).get("confidence")
            confidence = float(given) if isinstance(given, int | float) else None
    return confidence


def _arguments(text: str) -> dict[str, Any]:
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return read if isinstance(read, dict) else {}


def _object(
    entries: Sequence[WorkerEntry],
    confidence: float | None,
    unresolved: Sequence[str],
    *,
    with_texts: bool,
) -> dict[str, Any]:
    ordered = sorted(entries, key=lambda entry: _natural(entry.span))
    ids = {entry.span: entry.id for entry in ordered}
    conflicts = list(dict.fromkeys(conflict for entry in ordered for conflict in entry.conflicts))
    return {
        "workers": [_worker(entry, ids, conflicts, with_texts=with_texts) for entry in ordered],
        "confidence": confidence,
        "conflicts": [attrs.asdict(conflict) for conflict in conflicts],
        "unresolved": list(unresolved),
    }


def _worker(
    entry: WorkerEntry, ids: dict[str, str], conflicts: Sequence[Conflict], *, with_texts: bool
) -> dict[str, Any]:
    return {
        "id": entry.id,
        "parent": _parent(entry.span, ids),
        "task": one_line(entry.task, _TASK_CHARACTERS),
        "status": entry.status,
        "stop_reason": entry.stop_reason,
        "error": entry.error or None,
        "answer_by": entry.answer_by,
        "turns": entry.turns,
        "duration_seconds": None if entry.milliseconds is None else entry.milliseconds / 1000,
        "usage": usage_object(entry.usage),
        "cost_usd": exact(entry.cost_usd),
        "tools_called": dict(entry.tools_called),
        "files": [file_object(change) for change in entry.files],
        "commands": [command_object(command) for command in entry.commands],
        # The first of two may have ended before the second one found its changes.
        "conflicts": [attrs.asdict(one) for one in conflicts if entry.id in (one.first, one.second)],
        "unresolved": list(entry.unresolved),
        "verification": verification_fields(entry.verification),
        "texts": {"task": entry.task, "report": entry.answer} if with_texts else None,
    }


def file_object(change: FileChange) -> dict[str, Any]:
    """Return *change* as JSON values."""
    return {"path": change.path, "change": change.kind, "before": change.before, "after": change.after}


def command_object(command: CommandRun) -> dict[str, Any]:
    """Return *command* as JSON values; a time that is not recorded is ``None``."""
    seconds = command.duration_seconds
    lasted = None if seconds is None else round(seconds, 3)
    return {"command": command.command, "exit_code": command.exit_code, "duration_seconds": lasted}


def usage_object(usage: Usage) -> dict[str, int]:
    """Return *usage* as JSON values, with its total."""
    return {**attrs.asdict(usage), "total_tokens": usage.total_tokens}


def _parent(span: str, ids: dict[str, str]) -> str | None:
    """Return the id of the worker that started the one at *span*; ``None``: the run itself did."""
    above = span.rpartition("/")[0]
    while above and above not in ids:
        above = above.rpartition("/")[0]
    return ids.get(above)


def _natural(span: str) -> list[tuple[tuple[int, str], ...]]:
    """Return a key by which ``task-10`` comes after ``task-9``, and a worker before those that it starts."""
    return [
        tuple((int(part), "") if part.isdecimal() else (-1, part) for part in _DIGITS.split(name))
        for name in span.split("/")
    ]
