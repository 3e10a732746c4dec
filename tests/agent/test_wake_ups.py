"""Random schedules of workers, waits for all or some, streams, cancellations: nobody hangs."""

import asyncio
import random
from typing import Any

import attrs

from sunwell.agent.run.run_context import Run
from sunwell.agent.run.toolset import Toolset
from sunwell.agent.workers.dispatcher import Dispatcher
from sunwell.agent.workers.slots import Slots
from sunwell.agent.workers.worker import WorkerTerms
from sunwell.budget.ledger_protocol import Budget
from sunwell.core import Completion, Request, Task, Text, Usage
from sunwell.core.span import Span
from sunwell.journal.memory import MemoryJournal
from sunwell.testing import run_virtual, task_in

SCHEDULES, AT_ONCE = 750, 250
ANSWER = Completion((Text("done"),), "end", Usage(1, 1), "quick")


@attrs.define(eq=False)
class Quick:
    """A model that takes the seconds that its task names."""

    name: str = "quick"

    async def complete(self, request: Request) -> Completion:
        await asyncio.sleep(float(task_in(request)))
        return ANSWER

    def stream(self, request: Request) -> Any:
        raise NotImplementedError


@attrs.frozen
class Stays:
    """Stays for so many seconds for further workers."""

    seconds: float

    def most_seconds(self) -> float:
        return self.seconds

    def has_enough(self) -> bool:
        return False


async def waits(dispatcher: Dispatcher, ids: list[str], chance: random.Random) -> None:
    """Wait for some workers in some way, and check what came of it."""
    chosen = [one for one in ids if chance.random() < 0.7] or ids
    way = chance.randrange(4)
    if way == 0:
        got = await dispatcher.await_results(chosen)
        assert [one.task_id for one in got if one is not None] == chosen
    elif way == 1:
        seconds = chance.choice([0, 0.5, 1.0, 2.0])
        for task_id, result in zip(chosen, await dispatcher.await_results(chosen, seconds), strict=True):
            assert result is None or result.task_id == task_id
    elif way == 2:
        least, longer = chance.randint(1, 3), chance.choice([None, *map(Stays, (0.0, 0.5, 9.0))])
        await dispatcher.wait_for_some(chosen, least, linger=longer)
        assert sum(dispatcher.result(one) is not None for one in chosen) >= min(least, len(chosen))
    else:
        assert {result.task_id async for result in dispatcher.results(chosen)} == set(chosen)


async def schedule(dispatcher: Dispatcher, number: int) -> None:
    """Start workers, wait for them in several ways at once, cancel one now and then."""
    chance = random.Random(number)
    parent = Span().child(f"s{number}")
    seconds = [chance.choice([0.0, 0.0, 0.5, 1.0, 1.0, 2.0]) for _ in range(chance.randint(1, 3))]
    ids = [dispatcher.start(Task(str(one)), parent) for one in seconds]
    waiting = [asyncio.ensure_future(waits(dispatcher, ids, chance)) for _ in range(chance.randint(1, 3))]
    await asyncio.sleep(chance.choice([0.0, 0.5, 1.0]))
    if chance.random() < 0.2:
        dispatcher.cancel([chance.choice(ids)])
    if chance.random() < 0.2:
        waiting[0].cancel()
    for ended in await asyncio.gather(*waiting, return_exceptions=True):
        assert ended is None or isinstance(ended, asyncio.CancelledError), ended
    got = await dispatcher.await_results(ids)
    assert [one.task_id for one in got if one is not None] == ids


async def schedules_from(first: int) -> tuple[int, int]:
    """Play some schedules at once under shared slots; return what finished and what was told."""
    run = Run(object(), MemoryJournal("r"), Budget())
    run.gateway.hold = _nobody_reads
    dispatcher = Dispatcher(run, WorkerTerms(Quick(), Toolset((), frozenset(), {})), Slots(AT_ONCE))
    async with asyncio.TaskGroup() as group:
        for number in range(first, first + AT_ONCE):
            group.create_task(schedule(dispatcher, number))
    new, _ = dispatcher.finished_since(0)
    return len(dispatcher.all_results()), len(new)


async def _nobody_reads() -> None:
    """Hold nobody up: no consumer takes the events of this run."""


def play(count: int) -> None:
    """Play so many schedules, and check that all that finished was told."""
    for first in range(0, count, AT_ONCE):
        finished, told = run_virtual(schedules_from(first))
        assert finished == told > AT_ONCE


def test_no_wake_up_is_lost_in_hundreds_of_schedules() -> None:
    """Each wait without a limit ends with all results, each stream gives each once, whoever is cancelled.

    A waiter that nobody woke would leave the virtual clock without a timer, which is an error. This file as a
    program plays ten thousand, and ``benchmarks/orchestrated.py`` as many of another kind.
    """
    play(SCHEDULES)


if __name__ == "__main__":
    play(10_000)
