"""Types of tool parameters: the strict schema of each, and the conversion of JSON into its values."""

import collections.abc
import dataclasses
import datetime
import decimal
import enum
import pathlib
import types
import typing
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, NewType, Union, get_args, get_origin, get_type_hints

import attrs

from sunwell.errors import ToolError
from sunwell.tools.arguments import Schema, closed, fits, nullable, takes_null
from sunwell.tools.docstrings import read_docstring

Convert = Callable[[Any, str], Any]
"""Converts a JSON value that fits the schema; the string says where it is, such as ``order.items[2].due``.
It raises :exc:`~sunwell.errors.ToolError` with that place."""
_SIMPLE: dict[Any, str] = {str: "string", int: "integer", float: "number", bool: "boolean"}
_NAMES = {str: "string", bool: "boolean", int: "integer", type(None): "null"}
_SCALAR: Schema = {
    "anyOf": [{"type": "string"}, {"type": "number"}, {"type": "boolean"}, {"type": "null"}],
}
_ANYTHING = (Any, object)
_WRITTEN: dict[Any, str] = {
    datetime.datetime: "ISO 8601 date and time, such as 2026-11-29T10:30:00Z.",
    datetime.date: "ISO 8601 date, such as 2026-11-29.",
    datetime.time: "ISO 8601 time, such as 10:30:00.",
    datetime.timedelta: "ISO 8601 duration, such as PT1H30M or P2D.",
    uuid.UUID: "UUID, such as 123e4567-e89b-12d3-a456-426614174000.",
    decimal.Decimal: "Decimal number in a string, such as 12.50.",
}
"""Types that are written as strings, and how."""
_PATHS = (pathlib.Path, pathlib.PurePath, pathlib.PurePosixPath)
_LISTS: dict[Any, Any] = {
    list: list,
    set: set,
    frozenset: frozenset,
    Sequence: list,
    Iterable: list,
    collections.abc.Collection: list,
    collections.abc.MutableSequence: list,
    collections.abc.Set: frozenset,
}
_MAPPINGS = (dict, Mapping, collections.abc.MutableMapping)
_QUALIFIERS = tuple(
    getattr(typing, name) for name in ("Required", "NotRequired", "ReadOnly") if hasattr(typing, name)
)


def schema_of(annotation: Any, inside: tuple[Any, ...] = ()) -> tuple[Schema, Convert]:
    """Return the schema of *annotation*, and a function that converts JSON into such a value.

    *inside* are the classes that contain the annotation. Raises ``TypeError`` for a type that a strict
    schema cannot express.
    """
    if annotation in _SIMPLE:
        return {"type": _SIMPLE[annotation]}, _float if annotation is float else _same
    if annotation in _ANYTHING:
        return dict(_SCALAR), _same
    if annotation is None or annotation is type(None):
        return {"type": "null"}, _same
    if isinstance(annotation, NewType):
        return schema_of(annotation.__supertype__, inside)
    if type(annotation).__name__ == "TypeAliasType":
        return schema_of(annotation.__value__, inside)
    origin, members = get_origin(annotation) or annotation, get_args(annotation)
    if origin is Annotated:
        return _annotated(members[0], members[1:], inside)
    if origin in _QUALIFIERS:
        return schema_of(members[0], inside)
    if origin is Literal:
        return _literal(members), _same
    if origin in (Union, types.UnionType):
        return _union(members, inside)
    if origin in _LISTS:
        return _array(members[0] if members else Any, _LISTS[origin], inside)
    if origin is tuple:
        return _tuple(members, inside)
    if origin in _MAPPINGS and (not members or members[0] is str):
        return _pairs(members[1] if members else Any, inside)
    if annotation in _WRITTEN:
        return {"type": "string", "description": _WRITTEN[annotation]}, _reader(annotation)
    if annotation in _PATHS:
        return {"type": "string"}, lambda value, where: annotation(value)
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return _choices(annotation)
    if isinstance(annotation, type) and not members:
        fields = _fields_of(annotation)
        if fields is not None:
            return _object(annotation, fields, inside)
    raise TypeError(
        f"{annotation!r} has no strict schema; use str, int, float, bool, Literal, list[…], dict[str, …], "
        "an enum, a date, a dataclass, an attrs or pydantic class, a TypedDict, or one of these with | None"
    )


def _same(value: Any, where: str) -> Any:
    return value


def _float(value: Any, where: str) -> float:
    return float(value)


def _literal(values: tuple[Any, ...]) -> Schema:
    kinds = list(dict.fromkeys(_NAMES.get(type(value), "") for value in values))
    if "" in kinds:
        raise TypeError(f"Literal{list(values)!r} has no strict schema; use strings, integers or booleans")
    return {"type": kinds[0] if len(kinds) == 1 else kinds, "enum": list(values)}


def _choices(kind: type[enum.Enum]) -> tuple[Schema, Convert]:
    """Members are written by their values, or by their names if a value is no string, integer or boolean."""
    members = list(kind)
    by_value = all(type(_plain(one.value)) in (str, int, bool) for one in members)
    by_value = by_value and len({(type(one.value), one.value) for one in members}) == len(members)
    known = {_plain(one.value) if by_value else one.name: one for one in members}
    if not known:
        raise TypeError(f"the enum {kind.__name__} has no members")
    return _literal(tuple(known)), lambda value, where: known[value]


def _plain(value: Any) -> Any:
    """Return the value of a member of ``IntEnum`` or ``StrEnum`` as a plain one."""
    return value.value if isinstance(value, enum.Enum) else value


def _reader(kind: Any) -> Convert:
    def read(value: str, where: str) -> Any:
        import msgspec

        text = value.strip()
        if kind is datetime.datetime and len(text) > 10 and text[10] == " ":
            text = f"{text[:10]}T{text[11:]}"
        try:
            return msgspec.convert(text, kind)
        except msgspec.ValidationError:
            raise ToolError(f"{where} cannot be read, got {value[:100]!r}. Write: {_WRITTEN[kind]}") from None

    return read


def _annotated(annotation: Any, notes: tuple[Any, ...], inside: tuple[Any, ...]) -> tuple[Schema, Convert]:
    """A string among the notes, or the text that a note holds, describes the value; bounds are checked."""
    schema, convert = schema_of(annotation, inside)
    said = [text for text in map(_described, notes) if text]
    if said:
        schema = described(schema, " ".join(said))
    bounds = list(_bounds_in(notes))
    if not bounds:
        return schema, convert

    def checked(value: Any, where: str) -> Any:
        made = convert(value, where)
        for name, bound in bounds if made is not None else ():
            if not _BOUNDS[name](made, bound):
                raise ToolError(f"{where} must be {_SAID[name].format(bound)}, got {str(value)[:100]!r}")
        return made

    return schema, checked


def _described(note: Any) -> str:
    if isinstance(note, str):
        return note
    for name in ("description", "documentation"):
        text = getattr(note, name, None)
        if isinstance(text, str):
            return text
    return ""


_BOUNDS: dict[str, Callable[[Any, Any], bool]] = {
    "gt": lambda value, bound: value > bound,
    "ge": lambda value, bound: value >= bound,
    "lt": lambda value, bound: value < bound,
    "le": lambda value, bound: value <= bound,
    "min_length": lambda value, bound: len(value) >= bound,
    "max_length": lambda value, bound: len(value) <= bound,
}
_SAID = {
    "gt": "more than {}",
    "ge": "at least {}",
    "lt": "less than {}",
    "le": "at most {}",
    "min_length": "of length {} or more",
    "max_length": "of length {} or less",
}


def _bounds_in(notes: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    for note in notes:
        if isinstance(note, str):
            continue
        for name in _BOUNDS:
            bound = getattr(note, name, None)
            if bound is not None:
                yield name, bound
        inner = getattr(note, "metadata", None)
        if isinstance(inner, list | tuple):
            yield from _bounds_in(inner)


def _union(members: tuple[Any, ...], inside: tuple[Any, ...]) -> tuple[Schema, Convert]:
    rest = [member for member in members if member is not type(None)]
    schemas = [schema_of(member, inside) for member in rest]
    if len(schemas) == 1:
        schema, convert = schemas[0]
    else:
        if not _are_distinct(schemas):
            raise TypeError(
                f"{members!r} has no strict schema; a union may contain only simple types and types that "
                "differ in JSON: one list, one string, objects with different fields"
            )
        schema, convert = {"anyOf": [schema for schema, _ in schemas]}, _first_fitting(schemas)
    if len(rest) == len(members):
        return schema, convert
    return nullable(schema), lambda value, where: None if value is None else convert(value, where)


def _are_distinct(schemas: list[tuple[Schema, Convert]]) -> bool:
    """Whether JSON shows which of *schemas* a value is for, as far as that matters for its conversion."""
    seen: set[Any] = set()
    for schema, convert in schemas:
        kinds = schema.get("type", "any")
        for kind in [kinds] if isinstance(kinds, str) else kinds:
            key = frozenset(schema.get("properties", ())) if kind == "object" else kind
            plain = convert is _same or convert is _float
            if key in seen or ("any" in (key, *seen) and seen):
                return all(one is _same or one is _float for _, one in schemas) and plain
            seen.add(key)
    return True


def _first_fitting(schemas: list[tuple[Schema, Convert]]) -> Convert:
    def convert(value: Any, where: str) -> Any:
        for schema, one in schemas:
            if fits(value, schema):
                return value if one is _float and type(value) is int else one(value, where)
        return value

    return convert


def _array(item: Any, make: Any, inside: tuple[Any, ...]) -> tuple[Schema, Convert]:
    schema, convert = schema_of(item, inside)

    def made(value: list[Any], where: str) -> Any:
        items = [convert(one, f"{where}[{index}]") for index, one in enumerate(value)]
        try:
            return make(items)
        except TypeError as error:  # what is not hashable cannot be in a set
            raise ToolError(f"{where}: {error}") from None

    return {"type": "array", "items": schema}, made


def _tuple(members: tuple[Any, ...], inside: tuple[Any, ...]) -> tuple[Schema, Convert]:
    if len(members) == 2 and members[1] is Ellipsis:
        return _array(members[0], tuple, inside)
    if not members:
        return _array(Any, tuple, inside)
    parts = [schema_of(member, inside) for member in members]
    different: list[Schema] = []
    for schema, _ in parts:
        if schema not in different:
            different.append(schema)
    items = different[0] if len(different) == 1 else {"anyOf": different}
    text = f"Exactly {len(parts)} items."

    def made(value: list[Any], where: str) -> Any:
        if len(value) != len(parts):
            raise ToolError(f"{where} must have exactly {len(parts)} items, got {len(value)}")
        for index, (one, (schema, _)) in enumerate(zip(value, parts, strict=True)):
            if not fits(one, schema):
                raise ToolError(f"{where}[{index}] must be of type {schema.get('type', 'another')}")
        return tuple(
            convert(one, f"{where}[{index}]")
            for index, (one, (_, convert)) in enumerate(zip(value, parts, strict=True))
        )

    return {"type": "array", "items": items, "description": text}, made


def _pairs(item: Any, inside: tuple[Any, ...]) -> tuple[Schema, Convert]:
    """A strict object has fixed keys, so a dict is sent as a list of pairs."""
    schema, convert = schema_of(item, inside)
    pair = closed({"key": {"type": "string"}, "value": schema})

    def to_dict(value: list[dict[str, Any]], where: str) -> dict[str, Any]:
        return {one["key"]: convert(one["value"], f"{where}.{one['key']}") for one in value}

    return {"type": "array", "items": pair}, to_dict


@attrs.frozen
class TypeField:
    """A field of a class whose values a tool takes."""

    name: str
    annotation: Any
    optional: bool
    """Whether the class has a default; ``null`` then means that."""
    text: str = ""


def _fields_of(kind: type) -> list[TypeField] | None:
    """Return the fields of *kind*, with which its values are made; ``None`` if it has none that are known."""
    if typing.is_typeddict(kind) or _is_typed_dict(kind):
        needed: frozenset[str] = getattr(kind, "__required_keys__", frozenset())
        return [TypeField(name, hint, name not in needed) for name, hint in _hints(kind).items()]
    if issubclass(kind, tuple) and hasattr(kind, "_fields"):
        defaults = getattr(kind, "_field_defaults", {})
        hints = _hints(kind)
        return [TypeField(name, hints.get(name, Any), name in defaults) for name in kind._fields]
    if attrs.has(kind):
        hints = _hints(kind)
        return [
            TypeField(
                one.alias or one.name,
                hints.get(one.name, Any),
                one.default is not attrs.NOTHING,
                str(one.metadata.get("description", "")),
            )
            for one in attrs.fields(kind)
            if one.init
        ]
    if dataclasses.is_dataclass(kind):
        hints = _hints(kind)
        return [
            TypeField(
                one.name,
                hints[one.name],
                one.default is not dataclasses.MISSING or one.default_factory is not dataclasses.MISSING,
                str(one.metadata.get("description", "")),
            )
            for one in dataclasses.fields(kind)
            if one.init
        ]
    if _is_pydantic(kind):
        return list(_pydantic_fields(kind))
    return None


def _is_typed_dict(kind: type) -> bool:  # one of typing_extensions
    return issubclass(kind, dict) and hasattr(kind, "__required_keys__")


def _is_pydantic(kind: Any) -> bool:
    """Whether *kind* is a pydantic model; pydantic is not imported for it."""
    return hasattr(kind, "model_validate") and isinstance(getattr(kind, "model_fields", None), Mapping)


def _pydantic_fields(kind: Any) -> Iterator[TypeField]:
    for name, field in kind.model_fields.items():
        alias = field.validation_alias if isinstance(field.validation_alias, str) else field.alias
        yield TypeField(alias or name, field.annotation, not field.is_required(), field.description or "")


def _hints(kind: type) -> dict[str, Any]:
    try:
        return get_type_hints(kind, include_extras=True)
    except NameError as error:
        raise TypeError(f"a type annotation of {kind.__name__} cannot be resolved: {error}") from None


def _object(kind: Any, fields: list[TypeField], inside: tuple[Any, ...]) -> tuple[Schema, Convert]:
    if kind in inside:
        raise TypeError(f"{kind.__name__} contains itself, which a strict schema cannot express")
    _, said = read_docstring(kind.__doc__)
    properties: dict[str, Schema] = {}
    converts: list[tuple[TypeField, Convert, bool]] = []
    for field in fields:
        try:
            schema, convert = schema_of(field.annotation, (*inside, kind))
        except TypeError as error:
            raise TypeError(f"{kind.__name__}.{field.name}: {error}") from None
        takes = takes_null(schema)
        shown = nullable(schema) if field.optional and not takes else schema
        properties[field.name] = described(shown, field.text or said.get(field.name, ""))
        converts.append((field, convert, takes))

    def made(value: dict[str, Any], where: str) -> Any:
        values = {
            field.name: convert(value[field.name], f"{where}.{field.name}")
            for field, convert, takes in converts
            if not (value[field.name] is None and field.optional and not takes)
        }
        try:
            return kind.model_validate(values) if _is_pydantic(kind) else kind(**values)
        except ToolError:
            raise
        except Exception as error:  # the class checks its values in its own way
            raise ToolError(_refused(where, error)) from None

    return closed(properties), made


def described(schema: Schema, text: str) -> Schema:
    """Return *schema* with *text* before the description that it may have."""
    both = " ".join(filter(None, (text, schema.get("description", ""))))
    return {**schema, "description": both} if both else schema


def _refused(where: str, error: Exception) -> str:
    """Return what a class said against its values; pydantic says which field it was."""
    errors = getattr(error, "errors", None)
    if callable(errors):
        try:
            (first, *_) = errors()
            place = "".join(f"[{one}]" if isinstance(one, int) else f".{one}" for one in first["loc"])
            return f"{where}{place}: {first['msg']}"
        except (TypeError, ValueError, KeyError):
            pass
    return f"{where}: {error}"
