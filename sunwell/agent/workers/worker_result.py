"""How a worker's end is written down, read back, and told to another model."""

import time
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal

import attrs

from sunwell.agent.run.run_context import Ending, Run
from sunwell.agent.workers.receipt_lines import error_lines, receipt_lines
from sunwell.agent.workers.worker import Worker
from sunwell.core.markdown import fenced, shortened
from sunwell.core.message import FileChange, net_changes
from sunwell.core.task import Conflict, TaskResult
from sunwell.core.verdict import Verification, verification_fields
from sunwell.journal.records import WorkerClosed
from sunwell.tools.short_diff import short_diffs

_SHOWN_TASK = 150
"""Characters of a task in a report: whoever reads it has written the task, and knows it by its id."""


def result_of(
    run: Run,
    worker: Worker,
    ended: Ending,
    verification: Verification | None,
    seconds: float,
    conflicts: tuple[Conflict, ...] = (),
) -> TaskResult:
    """Return the result of *worker*, with what the harness saw of its work."""
    path = run.journal.path
    result = TaskResult(
        task=worker.task.text,
        status=ended.status,
        stop_reason=ended.stop_reason,
        answer=ended.answer,
        answer_by=ended.answer_by,
        error=ended.error,
        bill=run.tally.bill(worker.span.path),
        duration_seconds=seconds,
        run_id=run.journal.run_id,
        journal=str(path) if path else None,
        task_id=worker.id,
        span=worker.span.path,
        conflicts=conflicts,
        unresolved=ended.unresolved,
        verification=verification,
    )
    works = worker.works
    files = net_changes([change for work in works for change in work.calls.changes])
    called = sum((work.calls.called for work in works), Counter[str]())
    return attrs.evolve(
        result,
        files=files,
        diff=_diff(run, files) if worker.origin is not None else "",
        tools_called=tuple(sorted(called.items())),
        commands=tuple(command for work in works for command in work.calls.commands),
        turns=sum(work.turns for work in works),
    )


def closed(worker: Worker, result: TaskResult, result_tokens: int | None) -> WorkerClosed:
    """Return the record of *result*."""
    return WorkerClosed(
        span=worker.span.path,
        depth=worker.span.depth,
        query=worker.task.text,
        status=result.status,
        stop_reason=result.stop_reason,
        answer=result.answer,
        error=result.error,
        turns=result.turns,
        tokens_used=result.bill.usage.total_tokens,
        cost=result.bill.cost_usd,
        duration_ms=round(result.duration_seconds * 1000),
        tools_called=tuple(name for name, count in result.tools_called for _ in range(count)),
        result_tokens=result_tokens,
        files=result.files,
        commands=result.commands,
        conflicts=result.conflicts,
        at=time.time(),
        parent_turn=worker.origin.turn if worker.origin else None,
        context_query=None if worker.terms.looks_up is None else worker.terms.looks_up.query,
        answer_by=result.answer_by,
        unresolved=result.unresolved,
        verification=result.verification,
        diff=result.diff,
    )


def recorded_result(run: Run, worker: Worker) -> TaskResult | None:
    """Return the result that an earlier process wrote down, where it still counts.

    What was cancelled or failed is taken up again, and so is what a limit ended once the run's
    ceilings were named anew; but not where the parent was told of it, or where nobody may be asked.
    """
    record = run.journal.find(WorkerClosed, (worker.span.path,))
    stands = run.gateway.recorded_only or (worker.origin is not None and worker.origin.is_told)
    if record is None or (record.status in ("cancelled", "error") and not stands):
        return None
    if record.status == "incomplete" and not run.gateway.heed_refusals and not stands:
        return None
    if record.query != worker.task.text:
        return None
    path = run.journal.path
    return TaskResult(
        task=record.query,
        status=record.status,
        stop_reason=record.stop_reason,
        answer=record.answer,
        answer_by=record.answer_by,
        error=record.error,
        files=record.files,
        tools_called=tuple(sorted(Counter(record.tools_called).items())),
        turns=record.turns,
        bill=run.tally.bill(worker.span.path),
        duration_seconds=record.duration_ms / 1000,
        run_id=run.journal.run_id,
        journal=str(path) if path else None,
        task_id=worker.id,
        span=worker.span.path,
        commands=record.commands,
        conflicts=record.conflicts,
        unresolved=record.unresolved,
        verification=record.verification,
        diff=record.diff,
    )


def reported(result: TaskResult) -> str:
    """Return *result* as another model reads it: the worker's words marked as a report, then what was seen.

    No text of the worker, of a file or of a provider can close the fence that it stands in, nor pass for a
    receipt.
    """
    cost = _usd(result.bill.cost_usd)
    head = f"Worker {result.task_id}: {result.status} ({result.stop_reason}), {result.turns} turns, {cost}."
    lines = [head, f"Task: {shortened(result.task, _SHOWN_TASK)}"]
    lines += error_lines(result.error)
    composed = result.answer_by == "harness"
    lines.append(
        "What there is of its work, put together by the harness:"
        if composed
        else "The worker reports (its own words, not verified):"
    )
    lines.append(fenced(result.answer or "(nothing)"))
    lines += receipt_lines(
        result.receipts,
        diff=result.diff,
        conflicts=[attrs.asdict(conflict) for conflict in result.conflicts],
        verification=verification_fields(result.verification),
        unresolved=result.unresolved,
    )
    return "\n".join(lines)


def _diff(run: Run, files: Sequence[FileChange]) -> str:
    """Return what changed in *files*. It is recorded with the worker's end, since they may change later."""
    terms = run.ladder_terms
    if terms.workspace is None or not files:
        return ""
    folder = None if terms.originals is None else terms.originals.folder
    return short_diffs(files, terms.workspace, folder, terms.secrets.redact)


def _usd(amount: Decimal | None) -> str:
    return "cost unknown" if amount is None else f"${amount:.6f}"
