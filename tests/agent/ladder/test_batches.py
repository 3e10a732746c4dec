"""A batch climbs: only items that fail go up, each within its own budget, and nobody blocks anybody."""

import asyncio
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest

from sunwell.core import Budget, Completion, Request, Task, ToolCall, Usage
from sunwell.core.check import Checking, Verdict
from sunwell.errors import ConnectionFailed
from sunwell.events import CheckStarted, RungStarted, ToolCallFinished, WorkerFinished
from sunwell.journal.records import Checked, Intent, ToolFinished
from sunwell.testing import completion, run_virtual
from tests.agent.ladder.batch_parts import (
    RIGHT,
    WRONG,
    Crew,
    Writer,
    is_right,
    items,
    rungs,
    three_are_right,
)


@attrs.define(eq=False)
class Down(Writer):
    """A writer whose provider is down for one of the items."""

    down: str = ""

    async def complete(self, request: Request) -> Completion:
        """Write, or fail for good."""
        if self.down in request.messages[0].text:
            raise ConnectionFailed(self.name, "it is down", False, False)
        return await super().complete(request)


FAILS_ONCE, FAILS_TWICE = (WRONG, RIGHT), (WRONG, WRONG)


@pytest.fixture
def crew(tmp_path: Path) -> Crew:
    """Return a cheap model that fails on two of the items, and a smart one that never does."""
    words = {"item-1.txt": FAILS_TWICE, "item-3.txt": FAILS_ONCE}
    return Crew(tmp_path, Writer("cheap", words), Writer("smart", usd=10))


LIMITS: list[dict[str, Any]] = [
    {},
    {"max_concurrent": 1},
    {"max_concurrent": 2},
    {"max_concurrent": 1, "budget": Budget(usd=10)},
    {"max_concurrent": 2, "budget": Budget(tokens=10_000_000)},
]


@pytest.mark.parametrize("limits", LIMITS, ids=str)
def test_only_items_that_fail_go_up(crew: Crew, limits: dict[str, Any]) -> None:
    """The rest is asked once. Results are in order, and every item passes, however few slots there are."""
    done = crew.batch(items(5), **limits)
    assert [result.task for result in done] == [task.text for task in items(5)]
    assert [rungs(result) for result in done] == [
        ["cheap"],
        ["cheap", "cheap_again", "smart"],
        ["cheap"],
        ["cheap", "cheap_again"],
        ["cheap"],
    ]
    assert {result.status for result in done} == {done.run.status} == {"ok"}
    assert all(result.verification is not None and result.verification.passed for result in done)
    assert done.run.verification is not None
    assert done.run.verification.passed
    assert done.run.verification.evidence == "5 of 5 tasks passed their checks"
    assert {path.read_text() for path in crew.workspace.glob("item-*")} == {RIGHT}


def test_the_bill_of_an_item_is_that_of_its_rungs_and_of_the_batch_that_of_its_items(crew: Crew) -> None:
    """To the last digit. The smart model works at depth 0: it is the parent's side of the bill."""
    done = crew.batch(items(5))
    for result in done:
        assert result.verification is not None
        assert sum(attempt.cost_usd or 0 for attempt in result.verification.attempts) == result.bill.cost_usd
    assert sum(result.bill.cost_usd or 0 for result in done) == done.run.bill.cost_usd == Decimal("0.0051")
    lines = {(line.rung, line.model, line.depth) for line in done.run.bill.lines}
    assert lines == {("cheap", "cheap", 1), ("cheap_again", "cheap", 1), ("smart", "smart", 0)}


def test_work_of_the_worker_is_pinned_to_the_delegation_model(crew: Crew) -> None:
    """Spans of the cheap rungs and of the work under a lens ask nobody else; other spans are the parent's."""
    words = {"item-0.txt": (WRONG, WRONG, WRONG)}
    crew.cheap, crew.smart = Writer("cheap", words), Writer("smart", words, usd=10)
    done = crew.batch(items(2), ladder=None)
    assert set(rungs(done[0])) == {"cheap", "cheap_again", "lens", "smart"}
    asked = {record.span: record.model for record in crew.records(Intent)}
    for span, model in asked.items():
        is_workers = span.endswith(("/cheap", "/cheap_again", "/lens/work"))
        assert (span, model) == (span, "cheap" if is_workers else "smart")
    assert len(asked) == 6
    depths = {(line.rung, line.purpose): line.depth for line in done.run.bill.lines}
    assert depths == {
        ("cheap", "work"): 1,
        ("cheap_again", "work"): 1,
        ("lens", "lens"): 0,
        ("lens", "work"): 1,
        ("smart", "work"): 0,
    }


def test_a_task_may_have_a_check_of_its_own(crew: Crew) -> None:
    """Besides it, tasks without any check are done once, and count as not verified."""

    async def nothing_is_right(checking: Checking) -> Verdict:
        return Verdict(False, f"{checking.task}: no")

    first, second, third = items(3)
    tasks = [first, Task(second.text, check=(is_right,)), Task(third.text, check=(nothing_is_right,))]
    done = crew.batch(tasks, checks=())
    assert done[0].verification is None
    assert rungs(done[1]) == rungs(done[2]) == ["cheap", "cheap_again", "smart"]
    assert [result.status for result in done] == ["ok", "ok", "incomplete"]
    assert done[2].verification is not None
    assert f"{third.text}: no" in done[2].verification.evidence
    assert done[2].verification.by == ("nothing_is_right",)
    assert done.run.verification is not None
    assert done.run.verification.passed is False
    assert done.run.verification.evidence == "1 of 3 tasks passed their checks"


def test_a_failure_while_siblings_are_at_work_is_looked_at_again_when_all_pause(crew: Crew) -> None:
    """The first finding names who was at work; the second counts, and clears the item that was right."""
    crew.cheap = Writer("cheap")
    done = crew.batch(items(3), checks=(three_are_right,), max_concurrent=1)
    seen = [
        (record.span.removeprefix("run/"), record.number, record.passed, record.unfinished)
        for record in crew.records(Checked)
    ]
    assert seen[:3] == [
        ("task-0", 0, False, ("task-1", "task-2")),
        ("task-1", 0, False, ("task-0", "task-2")),
        ("task-2", 0, True, ("task-0", "task-1")),
    ]
    assert sorted(seen[3:]) == [("task-0", 1, True, ()), ("task-1", 1, True, ())]
    assert [rungs(result) for result in done] == [["cheap"]] * 3
    assert {result.status for result in done} == {"ok"}


def test_nobody_writes_in_the_folder_while_a_check_looks(crew: Crew) -> None:
    """Siblings go on with all else: their writes wait until the check, which takes its time, has ended."""
    moved: list[bool] = []

    async def slow(checking: Checking) -> Verdict:
        assert checking.workspace is not None
        before = {path.name: path.read_text() for path in checking.workspace.glob("item-*")}
        await asyncio.sleep(10)
        after = {path.name: path.read_text() for path in checking.workspace.glob("item-*")}
        moved.append(before != after)
        return await is_right(checking)

    crew.cheap = Writer("cheap", seconds=lambda item: 1.0 + 3.0 * int(item[5]))
    crew.batch(items(4), checks=(slow,), max_concurrent=4)
    assert moved == [False] * 4


@attrs.define(eq=False)
class Careful(Writer):
    """A writer that runs the checks before its last message."""

    async def complete(self, request: Request) -> Completion:
        """Write, run the checks, or end."""
        if len(request.messages) != 3:  # the task, the call that writes, and its result
            return await super().complete(request)
        self.calls.append(request)
        return completion(ToolCall("c", "run_checks", "{}"), usage=Usage(100, 10), model=self.name)


@attrs.frozen
class Three:
    """Three items are right; it can be looked at before the work is done."""

    midway = True
    __name__ = "three"

    async def __call__(self, checking: Checking) -> Verdict:
        """Look at the files."""
        return await three_are_right(checking)


def test_a_worker_that_runs_the_checks_is_told_who_else_is_at_work(crew: Crew) -> None:
    """What failed may be a sibling's half-done work; after it, nobody is named any more."""
    crew.cheap = Careful("cheap")
    crew.batch(items(3), checks=(Three(),), max_concurrent=1, escalate=False, ladder=None, worth_usd=None)
    told = [record.result.content for record in crew.records(ToolFinished) if record.result.call_id == "c"]
    assert len(told) == 3
    assert "Other workers are still at work in this folder: task-1, task-2. If what failed" in told[0]
    assert "at work" not in told[2]
    assert told[2].startswith("All checks passed.")


def test_all_that_paused_look_before_anyone_goes_on(crew: Crew) -> None:
    """With one slot, the second of two items that failed is not looked at in the middle of the first one's
    repair; no finding claims that all paused while somebody was at work."""
    crew.cheap = Writer("cheap", {f"item-{number}.txt": FAILS_ONCE for number in range(3)})
    done = crew.batch(items(3), max_concurrent=1)
    told = [
        "check" if isinstance(event, CheckStarted) else "write"
        for event in crew.events
        if isinstance(event, CheckStarted | ToolCallFinished)
    ]
    assert told[:6] == ["write", "check"] * 3
    assert told[6:9] == ["check"] * 3
    assert [rungs(result) for result in done] == [["cheap", "cheap_again"]] * 3


def test_a_file_of_each_item_is_put_back_and_no_others(crew: Crew) -> None:
    """With fresh, the smart rung of one item begins without what the cheap one left; siblings keep theirs."""
    seen: dict[str, str] = {}

    async def looks(checking: Checking) -> Verdict:
        verdict = await is_right(checking)
        there = sorted(path.name for path in crew.workspace.glob("item-*"))
        seen[f"{checking.task} {checking.models[-1]}"] = " ".join(there)
        return verdict

    crew.smart = Writer("smart", {"item-1.txt": (WRONG,)}, usd=10)
    (crew.workspace / "item-1.txt").write_text("original")
    done = crew.batch(items(4), checks=(looks,), fresh=True, ladder=("cheap", "smart"))
    (change,) = done[1].files
    assert rungs(done[1]) == ["cheap", "smart"]
    assert change.path == "item-1.txt"
    assert (crew.workspace / "item-1.txt").read_text() == WRONG
    for number in (0, 2, 3):
        assert (crew.workspace / f"item-{number}.txt").read_text() == RIGHT
    assert isinstance(crew.smart, Writer)
    assert "taken back" in crew.smart.calls[0].messages[0].text


@pytest.mark.parametrize(
    "budget",
    [Budget(usd="0.0065"), Budget(usd="0.05"), Budget(calls=2), Budget(calls=3), Budget(calls=5)],
    ids=str,
)
@pytest.mark.parametrize("ladder", [("cheap", "smart"), ("cheap", "cheap_again", "smart")], ids=str)
def test_the_budget_of_an_item_holds_over_all_its_rungs(
    crew: Crew, budget: Budget, ladder: tuple[str, ...]
) -> None:
    """The parent's side included: the item ends on a rung that fits, with evidence and the reason."""
    words = {"item-0.txt": FAILS_TWICE}
    crew.cheap, crew.smart = Writer("cheap", words), Writer("smart", words, usd=10)
    item, other = items(2)
    done = crew.batch([Task(item.text, budget=budget), other], max_output_tokens=100, ladder=ladder)
    assert (done[0].status, done[1].status) == ("incomplete", "ok")
    assert done[0].bill.cost_usd is not None
    assert budget.usd is None or done[0].bill.cost_usd <= budget.usd
    assert budget.calls is None or done[0].bill.calls <= budget.calls
    assert done[0].verification is not None
    assert "item-0.txt holds wrong" in done[0].verification.evidence
    assert done[0].verification.gave_up


def _asks(rung: str, task: str) -> Any:
    def is_reached(event: object) -> bool:
        return isinstance(event, RungStarted) and event.rung == rung and task in event.span

    return is_reached


async def slowly_right(checking: Checking) -> Verdict:
    """Take a second to look: long enough to be stopped."""
    await asyncio.sleep(1)
    return await is_right(checking)


STOPS = {
    "in-a-repair": _asks("cheap_again", "task-1"),
    "on-the-parents-side": _asks("smart", "task-1"),
    "during-a-check": lambda event: isinstance(event, CheckStarted) and event.span == "run/task-1",
    "in-the-pause": lambda event: isinstance(event, WorkerFinished) and event.task_id == "task-2",
    "before-anything": _asks("cheap", "task-0"),
}


@pytest.mark.parametrize("slots", [1, 3])
@pytest.mark.parametrize("stop", STOPS)
def test_a_batch_can_be_stopped_anywhere_and_goes_on_later(crew: Crew, stop: str, slots: int) -> None:
    """It ends cleanly, with all that is paid on record; a resume asks only what was not answered."""
    whole = Crew(crew.workspace / "whole", Writer("cheap", crew.cheap.words), Writer("smart", usd=10))
    whole.workspace.mkdir()
    expected = whole.batch(items(4), checks=(slowly_right,), max_concurrent=slots)
    crew.workspace = crew.workspace / "stopped"
    crew.workspace.mkdir()
    crew.stop_at = STOPS[stop]
    stopped = crew.batch(items(4), checks=(slowly_right,), max_concurrent=slots)
    assert stopped.run.status == "cancelled"
    assert {result.status for result in stopped} <= {"ok", "cancelled"}
    crew.stop_at = None
    done = crew.resume(stopped.run.run_id, {"checks": (slowly_right,)})
    assert [result.status for result in done] == ["ok"] * 4
    assert [rungs(result) for result in done] == [rungs(result) for result in expected]
    assert done.run.bill.cost_usd == expected.run.bill.cost_usd
    answered = {(record.span, record.number) for record in crew.records(Intent)}
    in_flight = len(crew.records(Intent)) - len(answered)
    assert in_flight <= slots


@pytest.mark.parametrize("slots", [1, 4])
def test_an_item_without_any_result_ends_a_batch_that_is_to_fail_fast(crew: Crew, slots: int) -> None:
    """One whose work fails its check does not. Whoever waits in a pause ends, too; no check has looked."""
    crew.cheap = Down("cheap", {"item-0.txt": FAILS_TWICE, "item-1.txt": FAILS_TWICE}, down="item-2.txt")
    done = crew.batch(items(5), fail_fast=True, ladder=("cheap", "cheap_again"), max_concurrent=slots)
    statuses = [result.status for result in done]
    assert (statuses[0], statuses[1], statuses[2]) == ("cancelled", "cancelled", "error")
    assert done[2].stop_reason == "model_error"
    assert "it is down" in done[2].error
    assert done[2].verification is not None
    assert done[2].verification.passed is None
    assert "it is down" in done[2].verification.evidence
    assert done.run.status == "incomplete"


def test_without_fail_fast_an_item_whose_model_is_down_costs_the_others_nothing(crew: Crew) -> None:
    """All siblings are done; the next rung takes the item if there is one."""
    crew.cheap = Down("cheap", down="item-2.txt")
    done = crew.batch(items(4))
    assert [result.status for result in done] == ["ok"] * 4
    assert rungs(done[2]) == ["cheap", "smart"]


def test_the_results_file_has_what_the_checks_found_of_each_item(crew: Crew, tmp_path: Path) -> None:
    """As in --json: passed, by what, the evidence, and each rung with its cost; and it survives a resume."""
    path = tmp_path / "results.jsonl"
    done = crew.batch([*items(3), Task("Say hello to item-9.txt")], results=path)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["index"] for line in lines] == [0, 1, 2, 3]
    found = lines[1]["verification"]
    assert found["passed"] is True
    assert found["by"] == ["is_right"]
    assert [rung["rung"] for rung in found["rungs"]] == ["cheap", "cheap_again", "smart"]
    assert [rung["passed"] for rung in found["rungs"]] == [False, False, True]
    assert "item-1.txt holds wrong" in found["rungs"][0]["evidence"]
    assert sum(Decimal(rung["cost_usd"]) for rung in found["rungs"]) == done[1].bill.cost_usd
    before = path.read_text()
    again = crew.resume(done.run.run_id, {"checks": (is_right,)}, results=path)
    assert path.read_text() == before
    assert [result.verification for result in again] == [result.verification for result in done]


def test_a_finished_batch_is_played_again_without_its_checks_and_models(crew: Crew) -> None:
    """Each item has its verification, and nothing is asked or checked."""
    done = crew.batch(items(5))
    crew.cheap, crew.smart = Writer("cheap"), Writer("smart", usd=10)
    result = run_virtual(crew.agent().replay(done.run.run_id, workspace=crew.workspace).result())
    assert [one.verification for one in result.workers] == [one.verification for one in done]
    assert result.verification == done.run.verification
    assert result.bill == done.run.bill
    assert not crew.cheap.calls
