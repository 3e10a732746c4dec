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
from money_parts import BOOK, NAMES, Pages, Part, Plan, Provider, Talk

from sunwell.agent.lifecycle.open_run import restore
from sunwell.agent.run.loop_config import LoopConfig
from sunwell.agent.run.run_context import Run
from sunwell.budget import Amount
from sunwell.core.model import ModelProtocol
from sunwell.errors import BudgetExhausted, ModelError
from sunwell.events import BOUND_EXCEEDED
from sunwell.gateway import Gateway, RetryPolicy
from sunwell.gateway.booking import claim_for
from sunwell.journal.records import Answer, Failure, Intent, Record
from sunwell.simulator import Fault, Occasion

_ALLOWANCE_TOKENS = 1024
_LOOKED_AT = 60
_LIES = ("missing", "wrong", "cut", "stranger", "unclear")
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
    run: Run = attrs.field(init=False)
    _counted: set[str] = attrs.field(factory=set, init=False)
    _excessive: set[str] = attrs.field(factory=set, init=False)
    """Models of which a bill was told that was above its reservation."""
    _requests: int = attrs.field(default=0, init=False)
    _hidden_tokens: int = attrs.field(default=0, init=False)
    """What a provider adds to each prompt that hides more than the allowance."""

    def __attrs_post_init__(self) -> None:
        self.dice = random.Random(self.plan.seed)
        self.provider.begin(self.plan, self._fault)
        self._hidden_tokens = self.dice.randint(1, 6000)

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
            self._excessive = self._told(journal.kept)
        journal.watch = self._see
        return run

    def _told(self, records: list[Record]) -> set[str]:
        """Return the models of which the answers on record were billed above their reservation."""
        intents = {record.key: record for record in records if isinstance(record, Intent)}
        told = set()
        for record in records:
            if isinstance(record, Answer | Failure) and record.completion is not None:
                intent = intents[record.span, record.number, record.attempt]
                billed = record.completion.billed_tokens
                cost, held = record.cost_usd, intent.reserved_usd
                is_dear = cost is not None and held is not None and cost > held
                if is_dear or (billed is not None and billed > intent.reserved_tokens):
                    told.add(intent.model)
        return told

    def _see(self, record: Record) -> None:
        """Check what must hold whenever a call begins."""
        if not isinstance(record, Intent):
            return
        self.seen[f"bound {record.bound}"] += 1
        if record.bound == "reported" and record.model in self._excessive:
            raise Broken(f"seed {self.plan.seed}: {record.span} is bounded by a report after an excess")
        part: Part | None = self.plan.tree
        while part is not None:
            self._check_begins(part)
            below = record.span + "/"
            part = next((one for one in part.children if below.startswith(one.span.path + "/")), None)

    def _check_begins(self, part: Part) -> None:
        if part.budget is None:
            return
        used, budget = self.run.ledger.used(part.span.path), part.budget
        usd = used.settled_usd + used.uncertain_usd + used.reserved_usd
        tokens = used.settled_tokens + used.uncertain_tokens + used.reserved_tokens
        for most, booked in ((budget.usd, usd), (budget.tokens, tokens), (budget.calls, used.calls)):
            if most is not None and booked > most:
                raise Broken(f"seed {self.plan.seed}: a call begins, and {booked} of {most} is booked")

    def _hear(self, signal: Any, event: Any) -> None:
        self.seen[signal.name] += 1
        if signal is BOUND_EXCEEDED:
            self._excessive.add(event.model)

    def _fault(self, occasion: Occasion) -> Fault | None:
        if occasion.counting:
            return Fault(status=503) if self.dice.random() < 0.1 else None
        fault = self._usual_fault(occasion)
        self._requests += 1
        if (
            fault.status == 500 and self.provider.has_wire
        ):  # on a wire, it does not say when the provider failed
            self.seen["unclear"] += 1
        if self._requests <= self.plan.change_after or fault.status is not None:
            return fault
        match self.plan.conduct:
            case "hidden":
                return attrs.evolve(fault, hidden_input_tokens=self._hidden_tokens)
            case "missing":
                self.seen["missing"] += 1
                return attrs.evolve(fault, usage="missing")
            case "large":
                self.seen["wrong"] += 1
                return attrs.evolve(fault, usage="wrong")
        return fault

    def _usual_fault(self, occasion: Occasion) -> Fault:
        chance, dice = self.dice.random(), self.dice
        unit = self.provider.unit_seconds
        kinds: tuple[tuple[float, str, Callable[[], Fault]], ...] = (
            (0.70, "plain", Fault),
            (0.78, "refused", lambda: Fault(dice.choice((429, 500, 503)))),
            (0.81, "waited", lambda: Fault(429, dice.random() * 20 * unit)),
            (0.82, "quota", lambda: Fault(429, quota=True)),
            (0.87, "cut", lambda: Fault(cut=dice.choice(("before", "dropped", "no-end")))),
            (0.91, "missing", lambda: Fault(usage="missing")),
            (0.91 if self.plan.truthful else 0.92, "wrong", lambda: Fault(usage="wrong")),
            (0.97, "hidden", lambda: Fault(hidden_input_tokens=self._allowed_tokens(occasion))),
            (0.99, "dated", lambda: Fault(answering_model=occasion.model + "-20260101")),
            (1.01, "stranger", lambda: Fault(answering_model="claude-stranger")),
        )
        name, fault = next((name, fault) for border, name, fault in kinds if chance < border)
        self.seen[name] += 1
        return fault()

    def _allowed_tokens(self, occasion: Occasion) -> int:
        # A provider's count holds what it adds; on a wire, the adapter of the cheap model asks for it.
        is_counted = occasion.key in self._counted or (self.provider.has_wire and occasion.model == NAMES[0])
        return 0 if is_counted else self.dice.randint(1, _ALLOWANCE_TOKENS)

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
        if part.is_counted or part.can_count:
            self._counted.add(part.span.path)
        model = self.provider.model(part.model, part, self.dice)
        talk = Talk(part, self.plan, has_wire=self.provider.has_wire)
        try:
            for number in range(part.before):
                await self._ask(part, model, talk, number)
            async with asyncio.TaskGroup() as group:  # it waits, cancelled or not, until all are booked
                for child in part.children:
                    group.create_task(self._work(child))
            for number in range(part.before, part.before + part.after):
                await self._ask(part, model, talk, number)
        except BudgetExhausted:
            self.seen["exhausted"] += 1
            if part.closes:
                await self._close(part, model, talk)
        except ModelError:
            self.seen["model errors"] += 1

    async def _ask(self, part: Part, model: ModelProtocol, talk: Talk, number: int) -> None:
        request = talk.request
        if part.closes:
            claim = claim_for(model, request, BOOK.price(model), closing=True)
            assert claim.input_usd is not None
            assert claim.output_usd_per_token is not None
            usd = claim.input_usd + claim.max_output_tokens * claim.output_usd_per_token
            self.run.ledger.hold_back(part.span.path, claim.input_tokens + claim.max_output_tokens, usd)
        ask = self.run.gateway.ask
        talk.take(await ask(part.span, model, request, purpose="work", stream=number % 3 == 2))

    async def _close(self, part: Part, model: ModelProtocol, talk: Talk) -> None:
        try:
            span = part.span.child("closing")
            await self.run.gateway.ask(span, model, talk.request, purpose="closing", closing=True)
            self.seen["closed"] += 1
        except (BudgetExhausted, ModelError):
            self.seen["not closed"] += 1

    # -- what must hold

    def _check(self) -> None:
        used, billed = self.run.ledger.used("run"), self.provider.billed_usd()
        self.seen[f"conduct {self.plan.conduct}"] += 1
        if used.reserved_usd or used.reserved_tokens:
            raise Broken(f"seed {self.plan.seed}: {used} is still held at the end")
        if self.plan.keeps_promises and not self.seen["wrong"] and self.seen[BOUND_EXCEEDED.name]:
            raise Broken(f"seed {self.plan.seed}: a bound was exceeded, and nothing broke it")
        self._check_books(used, billed)
        self._check_ceilings(self.plan.tree)
        self._check_restored(used)

    def _check_books(self, used: Amount, billed: Decimal) -> None:
        if self.plan.conduct == "small":  # nobody can tell, and the books hold what is reported
            return
        most = used.settled_usd + used.uncertain_usd
        if not self.seen["wrong"] and used.settled_usd > billed:
            raise Broken(f"seed {self.plan.seed}: {billed} was billed and {used} is booked")
        if (self.plan.keeps_promises or not self._unheard) and billed > most:
            raise Broken(f"seed {self.plan.seed}: {billed} was billed and {used} is booked")
        honest = not any(self.seen[lie] for lie in _LIES) and not self.seen["kills"] + self.seen["cancels"]
        self.seen["exact"] += honest
        if honest and (billed != used.settled_usd or used.uncertain_usd):
            raise Broken(f"seed {self.plan.seed}: {billed} was billed and {used} is booked")

    @property
    def _unheard(self) -> int:
        """How many answers may have been billed above their bound without a report of it."""
        return sum(self.seen[kind] for kind in ("kills", "cancels", *_LIES))

    def _check_ceilings(self, part: Part) -> None:
        for child in part.children[:_LOOKED_AT]:
            self._check_ceilings(child)
        if part.budget is None or part.budget.usd is None:
            return
        billed = self.provider.billed_usd("" if part is self.plan.tree else part.span.path)
        if billed <= part.budget.usd:
            return
        if self.plan.keeps_promises or self.plan.conduct == "large":
            raise Broken(f"seed {self.plan.seed}: {billed} billed at {part.span} under {part.budget.usd}")
        if self.plan.conduct == "small":
            self.seen["passed, reported as less"] += 1
        elif self.seen[BOUND_EXCEEDED.name]:
            self.seen["passed, told"] += 1
        elif self._unheard:
            self.seen["passed, without a report"] += 1
        else:
            raise Broken(
                f"seed {self.plan.seed}: more was billed than {part.budget.usd}, and nobody was told"
            )

    def _check_restored(self, used: Amount) -> None:
        """A run taken up from this journal must have spent just as much."""
        if self.plan.seed % 4 == 0:
            again = self._process(self.run.journal)  # type: ignore[arg-type]
            if attrs.evolve(again.ledger.used("run"), seconds=0.0) != attrs.evolve(used, seconds=0.0):
                raise Broken(f"seed {self.plan.seed}: {used} is booked, {again.ledger.used('run')} restored")
            if again.tally.bill() != self.run.tally.bill():
                raise Broken(f"seed {self.plan.seed}: the restored bill differs")


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
