"""Tells a model what nearly matched where an edit did not."""

import difflib

from sunwell.tools.text_file import lines_of

_MOST_LINES = 3_000
_MOST_SHOWN = 3
_LONGEST = 200


def near_misses(content: str, wanted: str) -> str:
    """Return what in *content* comes near to *wanted*, as the rest of a sentence."""
    lines = [line.rstrip("\r\n") for line in lines_of(content)[:_MOST_LINES]]
    piece = [line.rstrip("\r\n") for line in lines_of(wanted)]
    bare = [line.strip() for line in piece]
    stripped = [line.strip() for line in lines]
    for start in range(len(lines) - len(bare) + 1):
        if stripped[start : start + len(bare)] == bare and any(bare):
            last = start + len(bare)
            shown = "\n".join(lines[start:last])[: _LONGEST * 5]
            where = f"line {last}" if last == start + 1 else f"lines {start + 1}-{last}"
            return f"; with other white space it stands in {where}:\n{shown}"
    return _nearest_lines(lines, bare)


def _nearest_lines(lines: list[str], bare: list[str]) -> str:
    sought = max(bare, key=len, default="")[:_LONGEST]
    numbers: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        numbers.setdefault(line.strip()[:_LONGEST], number)
    near = difflib.get_close_matches(sought, numbers, _MOST_SHOWN, 0.6) if sought else []
    if not near:
        return "; nothing in it is near: read the file again"
    shown = "\n".join(f"line {numbers[line]}: {line}" for line in near)
    return f"; nearest to {sought!r} are:\n{shown}"
