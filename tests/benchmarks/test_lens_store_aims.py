"""The benchmark of kept lenses fails where an aim is missed that its page says holds."""

import json
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def store() -> Any:
    """Return the benchmark's names."""
    sys.path.insert(0, str(FOLDER))
    try:
        return runpy.run_path(str(FOLDER / "lens_store.py"))
    finally:
        sys.path.remove(str(FOLDER))


@pytest.fixture
def edits() -> Any:
    """Return the recorded figures by rate of edits."""
    return json.loads((FOLDER / "results" / "lens_store.json").read_text())["edits"]


def test_the_recorded_result_misses_nothing_that_is_said_to_hold(store: Any, edits: Any) -> None:
    """At 0 and 0.1 edits both aims hold, at 0.25 the first."""
    assert store["missed"](edits) == []


@pytest.mark.parametrize(
    ("rate", "name", "value", "is_told"),
    [
        ("0.1", "lens_share_after_ten", 0.11, True),
        ("0.25", "lens_share_after_ten", 0.5, False),
        ("0.25", "found_share", 0.69, True),
        ("1", "found_share", 0.1, False),
        ("3", "stale", 1, True),
        ("3", "other_results", 1, True),
        ("3", "dearer_tasks", 1, True),
    ],
)
def test_what_is_missed_is_told(
    store: Any, edits: Any, rate: str, name: str, value: float, is_told: bool
) -> None:
    """With the rate and the figure."""
    edits[rate][name] = value
    assert store["missed"](edits) == ([f"{rate} edits: {name} is {value}"] if is_told else [])
