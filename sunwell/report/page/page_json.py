"""The data of a page as JSON values, and the difference between two of them."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, get_origin

import attrs

from sunwell.report.figures import exact
from sunwell.report.page.page_data import PageData, Patch

_MAPPINGS = frozenset(field.name for field in attrs.fields(PageData) if get_origin(field.type) is Mapping)


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


def patch(before: PageData, after: PageData) -> Patch:
    """Return, as JSON values, what makes a page of *before* one of *after*.

    Sections stand in it whole if they changed. Of a mapping the entries stand in it that changed or are new,
    and null for each that is gone. Nothing changed: it is empty.
    """
    changed: dict[str, Any] = {}
    for field in attrs.fields(PageData):
        old, new = getattr(before, field.name), getattr(after, field.name)
        if old is new:
            continue
        if isinstance(new, Mapping):
            entries: dict[str, Any] = {
                key: page_json(value)
                for key, value in new.items()
                if key not in old or (old[key] is not value and old[key] != value)
            }
            entries |= dict.fromkeys(key for key in old if key not in new)
            if entries:
                changed[field.name] = entries
        elif old != new:
            changed[field.name] = page_json(new)
    return changed


def patched(page: Mapping[str, Any], changes: Patch) -> dict[str, Any]:
    """Return the JSON values of a page after *changes*, as the page itself applies them."""
    result = dict(page)
    for name, value in changes.items():
        if name in _MAPPINGS:
            entries = {**page[name], **value}
            result[name] = {key: entry for key, entry in entries.items() if entry is not None}
        else:
            result[name] = value
    return result
