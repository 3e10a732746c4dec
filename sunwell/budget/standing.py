"""Where a ceiling stands: parts that add up to it, and the sentences that say so."""

from decimal import Decimal

import attrs

_ZERO = Decimal(0)
_UNITS = {"tokens": "tokens", "new_tokens": "new tokens", "calls": "calls", "turns": "turns"}


@attrs.frozen
class Standing:
    """A ceiling and what is booked under it, all in one unit.

    ``spent``, ``unconfirmed``, ``reserved`` and ``left`` add up to ``ceiling``, unless more is booked than
    the ceiling allows: then ``left`` is 0.
    """

    limit: str
    """``usd``, ``tokens``, ``new_tokens``, ``calls`` or ``turns``."""
    ceiling: Decimal
    spent: Decimal
    """What was billed for certain."""
    unconfirmed: Decimal = _ZERO
    """The most that was billed for calls whose usage never came."""
    in_flight: Decimal = _ZERO
    """The most that calls in flight can be billed for."""
    kept: Decimal = _ZERO
    """What is kept for closing calls, if so much is free."""
    account: str = "run"

    @property
    def booked(self) -> Decimal:
        """What is spent, unconfirmed or in flight."""
        return self.spent + self.unconfirmed + self.in_flight

    @property
    def reserved(self) -> Decimal:
        """What calls in flight hold, and what is kept for closing calls."""
        return self.in_flight + max(_ZERO, min(self.kept, self.ceiling - self.booked))

    @property
    def left(self) -> Decimal:
        """What an ordinary call may still take."""
        return max(_ZERO, self.ceiling - self.spent - self.unconfirmed - self.reserved)

    def amount(self, value: Decimal) -> str:
        """Return *value* with its unit; dollars have all their digits, so that parts add up."""
        text = f"{value:f}"
        if "." in text:
            text = text.rstrip("0").rstrip(".")
        if self.limit == "usd":
            whole, _, digits = text.partition(".")
            return f"${int(whole):,}.{digits:0<2}" if digits else f"${int(whole):,}"
        unit = _UNITS[self.limit]
        return f"{int(value):,} {unit[:-1] if value == 1 else unit}"

    @property
    def name(self) -> str:
        """The ceiling in words: ``the budget of $0.50``, ``the budget of 5 calls of run/task-0``."""
        whose = "" if self.account == "run" else f" of {self.account}"
        return f"the budget of {self.amount(self.ceiling)}{whose}"

    def parts(self) -> str:
        """Return the parts in words, and by how much they exceed the ceiling; parts of 0 are left out."""
        parts = [f"{self.amount(self.spent)} spent"]
        if self.unconfirmed:
            parts.append(f"{self.amount(self.unconfirmed)} unconfirmed")
        if self.in_flight:
            parts.append(f"{self.amount(self.in_flight)} reserved for calls in flight")
        if self.reserved > self.in_flight:
            parts.append(f"{self.amount(self.reserved - self.in_flight)} kept for closing calls")
        over = self.booked - self.ceiling
        return ", ".join(
            [*parts, f"{self.amount(over)} over" if over > 0 else f"{self.amount(self.left)} left"]
        )

    def refusal(self, needed: Decimal) -> str:
        """Return why a call that may need so much is not made, and what to do."""
        if self.booked > self.ceiling:
            over = self.amount(self.booked - self.ceiling)
            state = f"{self.name} is exceeded by {over}: {self.parts()}"
        elif self.spent + self.unconfirmed >= self.ceiling:  # what is reserved may come back
            state = f"{self.name} is used up: {self.parts()}"
        else:
            need = self.amount(needed)
            state = f"the next call does not fit into {self.name}: it may need {need} ({self.parts()})"
        return f"{state}; raise the budget or ask for less"
