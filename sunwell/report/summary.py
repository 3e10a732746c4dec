"""What a run did and cost as one object of JSON values. Amounts are text with every digit."""

from typing import Any, Literal

import attrs

from sunwell.core.lens import EphemeralLens
from sunwell.core.message import FileChange
from sunwell.core.task import ModelBill, TaskResult, Total
from sunwell.models.prices import PriceBook
from sunwell.report.comparison import Comparison, compare_with_smart_model
from sunwell.report.figures import exact
from sunwell.report.forecast import Forecast, quote_object


def summarize(
    result: TaskResult, *, prices: PriceBook | None = None, forecast: Forecast | None = None
) -> dict[str, Any]:
    """Return *result* as JSON values: how it ended, the bill in all and in its parts, what was compared.

    An unknown amount is ``None``, never 0. ``smart_alone`` is ``None`` where nothing was delegated,
    ``quote`` where no *forecast* is given. The sums of the parts are the whole.
    """
    bill, decision = result.bill, result.decision
    comparison = compare_with_smart_model(result, prices)
    return {
        "status": result.status,
        "stop_reason": result.stop_reason,
        "answer": result.answer,
        "error": result.error or None,
        "task": result.task,
        "files": [_file(change) for change in result.files],
        "run_id": result.run_id,
        "journal": result.journal,
        "turns": result.turns,
        "duration_seconds": round(result.duration_seconds, 3),
        "tools_called": dict(result.tools_called),
        "usage": _usage(sum((line.total for line in bill.lines), Total())),
        "cost_usd": exact(bill.cost_usd),
        "uncertain_usd": exact(bill.uncertain_usd),
        "price_date": bill.price_date or None,
        "by_model": [
            {"model": model.model, "provider": model.provider, **_total(model_total(model))}
            for model in bill.models
        ],
        "by_provider": _parts(result, "provider"),
        "by_depth": _parts(result, "depth"),
        "by_purpose": _parts(result, "purpose"),
        "delegation": {
            "decision": None if decision is None else attrs.asdict(decision),
            "reason": None if decision is None else decision.reason,
            "lens": _lens(result.lens),
        },
        "smart_alone": _comparison(comparison),
        "quote": quote_object(forecast, bill.cost_usd) if forecast else None,
    }


def _file(change: FileChange) -> dict[str, Any]:
    kind = "made" if change.before is None else "removed" if change.after is None else "changed"
    return {"path": change.path, "change": kind, "before": change.before, "after": change.after}


def model_total(model: ModelBill) -> Total:
    """Return what all calls of one model came to."""
    return Total(
        model.calls,
        model.usage,
        model.cost_usd,
        model.uncertain_calls,
        model.uncertain_tokens,
        model.uncertain_usd,
    )


def _usage(total: Total) -> dict[str, int]:
    return {**attrs.asdict(total.usage), "total_tokens": total.usage.total_tokens}


def _total(total: Total) -> dict[str, Any]:
    return {
        "calls": total.calls,
        "usage": _usage(total),
        "cost_usd": exact(total.cost_usd),
        "uncertain_calls": total.uncertain_calls,
        "uncertain_tokens": total.uncertain_tokens,
        "uncertain_usd": exact(total.uncertain_usd),
    }


def _parts(result: TaskResult, by: Literal["provider", "depth", "purpose"]) -> list[dict[str, Any]]:
    return [{by: name, **_total(total)} for name, total in result.bill.split(by)]


def _lens(lens: EphemeralLens | None) -> dict[str, Any] | None:
    if lens is None:
        return None
    fields = attrs.asdict(lens)
    del fields["generation_prompt"]  # stands in the journal; here it would bury the rest
    return {name: list(value) if isinstance(value, tuple) else value for name, value in fields.items()}


def _comparison(comparison: Comparison | None) -> dict[str, Any] | None:
    if comparison is None:
        return None
    share = comparison.saved_share
    return {
        "is_estimate": True,
        "model": comparison.smart_model,
        "estimated_usd": exact(comparison.estimated_usd),
        "actual_usd": exact(comparison.actual_usd),
        "saved_usd": exact(comparison.saved_usd),
        "saved_percent": None if share is None else round(float(share * 100), 1),
        "basis": comparison.basis,
    }
