"""One record, one line of JSON.

A line is an object in UTF-8: ``{"seq":4,"kind":"answer","synced":3,…fields…,"crc":"90a1b2c3"}``.
``seq`` counts the records from 0. ``synced`` is the number of records that were known to be
durable when the line was written. ``crc`` is the CRC-32 of the line's bytes without the checksum:
of the same object with ``,"crc":"…"`` taken out. The first line also has ``format``, the version.

Where a record has text that UTF-8 cannot carry (lone surrogates), the line has ``"escaped":true``:
in all its strings a backslash is doubled and a surrogate stands as ``\\udxxx``.
"""

import functools
import math
import re
import reprlib
import types
import zlib
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Literal, Union, cast, get_args, get_origin

import attrs

from sunwell.core.message import Part
from sunwell.errors import JournalError
from sunwell.journal import records
from sunwell.journal.records import Record, RunOpened, Unknown

if TYPE_CHECKING:
    import msgspec
    from cattrs import Converter

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


@functools.cache
def kinds() -> Mapping[str, type[Record]]:
    """Return every class of records by the name of its kind, without the root and ``Unknown``."""
    everything = (*vars(records).values(), *vars(records).values())
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


FORMAT = (1, 2)
"""Major and minor version of the format written here. A newer major one is refused."""

ENVELOPE = frozenset({"seq", "kind", "synced", "format", "escaped", "crc"})
"""Names that no field of a record may have."""

_CHECKSUM = re.compile(rb',"crc":"([0-9a-f]{8})"}\Z')
_CHECKSUM_BYTES = len(b',"crc":"00000000"}')
_SURROGATE = re.compile("[\ud800-\udfff]")
_Writer = Callable[[Any, int, int], dict[str, Any]]
_ESCAPE = re.compile(r"\\(\\|u[0-9a-f]{4})")


@attrs.frozen
class Line:
    """A line that was read: its place, what was durable when it was written, and its record."""

    seq: int
    synced: int
    record: Record


def encode(record: Record, seq: int, synced: int = 0) -> bytes:
    """Return *record* as a line, without the line's end.

    Raises :exc:`TypeError` for a record that would not come back as it is: of a class that is not
    in ``sunwell.journal.records``, or with a value that is no JSON.
    """
    write = _writers().get(type(record))
    if write is None:
        raise TypeError(f"{type(record).__name__} is no kind of record that a journal knows")
    line = write(record, seq, synced)
    try:
        body = _encoder().encode(line)
    except UnicodeEncodeError:
        around = {name: line.pop(name) for name in tuple(line) if name in ENVELOPE}
        body = _encode_anything(around | {"escaped": True} | _walk(line, _escape))
    except OverflowError:  # an integer of more than 64 bits
        body = _encode_anything(line)
    return body[:-1] + b',"crc":"%08x"}' % zlib.crc32(body)


def decode(line: bytes) -> Line | None:
    """Return what *line* says, or ``None`` where it is damaged: no JSON, or a wrong checksum.

    Kinds that are not known become :class:`Unknown`; fields that are not known are passed over.
    Raises :exc:`~sunwell.errors.JournalError` where the line is whole and of a newer major format,
    or does not fit its kind.
    """
    fields = _checked(line)
    if fields is None:
        return None
    try:
        seq, kind, synced = fields.pop("seq"), fields.pop("kind"), fields.pop("synced")
    except KeyError:
        return None
    if not (isinstance(seq, int) and isinstance(synced, int) and isinstance(kind, str)):
        return None
    del fields["crc"]
    if fields.pop("escaped", False):
        fields = _walk(fields, _unescape)
    if kind == RunOpened.kind:
        _check_format(fields.pop("format", None))
    return Line(seq, synced, _record(seq, kind, fields))


def newer_format(line: bytes) -> str | None:
    """Return the sentence that refuses *line* where it names a newer major format.

    Looks at the name alone, since a newer format may have another checksum.
    """
    try:
        fields = _decode_json(line)
        _check_format(fields.get("format") if isinstance(fields, dict) else None)
    except JournalError as error:
        return error.sentence
    except ValueError:
        pass
    return None


@functools.cache
def _writers() -> dict[type[Record], _Writer]:
    made: dict[type[Record], _Writer] = {Unknown: _unknown}
    known: Mapping[str, type] = kinds()
    for kind, cls in known.items():
        around = f"'seq': seq, 'kind': {kind!r}, 'synced': synced"
        if cls is RunOpened:
            around += f", 'format': '{FORMAT[0]}.{FORMAT[1]}'"
        made[cls] = writer(cls, ", seq, synced", around)
    return made


def _unknown(record: Unknown, seq: int, synced: int) -> dict[str, Any]:
    if record.name in kinds() or not ENVELOPE.isdisjoint(record.fields):
        raise TypeError(f"a record of the known kind {record.name!r} is not written as unknown")
    return {"seq": seq, "kind": record.name, "synced": synced, **plain_json(record.fields)}


def _checked(line: bytes) -> dict[str, Any] | None:
    found = _CHECKSUM.search(line, max(0, len(line) - _CHECKSUM_BYTES))
    if found is None:
        return None
    checksum = zlib.crc32(b"}", zlib.crc32(memoryview(line)[:-_CHECKSUM_BYTES]))
    if int(found[1], 16) != checksum:
        return None
    try:
        fields = _decode_json(line)
    except ValueError:
        return None
    return fields if isinstance(fields, dict) else None


def _record(seq: int, kind: str, fields: dict[str, Any]) -> Record:
    read = readers().get(kind)
    if read is None:
        return Unknown(kind, fields)
    try:
        return cast(Record, read(fields, kinds()[kind]))
    except Exception as error:
        raise JournalError(
            f"record {seq} is whole but is no {kind!r} that this version of Sunwell understands "
            f"({type(error).__name__}: {error}); use the version that wrote it"
        ) from error


def _check_format(version: object) -> None:
    major = str(version or "").partition(".")[0]
    if major.isdecimal() and int(major) > FORMAT[0]:
        raise JournalError(
            f"the run was written in format {version} by a newer Sunwell, and this one reads up to "
            f"format {FORMAT[0]}: use the newer version"
        )


@functools.cache
def _encoder() -> "msgspec.json.Encoder":
    import msgspec

    return msgspec.json.Encoder()


@functools.cache
def _decoder() -> "msgspec.json.Decoder[Any]":
    import msgspec

    return msgspec.json.Decoder()


def _decode_json(line: bytes) -> Any:
    try:
        return _decoder().decode(line)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _encode_anything(fields: Any) -> bytes:
    import json

    return json.dumps(fields, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def _walk(value: Any, change: Any) -> Any:
    """Return JSON with *change* made to every string, keys included."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {change(key): _walk(item, change) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_walk(item, change) for item in value]
    return value


def _escape(text: str) -> str:
    return _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", text.replace("\\", "\\\\"))


def _unescape(text: str) -> str:
    return _ESCAPE.sub(lambda found: "\\" if found[1] == "\\" else chr(int(found[1][1:], 16)), text)
