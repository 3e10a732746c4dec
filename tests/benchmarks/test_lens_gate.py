"""The gate's bars in drawn batches, and whole batches over HTTP: few of each, so the bounds are wider."""

import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def gate() -> Any:
    """Return the benchmark's names."""
    sys.path.insert(0, str(FOLDER))
    try:
        return runpy.run_path(str(FOLDER / "lens_gate.py"))
    finally:
        sys.path.remove(str(FOLDER))


def figures_of(gate: Any, effect: float, **given: float) -> dict[str, Any]:
    """Return the figures of few batches under a lens of *effect*."""
    world = gate["LensWorld"](effect, **given)
    found: dict[str, Any] = gate["figures"](world, gate["trials"](world, count=1_500))
    return found


def test_lenses_that_harm_are_withheld_and_those_that_help_pass(gate: Any) -> None:
    """Of 20 points; with at most 12 extra runs in the mean, and 20 at the most."""
    worse, better = figures_of(gate, -0.2), figures_of(gate, 0.2)
    assert worse["withheld"] >= 0.90
    assert 1 - better["withheld"] >= 0.85
    assert (worse["extra"] + better["extra"]) / 2 <= 12
    assert max(worse["most_extra"], better["most_extra"]) <= 20


def test_two_identical_runs_differ_as_often_as_is_said(gate: Any) -> None:
    """And a lens of so many points changes the rate by so many."""
    import random

    world, chance = gate["LensWorld"](-0.2), random.Random(1)
    drawn = [world.pair(chance) for _ in range(20_000)]
    assert sum(without for _, without in drawn) / len(drawn) == pytest.approx(0.5, abs=0.02)
    assert sum(with_lens for with_lens, _ in drawn) / len(drawn) == pytest.approx(0.3, abs=0.02)
    same, chance = gate["LensWorld"](0.0), random.Random(2)
    differ = [one != other for one, other in (same.pair(chance) for _ in range(20_000))]
    assert sum(differ) / len(differ) == pytest.approx(0.18, abs=0.01)


def test_a_curve_that_misses_a_bar_is_told(gate: Any) -> None:
    """Each of them."""
    rows = [figures_of(gate, effect) for effect in (-0.2, 0.2)]
    assert list(gate["missed"](rows)) == []
    spoilt = [rows[0] | {"withheld": 0.8}, rows[1] | {"withheld": 0.2, "extra": 19.0, "most_extra": 21}]
    assert len(list(gate["missed"](spoilt))) == 4


def test_whole_batches_come_to_what_the_rule_finds(gate: Any) -> None:
    """Of the same draws, over real HTTP: finding, results and bill."""
    assert all(gate["over_http"](effect, 3)["is_same"] for effect in (-20, 20))
