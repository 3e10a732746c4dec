"""A run that waits for a person spends no time: somebody who is asked takes as long as it takes."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest

from sunwell.agent.lifecycle.open_run import restore
from sunwell.agent.run.run_context import Run
from sunwell.budget import Budget
from sunwell.context.options import RunOptions
from sunwell.core import Completion, Text
from sunwell.journal.memory import MemoryJournal
from sunwell.journal.records import Answer, Paused, RunOpened, RunResumed
from sunwell.testing import ScriptedModel, completion


def yes_after(seconds: float) -> Any:
    """Return somebody who says yes after so long."""

    async def approve(_: object) -> bool:
        await asyncio.sleep(seconds)
        return True

    return approve


def test_who_is_asked_for_an_approval_does_not_use_the_runs_time_up(story, call, scripted):
    """Two approvals of ten minutes each, in a run of ten seconds whose four answers take eight."""
    story.options = RunOptions(budget=Budget(seconds=10), approve=yes_after(600))
    lines = [
        completion(call.writing("a.txt", "1\n")),
        completion(call.writing("b.txt", "2\n")),
        completion(call.reading("a.txt")),
        "Done.",
    ]
    result = story.run(model=scripted("opus-x", *lines, seconds=2))
    assert (result.status, result.answer, result.duration_seconds) == ("ok", "Done.", pytest.approx(8))
    assert (story.workspace / "b.txt").read_text() == "2\n"
    paused = [record for record in story.records() if isinstance(record, Paused)]
    assert [(one.reason, one.seconds) for one in paused] == [("approval", pytest.approx(600))] * 2


def test_after_an_approval_the_limit_holds_as_before(story, call, scripted):
    """What was left before the question is left after it: the third answer of four seconds comes too late."""
    story.options = RunOptions(budget=Budget(seconds=10), approve=yes_after(600))
    lines = [completion("Writing.", call.writing("a.txt", "1\n")), completion(call.reading("a.txt"))]
    result = story.run(model=scripted("opus-x", *lines, "Never heard.", "Nor this.", seconds=4))
    assert (result.status, result.stop_reason, result.turns) == ("incomplete", "timeout", 2)


def test_workers_beside_the_one_that_asks_wait_without_loss(story, call):
    """One clock for the run: a worker whose model is slow meanwhile has its time left, too."""
    story.options = RunOptions(budget=Budget(seconds=10), approve=yes_after(600), worker_timeout_seconds=6)

    class Slow(ScriptedModel):
        """Writes for the first task; thinks for five minutes about the second."""

        async def complete(self, request: Any) -> Completion:
            last = request.messages[-1]
            if last.role == "tool":
                return completion("Written.", model="opus-x")
            if "the second" in last.text:
                await asyncio.sleep(300)
                return completion("Thought long.", model="opus-x")
            await asyncio.sleep(2)
            return completion(call.writing("a.txt", "1\n"), model="opus-x")

    result = story.batch(["the first", "the second"], model=Slow("opus-x", []))
    assert [worker.status for worker in result.workers] == ["ok", "ok"]
    assert [worker.answer for worker in result.workers] == ["Written.", "Thought long."]


@pytest.mark.parametrize("reason", ["approval", "reader"])
def test_a_run_that_is_taken_up_has_as_much_time_left_as_it_had(reason):
    """What a person took is on record and is left out when the time of earlier processes is added up."""
    said = Completion((Text("Yes."),), "end", None, "haiku")
    records = [
        RunOpened("r1", "Do it.", 1000.0),
        Answer("run/work", 0, 0, "work", 0, "d", said, None, 3.0, 1003.0),
        Paused(reason, 600.0, 1604.0),
        Answer("run/work", 1, 0, "work", 0, "d", said, None, 3.0, 1607.0),
        RunResumed(5000.0),
    ]
    run = Run(None, MemoryJournal.of("r1", records), Budget(seconds=10))
    restore(run)
    assert run.ledger.used("run").seconds == pytest.approx(7)
    assert run.ledger.seconds_left("run") == pytest.approx(3)


async def test_a_pause_looks_at_no_limit_that_still_has_time():
    """With many workers at work pauses are many, too: none of them may cost a look at all the others."""
    journal = MemoryJournal("run")
    run = Run(None, journal, Budget(seconds=100))
    asked = []

    def left() -> float:
        asked.append(1)
        return 100.0

    async with AsyncExitStack() as many:
        for _ in range(50):
            await many.enter_async_context(run.time_limits.limit(left))
        asked.clear()
        for _ in range(50):
            async with run.time_limits.pause("reader"):
                await asyncio.sleep(0)
    assert asked == []
