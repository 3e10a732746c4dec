"""How records and their parts come back from JSON values, exactly; ``plain`` is the way there."""

import functools
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, get_args

import attrs

from sunwell.core.message import Part
from sunwell.journal import records, waits
from sunwell.journal.plain import PART_TAG
from sunwell.journal.records import Record, Unknown

if TYPE_CHECKING:
    from cattrs import Converter


@functools.cache
def kinds() -> Mapping[str, type[Record]]:
    """Return every class of records by the name of its kind, without the root and ``Unknown``."""
    everything = (*vars(records).values(), *vars(waits).values())
    found = [item for item in everything if isinstance(item, type) and issubclass(item, Record)]
    return {cls.kind: cls for cls in found if cls not in (Record, Unknown)}


@functools.cache
def readers() -> Mapping[str, Callable[[Any, Any], Any]]:
    """Return for each kind the function that makes a record of a dict and the class."""
    made = converter()
    return {name: made.get_structure_hook(cls) for name, cls in kinds().items()}


@functools.cache
def converter() -> "Converter":
    """Return the one converter of this room. It reads a value only in its own type."""
    from cattrs import Converter
    from cattrs.strategies import configure_tagged_union

    made = Converter(detailed_validation=False)
    for cls in (str, int, bool):
        made.register_structure_hook(cls, _reader(cls))
    made.register_structure_hook(float, _read_float)
    made.register_structure_hook(Decimal, _read_decimal)
    made.register_unstructure_hook(Decimal, str)
    names = {cls: cls.__name__.lower() for cls in get_args(Part)}
    configure_tagged_union(Part, made, tag_generator=names.__getitem__, tag_name=PART_TAG)
    for record in kinds().values():
        _register_free_json(made, record)
    return made


def _register_free_json(made: "Converter", cls: type[Record]) -> None:
    from cattrs.gen import make_dict_structure_fn, override

    attrs.resolve_types(cls)
    free: dict[str, Any] = {
        field.name: override(struct_hook=_as_it_is)
        for field in attrs.fields(cls)
        if field.type in (Any, Mapping[str, Any])
    }
    if free:
        made.register_structure_hook(cls, make_dict_structure_fn(cls, made, **free))


def _as_it_is(value: Any, _: Any) -> Any:
    return value


def _exactly(cls: type) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if type(value) is not cls:
            raise TypeError(f"expected {cls.__name__}, got {type(value).__name__}")
        return value

    return check


def _reader(cls: type) -> Callable[[Any, Any], Any]:
    check = _exactly(cls)
    return lambda value, _: check(value)


def _read_float(value: Any, _: Any) -> float:
    if type(value) not in (int, float):
        raise TypeError(f"expected a number, got {type(value).__name__}")
    return float(value)


def _read_decimal(value: Any, _: Any) -> Decimal:
    try:
        return Decimal(_exactly(str)(value))
    except InvalidOperation:
        raise ValueError(f"expected an amount, got {value!r}") from None
