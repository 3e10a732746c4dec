"""How requests are written, the same in every wire format: compact JSON, and equal bytes for equal values."""

import json
from collections.abc import Callable
from functools import lru_cache

import attrs

from sunwell.core.message import Message

write_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
"""Returns a value as JSON text; raises :exc:`ValueError` for a number that JSON does not have."""
write_text = json.encoder.encode_basestring
"""What :func:`write_json` does for text, at once."""


def utf8(text: str) -> bytes:
    """Return *text* as bytes; a lone surrogate, which cannot be sent, becomes a question mark."""
    return text.encode("utf-8", "replace")


def kept_without_schema(write: Callable[..., bytes]) -> Callable[..., bytes]:
    """Return *write*, whose last argument is the schema of the answer; without one, its results are kept.

    The fields of a request are mostly those of the one before. A schema is the caller's dict and may have
    changed since, so with one nothing is kept.
    """
    kept = lru_cache(maxsize=64, typed=True)(write)

    def written(*fields: object) -> bytes:
        return (kept if fields[-1] is None else write)(*fields)

    return written


@attrs.frozen(eq=False)
class RequestFrame:
    """What stands around the messages of a request: the same for a whole conversation, so it is kept."""

    before: tuple[bytes, ...]
    """The body up to the first message, in pieces that sibling requests share."""
    after: bytes
    """The body after the last message."""
    message_format: str
    """A name for the way in which the messages are written."""
    encode: Callable[[Message], bytes]
