"""Formats figures for people, and makes text safe for a terminal."""

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any

from sunwell.core.lens import LensSource
from sunwell.core.marks import guarded_from_report
from sunwell.tools.wording import shown, visible

_CENT = Decimal("0.01")
_SMALLEST = Decimal("0.0001")
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


def rounded(amount: Decimal | None) -> str:
    """Return *amount* with few digits, for a status line, where it changes all the time."""
    if amount is None or amount <= 0 or amount >= _CENT:
        return dollars(amount if amount is None else round(amount, 2))
    return f"${amount:.4f}" if amount >= _SMALLEST else f"under ${_SMALLEST}"


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


def command_end(exit_code: int | None, seconds: float | None) -> str:
    """Return how a command ended: ``exit 3, 0.4 s``, or ``killed`` if it did not finish."""
    end = "killed" if exit_code is None else f"exit {exit_code}"
    return end if seconds is None else f"{end}, {seconds_text(seconds)}"


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
    line = one_line(text, max(columns, 1))
    if columns_of(line) <= columns:
        return line
    line = one_line(text)
    return f"{_beginning(line, _most_signs(line, columns - 1))}…"


def fitted_name(text: str, columns: int) -> str:
    """Return a path or the id of a model in a limited number of columns: its end, from a slash on."""
    line = one_line(text)
    while columns_of(line) > columns:
        rest = line.removeprefix("…/").partition("/")[2]
        if not rest:
            return fitted(line, columns)
        line = f"…/{rest}"
    return line


def _most_signs(line: str, columns: int) -> int:
    """Return how many characters of *line* fit into so many columns."""
    for kept, sign in enumerate(line):
        columns -= _columns_of(sign)
        if columns < 0:
            return kept
    return len(line)


_LONGEST_WORD = 40
"""What is longer is no word: a sum, or a text in a script without spaces."""


def _beginning(line: str, most: int) -> str:
    """Return the beginning of *line*, at most so many characters, with a whole word or folder at its end.

    A word is cut only if it comes first, or is so long that it is none.
    """
    head = line[:most]
    if line[most : most + 1] in ("", " "):
        return head.rstrip(" ")
    at = max(head.rfind(" "), head.rfind("/") + 1)
    end = line.find(" ", most)
    if at <= 0 or (len(line) if end < 0 else end) - at > _LONGEST_WORD:
        return head
    return head[:at].rstrip(" ·,;:(") or head


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


def one_line(text: str, limit_chars: int = 1_000) -> str:
    """Return *text* as one line, cut with an ellipsis; white space collapses, the invisible is escaped.

    It is cut between words and folders, see :func:`fitted` for the width of a terminal.
    """
    line = _SPACES.sub(" ", text).strip(" ")
    if not (line.isascii() and line.isprintable()) or "\\" in line:
        line = visible(line, kept="", joins=True)
    return line if len(line) <= limit_chars else f"{_beginning(line, limit_chars - 1)}…"


_MAIN_ARGUMENT = re.compile(r"\b(?:path|command|query|pattern)=('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")")


def told_arguments(summary: str) -> str:
    """Return the part of a tool call's *summary* that a person wants to see: the path or the command."""
    found = _MAIN_ARGUMENT.search(summary)
    return one_line(found.group(1)[1:-1] if found else summary)


def told_tool(name: str) -> str:
    """Return the *name* of a tool, safe to print: a model may have invented it."""
    return one_line(name, 64)


_LONGEST_TASK = 120


def source_said(source: LensSource | None) -> str:
    """Return where a lens comes from, in words; empty if there is nothing to say."""
    if source is None:
        return ""
    kept = f"written on {source.written_on} for: {one_line(source.written_for, _LONGEST_TASK)}"
    why = "; ".join(map(one_line, source.reasons))
    if source.how == "taken":
        saved = "" if source.saved_usd is None else f", {dollars(source.saved_usd)} saved"
        return f"taken from the store, {kept}; nothing paid{saved}"
    if source.how == "changed":
        return f"changed from a kept one, {kept}" + (f"; {why}" if why else "")
    return f"written anew: {why}" if why else ""
