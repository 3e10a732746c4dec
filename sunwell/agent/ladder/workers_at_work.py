"""Workers that share a folder: who is still at work, and when all of them pause."""

import asyncio

import attrs

from sunwell.agent.workers.slots import Seat


@attrs.define(eq=False)
class WorkersAtWork:
    """The workers of a batch. A check that failed while others were at work is made again when all pause."""

    _at_work: set[str] = attrs.field(factory=set, init=False)
    _paused: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)

    def expect(self, worker_id: str) -> None:
        """Count *worker_id* as at work, also while it still waits for a slot."""
        self._at_work.add(worker_id)

    def others(self, worker_id: str) -> tuple[str, ...]:
        """Return those that are at work besides *worker_id*, sorted."""
        return tuple(sorted(self._at_work - {worker_id}))

    def left(self, worker_id: str) -> None:
        """Note that *worker_id* has ended."""
        self._at_work.discard(worker_id)
        self._wake()

    async def all_pause(self, worker_id: str, seat: Seat) -> None:
        """Return when no sibling is at work: all have ended, or wait here, too. The slot is free meanwhile.

        Whoever returns counts as at work again. So all that waited go on together, and the next pause is
        after the next piece of work of each.
        """
        self._at_work.discard(worker_id)
        paused = self._paused
        self._wake()
        async with seat.given_up():
            await paused.wait()
        self._at_work.add(worker_id)

    def _wake(self) -> None:
        if not self._at_work:
            self._paused.set()
            self._paused = asyncio.Event()
