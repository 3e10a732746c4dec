"""One task in one run: what is known of it while it goes on, and the result that it ends with."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from functools import partial

import attrs

from sunwell.agent.conversation.conversation import Assignment, Conversation, Ending
from sunwell.agent.conversation.final_call import closing_seconds
from sunwell.agent.conversation.tool_calls import net_changes
from sunwell.agent.conversation.toolset import Toolset
from sunwell.agent.run.loop_config import DEFAULT_TURNS, LoopConfig
from sunwell.agent.run.run_context import Run
from sunwell.context.excerpts import Shown
from sunwell.core.lens import EphemeralLens
from sunwell.core.message import FileChange
from sunwell.core.model import Effort, ModelProtocol
from sunwell.core.price import DelegationDecision
from sunwell.core.span import Span
from sunwell.core.task import Budget, TaskResult, with_both_sides
from sunwell.events import RUN_FINISHED, WARNED, RunFinished, RunStarted, Warned
from sunwell.journal.records import Record, RunClosed, RunOpened, RunResumed, ToolFinished
from sunwell.models.rate_limits import told_of_holds
from sunwell.tools.staged_calls import while_asking


def came_to_its_end(records: Iterable[Record]) -> bool:
    """Whether the run of *records* came to its proper end and was not taken up since."""
    last: Record | None = None
    for record in records:
        if isinstance(record, RunOpened | RunResumed | RunClosed):
            last = record
    return isinstance(last, RunClosed) and last.status == "ok"


def as_closed(result: TaskResult, records: Iterable[Record]) -> TaskResult:
    """Return *result* with the end, the files and the tools that *records* tell of; the bill stays.

    *records* hold the end of the run; a run that was taken up again has several, and the last counts.
    """
    called: Counter[str] = Counter()
    changes: list[FileChange] = []
    closed: RunClosed | None = None
    for record in records:
        if isinstance(record, ToolFinished):
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
        error=closed.error,
        files=net_changes(changes),
        tools_called=tuple(sorted(called.items())),
        turns=closed.turns,
        duration_seconds=closed.duration_seconds,
    )


@attrs.define(eq=False)
class Execution:
    """Holds what one task has come to so far."""

    run: Run
    task: str
    tools: Toolset
    system_prompt: str | None
    context: str | Callable[[], str | Shown]
    """What the smart model is shown besides the task; a function is called only if it is needed."""
    config: LoopConfig
    resumed: bool = False
    decision: DelegationDecision | None = attrs.field(default=None, init=False)
    lens: EphemeralLens | None = attrs.field(default=None, init=False)
    confidence: float | None = attrs.field(default=None, init=False)
    """How sure an orchestrator was of its answer; ``None`` where nobody said."""
    workers: tuple[TaskResult, ...] = attrs.field(default=(), init=False)
    """Results of workers, in the order of input."""
    _shared: dict[str, list[FileChange]] = attrs.field(factory=dict, init=False)
    """Changes of files that several workers changed, in the order in which they happened."""
    _works: list[Conversation] = attrs.field(factory=list, init=False)

    async def to_the_end(self, execute: Callable[["Execution"], Awaitable[Ending]]) -> TaskResult:
        """Run *execute* and turn however it ends into the result, journalled and told.

        Cancelling it gives a result, too: the task that runs this is never anybody else's.
        """
        while_asking.set(partial(self.run.time_limits.pause, "approval"))
        told_of_holds.set(self._tell_hold)  # for this task and those that it starts
        try:
            ended = await execute(self)
        except asyncio.CancelledError:
            ended = Ending("cancelled", "cancelled", self._last_text(), "the run was stopped")
        if self.run.gateway.ran_out:
            ended = Ending("cancelled", "cancelled", self._last_text(), self.run.gateway.ran_out)
        result = self._result(ended, self._seconds())
        gateway = self.run.gateway
        if gateway.ran_out and gateway.accept_changes and self.run.journal.find(RunClosed, ()):
            result = as_closed(result, self.run.journal.records())
        closed = RunClosed(
            result.status,
            result.stop_reason,
            result.answer,
            result.error,
            result.turns,
            result.duration_seconds,
            time.time(),
        )
        await self._written(closed)
        self.run.tell(RUN_FINISHED, RunFinished(self.run.journal.run_id, result))
        return result

    async def _written(self, closed: RunClosed) -> None:
        """Write the last record, although a stop may come meanwhile: it comes too late to change the end."""
        writing = asyncio.ensure_future(self.run.journal.append(closed))
        while not writing.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([writing])
        writing.result()

    async def work(
        self,
        span: Span,
        model: ModelProtocol,
        *,
        lens: EphemeralLens | None = None,
        effort: Effort | None = None,
    ) -> Ending:
        """Do the task in *span* with *model*, under *lens* where there is one."""
        if self.config.split:
            turns = self.config.budget.turns
            self.run.ledger.open(span.path, Budget(turns=DEFAULT_TURNS if turns is None else turns))
        given = self.assignment(span, model, lens=lens, effort=effort)
        return await self.carry_out(Conversation(self.run, given, self.tools))

    async def carry_out(self, work: Conversation) -> Ending:
        """Return how *work* ends; what it does counts as this task's."""
        self._works.append(work)
        return await work.to_the_end()

    def assignment(
        self,
        span: Span,
        model: ModelProtocol,
        *,
        lens: EphemeralLens | None = None,
        effort: Effort | None = None,
    ) -> Assignment:
        """Return the task as *model* is given it in *span*, under *lens* where there is one."""
        sections = [self.system_prompt, lens.to_context() if lens else None]
        return Assignment(
            span,
            model,
            self.task,
            tuple(section for section in sections if section),
            self.config.max_output_tokens,
            effort,
            stream=self.config.stream,
            closing_seconds=closing_seconds(self.config.ceilings.seconds),
        )

    def take(self, workers: tuple[TaskResult, ...]) -> None:
        """Keep the results of *workers*, with all conflicts that they were a side of."""
        self.workers = with_both_sides(workers)
        counts = Counter(change.path for worker in workers for change in worker.files)
        self._shared = {path: [] for path, count in counts.items() if count > 1}
        if self._shared:
            for record in self.run.journal.records():
                if isinstance(record, ToolFinished):
                    for change in record.result.changes:
                        self._shared.get(change.path, []).append(change)

    def started(self, model: ModelProtocol) -> RunStarted:
        """Return the event of the run's beginning."""
        journal = self.run.journal
        path = str(journal.path) if journal.path else None
        spent_usd = self.run.tally.bill(self.run.root.path).cost_usd
        return RunStarted(journal.run_id, self.task, model.name, path, self.resumed, spent_usd)

    def _seconds(self) -> float:
        """Return the time that the run took, with that of the processes that had it before."""
        closed = self.run.journal.find(RunClosed, ()) if self.run.gateway.recorded_only else None
        if closed is not None:
            return closed.duration_seconds
        return self.run.ledger.used(self.run.root.path).seconds

    def _last_text(self) -> str:
        return self._works[-1].last_text if self._works else ""

    def _tell_hold(self, seconds: float) -> None:
        text = f"requests are held back by the rate limit of a connection: one has waited {seconds:.1f} s"
        self.run.tell(WARNED, Warned(text))

    def _result(self, ended: Ending, seconds: float) -> TaskResult:
        called: Counter[str] = Counter()
        changes: list[FileChange] = []
        for work in self._works:
            called.update(work.calls.called)
            changes += work.calls.changes
        for worker in self.workers:
            called.update(dict(worker.tools_called))
            changes += (change for change in worker.files if change.path not in self._shared)
        for shared in self._shared.values():
            changes += shared
        journal = self.run.journal
        return TaskResult(
            task=self.task,
            status=ended.status,
            stop_reason=ended.stop_reason,
            answer=ended.answer,
            error=ended.error,
            files=net_changes(changes),
            tools_called=tuple(sorted(called.items())),
            turns=sum(work.turns for work in self._works) + sum(one.turns for one in self.workers),
            bill=self.run.tally.bill(self.run.root.path),
            duration_seconds=seconds,
            run_id=journal.run_id,
            journal=str(journal.path) if journal.path else None,
            decision=self.decision,
            lens=self.lens,
            commands=tuple(command for one in self.workers for command in one.commands),
            conflicts=tuple(dict.fromkeys(conflict for one in self.workers for conflict in one.conflicts)),
            workers=self.workers,
            confidence=self.confidence,
        )
