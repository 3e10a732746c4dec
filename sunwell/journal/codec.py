"""One record, one line of JSON.

A line is an object in UTF-8: ``{"seq":4,"kind":"answer","synced":3,…fields…,"crc":"90a1b2c3"}``.
``seq`` counts the records from 0. ``synced`` is the number of records that were known to be
durable when the line was written. ``crc`` is the CRC-32 of the line's bytes without the checksum:
of the same object with ``,"crc":"…"`` taken out. The first line also has ``format``, the version, and
before the checksum ``mark``, which shows whose run it is.

If a record has text that UTF-8 cannot carry (lone surrogates), the line has ``"escaped":true``:
in all its strings a backslash is doubled and a surrogate is written as ``\\udxxx``.

Every attrs class in a record has a *form*: a msgspec struct with the same fields and types. msgspec
checks types both ways, but not those of an attrs object that already has the wanted class, and it knows no
union of attrs classes, which the parts of a message are.
"""

import functools
import itertools
import math
import re
import types
import zlib
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Union, cast, get_args, get_origin

import attrs
import msgspec

from sunwell.core.message import Part
from sunwell.errors import JournalError
from sunwell.journal import records
from sunwell.journal.notes import check_note
from sunwell.journal.records import Note, Record, RunOpened, Unknown

FORMAT = (1, 6)
"""Major and minor version of the format written here. A newer major one is refused."""

_FORMAT = b'"format":"%d.%d",' % FORMAT

ENVELOPE = frozenset({"seq", "kind", "synced", "format", "escaped", "crc"})
"""Names that no field of a record may have."""

_DEEPEST_JSON = 64  # far below what any JSON reader can take
_CHECKSUM = re.compile(rb',"crc":"([0-9a-f]{8})"}\Z')
_CHECKSUM_BYTES = len(b',"crc":"00000000"}')
_SURROGATE = re.compile("[\ud800-\udfff]")
_ESCAPE = re.compile(r"\\(\\|u[0-9a-f]{4})")
_SIGNED = frozenset({"exit_code"})  # a command that a signal ended has one below zero
_LARGEST_COUNT = 2**63 - 1
_LATEST_SECONDS = 253_402_128_000  # in the year 9999, the last one that a date can have
_NOTHING, _SMALL, _LARGE = Decimal(0), Decimal("1e-40"), Decimal("1e40")
_FINEST_EXPONENT, _LARGEST_EXPONENT = -6000, 40
_LARGEST_INTEGER_BITS = 4096  # Python does not write longer ones
_TO_LOOK_AT = frozenset({dict, list, int})
_LARGE_LINE_BYTES, _MOST_VALUES = 1 << 20, 1_000_000
_VALUE = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[\[{,]')
_NOT_FROM_TEXT = (Decimal,)  # an amount that is written must be one, not text that would make one
_ENCODER, _DECODER = msgspec.json.Encoder(), msgspec.json.Decoder()


@attrs.frozen
class Line:
    """A line that was read: its place, what was durable when it was written, and its record."""

    seq: int
    synced: int
    record: Record


def encode(record: Record, seq: int, synced: int = 0) -> bytes:
    """Return *record* as a line, without the line's end.

    Raises :exc:`TypeError` if the record could not be read back: it is of a class that is not in
    ``sunwell.journal.records``, or has a value of a wrong type or one that is not JSON.
    """
    kind = type(record)
    if kind is Unknown:
        return _unknown(cast(Unknown, record), seq, synced)
    try:
        line, form, free = _record_forms()[kind]
    except KeyError:
        raise TypeError(f"a journal has no kind of record for {kind.__name__}") from None
    try:
        fields = msgspec.convert(
            record, form, from_attributes=True, builtin_types=_NOT_FROM_TEXT, dec_hook=_part_to_write
        )
    except ValueError as error:  # also text that UTF-8 cannot carry, if it should be a word of a list
        said = str(error).replace("Invalid enum value", "Expected a word of its list, got")
        raise TypeError(f"{kind.__name__} could not be read back: {said}") from None
    if free:
        _look_at_json(record, fields, free)
    return _with_checksum(line % (seq, synced, _members(fields)[1:]))


def without_checksum(line: bytes) -> bytes:
    """Return what of *line*, which is whole, its checksum is of, but for the closing brace."""
    return line[:-_CHECKSUM_BYTES]


def with_mark(line: bytes, mark: str) -> bytes:
    """Return the first *line* of a journal with the *mark* of whose run it is."""
    return _with_checksum(b'%b,"mark":"%b"}' % (without_checksum(line), mark.encode()))


def decode(line: bytes) -> Line | None:
    """Return what *line* says, or ``None`` if it is damaged: not JSON, or a wrong checksum.

    Kinds that are not known become :class:`Unknown`; fields that are not known are ignored.
    Raises :exc:`~sunwell.errors.JournalError` if the line is whole and of a newer major format,
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
    try:
        if fields.pop("escaped", False):
            fields = _walk(fields, _unescape)
    except RecursionError:
        return None
    if kind == RunOpened.kind:
        _check_format(fields.pop("format", None))
        fields.pop("mark", None)
    return Line(seq, synced, _record(seq, kind, fields, line))


def newer_format(line: bytes) -> str | None:
    """Return the sentence that refuses *line* if it names a newer major format.

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
def kinds() -> Mapping[str, type[Record]]:
    """Return every class of records by the name of its kind, without the root and ``Unknown``."""
    found = [item for item in vars(records).values() if isinstance(item, type) and issubclass(item, Record)]
    return {cls.kind: cls for cls in found if cls not in (Record, Unknown)}


class _Form(msgspec.Struct):
    """The root of the forms."""

    made_of: ClassVar[type] = object
    """The attrs class."""
    width: ClassVar[int] = 0
    """How many of the members are fields of the attrs class: all but the name of a part."""
    holding: ClassVar[tuple[int, ...]] = ()
    """Which of them hold forms."""
    amounts: ClassVar[tuple[int, ...]] = ()
    """Which of them hold decimals."""


class _PartForm:
    """The type of a part of a message in a form. The hooks find out which part it is."""

    __slots__ = ()


@functools.cache
def _record_forms() -> Mapping[type, tuple[bytes, type[_Form], tuple[str, ...]]]:
    """Return line, form, and names of the fields that hold any JSON, for every class of records.

    The line has places for the numbers and for the fields, without the brace that opens them.
    """
    known: Mapping[str, Any] = kinds()
    return {
        cls: (
            _line(kind.encode(), _FORMAT if cls is RunOpened else b""),
            _form(cls),
            tuple(field.name for field in attrs.fields(cls) if field.type in (Any, Mapping[str, Any])),
        )
        for kind, cls in known.items()
    }


def _line(kind: bytes, version: bytes) -> bytes:
    return b'{"seq":%%d,"kind":"%b","synced":%%d,%b%%b' % (kind, version)


@functools.cache
def _part_forms() -> Mapping[type | str, type[_Form]]:
    """Return the form of every part of a message, by its class and by its name."""
    forms = {cls: _form(cls, (("part", str),), (_PartForm,)) for cls in get_args(Part)}
    return forms | {cls.part: form for cls, form in forms.items()}


@functools.cache
def _forms_to_write(cls: Any) -> tuple[type[_Form], tuple[str, ...], type[_Form]]:
    """Return the form of a part of a message, its sparse fields, and the form without them.

    Raises :exc:`TypeError` if *cls* is no part of a message.
    """
    form = _part_forms().get(cls)
    if form is None:
        raise TypeError(f"a part of a message cannot be {cls.__name__}")
    sparse = _sparse(cls)
    short = _form(cls, (("part", str),), (_PartForm,), is_short=True) if sparse else form
    return form, sparse, short


def _sparse(cls: Any) -> tuple[str, ...]:
    """Return the fields that are written only if one of them is not empty: the last of their class."""
    return tuple(field.name for field in attrs.fields(cls) if field.metadata.get("sparse"))


@functools.cache
def _form(
    cls: Any, more: tuple[Any, ...] = (), bases: tuple[type, ...] = (), *, is_short: bool = False
) -> type[_Form]:
    attrs.resolve_types(cls)
    fields = [
        field for field in attrs.fields(cls) if field.init and not (is_short and field.metadata.get("sparse"))
    ]
    wanted = [_type_in_form(field.type, is_signed=field.name in _SIGNED) for field in fields]
    members = [(field.name, of, _default(field.default)) for field, of in zip(fields, wanted, strict=True)]
    made = msgspec.defstruct(
        cls.__name__,
        [*members, *more],
        bases=(*bases, _Form),
        namespace={
            "made_of": cls,
            "width": len(fields),
            "holding": tuple(place for place, of in enumerate(wanted) if _holds_form(of)),
            "amounts": tuple(place for place, of in enumerate(wanted) if _holds_decimal(of)),
        },
        kw_only=True,
        gc=False,  # forms live for one line, and hold no cycles
    )
    return cast(type[_Form], made)


def _holds_form(of: Any) -> bool:
    return any(map(_holds_form, get_args(of))) or (isinstance(of, type) and issubclass(of, _Form | _PartForm))


def _holds_decimal(of: Any) -> bool:
    return of is Decimal or any(map(_holds_decimal, get_args(of)))


def _default(value: Any) -> Any:
    if value is attrs.NOTHING:
        return msgspec.NODEFAULT
    factory = getattr(value, "factory", None)
    return value if factory is None else msgspec.field(default_factory=factory)


def _type_in_form(of: Any, *, is_signed: bool = False) -> Any:
    origin, arguments = get_origin(of), get_args(of)
    if of is float:  # JSON has neither NaN nor infinity, and msgspec would write null
        return Annotated[float, msgspec.Meta(ge=0, le=_LATEST_SECONDS)]
    if of is int:  # a count or an amount: one below zero would give back what was spent
        return Annotated[int, msgspec.Meta(ge=-_LARGEST_COUNT if is_signed else 0, le=_LARGEST_COUNT)]
    if of == Part:
        return _PartForm
    if origin is tuple:
        return tuple[_type_in_form(arguments[0]), ...]  # type: ignore[misc]
    if origin in (Union, types.UnionType):
        return Union[tuple(_type_in_form(each, is_signed=is_signed) for each in arguments)]  # noqa: UP007
    return _form(of) if attrs.has(of) else of


def _look_at_json(record: Record, made: _Form, free: tuple[str, ...]) -> None:
    """Refuse what *record* has in its fields *free* if it is no JSON; *made* gets copies of it."""
    for name in free:
        setattr(made, name, _plain_again(getattr(made, name)))
    if type(record) is Note:
        try:
            check_note(record.name, record.value)
        except ValueError as error:
            raise TypeError(f"the note {record.name!r} could not be read back: {error}") from None


def _members(fields: Any) -> bytes:
    """Return *fields*, a form or a mapping, as JSON."""
    try:
        return _ENCODER.encode(fields)
    except (UnicodeEncodeError, OverflowError):  # or an integer of more than 64 bits; it may have both
        plain = msgspec.to_builtins(fields)
    try:
        return _encode_anything(plain)
    except UnicodeEncodeError:
        return b'{"escaped":true,' + _encode_anything(_walk(plain, _escape))[1:]


def _part_to_write(_: type, part: Any) -> _Form:
    kind: Any = type(part)
    form, sparse, short = _forms_to_write(kind)
    for name in sparse:
        if getattr(part, name):
            return msgspec.convert(part, form, from_attributes=True)
    return msgspec.convert(part, short, from_attributes=True)


def _part_that_was_read(_: type, fields: Any) -> _Form:
    return msgspec.convert(fields, _part_forms()[fields["part"]])


def _made(value: Any) -> Any:
    """Return the object of its class in place of the form *value*, and of every form in it."""
    if isinstance(value, _Form):
        values: Any = msgspec.structs.astuple(value)
        if value.holding:
            values = list(values)
            for place in value.holding:
                values[place] = _made(values[place])
        for place in value.amounts:
            amount = values[place]
            # Nearly all are usual ones, and a call for each would be felt in a long listing.
            if amount is not None and not (
                type(amount) is Decimal and amount.is_finite() and _SMALL < amount < _LARGE
            ):
                _require_amount(amount)
        return value.made_of(*values[: value.width])
    return tuple(map(_made, value)) if type(value) is tuple else value


_PLAIN = frozenset({str, int, bool, type(None)})


def _plain_again(value: Any) -> Any:
    """Do the same as :func:`plain_json`: in one step where that is plain, as it is of a run's settings."""
    if type(value) is dict:
        try:
            line = _ENCODER.encode(value)
            # Equal means the same here: what JSON has no form for comes back as something else, or not.
            is_flat = line.count(b"{") + line.count(b"[") <= _DEEPEST_JSON
            if is_flat and (read := _DECODER.decode(line)) == value:
                return read
        except (TypeError, ValueError, OverflowError):  # that says what is wrong, or how it is written
            pass
    return plain_json(value)


def plain_json(value: Any, depth: int = 0) -> Any:
    """Return *value* if it consists of JSON values alone and would come back equal.

    Raises :exc:`TypeError` for anything else (tuples, keys that are not strings, NaN and infinity
    among them) and for nesting deeper than 64.
    """
    if type(value) in _PLAIN:
        return value
    if type(value) is float:
        if not math.isfinite(value):
            raise TypeError(f"a record holds JSON, which has no {value}")
        return value
    if depth >= _DEEPEST_JSON:
        raise TypeError(f"a record holds JSON of at most {_DEEPEST_JSON} levels")
    if isinstance(value, Mapping):
        for key in value:
            if type(key) is not str:
                raise TypeError("a record holds JSON: the keys of an object must be strings")
        return {
            key: item if type(item) in _PLAIN else plain_json(item, depth + 1) for key, item in value.items()
        }
    if type(value) is list:
        return [item if type(item) in _PLAIN else plain_json(item, depth + 1) for item in value]
    raise TypeError(f"a record holds JSON values, not {type(value).__name__}: make it a list, dict or string")


def _require_plain(value: Any, depth: int = 0) -> Any:
    """Return *value*, which was read, if it is nested no deeper than what is written, with numbers to use."""
    kind = type(value)
    if kind is int and value.bit_length() > _LARGEST_INTEGER_BITS:
        raise ValueError(f"a number of more than {_LARGEST_INTEGER_BITS:,} bits")
    if kind is dict or kind is list:
        if depth >= _DEEPEST_JSON:
            raise ValueError(f"JSON of more than {_DEEPEST_JSON} levels")
        for item in value.values() if kind is dict else value:
            if type(item) in _TO_LOOK_AT:  # a call for each text would be half of what reading a run costs
                _require_plain(item, depth + 1)
    return value


def _require_amount(value: Any) -> None:
    """Refuse what no amount of money is: below zero, endless, or so fine that it takes gigabytes to write."""
    if type(value) is Decimal:
        # The exponent is that of the first digit, and 0 for what is no number.
        is_usual = _FINEST_EXPONENT <= value.adjusted() < _LARGEST_EXPONENT and value.is_finite()
        if not is_usual or value < _NOTHING:
            raise ValueError("an amount below zero, or one that nobody could pay")
    elif type(value) is tuple:
        for item in value:
            _require_amount(item)


def _unknown(record: Unknown, seq: int, synced: int) -> bytes:
    if record.name in kinds() or not ENVELOPE.isdisjoint(record.fields):
        raise TypeError(f"a record of the known kind {record.name!r} is not written as unknown")
    head = b'{"seq":%d,"kind":%b,"synced":%d' % (seq, _ENCODER.encode(record.name), synced)
    members = _members(plain_json(record.fields))
    return _with_checksum(head + (b"}" if members == b"{}" else b"," + members[1:]))


def _with_checksum(line: bytes) -> bytes:
    return b'%b,"crc":"%08x"}' % (line[:-1], zlib.crc32(line))


def _checked(line: bytes) -> dict[str, Any] | None:
    found = _CHECKSUM.search(line, max(0, len(line) - _CHECKSUM_BYTES))
    if found is None:
        return None
    checksum = zlib.crc32(b"}", zlib.crc32(memoryview(line)[:-_CHECKSUM_BYTES]))
    if int(found[1], 16) != checksum or (len(line) > _LARGE_LINE_BYTES and _is_crowded(line)):
        return None
    try:
        fields = _decode_json(line)
    except ValueError:
        return None
    return fields if isinstance(fields, dict) else None


def _is_crowded(line: bytes) -> bool:
    """Whether *line* has so many values that they take much more memory than the line itself."""
    found = _VALUE.finditer(line)
    return next(itertools.islice(found, _MOST_VALUES, None), None) is not None


def _record(seq: int, kind: str, fields: dict[str, Any], line: bytes) -> Record:
    cls = kinds().get(kind)
    try:
        if cls is None:
            return Unknown(kind, _require_plain(fields))
        _, wanted, free = _record_forms()[cls]
        form = msgspec.convert(fields, wanted, dec_hook=_part_that_was_read)
        if cls is Note:
            check_note(fields["name"], _require_plain(fields["value"]))
        elif free and line.count(b"[") + line.count(b"{") > _DEEPEST_JSON:
            for name in free:
                _require_plain(getattr(form, name))
        return cast(Record, _made(form))
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


def _decode_json(line: bytes) -> Any:
    try:
        return _DECODER.decode(line)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _encode_anything(fields: Any) -> bytes:
    import json

    return json.dumps(fields, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def _walk(value: Any, change: Callable[[str], str]) -> Any:
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
