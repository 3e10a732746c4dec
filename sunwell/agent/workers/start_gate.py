"""When the workers of a batch may begin, and how the prompt that they share is cached."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol

import attrs

from sunwell.agent.run.run_context import Run
from sunwell.agent.workers.slots import Slots
from sunwell.agent.workers.worker import WorkerTerms
from sunwell.core.message import user
from sunwell.core.model import Request
from sunwell.core.span import Span
from sunwell.errors import BudgetExhausted, ModelError
from sunwell.events import Event, ModelCallFinished, ModelCallStarted, ModelTextArrived


@attrs.define(eq=False)
class FewAtOnce:
    """Implements :class:`~sunwell.agent.workers.start_gate.StartGate` with a bounded number of places."""

    slots: Slots
    _inside: set[str] = attrs.field(factory=set, init=False)

    async def enter(self, task_id: str) -> None:
        """Return once there is a place."""
        await self.slots.take()
        self._inside.add(task_id)

    def left(self, task_id: str) -> None:
        """Give the place of *task_id* to the next one, if it had one."""
        if task_id in self._inside:
            self._inside.discard(task_id)
            self.slots.give()

    def terms(self, task_id: str, terms: WorkerTerms) -> WorkerTerms:
        """Return *terms* as they are."""
        return terms


class StartGate(Protocol):
    """Lets the workers of one batch begin."""

    async def enter(self, task_id: str) -> None:
        """Return once the worker may begin."""
        ...

    def left(self, task_id: str) -> None:
        """Take note that the worker is over, whether or not it ever entered."""
        ...

    def terms(self, task_id: str, terms: WorkerTerms) -> WorkerTerms:
        """Return *terms* as they hold for a worker that begins now."""
        ...


@attrs.frozen
class OpenGate:
    """Lets everybody begin at once."""

    async def enter(self, task_id: str) -> None:
        """Return at once."""

    def left(self, task_id: str) -> None:
        """Take no note of it."""

    def terms(self, task_id: str, terms: WorkerTerms) -> WorkerTerms:
        """Return *terms* as they are."""
        return terms


@attrs.frozen
class BothGates:
    """Lets a worker begin that two gates let begin; the terms are those of the first."""

    first: StartGate
    second: StartGate

    async def enter(self, task_id: str) -> None:
        """Return once both let the worker begin."""
        await self.first.enter(task_id)
        await self.second.enter(task_id)

    def left(self, task_id: str) -> None:
        """Tell both that the worker is over."""
        self.first.left(task_id)
        self.second.left(task_id)

    def terms(self, task_id: str, terms: WorkerTerms) -> WorkerTerms:
        """Return *terms* as the first has them."""
        return self.first.terms(task_id, terms)


@attrs.define(eq=False)
class PilotGate:
    """Lets one worker begin, and the rest once its first answer has begun.

    From then on the provider's cache holds the prefix that all share. The first worker's answers
    are streamed, so that it is known when one begins. If it ends or fails before that, the next
    one goes first. If its answer has not begun after the longest hold, the rest begins without it.
    """

    run: Run
    parent: str
    """Path of the span that the workers belong to."""
    on_begun: Callable[[float], None]
    """Told how long it took until the first answer began."""
    paths: Mapping[str, str] = attrs.field(factory=dict)
    """Paths of the workers' spans by their ids, if those are not the ends of the paths; more may come."""
    longest_hold_seconds: float | None = None
    """From the first worker's call on; ``None``: no limit."""
    has_given_up: bool = attrs.field(default=False, init=False)
    """Whether the longest hold is over and all may begin."""
    opened_at: float | None = attrs.field(default=None, init=False)
    """When the first answer began, on the clock of the event loop; ``None``: not yet."""
    _pilot: str | None = attrs.field(default=None, init=False)
    _begun_at: float = attrs.field(default=0.0, init=False)
    _timer: asyncio.TimerHandle | None = attrs.field(default=None, init=False)
    _changed: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)

    @property
    def holds(self) -> bool:
        """Whether all but the first have to wait."""
        return self.opened_at is None and not self.has_given_up

    async def enter(self, task_id: str) -> None:
        """Return at once for the pilot, for all others once the gate is open."""
        # A loop: when a pilot fails, all who wait wake up. The first to run becomes the pilot, and the others
        # have to wait again.
        while self.holds and self._pilot is not None:
            await self._changed.wait()
        if self.holds:
            self._pilot = task_id
            self._begun_at = asyncio.get_running_loop().time()
            self._changed = asyncio.Event()
            self.run.watch(self._see)

    def left(self, task_id: str) -> None:
        """Let the next one go first if the pilot is over and no answer had begun."""
        if task_id == self._pilot and self.opened_at is None:
            self.run.unwatch(self._see)
            self._stop_timer()
            self._pilot = None
            self._changed.set()

    def terms(self, task_id: str, terms: WorkerTerms) -> WorkerTerms:
        """Return *terms*, with streamed answers for the pilot."""
        return attrs.evolve(terms, stream=True) if task_id == self._pilot else terms

    def _see(self, event: Event) -> None:
        match event:
            case ModelCallStarted() if self._is_pilots(event.span):
                self._begun_at = asyncio.get_running_loop().time()
                self._start_timer()
            # Anthropic's cache can be read from when the first answer begins, so the text is awaited and not
            # the end of the call.
            case ModelTextArrived() if self._is_pilots(event.span):
                self._open()
            # An answer from the journal says nothing of the cache: after a resume it may be gone long since.
            case ModelCallFinished(replayed=False, error="") if self._is_pilots(event.span):
                self._open()
            case ModelCallFinished(replayed=False) if self._is_pilots(event.span):
                self.left(self._pilot or "")

    def _is_pilots(self, span: str) -> bool:
        pilot = self._pilot or ""
        path = self.paths.get(pilot) or f"{self.parent}/{pilot.rpartition('/')[2]}"
        return span == path or span.startswith(f"{path}/")

    def _open(self) -> None:
        self.run.unwatch(self._see)
        self._stop_timer()
        self.opened_at = asyncio.get_running_loop().time()
        self.on_begun(self.opened_at - self._begun_at)
        self._changed.set()

    def _start_timer(self) -> None:
        if self.longest_hold_seconds is not None and self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self.longest_hold_seconds, self._give_up)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        # The pilot is still watched: how long its answer took is worth knowing for the next plan.
        self.has_given_up = True
        self._changed.set()


@attrs.define(eq=False)
class WarmGate:
    """Has one small call write the prefix to the provider's cache, and then lets everybody begin.

    If that call fails, everybody begins without it: their own calls will say what is wrong.
    """

    run: Run
    shared: WorkerTerms
    span: Span
    """Place of the call in the run."""
    on_begun: Callable[[float], None]
    _is_open: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    _is_asked: bool = attrs.field(default=False, init=False)

    async def enter(self, task_id: str) -> None:
        """Ask, for the first one; return once there is an answer."""
        if self._is_asked:
            await self._is_open.wait()
            return
        self._is_asked = True
        try:
            await self._ask()
        finally:  # also if the worker that asks is cancelled: its siblings wait for this and for nothing else
            self._is_open.set()

    def left(self, task_id: str) -> None:
        """Take no note of it."""

    def terms(self, task_id: str, terms: WorkerTerms) -> WorkerTerms:
        """Return *terms* as they are."""
        return terms

    async def _ask(self) -> None:
        shared = self.shared
        clock = asyncio.get_running_loop()
        begun = clock.time()
        request = Request(
            [user("Answer with the word: ready")],
            shared.system,
            shared.tools.specs,
            max_output_tokens=1,
            effort=shared.effort,
            caching=attrs.evolve(shared.caching, conversation=False),
        )
        try:
            await self.run.gateway.ask(self.span, shared.model, request, purpose="probe")
        except (BudgetExhausted, ModelError):
            return
        self.on_begun(clock.time() - begun)
