"""Sections of a text: by the headings of Markdown, by the definitions of source, else by empty lines."""

import re
from collections.abc import Iterator, Sequence

import attrs

from sunwell.context.outline import is_code, outline
from sunwell.core.markdown import kinds_of_lines

MOST_CHARACTERS = 4_000
"""Longest section; a longer one is divided between lines, and a longer line within it."""
_MARKDOWN = (".md", ".markdown", ".mdx", ".mdown")
_HEADING = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*?))?[ \t#]*$")
_UNDERLINE = re.compile(r" {0,3}=+[ \t]*$")
_HEADING_CHARACTERS = 200
_PIECE_LINES = 40


@attrs.frozen
class Section:
    """Lines of a text that belong together. Lines count from 1 and end at ``"\\n"`` alone."""

    first_line: int
    last_line: int
    heading: str
    """Headings above it, the outermost first, or the definition that it is; empty for none."""
    text: str


def sections_of(path: str, text: str) -> tuple[Section, ...]:
    """Return the sections of *text*, the content of the file *path*, in their order; blank ones left out."""
    lines = text.split("\n")
    if path.lower().endswith(_MARKDOWN):
        starts = _of_headings(lines)
    elif is_code(path):
        starts = _of_definitions(path, text)
    else:
        starts = _of_pieces(lines)
    if not starts or starts[0][0] > 1:
        starts = [(1, ""), *starts]
    ends = [first - 1 for first, _ in starts[1:]] + [len(lines)]
    found: list[Section] = []
    for (first, heading), last in zip(starts, ends, strict=True):
        found += _divided(lines, first, last, heading[:_HEADING_CHARACTERS])
    return tuple(found)


def _of_headings(lines: Sequence[str]) -> list[tuple[int, str]]:
    found: list[tuple[int, str]] = []
    above: list[tuple[int, str]] = []
    for number, (kind, line) in enumerate(kinds_of_lines(lines), 1):
        if kind != "text":
            continue
        level, title, first = 0, "", number
        if heading := _HEADING.match(line[: _HEADING_CHARACTERS * 2]):
            level, title = len(heading[1]), heading[2] or ""
        elif number > 1 and _UNDERLINE.match(line[:_HEADING_CHARACTERS]) and lines[number - 2].strip():
            level, title, first = 1, lines[number - 2].strip(), number - 1
        if level:
            above = [one for one in above if one[0] < level] + [(level, title.strip())]
            found.append((first, " > ".join(name for _, name in above if name)))
    return found


def _of_definitions(path: str, text: str) -> list[tuple[int, str]]:
    found: dict[int, str] = {}
    top = ""
    for one in outline(path, text).definitions:
        if one.depth == 0:
            top = one.signature
        heading = f"{top} > {one.signature}" if one.depth and top else one.signature
        found.setdefault(one.first_line, heading)
    return sorted(found.items())


def _of_pieces(lines: Sequence[str]) -> list[tuple[int, str]]:
    """Begin a piece at the first empty line after enough lines."""
    found, first = [(1, "")], 1
    for number, line in enumerate(lines, 1):
        if number - first >= _PIECE_LINES and not line.strip():
            found.append((number, ""))
            first = number
    return found


def _divided(lines: Sequence[str], first: int, last: int, heading: str) -> Iterator[Section]:
    held: list[str] = []
    size, begin = 0, first
    for number in range(first, last + 1):
        line = lines[number - 1]
        if held and size + len(line) + 1 > MOST_CHARACTERS:
            yield from _unless_blank(begin, number - 1, heading, "\n".join(held))
            held, size, begin = [], 0, number
        while len(line) > MOST_CHARACTERS:
            yield from _unless_blank(number, number, heading, line[:MOST_CHARACTERS])
            line = line[MOST_CHARACTERS:]
        held.append(line)
        size += len(line) + 1
    yield from _unless_blank(begin, last, heading, "\n".join(held))


def _unless_blank(first: int, last: int, heading: str, text: str) -> Iterator[Section]:
    if not text.strip():
        return
    while "\n" in text and not text[text.rindex("\n") :].strip():
        text, last = text[: text.rindex("\n")], last - 1
    yield Section(first, last, heading, text)
