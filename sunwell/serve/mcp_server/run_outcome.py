"""What clients are told of a run, read from its journal: the same while it goes on, at its end and later."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import attrs

from sunwell.journal.records import RunClosed
from sunwell.journal.tree import Node
from sunwell.report.figures import exact, one_line
from sunwell.report.verdict_text import verdict_sentence
from sunwell.report.worker_entries import workers_of_records
from sunwell.serve.mcp_server.outcome_models import ChangedPath, ModelCost, RunOutcome, TaskOutcome
from sunwell.serve.mcp_server.result_bounds import run_within
from sunwell.serve.served_record import ServedRecord

_LONG_TASK = 200


@attrs.frozen
class RecordedOutcome:
    """A run as clients are told of it."""

    recorded: ServedRecord
    root: str
    warnings: Sequence[str] = ()
    error: str = ""
    """What went wrong besides what the journal says, such as that it could not be written."""

    def outcome(self) -> RunOutcome:
        """Return what clients are told, within :data:`~sunwell.serve.mcp_server.result_bounds.MOST_BYTES`."""
        recorded = self.recorded
        run_id, root, closed, status = recorded.run.run_id, recorded.tree, recorded.closed, recorded.status
        told = workers_of_records(recorded.records, root, with_texts=True)
        found = None if closed is None else closed.verification
        error = self.error or (closed.error if closed else "")
        return run_within(
            RunOutcome(
                run_id=run_id,
                root=self.root,
                status="error" if self.error else status,
                stop_reason=closed.stop_reason if closed else None,
                answer=closed.answer if closed else "",
                answer_is_cut=False,
                error=error or None,
                next=_next(status, closed, f'run_id "{run_id}" and root "{self.root}"'),
                cap_usd=exact(recorded.cap_usd),
                cost_usd=exact(root.total_cost_usd),
                uncertain_usd=exact(root.total_uncertain_usd),
                input_tokens=root.total_usage.input_tokens,
                output_tokens=root.total_usage.output_tokens,
                by_model=_by_model(root),
                files=[ChangedPath(path=one.path, change=one.kind) for one in recorded.changes],
                files_left_out=0,
                verified=None if found is None else found.passed,
                verdict=None if found is None else verdict_sentence(found, root.total_cost_usd),
                unresolved=list(told["unresolved"]) or list(closed.unresolved if closed else ()),
                tasks=[_task(one) for one in told["workers"]],
                tasks_left_out=0,
                warnings=list(self.warnings),
                more_at=[],
            )
        )


def _task(worker: dict[str, Any]) -> TaskOutcome:
    texts = worker["texts"] or {}
    return TaskOutcome(
        id=worker["id"],
        task=one_line(worker["task"], _LONG_TASK),
        status=worker["status"],
        answer=str(texts.get("report") or ""),
        error=worker["error"],
        cost_usd=worker["cost_usd"],
        files=[file["path"] for file in worker["files"]],
        files_left_out=0,
    )


def _by_model(root: Node) -> list[ModelCost]:
    calls: dict[str, list[Node]] = {}
    for node in root.walk():
        if node.type == "call" and node.usage is not None:
            calls.setdefault(node.model or "", []).append(node)
    found = []
    for model, nodes in sorted(calls.items()):
        costs = [node.cost_usd for node in nodes]
        known = [cost for cost in costs if cost is not None]
        found.append(
            ModelCost(
                model=model,
                calls=len(nodes),
                input_tokens=sum(node.usage.input_tokens for node in nodes if node.usage),
                output_tokens=sum(node.usage.output_tokens for node in nodes if node.usage),
                cost_usd=exact(sum(known, Decimal(0))) if len(known) == len(costs) else None,
            )
        )
    return found


def _next(status: str, closed: RunClosed | None, named: str) -> str:
    again = f"resume with {named}"
    match status:
        case "ok":
            return "Nothing is left to do. undo puts changed files back."
        case "running":
            return f"It goes on. Ask again later: report with {named}."
        case "open" | "cancelled":
            return f"It can go on: {again}. What was answered is not paid again."
    reason = closed.stop_reason if closed else ""
    if reason == "budget_usd":
        return (
            f"The cap was met. To go on, {again}, and a higher max_cost_usd. The server's own cap is one "
            "that only who started this server can raise."
        )
    if reason in ("refusal", "length", "window", "provider_stop"):
        return "Resuming gives the same end. Give another task."
    return f"It can be tried again: {again}. What was answered is not paid again."
