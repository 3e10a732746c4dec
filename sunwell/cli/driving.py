"""A run from its first event to its result, with Ctrl-C at any moment."""

import asyncio
import os
import signal
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from types import FrameType
from typing import Any

import attrs

from sunwell.agent.agent import Agent
from sunwell.cli.failing import CANCELLED
from sunwell.cli.view import View
from sunwell.core.task import TaskResult
from sunwell.events import Event, RunFinished

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def drive(agent: Agent, events: AsyncGenerator[Event, None], view: View) -> TaskResult:
    """Show *events* in *view* until the run ends, and return its result.

    The first Ctrl-C stops the run in good order, the second ends the process at once. Raises
    :exc:`KeyboardInterrupt` where it comes before the run has begun.
    """
    with view, _Interrupts(agent, view) as interrupts:
        try:
            return asyncio.run(_follow(events, view, interrupts))
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None


async def _follow(events: AsyncGenerator[Event, None], view: View, interrupts: "_Interrupts") -> TaskResult:
    interrupts.watch(asyncio.get_running_loop(), asyncio.current_task())
    async with aclosing(events) as stream:
        async for event in stream:
            interrupts.has_begun = True
            view.see(event)
            if isinstance(event, RunFinished):
                return event.result
    raise AssertionError("the run ended without a result")


@attrs.define(eq=False)
class _Interrupts:
    agent: Agent
    view: View
    has_begun: bool = attrs.field(default=False, init=False)
    _count: int = attrs.field(default=0, init=False)
    _loop: asyncio.AbstractEventLoop | None = attrs.field(default=None, init=False)
    _task: "asyncio.Task[Any] | None" = attrs.field(default=None, init=False)
    _before: dict[signal.Signals, Any] = attrs.field(factory=dict, init=False)

    def watch(self, loop: asyncio.AbstractEventLoop, task: "asyncio.Task[Any] | None") -> None:
        self._loop, self._task = loop, task

    def __enter__(self) -> "_Interrupts":
        for number in _SIGNALS:
            self._before[number] = signal.signal(number, self._interrupted)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _interrupted(self, _: int, __: FrameType | None) -> None:
        self._count += 1
        if self._loop is None:
            raise KeyboardInterrupt
        if self._count == 1:
            self._loop.call_soon_threadsafe(self._stop)
            return
        self.view.__exit__(None, None, None)
        with suppress(OSError):  # a full or broken standard error must not keep the process alive
            os.write(2, b"sunwell: ended at once; what was answered stands in the journal\n")
        os._exit(CANCELLED)

    def _stop(self) -> None:
        if self.has_begun:
            self.view.say("stopping; Ctrl-C once more ends at once")
            self.agent.stop()
        elif self._task is not None:
            self._task.cancel()
