"""A run as a tree: its nodes, and how they are built from flat records."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Literal

import attrs

from sunwell.core.message import ToolCall
from sunwell.core.model import Completion, Purpose, Usage
from sunwell.errors import JournalError
from sunwell.journal.power import PowerLosses, boot_id
from sunwell.journal.records import (
    Answer,
    Checked,
    Failure,
    Forked,
    Intent,
    Note,
    Record,
    Refused,
    RunClosed,
    RunOpened,
    RunResumed,
    ToolFinished,
    ToolStarted,
    WorkerClosed,
    WorkerOpened,
)

NodeType = Literal["run", "sub_completion", "part", "call", "tool", "check"]
"""``sub_completion`` is a worker, ``part`` a piece of work at its parent's depth, ``call`` one call
of a model with all its attempts."""

NodeStatus = Literal[
    "ok", "incomplete", "error", "cancelled", "answered", "failed", "refused", "open", "kept", "remembered"
]
"""A run ends ``ok`` to ``cancelled``; a call or a tool is ``answered``, ``failed``, ``refused`` for want
of budget, or ``open``, which is begun and without an end in the journal. A call that is ``kept`` was copied
from another run, which has paid for it: it has neither usage nor cost here. One that is ``remembered`` was
answered by what an earlier run had kept: it has no usage and cost nothing."""


@attrs.frozen
class Node:
    """One thing that a run did, with what it led to. Figures are its own; the totals include all below."""

    type: NodeType
    span: str
    depth: int
    """Nesting of workers; the root is 0."""
    name: str = ""
    """Id of a run, name of a tool."""
    status: NodeStatus | None = None
    """``None`` if nobody noted one: parts, and workers without records of their own."""
    stop_reason: str | None = None
    """Why a worker ended; ``None`` if it has not, and for all that is no worker."""
    model: str | None = None
    """The model that answered, or was asked; of a run, worker or part: the only one that it asked itself."""
    purpose: Purpose | None = None
    number: int | None = None
    """Place of a call in its span."""
    attempts: int = 0
    usage: Usage | None = None
    """Of a call, as the provider reported it; ``None`` if it did not."""
    cost_usd: Decimal | None = None
    """Of a call, as it was booked; ``None`` if usage or price is unknown, and for all that is no call."""
    uncertain_usd: Decimal | None = Decimal(0)
    """Upper bound for attempts that may be billed and brought no usage; ``None``: price unknown. That of a
    run itself is for calls that a loss of power may have taken from its record."""
    started_at: float | None = None
    """Seconds since 1970. A tool has the time of the answer before it."""
    duration_ms: int | None = None
    parent_turn: int | None = None
    """Turn of the parent that started the worker."""
    query: str | None = None
    """What a worker was asked; the task of a run; of a tool what it was called with, in a word."""
    context_query: str | None = None
    tools_called: tuple[str, ...] = ()
    """Names of tools called in the span itself, in order, each as often as it was called."""
    exit_code: int | None = None
    """Of a tool that ran a command to its end."""
    result_tokens: int | None = None
    """Output tokens of the call; of a worker, of its last answer."""
    children: "tuple[Node, ...]" = ()

    def walk(self) -> "Iterator[Node]":
        """Yield this node and all below it, parents before children, in order."""
        waiting = [self]
        while waiting:
            node = waiting.pop()
            yield node
            waiting.extend(reversed(node.children))

    @property
    def total_usage(self) -> Usage:
        """All tokens that were reported, here and below."""
        return sum((node.usage for node in self.walk() if node.usage), Usage())

    @property
    def tokens_used(self) -> int:
        """Input and output of :attr:`total_usage`."""
        return self.total_usage.total_tokens

    @property
    def total_cost_usd(self) -> Decimal | None:
        """What the reported tokens here and below cost, as booked; ``None`` if a price is unknown."""
        return _sum([node.cost_usd for node in self.walk() if node.usage is not None])

    @property
    def total_uncertain_usd(self) -> Decimal | None:
        """Upper bound for what may be billed besides; ``None`` if a price is unknown."""
        return _sum([node.uncertain_usd for node in self.walk()])

    def total_cost(self, price: Callable[[str, int, int], Decimal | float | None]) -> Decimal | None:
        """Return what all reported tokens here and below cost by *price*, each at its own model's rate.

        *price* gets the model and its input and output tokens, and gives US dollars, or ``None`` for a
        model whose price it does not know: then so is the total.
        """
        priced: list[Decimal | None] = []
        for node in self.walk():
            if node.usage is not None:
                usd = price(node.model or "", node.usage.input_tokens, node.usage.output_tokens)
                priced.append(None if usd is None else Decimal(str(usd)))
        return _sum(priced)


def _sum(amounts: list[Decimal | None]) -> Decimal | None:
    known = [amount for amount in amounts if amount is not None]
    return sum(known, Decimal(0)) if len(known) == len(amounts) else None


_LONGEST_SUBJECT = 200


@attrs.define(eq=False)
class CallBranch:
    """One call of a model, with all its attempts."""

    order: int
    number: int
    intents: dict[int, Intent] = attrs.field(factory=dict)
    unbilled: set[int] = attrs.field(factory=set)
    """Attempts that were certainly not billed, or are booked with the usage of their answer."""
    answer: Answer | None = None
    billed: list[Answer | Failure] = attrs.field(factory=list)
    """What was booked with the usage that came: the answer, and what came with errors before it."""
    status: NodeStatus = "open"
    stated_usd: dict[int, Decimal] = attrs.field(factory=dict)
    """What providers said of the cost of attempts whose usage never came."""
    is_kept: bool = False
    """Whether another run has paid for it."""

    def take(self, record: Intent | Answer | Failure | Refused) -> None:
        """Add what *record* says of the call."""
        match record:
            case Intent():
                self.intents[record.attempt] = record
                self.status = "open"
            case Answer():
                self.answer, self.status = record, "remembered" if record.remembered else "answered"
                self._book(record, record.completion)
            case Failure():
                self.status = "failed"
                if record.completion is not None:
                    self._book(record, record.completion)
                elif not record.may_be_billed:
                    self.unbilled.add(record.attempt)
            case Refused():
                self.status = "refused"

    def _book(self, record: Answer | Failure, completion: Completion) -> None:
        # An answer without usage came from a provider that may bill it: its reservation stays uncertain.
        if completion.usage is not None:
            self.unbilled.add(record.attempt)
            self.billed.append(record)
        elif completion.stated_cost_usd is not None:
            self.stated_usd[record.attempt] = completion.stated_cost_usd

    @property
    def uncertain(self) -> tuple[int, ...]:
        """The attempts that may be billed and brought no usage, those under way included."""
        return tuple(attempt for attempt in self.intents if attempt not in self.unbilled)

    def most_usd(self, attempt: int) -> Decimal | None:
        """Return the most that *attempt* may be billed: what was reserved, or what its provider said.

        ``None`` if its price is unknown.
        """
        known = (self.intents[attempt].reserved_usd, self.stated_usd.get(attempt))
        return max((usd for usd in known if usd is not None), default=None)

    @property
    def model(self) -> str | None:
        """The model that answered, or was asked last."""
        if self.answer is not None:
            return self.answer.completion.model
        return next((intent.model for intent in reversed(self.intents.values())), None)

    def node(self, span: str, depth: int) -> Node:
        """Return the finished node."""
        if self.is_kept:
            return self._kept_node(span, depth)
        usages = [one.completion.usage for one in self.billed if one.completion and one.completion.usage]
        usage = sum(usages, Usage()) if usages else None
        costs = [one.cost_usd for one in self.billed]
        known = [usd for usd in costs if usd is not None]
        started = min((intent.at for intent in self.intents.values()), default=None)
        return Node(
            "call",
            span,
            depth,
            status=self.status,
            model=self.model,
            purpose=self.purpose,
            number=self.number,
            attempts=len(self.intents),
            usage=usage,
            cost_usd=sum(known, Decimal(0)) if known and len(known) == len(costs) else None,
            uncertain_usd=_sum([self.most_usd(attempt) for attempt in self.uncertain]),
            started_at=started if started is not None or self.answer is None else self.answer.at,
            duration_ms=milliseconds(self.answer.duration_seconds) if self.answer else None,
            result_tokens=usage.output_tokens if usage else None,
        )

    def _kept_node(self, span: str, depth: int) -> Node:
        return Node(
            "call",
            span,
            depth,
            status="kept",
            model=self.model,
            purpose=self.purpose,
            number=self.number,
            started_at=self.answer.at if self.answer else None,
        )

    @property
    def purpose(self) -> Purpose | None:
        """What the call is for."""
        for record in (self.answer, *self.intents.values()):
            if record is not None:
                return record.purpose
        return None


@attrs.define(eq=False)
class ToolBranch:
    """One run of a tool."""

    order: int
    name: str
    started_at: float | None
    finished: ToolFinished | None = None
    subject: str | None = None
    """What it was called with, in a word."""
    is_kept: bool = False
    """Whether another run has carried it out."""

    @property
    def is_refused(self) -> bool:
        """Whether the call was refused, so that it does not count as called."""
        return self.finished is not None and self.finished.result.refused

    def node(self, span: str, depth: int) -> Node:
        """Return the finished node; the time of one that another run carried out is not this run's."""
        done = self.finished
        status: NodeStatus = "open" if done is None else "failed" if done.result.is_error else "answered"
        lasted = None if done is None else milliseconds(done.duration_seconds)
        return Node(
            "tool",
            span,
            depth,
            self.name,
            status,
            started_at=None if self.is_kept else self.started_at,
            duration_ms=None if self.is_kept else lasted,
            query=self.subject,
            exit_code=None if done is None else done.result.exit_code,
        )


@attrs.define(eq=False)
class SpanBranch:
    """All that one span did itself."""

    order: int
    depth: int | None = None
    """``None`` until a call of a model says it."""
    calls: dict[int, CallBranch] = attrs.field(factory=dict)
    tools: dict[tuple[int, int], ToolBranch] = attrs.field(factory=dict)
    asked: dict[str, tuple[int, ToolCall]] = attrs.field(factory=dict)
    """Tool calls and their turns by the call's id."""
    notes: dict[str, Any] = attrs.field(factory=dict)
    checks: dict[int, tuple[int, Checked]] = attrs.field(factory=dict)
    """What checks found of its work, by how often they had looked before."""
    last_at: float | None = None
    opened: WorkerOpened | None = None
    closed: WorkerClosed | None = None

    def told(self) -> dict[str, Any]:
        """Return what the record of a worker's beginning says of its question, if there is one."""
        if self.opened is None:
            return {}
        named = ("query", "context_query", "parent_turn")
        return {name: value for name in named if (value := getattr(self.opened, name)) is not None}

    @property
    def status(self) -> NodeStatus | None:
        """How a worker ended, ``open`` if it has begun and not ended; ``None`` if nobody noted it."""
        if self.closed is not None:
            return self.closed.status
        return "open" if self.opened is not None else None

    def call(self, number: int, order: int) -> CallBranch:
        """Return the call at *number*, begun by this record if it is its first."""
        return self.calls.setdefault(number, CallBranch(order, number))

    def keep(self) -> None:
        """Take note that another run has paid for the calls so far, and spent the time of the tools."""
        for call in self.calls.values():
            call.is_kept = True
        for tool in self.tools.values():
            tool.is_kept = True

    def tool(self, place: tuple[int, int], name: str, order: int) -> ToolBranch:
        """Return the tool run at *place* (turn and index), begun by this record if it is its first."""
        return self.tools.setdefault(place, ToolBranch(order, name, self.last_at))

    @property
    def model(self) -> str | None:
        """The only model that the span asked itself; ``None`` if it asked several or none.

        Copied calls count only if there are no others.
        """
        own = [call for call in self.calls.values() if not call.is_kept]
        models = {call.model for call in own or self.calls.values()}
        return models.pop() if len(models) == 1 else None


def _check_node(found: Checked, depth: int) -> Node:
    """Return what checks found: answered if they passed, failed if not, open if they could not tell."""
    statuses: dict[bool | None, NodeStatus] = {True: "answered", False: "failed", None: "open"}
    return Node(
        "check",
        found.span,
        depth,
        ", ".join(found.missed or found.by),
        statuses[found.passed],
        number=found.number,
        started_at=max(0.0, found.at - found.duration_seconds),
        duration_ms=milliseconds(found.duration_seconds),
    )


_BATCHES = ("queries", "tasks")
_QUESTIONS = ("query", "task", "question")
_ASKING = {*_BATCHES, *_QUESTIONS}


def question(call: ToolCall, index: str) -> str | None:
    """Return what *call* asks of a worker: its question, or that at *index* of a batch."""
    arguments = _arguments(call)
    for name in _BATCHES:
        batch = arguments.get(name)
        if isinstance(batch, list) and index.isdecimal() and int(index) < len(batch):
            item = batch[int(index)]
            return item if isinstance(item, str) else _asked(item)
    return _asked(arguments)


def _subject(arguments: Mapping[str, Any]) -> str | None:
    """Return what a call is about: the first text among its *arguments*, a path or a command, cut short."""
    found = next((value for value in arguments.values() if isinstance(value, str)), None)
    return found if found is None or len(found) <= _LONGEST_SUBJECT else f"{found[:_LONGEST_SUBJECT]}…"


def _arguments(call: ToolCall) -> dict[str, Any]:
    try:
        found = json.loads(call.arguments)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def milliseconds(seconds: float) -> int:
    """Return *seconds* in whole milliseconds."""
    return round(seconds * 1000)


def _asked(arguments: Any) -> str | None:
    if not isinstance(arguments, dict):
        return None
    found = [arguments.get(name) for name in _QUESTIONS]
    return next((text for text in found if isinstance(text, str)), None)


_ROOT = "run"
_DEEPEST = 100  # far more than any run has, and no more than can be written as one nested tree
_NOTED = frozenset({"query", "context_query", "parent_turn"})


def tree(records: Iterable[Record]) -> Node:
    """Return the run that *records* tell of, in one pass; kinds that say nothing of work are passed over.

    What a worker was asked, its context query and the turn that started it are taken from the notes
    ``query``, ``context_query`` and ``parent_turn`` in its span, else from the tool call after whose id
    its span is named, if there is one. Raises :exc:`~sunwell.errors.JournalError` for spans that are nested
    deeper than those of any run.
    """
    growing = RunBranches()
    for order, record in enumerate(records):
        growing.take(record, order)
    return growing.grown()


@attrs.define(eq=False)
class RunBranches:
    """All that a run did so far, by span: it takes one record after the other, and grows into a tree."""

    branches: dict[str, SpanBranch] = attrs.field(factory=dict)
    opened: RunOpened | None = None
    closed: RunClosed | None = None
    last_at: float | None = None
    """When the latest record was written, as far as one says it."""
    pauses: list[tuple[float, float]] = attrs.field(factory=list)
    """Start and end of each time between two processes of the run."""
    losses: PowerLosses = attrs.field(factory=PowerLosses)
    """What may be missing among its records."""

    def take(self, record: Record, order: int) -> None:
        """Add what *record*, the one number *order*, says.

        Raises :exc:`~sunwell.errors.JournalError` for spans that are nested deeper than those of any run.
        """
        self.losses.see(record)
        at = getattr(record, "at", None)
        if isinstance(record, RunResumed) and self.last_at is not None and record.at > self.last_at:
            self.pauses.append((self.last_at, record.at))
        if isinstance(at, int | float):
            self.last_at = at
        match record:
            case RunOpened():
                self.opened = self.opened or record
            case RunResumed():
                self.closed = None
            case RunClosed():
                self.closed = record
            case Forked():  # written after the copied records, and before the first of its own
                for branch in self.branches.values():
                    branch.keep()
            case Intent() | Answer():
                branch = self.branch(record.span, order)
                branch.depth, branch.last_at = record.depth, record.at
                branch.call(record.number, order).take(record)
            case Failure() | Refused():
                self.branch(record.span, order).call(record.number, order).take(record)
            case ToolStarted():
                branch = self.branch(record.span, order)
                # What it was called with may be a whole file, and is kept only if it may ask for a worker.
                arguments = _arguments(record.call)
                kept = record.call if _ASKING & arguments.keys() else attrs.evolve(record.call, arguments="")
                branch.asked[record.call.id] = (record.turn, kept)
                tool = branch.tool((record.turn, record.index), record.call.name, order)
                tool.subject = _subject(arguments)
            case ToolFinished():
                branch = self.branch(record.span, order)
                branch.tool((record.turn, record.index), record.tool, order).finished = record
            case Checked():
                self.branch(record.span, order).checks[record.number] = (order, record)
            case WorkerOpened():
                branch = self.branch(record.span, order)
                branch.depth, branch.last_at, branch.opened = record.depth, record.at, record
                branch.closed = None  # one that is taken up again is opened again
            case WorkerClosed():
                branch = self.branch(record.span, order)
                branch.depth, branch.closed = record.depth, record
            case Note() if record.name in _NOTED:
                self.branch(record.span, order).notes[record.name] = record.value

    def branch(self, path: str, order: int) -> SpanBranch:
        """Return what the span at *path* did, begun by the record number *order* if it is its first."""
        branch = self.branches.get(path)
        if branch is None:
            if path.count("/") > _DEEPEST:
                raise JournalError(
                    f"the journal is damaged: it has work within work, more than {_DEEPEST} levels; restore "
                    "it from a copy"
                )
            branch = self.branches[path] = SpanBranch(order)
        return branch

    def grown(self) -> Node:
        """Build the nodes, children before parents: a child's path is longer than its parent's."""
        parents, depths = self.shape()
        below: dict[str, list[tuple[int, Node]]] = {path: [] for path in depths}
        for path in reversed(parents):
            is_worker = depths[path] > depths[parents[path]]
            node = self._span(path, depths[path], below.pop(path))
            node = self._as_worker(node) if is_worker else node
            below[parents[path]].append((self.branches[path].order, node))
        return self._as_run(self._span(_ROOT, depths[_ROOT], below[_ROOT]))

    def shape(self) -> tuple[dict[str, str], dict[str, int]]:
        """Return the parent of each span but the root, and the depth of each span, parents first.

        A span that is deeper than its parent is a worker, any other one is a part of it.
        """
        self.branch(_ROOT, 0)
        parents = {path: self._above(path) for path in sorted(self.branches, key=len) if path != _ROOT}
        depths: dict[str, int] = {}
        for path in (_ROOT, *parents):
            known = self.branches[path].depth
            above = depths.get(parents.get(path, ""), 0)
            depths[path] = above if known is None else known
        return parents, depths

    def asked(self, path: str) -> dict[str, Any]:
        """Return what the worker at *path* was asked: ``parent_turn``, ``query`` and ``context_query``.

        Notes count more than the record of its beginning, and that more than the tool call that it is
        named for; what is unknown is not there. A note may hold anything.
        """
        branch = self.branches[path]
        return {**self._from_tool_call(path), **branch.told(), **branch.notes}

    def _above(self, path: str) -> str:
        parent, slash, _ = path.rpartition("/")
        while slash:
            if parent in self.branches:
                return parent
            parent, slash, _ = parent.rpartition("/")
        return _ROOT

    def _span(self, path: str, depth: int, below: list[tuple[int, Node]]) -> Node:
        branch = self.branches[path]
        made = [(call.order, call.node(path, depth)) for call in branch.calls.values()]
        made += [(tool.order, tool.node(path, depth)) for tool in branch.tools.values()]
        made += [(order, _check_node(found, depth)) for order, found in branch.checks.values()]
        children = tuple(node for _, node in sorted([*made, *below], key=lambda pair: pair[0]))
        started, lasted = _extent(children, self.pauses)
        return Node(
            "part",
            path,
            depth,
            model=branch.model,
            started_at=started,
            duration_ms=lasted,
            tools_called=tuple(
                tool.name
                for tool in sorted(branch.tools.values(), key=lambda tool: tool.order)
                if not tool.is_refused
            ),
            children=children,
        )

    def _as_worker(self, node: Node) -> Node:
        branch = self.branches[node.span]
        asked = self.asked(node.span)
        turn, query, context = (asked.get(name) for name in ("parent_turn", "query", "context_query"))
        results = [child.result_tokens for child in node.children if child.status == "answered"]
        return attrs.evolve(
            node,
            type="sub_completion",
            parent_turn=turn if isinstance(turn, int) else None,
            query=query if isinstance(query, str) else None,
            context_query=context if isinstance(context, str) else None,
            result_tokens=branch.closed.result_tokens
            if branch.closed
            else next((tokens for tokens in reversed(results) if tokens is not None), None),
            status=branch.status,
            stop_reason=branch.closed.stop_reason if branch.closed else None,
            duration_ms=branch.closed.duration_ms if branch.closed else node.duration_ms,
        )

    def _from_tool_call(self, path: str) -> dict[str, Any]:
        """Return the turn and the question of the call that the span, or the one around it, is named for."""
        above, _, last = path.rpartition("/")
        for parent, name in ((above, last), (above.rpartition("/")[0], above.rpartition("/")[2])):
            call_id = name.replace("%2F", "/").replace("%25", "%")
            branch = self.branches.get(parent)
            if branch is not None and call_id in branch.asked:
                turn, call = branch.asked[call_id]
                return {"parent_turn": turn, "query": question(call, last)}
        return {}

    def _as_run(self, node: Node) -> Node:
        opened, closed = self.opened, self.closed
        return attrs.evolve(
            node,
            type="run",
            name=opened.run_id if opened else "",
            query=opened.task if opened else None,
            started_at=opened.at if opened else node.started_at,
            status=closed.status if closed else "open",
            duration_ms=milliseconds(closed.duration_seconds) if closed else node.duration_ms,
            uncertain_usd=sum((each.usd for each in self.losses.until(boot_id())), Decimal(0)),
        )


def _extent(
    children: Iterable[Node], pauses: Iterable[tuple[float, float]] = ()
) -> tuple[float | None, int | None]:
    """Return the first start, and the milliseconds from there to the last end that is known.

    *pauses* between processes do not count, as in the duration of the whole run.
    """
    nodes = [node for node in children if node.started_at is not None]
    own = [
        node for node in nodes if node.status != "kept"
    ] or nodes  # the time of copied calls is another run's
    timed = [(node.started_at, node.duration_ms or 0) for node in own if node.started_at is not None]
    if not timed:
        return None, None
    start = min(at for at, _ in timed)
    end = max(at + lasted / 1000 for at, lasted in timed)
    idle = sum(max(0.0, min(end, until) - max(start, since)) for since, until in pauses)
    return start, milliseconds(max(0.0, end - start - idle))
