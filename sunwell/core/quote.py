"""What a task would cost, before any of it is spent."""

from decimal import Decimal

import attrs


@attrs.frozen
class Side:
    """One way to do a task, priced. All figures are estimates but ``worst_usd``.

    That is a bound under the limits that the quote's assumptions name.
    """

    name: str
    """``delegated``, ``direct``, or ``smart-low-effort``."""
    low_usd: Decimal | None
    expected_usd: Decimal | None
    """``None`` where a price is unknown."""
    worst_usd: Decimal | None


@attrs.frozen
class Quote:
    """Both ways to do a task, side by side, with what was assumed."""

    delegated: Side
    direct: Side
    alternatives: tuple[Side, ...] = ()
    lens_tokens: int = 0
    """Input and output of writing the lens, as far as it goes off the budget."""
    assumptions: tuple[str, ...] = ()
    price_date: str = ""

    @property
    def delegation_is_dearer(self) -> bool:
        """Whether delegating is known to cost at least what the cheapest other way costs."""
        ours = self.delegated.expected_usd
        others = [side.expected_usd for side in (self.direct, *self.alternatives)]
        known = [usd for usd in others if usd is not None]
        return ours is not None and bool(known) and ours >= min(known)
