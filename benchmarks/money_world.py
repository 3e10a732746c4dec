"""A random tree of work over ledger, gateway, journal and the simulator's bill, and what must hold of it.

A :class:`World` runs one tree on the clock of the running event loop, kills and resumes it as planned,
and compares what was booked with what the simulator billed.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

import attrs
from money_parts import BOOK, Pages, Part, Plan, Provider

from sunwell.agent.lifecycle.open_run import restore
from sunwell.agent.run.loop_config import LoopConfig
from sunwell.agent.run.run_context import Run
from sunwell.budget import Amount
from sunwell.core import Request, user
from sunwell.core.model import ModelProtocol
from sunwell.errors import BudgetExhausted, ModelError
from sunwell.events import BOUND_EXCEEDED
from sunwell.gateway import Gateway, RetryPolicy
from sunwell.gateway.booking import claim_for
from sunwell.journal.records import Intent
from sunwell.simulator import Fault, Occasion

_ALLOWANCE_TOKENS = 1024
_LOOKED_AT = 60
_LIES = ("missing", "wrong", "cut", "stranger")
"""Faults after which the books hold an upper bound, or too much, but not the bill itself."""


class Broken(AssertionError):
    """Something that must always hold did not."""


@attrs.define(eq=False)
class World:
    """One interleaving on its way."""

    plan: Plan
    provider: Provider
    dice: random.Random = attrs.field(init=False)
    seen: Counter[str] = attrs.field(factory=Counter, init=False)
    """What happened, by kind."""
    intents_at_excess: int | None = attrs.field(default=None, init=False)
    booked_before_excess: Decimal = attrs.field(default=Decimal(0), init=False)
    """What was booked for calls that had ended when a bill first passed its bound."""
    run: Run = attrs.field(init=False)
    _counted: set[str] = attrs.field(factory=set, init=False)

    def __attrs_post_init__(self) -> None:
        self.dice = random.Random(self.plan.seed)
        self.provider.begin(self.plan.seed, self._fault)

    async def to_the_end(self) -> None:
        """Work the tree, killed and taken up as planned, and check what came of it."""
        journal = Pages(self.dice, self.provider.unit_seconds)
        for kill in (*self.plan.kills, None):
            self.run = self._process(journal)
            task = asyncio.ensure_future(self._work(self.plan.tree))
            seconds = None if kill is None else kill * self.provider.unit_seconds
            await asyncio.wait({task}, timeout=seconds)
            if task.done():
                break
            self.seen["kills"] += 1
            journal.is_dead = True  # cancelling takes some steps; a kill takes none
            journal = Pages(self.dice, self.provider.unit_seconds, list(journal.kept))
            task.cancel()
            await asyncio.wait({task})
            task.cancelled() or task.exception()  # taken note of: nobody waits for a killed process
        task.result()
        await self.provider.quiet()
        self._check()

    def _process(self, journal: Pages) -> Run:
        assert self.plan.tree.budget is not None
        run = Run(None, journal, self.plan.tree.budget, LoopConfig(prices=BOOK))
        unit = self.provider.unit_seconds
        retry = RetryPolicy(attempts=3, first_wait_seconds=0.5 * unit, longest_wait_seconds=4 * unit)
        run.gateway = Gateway(journal, run.ledger, run.tally, BOOK, self._hear, retry)
        if journal.kept:
            restore(run)
        return run

    def _hear(self, signal: Any, event: Any) -> None:
        self.seen[signal.name] += 1
        if signal is BOUND_EXCEEDED and self.intents_at_excess is None:
            self.intents_at_excess = self._intents()
            used = self.run.ledger.used("run")
            self.booked_before_excess = used.settled_usd + used.uncertain_usd - event.billed_usd

    def _intents(self) -> int:
        return sum(isinstance(record, Intent) for record in self.run.journal.records())

    def _fault(self, occasion: Occasion) -> Fault | None:
        chance, dice = self.dice.random(), self.dice
        unit = self.provider.unit_seconds
        if self.plan.beyond:
            return Fault(hidden_input_tokens=dice.randint(1, 6000)) if chance < 0.5 else None
        kinds: tuple[tuple[float, str, Callable[[], Fault]], ...] = (
            (0.70, "plain", Fault),
            (0.78, "refused", lambda: Fault(dice.choice((429, 500, 503)))),
            (0.81, "waited", lambda: Fault(429, dice.random() * 20 * unit)),
            (0.82, "quota", lambda: Fault(429, quota=True)),
            (0.87, "cut", lambda: Fault(cut=dice.choice(("before", "dropped", "no-end")))),
            (0.91, "missing", lambda: Fault(usage="missing")),
            (0.91 if self.plan.truthful else 0.92, "wrong", lambda: Fault(usage="wrong")),
            (0.97, "hidden", lambda: Fault(hidden_input_tokens=self._hidden_tokens(occasion))),
            (0.99, "dated", lambda: Fault(answering_model=occasion.model + "-20260101")),
            (1.01, "stranger", lambda: Fault(answering_model="claude-stranger")),
        )
        name, fault = next((name, fault) for border, name, fault in kinds if chance < border)
        self.seen[name] += 1
        return fault()

    def _hidden_tokens(self, occasion: Occasion) -> int:
        return 0 if occasion.key in self._counted else self.dice.randint(1, _ALLOWANCE_TOKENS)

    async def _work(self, part: Part) -> None:
        if part.budget is not None:
            self.run.ledger.open(part.span.path, part.budget)
        after = part.cancelled_after
        try:
            async with asyncio.timeout(None if after is None else after * self.provider.unit_seconds):
                await self._all_of(part)
        except TimeoutError:
            self.seen["cancels"] += 1

    async def _all_of(self, part: Part) -> None:
        if part.is_counted:
            self._counted.add(part.span.path)
        model = self.provider.model(part.model, part, self.dice)
        request = Request([user(part.prompt)], max_output_tokens=part.output_tokens)
        try:
            for number in range(part.before):
                await self._ask(part, model, request, number)
            async with asyncio.TaskGroup() as group:  # it waits, cancelled or not, until all are booked
                for child in part.children:
                    group.create_task(self._work(child))
            for number in range(part.before, part.before + part.after):
                await self._ask(part, model, request, number)
        except BudgetExhausted:
            self.seen["exhausted"] += 1
            if part.closes and not self.plan.beyond:
                await self._close(part, model, request)
        except ModelError:
            self.seen["model errors"] += 1

    async def _ask(self, part: Part, model: ModelProtocol, request: Request, number: int) -> None:
        if part.closes:
            claim = claim_for(model, request, BOOK.price(model), closing=True)
            assert claim.input_usd is not None
            assert claim.output_usd_per_token is not None
            usd = claim.input_usd + claim.max_output_tokens * claim.output_usd_per_token
            self.run.ledger.hold_back(part.span.path, claim.input_tokens + claim.max_output_tokens, usd)
        await self.run.gateway.ask(part.span, model, request, purpose="work", stream=number % 3 == 2)

    async def _close(self, part: Part, model: ModelProtocol, request: Request) -> None:
        try:
            span = part.span.child("closing")
            await self.run.gateway.ask(span, model, request, purpose="closing", closing=True)
            self.seen["closed"] += 1
        except (BudgetExhausted, ModelError):
            self.seen["not closed"] += 1

    # -- what must hold

    def _check(self) -> None:
        used, billed = self.run.ledger.used("run"), self.provider.billed_usd()
        if used.reserved_usd or used.reserved_tokens:
            raise Broken(f"seed {self.plan.seed}: {used} is still held at the end")
        if self.plan.beyond:
            self._check_stop()
            return
        most = used.settled_usd + used.uncertain_usd
        if self.seen["wrong"] == 0 and not used.settled_usd <= billed <= most:
            raise Broken(f"seed {self.plan.seed}: {billed} was billed and {used} is booked")
        self._check_ceilings(self.plan.tree)
        self._check_restored(used)
        honest = not any(self.seen[lie] for lie in _LIES) and not self.seen["kills"] + self.seen["cancels"]
        self.seen["exact"] += honest
        if honest and (billed != used.settled_usd or used.uncertain_usd):
            raise Broken(f"seed {self.plan.seed}: {billed} was billed and {used} is booked")

    def _check_ceilings(self, part: Part) -> None:
        for child in part.children[:_LOOKED_AT]:
            self._check_ceilings(child)
        if part.budget is None or part.budget.usd is None:
            return
        billed = self.provider.billed_usd("" if part is self.plan.tree else part.span.path)
        if billed > part.budget.usd:
            raise Broken(f"seed {self.plan.seed}: {billed} billed at {part.span} under {part.budget.usd}")

    def _check_restored(self, used: Amount) -> None:
        """A run taken up from this journal must have spent just as much."""
        if self.plan.seed % 4 == 0:
            again = self._process(self.run.journal)  # type: ignore[arg-type]
            if attrs.evolve(again.ledger.used("run"), seconds=0.0) != attrs.evolve(used, seconds=0.0):
                raise Broken(f"seed {self.plan.seed}: {used} is booked, {again.ledger.used('run')} restored")
            if again.tally.bill() != self.run.tally.bill():
                raise Broken(f"seed {self.plan.seed}: the restored bill differs")

    def _check_stop(self) -> None:
        if self.intents_at_excess is not None and self._intents() > self.intents_at_excess:
            raise Broken(f"seed {self.plan.seed}: calls were begun after a bill passed its bound")
        ceiling = self.plan.tree.budget.usd if self.plan.tree.budget else None
        if ceiling is not None and self.booked_before_excess > ceiling:
            raise Broken(f"seed {self.plan.seed}: the excess is more than what was in flight")
        unheard = self.seen["kills"] + self.seen["cancels"]  # what they cost beyond the bound nobody is told
        quiet = self.intents_at_excess is None and not unheard
        if quiet and ceiling is not None and self.provider.billed_usd() > ceiling:
            raise Broken(f"seed {self.plan.seed}: more was billed than {ceiling}, and nobody was told")


async def survey(plans: Iterable[Plan], provider: Provider) -> Counter[str]:
    """Run *plans* one after the other and count what happened; :exc:`Broken` says the seed."""
    seen: Counter[str] = Counter()
    for plan in plans:
        random.seed(plan.seed)  # the jitter between attempts
        world = World(plan, provider)
        try:
            await world.to_the_end()
        except Exception as error:
            raise Broken(f"seed {plan.seed}: {error!r}") from error
        seen.update(world.seen)
        seen["interleavings"] += 1
    return seen
