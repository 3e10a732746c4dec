"""Turns bytes and raw text into text that is safe and short enough for a model."""

import difflib
import re
from collections.abc import Iterable

from sunwell.core.message import ToolResult

_ESCAPES = re.compile(
    r"\x1b\[[0-?]{0,64}[ -/]{0,8}[@-~]"  # colours, cursor
    r"|\x1b[\]PX^_][^\x07\x1b]{0,4000}(?:\x07|\x1b\\)?"  # titles, links, device strings
    r"|\x1b[ -/]{0,8}[0-~]?"
    r"|\x9b[0-?]{0,64}[ -/]{0,8}[@-~]"
)
_MAYBE_HIDDEN = re.compile(
    r"(?<!\\)(?:(\\*+)([^ -~])|(\\++)(?=x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}))"
)
"""A character outside printable ASCII with the backslashes before it, or backslashes that look like an
escape. The pattern never backtracks: a text may be one long run of backslashes."""
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2800\u3164\ufe00-\ufe0f\uffa0"
    "\U0001d159\U000e0100-\U000e01ef]"
)
"""Characters that are printable for Python, but invisible."""
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def without_escapes(text: str) -> str:
    """Return *text* without terminal control sequences; a lone carriage return becomes a line break."""
    text = _ESCAPES.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    return _CONTROLS.sub("", text)


def visible(text: str, kept: str = "\n\t") -> str:
    """Return *text* with escapes for everything that a terminal acts on or does not show.

    Escapes such as ``\\x1b``, ``\\u202e`` or ``\\U000e0041`` replace control characters, direction marks,
    invisible characters and unusual spaces; line breaks and tabs are *kept*. Different texts always look
    different: backslashes before such an escape, or before text that looks like one, are doubled; all
    others stay as they are.
    """
    return _MAYBE_HIDDEN.sub(lambda match: _shown(match, kept), text)


def _shown(match: "re.Match[str]", kept: str) -> str:
    run, sign = match[1] or "", match[2]
    if sign is None:
        return 2 * match[3]
    is_seen = sign in kept or (sign.isprintable() and not _INVISIBLE.match(sign))
    return run + sign if is_seen else 2 * run + _escape(ord(sign))


def _escape(number: int) -> str:
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def on_one_line(name: str) -> str:
    """Return a file name or other text that cannot break out of its line; see :func:`visible`."""
    return visible(name, kept="")


def quoted(path: str) -> str:
    """Return *path* for a sentence: one line of limited length, in quotes."""
    line = on_one_line(path)
    return f"'{line[:200]}…'" if len(line) > 200 else f"'{line}'"


def cut(text: str, limit_chars: int, tail_thirds: int = 1) -> str:
    """Return *text*, or its head and tail within about *limit_chars*, with a note about the cut.

    The tail gets *tail_thirds* of three parts.
    """
    if len(text) <= limit_chars:
        return text
    tail = -(-limit_chars * tail_thirds // 3)
    head = limit_chars - tail
    gone = len(text) - head - tail
    middle = f"\n[{gone:,} of {len(text):,} characters were cut out here]\n"
    return text[:head] + middle + text[len(text) - tail :]


def counted(number: int, thing: str) -> str:
    """Return ``1 line``, ``2 lines``, ``1,000 lines``."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


KILLED = "killed after "
"""How the result of a command begins that was ended at its time limit."""


def was_killed(result: ToolResult) -> bool:
    """Whether *result*, of a call of run_command, says that the command was ended at its time limit."""
    return result.is_error and result.content.startswith(KILLED)


def refusal_of(tool: str) -> str:
    """Return the result for the model if its call of *tool* was not approved."""
    return f"{tool} was not approved, so it was not done; do not try the same again"


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the one of *known* names that *name* may be a misspelling of; empty if none or several are."""
    listed = list(known)
    plain = _letters(name[:200])
    alike = [one for one in listed if _letters(one) == plain]
    near = alike or difflib.get_close_matches(name[:200], listed, 2, 0.7)
    if len(near) == 2 and not alike:
        first, second = (difflib.SequenceMatcher(None, name[:200], one).ratio() for one in near)
        near = near[:1] if first - second > 0.05 else []
    return near[0] if len(near) == 1 else ""


def _letters(name: str) -> str:
    """Return *name* without a prefix such as ``functions.``, capitals and separators."""
    return re.sub(r"[^a-z0-9]", "", re.split(r"[.:/]", name)[-1].casefold())
