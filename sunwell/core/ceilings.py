"""The ceilings of a run or a worker."""

import math
from decimal import Decimal, InvalidOperation
from typing import Any

import attrs

from sunwell.errors import ConfigurationError


def _not_negative(_: object, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise ConfigurationError(f"the budget's {attribute.name} cannot be {value!r}: give a number")
    if not _is_finite(value) or value < 0:
        raise ConfigurationError(
            f"the budget's {attribute.name} cannot be {value}: a ceiling is zero or more, and None is none"
        )


def _is_finite(value: float | Decimal) -> bool:
    return isinstance(value, int) or (
        value.is_finite() if isinstance(value, Decimal) else math.isfinite(value)
    )


def _whole(instance: object, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    _not_negative(instance, attribute, value)
    if value is not None and type(value) is not int:
        raise ConfigurationError(f"the budget's {attribute.name} cannot be {value}: give a whole number")


def _decimal(value: Decimal | float | str | None) -> Decimal | None:
    if value is None or isinstance(value, Decimal):
        return value
    try:
        return Decimal(str(value))
    except InvalidOperation:
        raise ConfigurationError(f"the budget's usd cannot be {value!r}: give an amount, as 0.50") from None


def _integer(value: float | None) -> int | None:
    """Return *value* as ``int`` where it is a whole ``float``, as 1e6 is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value  # type: ignore[return-value]


@attrs.frozen
class Budget:
    """Ceilings of a run or a worker; ``None`` is no ceiling. A ceiling is not money set aside.

    Raises :exc:`~sunwell.errors.ConfigurationError` for what is no number, negative or not finite.
    """

    usd: Decimal | None = attrs.field(default=None, converter=_decimal, validator=_not_negative)
    tokens: int | None = attrs.field(default=None, converter=_integer, validator=_whole)
    """Input and output of all calls together."""
    calls: int | None = attrs.field(default=None, converter=_integer, validator=_whole)
    turns: int | None = attrs.field(default=None, converter=_integer, validator=_whole)
    seconds: float | None = attrs.field(default=None, validator=_not_negative)
    """Wall time of the run, without the time that a resumed run lay still."""
