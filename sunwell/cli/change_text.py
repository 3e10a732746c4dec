"""A command or the change of a file as a person sees it: when it is to be approved, planned or recorded."""

import unicodedata
from collections.abc import Iterator

import attrs

from sunwell.report.figures import pieces
from sunwell.tools.wording import counted, exact_lines

_COLOURS = {"+": "green", "-": "red", "@": "cyan"}
_HEAD_LINES, _TAIL_LINES = 160, 40
_LONGEST_LINE = 2_000
GUTTER, FOLDED, ORDERED = "| ", ": ", "= in stored order: "
"""What stands before each line, and before the rest of a line that is longer than the terminal is wide: so no
text can look like a line of Sunwell's own."""


@attrs.frozen
class ShownLine:
    """One row on the terminal."""

    text: str
    colour: str | None = None
    is_cut: bool = False
    """Whether it says that something is left out."""


def change_lines(
    text: str, width: int, *, is_diff: bool, is_whole: bool = True, tells_order: bool = False
) -> Iterator[ShownLine]:
    """Yield *text* in rows of at most *width* columns, each with a sign before it.

    Different texts look different, see :func:`~sunwell.tools.wording.exact_lines`. Without *is_whole*, the
    middle of a long text and the end of a long line are left out, and a row says how much that is. With
    *tells_order*, a line with letters that are read from right to left is followed by the same line with
    escapes for them: many terminals show its words in another order than they are stored in.
    """
    lines = exact_lines(text.removesuffix("\n") if is_diff else text, is_diff=is_diff)
    left_out = 0 if is_whole else len(lines) - _HEAD_LINES - _TAIL_LINES
    for number, line in enumerate(lines):
        if left_out > 0 and _HEAD_LINES <= number < len(lines) - _TAIL_LINES:
            if number == _HEAD_LINES:
                size = sum(len(one) for one in lines[number : len(lines) - _TAIL_LINES])
                yield ShownLine(
                    f"… {counted(left_out, 'line')} with {counted(size, 'character')} not shown here: "
                    "the answer details shows them",
                    is_cut=True,
                )
            continue
        yield from _rows(line, width, is_diff=is_diff, is_whole=is_whole)
        if tells_order and any(unicodedata.bidirectional(sign) in ("R", "AL", "AN") for sign in line):
            stored = ORDERED + line.encode("ascii", "backslashreplace").decode()
            for number, piece in enumerate(pieces(stored, max(20, width - len(FOLDED)))):
                yield ShownLine(f"{FOLDED if number else ''}{piece}")


def _rows(line: str, width: int, *, is_diff: bool, is_whole: bool) -> Iterator[ShownLine]:
    colour = _COLOURS.get(line[:1]) if is_diff else None
    more = 0 if is_whole else len(line) - _LONGEST_LINE
    shown = line[:_LONGEST_LINE] if more > 0 else line
    for number, piece in enumerate(pieces(shown, max(20, width - len(GUTTER)))):
        yield ShownLine(f"{FOLDED if number else GUTTER}{piece}", colour)
    if more > 0:
        yield ShownLine(
            f"… {counted(more, 'character')} of this line not shown here: the answer details shows them",
            is_cut=True,
        )


def is_diff(text: str) -> bool:
    """Whether *text*, the result of a tool, has the form of a difference."""
    return any(line.startswith("@@ ") for line in text.split("\n", 8)[:8])
