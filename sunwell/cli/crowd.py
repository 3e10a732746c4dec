"""The workers of a run as a crowd: how many wait, work and are done, and what tells one from another."""

from collections import Counter
from collections.abc import Mapping
from itertools import takewhile
from typing import Literal

import attrs

from sunwell.core.task import Status
from sunwell.events import Event, WorkerFinished, WorkerQueued, WorkerStarted
from sunwell.report.figures import one_line

WorkerState = Literal["done", "incomplete", "failed", "stopped", "at work", "waiting"]
_ORDER: tuple[WorkerState, ...] = ("done", "incomplete", "failed", "stopped", "at work", "waiting")
_ENDS: Mapping[Status, WorkerState] = {
    "ok": "done",
    "incomplete": "incomplete",
    "error": "failed",
    "cancelled": "stopped",
}
_LONGEST_TASK = 200
_WORTH_LEAVING_OUT = 12
"""Characters that all tasks begin with: fewer tell more than they cost."""


@attrs.define(eq=False)
class Crowd:
    """Takes the events of workers in."""

    _states: dict[str, WorkerState] = attrs.field(factory=dict, init=False)
    _tasks: dict[str, str] = attrs.field(factory=dict, init=False)
    """What the worker of each span was asked to do."""
    _shared: list[str] | None = attrs.field(default=None, init=False)
    """The words with which all tasks begin."""

    def see(self, event: Event) -> None:
        """Take *event* in, where it is one of a worker."""
        match event:
            case WorkerQueued():
                self._states[event.span] = "waiting"
                task = self._tasks[event.span] = one_line(event.task, _LONGEST_TASK)
                self._shared = _shared(task.split(" "), self._shared)
            case WorkerStarted():
                self._states[event.span] = "at work"
            case WorkerFinished():
                self._states[event.span] = _ENDS[event.result.status]

    def counts(self) -> str:
        """Return how many are where; empty where there are not several."""
        if len(self._states) < 2:
            return ""
        found = Counter(self._states.values())
        return " · ".join(f"{found[state]:,} {state}" for state in _ORDER if found[state])

    def task(self, span: str) -> str | None:
        """Return what the worker at *span* was asked to do; ``None`` for no worker."""
        return self._tasks.get(span)

    def name(self, span: str) -> str:
        """Return that task, without the words with which all tasks begin."""
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
