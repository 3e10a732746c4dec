"""Begun work goes first: who begins under a ceiling, who waits, and who is refused."""

import asyncio
import importlib
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest

from sunwell.agent.batches.task_batch import run_tasks
from sunwell.agent.loop import AgentLoop, LoopConfig
from sunwell.agent.run.run_context import Run
from sunwell.agent.run.toolset import Toolset
from sunwell.agent.workers.dispatcher import Dispatcher
from sunwell.agent.workers.slots import Slots
from sunwell.agent.workers.worker import WorkerTerms
from sunwell.budget.ledger_protocol import Budget
from sunwell.core import Completion, Request, Task, TaskResult, Text, ToolCall, Usage
from sunwell.events import Event, RunFinished, WorkerFinished, WorkerStarted
from sunwell.journal.memory import MemoryJournal
from sunwell.journal.records import Held, RunOpened
from sunwell.testing import run_virtual, task_in
from sunwell.tools import tool

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


@tool(parallel=True, repeatable=True)
async def look() -> str:
    """Look."""
    return "seen"


@attrs.define(eq=False)
class Paced:
    """A model that takes so many turns for each task, each a second long and of so many tokens."""

    turns: int = 1
    output_tokens: int = 4_000
    seconds: Callable[[str], float] = lambda _: 1.0
    name: str = "paced"

    async def complete(self, request: Request) -> Completion:
        await asyncio.sleep(self.seconds(task_in(request)))
        done = sum(message.role == "assistant" for message in request.messages) + 1
        usage = Usage(20, self.output_tokens)
        if done < self.turns and request.tools and request.tool_choice == "auto":
            return Completion((ToolCall(f"c{done}", "look", "{}"),), "tool_calls", usage, self.name)
        return Completion((Text("done"),), "end", usage, self.name)

    def stream(self, request: Request) -> Any:
        raise NotImplementedError


@attrs.define(eq=False)
class Crowded:
    """A dispatcher under a ceiling in tokens, and what was seen of its workers."""

    made: Dispatcher
    began: dict[str, float] = attrs.field(factory=dict)
    ended: dict[str, float] = attrs.field(factory=dict)

    def see(self, event: Event) -> None:
        """Take note of when workers begin and end."""
        now = asyncio.get_running_loop().time()
        if isinstance(event, WorkerStarted):
            self.began[event.task_id] = now
        elif isinstance(event, WorkerFinished):
            self.ended[event.task_id] = now


async def crowded(
    model: Paced, tokens: int, *, slots: int = 100, journal: MemoryJournal | None = None
) -> Crowded:
    """Return a dispatcher of workers whose answers have at most 4,096 tokens."""
    run = Run(object(), journal or MemoryJournal("r1"), Budget(tokens=tokens), resumed=journal is not None)
    run.gateway.hold = _nobody_reads
    if journal is None:
        await run.journal.append(RunOpened("r1", "many", 0.0))
    tools = Toolset.of((look,) if model.turns > 1 else (), None)
    terms = WorkerTerms(model, tools, max_output_tokens=4_096, timeout_seconds=None)
    found = Crowded(Dispatcher(run, terms, Slots(slots)))
    run.watch(found.see)
    return found


async def _nobody_reads() -> None:
    """Hold nobody up: these runs have no reader."""


def tasks(count: int) -> tuple[Task, ...]:
    """Return so many tasks."""
    return tuple(Task(f"task {number}") for number in range(count))


def finished(results: tuple[TaskResult, ...]) -> int:
    """Return how many came to their own end."""
    return sum(result.success for result in results)


@pytest.mark.parametrize("slots", [4, 100])
def test_a_worker_begins_only_if_what_is_left_holds_it_beside_the_rest_of_what_has_begun(slots: int) -> None:
    """A worker of five turns takes 20,100 tokens, and 400,000 are there: nearly all go to finished ones."""

    async def main() -> tuple[tuple[TaskResult, ...], int]:
        crowd = await crowded(Paced(5), 400_000, slots=slots)
        results = await run_tasks(crowd.made, tasks(100), crowd.made.run.root)
        return results, crowd.made.run.ledger.used("run").settled_tokens

    results, used = run_virtual(main())
    assert finished(results) >= 17
    assert used <= 400_000
    assert [result.status for result in results if not result.success] == ["incomplete"] * (
        100 - finished(results)
    )
    assert sum(result.turns > 0 for result in results if not result.success) <= 3


def test_with_room_for_all_nobody_waits() -> None:
    """A hundred begin in the same moment, under a ceiling that is far away."""

    async def main() -> Crowded:
        crowd = await crowded(Paced(5), 10**7)
        await run_tasks(crowd.made, tasks(100), crowd.made.run.root)
        return crowd

    crowd = run_virtual(main())
    assert set(crowd.began.values()) == {0.0}
    assert not [record for record in crowd.made.run.journal.records() if isinstance(record, Held)]


def test_workers_begin_in_order_of_arrival_and_the_wait_is_written_down() -> None:
    """As room comes free, the first in line begins first."""

    async def main() -> Crowded:
        crowd = await crowded(Paced(5), 400_000)
        await run_tasks(crowd.made, tasks(20), crowd.made.run.root)
        return crowd

    crowd = run_virtual(main())
    assert list(crowd.began) == [f"task-{number}" for number in range(20)]
    records = crowd.made.run.journal.records()
    held = [one.span for one in records if isinstance(one, Held) and one.reason == "ledger"]
    late = [f"run/{name}" for name, at in crowd.began.items() if at > 0]
    assert late
    assert [span for span in dict.fromkeys(held) if span in late] == late


def test_who_is_refused_has_spent_nothing_and_says_why() -> None:
    """Nothing that has begun is left, and the first call does not fit: each of the rest ends at once."""

    async def main() -> tuple[TaskResult, ...]:
        crowd = await crowded(Paced(1), 12_000)
        return await run_tasks(crowd.made, tasks(20), crowd.made.run.root)

    results = run_virtual(main())
    refused = [result for result in results if not result.success]
    assert finished(results) + len(refused) == 20
    assert refused
    assert {(one.status, one.stop_reason, one.bill.calls) for one in refused} == {
        ("incomplete", "budget_tokens", 0)
    }
    assert all("tokens" in one.error for one in refused)


def test_a_worker_that_is_stopped_while_it_waits_lets_the_others_go_on() -> None:
    """It ends as stopped, without a call, and who stood behind it begins in its turn."""

    async def main() -> tuple[tuple[TaskResult | None, ...], Crowded]:
        crowd = await crowded(Paced(5), 400_000)
        ids = [crowd.made.start(task, crowd.made.run.root) for task in tasks(20)]
        await asyncio.sleep(2)
        waiting = [name for name in ids if name not in crowd.began]
        crowd.made.cancel(waiting[:1])
        results = await crowd.made.await_results(ids)
        return tuple(one for one in results if one and one.task_id == waiting[0]), crowd

    stopped, crowd = run_virtual(main())
    assert [(one.status, one.bill.calls) for one in stopped if one] == [("cancelled", 0)]
    assert len(crowd.ended) == 20
    assert sum(at > 0 for at in crowd.began.values()) >= 2


def test_a_run_that_is_taken_up_begins_with_the_workers_that_had_begun() -> None:
    """Those who had not begun come after them, also if they stand before them in the batch."""

    async def first() -> MemoryJournal:
        slow = Paced(5, seconds=lambda text: 1.0)
        crowd = await crowded(slow, 400_000)
        for number in (3, 4, 5):
            crowd.made.start(Task(f"task {number}"), crowd.made.run.root, name=f"task-{number}")
        await asyncio.sleep(2.5)
        await crowd.made.close()
        journal = crowd.made.run.journal
        assert isinstance(journal, MemoryJournal)
        return journal

    async def again(journal: MemoryJournal) -> Crowded:
        crowd = await crowded(Paced(5), 400_000, slots=2, journal=journal)
        await run_tasks(crowd.made, tasks(6), crowd.made.run.root)
        return crowd

    async def both() -> Crowded:
        return await again(await first())

    crowd = run_virtual(both())
    assert list(crowd.began)[:3] == ["task-3", "task-4", "task-5"]
    assert len(crowd.ended) == 6


@pytest.mark.parametrize("tokens", [3_000, 6_000, 12_000, 30_000, 10**6])
def test_parents_that_wait_for_workers_of_their_own_never_lock_each_other_up(tokens: int) -> None:
    """Whatever the ceiling, a tree of workers comes to an end: all of them are over, and within it."""

    @attrs.define(eq=False)
    class Nesting:
        name: str = "nesting"

        async def complete(self, request: Request) -> Completion:
            await asyncio.sleep(1.0)
            told = task_in(request)
            can = any(spec.name == "subagent" for spec in request.tools) and request.tool_choice == "auto"
            asked = any(message.role == "assistant" for message in request.messages)
            usage = Usage(200, 100)
            if can and not asked and "level 2" not in told:
                level = "level 2" if "level 1" in told else "level 1"
                calls = [ToolCall(f"c{i}", "subagent", f'{{"question": "{level}, {i}"}}') for i in range(3)]
                return Completion(tuple(calls), "tool_calls", usage, self.name)
            return Completion((Text("done"),), "end", usage, self.name)

        def stream(self, request: Request) -> Any:
            raise NotImplementedError

    async def main() -> TaskResult:
        config = LoopConfig(
            delegation_tools="subagent",
            max_depth=2,
            max_concurrent=2,
            max_output_tokens=200,
            budget=Budget(tokens=tokens),
        )
        events = [event async for event in AgentLoop(Nesting(), config=config).run("the task")]
        assert isinstance(events[-1], RunFinished)
        return events[-1].result

    result = run_virtual(main())
    assert result.bill.usage.total_tokens <= tokens
    if tokens == 10**6:
        assert result.status == "ok"
        assert len(result.workers) == 12


@pytest.fixture
def bench(monkeypatch) -> Any:
    """Return the benchmark of a hundred workers on one dollar."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("begun_first")


@pytest.mark.parametrize(("at_once", "turns"), [(4, 1), (100, 1), (4, 5), (100, 5)])
def test_a_dollar_finishes_nine_workers_of_ten_cents(bench, at_once: int, turns: int) -> None:
    """Of a hundred, a few or all at once; eight if all begin at once and take five turns each."""
    for seed in (1, 2):
        found = bench.measure(at_once, turns, seed)
        assert found.finished >= bench.LEAST_FINISHED[at_once, turns]
        assert found.billed_usd <= Decimal(1)
