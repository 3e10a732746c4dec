"""Formats figures for people, and makes text safe for a terminal."""

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any

from sunwell.core.marks import guarded_from_report
from sunwell.tools.wording import shown, visible

_CENT = Decimal("0.01")
_SPACES = re.compile("[ \n\t\xa0\u1680\u2000-\u200a\u202f\u205f\u3000]+")
_NOT_ASCII = re.compile("[^ -~\n]")


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


_FIRST = re.compile(r"^[^\x00-\x7f]", re.MULTILINE)


def printable(text: str) -> str:
    """Return *text*, an answer or another text of several lines, safe for a terminal.

    What a terminal acts on or does not show is shown as an escape, see :func:`~sunwell.tools.wording.shown`;
    a line that looks like one of Sunwell's own report gets a backslash. Line ends become line feeds.
    """
    safe = shown(text.replace("\r\n", "\n"))
    if not safe.isascii():  # a mark at the beginning of a line is drawn on the line above
        safe = _FIRST.sub(lambda found: _escaped_marks(found[0]), safe)
    return guarded_from_report(safe)


def report_text(lines: Iterable[str]) -> str:
    """Return *lines* of a report as one text, of which each stays one line, whatever was put into it.

    All lines that are joined to a text pass here: what breaks a line in a value from outside, such as the id
    that a provider gives its model, is shown as an escape.
    """
    return "\n".join([shown(line, kept="\t") for line in lines])


def _escaped_marks(first: str) -> str:
    if not unicodedata.category(first).startswith("M"):
        return first
    return f"\\u{ord(first):04x}" if ord(first) < 0x10000 else f"\\U{ord(first):08x}"


def json_text(value: Any, indent: int | None = 2, *, ascii_only: bool = False) -> str:
    """Return *value* as JSON; see :func:`json_shown`."""
    return json_shown(json.dumps(value, ensure_ascii=ascii_only, indent=indent), ascii_only=ascii_only)


def json_shown(text: str, *, ascii_only: bool = False) -> str:
    """Return *text*, which is JSON; what a terminal acts on or does not show becomes an escape.

    So does half of a surrogate pair, and with *ascii_only* all that is not ASCII. The value stays the same.
    """
    return _NOT_ASCII.sub(lambda match: _json_escape(match[0], ascii_only), text)


def _json_escape(sign: str, ascii_only: bool) -> str:
    if not ascii_only and shown(sign) == sign:
        return sign
    units = sign.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


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
        line = visible(line, kept="", joins=True)
    return line if len(line) <= limit_chars else line[: limit_chars - 1] + "…"


_MAIN_ARGUMENT = re.compile(r"\b(?:path|command|query|pattern)=('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")")


def told_arguments(summary: str) -> str:
    """Return the part of a tool call's *summary* that a person wants to see: the path or the command."""
    found = _MAIN_ARGUMENT.search(summary)
    return one_line(found.group(1)[1:-1] if found else summary, 60)


def told_tool(name: str) -> str:
    """Return the *name* of a tool, safe to print: a model may have invented it."""
    return one_line(name, 64)
