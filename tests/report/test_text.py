"""The summary for people."""

from decimal import Decimal

import attrs
import pytest

from sunwell.core.model import Usage
from sunwell.core.price import DelegationDecision, Quote, Side
from sunwell.core.task import BillLine, TaskResult, Total
from sunwell.report import summary_text
from tests.report.conftest import LENS, WORK, delegated, line


def test_a_reader_sees_files_bill_and_comparison(prices) -> None:
    """Each file, each model, the sum with the price date, and what the smart model alone would have been."""
    text = summary_text(delegated(LENS, WORK), prices=prices)
    for part in (
        "done     3 turns, 1.5 s",
        "created  a.py",
        "changed  b.py",
        "removed  c.py",
        "$0.15",
        "$0.20",
        "total",
        "$0.35",
        "prices of 2026-01-02",
        "by purpose  lens $0.15, work $0.20",
        "smart alone, estimated: $2.00; saved $1.65 (82%)",
        "it was not run",
    ):
        assert part in text, part


@pytest.mark.parametrize("delegates", [True, False])
def test_the_quote_stands_beside_what_it_became(prices, delegates) -> None:
    """Of the way that was taken, with its low end; with both ends if the high one is known."""
    sides = {
        name: Side(name, Decimal(low), Decimal(expected), Decimal(9))
        for name, low, expected in (("delegated", "0.2", "0.3"), ("direct", "0.6", "0.8"))
    }
    decision = DelegationDecision(delegates, "it is so", 9_000, 2_000)
    result = attrs.evolve(delegated(LENS, WORK), decision=decision, quote=Quote(**sides))
    text = summary_text(result, prices=prices)
    quoted = "$0.30 expected, $0.20" if delegates else "$0.80 expected, $0.60"
    assert f"quoted   {quoted} at the low end; actual cost $0.35" in text
    ends = {name: attrs.evolve(side, high_usd=Decimal("1.5")) for name, side in sides.items()}
    ranged = attrs.evolve(result, quote=Quote(**ends))
    text = summary_text(ranged, prices=prices)
    assert f"quoted   {quoted} to $1.50; actual cost $0.35" in text


def test_a_loss_is_called_a_loss(prices) -> None:
    """Negative savings are shown as such."""
    small = line("cheap", "work", Usage(1_000, 100), "0.0015", depth=1)
    assert "lost by delegating $0.1365 (910%)" in summary_text(delegated(LENS, small), prices=prices)


def test_unknown_is_a_word(prices) -> None:
    """A price that nobody knows is never shown as 0."""
    text = summary_text(delegated(LENS, line("mystery", "work", Usage(5, 5), None, depth=1)), prices=prices)
    assert "unknown" in text
    assert "savings unknown" in text
    assert "$0 " not in text


def test_what_may_come_besides_is_said(prices) -> None:
    """A call whose usage never came is shown with its upper bound."""
    cut = BillLine("cheap", "acme", 1, "work", Total(0, Usage(), Decimal(0), 1, 500, Decimal("0.07")))
    text = summary_text(delegated(LENS, cut), prices=prices)
    assert "unconfirmed: up to $0.07 more (at most 1 call, of unknown usage)" in text


@pytest.mark.parametrize(
    ("status", "reason", "first"),
    [
        pytest.param("incomplete", "turns", "incomplete turns, after 1 turn, 2.0 s: why", id="incomplete"),
        pytest.param("error", "model_error", "error    model_error, after 1 turn, 2.0 s: why", id="error"),
        pytest.param("cancelled", "cancelled", "cancelled after 1 turn, 2.0 s: why", id="cancelled"),
    ],
)
def test_another_end_says_why(status, reason, first: str) -> None:
    """The first line has the status, the reason and the sentence."""
    result = TaskResult("Do it", status, reason, error="why", turns=1, duration_seconds=2)
    lines = summary_text(result).splitlines()
    assert lines[0] == first
    assert "cost     $0: nothing was billed" in lines


def test_names_of_files_cannot_break_the_page(prices) -> None:
    """Control sequences in a path are shown, and do nothing."""
    result = delegated(LENS, WORK)
    result = attrs.evolve(result, files=(attrs.evolve(result.files[0], path="a\x1b[2J\nb"),))
    assert r"a\x1b[2J b" in summary_text(result, prices=prices)
    assert "\x1b" not in summary_text(result, prices=prices)


def test_a_run_that_was_stopped_is_no_loss_yet(prices) -> None:
    """The lens is paid before the work: until the work is done nobody can say whether it pays."""
    small = line("cheap", "work", Usage(1_000, 100), "0.0015", depth=1)
    stopped = attrs.evolve(delegated(LENS, small), status="cancelled", stop_reason="cancelled")
    text = summary_text(stopped, prices=prices)
    assert "smart alone, estimated for the work so far: $0.0150" in text
    assert "lost" not in text
