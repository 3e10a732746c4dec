"""Server-sent events, and JSON in which a cost is a number with all its digits."""

from typing import Any

import msgspec

COMMENT = b": the run goes on\n\n"
_ENCODER = msgspec.json.Encoder(decimal_format="number")


def json_bytes(value: Any) -> bytes:
    """Return *value* as JSON."""
    return _ENCODER.encode(value)


def data_event(value: Any, name: str = "") -> bytes:
    """Return an event with *value* as JSON; *name* is its type, empty for none."""
    head = b"event: %b\n" % name.encode() if name else b""
    return head + b"data: %b\n\n" % json_bytes(value)
