"""How records become JSON values, held to what will come back.

This is on the way of every append. So each class gets a function of its own, generated once as attrs
and cattrs do it, in which the checks stand inline: a fifth of the time of calling one for each field.
"""

import functools
import math
import reprlib
import types
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Literal, Union, cast, get_args, get_origin

import attrs

from sunwell.core.message import Part

_DEEPEST_JSON = 64  # far below what any JSON reader can take
PART_TAG = "part"
"""The member that names the class of a part of a message."""

Change = Callable[[Any], Any]


@functools.cache
def writer(cls: type, parameters: str = "", before: str = "", after: str = "") -> Callable[..., Any]:
    """Return the function that makes a dict of JSON values of an object of the attrs class *cls*.

    The function raises :exc:`TypeError` for a value of another type than the class says: what is written
    in a wrong type could not be read back, and the run not be taken up. It takes *parameters* besides;
    *before* and *after* are the source of members of the dict that stand around the fields.
    """
    attrs.resolve_types(cls)
    bound: dict[str, Any] = {"_wrong": functools.partial(_wrong, cls.__name__), "isfinite": math.isfinite}
    checks, members = [], [before] if before else []
    for field in attrs.fields(cls):
        if field.init:
            step = _step(field.type, field.name)
            checks.append(f" {field.name} = value.{field.name}")
            checks += [f" if {step.odd}: _wrong({field.name!r}, {field.name})"] if step.odd else []
            members.append(f"{field.name!r}: {step.made}")
            bound |= step.bound
    members += [after] if after else []
    source = "\n".join([f"def write(value{parameters}):", *checks, f" return {{{', '.join(members)}}}"])
    exec(compile(source, f"<writer of {cls.__name__}>", "exec"), bound)
    return cast(Callable[..., Any], bound["write"])


def plain_json(value: Any, depth: int = 0) -> Any:
    """Return *value* if it is made of JSON values alone and would come back equal.

    Raises :exc:`TypeError` for what is no JSON (tuples, keys that are no strings, NaN and infinity
    among them) and for nesting deeper than 64.
    """
    if value is None or type(value) in (str, int, bool):
        return value
    if type(value) is float:
        if not math.isfinite(value):
            raise TypeError(f"a record holds JSON, which has no {value}")
        return value
    if depth >= _DEEPEST_JSON:
        raise TypeError(f"a record holds JSON of at most {_DEEPEST_JSON} levels")
    if isinstance(value, Mapping):
        if not all(type(key) is str for key in value):
            raise TypeError("a record holds JSON: the keys of an object are strings")
        return {key: plain_json(item, depth + 1) for key, item in value.items()}
    if type(value) is list:
        return [plain_json(item, depth + 1) for item in value]
    raise TypeError(f"a record holds JSON values, not {type(value).__name__}: make it a list, dict or string")


@attrs.frozen
class _Step:
    """What is done with one value, as pieces of source in which it has a name."""

    odd: str
    """A condition that is true of a value of a wrong type; empty where ``made`` finds out."""
    made: str
    """An expression of the value as JSON."""
    bound: dict[str, Any] = attrs.field(factory=dict)
    """What the pieces name besides."""


def _step(of: Any, name: str) -> _Step:
    origin, arguments = get_origin(of), get_args(of)
    if of is float:
        return _Step(f"type({name}) not in (float, int) or not isfinite({name})", name)
    if of is Decimal:
        return _Step(f"type({name}) is not Decimal", f"str({name})", {"Decimal": Decimal})
    if origin is Literal:
        return _Step(f"{name} not in _{name}_words", name, {f"_{name}_words": frozenset(arguments)})
    if of == tuple[Part, ...]:
        write = f"_{name}_writers"
        odd = f"type({name}) not in (tuple, list)"
        return _Step(odd, f"[{write}[type(each)](each) for each in {name}]", {write: _part_writers()})
    if origin in (Union, types.UnionType):
        return _optional(arguments, name)
    change, bound = _change(of), {f"_{name}_type": of, f"_make_{name}": _change(of)}
    odd = f"type({name}) is not _{name}_type" if change is None or attrs.has(of) else ""
    return _Step(odd, name if change is None else f"_make_{name}({name})", bound)


def _optional(arguments: tuple[Any, ...], name: str) -> _Step:
    if len(arguments) != 2 or arguments[1] is not types.NoneType:
        raise TypeError(f"{name}: a field of a record is of one kind or None, not {arguments}")
    step = _step(arguments[0], name)
    odd = f"{name} is not None and ({step.odd})" if step.odd else ""
    made = name if step.made == name else f"None if {name} is None else {step.made}"
    return _Step(odd, made, step.bound)


def _change(of: Any) -> Change | None:
    """Return the function that makes JSON of what is more than one plain value."""
    if of is Any or of == Mapping[str, Any]:
        return plain_json
    if get_origin(of) is tuple:
        return _several(get_args(of)[0])
    return writer(of) if attrs.has(of) else None


class _PartWriters(dict[type, Change]):
    """Writers of the parts of a message by their class, each of which says which part it is."""

    def __missing__(self, cls: type) -> Change:
        raise TypeError(f"a part of a message cannot be {cls.__name__}")


@functools.cache
def _part_writers() -> _PartWriters:
    tags = {cls: f"{PART_TAG!r}: {cls.__name__.lower()!r}" for cls in get_args(Part)}
    return _PartWriters({cls: writer(cls, after=tag) for cls, tag in tags.items()})


def _several(of: Any) -> Change:
    change = _change(of)

    def check(values: Any) -> Any:
        if type(values) not in (tuple, list):
            raise TypeError(f"expected several values, got {type(values).__name__}")
        if change is not None:
            return [change(each) for each in values]
        if not all(type(each) is of for each in values):
            raise TypeError(f"expected {of.__name__} alone, got {reprlib.repr(values)}")
        return values

    return check


def _wrong(cls: str, name: str, value: Any) -> None:
    raise TypeError(f"{cls}.{name}: got {reprlib.repr(value)}, which could not be read back")
