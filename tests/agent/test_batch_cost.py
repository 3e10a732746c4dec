"""A shared prefix is paid once: what batches cost on the simulator, beside the least that its rules allow."""

import asyncio
from decimal import Decimal
from typing import Any

import attrs
import pytest

from sunwell.agent.batch import run_tasks
from sunwell.agent.batch_planning import Planning
from sunwell.agent.cache_lessons import CacheLessons
from sunwell.agent.cache_planner import Choice
from sunwell.agent.dispatcher import Dispatcher
from sunwell.agent.run import Run
from sunwell.agent.slots import Slots
from sunwell.agent.terms import Terms
from sunwell.agent.toolset import Toolset
from sunwell.budget.values import Budget
from sunwell.core import Request, Task
from sunwell.journal.memory import MemoryJournal
from sunwell.journal.records import Note, Record, RunOpened
from sunwell.journal.waits import Held
from sunwell.models.prices import PriceBook
from sunwell.simulator import PRICES, Billing, InProcessModel, ModelPrice, ModelRates, echo, loop_time
from sunwell.testing import run_virtual

MODELS = {"anthropic": "claude-haiku-5-5", "openai": "gpt-6-luna"}
LATENCY_SECONDS = 3.0
CHOICES: tuple[Choice, ...] = ("at-once", "after-first", "pre-warm", "after-first-1h", "uncached")
UNIT = Decimal(1_000_000)


@attrs.frozen
class Batched:
    """What one batch came to."""

    choice: str
    input_usd: Decimal
    own_tokens: int
    """Input of all workers beyond the prefix."""
    prefix_tokens: int
    seconds: float
    records: tuple[Record, ...]


async def _nobody_reads() -> None:
    """Hold nobody up: these runs have no reader."""


def batched(
    name: str,
    prefix_tokens: int,
    workers: int,
    *,
    choice: Choice | None = None,
    prices: Any = PRICES,
    slots: int = 2_000,
    lessons: CacheLessons | None = None,
    may_pad: bool = False,
) -> Batched:
    """Run a batch of workers that answer at once, on a virtual clock, and read the provider's bill."""

    async def main() -> Batched:
        model = InProcessModel(name, echo, Billing(prices, loop_time), latency_seconds=LATENCY_SECONDS)
        run = Run.begin(object(), MemoryJournal("r1"), Budget())
        run.gateway.hold = _nobody_reads
        await run.journal.append(RunOpened("r1", "many", 0.0))
        system = ("word " * prefix_tokens)[: 4 * (prefix_tokens - 2)]
        terms = Terms(model, Toolset.of((), None), (system,) if prefix_tokens else (), timeout_seconds=None)
        made = Dispatcher(run, terms, Slots(slots))
        planning = Planning(run, PriceBook(), lessons or CacheLessons(), slots, choice, may_pad)
        tasks = tuple(Task(f"Write the docstring of function {i:06d}.") for i in range(workers))
        results = await run_tasks(made, tasks, run.root, planning=planning)
        assert all(result.success for result in results)
        entries = model.billing.entries()
        row = model.billing.price_of(name)
        output = sum(
            (entry.output_tokens * row.rates_for(entry.input_tokens).output_usd / UNIT for entry in entries),
            Decimal(0),
        )
        plan = run.journal.find(Note, (run.root.path, "cache-plan"))
        assert plan is not None
        probes = len(entries) - workers
        return Batched(
            plan.value["choice"],
            model.billing.total_usd() - output,
            sum(entry.input_tokens for entry in entries[probes:]) - workers * prefix_tokens,
            prefix_tokens,
            asyncio.get_running_loop().time(),
            tuple(run.journal.records()),
        )

    return run_virtual(main())


def least_usd(price: ModelPrice, found: Batched, workers: int) -> Decimal:
    """Return the least that the simulator's rules allow: one write and then reads, or no cache at all."""
    rates = price.rates_for(found.prefix_tokens)
    plain = workers * found.prefix_tokens * rates.input_usd
    ways = [plain]
    if found.prefix_tokens >= price.least_prefix_tokens and price.cache_rule != "none":
        assert rates.write_usd is not None
        assert rates.read_usd is not None
        ways.append(found.prefix_tokens * (rates.write_usd + (workers - 1) * rates.read_usd))
    return (min(ways) + found.own_tokens * rates.input_usd) / UNIT


@pytest.mark.parametrize("prefix_tokens", [0, 300, 2_000, 30_000])
@pytest.mark.parametrize("workers", [2, 10, 100, 1_000])
@pytest.mark.parametrize("name", MODELS.values(), ids=MODELS)
def test_siblings_cost_the_least_that_the_cache_allows(name: str, workers: int, prefix_tokens: int) -> None:
    """Within one percent, and at most one time to the first answer later than all at once."""
    found = batched(name, prefix_tokens, workers)
    least = least_usd(PRICES[name], found, workers)
    assert least * Decimal("0.9999") <= found.input_usd <= least * Decimal("1.01")
    assert found.seconds <= 2 * LATENCY_SECONDS
    held = [record for record in found.records if isinstance(record, Held)]
    assert len(held) == (workers - 1 if found.choice == "after-first" else 0)
    assert all(record.reason == "planner" and record.seconds <= LATENCY_SECONDS for record in held)


STRANGE = {
    "cheap-writes": ModelRates(1, 5, "0.1", "1", "1.5"),
    "dear-writes": ModelRates(1, 5, "0.9", "3", "4"),
    "dear-reads": ModelRates(1, 5, "1", "1.25", "2"),
    "free-reads": ModelRates(1, 5, "0", "1.25", "2"),
}


@pytest.mark.parametrize("workers", [1, 2, 30])
@pytest.mark.parametrize("prefix_tokens", [600, 5_000])
@pytest.mark.parametrize("rates", ["usual", *STRANGE])
@pytest.mark.parametrize("name", MODELS.values(), ids=MODELS)
def test_no_way_that_can_be_tried_is_cheaper(name: str, rates: str, prefix_tokens: int, workers: int) -> None:
    """The planner's choice beside every other one, each really run: at usual and at strange prices."""
    row = PRICES[name]
    prices = {name: row if rates == "usual" else attrs.evolve(row, rates=STRANGE[rates], tiers=())}
    chosen = batched(name, prefix_tokens, workers, prices=prices)
    others = [batched(name, prefix_tokens, workers, choice=choice, prices=prices) for choice in CHOICES]
    assert chosen.input_usd <= min(other.input_usd for other in others) * Decimal("1.0001")


def test_padding_pays_where_it_is_asked_for() -> None:
    """A prefix too short for the cache, lengthened with its own text: cheaper for many, and never unasked."""
    name = MODELS["anthropic"]
    plain = batched(name, 300, 100)
    padded = batched(name, 300, 100, may_pad=True)
    assert (plain.choice, padded.choice) == ("uncached", "padded")
    assert padded.input_usd < plain.input_usd * Decimal("0.5")


def test_an_unknown_least_length_is_learned_from_the_first_usage() -> None:
    """A model that no table names: 4,096 tokens are assumed until a sibling's usage shows better."""
    name = "shop-model-1"
    prices = {name: ModelPrice(ModelRates(1, 5, "0.1", "1.25"), (), "blocks", 1_000)}
    lessons = CacheLessons()
    assert batched(name, 3_000, 4, prices=prices, lessons=lessons).choice == "after-first"
    assert batched(name, 2_000, 4, prices=prices, lessons=lessons).choice == "uncached"
    lessons_of_shorter = CacheLessons()
    batched(name, 900, 4, choice="after-first", prices=prices, lessons=lessons_of_shorter)
    again = batched(name, 3_000, 4, prices=prices, lessons=lessons_of_shorter)
    assert again.choice == "after-first"
    assert again.input_usd <= least_usd(prices[name], again, 4) * Decimal("1.01")


def test_where_the_first_worker_fails_the_next_goes_first() -> None:
    """The rest is held no longer than until somebody's answer has begun."""

    async def main() -> tuple[list[str], list[float]]:
        asked: list[float] = []

        class Failing(InProcessModel):
            async def stream(self, request: Request) -> Any:
                asked.append(asyncio.get_running_loop().time())
                if len(asked) == 1:
                    raise RuntimeError("the adapter is broken")
                async for delta in InProcessModel.stream(self, request):
                    yield delta

        model = Failing("claude-haiku-5-5", echo, Billing(PRICES, loop_time), latency_seconds=1.0)
        run = Run.begin(object(), MemoryJournal("r1"), Budget())
        run.gateway.hold = _nobody_reads
        await run.journal.append(RunOpened("r1", "many", 0.0))
        terms = Terms(model, Toolset.of((), None), ("word " * 4_000,))
        made = Dispatcher(run, terms, Slots(4))
        planning = Planning(run, PriceBook(), CacheLessons(), 4)
        results = await run_tasks(made, tuple(Task(str(i)) for i in range(6)), run.root, planning=planning)
        return [result.status for result in results], asked

    statuses, asked = run_virtual(main())
    assert statuses == ["error", "ok", "ok", "ok", "ok", "ok"]
    assert len(asked) == 2
