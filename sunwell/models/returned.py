"""What goes back to a provider: arguments, ids and names that it accepts, and what it wants unchanged.

Every wire format uses it, so that a rule found for one provider applies to all.
"""

import functools
import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from sunwell.core.message import Text, Thinking, ToolCall
from sunwell.models.answers import as_json, members, strict_json, whole
from sunwell.models.written import write_json

_NOT_IN_ID = re.compile(r"[^a-zA-Z0-9_-]")
_NINE = re.compile(r"[a-zA-Z0-9]{9}")
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


@functools.lru_cache(maxsize=256)  # each request and each answer asks
def origin_of(wire_format: str, provider: str, model_id: str) -> str:
    """Return the origin of what the model *model_id* of *provider* writes in *wire_format*."""
    return f"{wire_format}@{provider}/{model_id}"


def goes_back(part: Thinking | Text | ToolCall, origin: str) -> bool:
    """Whether what came with *part* is sent back to the model that *origin* names.

    Signatures and encrypted reasoning are of no use to another model, and its provider may reject them.
    Records of older versions name the wire format alone: their own model cannot be told from others.
    """
    return bool(part.origin) and part.origin in (origin, origin.partition("@")[0])


def extra_of(part: Text | ToolCall, origin: str) -> str:
    """Return the members of *part*'s ``extra``, each after a comma, if they go back, or an empty string."""
    return "," + part.extra.strip()[1:-1] if part.extra and goes_back(part, origin) else ""


def kept(fields: Mapping[str, Any], names: tuple[str, ...]) -> str:
    """Return those *fields* that are in *names* and not empty, as ``extra`` of a part."""
    found = {name: fields[name] for name in names if fields.get(name)}
    return as_json(found) if found else ""


def sound_arguments(arguments: str) -> str:
    """Return the arguments of a tool call as a JSON object, which strict servers require.

    Valid ones are returned as they are. Raw line breaks in strings, which the tools accept, are escaped.
    Anything else becomes the text in an object, so that the model can see what it wrote.
    """
    text = whole(arguments)
    if not text.strip():
        return "{}"
    strict, invalid = strict_json()
    try:
        if isinstance(strict(text), dict):
            return text
    except (invalid, RecursionError):
        pass
    try:
        value = json.loads(text, strict=False, parse_constant=_refuse)
        if isinstance(value, dict):
            return whole(write_json(value))
    except (ValueError, RecursionError):
        pass
    return write_json({"malformed_arguments": text})


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def sound_name(text: str, longest: int) -> str:
    """Return *text* as a name or id of letters, digits, ``_`` and ``-``, of at most *longest* characters."""
    cleaned = _NOT_IN_ID.sub("_", text)
    if cleaned == text and 0 < len(text) <= longest:
        return text
    return f"{cleaned[: longest - 9]}_{_digest(text, 4).hex()}"


def short_id(text: str, longest: int) -> str:
    """Return *text* if it is an id of 1 to *longest* characters, else one that is made of it."""
    return text if 0 < len(text) <= longest else sound_name(text, longest)


def nine_characters(text: str) -> str:
    """Return *text* if it is an id of nine letters or digits, as Mistral requires, else one made of it."""
    if _NINE.fullmatch(text):
        return text
    number, digits = int.from_bytes(_digest(text, 8)), []
    for _ in range(9):
        number, digit = divmod(number, len(_DIGITS))
        digits.append(_DIGITS[digit])
    return "".join(digits)


def _digest(text: str, size: int) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=size).digest()


def joined_details(pieces: list[Any]) -> list[Any]:
    """Return the ``reasoning_details`` of a stream whose *pieces* arrived one by one.

    Pieces of one entry have the same type and index; their texts are joined, other fields are taken from
    the last piece that has them. Entries with different ids, such as the signatures of parallel calls,
    stay apart.
    """
    entries: list[dict[str, Any]] = []
    joined: list[Any] = []
    for piece in pieces:
        if not isinstance(piece, dict):
            joined.append(piece)
            continue
        entry = next((one for one in reversed(entries) if _continues(one, piece)), None)
        if entry is None:
            entries.append(dict(piece))
            joined.append(entries[-1])
        else:
            _grow(entry, piece)
    return joined


def _continues(entry: Mapping[str, Any], piece: Mapping[str, Any]) -> bool:
    if entry.get("type") != piece.get("type"):
        return False
    one, other = entry.get("id"), piece.get("id")
    if one is not None and other is not None and one != other:
        return False
    if entry.get("index") is None or piece.get("index") is None:
        # Without an index, only text can be a continuation: encrypted data arrives in one piece.
        return entry.get("index") is piece.get("index") and "data" not in piece
    return bool(entry["index"] == piece["index"])


def _grow(entry: dict[str, Any], piece: Mapping[str, Any]) -> None:
    for name, value in piece.items():
        before = entry.get(name)
        if name in ("text", "summary", "data") and isinstance(before, str) and isinstance(value, str):
            entry[name] = before + value
        elif value is not None or name not in entry:
            entry[name] = value


def thinking_of(part: Mapping[str, Any]) -> str:
    """Return the text of a content part that is not an answer: Mistral and others send thinking this way."""
    told = part.get("thinking")
    if isinstance(told, list):
        return "".join(text for one in told if isinstance(text := members(one).get("text"), str))
    return told if isinstance(told, str) else ""


def joined_parts(part: dict[str, Any], piece: Mapping[str, Any]) -> bool:
    """Add *piece* to *part* if both are pieces of one thought; return whether they are."""
    if part.get("type") != "thinking" or piece.get("type") != "thinking":
        return False
    one, other = part.get("thinking"), piece.get("thinking")
    if isinstance(one, str) and isinstance(other, str):
        joined: Any = one + other
    elif isinstance(one, list) and isinstance(other, list):
        joined = [*one]
        for chunk in other:
            last = members(joined[-1]) if joined else {}
            texts = (last.get("text"), members(chunk).get("text"))
            if last.get("type") == members(chunk).get("type") and all(isinstance(t, str) for t in texts):
                joined[-1] = {**last, **chunk, "text": f"{texts[0]}{texts[1]}"}
            else:
                joined.append(chunk)
    else:
        return False
    part |= {name: value for name, value in piece.items() if value is not None} | {"thinking": joined}
    return True
