"""One run while it goes on: its events, what all its parts share, what its task has come to, its result."""

import asyncio
import time
from collections import Counter, deque
from collections.abc import AsyncGenerator, Callable, Container, Generator, Iterable
from contextlib import AbstractAsyncContextManager, AbstractContextManager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self
from weakref import WeakSet

import attrs
from blinker import NamedSignal

from sunwell.agent.policy.task_kinds import kind_of
from sunwell.agent.run.asked_contexts import AskedContexts
from sunwell.agent.run.command_calls import command_of
from sunwell.agent.run.composed_answer import composed_answer
from sunwell.agent.run.context_lookup import ContextLookup
from sunwell.agent.run.deadlines import TimeLimits
from sunwell.agent.run.files_seen import FilesSeen
from sunwell.agent.run.guidance import Guidance
from sunwell.agent.run.ladder_terms import LadderTerms
from sunwell.agent.run.lens_shelf import LensShelf
from sunwell.agent.run.loop_config import LoopConfig
from sunwell.agent.run.quiet import Quiet
from sunwell.agent.run.run_outcomes import RunOutcomes
from sunwell.agent.run.toolset import Toolset
from sunwell.budget.ledger import TreeLedger
from sunwell.budget.ledger_protocol import Budget, Ledger
from sunwell.budget.tally import Tally
from sunwell.context.excerpts import Shown
from sunwell.core.confinement import Confinement
from sunwell.core.coverage import AnswerCoverage
from sunwell.core.lens import EphemeralLens, LensSource
from sunwell.core.message import FileChange, net_changes
from sunwell.core.model import ModelProtocol
from sunwell.core.price import DelegationDecision, Quote
from sunwell.core.span import Span
from sunwell.core.task import AnswerBy, Bill, CommandRun, Status, StopReason, TaskResult, with_both_sides
from sunwell.core.unbroken import unbroken
from sunwell.core.verdict import LensTest, Verification
from sunwell.errors import JournalError, SunwellError
from sunwell.events import (
    BUDGET_WARNING,
    RUN_FAILED,
    RUN_FINISHED,
    RUN_STARTED,
    SANDBOX_CHOSEN,
    WARNED,
    BudgetWarning,
    Event,
    ModelContent,
    ModelTextArrived,
    RunFailed,
    RunFinished,
    RunStarted,
    SandboxChosen,
    ToolContent,
    Warned,
    emit,
)
from sunwell.gateway.gateway import Gateway
from sunwell.journal.protocol import Journal
from sunwell.journal.records import (
    Checked,
    Continued,
    Key,
    Record,
    RunClosed,
    RunOpened,
    RunResumed,
    ToolFinished,
    ToolStarted,
    WorkerOpened,
)
from sunwell.tools.set_aside import LeftFile, SeenLeftBehind

if TYPE_CHECKING:  # most runs have no checks, and do not load their room
    from sunwell.checks.suite import ChosenChecks


_CLOSING_SECONDS = 0.2
_RESUMED_SECONDS = 3.0


@attrs.define(eq=False)
class EventStream:
    """A queue with one consumer, which also tells the run whether anybody still listens."""

    _events: deque[Event] = attrs.field(factory=deque, init=False)
    _arrived: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    _wanted: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    _ended: bool = attrs.field(default=False, init=False)
    _abandoned: bool = attrs.field(default=False, init=False)
    takes_all: bool = attrs.field(default=True, init=False)
    """Whether the consumer wants every event, and not the last one alone."""

    def put(self, event: Event) -> None:
        """Add *event*; never waits."""
        if isinstance(event, RunFinished):
            self._ended = True  # who takes it need not wait until the run has ended
        elif not self.takes_all:
            return
        self._events.append(event)
        self._wanted.clear()
        self._arrived.set()

    def skip_to_the_end(self) -> None:
        """Drop every event but the last from now on: to wake a consumer for each takes time."""
        self.takes_all = False

    def end(self) -> None:
        """Let the consumer go once it has taken all there is."""
        self._ended = True
        self._arrived.set()

    def abandon(self) -> None:
        """Let a consumer that waits for an event go at once: nobody wants the rest."""
        self._abandoned = True
        self._arrived.set()

    @property
    def is_wanted(self) -> bool:
        """Whether the consumer has taken every event that it wants, and asks for more."""
        return not self.takes_all or self._wanted.is_set()

    async def hold(self) -> None:
        """Wait until the consumer has taken every event and asks for more.

        A consumer that stopped asking must not be charged for further calls.
        """
        await self._wanted.wait()

    def __aiter__(self) -> "EventStream":
        return self

    async def __anext__(self) -> Event:
        """Return the next event as soon as there is one. Raises :exc:`GeneratorExit` once it is abandoned."""
        while not self._events:
            if self._abandoned:
                raise GeneratorExit
            if self._ended:
                raise StopAsyncIteration
            self._arrived.clear()
            self._wanted.set()
            await self._arrived.wait()
        return self._events.popleft()


@attrs.define(eq=False)
class _Wish:
    """What a reader wants of the events of one run, which may not have begun."""

    stream: EventStream | None = None
    """The stream of the run, once it has begun."""
    only_the_end: bool = False

    def skip_to_the_end(self) -> None:
        """Have every event but the last dropped from now on."""
        self.only_the_end = True
        if self.stream is not None:
            self.stream.skip_to_the_end()


@attrs.define(eq=False, repr=False)
class RunEvents(AsyncGenerator[Event, None]):
    """The events of one run, or its result.

    ``async for event in events`` gives each event as it happens; the last is
    :class:`~sunwell.events.RunFinished`. ``await events`` reads those that are left and returns the
    :class:`~sunwell.core.task.TaskResult`. Nothing begins before one of the two.

    A caller that may stop reading early uses ``async with events:``. Leaving it stops the run if it is
    still going, and waits until it is booked. :func:`contextlib.aclosing` does the same.
    """

    _begin: Callable[[], AbstractAsyncContextManager[EventStream]]
    """Begins the run; its events end with the body."""
    _started: "WeakSet[RunEvents]" = attrs.field(factory=WeakSet)
    """Where this registers itself once it has begun; weak, so that a stream that nobody holds is closed."""
    _going: "set[asyncio.Future[None]]" = attrs.field(factory=set)
    """Where a run has a future while it goes on, also if nobody holds the stream any more."""
    _events: AsyncGenerator[Event, None] = attrs.field(init=False)
    _unread: deque[Event] = attrs.field(factory=deque, init=False)
    """Events that :meth:`drain` has read, for a reader who comes back."""
    _result: TaskResult | None = attrs.field(default=None, init=False)
    # One reader at a time: drain() may come while another task waits for the next event, and an
    # asynchronous generator refuses a second caller.
    _reading: asyncio.Lock = attrs.field(factory=asyncio.Lock, init=False)
    _wish: _Wish = attrs.field(factory=_Wish, init=False)

    def __attrs_post_init__(self) -> None:
        self._events = _events_of(self._begin, self._going, self._wish)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        if self._wish.stream is None:
            self._started.add(self)
        # For each event, and so without "async with" and without _next(), which cost more than the rest.
        await self._reading.acquire()
        try:
            event = self._unread.popleft() if self._unread else await anext(self._events)
        except GeneratorExit:  # of an abandoned stream
            raise StopAsyncIteration from None
        finally:
            self._reading.release()
        if isinstance(event, RunFinished):
            self._result = event.result
        return event

    def __await__(self) -> Generator[Any, Any, TaskResult]:
        return self.result().__await__()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def result(self) -> TaskResult:
        """Read the events that are left and return the result: a coroutine, for :func:`asyncio.run`.

        Asked again, it returns the same. Raises what the run raises before anything is spent, and
        :exc:`RuntimeError` if the stream was closed before the run had ended.
        """
        if not self._reading.locked():  # another task that reads wants what has happened until now
            self._wish.skip_to_the_end()
        try:
            async for _ in self:
                self._wish.skip_to_the_end()
        finally:
            if not self._reading.locked():  # another task that reads keeps the run
                await self.aclose()
        if self._result is None:
            raise RuntimeError("there is no result: the stream of events was closed before the run ended")
        return self._result

    async def drain(self, stop: Callable[[], None]) -> None:
        """Call *stop*, and read the run to its end. What is read is kept for who asks for events later.

        *stop* is called when no other task is reading: a run that was just beginning can be stopped then.
        """
        async with self._reading:
            stop()
            with suppress(StopAsyncIteration):
                while True:
                    self._unread.append(await self._next())

    async def asend(self, value: None) -> Event:
        """Return the next event, as :func:`anext` does."""
        return await anext(self)

    async def athrow(self, *error: Any) -> Event:
        """Raise *error* in the run, as :meth:`~agen.athrow` of any asynchronous generator does."""
        return await self._events.athrow(*error)

    async def aclose(self) -> None:
        """Stop the run if it is still going, and wait until it is booked. Another task's reading ends."""
        if self._wish.stream is not None:
            self._wish.stream.abandon()
        async with self._reading:
            await self._events.aclose()

    async def _next(self) -> Event:
        try:
            event = await anext(self._events)
        except GeneratorExit:  # of an abandoned stream
            raise StopAsyncIteration from None
        if isinstance(event, RunFinished):
            self._result = event.result
        return event


async def _events_of(
    begin: Callable[[], AbstractAsyncContextManager[EventStream]],
    going: "set[asyncio.Future[None]]",
    wish: _Wish,
) -> AsyncGenerator[Event, None]:
    # No reference to the stream: it is closed by the event loop if whoever held it lets it go.
    ended = asyncio.get_running_loop().create_future()
    going.add(ended)
    try:
        async with begin() as events:
            wish.stream = events
            if wish.only_the_end:
                events.skip_to_the_end()
            async for event in events:
                yield event
    finally:
        going.discard(ended)
        ended.set_result(None)


@attrs.frozen
class Ending:
    """How a piece of work ended."""

    status: Status
    stop_reason: StopReason
    answer: str = ""
    error: str = ""
    answer_by: AnswerBy = "model"
    unresolved: tuple[str, ...] = ()
    """What does not fit a finished task, a sentence each."""
    answer_tokens: int | None = None
    """Output tokens of the messages that hold the answer; ``None``: unknown, or the harness wrote it."""


class CallLog(Protocol):
    """The tool calls of a piece of work."""

    @property
    def called(self) -> Counter[str]:
        """How often each tool was called."""
        ...

    @property
    def changes(self) -> list[FileChange]:
        """Changes of files in the order in which they happened."""
        ...

    @property
    def commands(self) -> list[CommandRun]:
        """Commands in the order in which they ended."""
        ...


class Work(Protocol):
    """A piece of work that counts as the task's own: a conversation, see there."""

    @property
    def turns(self) -> int:
        """How many turns it has taken."""
        ...

    @property
    def calls(self) -> CallLog:
        """Its tool calls."""
        ...

    def composed_end(self, status: Status, reason: StopReason, sentence: str) -> Ending:
        """Return an end whose answer the harness puts together from what is there."""
        ...


@attrs.define(eq=False)
class Run:
    """One run of one task: what every part of it shares, and what it has come to so far."""

    sender: object
    """Sender of the signals: the loop that the caller made."""
    journal: Journal
    budget: Budget = Budget()
    """Ceilings of the whole run."""
    config: LoopConfig = attrs.field(factory=LoopConfig)
    task: str = attrs.field(default="", kw_only=True)
    tools: Toolset = attrs.field(factory=lambda: Toolset((), frozenset(), {}), kw_only=True)
    guidance: Guidance = attrs.field(default=Guidance(), kw_only=True)
    context: str | Callable[[], str | Shown] = attrs.field(default="", kw_only=True)
    """What the smart model is shown besides the task; a function is called only if it is needed."""
    resumed: bool = attrs.field(default=False, kw_only=True)
    given_lens: EphemeralLens | None = attrs.field(default=None, kw_only=True)
    """The lens that the caller gives; ``None``: one is written if the task is delegated."""
    lens_left_out: tuple[str, ...] = attrs.field(default=(), kw_only=True)
    """What the lens has lost of what was written, a sentence each."""
    ladder_terms: LadderTerms = attrs.field(default=LadderTerms(), kw_only=True)
    gather: Callable[[str], Shown] | None = attrs.field(default=None, kw_only=True)
    """Returns what the smart model is shown for another task than that of the run; ``None``: ``context``."""
    checks: "ChosenChecks | None" = attrs.field(default=None, kw_only=True)
    """What says whether results stand; ``None`` if nothing does."""
    lookup: ContextLookup | None = attrs.field(default=None, kw_only=True)
    """The sources of context that are asked; ``None`` if there is none."""
    confinement: Confinement = attrs.field(default=Confinement(), kw_only=True)
    """How the commands of the run, and of its checks, are confined."""
    is_told: bool = attrs.field(default=True, kw_only=True)
    """Whether receivers of the signals hear of it."""
    asked: AskedContexts | None = attrs.field(default=None, kw_only=True)
    """The long contexts that its task is a question about; ``None``: it is none."""
    shelf: LensShelf | None = attrs.field(default=None, init=False)
    """The store of lenses; ``None``: none is taken from it, and none is kept."""
    begun: Continued | None = attrs.field(default=None, init=False)
    """The conversation that it goes on with; ``None``: it begins one."""
    root: Span = attrs.field(default=Span(), init=False)
    stream: EventStream = attrs.field(factory=EventStream, init=False)
    files: FilesSeen = attrs.field(factory=FilesSeen, init=False)
    tally: Tally = attrs.field(init=False)
    ledger: Ledger = attrs.field(init=False)
    time_limits: TimeLimits = attrs.field(init=False)
    gateway: Gateway = attrs.field(init=False)
    outcomes: RunOutcomes = attrs.field(init=False)
    """How checked work went so far, in this run and in earlier ones."""

    decision: DelegationDecision | None = attrs.field(default=None, init=False)
    quote: Quote | None = attrs.field(default=None, init=False)
    coverage: AnswerCoverage | None = attrs.field(default=None, init=False)
    """What an answer about contexts rests on; ``None``: the run answers no such question."""
    not_delegated: str = attrs.field(default="", init=False)
    """Why the run was not delegated although that was decided; else empty."""
    lens: EphemeralLens | None = attrs.field(default=None, init=False)
    lens_source: LensSource | None = attrs.field(default=None, init=False)
    """Where the lens comes from; ``None`` if there is none, or it was given."""
    confidence: float | None = attrs.field(default=None, init=False)
    """How sure an orchestrator was of its answer; ``None`` where nobody said."""
    verification: Verification | None = attrs.field(default=None, init=False)
    """What the checks found; ``None`` if there was no check."""
    lens_test: LensTest | None = attrs.field(default=None, init=False)
    """Whether the lens of a batch was tested, and what that has shown; ``None``: no batch under a lens."""
    quiet: Quiet = attrs.field(factory=Quiet, init=False)
    works: list[Work] = attrs.field(factory=list, init=False)
    """What was done for the task itself; the work of workers is in their results."""
    workers: tuple[TaskResult, ...] = attrs.field(default=(), init=False)
    """Results of workers, in the order of input."""
    delivered: str = attrs.field(default="", init=False)
    """What workers reported of a task that was split among them, if the run stopped before its answer."""
    left_behind: list[str] = attrs.field(factory=list, init=False)
    """What commands left of files that other programs run by themselves, a sentence each."""
    _shared: dict[str, list[FileChange]] = attrs.field(factory=dict, init=False)
    """Changes of files that several workers changed, in the order in which they happened."""
    _watchers: list[Callable[[Event], None]] = attrs.field(factory=list, init=False)
    _is_begun: bool = attrs.field(default=False, init=False)
    """Whether its start was told."""
    is_stopping: bool = attrs.field(default=False, init=False)
    """Whether it was stopped before it had begun, so that it is cancelled in its first step."""
    _used_before: float | None = attrs.field(default=None, init=False)
    """Seconds that earlier processes of the run used."""

    def __attrs_post_init__(self) -> None:
        prices = self.config.prices
        self.tally = Tally(prices.date)
        self.ledger = TreeLedger(on_warning=self._warn)
        self.ledger.open(self.root.path, self.budget)
        self.time_limits = TimeLimits(self.ledger, self.journal)
        self.gateway = Gateway(
            self.journal, self.ledger, self.tally, prices, self.tell, self.config.retry, self._hold
        )
        self.gateway.hears = self.hears
        self.outcomes = RunOutcomes(
            self.ladder_terms.outcomes, lambda sentence: self.tell(WARNED, Warned(sentence))
        )

    @property
    def kind(self) -> str:
        """The kind of its task: as the decision has it, or by its words."""
        return (self.decision.kind if self.decision is not None else "") or kind_of(self.task)

    def note_left_behind(self, sentences: Iterable[str]) -> None:
        """Tell the user what a command has just left behind, and keep it for the report."""
        for sentence in sentences:
            self.left_behind.append(sentence)
            self.tell(WARNED, Warned(sentence))

    def noting_left_behind(self) -> AbstractContextManager[list[LeftFile]]:
        """Note what commands in the body leave behind if the body is cancelled or fails; give a list of it.

        Otherwise it is in the result of the body.
        """
        return SeenLeftBehind(self._note_left_files)

    def _note_left_files(self, left: Iterable[LeftFile]) -> None:
        self.note_left_behind(self.gateway.redact(one.for_user) for one in left)

    def hears(self, signal: NamedSignal) -> bool:
        """Whether anybody would be told of an event of *signal* now: if not, it need not be made.

        The end of the run is always told.
        """
        return bool(self.stream.takes_all or self._watchers or (self.is_told and signal.receivers))

    def tell(self, signal: NamedSignal, event: Event) -> None:
        """Send *event* to the receivers of *signal* and to whoever iterates over the run.

        Known secrets in it are replaced. What was said and done goes to receivers alone.
        """
        if signal is not RUN_FINISHED and not self.hears(signal):
            return
        # The gateway has held back what may be part of one, and a result is cleaned when it is made.
        if not isinstance(event, ModelTextArrived | RunFinished):
            event = self.gateway.secrets.cleaned(event)
        if signal.receivers and self.is_told:  # mostly nobody listens besides who iterates
            emit(signal, self.sender, event, self.journal.run_id)
        if isinstance(event, ModelContent | ToolContent):
            return
        self.stream.put(event)
        for watch in tuple(self._watchers):
            watch(event)

    def watch(self, see: Callable[[Event], None]) -> None:
        """Have *see* told of every event; for parts of the run itself, whose bugs must surface."""
        self._watchers.append(see)

    def unwatch(self, see: Callable[[Event], None]) -> None:
        """Tell *see* no more."""
        if see in self._watchers:
            self._watchers.remove(see)

    def _warn(self, *numbers: Any) -> None:
        self.tell(BUDGET_WARNING, BudgetWarning(*numbers))

    async def _hold(self) -> None:
        if self.is_stopping:
            await asyncio.sleep(0)
        if not self.stream.is_wanted:
            async with self.time_limits.pause("reader"):
                await self.stream.hold()

    def tell_start(self, model: ModelProtocol) -> None:
        """Tell that the run has started, and how its commands are confined if any may run."""
        self._is_begun = True
        if self.hears(RUN_STARTED):
            self._tell_start(model)
        if self.confinement.sandbox != "none" and not self.gateway.recorded_only:
            self.tell(SANDBOX_CHOSEN, SandboxChosen(self.confinement))

    def _tell_start(self, model: ModelProtocol) -> None:
        path = str(self.journal.path) if self.journal.path else None
        earlier = self.tally.bill(self.root.path) if self.resumed else Bill()
        self.tell(
            RUN_STARTED,
            RunStarted(
                self.journal.run_id,
                self.task,
                model.name,
                path,
                self.resumed,
                earlier.cost_usd,
                earlier.uncertain_usd,
            ),
        )

    def take(self, workers: tuple[TaskResult, ...]) -> None:
        """Keep the results of *workers*, with all conflicts that they were a side of."""
        self.workers = with_both_sides(workers)
        counts = Counter(change.path for worker in workers for change in worker.files)
        self._shared = {path: [] for path, count in counts.items() if count > 1}
        if self._shared:
            for record in self.journal.records():
                if isinstance(record, ToolFinished):
                    for change in record.result.changes:
                        self._shared.get(change.path, []).append(change)

    def composed_end(self, status: Status, reason: StopReason, sentence: str) -> Ending:
        """Return the end of the run if nobody can be asked for an answer any more."""
        if self.works:
            return self.works[-1].composed_end(status, reason, sentence)
        answer = composed_answer(sentence, delivered=self.delivered)
        return Ending(status, reason, answer, sentence, "harness" if answer else "model")

    async def finish(self, ended: Ending) -> TaskResult:
        """Return the result of the run that *ended*, after it is journalled and told."""
        if self.gateway.ran_out:
            ended = self.composed_end("cancelled", "cancelled", self.gateway.ran_out)
        result = self._result(ended)
        if self.gateway.ran_out and self.gateway.accept_changes and self.journal.find(RunClosed, ()):
            result = self.gateway.secrets.cleaned(as_closed(result, self.journal.records()))
        try:
            await self._write_end(_closed(result))
        except JournalError as error:  # the answer was paid: whoever gets the error gets it, too
            error.result = attrs.evolve(
                result, status="error", stop_reason="not_recorded", error=error.sentence
            )
            raise
        self.tell(RUN_FINISHED, RunFinished(self.journal.run_id, result))
        return result

    def tell_failure(self, error: BaseException) -> None:
        """Tell that the run ends with *error*, if it had begun: nothing more comes."""
        if self._is_begun:
            found = error.result if isinstance(error, SunwellError) else None
            result = found if isinstance(found, TaskResult) else None
            self.tell(RUN_FAILED, RunFailed(self.journal.run_id, type(error).__name__, str(error), result))

    @property
    def has_time(self) -> bool:
        """Whether the time limit of the run is not reached, or it has none."""
        left = self.ledger.seconds_left(self.root.path)
        return left is None or left > 0

    def seconds_to_the_end(self) -> float | None:
        """Return the time after which all work of the run ends, whatever it is doing; ``None``: no limit.

        Work that knows its time limit gets a moment more, to end with what it has. A resumed run gets longer:
        what is on record takes some time to be played again, although it may have none left.
        """
        limit = self.budget.seconds
        if limit is None or self.gateway.recorded_only:
            return None
        used = self.ledger.used(self.root.path).seconds
        if self._used_before is None:
            self._used_before = used
        if self.resumed:
            return max(limit, self._used_before) + _RESUMED_SECONDS - used
        return limit + _CLOSING_SECONDS - used

    def so_far_done(self, ended: Ending) -> TaskResult:
        """Return the result of the run if it ended now with *ended*, before anything is recorded or told."""
        return self._result(ended)

    def so_far(self, error: SunwellError) -> TaskResult:
        """Return the result of the run as far as it has come when *error* ends it."""
        reason: StopReason = "not_recorded" if isinstance(error, JournalError) else "bug"
        return self._result(self.composed_end("error", reason, str(error)))

    async def close_unbegun(self, ended: Ending) -> None:
        """Record that the run *ended* before it began, if nothing was spent and it was not taken up again.

        Else it would look as if it had been interrupted.
        """
        used = self.ledger.used(self.root.path)
        is_begun = used.settled_tokens or used.uncertain_tokens or used.settled_usd
        if not (is_begun or self.resumed or self.gateway.recorded_only):
            await self._write_end(_closed(self._result(ended)))

    async def _write_end(self, closed: RunClosed) -> None:
        """Write the last record, although a stop may come meanwhile: it comes too late to change the end."""
        with suppress(asyncio.CancelledError):
            await unbroken(self.journal.append(closed))

    def _seconds(self) -> float:
        """Return the time that the run took, with that of the processes that had it before."""
        closed = self.journal.find(RunClosed, ()) if self.gateway.recorded_only else None
        if closed is not None:
            return closed.duration_seconds
        return self.ledger.used(self.root.path).seconds

    def _verification(self) -> Verification | None:
        """Return what the checks found; of a run that is played again, as it was told then."""
        closed = self.journal.find(RunClosed, ()) if self.gateway.recorded_only else None
        return self.verification if closed is None else closed.verification

    def _lens_test(self) -> LensTest | None:
        closed = self.journal.find(RunClosed, ()) if self.gateway.recorded_only else None
        return self.lens_test if closed is None else closed.lens_test

    def _result(self, ended: Ending) -> TaskResult:
        called: Counter[str] = Counter()
        changes: list[FileChange] = []
        commands: list[CommandRun] = []
        for work in self.works:
            called.update(work.calls.called)
            changes += work.calls.changes
            commands += work.calls.commands
        for worker in self.workers:
            called.update(dict(worker.tools_called))
            commands += worker.commands
            changes += (change for change in worker.files if change.path not in self._shared)
        for shared in self._shared.values():
            changes += shared
        result = TaskResult(
            task=self.task,
            status=ended.status,
            stop_reason=ended.stop_reason,
            answer=ended.answer,
            error=ended.error,
            files=net_changes(changes),
            tools_called=tuple(sorted(called.items())),
            turns=sum(work.turns for work in self.works) + sum(one.turns for one in self.workers),
            bill=self.tally.bill(self.root.path),
            duration_seconds=self._seconds(),
            run_id=self.journal.run_id,
            journal=str(self.journal.path) if self.journal.path else None,
            decision=self.decision,
            quote=self.quote,
            coverage=self.coverage,
            lens=self.lens,
            lens_left_out=self.lens_left_out,
            lens_source=self.lens_source,
            commands=tuple(commands),
            conflicts=tuple(dict.fromkeys(conflict for one in self.workers for conflict in one.conflicts)),
            workers=self.workers,
            confidence=self.confidence,
            answer_by=ended.answer_by,
            not_delegated=self.not_delegated,
            unresolved=(
                *ended.unresolved,
                *(f"{one.task_id}: {said}" for one in self.workers for said in one.unresolved),
            ),
            verification=self._verification(),
            lens_test=self._lens_test(),
            confinement=self.confinement,
            left_behind=tuple(dict.fromkeys(self.left_behind)),
        )
        return self.gateway.secrets.cleaned_in_json(result)


def _closed(result: TaskResult) -> RunClosed:
    return RunClosed(
        result.status,
        result.stop_reason,
        result.answer,
        result.error,
        result.turns,
        result.duration_seconds,
        time.time(),
        result.answer_by,
        result.unresolved,
        result.verification,
        result.left_behind,
        result.lens_test,
    )


def came_to_its_end(records: Iterable[Record]) -> bool:
    """Whether the run of *records* came to its proper end and was not taken up since."""
    last: Record | None = None
    for record in records:
        if isinstance(record, RunOpened | RunResumed | RunClosed):
            last = record
    return isinstance(last, RunClosed) and last.status == "ok"


def as_closed(result: TaskResult, records: Iterable[Record]) -> TaskResult:
    """Return *result* with the end, files, tools and commands that *records* tell of; the bill stays.

    *records* hold the end of the run; a run that was taken up again has several, and the last counts.
    """
    given = tuple(records)
    called: Counter[str] = Counter()
    changes: list[FileChange] = []
    closed: RunClosed | None = None
    for record in given:
        if isinstance(record, ToolFinished):
            if not record.result.refused:
                called[record.tool] += 1
            changes += record.result.changes
        elif isinstance(record, RunClosed):
            closed = record
    assert closed is not None
    return attrs.evolve(
        result,
        status=closed.status,
        stop_reason=closed.stop_reason,
        answer=closed.answer,
        answer_by=closed.answer_by,
        verification=closed.verification,
        lens_test=closed.lens_test,
        error=closed.error,
        files=net_changes(changes),
        tools_called=tuple(sorted(called.items())),
        turns=closed.turns,
        duration_seconds=closed.duration_seconds,
        commands=commands_in(given),
        unresolved=closed.unresolved,
        left_behind=left_behind_in(given),
    )


def left_behind_in(records: Iterable[Record]) -> tuple[str, ...]:
    """Return what *records* tell of files that commands left behind for other programs, a sentence each."""
    found: list[str] = []
    for record in records:
        if isinstance(record, ToolFinished):
            found += record.result.left_behind
        elif isinstance(record, Checked | RunClosed):  # the end has what cancelled commands left, too
            found += record.left_behind
    return tuple(dict.fromkeys(found))


def commands_in(records: Iterable[Record]) -> tuple[CommandRun, ...]:
    """Return the commands that *records* tell of: those of the run itself, then those of each worker."""
    started: dict[Key, ToolStarted] = {}
    workers: dict[str, list[CommandRun]] = {}
    own: list[CommandRun] = []
    for record in records:
        match record:
            case WorkerOpened():
                workers.setdefault(record.span, [])
            case ToolStarted():
                started[record.key] = record
            case ToolFinished() if record.key in started:
                command = command_of(started[record.key].call, record.result)
                if command is not None:
                    run = CommandRun(command, record.result.exit_code, record.duration_seconds)
                    workers.get(_worker_of(record.span, workers), own).append(run)
    return (*own, *(run for runs in workers.values() for run in runs))


def _worker_of(span: str, workers: Container[str]) -> str:
    """Return the span of the worker that *span* belongs to; empty if it is the run's own."""
    while span and span not in workers:
        span = span.rpartition("/")[0]
    return span
