"""Begun work goes first: a worker begins only if its expected cost fits beside the rest of what has begun."""

import asyncio

import attrs

from sunwell.agent.policy.cache_planner import end_pays
from sunwell.agent.run.run_context import Run
from sunwell.agent.workers.expected_cost import PILOTS, Cost, Experience, Guess, Load, first_guess
from sunwell.agent.workers.slots import Slots
from sunwell.agent.workers.worker import Worker
from sunwell.budget.ledger_protocol import CeilingLeft
from sunwell.budget.tally import upwards
from sunwell.core.task import TaskResult
from sunwell.events import Event, ModelCallFinished
from sunwell.journal.records import Intent

_CALLS_AHEAD = 2
"""Further calls that are expected of the work that hands out workers: it reads their results and answers."""
_BUDGET_ENDS = ("budget_usd", "budget_tokens", "calls", "timeout")
"""Ends that say nothing of what a worker would have cost."""
_PATIENCE = 1.5
"""A worker that takes so many times the turns of its siblings may not come to its own end."""
_SPAN_OF_SUB_CALLS = "/sub-calls"

Kind = tuple[str, bool, int]
"""Workers that are expected to cost alike: model, whether there are tools, depth."""


@attrs.define(eq=False)
class _Begun:
    worker: Worker
    kind: Kind
    guess: Guess


@attrs.define(eq=False)
class _Place:
    """The place of a worker in the line."""

    begun: _Begun
    answer: "asyncio.Future[None]"
    came_at: float
    held_seconds: float = 0.0
    """How long it has waited for money or tokens, and not for a slot."""


@attrs.define(eq=False)
class Entrance:
    """Lets the workers of a run begin, in order of arrival, as far as the ceilings above them hold.

    A worker begins if, at each ceiling in dollars or tokens above it, what is left, less the expected rest
    of the work that has begun below it, holds the worker's expected cost. What workers cost is known from
    siblings that have finished. Until there are any, a few begin as pilots on a likely guess, and more of
    them only on a careful one.

    If it does not fit and nothing that has begun can go on, the first in line begins all the same: the
    ledger grants its first call or refuses it before anything is spent. So nobody waits for ever, parents
    that wait for their own workers included. Without a ceiling nobody waits here.
    """

    run: Run
    slots: Slots
    _experience: dict[Kind, Experience] = attrs.field(factory=dict, init=False)
    _begun: dict[str, _Begun] = attrs.field(factory=dict, init=False)
    """Workers that have begun and are not over, by path."""
    _known: dict[str, Worker] = attrs.field(factory=dict, init=False)
    """All workers that have begun, by path."""
    _below: dict[str, list[Worker]] = attrs.field(factory=dict, init=False)
    """Workers that have begun, by the path of the worker that has started them."""
    _line: dict[str, _Place] = attrs.field(factory=dict, init=False)
    _granted: set[str] = attrs.field(factory=set, init=False)
    """Workers that may begin and have no slot yet."""
    _early: dict[str, set[str]] = attrs.field(factory=dict, init=False)
    """Workers that an earlier process has begun and that have not come in yet, by the path of the parent."""
    _came: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    _last_calls: dict[str, Cost] = attrs.field(factory=dict, init=False)
    """What the latest call of work that is no worker came to, by span."""
    _short_since: float | None = attrs.field(default=None, init=False)
    """Since when somebody in the line waits for money or tokens."""
    _is_watching: bool = attrs.field(default=False, init=False)

    def expect(self, worker: Worker) -> None:
        """Take note of a worker that is wanted: if an earlier process has begun it, it has begun."""
        if not self._is_watching:
            self._is_watching = True
            self.run.watch(self._see)
        # By its first call: a worker that was refused before it has one may have to wait again.
        if self.run.resumed and self.run.journal.find(Intent, (worker.first_span.path, 0, 0)) is not None:
            self._begin(self._begun_of(worker))
            self._early.setdefault(worker.parent.path, set()).add(worker.span.path)

    async def wait_for_earlier(self, worker: Worker) -> None:
        """Return once the siblings of *worker* that an earlier process has begun are in."""
        parent = worker.parent.path
        while self._early.get(parent) and worker.span.path not in self._early[parent]:
            await self._came.wait()

    async def enter(self, worker: Worker) -> float:
        """Return once *worker* may begin, and for how many seconds it has waited for money or tokens."""
        path = worker.span.path
        self._is_in(worker)
        if path in self._begun:
            return 0.0
        begun = self._begun_of(worker)
        ceilings = self.run.ledger.ceilings(worker.parent.path)
        if not ceilings:
            self._begin(begun)
            return 0.0
        clock = asyncio.get_running_loop()
        place = self._line[path] = _Place(begun, clock.create_future(), clock.time())
        self.stir()
        try:
            await place.answer
        finally:
            self._line.pop(path, None)
        return place.held_seconds

    def seated(self, worker: Worker) -> None:
        """Take note that *worker* has its slot."""
        self._granted.discard(worker.span.path)

    def left(self, worker: Worker) -> None:
        """Take note that *worker* is over, whether or not it ever began."""
        path = worker.span.path
        self._is_in(worker)
        self._granted.discard(path)
        begun = self._begun.get(path)
        if worker.result is not None:
            self._learn(worker, worker.result, begun)
        self._begun.pop(path, None)
        self.stir()

    def stir(self) -> None:
        """Look again at those who wait: a slot, money or tokens came free, or more is known."""
        if not self._line:
            return
        now = asyncio.get_running_loop().time()
        if not self._serve(now):
            self._short_since = None
        elif self._short_since is None:
            self._short_since = now

    def _serve(self, now: float) -> bool:
        """Let all begin who may, in order of arrival; return whether somebody waits for money or tokens."""
        blocked: set[str] = set()
        for place in list(self._line.values()):
            if self.slots.taken + len(self._granted) >= self.slots.limit:
                break
            if place.answer.done():
                continue
            ceilings = self.run.ledger.ceilings(place.begun.worker.parent.path)
            # In order of arrival: who comes later may not take what the first in line waits for.
            if any(ceiling.account in blocked for ceiling in ceilings):
                if ceilings[0].account in blocked:
                    break
                continue
            short = self._short_at(place.begun, ceilings)
            if short is None or not self._goes_on_below(short):
                self._grant(place, now)
            else:
                blocked.add(short)
        return bool(blocked)

    def end_pays(self, worker: Worker, turns: int) -> bool:
        """Whether *worker* writes the end of its conversation to the cache after so many *turns*."""
        experience = self._experience.get(_kind_of(worker))
        price = self.run.gateway.prices.price(worker.terms.model)
        return end_pays(
            () if experience is None else experience.turns, turns, None if price is None else price.rates
        )

    def keeps_reserve(self, worker: Worker, turns: int) -> bool:
        """Whether money is kept for the closing call of *worker* after so many *turns*.

        Not as long as it takes no more turns than its siblings, which have come to their own ends: it has
        begun since its cost fits, and what is kept for a call that is not made would finish another one.
        """
        budget = worker.task.budget
        if budget is not None and (budget.usd is not None or budget.tokens is not None):
            return True
        experience = self._experience.get(_kind_of(worker))
        return experience is None or turns > _PATIENCE * max(experience.turns)

    def _grant(self, place: _Place, now: float) -> None:
        if self._short_since is not None:
            place.held_seconds = now - max(place.came_at, self._short_since)
        self._granted.add(place.begun.worker.span.path)
        self._begin(place.begun)
        place.answer.set_result(None)

    def _begin(self, begun: _Begun) -> None:
        worker = begun.worker
        self._begun[worker.span.path] = begun
        self._known[worker.span.path] = worker
        self._below.setdefault(self._owner(worker.parent.path), []).append(worker)

    def _is_in(self, worker: Worker) -> None:
        early = self._early.get(worker.parent.path)
        if early is not None:
            early.discard(worker.span.path)
            if not early:
                del self._early[worker.parent.path]
                self._came.set()
                self._came = asyncio.Event()

    def _begun_of(self, worker: Worker) -> _Begun:
        return _Begun(worker, _kind_of(worker), first_guess(worker, self.run.gateway.prices))

    def _short_at(self, newcomer: _Begun, ceilings: tuple[CeilingLeft, ...]) -> str | None:
        """Return the account whose ceiling cannot hold *newcomer*; ``None`` if all can."""
        for ceiling in ceilings:
            for unit, left in (("usd", ceiling.usd), ("tokens", ceiling.tokens)):
                if left is not None and not self._fits(newcomer, ceiling.account, unit, float(left)):
                    return ceiling.account
        return None

    def _fits(self, newcomer: _Begun, account: str, unit: str, left: float) -> bool:
        # Enough by far, as nearly always: with a thousand workers at work, nothing is added up.
        most = max([newcomer.guess.most.of(unit), *(one.mean(unit) for one in self._experience.values())])
        if most * 2 * (len(self._begun) + 1) <= left and not self._last_calls:
            return True
        below = [begun for path, begun in self._begun.items() if _is_at_or_below(path, account)]
        careful = sum(begun.kind == newcomer.kind for begun in below) >= PILOTS
        load = Load()
        for begun in below:
            spent = self._spent(begun.worker).of(unit)
            load.add(self._experience.get(begun.kind), self._expected(begun, unit, careful), spent, unit)
        expected = self._expected(newcomer, unit, careful)
        load.add(self._experience.get(newcomer.kind), expected, 0.0, unit)
        return load.most() + self._rest_of_others(account, unit) <= left

    def _expected(self, begun: _Begun, unit: str, careful: bool) -> float:
        """Return what a worker is expected to cost in all; *careful*: the most, as long as it is a guess."""
        experience = self._experience.get(begun.kind)
        guess = begun.guess.most if careful else begun.guess.likely
        expected = guess.of(unit) if experience is None else experience.mean(unit)
        own = getattr(begun.worker.task.budget, unit, None)
        return expected if own is None else min(expected, float(own))

    def _spent(self, worker: Worker) -> Cost:
        """Return what *worker* itself has used, without its own workers."""
        if not worker.has_account:
            return Cost()
        own = self._used(worker)
        for child in self._below.get(worker.span.path, ()):
            if child.has_account:
                own = own.less(self._used(child))
        return own

    def _used(self, worker: Worker) -> Cost:
        used = self.run.ledger.used(worker.span.path)
        usd = float(used.settled_usd + used.uncertain_usd)
        return Cost(usd, float(used.settled_tokens + used.uncertain_tokens))

    def _rest_of_others(self, account: str, unit: str) -> float:
        """Return what the work that hands out workers, and is none itself, is expected to need yet."""
        parents = {self._owner(begun.worker.parent.path) for begun in self._begun.values()}
        parents |= {self._owner(place.begun.worker.parent.path) for place in self._line.values()}
        spans = [span for span in parents if span in self._last_calls and _is_at_or_below(span, account)]
        return sum(_CALLS_AHEAD * self._last_calls[span].of(unit) for span in spans)

    def _goes_on_below(self, account: str) -> bool:
        """Whether work below *account* has begun that does not only wait for workers of its own."""
        return any(
            _is_at_or_below(path, account) and not begun.worker.seat.is_given_up
            for path, begun in self._begun.items()
        )

    def _learn(self, worker: Worker, result: TaskResult, begun: _Begun | None) -> None:
        if result.status in ("error", "cancelled") or result.stop_reason in _BUDGET_ENDS:
            return
        spent = self._spent(worker)
        if not worker.has_account:  # an earlier process has carried it out
            spent = Cost(float(result.bill.cost_usd or 0), float(result.bill.usage.total_tokens))
        kind = _kind_of(worker) if begun is None else begun.kind
        self._experience.setdefault(kind, Experience()).add(spent, result.turns)

    def _see(self, event: Event) -> None:
        if not isinstance(event, ModelCallFinished):
            return
        is_workers = any(path in self._known for path in upwards(event.span))
        if event.purpose in ("work", "orchestrate") and not is_workers:
            usage = event.usage
            self._last_calls[event.span] = Cost(
                float(event.cost_usd or 0), 0.0 if usage is None else float(usage.total_tokens)
            )
        if self._short_since is not None:
            self.stir()

    def _owner(self, path: str) -> str:
        """Return the span of the work that has workers at *path*."""
        return path.removesuffix(_SPAN_OF_SUB_CALLS)


def _kind_of(worker: Worker) -> Kind:
    has_tools = bool(worker.terms.tools.granted) and worker.task.tools != ()
    return worker.terms.model.name, has_tools, worker.span.depth


def _is_at_or_below(path: str, account: str) -> bool:
    return path == account or path.startswith(f"{account}/")
