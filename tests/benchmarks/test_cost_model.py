"""RFC-137's cost tables, worked through."""

import runpy
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from sunwell.agent.policy.cost_model import Shape

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "cost_model.py"


@pytest.fixture(scope="module")
def model() -> dict[str, Any]:
    return runpy.run_path(str(SCRIPT))


@pytest.mark.parametrize(
    ("tokens", "usd_per_million", "expected"),
    [
        pytest.param(15_000, "15", "0.225", id="baseline-as-written"),
        pytest.param(500, "15", "0.0075", id="lens-of-500-is-the-0.008-of-the-table"),
        pytest.param(1_000, "15", "0.015", id="lens-of-1000-is-twice-that"),
        pytest.param(5_000, "0.25", "0.00125", id="execution-of-5000"),
        pytest.param(15_000, "0.25", "0.00375", id="execution-of-15000-is-more-than-0.003"),
        pytest.param(15_000, "75", "1.125", id="baseline-at-the-output-rate"),
    ],
)
def test_the_rfcs_single_figures(model: dict[str, Any], tokens: int, usd_per_million: str, expected: str):
    """The RFC's rows are tokens times an input rate; at the output rate they are five times as much."""
    assert model["cost_usd"](tokens, Decimal(usd_per_million)) == Decimal(expected)


def test_the_rfcs_saving_is_right_by_its_own_figures(model: dict[str, Any]):
    """1,000 tokens of lens and 14,000 delegated come to $0.0185, which saves 91.8 %, about the RFC's 92 %."""
    delegated = model["delegated_usd"](15_000, 1_000, Decimal(15), Decimal("0.25"))
    assert delegated == Decimal("0.0185")
    assert round(1 - delegated / Decimal("0.225"), 3) == Decimal("0.918")


def test_the_rfcs_break_even_is_1017_and_not_3000(model: dict[str, Any]):
    """At 1,017 tokens the lens of 1,000 is paid for by the RFC's own rates; at 1,016 it is not."""
    even = model["break_even_tokens"](1_000, Decimal(15), Decimal("0.25"))
    assert 1_016 < even < 1_017
    for tokens, pays in ((1_016, False), (1_017, True)):
        lens, work = Decimal(1_000 * 15), tokens * Decimal("0.25")
        assert (lens + work < tokens * 15) is pays


@pytest.mark.parametrize("pair", ["claude-opus-5-5 + claude-haiku-5-5", "gpt-6.1-sol + gpt-6-luna"])
def test_the_quoted_break_even_is_where_delegating_becomes_the_cheapest_way(model: dict[str, Any], pair: str):
    """One token below it another way is cheaper or as cheap; a larger lens prompt puts it further off."""
    smart, cheap = model["PAIRS"][pair]
    quote, prices = model["quote"], model["Prices"](smart, smart, cheap)
    at = model["quoted_break_even"](smart, cheap, Shape())
    assert not quote(at, prices).delegation_is_dearer
    assert quote(at - 1, prices).delegation_is_dearer
    assert model["quoted_break_even"](smart, cheap, Shape(lens_input_tokens=20_000)) > at


def test_the_table_is_printed(model: dict[str, Any], capsys: pytest.CaptureFixture[str]):
    """The script prints the RFC's figures beside the worked-out ones, and dates its prices."""
    model["main"]()
    printed = capsys.readouterr().out
    assert "1,017" in printed
    assert "prices of 2026-11" in printed
