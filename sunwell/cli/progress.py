"""The progress of a run, collected from its events: who does what, and what it has cost so far."""

from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from itertools import takewhile
from typing import Literal

import attrs

from sunwell.core.model import Usage
from sunwell.core.task import Status
from sunwell.events import (
    AnswerSet,
    Event,
    ModelCallFinished,
    ModelCallStarted,
    ModelHeld,
    ModelRetried,
    ModelTextArrived,
    RunFinished,
    RunStarted,
    ToolCallFinished,
    ToolCallStarted,
    WorkerFailed,
    WorkerFinished,
    WorkerQueued,
    WorkerStarted,
    WorkerWaiting,
)
from sunwell.report.figures import one_line, told_arguments, told_tool

WorkerState = Literal["done", "incomplete", "failed", "stopped", "running", "waiting"]
_ORDER: tuple[WorkerState, ...] = ("done", "incomplete", "failed", "stopped", "running", "waiting")
_ENDS: Mapping[Status, WorkerState] = {
    "ok": "done",
    "incomplete": "incomplete",
    "error": "failed",
    "cancelled": "stopped",
}
_WORTH_LEAVING_OUT = 12
"""A shared beginning of tasks is left out if it has at least this many characters."""


@attrs.define(eq=False)
class FinalAnswers:
    """The work whose model has set its final answer: what is stopped because of that has not failed."""

    _spans: set[str] = attrs.field(factory=set, init=False)

    def see(self, event: Event) -> None:
        """Record *event* if it is such an answer."""
        if isinstance(event, AnswerSet) and event.ready:
            self._spans.add(event.span)

    def has(self, span: str) -> bool:
        """Whether the model of *span* has answered."""
        return span in self._spans

    def stopped(self, event: Event) -> bool:
        """Whether *event* only says that something was not carried out, or was stopped, after the answer."""
        match event:
            case ToolCallFinished(is_error=True):
                return event.span in self._spans
            case ModelCallFinished() if event.error and event.usage is None:
                return any(event.span.startswith(f"{span}/") for span in self._spans)
        return False


@attrs.define(eq=False)
class Crowd:
    """Collects the events of workers."""

    _states: dict[str, WorkerState] = attrs.field(factory=dict, init=False)
    _tasks: dict[str, str] = attrs.field(factory=dict, init=False)
    """The task of the worker of each span."""
    _shared: list[str] | None = attrs.field(default=None, init=False)
    """The words that all tasks begin with."""

    def see(self, event: Event) -> None:
        """Record *event* if it is about a worker."""
        match event:
            case WorkerQueued():
                self._states[event.span] = "waiting"
                task = self._tasks[event.span] = one_line(event.task)
                self._shared = _shared(task.split(" "), self._shared)
            case WorkerStarted():
                self._states[event.span] = "running"
            case WorkerFinished():
                self._states[event.span] = _ENDS[event.result.status]

    def counts(self) -> str:
        """Return how many workers are in each state; empty for fewer than 2 workers."""
        if len(self._states) < 2:
            return ""
        found = Counter(self._states.values())
        return " · ".join(f"{found[state]:,} {state}" for state in _ORDER if found[state])

    def task(self, span: str) -> str | None:
        """Return the task of the worker at *span*; ``None`` if there is no worker."""
        return self._tasks.get(span)

    def name(self, span: str) -> str:
        """Return that task without the words that all tasks begin with."""
        task = self._tasks[span]
        if len(self._tasks) < 2:
            return task
        shared = self._shared or []
        rest = " ".join(task.split(" ")[len(shared) :])
        return f"…{rest}" if rest and len(" ".join(shared)) >= _WORTH_LEAVING_OUT else task


def _shared(words: list[str], before: list[str] | None) -> list[str]:
    if before is None:
        return words
    pairs = takewhile(lambda pair: pair[0] == pair[1], zip(words, before, strict=False))
    return [word for word, _ in pairs]


RowState = Literal["busy", "done", "failed", "stopped"]


@attrs.define(eq=False)
class Row:
    """One row of the table: all calls of one span for one purpose."""

    span: str
    who: str
    model: str
    level: int
    """Depth below the run, from 0."""
    doing: str = ""
    state: RowState = "busy"
    calls: int = 0
    files: set[str] = attrs.field(factory=set)
    """Paths that its tools have changed so far."""
    usage: Usage = Usage()
    cost_usd: Decimal | None = Decimal(0)
    """``None`` once the price or the usage of any call is unknown."""


@attrs.define(eq=False)
class Progress:
    """Collects events and holds the rows, in the order in which work began."""

    task: str = ""
    run_id: str = ""
    cost_usd: Decimal | None = Decimal(0)
    """What the run has cost, earlier processes included; ``None`` once any cost is unknown."""
    rows: dict[tuple[str, str], Row] = attrs.field(factory=dict)
    _latest: dict[str, Row] = attrs.field(factory=dict, init=False)
    """The row of each span that was active last: tools belong to it."""
    crowd: Crowd = attrs.field(factory=Crowd, init=False)
    answers: FinalAnswers = attrs.field(factory=FinalAnswers, init=False)

    def see(self, event: Event) -> None:
        """Record *event*."""
        self.crowd.see(event)
        self.answers.see(event)
        match event:
            case RunStarted():
                self.task, self.run_id, self.cost_usd = event.task, event.run_id, event.spent_usd
            case ModelCallStarted():
                row = self._row(event)
                row.doing, row.state, row.model = "thinking", "busy", event.model
            case ModelCallFinished():
                self._finish(self._row(event), event)
            case ModelHeld():
                seconds = event.wait_seconds
                self._doing(event.span, f"waits about {seconds:.0f} s: {one_line(event.reason)}")
            case ModelRetried():
                self._doing(event.span, f"retry in {event.wait_seconds:.0f} s: {one_line(event.error)}")
            case ModelTextArrived():
                self._doing(event.span, "answering")
            case ToolCallStarted():
                self._doing(event.span, f"{told_tool(event.tool)} {told_arguments(event.summary)}")
            case ToolCallFinished():
                self._finish_tool(event)
            case WorkerWaiting():
                self._doing(event.span, "waiting for its workers")
            case WorkerFailed() if event.span in self._latest:
                row = self._latest[event.span]
                row.state = "stopped" if event.status == "cancelled" else "failed"
                row.doing = one_line(event.error)
            case RunFinished():
                for row in self.rows.values():
                    if row.state == "busy" and self.answers.has(row.span):
                        row.state, row.doing = "done", ""
                    elif row.state == "busy":
                        row.state = "stopped"

    def name(self, row: Row) -> str:
        """Return the name of *row*; for a worker, the words in which its task differs from the others."""
        return self.crowd.name(row.span) if row.who == self.crowd.task(row.span) else row.who

    def _row(self, event: ModelCallStarted | ModelCallFinished) -> Row:
        key = (event.span, event.purpose)
        if key not in self.rows:
            parts = event.span.split("/")
            who = event.purpose if event.purpose != "work" or parts[-1] == "direct" else parts[-1]
            who = self.crowd.task(event.span) or who
            self._insert(key, Row(event.span, who, event.model, max(0, len(parts) - 2)))
        row = self._latest[event.span] = self.rows[key]
        return row

    def _insert(self, key: tuple[str, str], row: Row) -> None:
        """Add *row* below its parent, after the rows that are already there."""
        parent = key[0].rpartition("/")[0]
        if "/" not in parent:
            self.rows[key] = row
            return
        keys = list(self.rows)
        below = [i for i, (span, _) in enumerate(keys) if span == parent or span.startswith(f"{parent}/")]
        if not below or below[-1] == len(keys) - 1:
            self.rows[key] = row
            return
        items = list(self.rows.items())
        self.rows = dict([*items[: below[-1] + 1], (key, row), *items[below[-1] + 1 :]])

    def _finish(self, row: Row, event: ModelCallFinished) -> None:
        row.state = "failed" if event.error else "done"
        row.doing = one_line(event.error)
        if self.answers.stopped(event):
            row.state, row.doing = "stopped", ""
        row.calls += 1
        if event.usage is not None:
            row.usage += event.usage
        row.cost_usd = _with_cost_of(event, row.cost_usd)
        if not event.replayed:
            self.cost_usd = _with_cost_of(event, self.cost_usd)

    def _finish_tool(self, event: ToolCallFinished) -> None:
        if event.is_error:
            self._doing(event.span, f"{told_tool(event.tool)} failed")
        if event.span in self._latest:
            self._latest[event.span].files.update(event.changed)

    def _doing(self, span: str, text: str) -> None:
        row = self._latest.get(span)
        if row is not None:
            row.doing, row.state = text, "busy"


def _with_cost_of(event: ModelCallFinished, usd: Decimal | None) -> Decimal | None:
    """Return *usd* plus the cost of a call; a call that failed without usage adds nothing."""
    if event.error and event.usage is None:
        return usd
    return None if usd is None or event.cost_usd is None else usd + event.cost_usd
