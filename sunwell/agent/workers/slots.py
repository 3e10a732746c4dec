"""Slots: how many workers of a whole tree may make progress at once, first come, first served."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import attrs


@attrs.define(eq=False)
class Slots:
    """A bounded number of slots and one line of those who wait for one.

    Never more than ``limit`` are taken, and never is one free while somebody waits: a slot that is
    given back goes to the first in the line in the same step. On one event loop.
    """

    limit: int = attrs.field(validator=attrs.validators.ge(1))
    taken: int = attrs.field(default=0, init=False)
    """Slots that somebody has, or has been handed and not yet noticed."""
    _line: "deque[asyncio.Future[None]]" = attrs.field(factory=deque, init=False)

    @property
    def waiting(self) -> int:
        """How many wait for a slot."""
        return sum(not place.done() for place in self._line)

    async def take(self) -> None:
        """Wait for a slot and take it. Who is cancelled while waiting has none."""
        if self.taken < self.limit:  # then nobody waits: a free slot is handed on at once
            self.taken += 1
            return
        place = asyncio.get_running_loop().create_future()
        self._line.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if not place.cancelled():
                # Another worker's ``give`` handed us its slot, and then somebody cancelled us before we ran.
                # The slot counts as ours, so nobody else would pass it on.
                self.give()
            elif place in self._line:
                self._line.remove(place)
            raise

    def give(self) -> None:
        """Give a slot back: to the first who waits, else to nobody."""
        while self._line:
            place = self._line.popleft()
            if not place.done():  # done: cancelled earlier in this step, and its task has not run yet
                # ``taken`` stays: if it went down until the other one runs, a newcomer that runs first would
                # take the slot as well, and one too many would work.
                place.set_result(None)
                return
        self.taken -= 1


def _tell_nobody() -> None:
    pass


@attrs.define(eq=False)
class Seat:
    """One worker's hold on a slot. While it waits for other workers it has none.

    Several calls of one worker may wait side by side: the slot is given up with the first and taken
    again after the last, at the end of the line; not if the worker is over meanwhile.
    """

    slots: Slots
    when_given_up: Callable[[], None] = attrs.field(default=_tell_nobody, repr=False)
    """Called each time the slot is given up: another worker may begin in it."""
    _away: int = attrs.field(default=0, init=False)
    _is_held: bool = attrs.field(default=False, init=False)
    _is_over: bool = attrs.field(default=False, init=False)

    @property
    def is_given_up(self) -> bool:
        """Whether the worker waits for other workers."""
        return self._away > 0

    async def sit(self) -> None:
        """Take the slot."""
        await self.slots.take()
        self._is_held = True

    def leave(self) -> None:
        """Give the slot back for good; doing it twice is fine."""
        self._is_over = True
        self._give()

    def _give(self) -> None:
        if self._is_held:
            self._is_held = False
            self.slots.give()

    @asynccontextmanager
    async def given_up(self) -> AsyncIterator[None]:
        """Be without the slot inside, and have it again outside."""
        self._away += 1
        if self._away == 1:
            self._give()
            self.when_given_up()
        try:
            yield
        finally:
            self._away -= 1
            # Tool calls of one turn wait side by side: only the last to return needs the slot again. A worker
            # that was cancelled meanwhile has left for good, see ``Dispatcher.cancel``.
            if self._away == 0 and not self._is_over:
                await self.sit()
