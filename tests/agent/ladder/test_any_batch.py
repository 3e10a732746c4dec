"""Any batch on the ladder ends, stopped or not, within its caps; a resume ends it as it would have ended."""

import shutil
import tempfile
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sunwell.core import Budget
from sunwell.core.check import Checking, Verdict
from sunwell.events import CheckFinished, CheckStarted, ToolCallFinished
from tests.agent.ladder.batch_parts import RIGHT, WRONG, Crew, Writer, is_right, items, rungs

COUNT = 4
SLIPS = st.lists(st.integers(0, 3), min_size=COUNT, max_size=COUNT)
PACES = st.lists(st.sampled_from([0.0, 1.0, 1.0, 2.0, 5.0]), min_size=COUNT, max_size=COUNT)
BUDGETS = st.sampled_from(
    [Budget(), Budget(usd=10), Budget(tokens=10**7), Budget(usd="0.05"), Budget(calls=11)]
)


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """Return a folder for all examples of a property."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def crew_in(workspace: Path, slips: list[int], paces: list[float]) -> Crew:
    """Return a cheap model that slips so many times on each item, at its own pace."""
    workspace.mkdir(parents=True)
    words = {f"item-{n}.txt": (*[WRONG] * slip, RIGHT) for n, slip in enumerate(slips)}

    def pace(item: str) -> float:
        return paces[int(item[5])]

    return Crew(workspace, Writer("cheap", words, seconds=pace), Writer("smart", usd=10, seconds=pace))


async def together(checking: Checking) -> Verdict:
    """Check that no file of the folder is wrong, whoever has written it."""
    assert checking.workspace is not None
    wrong = [path.name for path in sorted(checking.workspace.glob("item-*")) if path.read_text() != RIGHT]
    return Verdict(not wrong, f"wrong: {', '.join(wrong) or 'none'}")


@settings(max_examples=40)
@given(
    slips=SLIPS,
    paces=PACES,
    slots=st.integers(1, COUNT),
    budget=BUDGETS,
    shared=st.booleans(),
    escalate=st.booleans(),
    stop_at=st.none() | st.integers(5, 120),
)
def test_it_ends(
    place: Path,
    slips: list[int],
    paces: list[float],
    slots: int,
    budget: Budget,
    shared: bool,
    escalate: bool,
    stop_at: int | None,
) -> None:
    """With any failures, paces, slots, caps and stops. The virtual loop raises if everybody waits."""
    folder = Path(tempfile.mkdtemp(dir=place))
    crew = crew_in(folder / "work", slips, paces)
    check = together if shared else is_right
    ladder = ("cheap", "cheap_again", "smart") if escalate else None
    chosen: dict[str, Any] = {"checks": (check,), "max_concurrent": slots, "budget": budget}
    chosen |= {"escalate": escalate, "ladder": ladder, "worth_usd": 100 if escalate else None}
    if not escalate:
        crew.smart = crew.cheap
    seen = 0

    def stop(event: object) -> bool:
        nonlocal seen
        seen += 1
        return seen == stop_at

    crew.stop_at = stop
    done = crew.batch(items(COUNT), **chosen)
    require_sound(crew, done, budget)
    crew.stop_at = None
    if done.run.status == "cancelled":
        done = crew.resume(done.run.run_id, {"checks": (check,)})
        require_sound(crew, done, budget)
        assert done.run.status != "cancelled"
    assert len(done) == COUNT
    if budget.usd != Decimal("0.05") and budget.calls is None:
        for slip, result in zip(slips, done, strict=True):
            assert result.verification is not None
            if escalate:
                assert (result.status, result.verification.passed) == ("ok", True)
                assert shared or len(rungs(result)) == min(slip, 2) + 1
    shutil.rmtree(folder)


def require_sound(crew: Crew, done: Any, budget: Budget) -> None:
    """Check the caps, the bill, and that nobody wrote while a check ran."""
    bill = done.run.bill
    assert sum((one.bill.cost_usd or Decimal(0)) for one in done) == bill.cost_usd
    assert budget.usd is None or bill.cost_usd <= budget.usd
    assert budget.calls is None or bill.calls <= budget.calls
    is_checking = False
    for event in crew.events:
        if isinstance(event, CheckStarted):
            assert not is_checking
            is_checking = True
        elif isinstance(event, CheckFinished):
            is_checking = False
        elif isinstance(event, ToolCallFinished) and not event.replayed:
            assert not is_checking
