"""Types of parameters as strict JSON schemas, and values back as those types."""

import types
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from sunwell.tools.schema import Schema, closed, nullable

Convert = Callable[[Any], Any]
_SIMPLE: dict[Any, str] = {str: "string", int: "integer", float: "number", bool: "boolean"}
_NAMES = {str: "string", bool: "boolean", int: "integer", type(None): "null"}
_SCALAR: Schema = {
    "anyOf": [{"type": "string"}, {"type": "number"}, {"type": "boolean"}, {"type": "null"}],
}
_ANYTHING = (Any, object)


def schema_of(annotation: Any) -> tuple[Schema, Convert]:
    """Return the schema of *annotation* and the function that turns JSON into such a value.

    Raises ``TypeError`` for what a strict schema cannot say.
    """
    if annotation in _SIMPLE:
        return {"type": _SIMPLE[annotation]}, float if annotation is float else _same
    if annotation in _ANYTHING:
        return dict(_SCALAR), _same
    origin, inside = get_origin(annotation) or annotation, get_args(annotation)
    if origin is Annotated:
        return schema_of(inside[0])
    if origin is Literal:
        return _literal(inside), _same
    if origin in (Union, types.UnionType):
        return _union(inside)
    if origin in (list, Sequence, set, frozenset):
        return _array(inside[0] if inside else Any, origin)
    if origin is tuple and len(inside) == 2 and inside[1] is Ellipsis:
        return _array(inside[0], tuple)
    if origin in (dict, Mapping) and (not inside or inside[0] is str):
        return _pairs(inside[1] if inside else Any)
    raise TypeError(
        f"{annotation!r} has no strict schema; use str, int, float, bool, Literal, list[…], dict[str, …] "
        "or one of these or None"
    )


def _same(value: Any) -> Any:
    return value


def _literal(values: tuple[Any, ...]) -> Schema:
    kinds = list(dict.fromkeys(_NAMES.get(type(value), "") for value in values))
    if "" in kinds:
        raise TypeError(f"Literal{list(values)!r} has no strict schema; use strings, integers or booleans")
    return {"type": kinds[0] if len(kinds) == 1 else kinds, "enum": list(values)}


def _union(members: tuple[Any, ...]) -> tuple[Schema, Convert]:
    rest = [member for member in members if member is not type(None)]
    schemas = [schema_of(member) for member in rest]
    if len(schemas) > 1 and any(convert is not _same and convert is not float for _, convert in schemas):
        raise TypeError(f"{members!r} has no strict schema; a union may join simple types only")
    convert = schemas[0][1] if len(schemas) == 1 else _same
    schema = schemas[0][0] if len(schemas) == 1 else {"anyOf": [schema for schema, _ in schemas]}
    if len(rest) == len(members):
        return schema, convert
    return nullable(schema), lambda value: None if value is None else convert(value)


def _array(item: Any, kind: Any) -> tuple[Schema, Convert]:
    schema, convert = schema_of(item)
    make = list if kind is Sequence else kind
    return {"type": "array", "items": schema}, lambda value: make(convert(one) for one in value)


def _pairs(item: Any) -> tuple[Schema, Convert]:
    """A strict object has fixed keys, so a dict travels as a list of pairs."""
    schema, convert = schema_of(item)
    pair = closed({"key": {"type": "string"}, "value": schema})

    def to_dict(value: list[dict[str, Any]]) -> dict[str, Any]:
        return {one["key"]: convert(one["value"]) for one in value}

    return {"type": "array", "items": pair}, to_dict
