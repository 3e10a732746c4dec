"""What reading any provider's answer needs: JSON decoded with forgiveness, counts, ids of tool calls."""

import json
import math
from collections.abc import Iterable
from typing import Any

import attrs

from sunwell.core.message import Part, Text, Thinking, ToolCall
from sunwell.core.model import Completion, Stop

_LARGEST_COUNT = 2**53


class NotAnAnswer(ValueError):
    """What came cannot be read as an answer. The text goes on in a sentence that begins with the provider."""


class ErrorInAnswer(Exception):
    """The provider reported an error where an answer was expected; the only argument is its error object."""


def decode(data: bytes) -> Any:
    """Return the value that *data* holds. Raises :exc:`NotAnAnswer`.

    Falls back on a slower reader for what some servers write: raw control characters in strings,
    halves of surrogate pairs, NaN.
    """
    import msgspec

    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:
        text = data.decode("utf-8", "replace")
        return json.loads(text, strict=False, parse_constant=lambda _: None, parse_float=_finite)
    except (ValueError, RecursionError):
        raise NotAnAnswer(f"sent what is no JSON: {_excerpt(data)}") from None


def decode_object(data: bytes) -> dict[str, Any]:
    """Return the JSON object that *data* holds. Raises :exc:`NotAnAnswer`."""
    value = decode(data)
    if not isinstance(value, dict):
        raise NotAnAnswer(f"sent JSON that is no object: {_excerpt(data)}")
    return value


def whole(text: str) -> str:
    """Return *text* with pairs of surrogates joined, and lone ones replaced: text that UTF-8 can hold."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def words(value: Any) -> str:
    """Return *value* where it is a string, else an empty one."""
    return whole(value) if isinstance(value, str) else ""


def members(value: Any) -> dict[str, Any]:
    """Return *value* where it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def count(value: Any) -> int | None:
    """Return *value* where it can be a number of tokens, else ``None``."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return int(value) if 0 <= value <= _LARGEST_COUNT and value == int(value) else None


def as_json(value: Any) -> str:
    """Return *value* as compact JSON text."""
    return whole(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def finished(parts: Iterable[Part], stop: Stop, found: Completion) -> Completion:
    """Return *found* with its parts in order: empty text dropped, each tool call with an id of its own."""
    kept: list[Part] = []
    seen: set[str] = set()
    for part in parts:
        if isinstance(part, ToolCall):
            part = ToolCall(_own_id(part.id, seen, found.id), part.name, part.arguments)
            seen.add(part.id)
        elif isinstance(part, Text) and not part.text:
            continue
        kept.append(part)
    if seen and stop in ("end", "other"):  # several gateways say "stop" after tool calls
        stop = "tool_calls"
    return attrs.evolve(found, parts=tuple(kept), stop=stop)


def thinking(text: str, raw: str, origin: str) -> Thinking:
    """Return a block of reasoning whose *raw* can be sent back to *origin*."""
    return Thinking(whole(text), whole(raw), origin)


def _finite(digits: str) -> float | None:
    """Return the number; none that JSON could not hold again."""
    value = float(digits)
    return value if math.isfinite(value) else None


def _own_id(given: str, seen: set[str], answer_id: str) -> str:
    if given and given not in seen:
        return given
    stem, number = given or f"call_{answer_id}", len(seen) + 1
    while f"{stem}_{number}" in seen:
        number += 1
    return f"{stem}_{number}"


def _excerpt(data: bytes) -> str:
    return repr(data[:120].decode("utf-8", "replace")) if data else "nothing at all"
