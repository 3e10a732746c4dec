"""Runs of the size of real work under real prices: a cap is used up, or the work is finished, and it holds.

A few seeds of ``benchmarks/real_work.py``, where the worlds and the bars stand.
"""

import importlib
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SEEDS = 5


@pytest.fixture
def bench(monkeypatch) -> Any:
    """Return the benchmark whose runs these are."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("real_work")


@pytest.mark.parametrize(
    ("way", "pair", "cap"),
    [
        ("direct", "opus", "0.50"),
        ("direct", "opus", "1.00"),
        ("direct", "sol", "0.25"),
        ("direct", "sol", "0.50"),
        ("delegated", "opus", "0.05"),
        ("five", "sol", "0.10"),
        ("batch", "opus", "0.02"),
        ("batch", "sol", "0.02"),
    ],
)
def test_a_cap_is_used_up_or_the_work_is_finished(bench, way: str, pair: str, cap: str) -> None:
    """No bound is loose, no call with room is refused, no bill is above its cap."""
    row = bench.Row.of([bench.one(way, pair, Decimal(cap), seed) for seed in range(SEEDS)])
    assert row.faults() == []
    assert row.refused + row.shortened > 0


def test_under_a_cap_that_does_not_hold_the_first_call_nothing_is_spent(bench) -> None:
    """In each way, with both pairs of models."""
    assert bench.below_the_first_call(1) == []
