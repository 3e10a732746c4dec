"""What a caller holds of a run: its events to iterate over, its result to await."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator
from contextlib import AbstractAsyncContextManager, aclosing, suppress
from types import TracebackType
from typing import Any, Self
from weakref import WeakSet

import attrs

from sunwell.core.task import TaskResult
from sunwell.events import Event, RunFinished


@attrs.define(eq=False)
class RunEvents(AsyncGenerator[Event, None]):
    """The events of one run, or its result.

    ``async for event in events`` gives each event as it happens; the last is
    :class:`~sunwell.events.RunFinished`. ``await events`` reads those that are left and returns the
    :class:`~sunwell.core.task.TaskResult`. Nothing begins before one of the two.

    A caller that may stop reading early uses ``async with events:``. Leaving it stops the run if it is
    still going, and waits until it is booked. :func:`contextlib.aclosing` does the same.
    """

    _begin: Callable[[], AbstractAsyncContextManager[AsyncIterator[Event]]]
    """Begins the run; its events end with the body."""
    _started: "WeakSet[RunEvents]" = attrs.field(factory=WeakSet)
    """Where this registers itself once it has begun; weak, so that a stream that nobody holds is closed."""
    _going: "set[asyncio.Future[None]]" = attrs.field(factory=set)
    """Where a run has a future while it goes on, also if nobody holds the stream any more."""
    _events: AsyncGenerator[Event, None] = attrs.field(init=False)
    _unread: deque[Event] = attrs.field(factory=deque, init=False)
    """Events that :meth:`drain` has read, for a reader who comes back."""
    _result: TaskResult | None = attrs.field(default=None, init=False)
    # One reader at a time: drain() may come while another task waits for the next event, and an
    # asynchronous generator refuses a second caller.
    _reading: asyncio.Lock = attrs.field(factory=asyncio.Lock, init=False)

    def __attrs_post_init__(self) -> None:
        self._events = _events_of(self._begin, self._going)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        self._started.add(self)
        async with self._reading:
            return self._unread.popleft() if self._unread else await self._next()

    def __await__(self) -> Generator[Any, Any, TaskResult]:
        return self.result().__await__()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def result(self) -> TaskResult:
        """Read the events that are left and return the result: a coroutine, for :func:`asyncio.run`.

        Asked again, it returns the same. Raises what the run raises before anything is spent, and
        :exc:`RuntimeError` if the stream was closed before the run had ended.
        """
        async with aclosing(self):
            async for _ in self:
                pass
        if self._result is None:
            raise RuntimeError("there is no result: the stream of events was closed before the run ended")
        return self._result

    async def drain(self, stop: Callable[[], None]) -> None:
        """Call *stop*, and read the run to its end. What is read is kept for who asks for events later.

        *stop* is called when no other task is reading: a run that was just beginning can be stopped then.
        """
        async with self._reading:
            stop()
            with suppress(StopAsyncIteration):
                while True:
                    self._unread.append(await self._next())

    async def asend(self, value: None) -> Event:
        """Return the next event, as :func:`anext` does."""
        return await anext(self)

    async def athrow(self, *error: Any) -> Event:
        """Raise *error* in the run, as :meth:`~agen.athrow` of any asynchronous generator does."""
        return await self._events.athrow(*error)

    async def aclose(self) -> None:
        """Stop the run if it is still going, and wait until it is booked."""
        await self._events.aclose()

    async def _next(self) -> Event:
        event = await anext(self._events)
        if isinstance(event, RunFinished):
            self._result = event.result
        return event


async def _events_of(
    begin: Callable[[], AbstractAsyncContextManager[AsyncIterator[Event]]], going: "set[asyncio.Future[None]]"
) -> AsyncGenerator[Event, None]:
    # No reference to the stream: it is closed by the event loop if whoever held it lets it go.
    ended = asyncio.get_running_loop().create_future()
    going.add(ended)
    try:
        async with begin() as events:
            async for event in events:
                yield event
    finally:
        going.discard(ended)
        ended.set_result(None)
