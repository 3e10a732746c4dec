"""The events of a run on their way to whoever iterates over it."""

import asyncio
from collections import deque

import attrs

from sunwell.events import Event


@attrs.define(eq=False)
class EventStream:
    """A queue with one consumer, which also tells the run whether anybody still listens."""

    _events: deque[Event] = attrs.field(factory=deque, init=False)
    _arrived: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    _wanted: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    _ended: bool = attrs.field(default=False, init=False)
    _told_until: float = attrs.field(default=float("-inf"), init=False)
    """Up to when the time that the consumer took has been returned to somebody."""

    def put(self, event: Event) -> None:
        """Add *event*; never waits."""
        self._events.append(event)
        self._wanted.clear()
        self._arrived.set()

    def end(self) -> None:
        """Let the consumer go once it has taken all there is."""
        self._ended = True
        self._arrived.set()

    async def hold(self) -> float:
        """Wait until the consumer has taken every event and asks for more; return the seconds.

        A consumer that stopped asking must not be charged for further calls, and the time that it
        takes is not the run's. Of several who wait at once, each second is returned to one alone.
        """
        if self._wanted.is_set():
            return 0.0
        clock = asyncio.get_running_loop()
        started = clock.time()
        await self._wanted.wait()
        now = clock.time()
        seconds = max(0.0, now - max(started, self._told_until))
        self._told_until = now
        return seconds

    async def next(self) -> Event | None:
        """Return the next event, ``None`` at the end."""
        while not self._events:
            if self._ended:
                return None
            self._arrived.clear()
            self._wanted.set()
            await self._arrived.wait()
        return self._events.popleft()
