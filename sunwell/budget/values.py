"""Ceilings, claims on them and reservations under them."""

from decimal import Decimal
from typing import Any

import attrs


def _not_negative(_: object, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    if value is not None and not value >= 0:  # also refuses NaN
        raise ValueError(f"{attribute.name} cannot be {value}: a ceiling is zero or more")


def _decimal(value: Decimal | float | str | None) -> Decimal | None:
    return value if value is None or isinstance(value, Decimal) else Decimal(str(value))


@attrs.frozen
class Budget:
    """Ceilings of a run or a worker; ``None`` is no ceiling. A ceiling is not money set aside."""

    usd: Decimal | None = attrs.field(default=None, converter=_decimal, validator=_not_negative)
    tokens: int | None = attrs.field(default=None, validator=_not_negative)
    """Input and output of all calls together."""
    calls: int | None = attrs.field(default=None, validator=_not_negative)
    turns: int | None = attrs.field(default=None, validator=_not_negative)
    seconds: float | None = attrs.field(default=None, validator=_not_negative)
    """Wall time of the run, without the time that a resumed run lay still."""


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
