"""One limit of one account: what is booked on it, and what of it must stay free."""

from decimal import Decimal
from typing import Any, Generic, TypeVar

import attrs

N = TypeVar("N", int, Decimal)

_CORNER = 20


def _zero(gauge: Any) -> Any:
    return gauge.zero


_nothing: Any = attrs.Factory(_zero, takes_self=True)


@attrs.define(eq=False)
class Gauge(Generic[N]):
    """Bookings under one ceiling. All amounts are in the unit of ``zero``: US dollars or a count.

    ``own`` is the closing reserve of this account. The reserves of accounts below are known by
    their sum and by the largest of them: an ordinary claim must always leave the largest free,
    and all of them once less than a twentieth of the ceiling is unbooked. So a crowd of workers,
    each with a reserve, cannot lock up a ceiling that they share.
    """

    zero: N
    ceiling: N | None = None
    four_fifths: N = _nothing
    """Of the ceiling, rounded up."""
    spent: N = _nothing
    """Settled and uncertain together."""
    reserved: N = _nothing
    uncertain: N = _nothing
    own: N = _nothing
    below: N = _nothing
    largest: N = _nothing
    _reserves: dict[N, int] = attrs.field(factory=dict, init=False)

    @property
    def settled(self) -> N:
        """What was billed for certain."""
        return self.spent - self.uncertain

    @property
    def booked(self) -> N:
        """Settled, uncertain and reserved together."""
        return self.spent + self.reserved

    def limit_to(self, ceiling: N | None) -> None:
        """Replace the ceiling; the bookings stay."""
        self.ceiling = ceiling
        if ceiling is not None:
            exact = ceiling * 4
            self.four_fifths = exact / 5 if isinstance(exact, Decimal) else -(-exact // 5)

    def room(self, later: bool) -> N:
        """Return what an ordinary claim may take; *later*: if all that is reserved came back.

        Below zero where closing calls have eaten into the reserves. Only where there is a ceiling.
        """
        assert self.ceiling is not None
        free = self.ceiling - self.spent
        if not later:
            free -= self.reserved
        if not self.below:
            return free - self.own
        return free - self.own - (self.largest if free * _CORNER >= self.ceiling else self.below)

    def closing_room(self, later: bool, reserve: N, own: bool) -> N:
        """Return what a closing claim with this *reserve* may take: it, and the ordinary room.

        The closing reserve of an account above the claim's *own* stays free.
        """
        assert self.ceiling is not None
        free = self.ceiling - self.spent
        if not later:
            free -= self.reserved
        most = free if own else free - self.own
        return min(most, max(self.zero, self.room(later)) + reserve)

    def keep(self, amount: N) -> None:
        """Book the *amount* that was held as uncertain."""
        self.reserved -= amount
        self.spent += amount
        self.uncertain += amount

    def add(self, settled: N, uncertain: N) -> None:
        """Book what no reservation was made for."""
        self.spent += settled + uncertain
        self.uncertain += uncertain

    def replace_below(self, old: N, new: N) -> None:
        """Note that the closing reserve of an account below went from *old* to *new*."""
        reserves = self._reserves
        self.below += new - old
        if old:
            reserves[old] -= 1
            if not reserves[old]:
                del reserves[old]
        if new:
            reserves[new] = reserves.get(new, 0) + 1
        if new >= self.largest:
            self.largest = new
        elif old == self.largest and old not in reserves:
            self.largest = max(reserves, default=self.zero)
