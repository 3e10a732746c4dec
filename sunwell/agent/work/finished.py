"""The result of a run that is over, from its record alone, where the code of today goes another way."""

from collections import Counter
from collections.abc import Iterable

import attrs

from sunwell.agent.work.calls import net_changes
from sunwell.core.message import FileChange
from sunwell.core.task import TaskResult
from sunwell.journal.records import Record, RunClosed, RunOpened, RunResumed, ToolFinished


def came_to_its_end(records: Iterable[Record]) -> bool:
    """Whether the run of *records* came to its proper end and was not taken up since."""
    last: Record | None = None
    for record in records:
        if isinstance(record, RunOpened | RunResumed | RunClosed):
            last = record
    return isinstance(last, RunClosed) and last.status == "ok"


def as_closed(result: TaskResult, records: Iterable[Record]) -> TaskResult:
    """Return *result* with the end, the files and the tools that *records* tell of; the bill stays.

    *records* hold the end of the run; a run that was taken up again has several, and the last counts.
    """
    called: Counter[str] = Counter()
    changes: list[FileChange] = []
    closed: RunClosed | None = None
    for record in records:
        if isinstance(record, ToolFinished):
            called[record.tool] += 1
            changes += record.result.changes
        elif isinstance(record, RunClosed):
            closed = record
    assert closed is not None
    return attrs.evolve(
        result,
        status=closed.status,
        stop_reason=closed.stop_reason,
        answer=closed.answer,
        error=closed.error,
        files=net_changes(changes),
        tools_called=tuple(sorted(called.items())),
        turns=closed.turns,
        duration_seconds=closed.duration_seconds,
    )
