"""How records and their parts become JSON values and come back, exactly."""

import functools
import math
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

import attrs

from sunwell.core.message import Part
from sunwell.journal import records
from sunwell.journal.records import Record, Unknown

if TYPE_CHECKING:
    from cattrs import Converter

_DEEPEST_JSON = 64  # far below what any JSON reader can take

_Function = Callable[[Any], Any]


@functools.cache
def kinds() -> Mapping[str, type[Record]]:
    """Return every class of records by the name of its kind, without the root and ``Unknown``."""
    found = [item for item in vars(records).values() if isinstance(item, type) and issubclass(item, Record)]
    return {cls.kind: cls for cls in found if cls not in (Record, Unknown)}


@functools.cache
def writers() -> Mapping[type[Record], _Function]:
    """Return for each class of records the function that makes a dict of JSON values of it."""
    made = converter()
    return {cls: made.get_unstructure_hook(cls) for cls in kinds().values()}


@functools.cache
def readers() -> Mapping[str, Callable[[Any, Any], Any]]:
    """Return for each kind the function that makes a record of a dict and the class."""
    made = converter()
    return {name: made.get_structure_hook(cls) for name, cls in kinds().items()}


@functools.cache
def converter() -> "Converter":
    """Return the one converter of this room. It takes a value only in its own type, both ways.

    What is written in a wrong type could not be read back, and the run not be taken up.
    """
    from cattrs import Converter
    from cattrs.strategies import configure_tagged_union

    made = Converter(detailed_validation=False)
    for cls in (str, int, bool):
        made.register_structure_hook(cls, _reader(cls))
        made.register_unstructure_hook(cls, _exactly(cls))
    made.register_structure_hook(float, _read_float)
    made.register_unstructure_hook(float, _finite)
    made.register_unstructure_hook_factory(_is_literal, _one_of)
    made.register_structure_hook(Decimal, _read_decimal)
    made.register_unstructure_hook(Decimal, str)
    names = {cls: cls.__name__.lower() for cls in get_args(Part)}
    configure_tagged_union(Part, made, tag_generator=names.__getitem__, tag_name="part")
    for record in kinds().values():
        _register_free_json(made, record)
    return made


def plain_json(value: Any, depth: int = 0) -> Any:
    """Return *value* if it is made of JSON values alone and would come back equal.

    Raises :exc:`TypeError` for what is no JSON (tuples, keys that are no strings, NaN and infinity
    among them) and for nesting deeper than 64.
    """
    if value is None or type(value) in (str, int, bool):
        return value
    if type(value) is float:
        return _finite(value)
    if depth >= _DEEPEST_JSON:
        raise TypeError(f"a record holds JSON of at most {_DEEPEST_JSON} levels")
    if isinstance(value, Mapping):
        if not all(type(key) is str for key in value):
            raise TypeError("a record holds JSON: the keys of an object are strings")
        return {key: plain_json(item, depth + 1) for key, item in value.items()}
    if type(value) is list:
        return [plain_json(item, depth + 1) for item in value]
    raise TypeError(f"a record holds JSON values, not {type(value).__name__}: make it a list, dict or string")


def _register_free_json(made: "Converter", cls: type[Record]) -> None:
    from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override

    attrs.resolve_types(cls)
    free: dict[str, Any] = {
        field.name: override(unstruct_hook=plain_json, struct_hook=_as_it_is)
        for field in attrs.fields(cls)
        if field.type in (Any, Mapping[str, Any])
    }
    if free:
        made.register_unstructure_hook(cls, make_dict_unstructure_fn(cls, made, **free))
        made.register_structure_hook(cls, make_dict_structure_fn(cls, made, **free))


def _as_it_is(value: Any, _: Any) -> Any:
    return value


def _exactly(cls: type) -> _Function:
    def check(value: Any) -> Any:
        if type(value) is not cls:
            raise TypeError(f"expected {cls.__name__}, got {type(value).__name__}")
        return value

    return check


def _reader(cls: type) -> Callable[[Any, Any], Any]:
    check = _exactly(cls)
    return lambda value, _: check(value)


def _is_literal(cls: Any) -> bool:
    return get_origin(cls) is Literal


def _one_of(literal: Any) -> _Function:
    words = frozenset(get_args(literal))

    def check(value: Any) -> Any:
        if value not in words:
            raise TypeError(f"expected one of {', '.join(sorted(words))}, got {value!r}")
        return value

    return check


def _finite(value: float) -> float:
    if type(value) not in (int, float):
        raise TypeError(f"expected a number, got {type(value).__name__}")
    if not math.isfinite(value):
        raise TypeError(f"a record holds JSON, which has no {value}")
    return value


def _read_float(value: Any, _: Any) -> float:
    if type(value) not in (int, float):
        raise TypeError(f"expected a number, got {type(value).__name__}")
    return float(value)


def _read_decimal(value: Any, _: Any) -> Decimal:
    try:
        return Decimal(_exactly(str)(value))
    except InvalidOperation:
        raise ValueError(f"expected an amount, got {value!r}") from None
