"""Figures as people read them, and text that cannot take hold of a terminal."""

import re
from decimal import Decimal

from sunwell.tools.wording import without_escapes

_CENT = Decimal("0.01")
_DIRECTIONS = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def dollars(amount: Decimal | None) -> str:
    """Return *amount* rounded for people: cents from a dollar up, more digits below; ``unknown`` for none."""
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
    """Return every digit of *amount* without an exponent, for JSON; unknown stays ``None``."""
    if amount is None:
        return None
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def seconds_text(seconds: float) -> str:
    """Return a length of time: ``0.4 s``, ``12 s``, ``3 min 05 s``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"


def printable(text: str) -> str:
    """Return *text* without control sequences and marks that turn the direction of writing."""
    return _DIRECTIONS.sub("", without_escapes(text))


def one_line(text: str, limit_chars: int = 100) -> str:
    """Return *text* as one printable line, cut with an ellipsis."""
    line = " ".join(printable(text).split())
    return line if len(line) <= limit_chars else line[: limit_chars - 1] + "…"
