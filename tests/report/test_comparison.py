"""The delegated bill beside the estimate for the smart model alone."""

from decimal import Decimal

import attrs
import pytest

from sunwell.core.model import Usage
from sunwell.core.price import DelegationDecision
from sunwell.report import compare_with_smart_model
from tests.report.conftest import LENS, WORK, delegated, line


def test_the_works_own_tokens_are_priced_at_the_smart_models_price(prices) -> None:
    """100,000 in and 20,000 out at 10 and 50 dollars a million: 2 dollars, against 0.35 paid."""
    comparison = compare_with_smart_model(delegated(LENS, WORK), prices)
    assert comparison is not None
    assert (comparison.smart_model, comparison.estimated_usd) == ("smart", Decimal(2))
    assert (comparison.actual_usd, comparison.saved_usd) == (Decimal("0.35"), Decimal("1.65"))
    assert comparison.saved_share == Decimal("0.825")
    assert "estimate" in comparison.basis


def test_negative_savings_are_negative(prices) -> None:
    """Little work under a dear lens costs more than the smart model alone would have."""
    small = line("cheap", "work", Usage(1_000, 100), "0.0015", depth=1)
    comparison = compare_with_smart_model(delegated(LENS, small), prices)
    assert comparison is not None
    assert comparison.estimated_usd == Decimal("0.015")
    assert comparison.saved_usd == Decimal("-0.1365")
    assert comparison.saved_share == Decimal("-9.1")


def test_an_unknown_price_leaves_the_savings_unknown(prices) -> None:
    """Neither a smart model without a price nor a worker without one gives a figure."""
    foreign = line("mystery", "lens", Usage(10, 10), None)
    assert compare_with_smart_model(delegated(foreign, WORK), prices).estimated_usd is None
    unpriced = line("mystery", "work", Usage(10, 10), None, depth=1)
    comparison = compare_with_smart_model(delegated(LENS, unpriced), prices)
    assert (comparison.actual_usd, comparison.saved_usd, comparison.saved_share) == (None, None, None)


@pytest.mark.parametrize(
    "decision",
    [None, DelegationDecision(False, "it is small", 1, 2_000)],
    ids=["delegation-off", "not-delegated"],
)
def test_what_was_not_delegated_is_not_compared(prices, decision) -> None:
    """There is nothing beside which to stand."""
    assert compare_with_smart_model(attrs.evolve(delegated(LENS, WORK), decision=decision), prices) is None


def test_a_run_that_ended_at_its_lens_is_not_compared(prices) -> None:
    """Without work there is nothing to price."""
    assert compare_with_smart_model(delegated(LENS), prices) is None
