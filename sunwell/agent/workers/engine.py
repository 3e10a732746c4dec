"""What workers are started through: the seam behind which other machines may be."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

import attrs

Body = Callable[[str], Coroutine[Any, Any, None]]
"""Carries out the worker with the given id to its end, and writes the end down."""


class Running(Protocol):
    """A worker that was started."""

    def cancel(self) -> None:
        """Have the worker end as soon as it can; it writes down what is there."""
        ...

    async def wait(self) -> None:
        """Return when the worker has ended; raises what its body raised, but no cancellation."""
        ...


class Engine(Protocol):
    """Starts workers. All that a worker needs besides its id stands in the journal under that id.

    So an engine may carry the body out in another process: with the id alone, and again after a
    crash, since no answered call is asked twice.
    """

    def start(self, task_id: str, body: Body) -> Running:
        """Start *body* for the worker *task_id* and return at once."""
        ...


@attrs.define(eq=False)
class _LocalWorker:
    task: asyncio.Task[None]
    begun: asyncio.Event

    def cancel(self) -> None:
        if self.begun.is_set():
            self.task.cancel()
        else:  # a task that is cancelled before its first step could write nothing down
            asyncio.get_running_loop().call_soon(self.cancel)

    async def wait(self) -> None:
        await asyncio.wait([self.task])
        if not self.task.cancelled() and (error := self.task.exception()) is not None:
            raise error


@attrs.define(eq=False)
class LocalEngine:
    """Runs each worker as a task of the running event loop."""

    _tasks: set[asyncio.Task[None]] = attrs.field(factory=set, init=False)

    def start(self, task_id: str, body: Body) -> Running:
        """Start *body* as a task."""
        begun = asyncio.Event()

        async def begin() -> None:
            begun.set()
            await body(task_id)

        task = asyncio.get_running_loop().create_task(begin(), name=task_id)
        self._tasks.add(task)  # the loop itself holds tasks weakly
        task.add_done_callback(self._tasks.discard)
        return _LocalWorker(task, begun)
