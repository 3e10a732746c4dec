"""Batches of siblings on a virtual clock, with the provider's bill: what a way of starting really costs.

Used by ``cache_plans.py`` and by the tests of the planner. A batch is run by the dispatcher as always;
what it costs is what the simulator's cache rules make of it, and nothing of the planner's arithmetic.
"""

import asyncio
from collections.abc import Mapping
from decimal import Decimal

import attrs

from sunwell.agent.batches.batch_plan import Planning
from sunwell.agent.batches.task_batch import run_tasks
from sunwell.agent.policy.cache_planner import USD_PER_WAITING_SECOND, CacheLessons
from sunwell.agent.run.run_context import Run
from sunwell.agent.run.toolset import Toolset
from sunwell.agent.workers.dispatcher import Dispatcher
from sunwell.agent.workers.slots import Slots
from sunwell.agent.workers.worker import WorkerTerms
from sunwell.budget.ledger_protocol import Budget
from sunwell.context.options import CacheChoice
from sunwell.core import Task
from sunwell.journal.memory import MemoryJournal
from sunwell.journal.records import Held, Note, RunOpened
from sunwell.models.prices import PriceBook
from sunwell.simulator import PRICES, Billing, InProcessModel, ModelPrice, echo, loop_time
from sunwell.testing import run_virtual

UNIT = Decimal(1_000_000)
LATENCY_SECONDS = 3.0
ASSUMED_SECONDS = 2.0
"""Time until an answer begins, where the planner knows nothing of the model."""
_DOUBT = 1.4
"""A prefix that is so much shorter than a cache keeps may be tried."""
WAYS: tuple[CacheChoice, ...] = ("at-once", "after-first", "pre-warm", "after-first-1h", "uncached")
"""All ways that can be asked for without asking for padding as well."""


@attrs.frozen
class Batched:
    """What one batch came to."""

    choice: str
    input_usd: Decimal
    """The input side of the bill, a call that warms the cache included."""
    own_tokens: int
    """Input of all workers beyond the prefix."""
    prefix_tokens: int
    seconds: float
    held: tuple[Held, ...]

    def weighed_usd(self, quickest_seconds: float) -> Decimal:
        """Return the bill, with what the time is worth that the batch took beyond *quickest_seconds*."""
        return self.input_usd + Decimal(str(self.seconds - quickest_seconds)) * USD_PER_WAITING_SECOND


@attrs.frozen
class Case:
    """A batch, and all that decides which way of starting it is the cheapest."""

    model: str
    prefix_tokens: int
    workers: int
    slots: int = 2_000
    prices: Mapping[str, ModelPrice] = PRICES
    latency_seconds: float = LATENCY_SECONDS
    """Time until an answer begins."""
    chunk_seconds: float = 0.0
    """Time that each piece of an answer takes after that."""
    is_warm: bool = False
    """Whether a batch under the same prefix has just been run by the same agent."""
    is_known: bool = False
    """Whether the agent has run a batch under another prefix before, so that it knows the model's speed."""
    may_pad: bool = False

    def run(self, choice: CacheChoice | None = None, lessons: CacheLessons | None = None) -> Batched:
        """Return what the batch comes to when it is started as *choice* says; ``None``: as is planned."""
        return run_virtual(self._run(choice, lessons or CacheLessons(loop_time)))

    def least_usd(self, found: Batched) -> Decimal:
        """Return the least that the rules allow without padding: one write and then reads, or no cache."""
        row = self.prices[self.model]
        rates, prefix = row.rates_for(self.prefix_tokens), self.prefix_tokens
        ways = [self.workers * prefix * rates.input_usd]
        if prefix >= row.least_prefix_tokens and row.cache_rule != "none":
            assert rates.write_usd is not None
            assert rates.read_usd is not None
            first = rates.read_usd if self.is_warm else rates.write_usd
            ways.append(prefix * (first + (self.workers - 1) * rates.read_usd))
        return (min(ways) + found.own_tokens * rates.input_usd) / UNIT

    @property
    def doubt_usd(self) -> Decimal:
        """What the planner may pay for what it cannot know before the first batch.

        That is how soon answers begin, and whether a prefix that is nearly long enough is kept: then siblings
        may wait once in vain.
        """
        row, latency = self.prices[self.model], self.latency_seconds + self.chunk_seconds
        in_vain = row.least_prefix_tokens / _DOUBT <= self.prefix_tokens < row.least_prefix_tokens
        wrong_by = latency if in_vain else 0.0 if self.is_known else abs(latency - ASSUMED_SECONDS)
        return Decimal(str(wrong_by)) * USD_PER_WAITING_SECOND

    async def _run(self, choice: CacheChoice | None, lessons: CacheLessons) -> Batched:
        model = InProcessModel(
            self.model,
            echo,
            Billing(self.prices, loop_time),
            latency_seconds=self.latency_seconds,
            chunk_seconds=self.chunk_seconds,
        )
        if self.is_known:
            await self._batch(model, lessons, "after-first", workers=2, word="other")
        if self.is_warm:
            await self._batch(model, lessons, "at-once", workers=1)
        return await self._batch(model, lessons, choice, workers=self.workers)

    async def _batch(
        self,
        model: InProcessModel,
        lessons: CacheLessons,
        choice: CacheChoice | None,
        *,
        workers: int,
        word: str = "words",
    ) -> Batched:
        clock, billing = asyncio.get_running_loop(), model.billing
        begun, before, paid_usd = clock.time(), len(billing.entries()), billing.total_usd()
        run = Run(object(), MemoryJournal("r1"), Budget())
        run.gateway.hold = _nobody_reads
        await run.journal.append(RunOpened("r1", "many", 0.0))
        prefix = self.prefix_tokens
        system = (f"{word} " * prefix)[: 4 * prefix]
        terms = WorkerTerms(model, Toolset.of((), None), (system,) if prefix else (), timeout_seconds=None)
        planning = Planning(run, PriceBook(), lessons, self.slots, choice, self.may_pad)
        tasks = tuple(Task(f"Write the docstring of function {i:06d}.") for i in range(workers))
        dispatcher = Dispatcher(run, terms, Slots(self.slots))
        results = await run_tasks(dispatcher, tasks, run.root, planning=planning)
        assert all(result.success for result in results)
        entries = billing.entries()[before:]
        row = billing.price_of(self.model)
        output = [entry.output_tokens * row.rates_for(entry.input_tokens).output_usd for entry in entries]
        plan = run.journal.find(Note, (run.root.path, "cache-plan"))
        assert plan is not None
        asked = entries[len(entries) - workers :]  # what comes before them warms the cache
        return Batched(
            plan.value["choice"],
            billing.total_usd() - paid_usd - sum(output, Decimal(0)) / UNIT,
            sum(entry.input_tokens for entry in asked) - workers * prefix,
            prefix,
            clock.time() - begun,
            tuple(record for record in run.journal.records() if isinstance(record, Held)),
        )


async def _nobody_reads() -> None:
    """Hold nobody up: these runs have no reader."""
