"""Files that workers share, when their run is taken up in another process."""

import asyncio
import json
from pathlib import Path

from sunwell.agent import Agent
from sunwell.agent.batches.task_batch import run_tasks
from sunwell.agent.run.run_context import Run
from sunwell.agent.run.toolset import Toolset
from sunwell.agent.workers.dispatcher import Dispatcher
from sunwell.agent.workers.slots import Slots
from sunwell.agent.workers.worker import WorkerTerms
from sunwell.budget import Budget
from sunwell.context.options import RunOptions
from sunwell.context.session import SessionContext
from sunwell.core import Completion, Task, TaskResult
from sunwell.errors import ServerFailed
from sunwell.events import RunFinished
from sunwell.journal.memory import MemoryJournal
from sunwell.journal.protocol import Durability
from sunwell.journal.records import Record, RunOpened, ToolStarted
from sunwell.testing import ScriptedModel, run_virtual
from sunwell.tools import Toolbox
from tests.agent.orchestrated import answer, batch, boss, call


def writing_a(text: str) -> Completion:
    return call("write_file", path="a.txt", content=f"{text}\n")


async def test_a_batch_that_is_taken_up_remembers_who_changed_what(tmp_path: Path) -> None:
    """What one worker wrote stays: another that has not read it is refused, and both sides are on record."""

    options = RunOptions(max_concurrent=1, budget=Budget(calls=3))
    before = Agent(model=ScriptedModel("worker", [writing_a("first"), "Written."]))
    first = await before.batch(["one", "two"], workspace=tmp_path, options=options)
    assert [one.status for one in first] == ["ok", "incomplete"]
    after = Agent(model=ScriptedModel("worker", [writing_a("second"), "Refused."]))
    events = after.resume(first.run.run_id, workspace=tmp_path, budget=Budget(calls=9))
    last = [event async for event in events][-1]
    assert isinstance(last, RunFinished)
    assert (tmp_path / "a.txt").read_text() == "first\n"
    one, two = last.result.workers
    assert [(found.path, found.first, found.second) for found in two.conflicts] == [
        ("a.txt", one.task_id, two.task_id)
    ]


async def test_an_orchestrated_run_that_is_taken_up_remembers_it_too(tmp_path: Path) -> None:
    """The second worker begins in the second process, and has not read what the first one wrote."""
    wait = call("await_results", task_ids=None, timeout_seconds=None)
    options = RunOptions(orchestrate=True)
    session = SessionContext.build(tmp_path, "the task", options)
    broken = boss(batch("one"), wait, ServerFailed("boss", "down"))
    before = ScriptedModel("worker", [writing_a("first"), "Written."])
    first = await Agent(smart_model=broken, delegation_model=before).result(session)
    assert first.status == "error"
    mended = boss(batch("two"), wait, answer("done"))
    after = Agent(
        smart_model=mended, delegation_model=ScriptedModel("worker", [writing_a("second"), "Refused."])
    )
    last = [event async for event in after.resume(first.run_id, workspace=tmp_path)][-1]
    assert isinstance(last, RunFinished)
    assert (tmp_path / "a.txt").read_text() == "first\n"
    one, two = last.result.workers
    assert [(found.first, found.second) for found in two.conflicts] == [(one.task_id, two.task_id)]


def test_a_worker_whose_time_is_up_holds_no_file_any_more(tmp_path: Path) -> None:
    """Its change was planned and not yet made: the next one gets the file, and nobody waits for ever."""

    class SlowToBegin(MemoryJournal):
        async def append(self, record: Record, *, durable: Durability = True) -> None:
            if isinstance(record, ToolStarted) and record.span.endswith("task-0"):
                await asyncio.sleep(10**6)
            await MemoryJournal.append(self, record, durable=durable)

    async def main() -> tuple[TaskResult, ...]:
        run = Run(object(), SlowToBegin("r1"), Budget())
        run.gateway.hold = _nobody_reads
        await run.journal.append(RunOpened("r1", "two", 0.0))
        model = ScriptedModel("worker", [writing_a("first"), writing_a("second"), "Stopped.", "Written."])
        dispatcher = Dispatcher(run, WorkerTerms(model, Toolset.of(None, Toolbox(tmp_path))), Slots(2))
        tasks = (Task("one", timeout_seconds=30), Task("two"))
        return await run_tasks(dispatcher, tasks, run.root)

    results = run_virtual(main())
    assert [(one.status, one.stop_reason) for one in results] == [("incomplete", "timeout"), ("ok", "end")]
    assert (tmp_path / "a.txt").read_text() == "second\n"


async def _nobody_reads() -> None:
    """Hold nobody up: this run has no reader."""


async def test_who_was_done_before_the_conflict_is_told_of_it_in_its_result(tmp_path: Path) -> None:
    """Both results name it, in the results file as well, also where another process takes the run up."""
    options, out = RunOptions(max_concurrent=1), tmp_path / "out.jsonl"
    worker = ScriptedModel(
        "worker", [writing_a("first"), "Written.", writing_a("second"), "Refused.", ServerFailed("w", "down")]
    )
    first = await Agent(model=worker).batch(
        ["one", "two", "three"], workspace=tmp_path, options=options, results=out
    )
    assert [len(one.conflicts) for one in first] == [1, 1, 0]
    assert first[0].conflicts == first[1].conflicts
    events = Agent(model=ScriptedModel("worker", ["Done."])).resume(first.run.run_id, workspace=tmp_path)
    last = [event async for event in events][-1]
    assert isinstance(last, RunFinished)
    assert [one.status for one in last.result.workers] == ["ok"] * 3
    assert [one.conflicts for one in last.result.workers] == [one.conflicts for one in first]
    told = [len(json.loads(line)["conflicts"]) for line in out.read_text().splitlines()]
    assert told == [1, 1, 0]
