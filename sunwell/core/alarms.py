"""Time limits that nearly never end: what a call sets and takes back costs no timer of the event loop.

A timer of asyncio that is cancelled stays in the loop's heap until its time comes, with a copy of the context
of whoever set it. A run sets several for each call, all for minutes. So one timer serves all limits of a
loop: it is set for the earliest of them, and looks what is left when it rings.
"""

import asyncio
import contextvars
import math
from collections.abc import Callable, Coroutine
from itertools import count
from types import TracebackType
from typing import Any, TypeVar, cast
from weakref import WeakValueDictionary, ref

import attrs

from sunwell.core.unbroken import going_on

_Result = TypeVar("_Result")


@attrs.define(eq=False)
class Alarms:
    """The alarms of one event loop, by numbers. Few ring; most are dropped before their time."""

    _loop: asyncio.AbstractEventLoop
    _due: dict[int, tuple[float, Callable[[], None]]] = attrs.field(factory=dict, init=False)
    _numbers: "count[int]" = attrs.field(factory=count, init=False)
    _timer: asyncio.TimerHandle | None = attrs.field(default=None, init=False)
    _rings_at: float = attrs.field(default=math.inf, init=False)
    _context: contextvars.Context = attrs.field(factory=contextvars.Context, init=False)
    """An empty one for the timer, which would otherwise keep that of a run that is over."""

    def set(self, when: float, ring: Callable[[], None]) -> int:
        """Call *ring* at *when*, a time of the loop, and return the number by which that is dropped."""
        number = next(self._numbers)
        self._due[number] = (when, ring)
        if when < self._rings_at:
            self._set_timer(when)
        return number

    def drop(self, number: int) -> None:
        """Forget the alarm *number*, which may have rung."""
        self._due.pop(number, None)

    def _set_timer(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._rings_at = when
        self._timer = self._loop.call_at(when, self._ring, context=self._context)

    def _ring(self) -> None:
        rang, self._timer, self._rings_at = self._rings_at, None, math.inf
        until = max(rang, self._loop.time())
        ready = sorted((when, number) for number, (when, _) in self._due.items() if when <= until)
        try:
            for _, number in ready:
                found = self._due.pop(number, None)  # one that rang before may have dropped it
                if found is not None:
                    found[1]()
        finally:
            left = min((when for when, _ in self._due.values()), default=math.inf)
            if left < self._rings_at:
                self._set_timer(left)


# By the number of the loop, and weak: the timer keeps its alarms, and nothing here keeps an old loop.
_alarms: "WeakValueDictionary[int, Alarms]" = WeakValueDictionary()
_latest: list[Callable[[], Alarms | None]] = [lambda: None]
"""Gives those that were asked for last."""


def alarms_of(loop: asyncio.AbstractEventLoop) -> Alarms:
    """Return the alarms of *loop*."""
    latest = _latest[0]()
    if latest is not None and latest._loop is loop:  # mostly a process has one loop
        return latest
    found = _alarms.get(id(loop))
    if found is None or found._loop is not loop:
        found = _alarms[id(loop)] = Alarms(loop)
    _latest[0] = ref(found)
    return found


class Within:
    """Raises :exc:`TimeoutError` where the body takes longer than *seconds*; ``None``: no limit.

    It does what :func:`asyncio.timeout` does, and nothing of it has to be awaited: ``with Within(5.0):``. Use
    it in a task.
    """

    __slots__ = ("_alarm", "_alarms", "_before", "_expired", "_seconds", "_task")

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._alarm: int | None = None
        self._task: asyncio.Task[Any] | None = None
        self._expired = False

    def __enter__(self) -> "Within":
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a time limit holds in a task")
        self._task, self._before = task, task.cancelling()
        if self._seconds is not None:
            loop = task.get_loop()
            self._alarms = alarms_of(loop)
            if self._seconds <= 0:
                loop.call_soon(self.expire)
            else:
                self._alarm = self._alarms.set(loop.time() + self._seconds, self.expire)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._alarm is not None:
            self._alarms.drop(self._alarm)
            self._alarm = None
        task, self._task = self._task, None
        if (
            task is not None
            and self._expired
            and task.uncancel() <= self._before
            and kind is asyncio.CancelledError
        ):
            # Only if nobody else has cancelled the task meanwhile.
            raise TimeoutError from error

    async def over(self, doing: Coroutine[Any, Any, _Result]) -> _Result:
        """Return what *doing* returns, if that comes in time. What waits for nothing costs no alarm."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            awaited = doing.send(None)
        except StopIteration as done:
            return cast(_Result, done.value)
        if self._seconds is not None:
            self._seconds -= loop.time() - began
        with self:
            return await going_on(doing, awaited)

    def expired(self) -> bool:
        """Whether the time was up before the body had ended."""
        return self._expired

    def expire(self) -> None:
        """End the body now, as if its time were up; nothing happens if it has ended."""
        if self._task is not None and not self._expired:
            self._expired = True
            self._task.cancel()
