"""Where workers are asked for: what each piece of work has started, been told, and may still start."""

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

import attrs

from sunwell.agent.batches.batch_run import planning_for
from sunwell.agent.orchestration.prompt_sharing import AskedWorker, PromptSharing
from sunwell.agent.prompts import CALL_NO_TOOLS
from sunwell.agent.run.run_context import Run
from sunwell.agent.run.toolset import Toolset
from sunwell.agent.workers.dispatcher import Dispatcher
from sunwell.agent.workers.slots import Slots
from sunwell.agent.workers.start_gate import BothGates, FewAtOnce
from sunwell.agent.workers.worker import WorkerOrigin, WorkerTerms
from sunwell.budget.ledger_protocol import Budget
from sunwell.budget.standing import Standing
from sunwell.context.options import RunOptions, SubCallLimits
from sunwell.core.markdown import one_line
from sunwell.core.span import Span
from sunwell.core.task import Task, TaskResult
from sunwell.core.tool import Place
from sunwell.errors import (
    ConfigurationError,
    JournalError,
    SubCallBudgetExhausted,
    SubCallCostExceeded,
    SubCallDepthExceeded,
    ToolError,
)
from sunwell.events import Event, WorkerFinished, WorkerStarted
from sunwell.journal.records import Note, WorkerClosed, WorkerOpened
from sunwell.memory.scratchpad import ENTRY_NOTE, IDS_NOTE, Scratchpad, ScratchpadEntry, TaskIds

SUB_CALLS = "sub-calls"
"""Name of the span below which all sub-calls of a run stand."""


@attrs.define(eq=False)
class SubCallRoom:
    """Holds the sub-calls of one run to their limits, with one account above all of them."""

    run: Run
    limits: SubCallLimits
    _made: Counter[tuple[str, int]] = attrs.field(factory=Counter, init=False)
    _opened: set[str] = attrs.field(factory=set, init=False)

    def parent_of(self, span: Span) -> Span:
        """Return the span under which the sub-calls of the work at *span* stand."""
        if span.depth > 0:
            return span
        parent = span.child(SUB_CALLS)
        if parent.path not in self._opened:
            self._opened.add(parent.path)
            budget = Budget(usd=self.limits.max_cost_per_session)
            self.run.ledger.open(parent.path, budget, new_tokens=self.limits.max_total_tokens)
        return parent

    def count(self, place: Place, number: int) -> None:
        """Take note that the turn of *place* makes *number* more."""
        self._made[place.span.path, place.turn] += number

    def check(self, place: Place, number: int) -> None:
        """Raise a :exc:`~sunwell.errors.ToolError` where *number* more are not allowed at *place*."""
        limits, made = self.limits, self._made[place.span.path, place.turn]
        if made + number > limits.max_sub_calls_per_turn:
            raise SubCallBudgetExhausted(
                f"a turn may make {limits.max_sub_calls_per_turn} sub-calls; this one has made {made} and "
                f"asks for {number} more: ask for fewer, or go on in your next turn"
            )
        used = self.run.ledger.used(self._account(place.span))
        tokens = used.settled_new_tokens + used.uncertain_new_tokens + used.reserved_new_tokens
        if limits.max_total_tokens is not None and tokens >= limits.max_total_tokens:
            raise SubCallBudgetExhausted(
                f"sub-calls have used {tokens:,} of {limits.max_total_tokens:,} tokens (output and new "
                "input): answer with what is known"
            )
        if limits.max_cost_per_session is None:
            return
        amounts = (used.settled_usd, used.uncertain_usd, used.reserved_usd)
        cap = Standing("usd", limits.max_cost_per_session, *amounts)
        if cap.booked >= cap.ceiling:
            raise SubCallCostExceeded(
                f"sub-calls have cost all of their budget (of {cap.amount(cap.ceiling)}: {cap.parts()}): "
                "answer with what is known"
            )

    def _account(self, span: Span) -> str:
        if span.depth == 0:
            return self.parent_of(span).path
        return f"{span.path.partition(f'/{SUB_CALLS}/')[0]}/{SUB_CALLS}"


_TOLD = "told-"
_NO_TOOLS = Toolset((), frozenset(), {})


@attrs.frozen
class Order:
    """A worker that is wanted."""

    task: Task
    system: str = ""
    """Said to it after the system prompt that all workers have."""
    max_answer_tokens: int | None = None
    """Most tokens of its whole answer; ``None``: no limit but that of each message."""


@attrs.define(eq=False)
class Spawner:
    """Starts workers for tool calls and knows whose they are.

    Each piece of work sees its own workers alone. What depends on time, the room that was left and
    who had finished, is noted in the journal before it is used; ids and spans are made of the
    place of the call. So a run that is taken up starts the same workers under the same names.
    """

    run: Run
    dispatcher: Dispatcher
    scratchpad: Scratchpad
    ids: TaskIds
    options: RunOptions
    leaf: Toolset
    """Tools of a worker that may start none itself."""
    deeper: Toolset
    """Tools of a worker that may."""
    sub_calls: SubCallRoom | None = None
    """What holds the workers to the limits of sub-calls; ``None``: they are none."""
    _started: dict[str, list[str]] = attrs.field(factory=dict, init=False)
    _finished: dict[str, list[str]] = attrs.field(factory=dict, init=False)
    _parents: dict[str, str] = attrs.field(factory=dict, init=False)
    _grants: dict[str, tuple[str, ...] | None] = attrs.field(factory=dict, init=False)
    _begun: set[str] = attrs.field(factory=set, init=False)
    _told: set[str] = attrs.field(factory=set, init=False)
    """Ids of the results that a call of this process gave, or a recorded one."""
    _told_before: set[str] = attrs.field(factory=set, init=False)
    _sharing: PromptSharing = attrs.field(init=False)
    _expected: dict[tuple[str, int], tuple[Order, ...]] = attrs.field(factory=dict, init=False)
    """What all calls of a message ask for, by its span and turn."""

    def __attrs_post_init__(self) -> None:
        self._sharing = PromptSharing(planning_for(self.run))

    async def open(self, earlier: Iterable[ScratchpadEntry]) -> None:
        """Fill the scratchpad with *earlier*, or with what the journal says, and follow the run."""
        root, journal = self.run.root.path, self.run.journal
        noted = journal.find(Note, (root, IDS_NOTE))
        if noted is None:
            for entry in earlier:
                await journal.append(Note(root, f"{ENTRY_NOTE}{entry.key}", entry.as_json()), durable=False)
            self.ids = TaskIds(journal.run_id, time.time_ns() // 1_000_000)
            await journal.append(Note(root, IDS_NOTE, self.ids.as_json()), durable=False)
        else:
            self.ids = TaskIds.from_json(noted.value)
        for record in journal.records():
            if isinstance(record, Note) and record.name.startswith(ENTRY_NOTE):
                self.scratchpad.put(ScratchpadEntry.from_json(record.value))
            elif isinstance(record, Note) and record.name.startswith(_TOLD):
                self._told_before.update(record.value)
        self.run.watch(self._see)

    async def close(self) -> None:
        """Cancel what still works, and wait until all of it is written down."""
        try:
            await self.dispatcher.close()
        finally:
            self.run.unwatch(self._see)

    async def start(
        self,
        place: Place,
        orders: Sequence[Order],
        *,
        share: float | None = None,
        at_once: int | None = None,
    ) -> list[str]:
        """Start a worker for each of *orders* and return their ids.

        With *share*, each may take no more than that part of what is left to the parent; with
        *at_once*, no more than so many of them work at the same time.
        Raises :exc:`~sunwell.errors.ToolError` where none may be started.
        """
        self._check_room(place, len(orders))
        noted = self._noted(place, "start")
        if noted is None:
            noted = [self._ceiling(place, share) for _ in orders]
            await self.note(place, "start", noted)
        return self._start(place, orders, noted, at_once)

    def recall(self, place: Place, orders: Sequence[Order]) -> list[str]:
        """Start again the workers that a recorded call at *place* has started, if it did."""
        noted = self._noted(place, "start")
        return [] if noted is None else self._start(place, orders, noted)

    def tools_below(self, span: Span) -> tuple[str, ...]:
        """Return the names of the tools that a worker of the work at *span* can have."""
        below = self.deeper if self.dispatcher.may_start(span.worker("below")) else self.leaf
        above = self._grants.get(span.path)
        return tuple(one.name for one in below.specs if above is None or one.name in above)

    def has_started(self, place: Place) -> bool:
        """Whether the call at *place* has started workers, perhaps in an earlier process."""
        return self._noted(place, "start") is not None

    def expects(self, place: Place) -> bool:
        """Whether it is known what all calls of the message of *place* ask for."""
        return (place.span.path, place.turn) in self._expected

    def expect(self, place: Place, orders: Iterable[Order]) -> None:
        """Take note that all calls of the message of *place* ask for *orders*: they are planned together."""
        self._expected[place.span.path, place.turn] = tuple(orders)

    def own(self, span: Span) -> tuple[str, ...]:
        """Return the ids of the workers that the work at *span* has started, in that order."""
        return tuple(self._started.get(span.path, ()))

    def working(self, span: Span) -> tuple[str, ...]:
        """Return the ids of those that are not done."""
        return tuple(one for one in self.own(span) if self.dispatcher.result(one) is None)

    def unread(self, span: Span) -> tuple[TaskResult, ...]:
        """Return the results that no call has given yet, in the order in which they came."""
        done = [self.dispatcher.result(one) for one in self._finished.get(span.path, ())]
        return tuple(one for one in done if one is not None and one.task_id not in self._told)

    def results(self, span: Span) -> tuple[TaskResult, ...]:
        """Return all results that are there, in the order in which the workers were started."""
        found = [self.dispatcher.result(one) for one in self.own(span)]
        return tuple(one for one in found if one is not None)

    def known(self, span: Span, task_ids: Iterable[str]) -> list[str]:
        """Return *task_ids*, each once, without the prefix of the scratchpad's keys.

        Raises :exc:`~sunwell.errors.ToolError` for one that is none of the workers of *span*.
        """
        wanted = list(dict.fromkeys(one.strip().removeprefix("task:") for one in task_ids))
        own = self.own(span)
        strange = [one for one in wanted if one not in own]
        if strange:
            there = ", ".join(own[-20:]) or "none, nothing was delegated yet"
            named = ", ".join(one_line(one)[:40] for one in strange[:5])
            raise ToolError(f"no worker of yours has the id {named}; yours are: {there}")
        return wanted

    def tell(self, task_ids: Iterable[str]) -> None:
        """Take note that the results of *task_ids* were given to who asked for them."""
        self._told.update(task_ids)

    async def note_told(self, place: Place, task_ids: Sequence[str]) -> None:
        """Write down that the call at *place* gives these results."""
        await self.note(place, _TOLD.rstrip("-"), list(task_ids))
        self.tell(task_ids)

    def recall_told(self, place: Place) -> None:
        """Take note of what the recorded call at *place* gave."""
        self.tell(self._noted(place, _TOLD.rstrip("-")) or ())

    async def note(self, place: Place, name: str, value: Any) -> None:
        """Write *value* down for the call at *place*."""
        await self.run.journal.append(Note(_path(place), f"{name}-{place.index}", value), durable=False)

    async def decide(self, place: Place, summary: str, output: str) -> None:
        """Keep a decision of the model in the scratchpad, where that is wanted."""
        if not self.options.scratchpad_persist_decisions:
            return
        key = f"decision:{place.turn}-{place.index}"
        raw = {"output": output, "span": place.span.path, "turn": place.turn}
        entry = ScratchpadEntry(key, "decision", summary, raw, run_id=self.run.journal.run_id)
        self.scratchpad.put(entry)
        note = Note(_path(place), f"{ENTRY_NOTE}{key}", entry.as_json())
        await self.run.journal.append(note, durable=False)

    def noted(self, place: Place, name: str) -> Any:
        """Return what was written down for the call at *place*; ``None`` for nothing."""
        return self._noted(place, name)

    def cancel_unbegun(self, span: Span) -> None:
        """Have those workers of *span* end that have not begun to work."""
        self.dispatcher.cancel(one for one in self.working(span) if one not in self._begun)

    def _noted(self, place: Place, name: str) -> Any:
        note = self.run.journal.find(Note, (_path(place), f"{name}-{place.index}"))
        return None if note is None else note.value

    def _start(
        self, place: Place, orders: Sequence[Order], ceilings: Sequence[Any], at_once: int | None = None
    ) -> list[str]:
        parent = self._parent(place.span)
        if self.sub_calls is not None:
            self.sub_calls.count(place, len(orders))
        if len(ceilings) != len(orders):
            raise JournalError("the journal is damaged: it has other workers than the call that started them")
        spans = [parent.worker(f"task-{place.turn}-{place.index}-{number}") for number in range(len(orders))]
        asked = [self._asked(place, *one) for one in zip(spans, orders, ceilings, strict=True)]
        planned = self._sharing.plan(place, parent, asked, lambda: self._asked_beside(place, parent), at_once)
        few = None if at_once is None else FewAtOnce(Slots(at_once))
        for one, (caching, gate) in zip(asked, planned, strict=True):
            if few is not None:
                gate = few if gate is None else BothGates(gate, few)
            self._parents[one.id] = place.span.path
            self._grants[one.span.path] = one.task.tools
            self._started.setdefault(place.span.path, []).append(one.id)
            origin = WorkerOrigin(one.id, place.turn, one.id in self._told_before)
            terms, name = attrs.evolve(one.terms, caching=caching), one.span.path.rpartition("/")[2]
            self.dispatcher.start(one.task, parent, name=name, terms=terms, gate=gate, origin=origin)
        return [one.id for one in asked]

    def _asked(self, place: Place, span: Span, order: Order, ceiling: Sequence[Any] | None) -> AskedWorker:
        task = self._granted(place.span, order.task, ceiling)
        return AskedWorker(self.ids.of(span.path), span, task, self._terms(span, order, task))

    def _asked_beside(self, place: Place, parent: Span) -> list[AskedWorker]:
        """Return the workers that all calls of the message of *place* ask for, without their places."""
        expected = self._expected.get((place.span.path, place.turn), ())
        return [self._asked(place, parent.worker("expected"), order, None) for order in expected]

    def _granted(self, span: Span, task: Task, ceiling: Sequence[Any] | None) -> Task:
        """Return *task* with no more tools than its parent has, and its ceiling."""
        tools, above = task.tools, self._grants.get(span.path)
        if above is not None:
            tools = above if tools is None else tuple(name for name in tools if name in above)
        budget = task.budget
        if ceiling is not None:
            tokens, usd = ceiling
            budget = Budget(tokens=tokens, usd=None if usd is None else Decimal(usd))
        return attrs.evolve(task, tools=tools, budget=budget)

    def _terms(self, span: Span, order: Order, task: Task) -> WorkerTerms:
        terms = self.dispatcher.terms
        tools = self.deeper if self.dispatcher.may_start(span) else self.leaf
        if task.tools == () and not self._was_offered(span):
            bare = self.run.guidance.without_tools(terms.system, self.options)
            terms, tools = attrs.evolve(terms, system=bare), _NO_TOOLS
        system = (*terms.system, order.system) if order.system.strip() else terms.system
        return attrs.evolve(terms, tools=tools, system=system, max_answer_tokens=order.max_answer_tokens)

    def _was_offered(self, span: Span) -> bool:
        """Whether the worker at *span* was offered tools of which it may call none.

        Earlier versions did that: recorded answers are to that question.
        """
        opened = self.run.journal.find(WorkerOpened, (span.path,))
        return opened is not None and CALL_NO_TOOLS in opened.told

    def _ceiling(self, place: Place, share: float | None) -> list[Any] | None:
        """Return the tokens and dollars that a worker may take, as JSON values; ``None``: no ceiling."""
        if share is None:
            return None
        path = self._parent(place.span).path
        tokens, usd = self.run.ledger.tokens_left(path), self.run.ledger.usd_left(path)
        if tokens is None and usd is None:
            return None
        return [
            None if tokens is None else int(tokens * share),
            None if usd is None else str(usd * Decimal(str(share))),
        ]

    def _parent(self, span: Span) -> Span:
        """Return the span under which workers of *span* stand."""
        return span if self.sub_calls is None else self.sub_calls.parent_of(span)

    def _check_room(self, place: Place, count: int) -> None:
        if not self.dispatcher.may_start(place.span):
            raise SubCallDepthExceeded
        if self.sub_calls is not None:
            self.sub_calls.check(place, count)

    def _see(self, event: Event) -> None:
        match event:
            case WorkerStarted() if event.task_id in self._parents:
                self._begun.add(event.task_id)
            case WorkerFinished() if event.task_id in self._parents:
                self._finished.setdefault(self._parents[event.task_id], []).append(event.task_id)
                self._keep(event)
                self.dispatcher.cancel(self.working(Span(event.span)))  # nobody is left who wants them

    def _keep(self, event: WorkerFinished) -> None:
        record = self.run.journal.find(WorkerClosed, (event.span,))
        if record is None:
            raise ConfigurationError(f"the journal has no end of the worker {event.task_id}")
        self.scratchpad.put(ScratchpadEntry.of_worker(record, event.task_id, self.run.journal.run_id))


def _path(place: Place) -> str:
    return f"{place.span.path}/turn-{place.turn}"
