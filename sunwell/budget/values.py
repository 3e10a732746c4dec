"""Ceilings, claims on them and reservations under them."""

from decimal import Decimal

import attrs

from sunwell.core.ceilings import Budget

__all__ = ["Amount", "Budget", "Claim", "Reservation"]


@attrs.frozen
class Claim:
    """The worst case of one attempt of a call."""

    input_tokens: int
    """Bound on what the provider can bill as input."""
    max_output_tokens: int
    least_output_tokens: int = 1
    """Where less output than this fits, the call is useless and is refused."""
    input_usd: Decimal | None = None
    """Price of the whole input at the dearest rate that can apply; ``None``: price unknown."""
    output_usd_per_token: Decimal | None = None
    closing: bool = False
    """Whether the call may use the closing reserve."""

    def most_usd(self, output_tokens: int) -> Decimal | None:
        """Return what the attempt costs at most with so much output; ``None`` where a price is unknown."""
        if self.input_usd is None or self.output_usd_per_token is None:
            return None
        return self.input_usd + self.output_usd_per_token * output_tokens


@attrs.frozen
class Reservation:
    """Room that one attempt holds until it is settled, kept or released."""

    id: int
    account: str
    tokens: int
    usd: Decimal | None
    max_output_tokens: int
    """What the claim asked for, or less where the ceilings allow only less."""


@attrs.frozen
class Amount:
    """What of an account is used: settled, uncertain and reserved, apart."""

    settled_usd: Decimal = Decimal(0)
    uncertain_usd: Decimal = Decimal(0)
    reserved_usd: Decimal = Decimal(0)
    settled_tokens: int = 0
    uncertain_tokens: int = 0
    reserved_tokens: int = 0
    calls: int = 0
    turns: int = 0
    seconds: float = 0.0
