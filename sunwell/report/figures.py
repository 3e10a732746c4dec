"""Formats figures for people, and makes text safe for a terminal."""

import json
import re
import unicodedata
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from sunwell.tools.wording import visible, without_escapes

_CENT = Decimal("0.01")
_SPACES = re.compile("[ \n\t\xa0\u1680\u2000-\u200a\u202f\u205f\u3000]+")
_ACTING = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_DIRECTIONS = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def dollars(amount: Decimal | None) -> str:
    """Return *amount* rounded for people: cents from 1 dollar up, more digits below; None: ``unknown``."""
    if amount is None:
        return "unknown"
    size = abs(amount)
    sign = "-" if amount < 0 else ""
    if size == 0:
        return "$0"
    if size >= 1 or size == round(size, 2):
        return f"{sign}${size:,.2f}"
    return f"{sign}${size:.4f}" if size >= _CENT else f"{sign}${size:.6f}"


def exact(amount: Decimal | None) -> str | None:
    """Return all digits of *amount* without an exponent, for JSON; unknown stays ``None``."""
    if amount is None:
        return None
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def seconds_text(seconds: float) -> str:
    """Return a duration: ``0.4 s``, ``12 s``, ``3 min 05 s``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"


def printable(text: str) -> str:
    """Return *text* without control sequences and marks that change the direction of writing.

    Use it for answers. For text that a user must approve, use :func:`~sunwell.tools.wording.visible`.
    """
    return _DIRECTIONS.sub("", without_escapes(text))


def told_line(line: str) -> str:
    """Return *line* safe for a terminal; parts that are already escaped stay as they are."""
    is_safe = all(sign.isprintable() or sign in "\n\t" for sign in line)
    return line if is_safe else visible(line)


def json_text(value: Any, indent: int | None = 2, *, ascii_only: bool = False) -> str:
    """Return *value* as JSON; characters that a terminal acts on become JSON escapes.

    With *ascii_only* so do all that are not ASCII.
    """
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    return _ACTING.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def columns_of(text: str) -> int:
    """Return the width of *text* in terminal columns: wide characters take 2, combining marks 0."""
    if text.isascii():
        return len(text)
    return sum(_columns_of(sign) for sign in text)


def fitted(text: str, columns: int) -> str:
    """Return *text* as one printable line with a limited number of terminal columns."""
    line = one_line(text, columns)
    if columns_of(line) <= columns:
        return line
    room, kept = columns - 1, 0
    for sign in line:
        room -= _columns_of(sign)
        if room < 0:
            break
        kept += 1
    return line[:kept] + "…"


def pieces(line: str, columns: int) -> Iterator[str]:
    """Yield *line* in pieces with a limited number of columns, at least 2; an empty line is one piece."""
    start = taken = 0
    for place, sign in enumerate(line):
        wide = _columns_of(sign)
        if taken + wide > columns:
            yield line[start:place]
            start, taken = place, 0
        taken += wide
    yield line[start:]


def _columns_of(sign: str) -> int:
    if unicodedata.combining(sign) or sign == "\ufe0f":
        return 0
    return 2 if unicodedata.east_asian_width(sign) in "WF" else 1


def one_line(text: str, limit_chars: int = 100) -> str:
    """Return *text* as one line, cut with an ellipsis; white space collapses, the invisible is escaped."""
    line = _SPACES.sub(" ", text).strip(" ")
    if not (line.isascii() and line.isprintable()) or "\\" in line:
        line = visible(line, kept="\ufe0f")  # it turns a character into an emoji
    return line if len(line) <= limit_chars else line[: limit_chars - 1] + "…"


_MAIN_ARGUMENT = re.compile(r"\b(?:path|command|query|pattern)=('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")")


def told_arguments(summary: str) -> str:
    """Return the part of a tool call's *summary* that a person wants to see: the path or the command."""
    found = _MAIN_ARGUMENT.search(summary)
    return one_line(found.group(1)[1:-1] if found else summary, 60)


def told_tool(name: str) -> str:
    """Return the *name* of a tool, safe to print: a model may have invented it."""
    return one_line(name, 64)
