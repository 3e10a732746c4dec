"""What the ladder does to bill and solves in drawn worlds: few of each family, so the bounds are wider."""

import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def worlds() -> Any:
    """Return the benchmark's names."""
    sys.path.insert(0, str(FOLDER))
    try:
        return runpy.run_path(str(FOLDER / "ladder_worlds.py"))
    finally:
        sys.path.remove(str(FOLDER))


def found_in(worlds: Any, name: str, seeds: int = 8) -> tuple[dict[str, float], Any]:
    """Return the figures of the first seeds of a family."""
    (family,) = [family for family in worlds["FAMILIES"] if family.name == name]
    found = worlds["survey"](family, worlds["POLICIES"][0], range(seeds))
    return worlds["figures"](found), found


@pytest.mark.parametrize(
    "name",
    [
        "exact check",
        "exact check, cheap again",
        "useless worker",
        "useless worker, 50 tasks of 10 kinds",
        "useless worker, 50 tasks of one kind",
    ],
)
def test_the_ladder_costs_at_most_a_little_more_than_the_smart_model_alone(worlds: Any, name: str) -> None:
    """Without any outcome at the start, also if the worker solves nothing."""
    numbers, _ = found_in(worlds, name)
    assert numbers["bill_most"] <= 1.05
    assert numbers["solves_p05"] >= 0.98


def test_the_ladder_learns_to_cost_no_more_than_always_going_up(worlds: Any) -> None:
    """What it loses by passing over good workers, it gains by passing over bad ones."""
    numbers, _ = found_in(worlds, "exact check")
    assert numbers["bill_to_up"] <= 1.0


def test_giving_up_saves_where_nobody_solves(worlds: Any) -> None:
    """At least four tenths of the money of a kind of which nine tasks of ten are solved by nobody."""
    numbers, _ = found_in(worlds, "a hopeless kind")
    assert numbers["saved"] >= 0.40
    assert numbers["lost"] <= 0.01


@pytest.mark.parametrize("name", ["any check, told", "any check, cheap again, told"])
def test_no_solves_are_lost_to_a_check_that_is_known_to_pass_bad_results(worlds: Any, name: str) -> None:
    """The ladder then puts the smart model first, so that little is saved."""
    numbers, _ = found_in(worlds, name)
    assert numbers["solves_p05"] >= 0.99
    assert numbers["bill_most"] <= 1.05
    untold, _ = found_in(worlds, name.removesuffix(", told"))
    assert untold["solves_p05"] < numbers["solves_p05"]


def test_giving_up_saves_also_by_a_check_that_is_known_to_pass_bad_results(worlds: Any) -> None:
    """What passes no more often than the check errs is solved by nobody."""
    numbers, _ = found_in(worlds, "a hopeless kind, any check, told", 16)
    assert numbers["saved"] >= 0.40
    assert numbers["lost"] <= 0.01


def test_what_a_world_did_is_told_in_one_line(worlds: Any) -> None:
    """The worst worlds are printed with all that is needed to draw them again."""
    _, found = found_in(worlds, "useless worker, 50 tasks of one kind", seeds=2)
    assert worlds["worst"](found, 1)[0].startswith("seed ")
    assert "50 tasks, sensitivity 1.00, false flags 0.00, 1 kinds" in worlds["worst"](found, 1)[0]
