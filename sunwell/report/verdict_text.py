"""Whether a result was verified: what people are told."""

from collections.abc import Iterator
from decimal import Decimal

from sunwell.checks.steering import NAMES_CHANGED
from sunwell.core.task import TaskResult
from sunwell.core.verdict import Verification
from sunwell.report.figures import dollars, one_line

_SHOWN_LINES = 6
_SAID = {True: "passed", False: "failed", None: "could not tell"}
_WAYS = {
    "cheap": "{model}",
    "cheap_again": "{model} with evidence",
    "lens": "{model} under a new lens",
    "second": "{model}",
    "smart": "{model}",
}


def verdict_line(result: TaskResult) -> str:
    """Return whether *result* was verified, by what and on which rung, what it cost, and beside what."""
    return verdict_sentence(result.verification, result.bill.cost_usd)


def verdict_sentence(found: Verification | None, cost_usd: Decimal | None) -> str:
    """Return the verdict on work that cost *cost_usd*; *found* is ``None`` if there was no check."""
    cost = dollars(cost_usd)
    if found is None:
        return "not verified: there was no check"
    by = one_line(", ".join(found.by))
    if found.passed:
        rung = _rung(found)
        return f"verified by {by}{rung}, {cost}{_versus(found)}"
    said = "did not pass" if found.passed is False else "could not tell"
    rungs = f" after {_counted(len(found.attempts), 'rung')}" if found.attempts else ""
    why = f"; {one_line(found.gave_up)}" if found.gave_up else ""
    missed = one_line(", ".join(found.missed)) or by
    return f"not verified: {missed} {said}{rungs}, {cost}{why}"


def verdict_lines(result: TaskResult) -> Iterator[str]:
    """Yield the verdict of *result* and, if it was not verified, what the checks saw last.

    Nothing for a question about contexts, which has no checks: its coverage says what it rests on.
    """
    if result.verification is None and result.quote is not None and result.quote.delegated.name == "explored":
        return
    yield from recorded_verdict_lines(result.verification, result.bill.cost_usd)
    checked = [one.verification.passed for one in result.workers if one.verification is not None]
    if checked and result.verification is None:
        counts = [(checked.count(passed), said) for passed, said in _SAID.items()]
        told = ", ".join(f"{count:,} {said}" for count, said in counts if count)
        yield f"{'':<8} checks of workers: {told}"


def recorded_verdict_lines(found: Verification | None, cost_usd: Decimal | None) -> Iterator[str]:
    """Yield the same of a run that cost *cost_usd*, of which no more is known than what was *found*."""
    yield f"verdict  {verdict_sentence(found, cost_usd)}"
    if found is None:
        return
    if found.passed:  # what may have made it pass
        for line in found.evidence.splitlines():
            if line.startswith(NAMES_CHANGED):
                yield f"{'':<8} {one_line(line)}"
        return
    lines = [line for line in found.evidence.splitlines() if line.strip()]
    if len(lines) > _SHOWN_LINES:
        yield f"{'':<8} … {len(lines) - _SHOWN_LINES} lines of evidence before; --json shows all"
    for line in lines[-_SHOWN_LINES:]:
        yield f"{'':<8} {one_line(line)}"


def _versus(found: Verification) -> str:
    if found.alone_usd is None:
        return ""
    if found.attempts and found.attempts[-1].model == found.alone_model:
        return f", of which {dollars(found.alone_usd)} for {one_line(found.alone_model)}"
    return f", vs. about {dollars(found.alone_usd)} for {one_line(found.alone_model)} alone"


def _rung(found: Verification) -> str:
    if not found.attempts:
        return ""
    last = found.attempts[-1]
    way = _WAYS.get(last.rung, "{model}").format(model=one_line(last.model))
    return f" on rung {len(found.attempts)} ({way})"


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
