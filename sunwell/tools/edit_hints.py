"""Says why a piece of text that was to be replaced is not in a file, so that the next attempt works."""

import difflib
import html
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator

from sunwell.tools.piece import difference_of, folded
from sunwell.tools.text_file import lines_of
from sunwell.tools.wording import counted, visible

_MOST_VOTING = 20_000  # lines that are compared as a whole
_MOST_COMPARED = 3_000  # lines that are compared letter by letter
_MOST_PIECE = 400
_LONGEST_COMPARED = 5_000
_MOST_DIFFERENCES = 3
_MOST_SHOWN = 30
_MOST_CHARS = 1_600
_LONGEST = 160
_ALIKE = 0.6


def why_not_found(content: str, wanted: str) -> str:
    """Return why *wanted* is not in *content*, as the rest of a sentence, with the closest passage.

    The passage has line numbers and, if it is short, the exact text of the file. The result has at most
    about 3,500 characters.
    """
    slip = _slip(content, wanted)
    if slip:
        return f". {slip}"
    lines = [line.rstrip("\r\n")[:_LONGEST_COMPARED] for line in lines_of(content)]
    piece = [line.rstrip("\r\n")[:_LONGEST_COMPARED] for line in lines_of(wanted)]
    found = _passage(lines, piece)
    if found is None:
        return ". Nothing in the file is similar: read it again, it may be another file or have changed"
    first, last = found
    where = f"line {first + 1}" if last == first + 1 else f"lines {first + 1}-{last}"
    differences = list(_differences(lines[first:last], piece, first))
    told = [f". Closest: {where} of the file.", *differences[:_MOST_DIFFERENCES]]
    if len(differences) > _MOST_DIFFERENCES:
        told.append(f"{counted(len(differences) - _MOST_DIFFERENCES, 'more line')} of old differ.")
    if not differences:
        told.append("Its lines are those of old; old has more or fewer line ends at its start or end.")
    exact = "\n".join(lines[first:last])
    shown = visible(exact)
    if last == first + 1 and differences and len(shown) <= _LONGEST:
        return "\n".join(told)  # the line is there already
    if last - first <= _MOST_SHOWN and len(shown) <= _MOST_CHARS:
        escapes = "" if shown == exact else " (escapes are characters that cannot be seen)"
        told.append(f"The file has there{escapes}:\n{shown}")
    else:
        told.append(f"read_file with start_line={first + 1}, end_line={last} gives its exact text.")
    return "\n".join(told)


_NUMBERED = re.compile(r"[ \t]*(?:[^\s:]+:)?\d+[ ]?[:|→\t]")
_HEADER = re.compile(r"\A[^\n]+: lines \d+-\d+ of \d+[^\n]*\n\n?")
_LEFT_OUT = re.compile(r"[^\w\n]*(?:\.\.\.|…)[^\n]*")


def _slip(content: str, wanted: str) -> str:
    """Return the one mistake without which *wanted* is in *content*; empty if there is none."""
    if _is_in(content, _HEADER.sub("", wanted, count=1)):
        return (
            "old begins with the first line of a result of read_file, which is not in the file: leave it out"
        )
    lines = wanted.splitlines(keepends=True)
    if lines and all(_NUMBERED.match(line) for line in lines):
        bare = [_NUMBERED.sub("", line, count=1) for line in lines]
        if _is_in(content, "".join(bare)) or _is_in(content, "".join(one.removeprefix(" ") for one in bare)):
            return "old has line numbers before its lines, which are not in the file: leave them out"
    plain = wanted.replace("\\r", "").replace("\\n", "\n").replace("\\t", "\t").replace('\\"', '"')
    if _is_in(content, plain) and plain != wanted:
        return 'old is escaped twice: it has \\n, \\t or \\" as two characters; write the character itself'
    if _is_in(content, html.unescape(wanted)) and html.unescape(wanted) != wanted:
        return "old has escapes such as &lt; or &amp; where the file has the characters: write < and &"
    hole = next((n for n, line in enumerate(lines, 1) if _LEFT_OUT.fullmatch(line.strip())), None)
    if hole is not None and len(lines) > 1 and lines[hole - 1] not in content:
        return (
            f"old leaves something out (line {hole} of old is {_shown(lines[hole - 1].strip(), 0)}): write "
            "every line of the piece, or make one edit for each part"
        )
    return ""


def _is_in(content: str, piece: str) -> bool:
    return bool(piece.strip()) and piece in content


def _passage(lines: list[str], piece: list[str]) -> tuple[int, int] | None:
    """Return the lines of the file most like the *piece*, from the first to before the last."""
    bare = [folded(line).strip() for line in piece[:_MOST_PIECE]]
    stripped = [folded(line).strip() for line in lines[:_MOST_VOTING]]
    places: dict[str, list[int]] = {line: [] for line in bare if line}
    for number, line in enumerate(stripped):
        if line in places and len(places[line]) < 200:
            places[line].append(number)
    votes: Counter[int] = Counter()
    for index, line in enumerate(bare):
        for number in places.get(line, ()):
            votes[number - index] += len(line)
    if votes:
        start = min(votes, key=lambda one: (-votes[one], one))
    else:
        index, nearest = _nearest_line(stripped[:_MOST_COMPARED], bare)
        if nearest is None:
            return None
        start = nearest - index
    return _aligned(stripped, bare, start)


def _nearest_line(lines: list[str], bare: list[str]) -> tuple[int, int | None]:
    """Return the place of the most telling line of a piece, and that of the line most similar to it."""
    index = max(range(len(bare)), key=lambda one: len(bare[one]))
    sought = bare[index][:200]
    if not sought:
        return index, None
    numbers: dict[str, int] = {}
    for number, line in enumerate(lines):
        numbers.setdefault(line[:200], number)
    near = difflib.get_close_matches(sought, numbers, 1, _ALIKE)
    if near:
        return index, numbers[near[0]]
    words = set(_WORD.findall(sought))  # a part of a line may be meant
    best = max(numbers, key=lambda line: len(words & set(_WORD.findall(line))), default="")
    shared = len(words & set(_WORD.findall(best)))
    return index, numbers[best] if words and shared * 2 > len(words) else None


_WORD = re.compile(r"\w{2,}")


def _aligned(stripped: list[str], bare: list[str], start: int) -> tuple[int, int]:
    """Return the passage around *start*, longer or shorter than the piece if lines were added or left out."""
    low, high = max(start - len(bare), 0), min(start + 2 * len(bare), len(stripped))
    compared = difflib.SequenceMatcher(None, stripped[low:high], bare, autojunk=False)
    blocks = [block for block in compared.get_matching_blocks() if block.size]
    blocks = [block for block in blocks if any(bare[block.b : block.b + block.size])]
    if not blocks:
        return max(start, 0), max(min(start + len(bare), len(stripped)), max(start, 0) + 1)
    first = low + blocks[0].a - blocks[0].b
    last = low + blocks[-1].a + len(bare) - blocks[-1].b
    return max(first, 0), min(last, len(stripped))


def _differences(there: list[str], piece: list[str], offset: int) -> Iterator[str]:
    """Yield a remark for each line that differs; *offset* is the number of lines before the passage."""
    compared = difflib.SequenceMatcher(
        None,
        [folded(line).strip() for line in there],
        [folded(line).strip() for line in piece],
        autojunk=False,
    )
    for kind, a, b, c, d in compared.get_opcodes():
        if kind in ("equal", "replace"):
            for step in range(min(b - a, d - c)):
                yield from _difference(
                    there[a + step],
                    piece[c + step],
                    offset + a + step + 1,
                    is_first=c + step == 0,
                    is_last=c + step == len(piece) - 1,
                )
        for extra in range(a + max(min(b - a, d - c), 0), b):
            yield f"Line {offset + extra + 1} of the file is missing in old: {_shown(there[extra], 0)}"
        for extra in range(c + max(min(b - a, d - c), 0), d):
            yield f"Line {extra + 1} of old is not in the file there: {_shown(piece[extra], 0)}"


def _difference(line: str, sought: str, number: int, *, is_first: bool, is_last: bool) -> Iterator[str]:
    if line == sought or (is_first and is_last and sought in line):
        return
    if (is_first and sought and line.endswith(sought)) or (is_last and line.startswith(sought)):
        return
    at = next((i for i, (a, b) in enumerate(zip(line, sought, strict=False)) if a != b), len(sought))
    yield (f"Line {number} differs{_how(line, sought)}\nfile: {_shown(line, at)}\nold:  {_shown(sought, at)}")


def _how(line: str, sought: str) -> str:
    """Return what is different in two lines, if it is hard to see."""
    if line.strip() == sought.strip():
        told = []
        for name, one, other in (
            (
                "begins with",
                line[: len(line) - len(line.lstrip())],
                sought[: len(sought) - len(sought.lstrip())],
            ),
            ("ends with", line[len(line.rstrip()) :], sought[len(sought.rstrip()) :]),
        ):
            if one != other:
                told.append(f"the file's line {name} {_named(one)}, old's with {_named(other)}")
        return f": {'; '.join(told)}"
    one, other = folded(line), folded(sought)
    behind = ""
    if one[: len(one) - len(one.lstrip())] != other[: len(other) - len(other.lstrip())]:
        one, other, behind = (
            one.lstrip(),
            other.lstrip(),
            " (counted behind the indentation, which differs, too)",
        )
    at = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), None)
    if at is None or not _is_hard_to_see(one[at], other[at]):
        return ":"
    return f": {difference_of(one, other)}{behind}"


def _is_hard_to_see(one: str, other: str) -> bool:
    return not (one + other).isascii() or (one + other).isspace() or not (one + other).isprintable()


def _named(space: str) -> str:
    """Return ``4 spaces``, ``1 tab and 2 spaces`` or the like."""
    if not space:
        return "no space"
    names = {" ": "space", "\t": "tab"}
    said = [
        counted(count, names.get(sign) or unicodedata.name(sign, f"U+{ord(sign):04X}").lower())
        for sign, count in Counter(space).items()
    ]
    return " and ".join(said)


def _shown(line: str, at: int) -> str:
    """Return *line* as a JSON string, with an escape for all that is not visible; cut around *at*."""
    first = 0 if at < _LONGEST - 40 else at - _LONGEST // 2
    part = line[first : first + _LONGEST]
    signs = (json.dumps(sign, ensure_ascii=visible(sign, kept="") != sign)[1:-1] for sign in part)
    return f'{"…" if first else ""}"{"".join(signs)}"{"…" if first + _LONGEST < len(line) else ""}'
