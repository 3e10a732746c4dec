"""What stands by a piece of work that hands out others."""

from typing import Protocol

from sunwell.agent.work.ended import Ended
from sunwell.core.task import StopReason


class Companion(Protocol):
    """Tells the model where it stands, and knows when it has declared its answer."""

    async def remark(self, turn: int) -> str:
        """Return what is said at the end of the prompt of *turn*; the same text each time it is asked."""
        ...

    def declared(self) -> Ended | None:
        """Return the end where the model has declared one."""
        ...

    async def wind_up(self, reason: StopReason, turn: int, most_bytes: int) -> str:
        """End what was handed out, since a limit is met; return what came of it, for the closing call."""
        ...

    def partial(self) -> str:
        """Return an answer made of what is there; empty where there is nothing."""
        ...
