"""One record, one line of JSON.

A line is an object in UTF-8: ``{"seq":4,"kind":"answer","synced":3,…fields…,"crc":"90a1b2c3"}``.
``seq`` counts the records from 0. ``synced`` is the number of records that were known to be
durable when the line was written. ``crc`` is the CRC-32 of the line's bytes without the checksum:
of the same object with ``,"crc":"…"`` taken out. The first line also has ``format``, the version.

Where a record has text that UTF-8 cannot carry (lone surrogates), the line has ``"escaped":true``:
in all its strings a backslash is doubled and a surrogate stands as ``\\udxxx``.
"""

import functools
import re
import zlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

import attrs

from sunwell.errors import JournalError
from sunwell.journal.plain import plain_json, writer
from sunwell.journal.records import Record, RunOpened, Unknown
from sunwell.journal.shapes import kinds, readers

if TYPE_CHECKING:
    import msgspec

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
