"""How a worker's end is written down, read back, and told to another model."""

import time
from collections import Counter
from decimal import Decimal

import attrs

from sunwell.agent.run.run_context import Ending, Run
from sunwell.agent.workers.worker import Worker
from sunwell.core.markdown import fenced, one_line
from sunwell.core.message import FileChange, net_changes
from sunwell.core.task import CommandRun, Conflict, TaskResult
from sunwell.core.verdict import Verification
from sunwell.journal.records import WorkerClosed


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
    called = sum((work.calls.called for work in works), Counter[str]())
    return attrs.evolve(
        result,
        files=net_changes([change for work in works for change in work.calls.changes]),
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
        answer_by=result.answer_by,
        unresolved=result.unresolved,
        verification=result.verification,
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
    )


def reported(result: TaskResult) -> str:
    """Return *result* as another model reads it: the worker's words marked as a report, then what was seen.

    No text of the worker can close the fence that it stands in, nor pass for a receipt.
    """
    cost = _usd(result.bill.cost_usd)
    head = f"Worker {result.task_id}: {result.status} ({result.stop_reason}), {result.turns} turns, {cost}."
    lines = [head, f"Task: {one_line(result.task)[:300]}"]
    if result.error:
        lines.append(f"Error: {one_line(result.error)}")
    composed = result.answer_by == "harness"
    lines.append(
        "What there is of its work, put together by the harness:"
        if composed
        else "The worker reports (its own words, not verified):"
    )
    lines.append(fenced(result.answer or "(nothing)"))
    lines.append("Recorded by the harness itself:")
    lines += [f"- file {_changed(change)}" for change in result.files] or ["- no file was changed"]
    lines += [f"- {command_line(run)}" for run in result.commands]
    called = ", ".join(f"{name} {count}" for name, count in result.tools_called)
    lines.append(f"- tools called: {called or 'none'}")
    lines += [f"- conflict over {conflict.path}: {conflict.what}" for conflict in result.conflicts]
    lines += [f"- unresolved: {one_line(sentence)}" for sentence in result.unresolved]
    return "\n".join(lines)


def command_line(run: CommandRun) -> str:
    """Return one line on a command, for a model."""
    ended = "was killed at its time limit" if run.exit_code is None else f"exited with {run.exit_code}"
    return f"command {ended}: {one_line(run.command)}"


def _changed(change: FileChange) -> str:
    def short(sha256: str | None) -> str:
        return "nothing" if sha256 is None else sha256[:12]

    return f"{one_line(change.path)}: {short(change.before)} -> {short(change.after)}"


def _usd(amount: Decimal | None) -> str:
    return "cost unknown" if amount is None else f"${amount:.6f}"
