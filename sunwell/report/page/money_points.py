"""The money of a run over time: a point for each record that changed an amount."""

from decimal import Decimal

import attrs

from sunwell.report.page.page_data import MoneyPoint

_BLOCK_POINTS = 256
_ZERO = Decimal(0)


@attrs.frozen
class CallMoney:
    """What one call holds of the cap, as the ledger counts it: what is unknown counts as it was reserved."""

    settled_usd: Decimal = _ZERO
    reserved_usd: Decimal = _ZERO
    unconfirmed_usd: Decimal = _ZERO


@attrs.define(eq=False)
class MoneyPoints:
    """Adds up what calls hold of the cap, and remembers each change. Changes come in order."""

    closing_usd: Decimal | None = None
    """Kept for closing calls; ``None``: no record said it."""
    _now: CallMoney = attrs.field(factory=CallMoney, init=False)
    _marked: tuple[CallMoney, Decimal] | None = attrs.field(default=None, init=False)
    _blocks: list[list[MoneyPoint]] = attrs.field(factory=list, init=False)
    _whole: dict[str, tuple[MoneyPoint, ...]] = attrs.field(factory=dict, init=False)
    """The blocks that are full."""

    def change(self, before: CallMoney, after: CallMoney) -> None:
        """Have a call hold *after* in place of *before*."""
        self._now = CallMoney(
            self._now.settled_usd - before.settled_usd + after.settled_usd,
            self._now.reserved_usd - before.reserved_usd + after.reserved_usd,
            self._now.unconfirmed_usd - before.unconfirmed_usd + after.unconfirmed_usd,
        )

    def mark(self, at: float) -> None:
        """Remember how it stands at the time *at*, if that has changed."""
        now, closing_usd = self._now, self.closing_usd or _ZERO
        if (now, closing_usd) == self._marked:
            return
        self._marked = (now, closing_usd)
        point = MoneyPoint(at, now.settled_usd, now.reserved_usd, now.unconfirmed_usd, closing_usd)
        if not self._blocks or len(self._blocks[-1]) == _BLOCK_POINTS:
            self._blocks.append([])
        self._blocks[-1].append(point)

    @property
    def reserved_usd(self) -> Decimal:
        """Reserved for attempts under way."""
        return self._now.reserved_usd

    def blocks(self) -> dict[str, tuple[MoneyPoint, ...]]:
        """Return all points, at most 256 in each block."""
        for number in range(len(self._whole), len(self._blocks) - 1):
            self._whole[str(number)] = tuple(self._blocks[number])
        last = {str(len(self._blocks) - 1): tuple(self._blocks[-1])} if self._blocks else {}
        return {**self._whole, **last}
