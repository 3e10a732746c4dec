"""A cap can be used: at least 95 % of it, wherever one attempt and its closing reserve are 5 % or less."""

import importlib
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def bench(monkeypatch) -> Any:
    """Return the benchmark that measures it."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("utilisation")


@pytest.mark.parametrize("workers", [1, 7, 40, 150])
@pytest.mark.parametrize("attempts", ["20", "27.5", "60"])
def test_ninety_five_percent_of_a_cap_are_used(bench, workers, attempts) -> None:
    """By one worker or by many that share it, each with a closing reserve of its own."""
    used = bench.measure(workers, Decimal(attempts))
    assert used.worst_share <= 0.05
    assert 0.95 <= used.booked_share <= 1


@pytest.mark.parametrize("attempts", ["1", "2", "5"])
def test_a_small_cap_is_used_as_far_as_whole_attempts_fit(bench, attempts) -> None:
    """All but the worst case of one attempt and its reserve."""
    used = bench.measure(1, Decimal(attempts))
    assert used.booked_share >= 1 - used.worst_share
