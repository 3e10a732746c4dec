"""Finds a piece of text that a model wrote down, though invisible things differ, and replaces it."""

import difflib
import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    import regex

_SPACES = "\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000"
_MOST_STEPS = 4_000_000  # of a comparison letter by letter, which is quadratic


@cache
def _odd() -> "regex.Pattern[str]":
    """Return the expression for line ends, spaces and accents that have several spellings."""
    import regex

    return regex.compile(rf"\r\n?|[{_SPACES}]|[\p{{M}}\u1160-\u11ff]+", regex.VERSION0)


def _odd_parts(text: str) -> Iterator[tuple[int, int]]:
    """Yield where the parts of *text* are that have several spellings, accents with their letter."""
    if text.isascii() and "\r" not in text:  # the usual case
        return
    last = 0
    for found in _odd().finditer(text):
        start, end = found.span()
        is_accent = text[start] != "\r" and not text[start].isspace()
        if is_accent and start > last and text[start - 1] != "\n":
            start -= 1
        yield start, end
        last = end


def _plain(odd: str) -> str:
    if odd[0] == "\r":
        return "\n"
    return " " if odd.isspace() else unicodedata.normalize("NFC", odd)


@attrs.frozen
class Folded:
    """A text with one spelling for each line end, space and letter, and where its parts come from."""

    text: str
    _at: tuple[int, ...]
    """Where the odd parts end in ``text``, and"""
    _origins: tuple[int, ...]
    """where they end in the original."""
    _starts: frozenset[int]
    """Positions inside of odd parts, at which nothing can start or end."""

    @classmethod
    def of(cls, original: str) -> "Folded":
        parts: list[str] = []
        at, origin, last, size = [0], [0], 0, 0
        inside: set[int] = set()
        for start, end in _odd_parts(original):
            plain = _plain(original[start:end])
            parts += (original[last:start], plain)
            size += start - last
            inside.update(range(size + 1, size + len(plain)))
            size, last = size + len(plain), end
            at.append(size)
            origin.append(last)
        parts.append(original[last:])
        return cls("".join(parts), tuple(at), tuple(origin), frozenset(inside))

    def origin(self, at: int) -> int | None:
        """Return the position in the original for *at*; ``None`` inside of an odd part."""
        if at in self._starts:
            return None
        index = bisect_right(self._at, at) - 1
        return self._origins[index] + at - self._at[index]


def folded(text: str) -> str:
    """Return *text* with one spelling for each line end, space and letter."""
    return Folded.of(text).text


def spans(content: str, old: str) -> Iterator[tuple[int, int]]:
    """Yield where *old* is in *content*, whatever the spelling of line ends, spaces and letters."""
    whole, sought = Folded.of(content), folded(old)
    at = whole.text.find(sought)
    while at >= 0:
        start = whole.origin(at)
        end = whole.origin(at + len(sought))
        if start is not None and end is not None:
            yield start, end
        at = whole.text.find(sought, at + 1)


def replacement(content: str, start: int, end: int, new: str) -> str:
    """Return what to write for *new* in place of a piece of *content*, in the spelling of the file.

    What is the same in both is left as it is. New lines end as the lines that they replace; new letters are
    spelled as the others in the file.
    """
    piece = content[start:end]
    before, after = _LINE.findall(piece), _LINE.findall(new)
    letters = "NFD" if _is_decomposed(content) else None
    ends = [_end_of(line) for line in before if _end_of(line)]
    usual = ends[-1] if ends else _end_around(content, start)
    kept: list[str] = []
    compared = difflib.SequenceMatcher(
        None, [folded(line) for line in before], [folded(line) for line in after], autojunk=False
    )
    for kind, a, b, c, d in compared.get_opcodes():
        if kind == "equal":
            kept += before[a:b]
            continue
        for index, line in enumerate(after[c:d]):
            old = before[a + index] if a + index < b else None
            like = before[min(a + index, b - 1)] if before and b > 0 else ""
            kept.append(_line(old, line, _end_of(like) or usual, letters))
    for index, line in enumerate(kept[1:]):
        if line.startswith("\n") and kept[index].endswith("\r"):  # two line ends would become one
            kept[index] = f"{kept[index][:-1]}\n"
    return "".join(kept)


_LINE = re.compile(r"[^\r\n]*(?:\r\n?|\n)|[^\r\n]+")
_END = re.compile(r"\r\n?|\n")


def _end_of(line: str) -> str:
    return line[len(line.rstrip("\r\n")) :]


def _end_around(content: str, at: int) -> str:
    """Return how the line at *at* ends; the last line takes after the one before it."""
    found = _END.search(content, at)
    if found is not None:
        return found[0]
    before = content.rfind("\n", 0, at)
    return "\r\n" if before > 0 and content[before - 1] == "\r" else "\n"


def _line(old: str | None, new: str, end: str, letters: str | None) -> str:
    """Return the line *new* with the spelling of *old* where both are the same."""
    text = new.removesuffix(_end_of(new))
    if old is not None:
        text = _merged(old.removesuffix(_end_of(old)), text, letters)
    else:
        text = _spelled(text, letters)
    return text + (end if _end_of(new) else "")


def _merged(old: str, new: str, letters: str | None) -> str:
    before, after = _signs(old), _signs(new)
    if len(before) * len(after) > _MOST_STEPS:
        return _spelled(new, letters)
    kept: list[str] = []
    compared = difflib.SequenceMatcher(
        None, [folded(sign) for sign in before], [folded(sign) for sign in after], autojunk=False
    )
    for kind, a, b, c, d in compared.get_opcodes():
        kept += before[a:b] if kind == "equal" else [_spelled("".join(after[c:d]), letters)]
    return "".join(kept)


def _signs(text: str) -> list[str]:
    """Return *text* letter by letter, one of several characters as one."""
    signs: list[str] = []
    last = 0
    for start, end in _odd_parts(text):
        signs += (*text[last:start], text[start:end])
        last = end
    return [*signs, *text[last:]]


def _spelled(text: str, letters: str | None) -> str:
    return unicodedata.normalize("NFD", text) if letters and not text.isascii() else text


def _is_decomposed(content: str) -> bool:
    """Whether the letters of a text that have two spellings are all spelled with separate marks."""
    return (
        not content.isascii()
        and unicodedata.is_normalized("NFD", content)
        and not unicodedata.is_normalized("NFC", content)
    )


def difference_of(there: str, sought: str) -> str:
    """Return the first difference of two texts that look alike, as a part of a sentence."""
    at = next((i for i, (a, b) in enumerate(zip(there, sought, strict=False)) if a != b), None)
    if at is None:
        if len(there) == len(sought):
            return ""
        at = min(len(there), len(sought))
    return f"at character {at + 1} the file has {_named(there[at:])}, old has {_named(sought[at:])}"


def _named(rest: str) -> str:
    if not rest:
        return "its end"
    sign = rest[0]
    name = unicodedata.name(sign, "") or {"\t": "TAB", "\n": "LF", "\r": "CR"}.get(sign, "control character")
    return f"U+{ord(sign):04X} {name}"
