"""Budgets: what is a ceiling and what is a mistake."""

from decimal import Decimal
from typing import Any

import pytest

from sunwell.core import Budget
from sunwell.errors import ConfigurationError


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        pytest.param({}, Budget(), id="none"),
        pytest.param({"usd": 0}, Budget(usd=Decimal(0)), id="nothing-at-all"),
        pytest.param({"usd": 0.1}, Budget(usd=Decimal("0.1")), id="float-as-it-is-written"),
        pytest.param({"usd": "0.10"}, Budget(usd=Decimal("0.1")), id="text"),
        pytest.param({"usd": 10**40}, Budget(usd=Decimal(10) ** 40), id="more-than-there-is"),
        pytest.param({"tokens": 1e6}, Budget(tokens=1_000_000), id="whole-float"),
        pytest.param({"tokens": 10**400}, Budget(tokens=10**400), id="more-than-a-float-holds"),
        pytest.param({"turns": 0, "calls": 0, "seconds": 0}, Budget(None, None, 0, 0, 0), id="zeros"),
    ],
)
def test_a_ceiling_is_kept_exactly(given: dict[str, Any], kept: Budget) -> None:
    """Dollars are decimal whatever they came as, counts are whole."""
    budget = Budget(**given)
    assert budget == kept
    assert budget.usd is None or type(budget.usd) is Decimal
    assert budget.tokens is None or type(budget.tokens) is int


@pytest.mark.parametrize("name", ["usd", "tokens", "calls", "turns", "seconds"])
@pytest.mark.parametrize(
    "value",
    [-1, float("nan"), float("inf"), float("-inf"), "abc", True, Decimal("sNaN"), b"1", [1]],
    ids=repr,
)
def test_what_is_no_ceiling_is_one_sentence(name: str, value: Any) -> None:
    """What a cap could not hold against is refused where it is made, by name."""
    with pytest.raises(ConfigurationError, match=name):
        Budget(**{name: value})


@pytest.mark.parametrize("name", ["tokens", "calls", "turns"])
def test_counts_are_whole(name: str) -> None:
    """There is no half of a call."""
    with pytest.raises(ConfigurationError, match="whole number"):
        Budget(**{name: 1.5})
