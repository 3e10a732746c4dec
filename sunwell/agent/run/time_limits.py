"""Time limits of a run that stand still while it waits for a person."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import attrs

from sunwell.budget.protocol import Ledger
from sunwell.journal.protocol import Journal
from sunwell.journal.waits import Paused, PauseReason

_NOTED_SECONDS = 0.1


@attrs.define(eq=False)
class TimeLimits:
    """The time limits that hold at this moment in one run.

    Somebody who is asked for an approval takes the time that it takes, and that is not the work's: all
    limits stand still meanwhile, those of workers beside it as well. A pause that anybody would notice is
    on record, so that a run that is taken up has as much time left as it had.
    """

    ledger: Ledger
    journal: Journal
    _open: dict[asyncio.Timeout, Callable[[], float | None]] = attrs.field(factory=dict, init=False)
    _pauses: int = attrs.field(default=0, init=False)

    @asynccontextmanager
    async def limit(self, left: Callable[[], float | None]) -> AsyncGenerator[None, None]:
        """Raise :exc:`TimeoutError` where the body takes longer than *left* says, pauses apart.

        *left* returns the seconds from now on, ``None`` for no limit; it is asked again after a pause.
        """
        async with asyncio.timeout(None if self._pauses else left()) as timeout:
            self._open[timeout] = left
            try:
                yield
            finally:
                del self._open[timeout]

    @asynccontextmanager
    async def pause(self, reason: PauseReason) -> AsyncGenerator[None, None]:
        """Let no time pass while the body waits for a person."""
        self._pauses += 1
        self.ledger.pause()
        self._set_timers()
        try:
            yield
        finally:
            self._pauses -= 1
            seconds = self.ledger.go_on()
            self._set_timers()
            if seconds >= _NOTED_SECONDS:
                await self.journal.append(Paused(reason, seconds, time.time()), durable=False)

    def _set_timers(self) -> None:
        now = asyncio.get_running_loop().time()
        for timeout, left in self._open.items():
            if not timeout.expired():
                seconds = None if self._pauses else left()
                timeout.reschedule(None if seconds is None else now + seconds)
