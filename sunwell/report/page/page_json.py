"""The data of a page as JSON values."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import attrs

from sunwell.report.figures import exact


def page_json(data: Any) -> Any:
    """Return *data*, a class of a page or a part of one, as JSON values.

    Amounts are texts with all their digits and without an exponent. What is unknown is null.
    """
    if isinstance(data, Decimal):
        return exact(data)
    if isinstance(data, str | int | float) or data is None:
        return data
    if isinstance(data, Mapping):
        return {key: page_json(value) for key, value in data.items()}
    if isinstance(data, tuple | list):
        return [page_json(value) for value in data]
    return {field.name: page_json(getattr(data, field.name)) for field in attrs.fields(type(data))}
