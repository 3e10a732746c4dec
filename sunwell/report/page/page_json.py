"""The values of a page as JSON values."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import attrs

from sunwell.report.figures import exact


def as_json(value: Any) -> Any:
    """Return *value* as JSON values: classes are objects, tuples lists, and amounts texts with all digits.

    Raises :exc:`TypeError` for anything that the classes of a page do not hold.
    """
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, Decimal):
        return exact(value)
    if isinstance(value, Mapping):
        return {name: as_json(one) for name, one in value.items()}
    if isinstance(value, tuple | list):
        return [as_json(one) for one in value]
    if attrs.has(type(value)):
        return {field.name: as_json(getattr(value, field.name)) for field in attrs.fields(type(value))}
    raise TypeError(f"a page cannot hold a {type(value).__name__}")
