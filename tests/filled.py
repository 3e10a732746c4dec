"""Values of attrs classes that are made from their types, with one text in every place that takes a text."""

import types
import typing
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import attrs

PLAIN: dict[Any, Any] = {int: 3, float: 1.5, bool: True, Decimal: Decimal("0.5"), type(None): None, Any: [1]}


def filled(kind: Any, text: str, choice: int = 0, depth: int = 0) -> Any:
    """Return a value of the type *kind*: *text* in all its texts, one element in each of its lists.

    Of the words of a literal, and of what is true, false or unknown, the one number *choice* is taken.
    """
    if attrs.has(kind):
        if depth > 6:  # a class that contains itself
            return None
        hints = typing.get_type_hints(kind)
        given = {
            field.name: filled(hints[field.name], text, choice, depth + 1)
            for field in attrs.fields(kind)
            if field.init and (field.default is attrs.NOTHING or field.name not in UNTYPED)
        }
        return kind(**given)
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Literal:
        return parts[choice % len(parts)]
    if kind == bool | None:
        return (True, False, None)[choice % 3]
    if origin in (Union, types.UnionType):
        return filled(next(part for part in parts if part is not type(None)), text, choice, depth)
    if origin is tuple:
        found = parts[:1] if parts[-1] is Ellipsis else parts
        return tuple(filled(part, text, choice, depth + 1) for part in found)
    if origin is not None and issubclass(origin, Mapping):
        return {text: filled(parts[1], text, choice, depth + 1)}
    if kind is str or kind is Path:
        return kind(text)
    return PLAIN[kind]


UNTYPED = {"workers", "metadata"}
"""Fields that a report does not print."""
