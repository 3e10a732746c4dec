"""Time limits of a run that stand still while it waits for a person."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import attrs

from sunwell.budget.ledger_protocol import Ledger
from sunwell.core.alarms import Alarms, Within, alarms_of
from sunwell.journal.protocol import Journal
from sunwell.journal.records import Paused, PauseReason

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
    _pauses: int = attrs.field(default=0, init=False)
    _rung: list["_Limit"] = attrs.field(factory=list, init=False)
    """Limits whose alarms went off in a pause. Few do, while pauses are many: a pause looks at no other."""

    def limit(self, left: Callable[[], float | None]) -> AbstractAsyncContextManager[None]:
        """Raise :exc:`TimeoutError` where the body takes longer than *left* says, pauses apart.

        *left* returns the seconds from now on, ``None`` for no limit; it is asked again when they are over.
        """
        return _Limit(self, left)

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
                    limit.look()
            if seconds >= _NOTED_SECONDS:
                await self.journal.append(Paused(reason, seconds, time.time()), durable=False)


@attrs.define(eq=False)
class _Limit:
    """One limit: its own alarm decides whether the time is really up, since pauses move that moment.

    A class of its own, since every turn has one: a generator takes several times as long.
    """

    _limits: TimeLimits
    _left: Callable[[], float | None]
    _scope: Within = attrs.field(init=False)
    _alarms: Alarms = attrs.field(init=False)
    _alarm: int = attrs.field(default=-1, init=False)

    async def __aenter__(self) -> None:
        seconds = self._left()
        is_up = seconds is not None and seconds <= 0 and not self._limits._pauses
        self._scope = Within(0.0 if is_up else None)
        self._scope.__enter__()
        if not is_up:
            self._set(seconds)

    async def __aexit__(self, *error: Any) -> None:
        if self._alarm >= 0:
            self._alarms.drop(self._alarm)
        if self._limits._rung and self in self._limits._rung:
            self._limits._rung.remove(self)
        self._scope.__exit__(*error)

    def look(self) -> None:
        """Raise the error if the time is up, else set the alarm again; in a pause, wait for its end."""
        seconds = self._left()
        if self._limits._pauses:
            self._limits._rung.append(self)
        elif seconds is not None and seconds <= 0:
            self._scope.expire()
        else:
            self._set(seconds)

    def _set(self, seconds: float | None) -> None:
        if seconds is not None:
            loop = asyncio.get_running_loop()
            self._alarms = alarms_of(loop)
            self._alarm = self._alarms.set(loop.time() + seconds, self.look)
