"""Time limits of a run that stand still while it waits for a person."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import attrs

from sunwell.budget.ledger_protocol import Ledger
from sunwell.journal.protocol import Journal
from sunwell.journal.records import Paused, PauseReason

_NOTED_SECONDS = 0.1


@attrs.define(eq=False)
class _Limit:
    """One limit: its own alarm decides whether the time is really up, since pauses move that moment."""

    scope: asyncio.Timeout
    left: Callable[[], float | None]
    alarm: asyncio.TimerHandle | None = None


@attrs.define(eq=False)
class TimeLimits:
    """The time limits that hold at this moment in one run.

    Somebody who is asked for an approval takes the time that it takes, and that is not the work's: all
    limits stand still meanwhile, those of workers beside it as well. A pause that anybody would notice is
    on record, so that a run that is taken up has as much time left as it had.
    """

    ledger: Ledger
    journal: Journal
    _pauses: int = attrs.field(default=0, init=False)
    _rung: list[_Limit] = attrs.field(factory=list, init=False)
    """Limits whose alarms went off in a pause. Few do, while pauses are many: a pause looks at no other."""

    @asynccontextmanager
    async def limit(self, left: Callable[[], float | None]) -> AsyncGenerator[None, None]:
        """Raise :exc:`TimeoutError` where the body takes longer than *left* says, pauses apart.

        *left* returns the seconds from now on, ``None`` for no limit; it is asked again when they are over.
        """
        seconds = left()
        is_up = seconds is not None and seconds <= 0 and not self._pauses
        async with asyncio.timeout(0 if is_up else None) as scope:
            limit = _Limit(scope, left)
            if not is_up:
                self._set(limit, seconds)
            try:
                yield
            finally:
                if limit.alarm is not None:
                    limit.alarm.cancel()
                if limit in self._rung:
                    self._rung.remove(limit)

    @asynccontextmanager
    async def pause(self, reason: PauseReason) -> AsyncGenerator[None, None]:
        """Let no time pass while the body waits for a person."""
        self._pauses += 1
        self.ledger.pause()
        try:
            yield
        finally:
            self._pauses -= 1
            seconds = self.ledger.go_on()
            if not self._pauses:
                rung, self._rung = self._rung, []
                for limit in rung:
                    self._look(limit)
            if seconds >= _NOTED_SECONDS:
                await self.journal.append(Paused(reason, seconds, time.time()), durable=False)

    def _set(self, limit: _Limit, seconds: float | None) -> None:
        if seconds is not None:
            limit.alarm = asyncio.get_running_loop().call_later(seconds, self._look, limit)

    def _look(self, limit: _Limit) -> None:
        seconds = limit.left()
        if self._pauses:
            self._rung.append(limit)
        elif seconds is not None and seconds <= 0:
            limit.scope.reschedule(asyncio.get_running_loop().time())
        else:
            self._set(limit, seconds)
