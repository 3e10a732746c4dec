"""The ceilings of a run or a worker."""

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
