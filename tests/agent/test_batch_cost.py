"""A shared prefix is paid once: what batches cost on the simulator, beside the least that its rules allow."""

import asyncio
import importlib
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest

from sunwell.agent import Agent
from sunwell.agent.batches.batch_plan import Planning
from sunwell.agent.batches.task_batch import run_tasks
from sunwell.agent.policy.cache_planner import USD_PER_WAITING_SECOND, CacheLessons
from sunwell.agent.run.run_context import Run
from sunwell.agent.run.toolset import Toolset
from sunwell.agent.workers.dispatcher import Dispatcher
from sunwell.agent.workers.slots import Slots
from sunwell.agent.workers.worker import WorkerTerms
from sunwell.budget.ledger_protocol import Budget
from sunwell.context import RunOptions
from sunwell.context.options import CacheChoice
from sunwell.core import Request, Task
from sunwell.events import RunFinished, WorkerFinished
from sunwell.journal.memory import MemoryJournal
from sunwell.journal.records import RunOpened
from sunwell.models.prices import PriceBook
from sunwell.simulator import PRICES, Billing, InProcessModel, ModelPrice, ModelRates, echo, loop_time
from sunwell.testing import run_virtual

MODELS = {"anthropic": "claude-haiku-5-5", "openai": "gpt-6-luna"}
POINTS = 5
BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def bench(monkeypatch) -> Any:
    """Return the benchmark that runs batches in every way and compares their bills."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("cache_plans")


@pytest.mark.parametrize(
    ("workers", "prefix_tokens"),
    [
        *((workers, tokens) for workers in (2, 10) for tokens in (0, 300, 512, 1_024, 2_000, 30_000)),
        *((100, tokens) for tokens in (300, 512, 30_000)),
        (400, 2_000),
    ],
)
@pytest.mark.parametrize("name", MODELS.values(), ids=MODELS)
def test_siblings_cost_the_least_that_the_cache_allows(
    bench, name: str, workers: int, prefix_tokens: int
) -> None:
    """Within one percent, and at most one time to the first answer later than all at once.

    Two or ten workers on a short prefix cost more, if what a wait would save is less than the wait is worth.
    """
    case = bench.Case(name, prefix_tokens, workers)
    found = case.run()
    least = case.least_usd(found)
    assert least * Decimal("0.9999") <= found.input_usd
    if found.input_usd > least * Decimal("1.01"):
        assert workers < 100
        assert found.input_usd - least <= 2 * USD_PER_WAITING_SECOND
        assert (found.seconds, found.held) == (case.latency_seconds, ())
    assert found.seconds <= 2 * case.latency_seconds
    assert len(found.held) == (workers - 1 if found.choice == "after-first" else 0)
    assert all(one.reason == "planner" and one.seconds <= case.latency_seconds for one in found.held)


@pytest.mark.parametrize("slots", [2, 4, 30])
@pytest.mark.parametrize("chunk_seconds", [0.0, 5.0])
def test_a_batch_ends_no_later_than_one_time_to_the_first_answer(
    bench, slots: int, chunk_seconds: float
) -> None:
    """Whatever the slots, and however long answers take once they have begun: it is one hold for all."""
    case = bench.Case(MODELS["anthropic"], 30_000, 30, slots, chunk_seconds=chunk_seconds)
    planned, at_once = case.run(), case.run("at-once")
    assert planned.choice == "after-first"
    assert planned.seconds - at_once.seconds <= case.latency_seconds + chunk_seconds


@pytest.mark.parametrize(
    ("workers", "prefix_tokens", "seconds"),
    [
        pytest.param(5, 3_000, 4.0, id="twice-what-was-expected"),
        pytest.param(30, 2_000, 10.34, id="what-it-saves"),
        pytest.param(100, 2_000, 16.0, id="worth-all-of-it"),
    ],
)
def test_nobody_is_held_for_longer_than_it_is_worth(
    bench, workers: int, prefix_tokens: int, seconds: float
) -> None:
    """An unknown model is taken to begin after 2 s; if it does not, the rest goes on. Then it is known."""
    case = bench.Case(MODELS["anthropic"], prefix_tokens, workers, latency_seconds=16.0)
    first = case.run()
    assert first.choice == "after-first"
    assert [one.seconds for one in first.held] == pytest.approx([seconds] * (workers - 1))
    assert first.seconds == pytest.approx(16.0 + seconds)
    waits = attrs.evolve(case, is_known=True).run().choice == "after-first"
    assert waits == (seconds == 16.0)


@pytest.mark.parametrize("chunk", range(4))
def test_no_way_that_can_be_tried_is_cheaper(bench, chunk: int) -> None:
    """Over a grid of prefixes, prices, times, numbers of workers and slots: each way is run and billed.

    All at once, the rest after the first, pre-warmed, with a longer life, uncached and padded; on both
    providers, with a cold cache and a warm one. More points: ``python benchmarks/cache_plans.py``.
    """
    planned, wrong = bench.survey(first=chunk * POINTS, count=POINTS)
    assert wrong == []
    assert planned.total() == POINTS


@pytest.mark.parametrize("name", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize(
    "more",
    [
        pytest.param({"workers": 1}, id="one"),
        pytest.param({"workers": 60, "slots": 60}, id="many"),
        pytest.param({"workers": 30, "slots": 4, "is_warm": True}, id="warm"),
        pytest.param({"workers": 1, "is_warm": True}, id="one-warm"),
        pytest.param({"workers": 30, "slots": 4, "latency_seconds": 400.0, "is_known": True}, id="slow"),
        pytest.param({"workers": 5, "slots": 4, "latency_seconds": 400.0, "is_known": True}, id="slow-few"),
        pytest.param(
            {"slots": 4, "latency_seconds": 10.0, "chunk_seconds": 200.0, "is_known": True, "workers": 30},
            id="slow-to-end",
        ),
        pytest.param(
            {"workers": 5, "slots": 4, "latency_seconds": 400.0, "is_warm": True, "is_known": True},
            id="slow-and-warm",
        ),
        pytest.param({"workers": 30, "prefix_tokens": 300, "may_pad": True}, id="padded"),
        pytest.param({"workers": 30, "prefix_tokens": 450, "may_pad": True}, id="doubtful"),
        pytest.param({"workers": 30, "prefix_tokens": 511}, id="just-too-short"),
        pytest.param({"workers": 30, "prefix_tokens": 1_024}, id="just-long-enough"),
    ],
)
def test_the_plan_is_the_cheapest_where_it_changes(bench, name: str, more: dict[str, Any]) -> None:
    """The points of the grid at which another way becomes the best one."""
    case = bench.Case(name, **{"prefix_tokens": 2_000, **more})
    assert bench.judged(case)[1] == ""


def test_padding_pays_where_it_is_asked_for(bench) -> None:
    """A prefix too short for the cache, lengthened with its own text: cheaper for many, and never unasked."""
    name = MODELS["anthropic"]
    plain = bench.Case(name, 300, 100).run()
    padded = bench.Case(name, 300, 100, may_pad=True).run()
    assert (plain.choice, padded.choice) == ("uncached", "padded")
    assert padded.input_usd < plain.input_usd * Decimal("0.5")


def test_an_unknown_least_length_is_learned_from_the_first_usage(bench) -> None:
    """A model that no table names: 4,096 tokens are assumed until a sibling's usage shows better."""
    name = "shop-model-1"
    prices = {name: ModelPrice(ModelRates(1, 5, "0.1", "1.25"), (), "blocks", 1_000)}

    def choice_of(prefix_tokens: int, lessons: CacheLessons, choice: CacheChoice | None = None) -> str:
        case = bench.Case(name, prefix_tokens, 4, prices=prices)
        found = case.run(choice, lessons)
        assert choice or found.input_usd <= case.least_usd(found) * Decimal("1.01") or prefix_tokens == 2_000
        return found.choice

    lessons = CacheLessons(loop_time)
    assert choice_of(3_000, lessons) == "after-first"
    assert choice_of(2_000, lessons) == "uncached"
    lessons_of_shorter = CacheLessons(loop_time)
    choice_of(900, lessons_of_shorter, "after-first")
    assert choice_of(3_001, lessons_of_shorter) == "after-first"


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
        run = Run(object(), MemoryJournal("r1"), Budget())
        run.gateway.hold = _nobody_reads
        await run.journal.append(RunOpened("r1", "many", 0.0))
        terms = WorkerTerms(model, Toolset.of((), None), ("word " * 4_000,))
        made = Dispatcher(run, terms, Slots(4))
        planning = Planning(run, PriceBook(), CacheLessons(), 4)
        results = await run_tasks(made, tuple(Task(str(i)) for i in range(6)), run.root, planning=planning)
        return [result.status for result in results], asked

    statuses, asked = run_virtual(main())
    assert statuses == ["error", "ok", "ok", "ok", "ok", "ok"]
    assert len(asked) == 2


async def _nobody_reads() -> None:
    """Hold nobody up: these runs have no reader."""


async def test_what_is_left_of_a_batch_reads_what_the_first_process_wrote(tmp_path: Path) -> None:
    """One task is open when the run is taken up: alone it is not worth an entry, but there is one."""
    model = InProcessModel(MODELS["anthropic"], echo)
    options = RunOptions(max_concurrent=1, tools=(), system_prompt="word " * 4_000)
    agent, run_id = Agent(model=model), ""
    async for event in agent.batch_events(["one", "two"], workspace=tmp_path, options=options):
        if isinstance(event, WorkerFinished):
            agent.stop()
        if isinstance(event, RunFinished):
            run_id = event.run_id
    paid = len(model.billing.entries())
    last = [event async for event in Agent(model=model).resume(run_id, workspace=tmp_path)][-1]
    assert isinstance(last, RunFinished)
    assert last.result.status == "ok"
    asked = model.billing.entries()[paid:]
    assert len(asked) == 1
    assert asked[0].read_tokens > 4_000
