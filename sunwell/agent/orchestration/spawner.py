"""Where workers are asked for: what each piece of work has started, been told, and may still start."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from decimal import Decimal
from functools import partial
from typing import Any

import attrs

from sunwell.agent.batches.batch_run import planning_for
from sunwell.agent.orchestration.lingering import Lingering
from sunwell.agent.orchestration.prompt_sharing import AskedWorker, PromptSharing
from sunwell.agent.orchestration.reports import EXCERPT_CHARACTERS, excerpt, fitting, told_reports
from sunwell.agent.orchestration.worker_checks import WorkerChecks
from sunwell.agent.prompts import BRIEF_STANDING, CALL_NO_TOOLS, handed_over_text, passed_on_text
from sunwell.agent.run.context_lookup import CONTEXT_TOKENS, ContextQuestion
from sunwell.agent.run.run_context import Run
from sunwell.agent.run.toolset import Toolset
from sunwell.agent.workers.dispatcher import Dispatcher
from sunwell.agent.workers.receipt_lines import receipt_lines
from sunwell.agent.workers.slots import Slots
from sunwell.agent.workers.start_gate import BothGates, FewAtOnce
from sunwell.agent.workers.worker import WorkerOrigin, WorkerTerms
from sunwell.budget.ledger_protocol import Budget
from sunwell.budget.standing import Standing
from sunwell.context.options import RunOptions, SubCallLimits
from sunwell.core.markdown import fenced, one_line, shortened
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
from sunwell.memory.scratchpad import ENTRY_NOTE, IDS_NOTE, Scratchpad, ScratchpadEntry, TaskIds, entries_of

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


_TOLD, _USED, HANDED_OVER = "told-", "used-", "handed-over"
_MOST_NAMED = 8
_LISTED_KEYS = 40
_SHOWN_TASK = 100
_PASSED_ON_CHARACTERS = 12_000
"""Maximum of one entry that is passed on to a worker; a longer one keeps its beginning and its end."""
_ALL_PASSED_ON_CHARACTERS = 48_000
"""Maximum of all of them together: of many, each has less."""
MOST_PASSED_ON = 20
"""Maximum number of entries that are passed on to one worker."""
BRIEF = "brief"
"""Key of the scratchpad under which the brief of the workers is kept."""
_NO_TOOLS = Toolset((), frozenset(), {})


@attrs.frozen
class Order:
    """A worker that is wanted."""

    task: Task
    system: str = ""
    """Said to it after the system prompt that all workers have."""
    context: tuple[str, ...] = ()
    """Keys of the scratchpad whose text it is shown behind its task."""
    max_answer_tokens: int | None = None
    """Most tokens of its whole answer; ``None``: no limit but that of each message."""
    context_query: str = ""
    """What is looked up for it when it begins; empty: nothing."""
    context_tokens: int = CONTEXT_TOKENS
    """Most tokens of what is found."""


@attrs.frozen
class WorkerStates:
    """The workers of one piece of work that it has not been given yet, by id, in the order of their start."""

    running: tuple[str, ...] = ()
    queued: tuple[str, ...] = ()
    ready: tuple[str, ...] = ()
    """Those that have finished."""

    def sentence(self) -> str:
        """Return how many there are of each, with the first ids, for a model."""
        parts = [
            f"{title}: {_named(ids)}."
            for title, ids in (
                ("Running", self.running),
                ("Queued", self.queued),
                ("Finished and not given", self.ready),
            )
            if ids
        ]
        return " ".join(parts) or "Nobody is at work, and every report was given."

    @property
    def is_over(self) -> bool:
        """Whether nobody is at work and nothing is left to give."""
        return not (self.running or self.queued or self.ready)


def _named(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - _MOST_NAMED} more" if len(ids) > _MOST_NAMED else ""
    return f"{len(ids)} ({', '.join(ids[:_MOST_NAMED])}{more})"


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
    report_characters: int = EXCERPT_CHARACTERS
    """What a tool result holds of one report."""
    checks: WorkerChecks | None = None
    """Runs the checks that a model names for its workers; ``None``: it cannot name any."""
    _started: dict[str, list[str]] = attrs.field(factory=dict, init=False)
    _finished: dict[str, list[str]] = attrs.field(factory=dict, init=False)
    _parents: dict[str, str] = attrs.field(factory=dict, init=False)
    _grants: dict[str, tuple[str, ...] | None] = attrs.field(factory=dict, init=False)
    _begun: set[str] = attrs.field(factory=set, init=False)
    _told: set[str] = attrs.field(factory=set, init=False)
    """Ids of the results that a call of this process gave, or a recorded one."""
    _stands: set[str] = attrs.field(factory=set, init=False)
    """Ids of the results that a conversation on record rests on: they stand, however the worker ended."""
    _handed_over: set[str] = attrs.field(factory=set, init=False)
    """Paths of the work that reports were handed to once."""
    _briefs: dict[str, str] = attrs.field(factory=dict, init=False)
    """What workers of the work at a span have at the end of their system prompt, by its path."""
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
            elif isinstance(record, Note) and record.name.startswith((_TOLD, _USED)):
                self._stands.update(record.value)
            elif isinstance(record, Note) and record.name == HANDED_OVER:
                self._stands.update(record.value["told"])
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

    def not_given(self, span: Span) -> tuple[str, ...]:
        """Return the ids of the workers of *span* whose results were not given, in order of start."""
        return tuple(one for one in self.own(span) if one not in self._told)

    def states(self, span: Span) -> WorkerStates:
        """Return the workers of *span* that are at work, or whose results were not given."""
        # After a resume, a worker whose result was given may still be on its way to it.
        working = [one for one in self.working(span) if one not in self._told]
        return WorkerStates(
            tuple(one for one in working if one in self._begun),
            tuple(one for one in working if one not in self._begun),
            tuple(one.task_id for one in self.unread(span)),
        )

    def lingering(self, span: Span) -> Lingering:
        """Return how long the work at *span* is kept waiting for further reports when it could go on."""
        return Lingering(self.run, span, _OwnWorkers(self, span), self.report_characters)

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

    def write_brief(self, span: Span, text: str) -> None:
        """Have all workers that the work at *span* starts from now on read *text* in their system prompt."""
        self._briefs[span.path] = f"{text}\n\n{BRIEF_STANDING}"

    async def keep_brief(self, place: Place, text: str) -> None:
        """Have the workers read *text*, as :meth:`write_brief`, and keep it in the scratchpad."""
        await self._keep_decision(place, BRIEF, "brief for the workers", text)
        self.write_brief(place.span, text)

    async def decide(self, place: Place, summary: str, output: str) -> None:
        """Keep a decision of the model in the scratchpad, where that is wanted."""
        if self.options.scratchpad_persist_decisions:
            await self._keep_decision(place, self._free_key(place), summary, output)

    def _free_key(self, place: Place) -> str:
        """Return the key of a decision at *place*; a run that goes on from another has its entries, too."""
        key, number, run_id = f"decision:{place.turn}-{place.index}", 1, self.run.journal.run_id
        while (other := self.scratchpad.get(key)) is not None and other.run_id != run_id:
            number += 1
            key = f"decision:{place.turn}-{place.index}/{number}"
        return key

    async def _keep_decision(self, place: Place, key: str, summary: str, output: str) -> None:
        raw = {"output": output, "span": place.span.path, "turn": place.turn}
        entry = ScratchpadEntry(key, "decision", summary, raw, run_id=self.run.journal.run_id)
        self.scratchpad.put(entry)
        note = Note(_path(place), f"{ENTRY_NOTE}{key}", entry.as_json())
        await self.run.journal.append(note, durable=False)

    def check_of(self, span: Span, given: str | None, *, recalled: bool) -> tuple[str, ...]:
        """Return the check that the work at *span* has *given* a worker, as a task has it.

        Raises :exc:`~sunwell.errors.ToolError` if it may not be run; not if it is *recalled*, since the call
        was accepted then.
        """
        if self.checks is None or recalled:
            return (given.strip(),) if given and given.strip() else ()
        return self.checks.read(given, self._grants.get(span.path))

    async def approve_checks(self, orders: Iterable[Order]) -> None:
        """Have the checks of *orders* approved if somebody approves; raise unless all of them are."""
        if self.checks is not None:
            await self.checks.require_approval([check for order in orders for check in order.task.check])

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
        for order, one, (caching, gate) in zip(orders, asked, planned, strict=True):
            if few is not None:
                gate = few if gate is None else BothGates(gate, few)
            self._parents[one.id] = place.span.path
            self._grants[one.span.path] = one.task.tools
            self._started.setdefault(place.span.path, []).append(one.id)
            origin = WorkerOrigin(one.id, place.turn, one.id in self._stands)
            passed_on, name = self._passed_on(order.context), one.span.path.rpartition("/")[2]
            terms = attrs.evolve(one.terms, caching=caching, passed_on=passed_on)
            self._pass_brief_on(place.span, one.span)
            self.dispatcher.start(one.task, parent, name=name, terms=terms, gate=gate, origin=origin)
        return [one.id for one in asked]

    def _asked(self, place: Place, span: Span, order: Order, ceiling: Sequence[Any] | None) -> AskedWorker:
        task = self._granted(place.span, span, order.task, ceiling)
        return AskedWorker(self.ids.of(span.path), span, task, self._terms(span, order, task, place.span))

    def _asked_beside(self, place: Place, parent: Span) -> list[AskedWorker]:
        """Return the workers that all calls of the message of *place* ask for, without their places."""
        expected = self._expected.get((place.span.path, place.turn), ())
        return [self._asked(place, parent.worker("expected"), order, None) for order in expected]

    def _granted(self, span: Span, own: Span, task: Task, ceiling: Sequence[Any] | None) -> Task:
        """Return *task*, done at *own* for the work at *span*, with no more tools, and its ceiling."""
        tools, above = task.tools, self._grants.get(span.path)
        if above is not None:
            tools = above if tools is None else tuple(name for name in tools if name in above)
        if task.check and self.options.escalate and self.dispatcher.may_start(own):
            # On a dearer rung it would hand its work out from another place in the run. So it hands out none.
            named = [spec.name for spec in self.leaf.specs] if tools is None else tools
            tools = tuple(name for name in named if name in self.leaf.granted)
        budget = task.budget
        if ceiling is not None:
            tokens, usd = ceiling
            budget = Budget(tokens=tokens, usd=None if usd is None else Decimal(usd))
        return attrs.evolve(task, tools=tools, budget=budget)

    def _terms(self, span: Span, order: Order, task: Task, asking: Span) -> WorkerTerms:
        """Return the terms of the worker at *span*, which does *task* for the work at *asking*."""
        terms, may_start = self.dispatcher.terms, self.dispatcher.may_start(span)
        tools = self.deeper if may_start else self.leaf
        if task.tools == () and not self._was_offered(span):
            bare = self.run.guidance.without_tools(terms.system, self.options)
            terms, tools = attrs.evolve(terms, system=bare), _NO_TOOLS
        brief = self._briefs.get(asking.path, "")
        more = [text for text in (brief, order.system) if text.strip()]
        return attrs.evolve(
            terms,
            tools=tools,
            system=(*terms.system, *more),
            brief=brief,
            max_answer_tokens=order.max_answer_tokens,
            looks_up=self._looks_up(order),
            report_characters=self.report_characters,
            hand_over=partial(self.hand_over, span) if may_start else None,
        )

    def _looks_up(self, order: Order) -> ContextQuestion | None:
        lookup = self.run.lookup
        if lookup is None or not order.context_query:
            return None
        return ContextQuestion(order.context_query, order.context_tokens, lookup)

    def _pass_brief_on(self, asking: Span, span: Span) -> None:
        """Have the workers of the worker at *span* read the brief that it reads, unless it writes its own."""
        if brief := self._briefs.get(asking.path):
            self._briefs.setdefault(span.path, brief)

    async def hand_over(self, span: Span, turn: int, *, can_set_answer: bool = False) -> str:
        """Return the next reports for the work at *span*, which wrote words without a call in *turn*.

        Empty if nobody is at work and every report was given. Waits until one is there, at the second time
        until all are. What is returned is written down before.
        """
        key, journal = (f"{span.path}/turn-{turn}", HANDED_OVER), self.run.journal
        noted = journal.find(Note, key)
        if noted is not None:
            self.tell(noted.value["told"])
            self._handed_over.add(span.path)
            return str(noted.value["text"])
        if self.run.gateway.recorded_only or self.states(span).is_over:
            return ""
        working = [one for one in self.working(span) if one not in self._told]
        if span.path in self._handed_over:
            await self.dispatcher.await_results(working)
        elif not self.unread(span):
            await self.dispatcher.wait_for_some(working, linger=self.lingering(span))
        await asyncio.sleep(0)  # who is done in this very step is told, too
        given = fitting(self.unread(span), self.report_characters)
        self.tell(one.task_id for one in given)
        self._handed_over.add(span.path)
        reports = told_reports(given, self.report_characters)
        said = handed_over_text(self.states(span).sentence(), reports, can_set_answer=can_set_answer)
        text = self.run.gateway.redact(said)
        value = {"told": [one.task_id for one in given], "text": text}
        await journal.append(Note(*key, value), durable=False)
        return text

    async def note_used(self, place: Place, number: int, order: Order) -> None:
        """Check the keys that *order*, the given one of the call at *place*, passes on; write them down.

        The results that it rests on stand from now on. Raises :exc:`~sunwell.errors.ToolError` for a key that
        is no entry of the scratchpad.
        """
        for key in order.context:
            entry = self.require_entry(place.span, key)
            if entry.type == "analysis" and not entry.text.strip():
                raise ToolError(
                    f"{key} has no report ({shortened(entry.summary, 120)}): leave it out of context"
                )
        used = [key.removeprefix("task:") for key in order.context if key.startswith("task:")]
        if used:
            await self.note(place, f"{_USED}{number}", used)
            self._stands.update(used)

    def require_entry(self, span: Span, key: str) -> ScratchpadEntry:
        """Return the entry with *key*, for the work at *span*.

        Raises :exc:`~sunwell.errors.ToolError` if there is none, with what to do.
        """
        entry = self.scratchpad.get(key)
        if entry is not None:
            return entry
        task_id = key.removeprefix("task:")
        if task_id in self.working(span):
            raise ToolError(f"{task_id} is still at work and has no report yet: await_results waits for it")
        keys = [one.key for one in self.scratchpad.entries()]
        there = ", ".join(keys[-_LISTED_KEYS:]) or "none yet"
        raise ToolError(f"the scratchpad has no entry {one_line(key)[:60]!r}; its keys: {there}")

    def _passed_on(self, keys: Sequence[str]) -> str:
        if not keys:
            return ""
        found = {key: self.scratchpad.get(key) for key in keys}
        if (
            None in found.values()
        ):  # a resumed run starts workers again before those that they build on are done
            recorded = {entry.key: entry for entry in entries_of(self.run.journal.records())}
            found = {key: entry or recorded.get(key) for key, entry in found.items()}
        most, told = min(_PASSED_ON_CHARACTERS, _ALL_PASSED_ON_CHARACTERS // len(keys)), []
        for key, entry in found.items():
            if entry is None:
                raise JournalError(f"the journal is damaged: the entry {key} was passed on, and is not there")
            told.append(_as_material(entry, most))
        return passed_on_text(told)

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


def _as_material(entry: ScratchpadEntry, most_characters: int) -> str:
    """Return *entry* as a worker is shown it whose task builds on it: with what is known of it besides."""
    raw, text = entry.raw, fenced(excerpt(entry.text, most_characters))
    if entry.type != "analysis":
        return f"{entry.key} · {shortened(entry.summary, _SHOWN_TASK)}\n{text}"
    ended = f"{raw.get('status')} ({raw.get('stop_reason')})"
    head = f"{entry.key} · {ended} · {shortened(str(raw.get('task')), 150)}"
    unresolved = [str(said) for said in raw.get("unresolved") or ()]
    seen = receipt_lines(entry.receipts, verification=raw.get("verification"), unresolved=unresolved)
    return "\n".join([head, "The worker reports (its own words, not verified):", text, *seen])


def _path(place: Place) -> str:
    return f"{place.span.path}/turn-{place.turn}"


@attrs.frozen
class _OwnWorkers:
    """The workers of the work at ``span``."""

    spawner: Spawner
    span: Span

    def at_work(self) -> tuple[int, int]:
        states = self.spawner.states(self.span)
        both = len(states.running) + len(states.queued)
        # In this step, who is next may not have taken the slot yet of a worker that is done.
        running = max(len(states.running), min(both, self.spawner.dispatcher.slots.limit))
        return running, both - running

    def unread(self) -> tuple[TaskResult, ...]:
        return self.spawner.unread(self.span)

    def results(self) -> tuple[TaskResult, ...]:
        return self.spawner.results(self.span)
