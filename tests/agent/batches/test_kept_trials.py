"""What the test of a lens has shown is kept with it: one that harms is not taken again."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from sunwell.context import RunOptions
from sunwell.core import Task, Text
from sunwell.core.check import Checking, Verdict
from sunwell.core.task import TaskResult
from sunwell.simulator import Asked, Reply
from tests.agent.lens.lens_desk import LensDesk, lens_desk

COUNT = 40


async def is_right(checking: Checking) -> Verdict:
    """Check the answer."""
    return Verdict(checking.answer == "right", checking.answer)


def answering(with_lens: str, without: str) -> Any:
    """Return a model that says one thing under a lens, and another one without."""

    def say(asked: Asked) -> Reply:
        return Reply((Text(with_lens if "# Task Expertise" in asked.system else without),))

    return say


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LensDesk]:
    """Return a desk with a store of its own."""
    with lens_desk(tmp_path, monkeypatch) as made:
        yield made


async def is_right_too(checking: Checking) -> Verdict:
    """Check the answer in another way."""
    return await is_right(checking)


async def batch(desk: LensDesk, *, last: str = "", check: Any = is_right, **of_first: Any) -> TaskResult:
    """Run the usual batch under a lens that is written, or taken from the store, and return its result.

    Its last item, which the task of the run does not name, may say more, and its first one has *of_first*.
    """
    tasks = [Task(f"Question {number} on src/shop.py") for number in range(COUNT + 1)]
    tasks[0] = attrs.evolve(tasks[0], **of_first)
    tasks[-1] = attrs.evolve(tasks[-1], text=f"{tasks[-1].text}{last}")
    options = RunOptions(enable_delegation=True, checks=(check,), tools=(), max_concurrent=10)
    return (await desk.agent().batch(tasks, workspace=desk.workspace, options=options)).run


async def test_a_lens_that_harmed_is_not_taken_again(desk: LensDesk) -> None:
    """The store has the finding with its evidence, and the next run has a lens written."""
    desk.work = answering("wrong", "right")
    first = await batch(desk)
    assert first.lens_test is not None
    assert first.lens_test.finding == "harms"
    (kept,) = desk.kept()
    assert kept.harms
    assert kept.trial is not None
    assert re.fullmatch("[0-9a-f]{64}", kept.trial["items"])
    assert kept.trial == {
        "verdict": "harms",
        "evidence": "harms: better in 0, worse in 4 of 4 pairs",
        "withheld": True,
        "pairs": 4,
        "better": 0,
        "worse": 4,
        "unknown": 0,
        "items": kept.trial["items"],
        "run": first.run_id,
    }
    second = await batch(desk)
    assert len(desk.asked) == 2
    assert second.lens_source is not None
    assert second.lens_source.how == "written"
    assert second.lens_source.reasons == ("a trial found that work is worse under it",)
    assert second.lens_test is not None
    assert second.lens_test.pairs == 4


async def test_a_lens_that_helped_is_taken_again_and_not_tested_again(desk: LensDesk) -> None:
    """The report says by which evidence; a run that is taken up again says the same."""
    desk.work = answering("right", "wrong")
    first = await batch(desk)
    assert (len(desk.asked), len(desk.worked)) == (1, COUNT + 5)
    second = await batch(desk)
    assert (len(desk.asked), len(desk.worked)) == (1, 2 * COUNT + 6)
    assert second.lens_test is not None
    said = "an earlier run has tested it: helps: better in 4, worse in 0 of 4 pairs"
    assert (second.lens_test.finding, second.lens_test.reason) == ("not tested", said)
    desk.store().drop([kept.id for kept in desk.kept()])
    run = desk.agent().resume(second.run_id, workspace=desk.workspace, given={"checks": (is_right,)})
    assert (await run).lens_test == second.lens_test
    assert first.lens_test is not None
    assert first.lens_test.finding == "helps"


@pytest.mark.parametrize(
    "other",
    [
        {"last": " and src/model.py"},
        {"check": is_right_too},
        {"done": "The shop is open."},
        {"scope": "Closed."},
    ],
    ids=["an item that no title names", "check", "done", "scope"],
)
async def test_a_lens_that_helped_with_other_items_is_tested(desk: LensDesk, other: dict[str, Any]) -> None:
    """It is taken, since its task is the same, and nobody knows what it does to them."""
    desk.work = answering("right", "wrong")
    await batch(desk)
    second = await batch(desk, **other)
    assert second.lens_source is not None
    assert second.lens_source.how == "taken"
    assert second.lens_test is not None
    assert (second.lens_test.finding, second.lens_test.pairs) == ("helps", 4)
    third = await batch(desk, **other)
    assert third.lens_test is not None
    assert third.lens_test.finding == "not tested"


async def test_a_lens_that_was_no_gain_is_tested_again(desk: LensDesk) -> None:
    """It was withheld for its cost alone, and more pairs may show otherwise."""
    desk.work = answering("right", "right")
    assert [kept.trial for kept in desk.kept()] == []
    found = [(await batch(desk)).lens_test for _ in range(2)]
    assert [(one.finding, one.pairs) for one in found if one is not None] == [("no gain", 20)] * 2
    (kept,) = desk.kept()
    assert kept.trial is not None
    assert kept.trial["verdict"] == "no gain"
    assert json.dumps(kept.trial)
