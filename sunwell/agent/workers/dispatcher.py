"""Starts workers and keeps their results: one lens, many at once."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from functools import partial
from typing import Any, Protocol

import attrs

from sunwell.agent.conversation.conversation import Conversation
from sunwell.agent.run.run_context import Ending, Run
from sunwell.agent.workers.begun_first import Entrance
from sunwell.agent.workers.slots import Seat, Slots
from sunwell.agent.workers.start_gate import OpenGate, StartGate
from sunwell.agent.workers.worker import Worker, WorkerOrigin, WorkerTerms
from sunwell.agent.workers.worker_result import closed, recorded_result, result_of
from sunwell.core.span import Span
from sunwell.core.task import Budget, Status, StopReason, Task, TaskResult
from sunwell.core.verdict import Verification
from sunwell.errors import DepthReached, JournalError, PinError
from sunwell.events import (
    WORKER_FAILED,
    WORKER_FINISHED,
    WORKER_PROGRESSED,
    WORKER_QUEUED,
    WORKER_STARTED,
    WORKER_WAITING,
    WorkerFailed,
    WorkerFinished,
    WorkerProgressed,
    WorkerQueued,
    WorkerStarted,
    WorkerWaiting,
)
from sunwell.journal.records import Held, HoldReason, WorkerOpened
from sunwell.tools.staged_calls import asking_for

Body = Callable[[str], Coroutine[Any, Any, None]]
"""Carries out the worker with the given id to its end, and writes the end down."""


class Linger(Protocol):
    """Says how long whoever waits for some workers stays for further ones."""

    def most_seconds(self) -> float:
        """Return the longest time, as things stand now."""
        ...

    def has_enough(self) -> bool:
        """Whether not to stay any longer."""
        ...


class Running(Protocol):
    """A worker that was started."""

    def cancel(self) -> None:
        """Have the worker end as soon as it can; it writes down what is there."""
        ...

    async def wait(self) -> None:
        """Return when the worker has ended; raises what its body raised, but no cancellation."""
        ...


class Engine(Protocol):
    """Starts workers. All that a worker needs besides its id is in the journal under that id.

    So an engine may carry the body out in another process: with the id alone, and again after a
    crash, since no answered call is asked twice.
    """

    def start(self, task_id: str, body: Body) -> Running:
        """Start *body* for the worker *task_id* and return at once."""
        ...


@attrs.define(eq=False)
class _LocalWorker:
    task: asyncio.Task[None]
    begun: asyncio.Event

    def cancel(self) -> None:
        if self.begun.is_set():
            self.task.cancel()
        else:
            # Cancelled before its first step, a task never enters its coroutine: the end of the worker would
            # not be written down, ``done`` never set, and whoever awaits the result would hang.
            asyncio.get_running_loop().call_soon(self.cancel)

    async def wait(self) -> None:
        await asyncio.wait([self.task])
        if not self.task.cancelled() and (error := self.task.exception()) is not None:
            raise error


@attrs.define(eq=False)
class LocalEngine:
    """Runs each worker as a task of the running event loop."""

    _tasks: set[asyncio.Task[None]] = attrs.field(factory=set, init=False)

    def start(self, task_id: str, body: Body) -> Running:
        """Start *body* as a task."""
        begun = asyncio.Event()

        async def begin() -> None:
            begun.set()
            await body(task_id)

        task = asyncio.get_running_loop().create_task(begin(), name=task_id)
        self._tasks.add(task)  # the event loop holds tasks weakly: this one could be collected at an await
        task.add_done_callback(self._tasks.discard)
        return _LocalWorker(task, begun)


log = logging.getLogger("sunwell.agent")

_CURRENT: ContextVar[Worker | None] = ContextVar("sunwell_worker", default=None)
"""The worker on whose behalf this code runs; it gives up its slot while it waits for others."""
_NOTICED_SECONDS = 0.001


@attrs.frozen
class Carried:
    """How the work of a worker ended, and what its checks found."""

    ended: Ending
    verification: Verification | None = None
    """``None`` if there was no check."""


class Verifier(Protocol):
    """Carries out what a worker has begun, and has it checked."""

    def may_climb(self, worker: Worker) -> bool:
        """Whether the work of *worker* goes up if it fails its check."""
        ...

    def told(self, worker: Worker) -> tuple[str, ...]:
        """Return what *worker* is told of the checks of its task alone."""
        ...

    def expect(self, worker: Worker) -> None:
        """Count *worker* as at work from now on."""
        ...

    def left(self, worker: Worker) -> None:
        """Note that *worker* has ended."""
        ...

    async def carry_out(self, worker: Worker, first: Conversation, limits: Budget) -> Carried:
        """Carry out what *worker* has begun in *first*; *limits* hold for each of its conversations."""
        ...


@attrs.define(eq=False)
class Dispatcher:
    """All workers of one run. Results stay addressable until the run ends, and nothing is read twice.

    A worker is a piece of work like any other: a conversation of its own, a span and an account
    below its parent's, the one model that its terms name, the tools that its task grants. How it
    ends is a result; only a broken journal or a broken pin ends the run.
    """

    run: Run
    terms: WorkerTerms
    slots: Slots
    max_depth: int = attrs.field(default=1, validator=attrs.validators.ge(0))
    """A worker may be started at a lower depth than this; the root is 0."""
    engine: Engine = attrs.field(factory=LocalEngine)
    verifier: Verifier | None = None
    """Has the work of each worker checked; ``None``: nobody does."""
    _entrance: Entrance = attrs.field(init=False)
    _workers: dict[str, Worker] = attrs.field(factory=dict, init=False)
    _gates: dict[str, StartGate] = attrs.field(factory=dict, init=False)
    _running: dict[str, Running] = attrs.field(factory=dict, init=False)
    _finished: list[Worker] = attrs.field(factory=list, init=False)
    _counts: dict[str, int] = attrs.field(factory=dict, init=False)
    _news: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    _fatal: BaseException | None = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self._entrance = Entrance(self.run, self.slots)

    def may_start(self, parent: Span) -> bool:
        """Whether *parent* may start workers; if not, it is not even offered the tools for it."""
        return parent.depth < self.max_depth

    def start(
        self,
        task: Task,
        parent: Span,
        *,
        name: str | None = None,
        index: int | None = None,
        terms: WorkerTerms | None = None,
        gate: StartGate | None = None,
        origin: WorkerOrigin | None = None,
    ) -> str:
        """Have a worker of *parent* do *task* as soon as a slot is free; return its id at once.

        The id is the worker's place in the run, made of the parent's and *name*, which must be the
        same each time the run is resumed; without one it is the number among its siblings. If
        *origin* names an id, it is that. *index* is its place among its siblings, from 0, if they are not
        started in their order.
        Raises :exc:`~sunwell.errors.DepthReached` if ``max_depth`` allows no worker.
        """
        if not self.may_start(parent):
            raise DepthReached(self.max_depth)
        count = self._counts.get(parent.path, 0)
        index = count if index is None else index
        span = parent.worker(name or f"task-{index}")
        task_id = origin.task_id if origin else span.path.removeprefix(f"{self.run.root.path}/")
        if task_id in self._workers:
            raise ValueError(f"there is a worker {task_id} already")
        self._counts[parent.path] = count + 1
        if self.run.checks is not None:
            self.run.checks.own[span.path] = task.check
        seat = Seat(self.slots, self._entrance.stir)
        worker = Worker(task_id, index, span, parent, task, terms or self.terms, seat, origin)
        if self.verifier is not None:
            worker.climbs = self.verifier.may_climb(worker)
            self.verifier.expect(worker)
        self._workers[task_id] = worker
        self._gates[task_id] = gate or OpenGate()
        self._entrance.expect(worker)
        self.run.tell(WORKER_QUEUED, WorkerQueued(span.path, task_id, task.text, span.depth, parent.path))
        self._running[task_id] = self.engine.start(task_id, self._body)
        return task_id

    def result(self, task_id: str) -> TaskResult | None:
        """Return the result of a worker, ``None`` while it works. Raises :exc:`KeyError` for no worker."""
        return self._workers[task_id].result

    def all_results(self) -> tuple[TaskResult, ...]:
        """Return the results that are there, in the order in which the workers were started."""
        return tuple(worker.result for worker in self._workers.values() if worker.result is not None)

    def finished_since(self, cursor: int = 0) -> tuple[tuple[TaskResult, ...], int]:
        """Return what has finished since *cursor*, in that order, and the cursor for the next time."""
        done = [worker.result for worker in self._finished[cursor:] if worker.result is not None]
        return tuple(done), cursor + len(done)

    async def await_results(
        self, task_ids: Iterable[str], timeout_seconds: float | None = None
    ) -> tuple[TaskResult | None, ...]:
        """Return the results of workers in the given order, ``None`` for each that is not done in time.

        Who is a worker itself gives up its slot meanwhile. No time-out is no limit.
        """
        workers = [self._workers[task_id] for task_id in task_ids]
        if not all(worker.done.is_set() for worker in workers):
            async with self._without_slot():
                try:
                    async with asyncio.timeout(timeout_seconds):
                        for worker in workers:
                            await worker.done.wait()
                except TimeoutError:
                    pass
        self._raise_fatal()
        return tuple(worker.result for worker in workers)

    async def wait_for_some(
        self,
        task_ids: Iterable[str],
        least: int = 1,
        timeout_seconds: float | None = None,
        *,
        linger: Linger | None = None,
    ) -> None:
        """Return once *least* of these workers are done, or all of them, or the time is over.

        Once *least* are done, it stays for the others as long as *linger* says, within the same time limit;
        that is asked again with each worker that ends. Who is a worker itself gives up its slot meanwhile. No
        time-out is no limit.
        """
        workers = [self._workers[task_id] for task_id in task_ids]

        def are_done(number: int) -> bool:
            self._raise_fatal()
            return sum(worker.done.is_set() for worker in workers) >= number

        async def wait_for(number: int) -> None:
            while not are_done(number):
                # Nothing is awaited between the look and this line, so no news is missed; a worker
                # that ends sets this very event before it puts a new one in its place.
                await self._news.wait()

        async def stay(longer: Linger) -> None:
            clock = asyncio.get_running_loop().time
            since = clock()
            while not are_done(len(workers)) and not longer.has_enough():
                left = since + longer.most_seconds() - clock()
                if left <= 0:
                    return
                with suppress(TimeoutError):
                    async with asyncio.timeout(left):
                        await self._news.wait()

        enough = min(least, len(workers))
        if are_done(enough if linger is None else len(workers)):
            return
        async with self._without_slot():
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout_seconds):
                    await wait_for(enough)
                    if linger is not None:
                        await stay(linger)

    async def results(self, task_ids: Iterable[str]) -> AsyncIterator[TaskResult]:
        """Yield the results of workers as they finish."""
        wanted, cursor = set(task_ids), 0
        while wanted:
            # Before the look at what has finished: at the ``yield`` our caller has control, and a worker may
            # end meanwhile. It sets this event and puts a new one in its place, which nobody sets for it.
            news = self._news
            for worker in self._finished[cursor:]:
                cursor += 1
                if worker.id in wanted and worker.result is not None:
                    wanted.discard(worker.id)
                    yield worker.result
            self._raise_fatal()
            if wanted and cursor == len(self._finished):
                async with self._without_slot():
                    await news.wait()

    def cancel(self, task_ids: Iterable[str]) -> None:
        """Have workers end; those that are done stay as they are."""
        for task_id in task_ids:
            worker = self._workers[task_id]
            if not worker.done.is_set():
                # Before the cancellation: a worker that waits for its own workers would else, on its way out
                # of ``given_up``, stand in line for a slot that it no longer needs.
                worker.seat.leave()
                self._running[task_id].cancel()

    async def close(self) -> None:
        """Cancel what still works, and wait until all of it is written down."""
        # Who is only played again may be behind the work that hands it out. It ends where its record does.
        if self.run.gateway.compare is None:
            self.cancel(tuple(self._running))
        cancelled: asyncio.CancelledError | None = None
        while self._running:
            running = next(iter(self._running.values()))
            try:
                await running.wait()
            except asyncio.CancelledError as error:
                # The run itself is cancelled while its workers end. They still write down calls that the
                # provider bills, so we leave only after them.
                cancelled = error
            except Exception as error:
                self._fatal = self._fatal or error
        if cancelled is not None:
            raise cancelled

    @asynccontextmanager
    async def _without_slot(self) -> AsyncIterator[None]:
        worker = _CURRENT.get()
        if worker is None:
            yield
            return
        self.run.tell(WORKER_WAITING, WorkerWaiting(worker.span.path, worker.id))
        async with worker.seat.given_up():
            yield

    async def _body(self, task_id: str) -> None:
        worker = self._workers[task_id]
        try:
            result = recorded_result(self.run, worker)
            worker.replayed = result is not None
            if result is None:
                result = await self._carry_out(worker)
            elif self.run.gateway.compare is not None:
                await self._carry_out(worker)  # its questions are compared, too; its recorded end stays
            worker.result = result
        except BaseException as error:
            self._fatal = self._fatal or error  # before ``done``: who wakes by it looks for this
            raise
        finally:
            self._gates[task_id].left(task_id)
            self._running.pop(task_id, None)
            if self.verifier is not None:
                self.verifier.left(worker)
            self._finished.append(worker)
            worker.done.set()
            self._news.set()
            self._news = asyncio.Event()
            # Last: it hands the slot to the next worker. A task that was woken above, by ``done`` or the
            # news, may cancel that worker before it runs and asks a model.
            worker.seat.leave()
            self._entrance.left(worker)
        self._tell_failure(worker, worker.result)
        told = WorkerFinished(worker.span.path, task_id, worker.index, worker.result, worker.replayed)
        self.run.tell(WORKER_FINISHED, told)

    async def _carry_out(self, worker: Worker) -> TaskResult:
        clock = asyncio.get_running_loop()
        verification: Verification | None = None
        begun = clock.time()
        try:
            # The gate before the slot: siblings that wait for the pilot's first answer would else hold all
            # slots, and the pilot, which opens the gate, could get none.
            await self._enter(worker)
            await worker.seat.sit()
            self._entrance.seated(worker)
            begun = clock.time()
            _CURRENT.set(worker)
            carried = await self._work(worker)
            ended, verification = carried.ended, carried.verification
        except asyncio.CancelledError:
            ended = _end_of(worker, "cancelled", "cancelled", "the worker was stopped")
        except (JournalError, PinError):
            raise
        except Exception as error:  # a bug in one worker must not lose what its siblings have paid for
            log.exception("the worker %s failed", worker.id)
            said = self.run.gateway.redact(f"{type(error).__name__}: {error}")
            ended = _end_of(worker, "error", "bug", said)
        finally:
            self.run.ledger.close(worker.span.path)
            worker.terms.tools.release(worker.id)
        conflicts = worker.terms.tools.conflicts_of(worker.id)
        seconds = clock.time() - begun
        # Cleaned as its record is: a secret may be whole only where the pieces of an answer are joined, and
        # what is said of a report's size must be true of the report that is kept.
        result = self.run.gateway.secrets.cleaned(
            result_of(self.run, worker, ended, verification, seconds, conflicts)
        )
        # Not durable by itself: after a crash before the next sync, a resume goes through the recorded
        # answers again and comes to the same end without a call.
        if not worker.replayed:
            await self.run.journal.append(closed(worker, result, ended.answer_tokens), durable=False)
        return result

    async def _work(self, worker: Worker) -> Carried:
        limits = worker.terms.ceilings(worker.task)
        each = Budget(turns=limits.turns, seconds=limits.seconds) if worker.climbs else Budget()
        if worker.climbs:  # a rung that used up its time leaves the next one its own
            limits = attrs.evolve(limits, turns=None, seconds=None)
        first = await self._begin(worker, limits)
        if self.verifier is not None:
            return await self.verifier.carry_out(worker, first, each)
        worker.works.append(first)
        return Carried(await first.to_the_end())

    async def _begin(self, worker: Worker, limits: Budget) -> Conversation:
        run, terms, task, span = self.run, worker.terms, worker.task, worker.span
        run.ledger.open(span.path, limits)
        worker.has_account = True
        run.gateway.pin(worker.first_span, terms.model)
        model = terms.model.name
        before = run.journal.find(WorkerOpened, (span.path,))
        own = () if self.verifier is None else self.verifier.told(worker)
        asks = terms.looks_up
        if before is not None:  # what was looked up is in it: no source is asked again
            told = before.told
        else:
            looked_up = await asks.told() if asks is not None and not run.gateway.recorded_only else ""
            told = terms.told(task, own, run.ledger.seconds_left(worker.parent.path), looked_up)
        opened = WorkerOpened(
            span.path,
            worker.parent.path,
            span.depth,
            task.text,
            model,
            time.time(),
            worker.origin.turn if worker.origin else None,
            asks.query if asks is not None else None,
            told=told,
        )
        await run.journal.append(opened, durable=False)  # durable with the intent of its first call
        asking_for.set(f"{worker.id}: {task.text}")
        run.tell(WORKER_STARTED, WorkerStarted(span.path, worker.id, model, span.depth))
        terms = self._gates[worker.id].terms(worker.id, terms)
        given = terms.assignment(worker.first_span, task, told, run.ledger.seconds_left(span.path))
        work = Conversation(run, given, terms.tools.granting(task.tools, worker.id))
        work.hand_over = terms.hand_over
        work.on_turn = partial(self._tell_progress, worker)
        work.end_pays = partial(self._entrance.end_pays, worker)
        work.keeps_reserve = partial(self._entrance.keeps_reserve, worker)
        return work

    def _tell_progress(self, worker: Worker, turns: int) -> None:
        self.run.tell(WORKER_PROGRESSED, WorkerProgressed(worker.span.path, worker.id, turns))

    async def _enter(self, worker: Worker) -> None:
        """Wait until the planner of the batch lets *worker* begin, and its cost fits.

        Both waits are journalled.
        """
        clock = asyncio.get_running_loop()
        await self._entrance.wait_for_earlier(worker)
        before = clock.time()
        await self._gates[worker.id].enter(worker.id)
        await self._note_held(worker, "planner", clock.time() - before)
        await self._note_held(worker, "ledger", await self._entrance.enter(worker))

    async def _note_held(self, worker: Worker, reason: HoldReason, seconds: float) -> None:
        if seconds >= _NOTICED_SECONDS:
            held = Held(worker.span.path, reason, seconds, time.time())
            await self.run.journal.append(held, durable=False)

    def _tell_failure(self, worker: Worker, result: TaskResult) -> None:
        if not result.success:
            ended = (result.status, result.stop_reason, result.error)
            self.run.tell(WORKER_FAILED, WorkerFailed(worker.span.path, worker.id, *ended))

    def _raise_fatal(self) -> None:
        if self._fatal is not None:
            raise self._fatal


def _end_of(worker: Worker, status: Status, reason: StopReason, sentence: str) -> Ending:
    """Return the end of a worker that can no longer be asked, perhaps before it began."""
    if not worker.works:
        return Ending(status, reason, "", sentence)
    return worker.works[-1].composed_end(status, reason, sentence)
