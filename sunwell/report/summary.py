"""Summary of a run as JSON and as text: what it did, what it cost, and what was quoted."""

import re
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Any, Literal

import attrs

from sunwell.core.lens import EphemeralLens, LensSource
from sunwell.core.task import Bill, BillLine, CommandRun, ModelBill, TaskResult, Total
from sunwell.core.verdict import lens_test_fields, verification_fields
from sunwell.models.prices import PriceBook
from sunwell.report.figures import (
    columns_of,
    command_end,
    dollars,
    exact,
    one_line,
    report_text,
    seconds_text,
    source_said,
)
from sunwell.report.forecast import lens_object, quote_object
from sunwell.report.lens_test_text import lens_test_lines
from sunwell.report.verdict_text import verdict_lines
from sunwell.report.worker_entries import command_object, file_object, usage_object, workers_of_result
from sunwell.tools.wording import counted, on_one_line

BASIS = (
    "an estimate, not a measurement: the tokens of the work, without lens calls, at the smart model's "
    "price in its lowest tier; the smart model alone might have used more tokens, or fewer"
)


@attrs.frozen
class Comparison:
    """The cost of a delegated run, compared with an estimate for the smart model alone."""

    smart_model: str
    actual_usd: Decimal | None
    """Cost of the run, including the lens; ``None`` if a price is unknown."""
    estimated_usd: Decimal | None
    """Cost of the work's own tokens at the smart model's price; ``None`` if it is unknown."""
    basis: str = BASIS

    @property
    def saved_usd(self) -> Decimal | None:
        """The difference in US dollars; negative if delegating cost more."""
        if self.estimated_usd is None or self.actual_usd is None:
            return None
        return self.estimated_usd - self.actual_usd

    @property
    def saved_share(self) -> Decimal | None:
        """The difference as a fraction of the estimate; negative if delegating cost more."""
        if self.saved_usd is None or not self.estimated_usd:
            return None
        return self.saved_usd / self.estimated_usd


def compare_with_smart_model(result: TaskResult, prices: PriceBook | None = None) -> Comparison | None:
    """Return the comparison for a delegated run; ``None`` for other runs.

    Calls that reported no usage are left out on both sides.
    """
    return compare_bill(result.bill, prices) if result.decision else None


def compare_bill(bill: Bill, prices: PriceBook | None = None) -> Comparison | None:
    """Return the comparison for the *bill* of a run that was delegated; ``None`` without a lens or work."""
    lens = [line for line in bill.lines if line.purpose == "lens"]
    work: Total = Total.of([line.total for line in bill.lines if line.purpose != "lens"])
    if not lens or not work.calls:
        return None
    smart = _answered(lens)
    price = (prices or PriceBook()).price_of(smart.model, smart.provider or None)
    estimated = None if price is None else price.rates.cost_usd(work.usage)
    return Comparison(smart.model, Total.of([line.total for line in bill.lines]).cost_usd, estimated)


def _answered(lines: list[BillLine]) -> BillLine:
    """Return the line of the model that wrote the lens: the one with the most answered calls."""
    return max(lines, key=lambda line: line.total.calls)


def summarize(
    result: TaskResult, *, prices: PriceBook | None = None, with_texts: bool = False
) -> dict[str, Any]:
    """Return *result* as JSON values: how it ended, the bill and its parts, the workers, the comparison.

    An unknown amount is ``None``, never 0. ``smart_alone`` is ``None`` if nothing was delegated,
    ``quote`` if nothing was decided and no model hands work out. Each set of parts adds up to the total.
    *with_texts*: the tasks and reports of the workers are given in full.
    """
    bill, decision = result.bill, result.decision
    comparison = compare_with_smart_model(result, prices)
    return {
        "status": result.status,
        "stop_reason": result.stop_reason,
        "answer": result.answer,
        "answer_by": result.answer_by,
        "error": result.error or None,
        "task": result.task,
        "files": [file_object(change) for change in result.files],
        "commands": [command_object(command) for command in result.commands],
        "sandbox": attrs.asdict(result.confinement) | {"sentence": result.confinement.sentence},
        "left_behind": list(result.left_behind),
        **workers_of_result(result, with_texts=with_texts),
        "run_id": result.run_id,
        "journal": result.journal,
        "turns": result.turns,
        "duration_seconds": round(result.duration_seconds, 3),
        "tools_called": dict(result.tools_called),
        "usage": usage_object(Total.of([line.total for line in bill.lines]).usage),
        "cost_usd": exact(bill.cost_usd),
        "uncertain_usd": exact(bill.uncertain_usd),
        "price_date": bill.price_date or None,
        "by_model": [
            {"model": model.model, "provider": model.provider, **_total(model_total(model))}
            for model in bill.models
        ],
        "remembered_calls": bill.remembered_calls,
        "by_provider": _parts(result, "provider"),
        "by_depth": _parts(result, "depth"),
        "by_purpose": _parts(result, "purpose"),
        "by_rung": _parts(result, "rung") if any(line.rung for line in bill.lines) else [],
        "verification": verification_fields(result.verification),
        "delegation": {
            "decision": None if decision is None else attrs.asdict(decision),
            "reason": None if decision is None else decision.reason,
            "lens": None if result.lens is None else lens_object(result.lens),
            "lens_left_out": list(result.lens_left_out),
            "lens_test": lens_test_fields(result.lens_test),
            "lens_source": source_object(result.lens_source),
            "not_delegated": result.not_delegated or None,
        },
        "smart_alone": _comparison(comparison),
        "quote": _quote(result),
        "coverage": None if result.coverage is None else result.coverage.as_object(),
    }


def model_total(model: ModelBill) -> Total:
    """Return the totals of all calls of one model."""
    return Total(
        model.calls,
        model.usage,
        model.cost_usd,
        model.uncertain_calls,
        model.uncertain_tokens,
        model.uncertain_usd,
    )


def _total(total: Total) -> dict[str, Any]:
    return {
        "calls": total.calls,
        "usage": usage_object(total.usage),
        "cost_usd": exact(total.cost_usd),
        "uncertain_calls": total.uncertain_calls,
        "uncertain_tokens": total.uncertain_tokens,
        "uncertain_usd": exact(total.uncertain_usd),
    }


def _parts(result: TaskResult, by: Literal["provider", "depth", "purpose", "rung"]) -> list[dict[str, Any]]:
    return [{by: name, **_total(total)} for name, total in result.bill.split(by)]


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


_LONGEST_NAME = 120
_PARTS: tuple[Literal["provider", "depth", "purpose", "rung"], ...] = ("provider", "depth", "purpose", "rung")


def summary_text(
    result: TaskResult,
    *,
    prices: PriceBook | None = None,
    width: int = 100,
) -> str:
    """Return status, files and bill of *result* as text. No line is cut; only the bill adapts to *width*."""
    lines = [
        _ended(result),
        *_decided(result),
        *_not_delegated(result),
        *_lens_of(result),
        *_files(result),
        *_sandbox(result),
        *command_lines(result.commands),
        *left_behind_lines(result.left_behind),
        *unresolved_lines(_unresolved(result)),
        *_workers(result),
        *_conflicts(result),
        "",
        *bill_lines(result.bill, width),
    ]
    lines += _quoted(result)
    is_over = result.status != "cancelled"
    lines += comparison_lines(compare_with_smart_model(result, prices), is_over=is_over)
    lines += verdict_lines(result)
    if result.journal:
        lines.append(f"journal  {on_one_line(str(result.journal))}")
    return report_text(lines)


def bill_lines(bill: Bill, width: int = 100) -> list[str]:
    """Return the bill by model and the total; also by provider, depth and purpose if there are several."""
    remembered = []
    if bill.remembered_calls:
        many = counted(bill.remembered_calls, "call")
        remembered = [f"{'':<8} {many} answered from memory, for nothing: --no-answer-memory asks again"]
    if not bill.lines:
        return ["cost     $0: nothing was billed", *remembered]
    rows = [(_name(model.model), model_total(model)) for model in bill.models]
    whole: Total = Total.of([line.total for line in bill.lines])
    if len(rows) > 1:
        rows.append(("total", whole))
    lines = list(_bill_rows(rows, width))
    if bill.price_date:
        lines.append(f"{'':<8} prices of {bill.price_date}")
    for by in _PARTS:
        parts = bill.split(by)
        if len(parts) > 1:
            shown = ", ".join(f"{_name(str(part))} {dollars(total.cost_usd)}" for part, total in parts)
            lines.append(f"{f'by {by}':<11} {shown}")
    if whole.uncertain_calls:
        lines.append(_uncertain(whole))
    return lines + remembered


def _name(given: str) -> str:
    """Return the id of a model or another name from outside as a part of a line."""
    return one_line(given, _LONGEST_NAME)


def comparison_lines(comparison: Comparison | None, *, is_over: bool = True) -> list[str]:
    """Return the comparison with the smart model alone; negative savings are shown as a loss.

    While a run is unfinished, no savings are shown: the lens is paid before the work.
    """
    if comparison is None:
        return []
    if not is_over:
        so_far = dollars(comparison.estimated_usd)
        return [
            f"compared with {_name(comparison.smart_model)} alone, estimated for the work so far: {so_far}"
        ]
    saved, share = comparison.saved_usd, comparison.saved_share
    estimated = dollars(comparison.estimated_usd)
    line = f"compared with {_name(comparison.smart_model)} alone, estimated: {estimated}"
    if saved is None or share is None:
        return [line + "; savings unknown"]
    word = "saved" if share >= 0 else "lost by delegating"
    amount = dollars(abs(saved))
    return [
        f"{line}; {word} {amount} ({abs(share):.0%})",
        "         (the work's tokens at its price; it was not run)",
    ]


def _ended(result: TaskResult) -> str:
    took = (
        f"{result.turns} {'turn' if result.turns == 1 else 'turns'}, {seconds_text(result.duration_seconds)}"
    )
    if result.status == "ok":
        return f"done     {took}"
    why = "" if result.stop_reason == result.status else f"{result.stop_reason}, "
    return f"{result.status:<8} {why}after {took}: {one_line(result.error)}"


DECIDERS = {
    "words": "the words and numbers of the task",
    "classifier": "what the delegation model said of the task",
    "outcomes": "the outcomes of earlier checked work",
}
"""What decides whether a task is delegated, in words."""


def _decided(result: TaskResult) -> Iterator[str]:
    """Yield who decided, if it was not the words alone, and what outcomes say against a lens."""
    decision = result.decision
    if decision is None:
        return
    if decision.decided_by != "words":
        yield f"decided  by {DECIDERS[decision.decided_by]}: {one_line(decision.reason)}"
    elif decision.noted:
        yield f"note     {one_line(decision.noted)}"


def _not_delegated(result: TaskResult) -> Iterator[str]:
    if result.not_delegated:
        yield f"note     not delegated: {one_line(result.not_delegated)}"


def _lens_of(result: TaskResult) -> Iterator[str]:
    if result.lens is not None:
        yield from lens_about(result.lens, result.lens_source)
    yield from lens_lines(result.lens_left_out)
    yield from lens_test_lines(result.lens_test)


def source_object(source: LensSource | None) -> dict[str, Any] | None:
    """Return *source* as JSON values."""
    if source is None:
        return None
    return attrs.asdict(source) | {"saved_usd": exact(source.saved_usd), "reasons": list(source.reasons)}


def lens_about(lens: EphemeralLens, source: LensSource | None = None) -> Iterator[str]:
    """Yield who wrote *lens*, what it is for, where it comes from, and the files that it names."""
    scope = one_line(lens.task_scope) or "no task_scope"
    by = f"by {one_line(lens.generated_by)}" if lens.generated_by else "by nobody named"
    yield f"lens     {by}: {scope}"
    if said := source_said(source):
        yield f"{'':<8} {said}"
    if lens.target_files:
        yield f"{'':<8} target files: {one_line(', '.join(lens.target_files))}"


def lens_lines(left_out: Iterable[str]) -> Iterator[str]:
    """Yield a line for all that a lens has lost of what was written."""
    for sentence in left_out:
        yield f"{'':<8} left out: {one_line(sentence)}"


def _files(result: TaskResult) -> Iterator[str]:
    paths = [one_line(change.path) for change in result.files]
    for i, (change, path) in enumerate(zip(result.files, paths, strict=True)):
        yield f"{'files' if i == 0 else '':<8} {change.verb:<8} {path}"


def _sandbox(result: TaskResult) -> Iterator[str]:
    if result.confinement.sandbox != "none":
        yield f"sandbox  {one_line(result.confinement.sentence)}"


_MOST_COMMANDS = 10


def command_lines(commands: Sequence[CommandRun]) -> Iterator[str]:
    """Yield a line for each of the last ten commands, with exit code and time, and how many came before."""
    shown = commands[-_MOST_COMMANDS:]
    ends = [command_end(command.exit_code, command.duration_seconds) for command in shown]
    wide = max(map(len, ends), default=0)
    for i, (command, end) in enumerate(zip(shown, ends, strict=True)):
        yield f"{'commands' if i == 0 else '':<8} {end:<{wide}}  {one_line(command.command)}"
    if earlier := len(commands) - len(shown):
        yield f"{'':<8} and {earlier:,} earlier: --json lists all"


def _workers(result: TaskResult) -> Iterator[str]:
    """Yield how many workers that a model started ended well, and a line for each other one; at most ten.

    If the run is done, those that were stopped because the answer was there are only counted, and so are
    reports with something unresolved: the model that read them has answered.
    """
    started = [one for one in result.workers if _STARTED_BY_MODEL.search(one.span)]
    others = [one for one in started if not one.success]
    if not started:
        return
    counts = [f"{len(started) - len(others):,} of {len(started):,} ok"]
    if result.success:
        stopped = sum(one.status == "cancelled" for one in others)
        others = [one for one in others if one.status != "cancelled"]
        counts += [f"{stopped:,} stopped when the answer was there"] if stopped else []
        told = sum(bool(one.unresolved) for one in started)
        counts += [f"{told:,} with something unresolved (sunwell show names it)"] if told else []
    yield f"workers  {', '.join(counts)}"
    for one in others[:_MOST_COMMANDS]:
        said = one_line(one.error or one.task, 400)
        yield f"{'':<8} {_short_name(one)} {one.status} ({one.stop_reason}): {said}"
    if (left_out := len(others) - _MOST_COMMANDS) > 0:
        yield f"{'':<8} and {left_out:,} more that are not ok: --json lists all"


def _unresolved(result: TaskResult) -> tuple[str, ...]:
    """Return what does not fit a finished task; if it is finished, without what its model's workers left."""
    if not result.success:
        return result.unresolved
    started = [one for one in result.workers if _STARTED_BY_MODEL.search(one.span)]
    of_workers = {f"{one.task_id}: {said}" for one in started for said in one.unresolved}
    return tuple(said for said in result.unresolved if said not in of_workers)


_STARTED_BY_MODEL = re.compile(r"/task-\d+-\d+-\d+$")


def _short_name(worker: TaskResult) -> str:
    """Return how progress lines and ``show`` call *worker*: the end of its place in the run."""
    return worker.span.rpartition("/")[2]


def _conflicts(result: TaskResult) -> Iterator[str]:
    """Yield a line for each conflict of two workers, which names both as progress lines do; at most ten."""
    names = {one.task_id: _short_name(one) for one in result.workers if _STARTED_BY_MODEL.search(one.span)}
    for met in result.conflicts[:_MOST_COMMANDS]:
        what = one_line(met.what)
        for task_id, name in names.items():
            what = what.replace(task_id, name)
        between = f"{names.get(met.first, met.first)} and {names.get(met.second, met.second)}"
        yield f"conflict over {on_one_line(met.path)} between {between}: {what}"
    if (left_out := len(result.conflicts) - _MOST_COMMANDS) > 0:
        yield f"{'':<8} and {left_out:,} more conflicts: --json lists all"


def left_behind_lines(left_behind: Iterable[str]) -> Iterator[str]:
    """Yield a line for each file that a command left behind for other programs to run."""
    for sentence in left_behind:
        yield f"note     {one_line(sentence)}"


def unresolved_lines(unresolved: Iterable[str]) -> Iterator[str]:
    """Yield a line for each thing that does not fit a finished task."""
    for sentence in unresolved:
        yield f"unresolved: {one_line(sentence)}"


_CACHED_COLUMNS, _TOKENS_COLUMNS, _SUM_COLUMNS = 90, 64, 48


def _bill_rows(rows: Sequence[tuple[str, Total]], width: int) -> Iterator[str]:
    """Yield a line for each name and its total, with the columns that so many columns have room for.

    Each column is as wide as what is in it. The cost is there at any width, if need be below the name.
    """
    cells = [_bill_cells(name, total, width) for name, total in rows]
    wide = [max(map(columns_of, column)) for column in zip(*cells, strict=True)]
    for i, (name, *figures) in enumerate(cells):
        title = f"{'' if i else 'bill':<8} "
        told = "  ".join(cell.rjust(size) for cell, size in zip(figures, wide[1:], strict=True) if size)
        if 9 + wide[0] + 2 + len(told) <= width:
            yield f"{title}{name}{' ' * (wide[0] - columns_of(name))}  {told}"
        else:
            yield f"{title}{name}"
            yield f"{'':<9}{told}"


def _bill_cells(name: str, total: Total, width: int) -> tuple[str, ...]:
    calls, usage = f"{total.calls:,} {'call ' if total.calls == 1 else 'calls'}", total.usage
    if width < _TOKENS_COLUMNS:
        tokens = f"{usage.total_tokens:,} tok" if width >= _SUM_COLUMNS else ""
        return (name, calls, tokens, dollars(total.cost_usd))
    cached = f"{usage.cache_read_tokens:,} cached" if width >= _CACHED_COLUMNS else ""
    told = (f"{usage.input_tokens:,} in", f"{usage.output_tokens:,} out", cached)
    return (name, calls, *told, dollars(total.cost_usd))


def _uncertain(whole: Total) -> str:
    calls = counted(whole.uncertain_calls, "call")
    return f"unconfirmed: up to {dollars(whole.uncertain_usd)} more (at most {calls}, of unknown usage)"


def _quote(result: TaskResult) -> dict[str, object] | None:
    if result.quote is None:
        return None
    return quote_object(result.quote, result.decision, result.bill.cost_usd)


def _quoted(result: TaskResult) -> Iterator[str]:
    if result.quote is None:
        return
    side = result.quote.chosen(result.decision)
    span = f"{dollars(side.low_usd)} at the low end"
    if side.high_usd is not None:
        span = f"{dollars(side.low_usd)} to {dollars(side.high_usd)}"
    actual = dollars(result.bill.cost_usd)
    way = f" ({side.name})" if side is result.quote.handed_out else ""
    yield f"quoted   {dollars(side.expected_usd)} expected{way}, {span}; actual cost {actual}"
