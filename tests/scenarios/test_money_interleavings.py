"""A cap is a cap, whatever happens in whatever order: random trees of work against the provider's bill.

Each interleaving is a tree of spans with ceilings of their own: conversations in turn and side by side,
retried, cancelled, cut off, made shorter, with usage missing or wrong, hidden input, tiers and cache writes;
the process is killed and the run taken up again. Providers have tokenizers of their own, and some break
their promises half-way. What must hold stands in ``World`` of ``benchmarks/money_world.py``.
"""

import importlib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
TREES = 700
CONDUCTS = ("steady", "hidden", "changing", "small", "large", "missing", "routed")
CHUNKS = 2


@pytest.fixture
def bench(monkeypatch) -> Any:
    """Return the benchmark whose worlds these are."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("interleavings")


@pytest.mark.timeout(280)
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_the_bill_of_thousands_of_interleavings_stays_within_every_ceiling(bench, chunk) -> None:
    """Of the run and of each part, unless a provider bills the same bytes differently: then it is told.

    Books, bill and journal agree, exactly if nothing hid the bill. A dead-lock would end the test: parents
    wait for children that wait for room. The benchmark plays a million of them.
    """
    seen: Counter[str] = bench.small_trees(chunk * TREES, TREES)
    assert seen["interleavings"] == TREES
    rare = ("kills", "cancels", "cut", "missing", "wrong", "hidden", "dated", "stranger", "quota", "closed")
    assert min(seen[kind] for kind in rare) > 2
    assert min(seen[f"bound {source}"] for source in ("reported", "counted", "bytes")) > 25
    assert min(seen[f"conduct {one}"] for one in CONDUCTS) > 12
    assert seen["exact"] > TREES / 4
    assert seen["bound-exceeded"] > 25


def test_a_thousand_workers_at_once_stay_within_every_ceiling(bench) -> None:
    """On one cap that only some of them fit under, and caps of their own. The benchmark has twenty crowds."""
    seen = bench.crowds(1, 1)
    assert seen["model-call-started"] > 1_000
    assert seen["plain"] > 300


def test_the_same_holds_over_http(bench) -> None:
    """Sunwell's adapters, both wire formats and real connections against the simulator's server."""
    seen = bench.trees_over_http(0, 30)
    assert seen["interleavings"] == 30
    assert seen["plain"] > 10
    assert seen["exact"] > 3
