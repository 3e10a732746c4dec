"""Lines of a long text that match: what is sought in them, and where they are in a block of bytes."""

import re
from collections.abc import Iterator
from itertools import islice
from time import monotonic
from typing import TYPE_CHECKING, Any

import attrs

from sunwell.errors import ToolError
from sunwell.tools.search import expression_of, literals_in, require_pattern

if TYPE_CHECKING:
    from regex import Match, Pattern

OVERLAP_CHARS = 1 << 16
"""What two pieces of a very long line have in common: no longer match is found in it."""
_BATCH = 256
_FREQUENT_CHARS = 1_000
"""Matches are frequent if they are not farther apart than this."""
_HELD_SECONDS = 0.02
_SAMPLE = 1 << 16
_RARE = 2
"""A literal that is in at most one of so many lines leads to the lines that may match."""

_FLAGS = re.compile(r"\(\?([aimsu]+)\)")
_GROUP = re.compile(r"\(\?(?:[:=!>]|<[=!]|P?<[A-Za-z_]\w*>|P=\w+|i:)")
_CHARACTER = re.compile(
    r"\\(?:x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|0[0-7]{0,2}|[pP]\{\^?[\w =:&-]+\}|n)", re.ASCII
)
"""Escapes of one character, which may be a line end."""
_WITHIN = re.compile(r"\\(?:[bdwSfrtv]|[1-9](?!\d)|[^\w\s])", re.ASCII)
"""Escapes that match no line end."""
_REPLACED = {
    r"\s": r"[^\S\n]", r"\W": r"[^\w\n]", r"\D": r"[^\d\n]", r"\A": "^", r"\Z": "$", "\n": r"(?:(?!\n)\n)",
}  # fmt: skip
_SET = re.compile(r"\[\^?\]?(?:\\.|\[:\^?\w+:\]|[^\]\\])*\]")
_PLAIN_SET = re.compile(r"\[\^?\]?(?:\\[dwS]|\\[^\w\s]|[^\]\\\[\0-\x1f])*\]", re.ASCII)
"""A set that, if it is not negated, matches no line end, and that has no sets in it."""
_REPEATED = re.compile(r"\{\d*,?\d*\}")
_COST = re.compile(r"\{[\w<]")
"""May begin how many errors a match may have; any other brace is a character."""


def within_lines(pattern: str) -> str | None:
    """Return an expression that finds in many lines, with ``^`` and ``$`` for each, what *pattern* finds.

    What it finds is within one line, and there is a match in a line exactly if *pattern* matches that line by
    itself, without its end. The groups have the same numbers. ``None`` if no such expression is known.
    """
    flags = _FLAGS.match(pattern)
    at, parts = (flags.end() if flags else 0), []
    while at < len(pattern):
        found = _atom(pattern, at)
        if found is None:
            return None
        part, at = found
        parts.append(part)
    kept = "".join(sorted(set(flags[1]) - set("ms"))) if flags else ""  # which mean nothing in one line
    return (f"(?{kept})" if kept else "") + "(?:" + "".join(parts) + ")"


def _atom(pattern: str, at: int) -> tuple[str, int] | None:
    """Return what stands for the part of *pattern* that begins at *at*, and where that part ends."""
    one = pattern[at]
    if one == "\\":
        if pattern[at : at + 2] in _REPLACED:
            return _REPLACED[pattern[at : at + 2]], at + 2
        found = _WITHIN.match(pattern, at)
        if found is not None:
            return found[0], found.end()
        found = _CHARACTER.match(pattern, at)
        return None if found is None else (rf"(?:(?!\n){found[0]})", found.end())
    if one == "[":
        found = _SET.match(pattern, at)
        if found is None:
            return None
        if not _PLAIN_SET.fullmatch(found[0]):
            return rf"(?:(?!\n){found[0]})", found.end()
        if found[0].startswith("[^]"):
            return r"[^\]\n" + found[0][3:], found.end()
        return found[0].replace("[^", r"[^\n", 1) if found[0][1] == "^" else found[0], found.end()
    if one == "(" and pattern[at + 1 : at + 2] in ("?", "*"):
        found = _GROUP.match(pattern, at)
        return None if found is None else (found[0], found.end())
    if one == "{":
        found = _REPEATED.match(pattern, at)
        if found is None and not _COST.match(pattern, at):
            return r"\{", at + 1
        return None if found is None else (found[0], found.end())
    return _REPLACED.get(one, one), at + 1


@attrs.define(eq=False)
class SoughtLines:
    """What is searched for in lines, until a point in time."""

    literals: tuple[bytes, ...]
    """Bytes in each line with a match; none if none are known."""
    expression: "Pattern[str] | None"
    """Matches a line by itself. ``None``: the one literal is all that is sought."""
    finder: "Pattern[Any] | None"
    """Finds matches in many lines, each with what follows up to the line end; ``None``: not possible."""
    until: float
    seconds: float

    @classmethod
    def of(cls, pattern: str, is_literal: bool, seconds: float) -> "SoughtLines":
        """Return the lines with *pattern*; raises :exc:`~sunwell.errors.ToolError` if it cannot be one."""
        import regex

        until = monotonic() + seconds
        is_plain = is_literal or re.escape(pattern) == pattern
        require_pattern(pattern, is_plain)
        if is_plain:
            data = pattern.encode("utf-8", "surrogatepass")
            rest = regex.compile(regex.escape(data) + rb"[^\n]*+\n", regex.VERSION0)
            return cls((data,), None, rest, until, seconds)
        compiled, within = expression_of(pattern), within_lines(pattern)
        finder = None if within is None else expression_of(rf"{within}[^\n]*+\n", by_lines=True)
        literals = {one.encode("utf-8", "surrogatepass") for one in literals_in(pattern) if one}
        return cls(tuple(sorted(literals, key=len, reverse=True)), compiled, finder, until, seconds)

    def lines_in(self, data: bytes, at: int = 0) -> Iterator[tuple[int, int]]:
        """Return where the lines with a match are, if *data*, which has whole lines, begins at *at*."""
        self.check()
        rare = self._rare_in(data)
        if rare:
            return self._by_literal(data, rare, at)
        return self._found_in(data, at) if self.expression is None else self._by_text(data, at)

    def count_in(self, data: bytes) -> int:
        """Return how many lines of *data*, which has whole lines, match."""
        ends = b"" if self.expression is None else b"\r"
        if self.finder is None or self._rare_in(data) or (ends and ends in data):
            return sum(1 for _ in self.lines_in(data))
        self.check()
        text = data if self.expression is None else data.decode("utf-8", "surrogateescape")
        return sum(map(len, self._batches(text)))

    def is_in_line(self, line: str) -> bool:
        """Whether *line*, without its end, matches."""
        if self.expression is None:
            return self.literals[0].decode("utf-8", "surrogatepass") in line
        return self._match(line, 0) is not None

    def is_in_piece(self, data: bytes, *, is_middle: bool, is_cut: bool) -> bool:
        """Whether *data*, a piece of one line, has a match. *is_middle*: the line began before.

        *is_cut*: it goes on behind *data*, and so a match at the end counts in the next piece.
        """
        self.check()
        line = _shown(data)
        most = len(line) - OVERLAP_CHARS if is_cut else len(line)
        at = 1 if is_middle else 0  # so that it is not taken for the start of the line
        if self.expression is None:
            return line.find(self.literals[0].decode("utf-8", "surrogatepass"), at) >= 0
        found = self._match(line, at)
        return found is not None and found[0] <= most

    def check(self) -> None:
        """Raise :exc:`~sunwell.errors.ToolError` if the time is up."""
        if monotonic() > self.until:
            raise ToolError(
                f"the search was stopped after {self.seconds:g} seconds: search a part, or use a simpler "
                "pattern, or literal"
            )

    def _rare_in(self, data: bytes) -> bytes:
        """Return the rarest literal, by a sample of *data*; empty if there is none, or if it is frequent.

        Which one is taken changes the time, and not what is found.
        """
        sample = data[:_SAMPLE]
        counts = [(sample.count(literal), number) for number, literal in enumerate(self.literals)]
        if not counts:
            return b""
        least, number = min(counts)
        return self.literals[number] if least * _RARE <= sample.count(b"\n") else b""

    def _by_literal(self, data: bytes, literal: bytes, base: int) -> Iterator[tuple[int, int]]:
        at = data.find(literal)
        while at >= 0:
            first = data.rfind(b"\n", 0, at) + 1
            last = data.find(b"\n", at) + 1 or len(data)
            if self.expression is None or self._match(_shown(data[first:last]), 0) is not None:
                yield base + first, base + last
            at = data.find(literal, last)

    def _by_text(self, data: bytes, base: int) -> Iterator[tuple[int, int]]:
        text = data.decode("utf-8", "surrogateescape")
        ends = data.count(b"\r\n")
        is_plain = ends == 0 and not data.endswith(b"\r")
        is_ascii = data.isascii()
        own = base if is_ascii else 0
        if self.finder is None or not (is_plain or ends == data.count(b"\r") == data.count(b"\n")):
            found = self._line_by_line(text, own)
        elif is_plain:
            found = self._found_in(text, own)
        else:  # what stands before a line end is no part of the line
            found = _with_returns(text, self._found_in(text.replace("\r\n", "\n"), 0), own)
        return found if is_ascii else _in_bytes(text, found, base)

    def _found_in(self, text: str | bytes, base: int) -> Iterator[tuple[int, int]]:
        at, size, end = 0, len(text), _end_of(text)
        for batch in self._batches(text):
            for match in batch:
                start, last = match.span()
                first = text.rfind(end, at, start) + 1 or at
                at = last
                yield base + first, base + min(last, size)

    def _batches(self, text: str | bytes) -> "Iterator[list[Match[Any]]]":
        """Yield one match for each line of *text* that has one, in batches; each ends with the line end.

        An engine that lets other threads run takes twice as long where matches are frequent: there it holds
        them up, for a short time.
        """
        at, end, finder, holds = 0, _end_of(text), self.finder, False
        assert finder is not None
        text = text if text.endswith(end) else text + end
        while True:
            left = self._left()
            seconds = min(left, _HELD_SECONDS) if holds else left
            found = finder.finditer(text, at, timeout=seconds, concurrent=not holds)
            try:
                while batch := list(islice(found, _BATCH)):
                    yield batch
                    begun, at = at, batch[-1].end()
                    if not holds and at - begun < _BATCH * _FREQUENT_CHARS:
                        holds = True
                        break
                else:
                    return
            except TimeoutError:  # what was found of the batch is found again
                self.check()
                holds = False
            except MemoryError:
                raise _too_much() from None

    def _line_by_line(self, text: str, base: int) -> Iterator[tuple[int, int]]:
        at = 0
        while at < len(text):
            last = text.find("\n", at) + 1 or len(text)
            if self._match(text[at:last].removesuffix("\n").removesuffix("\r"), 0) is not None:
                yield base + at, base + last
            at = last

    def _match(self, text: str, at: int) -> tuple[int, int] | None:
        assert self.expression is not None
        while True:
            try:
                found = self.expression.search(text, at, timeout=self._left(), concurrent=True)
            except TimeoutError:
                self.check()
                continue
            except MemoryError:
                raise _too_much() from None
            return None if found is None else found.span()

    def _left(self) -> float:
        # ``regex`` counts the computing time of all threads, so its time may be up before ours.
        return max(self.until - monotonic(), 0.05)


def _too_much() -> ToolError:
    return ToolError("pattern needs too much memory on a long line; use a simpler one")


def _shown(line: bytes) -> str:
    return line.decode("utf-8", "surrogateescape").removesuffix("\n").removesuffix("\r")


def _end_of(text: str | bytes) -> Any:
    return "\n" if isinstance(text, str) else b"\n"


def _with_returns(text: str, found: Iterator[tuple[int, int]], base: int) -> Iterator[tuple[int, int]]:
    """Yield where in *text*, with CR LF at all line ends, the lines are that were *found* without CR."""
    stripped, done = text.replace("\r\n", "\n"), 0
    for first, last in found:
        base += stripped.count("\n", done, first)
        start = base + first
        base += stripped.count("\n", first, last)
        done = last
        yield start, base + last


def _in_bytes(text: str, found: Iterator[tuple[int, int]], base: int) -> Iterator[tuple[int, int]]:
    """Yield in bytes what was *found* in *text*, which begins at *base*."""
    done = 0
    for first, last in found:
        if first > done:
            base += len(text[done:first].encode("utf-8", "surrogateescape"))
        start, done = base, last
        base += len(text[first:last].encode("utf-8", "surrogateescape"))
        yield start, base
