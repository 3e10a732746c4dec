"""The purse of a process: what all runs of a server may spend together."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from decimal import Decimal
from typing import Protocol

import attrs

from sunwell.errors import ConfigurationError
from sunwell.report.figures import dollars


class PurseEmpty(ConfigurationError):
    """Nothing is left, and nobody can give anything back."""


@attrs.define(eq=False)
class Portion:
    """What one run has taken out of the purse, in US dollars."""

    usd: Decimal
    """What the run may spend."""
    spent_usd: Decimal | None = Decimal(0)
    """What it is known to have spent at most; ``None``: not known, so all of it counts as spent."""
    told: str = ""
    """Why it is less than what was wanted, in a sentence for the client; empty: it is not."""


class Purse(Protocol):
    """What runs take their caps out of before they begin."""

    @property
    def total_usd(self) -> Decimal:
        """What all runs may spend together."""
        ...

    @property
    def spent_usd(self) -> Decimal:
        """What runs that have ended have spent, or may have."""
        ...

    @property
    def out_usd(self) -> Decimal:
        """What runs that go on have taken."""
        ...

    @property
    def left_usd(self) -> Decimal:
        """What nobody has spent or taken."""
        ...

    def portion(self, wanted_usd: Decimal) -> AbstractAsyncContextManager[Portion]:
        """Take *wanted_usd* out while the body runs, or what is left if that is less.

        Raises a :exc:`~sunwell.errors.SunwellError` with a sentence if nothing is left.
        """
        ...


@attrs.define(eq=False)
class ProcessPurse:
    """Dollars for all runs of one process: a run takes its cap out before it begins.

    What is spent and what is out are together never more than the total, as long as no run spends more than
    it took; if one does, because a bill was higher than its reservation, that is counted in full.
    """

    total_usd: Decimal
    whose: str = "all runs of this server (--total)"
    """Whose runs they are, and the option that has the total; the subject of a sentence."""
    spent_usd: Decimal = attrs.field(default=Decimal(0), init=False)
    """What runs that have ended have spent, or may have."""
    out_usd: Decimal = attrs.field(default=Decimal(0), init=False)
    """What runs that go on have taken."""
    _turn: asyncio.Lock = attrs.field(factory=asyncio.Lock, init=False)
    """Held by the one who waits longest: a large portion must not be passed by small ones without end."""
    _given_back: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)

    @property
    def left_usd(self) -> Decimal:
        """What nobody has spent or taken."""
        return max(Decimal(0), self.total_usd - self.spent_usd - self.out_usd)

    @asynccontextmanager
    async def portion(self, wanted_usd: Decimal) -> AsyncIterator[Portion]:
        """Take *wanted_usd* out while the body runs, or what is left if that is less.

        It waits while runs that go on may give back what is missing. Raises :exc:`PurseEmpty` if nothing is
        left and nobody can give anything back.
        """
        async with self._turn:
            usd = await self._free(wanted_usd)
            taken = Portion(usd, told="" if usd >= wanted_usd else self._shortage(usd))
            self.out_usd += taken.usd
        try:
            yield taken
        finally:
            self.out_usd -= taken.usd
            self.spent_usd += taken.usd if taken.spent_usd is None else taken.spent_usd
            self._given_back.set()

    def _shortage(self, left_usd: Decimal) -> str:
        left, total = dollars(left_usd), dollars(self.total_usd)
        about = f"only {left} was left of the {total} that {self.whose} may spend together"
        return f"{about}, so the cap of this run was lower"

    async def _free(self, wanted_usd: Decimal) -> Decimal:
        while True:
            left = self.left_usd
            if left >= wanted_usd or (left > 0 and not self.out_usd):
                return min(left, wanted_usd)
            if not self.out_usd:
                raise PurseEmpty(
                    f"not begun, and nothing was spent: {self.whose} may spend "
                    f"{dollars(self.total_usd)} together, and that is used up; the person who runs the "
                    "server can start it again"
                )
            self._given_back.clear()
            await self._given_back.wait()
