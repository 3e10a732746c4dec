"""Turns bytes and raw text into text that is safe and short enough for a model."""

import re

_ESCAPES = re.compile(
    r"\x1b\[[0-?]{0,64}[ -/]{0,8}[@-~]"  # colours, cursor
    r"|\x1b[\]PX^_][^\x07\x1b]{0,4000}(?:\x07|\x1b\\)?"  # titles, links, device strings
    r"|\x1b[ -/]{0,8}[0-~]?"
    r"|\x9b[0-?]{0,64}[ -/]{0,8}[@-~]"
)
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def without_escapes(text: str) -> str:
    """Return *text* without terminal control sequences; a lone carriage return ends a line."""
    text = _ESCAPES.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    return _CONTROLS.sub("", text)


def on_one_line(name: str) -> str:
    """Return a file's name so that it cannot break out of its line."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)


def cut(text: str, limit_chars: int) -> str:
    """Return *text*, or its head and tail within about *limit_chars* with what was cut between them."""
    if len(text) <= limit_chars:
        return text
    head = limit_chars * 2 // 3
    tail = limit_chars - head
    gone = len(text) - head - tail
    middle = f"\n[{gone:,} of {len(text):,} characters were cut out here]\n"
    return text[:head] + middle + text[len(text) - tail :]


def counted(number: int, thing: str) -> str:
    """Return ``1 line``, ``2 lines``, ``1,000 lines``."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def refusal_of(tool: str) -> str:
    """Return what the model is told if its call to *tool* was not approved."""
    return f"{tool} was not approved, so it was not done; do not try the same again"
