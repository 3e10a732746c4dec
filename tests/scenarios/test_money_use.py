"""A cap can be used: all but what is kept for closing calls, if an attempt and its reserve are small."""

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
def test_what_is_not_kept_for_closing_calls_is_used(bench, workers, attempts) -> None:
    """One worker keeps less than a twentieth, many that share a cap a tenth at most: the rest is used."""
    used = bench.measure(workers, Decimal(attempts))
    assert used.worst_share <= 0.05
    assert (0.95 if workers == 1 else 0.9) <= used.booked_share <= 1


@pytest.mark.parametrize("attempts", ["1", "2", "5"])
def test_a_small_cap_is_used_as_far_as_whole_attempts_fit(bench, attempts) -> None:
    """All but the worst case of one attempt and its reserve."""
    used = bench.measure(1, Decimal(attempts))
    assert used.booked_share >= 1 - used.worst_share
