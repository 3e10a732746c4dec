"""Turns bytes and raw text into text that is safe and short enough for a model."""

import difflib
import re
import unicodedata
from collections.abc import Container, Iterable

from sunwell.core.marks import guarded_part
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
    "\U00016fe4\U0001d159\U000e0100-\U000e01ef]"
)
"""Characters that are printable for Python, but invisible."""
_IN_EMOJI = re.compile(
    "(?<=[\u2190-\u2bff\u3030\u303d\u3297\u3299\U0001f000-\U0001faff])"
    "(?:\ufe0f(?:\u200d(?=[\u2190-\u2bff\U0001f000-\U0001faff]))?"
    "|\u200d(?=[\u2190-\u2bff\U0001f000-\U0001faff]))"
    "|(?<=[0-9#*])\ufe0f(?=\u20e3)"
)
"""What joins or chooses the picture of an emoji."""
_JOINING = "\u0620-\u074a\u0780-\u07b1\u08a0-\u08c9\u0900-\u0dff\u1780-\u17b3"
_IN_WORD = re.compile(f"(?<=[{_JOINING}])[\u200c\u200d](?=[{_JOINING}])")
"""A joiner between letters of a script that is written with it: Arabic, those of India, Khmer."""
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def without_escapes(text: str) -> str:
    """Return *text* without terminal control sequences; a lone carriage return becomes a line break."""
    text = _ESCAPES.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    return _CONTROLS.sub("", text)


def visible(text: str, kept: str = "\n\t", *, joins: bool = False) -> str:
    """Return *text* with escapes for everything that a terminal acts on or does not show.

    Escapes such as ``\\x1b``, ``\\u202e`` or ``\\U000e0041`` replace control characters, direction marks,
    invisible characters and unusual spaces; line breaks and tabs are *kept*. Different texts always look
    different: backslashes before such an escape, or before text that looks like one, are doubled; all
    others stay as they are. With *joins*, joiners and selectors stay inside an emoji, and inside a word of a
    script that is written with them; texts that differ only in these may look the same.
    """
    places: Container[int] = _joins(text) if joins and not text.isascii() else ()
    return _MAYBE_HIDDEN.sub(lambda match: _shown(match, kept, places=places), text)


def shown(text: str, kept: str = "\n\t") -> str:
    """Return *text* safe for a terminal; one that is safe already, such as escaped text, stays as it is.

    As :func:`visible` with *joins*, but an escape that is written out looks like an escape. Where a person
    decides from what is shown, use :func:`visible` or :func:`exact_lines`.
    """
    if text.isprintable() and not _INVISIBLE.search(text):
        return text
    places = () if text.isascii() else _joins(text)
    is_safe = not any(_is_hidden(sign, kept) and at not in places for at, sign in enumerate(text))
    return text if is_safe else visible(text, kept, joins=True)


def _joins(text: str) -> set[int]:
    """Return the places of joiners and selectors that ordinary text needs."""
    return {
        at for form in (_IN_EMOJI, _IN_WORD) for found in form.finditer(text) for at in range(*found.span())
    }


TAB = "\u21e5   "
"""How a tab looks where a person decides."""


def exact_lines(text: str, *, is_diff: bool = False) -> list[str]:
    """Return the lines of *text*, a command or the change of a file, for a person who decides about it.

    Different texts always look different, also if they differ in a tab, in spaces at the end of a line, or in
    whether a letter and its accent are one character. In a diff, an empty line is shown as such although it
    begins with a space.
    """
    return ["" if is_diff and line == " " else _exact(line) for line in text.split("\n")]


def _exact(line: str) -> str:
    escaped = {TAB[0]}
    if not unicodedata.is_normalized("NFC", line):
        escaped |= {sign for sign in set(line) if _may_compose(sign)}
    line = _MAYBE_HIDDEN.sub(lambda match: _shown(match, "\t", escaped), line)
    if line.endswith(" "):
        plain = line[:-1]
        run = len(plain) - len(plain.rstrip("\\"))
        line = plain + run * "\\" + r"\x20"
    return line.replace("\t", TAB)


def _may_compose(sign: str) -> bool:
    """Whether *sign* may look like another text: joined to the letter before it, or as another character."""
    return (
        unicodedata.category(sign).startswith("M")
        or "\u1161" <= sign <= "\u1175"  # parts of a Korean syllable
        or "\u11a8" <= sign <= "\u11c2"
        or not unicodedata.is_normalized("NFC", sign)
    )


def _is_hidden(sign: str, kept: str) -> bool:
    return sign not in kept and (not sign.isprintable() or _INVISIBLE.match(sign) is not None)


def _shown(
    match: "re.Match[str]", kept: str, escaped: Container[str] = (), places: Container[int] = ()
) -> str:
    run, sign = match[1] or "", match[2]
    if sign is None:
        return 2 * match[3]
    if sign not in escaped and (not _is_hidden(sign, kept) or match.start(2) in places):
        return run + sign
    return 2 * run + _escape(ord(sign))


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

    The tail gets *tail_thirds* of three parts. It may begin anywhere in a line, and gets a backslash if it
    would look like a note of Sunwell's.
    """
    if len(text) <= limit_chars:
        return text
    tail = -(-limit_chars * tail_thirds // 3)
    head = limit_chars - tail
    gone = len(text) - head - tail
    middle = f"\n[{gone:,} of {len(text):,} characters were cut out here]\n"
    return text[:head] + middle + guarded_part(text, len(text) - tail)


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
