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

    def put(self, event: Event) -> None:
        """Add *event*; never waits."""
        self._events.append(event)
        self._wanted.clear()
        self._arrived.set()

    def end(self) -> None:
        """Let the consumer go once it has taken all there is."""
        self._ended = True
        self._arrived.set()

    @property
    def is_wanted(self) -> bool:
        """Whether the consumer has taken every event and asks for more."""
        return self._wanted.is_set()

    async def hold(self) -> None:
        """Wait until the consumer has taken every event and asks for more.

        A consumer that stopped asking must not be charged for further calls.
        """
        await self._wanted.wait()

    async def next(self) -> Event | None:
        """Return the next event, ``None`` at the end."""
        while not self._events:
            if self._ended:
                return None
            self._arrived.clear()
            self._wanted.set()
            await self._arrived.wait()
        return self._events.popleft()
