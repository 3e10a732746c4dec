"""How many workers finish on a cap that holds about ten of them?

Run with ``python benchmarks/begun_first.py``. A hundred workers of about ten cents each share one dollar: a
few at once and all at once, with one turn and with five. What they cost varies by 30 % up and down. Each
ten of them together cost about a dollar. Simulated models in one process, on a virtual clock.
"""

import random
import statistics
from decimal import Decimal
from typing import Any

import attrs
from recording import record

from sunwell.agent.batches.batch_plan import Planning
from sunwell.agent.batches.task_batch import run_tasks
from sunwell.agent.policy.cache_planner import CacheLessons
from sunwell.agent.run.loop_config import LoopConfig
from sunwell.agent.run.run_context import Run
from sunwell.agent.run.toolset import Toolset
from sunwell.agent.workers.dispatcher import Dispatcher
from sunwell.agent.workers.slots import Slots
from sunwell.agent.workers.worker import WorkerTerms
from sunwell.budget import Budget
from sunwell.core import Text, ToolCall
from sunwell.core.task import Task, TaskResult
from sunwell.journal.memory import MemoryJournal
from sunwell.models.prices import PriceBook
from sunwell.simulator import Asked, Billing, InProcessModel, Reply
from sunwell.simulator.in_process import loop_time
from sunwell.testing import run_virtual
from sunwell.tools import tool

MODEL = "claude-opus-5-5"
WORKERS, BLOCK = 100, 10
CAP_USD = Decimal(1)
SPREAD = 0.3
SEEDS = 20
OUTPUT_TOKENS = {1: 4_750, 5: 765}
"""Of one answer on average, by the turns of a worker: with its prompts, a worker costs about ten cents."""
LEAST_FINISHED = {(4, 1): 9, (100, 1): 9, (4, 5): 9, (100, 5): 8}
"""How many must finish, by workers at once and turns."""
_MATERIAL = "The shop sells lamps, and each lamp has a number, a price and a place. " * 60
_SEEN = "There is a lamp here, and beside it another one. " * 60


@tool(parallel=True, repeatable=True)
async def look(place: str) -> str:
    """Look somewhere."""
    return f"{place}: {_SEEN}"


def factors(seed: int) -> list[float]:
    """Return by how much each worker's answers are longer than the mean: each ten are spread evenly."""
    chance = random.Random(seed)
    found: list[float] = []
    while len(found) < WORKERS:
        steps = [1 - SPREAD + 2 * SPREAD * (place + chance.random()) / BLOCK for place in range(BLOCK)]
        chance.shuffle(steps)
        found += steps
    return found


@attrs.frozen
class Finished:
    """How one batch under the cap ended."""

    finished: int
    billed_usd: Decimal
    finished_usd: Decimal
    """What the workers that finished cost."""
    seconds: float

    @property
    def each_usd(self) -> float:
        """What one of them cost on average."""
        return float(self.finished_usd) / max(1, self.finished)


def measure(at_once: int, turns: int, seed: int, cap_usd: Decimal = CAP_USD) -> Finished:
    """Return how a batch ends of which so many work at once."""
    return run_virtual(_measure(at_once, turns, factors(seed), cap_usd))


async def _measure(at_once: int, turns: int, sizes: list[float], cap_usd: Decimal) -> Finished:
    billing, prices = Billing(clock=loop_time), PriceBook()

    def answer(asked: Asked) -> Reply:
        number = int(asked.messages[0].text.split()[1])
        done = sum(message.role == "assistant" for message in asked.messages) + 1
        output = round(OUTPUT_TOKENS[turns] * sizes[number])
        if done < turns and asked.tools:
            call = ToolCall(f"call_{number}_{done}", "look", '{"place": "the shelf"}')
            return Reply((call,), output_tokens=output)
        return Reply((Text(f"Worker {number} is done."),), output_tokens=output)

    model = InProcessModel(MODEL, answer, billing, latency_seconds=2.0, chunk_seconds=0.01)
    run = Run(None, MemoryJournal("run"), Budget(usd=cap_usd), LoopConfig(prices=prices))
    run.gateway.hold = _nobody_watches
    tools = Toolset.of((look,) if turns > 1 else (), None)
    terms = WorkerTerms(model, tools, ("Work carefully.",), timeout_seconds=None)
    dispatcher = Dispatcher(run, terms, Slots(at_once))
    planning = Planning(run, prices, CacheLessons(loop_time), at_once)
    tasks = tuple(Task(f"Worker {number} looks for lamps.\n{_MATERIAL}") for number in range(WORKERS))
    results = await run_tasks(dispatcher, tasks, run.root, planning=planning)
    return _found(results, billing)


def _found(results: tuple[TaskResult, ...], billing: Billing) -> Finished:
    done = [result for result in results if result.success]
    finished_usd = sum((result.bill.cost_usd or Decimal(0) for result in done), Decimal(0))
    return Finished(len(done), billing.total_usd(), finished_usd, loop_time())


async def _nobody_watches() -> None:
    """Hold nobody up."""


def survey(at_once: int, turns: int, seeds: range) -> dict[str, Any]:
    """Return the figures of all *seeds*."""
    found = [measure(at_once, turns, seed) for seed in seeds]
    return {
        "finished_least": min(one.finished for one in found),
        "finished_mean": round(statistics.mean(one.finished for one in found), 2),
        "billed_most_usd": str(max(one.billed_usd for one in found)),
        "billed_mean_usd": round(statistics.mean(float(one.billed_usd) for one in found), 3),
        "worker_mean_usd": round(statistics.mean(one.each_usd for one in found), 4),
        "seconds_mean": round(statistics.mean(one.seconds for one in found), 1),
    }


def main() -> None:
    """Measure, print and write the results; fail if too few finish or the bill passes the cap."""
    rows: dict[str, Any] = {}
    wrong = []
    for (at_once, turns), least in LEAST_FINISHED.items():
        name = f"{at_once} at once, {turns} turn{'s' if turns > 1 else ''}"
        rows[name] = row = survey(at_once, turns, range(SEEDS))
        print(name, row)
        if row["finished_least"] < least or Decimal(row["billed_most_usd"]) > CAP_USD:
            wrong.append(f"{name}: at least {least} must finish within {CAP_USD} US dollars, got {row}")
    record("begun_first", {"model": MODEL, "workers": WORKERS, "seeds": SEEDS, "rows": rows})
    if wrong:
        raise SystemExit("\n".join(wrong))


if __name__ == "__main__":
    main()
