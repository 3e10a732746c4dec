"""One span of a run while its records come in."""

import json
from decimal import Decimal
from typing import Any

import attrs

from sunwell.core.message import ToolCall
from sunwell.core.model import Purpose
from sunwell.core.usage import Usage
from sunwell.journal.node import Node, NodeStatus
from sunwell.journal.records import (
    Answer,
    Failure,
    Intent,
    Refused,
    ToolFinished,
    WorkerClosed,
    WorkerOpened,
)

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
    is_kept: bool = False
    """Whether another run has paid for it."""

    def take(self, record: Intent | Answer | Failure | Refused) -> None:
        """Add what *record* says of the call."""
        match record:
            case Intent():
                self.intents[record.attempt] = record
                self.status = "open"
            case Answer():
                self.answer, self.status = record, "answered"
                if record.completion.usage is not None:
                    self.unbilled.add(record.attempt)
                    self.billed.append(record)
            case Failure():
                self.status = "failed"
                if record.completion is not None and record.completion.usage is not None:
                    self.unbilled.add(record.attempt)
                    self.billed.append(record)
                elif record.completion is None and not record.may_be_billed:
                    self.unbilled.add(record.attempt)
            case Refused():
                self.status = "refused"

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
            purpose=self._purpose(),
            number=self.number,
            attempts=len(self.intents),
            usage=usage,
            cost_usd=sum(known, Decimal(0)) if known and len(known) == len(costs) else None,
            uncertain_usd=self._uncertain_usd(),
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
            purpose=self._purpose(),
            number=self.number,
            started_at=self.answer.at if self.answer else None,
        )

    def _purpose(self) -> Purpose | None:
        for record in (self.answer, *self.intents.values()):
            if record is not None:
                return record.purpose
        return None

    def _uncertain_usd(self) -> Decimal | None:
        total = Decimal(0)
        for attempt, intent in self.intents.items():
            if attempt in self.unbilled:
                continue
            if intent.reserved_usd is None:
                return None
            total += intent.reserved_usd
        return total


@attrs.define(eq=False)
class ToolBranch:
    """One run of a tool."""

    order: int
    name: str
    started_at: float | None
    finished: ToolFinished | None = None
    subject: str | None = None
    """What it was called with, in a word."""

    def node(self, span: str, depth: int) -> Node:
        """Return the finished node."""
        done = self.finished
        status: NodeStatus = "open" if done is None else "failed" if done.result.is_error else "answered"
        lasted = None if done is None else milliseconds(done.duration_seconds)
        return Node(
            "tool",
            span,
            depth,
            self.name,
            status,
            started_at=self.started_at,
            duration_ms=lasted,
            query=self.subject,
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
    last_at: float | None = None
    opened: WorkerOpened | None = None
    closed: WorkerClosed | None = None

    def told(self) -> dict[str, Any]:
        """Return what the record of a worker's beginning says of its question, where there is one."""
        if self.opened is None:
            return {}
        named = ("query", "context_query", "parent_turn")
        return {name: value for name in named if (value := getattr(self.opened, name)) is not None}

    @property
    def status(self) -> NodeStatus | None:
        """How a worker ended, ``open`` where it has begun and not ended; ``None`` where nobody noted it."""
        if self.closed is not None:
            return self.closed.status
        return "open" if self.opened is not None else None

    def call(self, number: int, order: int) -> CallBranch:
        """Return the call at *number*, begun by this record if it is its first."""
        return self.calls.setdefault(number, CallBranch(order, number))

    def keep(self) -> None:
        """Take note that another run has paid for the calls so far."""
        for call in self.calls.values():
            call.is_kept = True

    def tool(self, place: tuple[int, int], name: str, order: int) -> ToolBranch:
        """Return the tool run at *place* (turn and index), begun by this record if it is its first."""
        return self.tools.setdefault(place, ToolBranch(order, name, self.last_at))

    @property
    def model(self) -> str | None:
        """The only model that the span asked itself; ``None`` where it asked several or none."""
        models = {call.model for call in self.calls.values()}
        return models.pop() if len(models) == 1 else None


def question(call: ToolCall, index: str) -> str | None:
    """Return what *call* asks of a worker: its question, or that at *index* of a batch."""
    arguments = _arguments(call)
    for name in ("queries", "tasks"):
        batch = arguments.get(name)
        if isinstance(batch, list) and index.isdecimal() and int(index) < len(batch):
            item = batch[int(index)]
            return item if isinstance(item, str) else _asked(item)
    return _asked(arguments)


def subject(call: ToolCall) -> str | None:
    """Return what *call* is about: the first text among its arguments, a path or a command, cut short."""
    found = next((value for value in _arguments(call).values() if isinstance(value, str)), None)
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
    found = [arguments.get(name) for name in ("query", "task", "question")]
    return next((text for text in found if isinstance(text, str)), None)
