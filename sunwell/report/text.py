"""The summary of a run as lines for people: what was done, what it cost, and what that is beside."""

from collections.abc import Iterator
from typing import Literal

from sunwell.core.task import Bill, TaskResult, Total
from sunwell.models.prices import PriceBook
from sunwell.report.comparison import Comparison, compare_with_smart_model
from sunwell.report.figures import dollars, one_line, seconds_text
from sunwell.report.forecast import Forecast
from sunwell.report.summary import model_total
from sunwell.tools.wording import on_one_line

_PARTS: tuple[Literal["provider", "depth", "purpose"], ...] = ("provider", "depth", "purpose")


def summary_text(
    result: TaskResult,
    *,
    prices: PriceBook | None = None,
    forecast: Forecast | None = None,
    width: int = 100,
) -> str:
    """Return how *result* ended, its files and its bill; no line is cut, only the bill keeps to *width*."""
    lines = [_ended(result), *_files(result), "", *bill_lines(result.bill, width)]
    if forecast is not None:
        lines += _quoted(result, forecast)
    is_over = result.status != "cancelled"
    lines += comparison_lines(compare_with_smart_model(result, prices), is_over=is_over)
    if result.journal:
        lines.append(f"journal  {on_one_line(str(result.journal))}")
    return "\n".join(lines)


def bill_lines(bill: Bill, width: int = 100) -> list[str]:
    """Return the bill by model, then in all; split by provider, depth and purpose where that says more."""
    if not bill.lines:
        return ["cost     $0: nothing was billed"]
    wide = max(len(line.model) for line in bill.models)
    lines = []
    for i, model in enumerate(bill.models):
        lines.append(_row("" if i else "bill", model.model, wide, model_total(model), width))
    whole: Total = sum((line.total for line in bill.lines), Total())
    if len(bill.models) > 1:
        lines.append(_row("", "in all", wide, whole, width))
    if bill.price_date:
        lines.append(f"{'':<8} prices of {bill.price_date}")
    for name in _PARTS:
        parts = bill.split(name)
        if len(parts) > 1:
            shown = ", ".join(f"{part} {dollars(total.cost_usd)}" for part, total in parts)
            lines.append(f"{f'by {name}':<11} {shown}")
    if whole.uncertain_calls:
        lines.append(_uncertain(whole))
    return lines


def comparison_lines(comparison: Comparison | None, *, is_over: bool = True) -> list[str]:
    """Return the comparison with the smart model alone; negative savings are shown as such.

    Of a run that is not over it is not yet said whether it pays: a lens is paid before the work.
    """
    if comparison is None:
        return []
    if not is_over:
        so_far = dollars(comparison.estimated_usd)
        return [f"beside   {comparison.smart_model} alone, estimated for what was done so far: {so_far}"]
    saved, share = comparison.saved_usd, comparison.saved_share
    estimated = dollars(comparison.estimated_usd)
    line = f"beside   {comparison.smart_model} alone, estimated: {estimated}"
    if saved is None or share is None:
        return [line + "; what was saved is unknown"]
    word = "saved" if share >= 0 else "lost by delegating"
    amount = dollars(abs(saved))
    return [
        f"{line}; {word} {amount} ({abs(share):.0%})",
        "         (the work's own tokens at its price; it was not run)",
    ]


def _ended(result: TaskResult) -> str:
    took = (
        f"{result.turns} {'turn' if result.turns == 1 else 'turns'}, {seconds_text(result.duration_seconds)}"
    )
    if result.status == "ok":
        return f"done     {took}"
    why = "" if result.stop_reason == result.status else f"{result.stop_reason}, "
    return f"{result.status:<8} {why}after {took}: {one_line(result.error, 300)}"


def _files(result: TaskResult) -> Iterator[str]:
    for i, change in enumerate(result.files):
        verb = "made" if change.before is None else "removed" if change.after is None else "changed"
        yield f"{'files' if i == 0 else '':<8} {verb:<8} {one_line(change.path, 200)}"


def _row(title: str, name: str, wide: int, total: Total, width: int) -> str:
    calls = f"{total.calls:>3} {'call' if total.calls == 1 else 'calls'}"
    usage = total.usage
    tokens = f"{usage.input_tokens:>9,} in {usage.output_tokens:>8,} out"
    cached = f"{usage.cache_read_tokens:>9,} cached" if width >= 90 else ""
    return f"{title:<8} {name:<{wide}} {calls:<9} {tokens} {cached}  {dollars(total.cost_usd):>10}"


def _uncertain(whole: Total) -> str:
    many = "1 call" if whole.uncertain_calls == 1 else f"{whole.uncertain_calls} calls"
    return f"perhaps  up to {dollars(whole.uncertain_usd)} more for {many} whose usage never came"


def _quoted(result: TaskResult, forecast: Forecast) -> Iterator[str]:
    side = forecast.chosen
    yield (
        f"quoted   {dollars(side.expected_usd)} expected, {dollars(side.low_usd)} at the low end; "
        f"became {dollars(result.bill.cost_usd)}"
    )
