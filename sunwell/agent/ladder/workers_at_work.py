"""Workers that share a folder: who is still at work, and when all of them pause."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs

from sunwell.agent.workers.slots import Seat


@attrs.define(eq=False)
class WorkersAtWork:
    """The workers of a batch. A check that failed while others were at work is made again when all pause.

    A pause begins when nobody is at work any more. All that wait for it look at the files then, and none of
    them goes on before all have looked.
    """

    _at_work: set[str] = attrs.field(factory=set, init=False)
    _waiting: set[str] = attrs.field(factory=set, init=False)
    """Those that wait for the next pause."""
    _looking: set[str] = attrs.field(factory=set, init=False)
    """Those that have not looked yet in the pause that is going on."""
    _changed: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)

    def expect(self, worker_id: str) -> None:
        """Count *worker_id* as at work, also while it still waits for a slot."""
        self._at_work.add(worker_id)

    def others(self, worker_id: str) -> tuple[str, ...]:
        """Return those whose work is not finished besides *worker_id*, sorted."""
        return tuple(sorted((self._at_work | self._waiting | self._looking) - {worker_id}))

    def left(self, worker_id: str) -> None:
        """Note that *worker_id* has ended."""
        self._at_work.discard(worker_id)
        self._step()

    @asynccontextmanager
    async def all_pause(self, worker_id: str, seat: Seat) -> AsyncIterator[None]:
        """Enter when no sibling is at work, and leave when all that paused have left the body.

        All siblings have ended or are in this method, too. The slot is free meanwhile.
        """
        async with seat.given_up():
            self._at_work.discard(worker_id)
            self._waiting.add(worker_id)
            self._step()
            try:
                while worker_id in self._waiting:
                    await self._changed.wait()
                yield
            finally:  # also if it is cancelled: the others wait for it
                self._waiting.discard(worker_id)
                self._looking.discard(worker_id)
                # At once, and not when it has its slot again: with few slots, those that go on first would
                # otherwise not know of it, and begin a pause without it.
                self._at_work.add(worker_id)
                self._step()
            while self._looking:
                await self._changed.wait()

    def _step(self) -> None:
        if self._waiting and not self._at_work and not self._looking:
            self._looking, self._waiting = self._waiting, set()
        self._changed.set()
        self._changed = asyncio.Event()
