"""What the benchmark of losses of power calls wrong."""

import os
import runpy
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"
GOOD = {
    "sent": 9,
    "is_there": True,
    "missing": 3,
    "leeway_calls": 16,
    "leeway_usd": Decimal("0.04"),
    "status": "ok",
    "billed_usd": Decimal("0.02"),
    "cost_usd": Decimal("0.01"),
    "uncertain_usd": Decimal("0.05"),
}


@pytest.fixture(scope="module")
def power() -> dict[str, Any]:
    environ = dict(os.environ)
    sys.path.insert(0, str(FOLDER))
    try:
        return runpy.run_path(str(FOLDER / "power.py"))
    finally:
        sys.path.remove(str(FOLDER))
        os.environ.clear()
        os.environ.update(environ)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        pytest.param({}, "", id="good"),
        pytest.param({"is_there": False, "sent": 0}, "", id="nothing-was-sent"),
        pytest.param({"is_there": False}, "calls were sent", id="no-run"),
        pytest.param({"status": "incomplete"}, "ended as incomplete", id="not-ended"),
        pytest.param({"missing": 17}, "more calls are missing", id="above-the-leeway"),
        pytest.param({"uncertain_usd": Decimal("0.03")}, "does not count", id="leeway-left-out"),
        pytest.param({"billed_usd": Decimal("0.07")}, "the bill does not hold", id="bill-too-low"),
        pytest.param({"cost_usd": Decimal("0.03")}, "the bill does not hold", id="bill-too-high"),
        pytest.param(
            {"billed_usd": Decimal("0.51"), "uncertain_usd": Decimal(1)}, "the cap", id="cap-passed"
        ),
    ],
)
def test_what_is_wrong_with_a_loss_of_power(
    power: dict[str, Any], changed: dict[str, Any], said: str
) -> None:
    """Each of its conditions by itself."""
    found = power["wrong_with"](GOOD | changed)
    assert said in found
    assert bool(said) == bool(found)
