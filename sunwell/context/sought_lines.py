"""Lines of a long text that match: what is sought in them, and where they are in a block of bytes."""

import re
from collections.abc import Iterator
from itertools import islice
from time import monotonic, thread_time
from typing import TYPE_CHECKING, Any

import attrs

from sunwell.errors import ToolError
from sunwell.tools.line_patterns import LONGEST_LINE, LinePattern, QuickSearch
from sunwell.tools.search import expression_of, require_pattern

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
"""A text that is in at most one of so many lines leads to the lines that may match."""
_RARE_TO_QUICK = 32
"""The same where all lines can be searched quickly."""
_SLICE = 1 << 16
"""Bytes: no more is searched quickly before the clock is looked at; other threads wait as long."""
_SLOW_SECONDS = 0.02
"""A quick search that takes longer for so much, of the time of the thread, is none."""
_WINDOW = LONGEST_LINE // 2
_OTHERS = 3
"""If more lines than one in so many windows are not in ASCII, they are taken together with others."""
_LINE_END = re.compile(rb"\n")

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

    clauses: tuple[tuple[bytes, ...], ...]
    """Of each, one at least is in each line with a match."""
    is_clause: bool
    """Whether each line that holds one of the first clause has a match."""
    literal: str | None
    """``None``: an expression is sought."""
    expression: "Pattern[str] | None"
    """Matches a line by itself. ``None``: the literal is all that is sought."""
    finder: "Pattern[Any] | None"
    """Finds matches in many lines, each with what follows up to the line end; ``None``: not possible."""
    quick: QuickSearch | None
    """Does the same in bytes, in lines that it is for; of a literal, in all lines."""
    until: float
    seconds: float
    _took_seconds: float = attrs.field(default=0.0, init=False)
    _took_bytes: int = attrs.field(default=0, init=False)
    """Of the quick search, since it was last looked at over a whole slice."""

    @classmethod
    def of(cls, pattern: str, is_literal: bool, seconds: float) -> "SoughtLines":
        """Return the lines with *pattern*; raises :exc:`~sunwell.errors.ToolError` if it cannot be one."""
        until = monotonic() + seconds
        is_plain = is_literal or re.escape(pattern) == pattern
        require_pattern(pattern, is_plain)
        if is_plain:
            data = _encoded(pattern)
            in_bytes = QuickSearch(re.compile(re.escape(data) + rb"[^\n]*"))
            return cls(((data,),), True, pattern, None, None, in_bytes, until, seconds)
        compiled, within = expression_of(pattern), within_lines(pattern)
        finder = None if within is None else expression_of(rf"{within}[^\n]*+\n", by_lines=True)
        known = LinePattern.of(pattern)
        clauses = () if known is None else tuple(tuple(map(_encoded, each)) for each in known.clauses)
        is_clause, quick = (False, None) if known is None else (known.is_clause, known.matches)
        return cls(clauses, is_clause, None, compiled, finder, quick, until, seconds)

    def lines_in(self, data: bytes, at: int = 0) -> Iterator[tuple[int, int]]:
        """Return where the lines with a match are, if *data*, which has whole lines, begins at *at*."""
        self.check()
        texts = self._rare_in(data)
        if texts:
            return self._by_texts(data, texts, at)
        if self.quick is None or self._line_ends_of(data) != "plain":
            return self._by_text(data, at)
        return self._quickly(self.quick, data, at)

    def few_in(self, data: bytes, at: int) -> list[tuple[int, int]] | None:
        """Return what :meth:`lines_in` gives if it looks at few lines; ``None``: at many."""
        return list(self.lines_in(data, at)) if self._rare_in(data) else None

    def count_in(self, data: bytes) -> int:
        """Return how many lines of *data*, which has whole lines, match."""
        self.check()
        kind = self._line_ends_of(data)
        if self._rare_in(data) or kind == "mixed":
            return sum(1 for _ in self.lines_in(data))
        data = data.replace(b"\r\n", b"\n") if kind == "returns" else data
        if self.quick is not None:
            return self._counted_quickly(self.quick, data)
        return self._counted(data)

    def _counted(self, data: bytes) -> int:
        if self.finder is None:
            return sum(1 for _ in self._line_by_line(data, 0))
        return sum(map(len, self._batches(data.decode("utf-8", "surrogateescape"))))

    def is_in_line(self, line: str) -> bool:
        """Whether *line*, without its end, matches."""
        if self.literal is not None:
            return self.literal in line
        return self._match(line, 0) is not None

    def is_in_piece(self, data: bytes, *, is_middle: bool, is_cut: bool) -> bool:
        """Whether *data*, a piece of one line, has a match. *is_middle*: the line began before.

        *is_cut*: it goes on behind *data*, and so a match at the end counts in the next piece.
        """
        self.check()
        line = _shown(data)
        most = len(line) - OVERLAP_CHARS if is_cut else len(line)
        at = 1 if is_middle else 0  # so that it is not taken for the start of the line
        if self.literal is not None:
            return line.find(self.literal, at) >= 0
        found = self._match(line, at)
        return found is not None and found[0] <= most

    def check(self) -> None:
        """Raise :exc:`~sunwell.errors.ToolError` if the time is up."""
        if monotonic() > self.until:
            raise ToolError(
                f"the search was stopped after {self.seconds:g} seconds: search a part, or use a simpler "
                "pattern, or literal"
            )

    def _rare_in(self, data: bytes) -> tuple[bytes, ...]:
        """Return the rarest clause, by a sample of *data*; empty if there is none, or if it is frequent.

        Which one is taken changes the time, and not what is found.
        """
        sample = data[:_SAMPLE]
        counts = [(sum(map(sample.count, texts)), number) for number, texts in enumerate(self.clauses)]
        if not counts:
            return ()
        least, number = min(counts)
        most = sample.count(b"\n") / (_RARE if self.quick is None else _RARE_TO_QUICK)
        return self.clauses[number] if least <= most else ()

    def _line_ends_of(self, data: bytes) -> str:
        """Return whether the lines are what is between two LF (*plain*), between two CR LF, or *mixed*."""
        if self.literal is not None or b"\r" not in data:
            return "plain"
        ends = data.count(b"\r\n")
        if ends == 0 and not data.endswith(b"\r"):
            return "plain"
        return "returns" if ends == data.count(b"\r") == data.count(b"\n") else "mixed"

    def _by_texts(self, data: bytes, texts: tuple[bytes, ...], base: int) -> Iterator[tuple[int, int]]:
        is_enough = self.is_clause and texts is self.clauses[0]
        places = {text: at for text in texts if (at := data.find(text)) >= 0}
        while places:
            at = min(places.values())
            first = data.rfind(b"\n", 0, at) + 1
            last = data.find(b"\n", at) + 1 or len(data)
            if is_enough or self._match(_shown(data[first:last]), 0) is not None:
                yield base + first, base + last
            for text, found in tuple(places.items()):
                if found < last and (following := data.find(text, last)) >= 0:
                    places[text] = following
                elif found < last:
                    del places[text]

    def _counted_quickly(self, quick: QuickSearch, data: bytes) -> int:
        """Return how many lines of *data*, which has plain line ends, match."""
        data, before = _bordered(quick, data)
        count, others, folded = 0, [], quick.folded(data)
        for first, last, is_quick in self._stretches(data, before):
            if not is_quick:
                others.append(data[first:last])
            elif quick.is_every:
                count += data.count(b"\n", first, last)
            elif quick.expression is not None:
                for begin, end in slices(quick, data, first, last):
                    self.check()
                    since = thread_time()
                    count += len(quick.expression.findall(folded, begin - quick.needs_end_before, end))
                    if self._is_slow(since, end - begin):
                        others.append(data[end:last])
                        break
            if self.quick is None and is_quick:
                return count + self._counted(b"".join((*others, data[last:])))
        return count + (self._counted(b"".join(others)) if others else 0)

    def _quickly(self, quick: QuickSearch, data: bytes, base: int) -> Iterator[tuple[int, int]]:
        """Yield where the lines of *data*, which has plain line ends, are that match."""
        whole, before = _bordered(quick, data)
        size, base = base + len(data), base - before
        for first, last in self._places(quick, whole, before):
            yield base + first, min(base + last, size)

    def _places(self, quick: QuickSearch, data: bytes, begin: int) -> Iterator[tuple[int, int]]:
        """Yield where in *data* the lines are, from *begin* on, that match; all have line ends."""
        folded = quick.folded(data)
        for first, last, is_quick in self._stretches(data, begin):
            if not is_quick:
                look = self._by_text if last - first > _SLICE else self._line_by_line
                yield from look(data[first:last], first)
                continue
            for start, end in slices(quick, data, first, last):
                for at in self._ends_in(quick, folded, start, end):
                    yield data.rfind(b"\n", 0, at) + 1, at + 1
                if self.quick is None:
                    yield from self._by_text(data[end:], end)
                    return

    def _ends_in(self, quick: QuickSearch, data: bytes, begin: int, end: int) -> list[int]:
        """Return where the lines end that match, without their line ends."""
        self.check()
        if quick.is_every:
            found = _LINE_END.finditer(data, begin, end)
            return [match.start() for match in found]
        if quick.expression is None:
            return []
        since = thread_time()
        ends = [each.end() for each in quick.expression.finditer(data, begin - quick.needs_end_before, end)]
        self._is_slow(since, end - begin)
        return ends

    def _is_slow(self, since: float, size: int) -> bool:
        """Whether the quick search took long for *size* bytes, and others before; then it is left.

        The other engine can be stopped anywhere.
        """
        self._took_seconds += thread_time() - since
        self._took_bytes += size
        if self.literal is None and self._took_seconds > _SLOW_SECONDS:
            self.quick = None
        if self._took_bytes >= _SLICE:
            self._took_seconds, self._took_bytes = 0.0, 0
        return self.quick is None

    def _stretches(self, data: bytes, first: int) -> Iterator[tuple[int, int, bool]]:
        """Yield lines that stand together, from *first* on, and whether the quick search is for them."""
        if self.literal is not None:
            yield first, len(data), True
            return
        at, others = first, 0
        while at < len(data):
            window = data[at : at + _WINDOW]
            if window.isascii() and b"\n" in window:
                at += _WINDOW
                continue
            place = at + _first_other(window)
            begin = data.rfind(b"\n", first, place) + 1 or first
            end = data.find(b"\n", place) + 1
            others += 1
            if others * _WINDOW * _OTHERS > end:  # nearly all are such lines, or there is a very long one
                end = data.find(b"\n", min(end + _SAMPLE, len(data) - 1)) + 1
            if first < begin:
                yield first, begin, True
            yield begin, end, False
            at = first = end
        if first < len(data):
            yield first, len(data), True

    def _by_text(self, data: bytes, base: int) -> Iterator[tuple[int, int]]:
        kind = self._line_ends_of(data)
        if self.finder is None or kind == "mixed":
            return self._line_by_line(data, base)
        text = data.decode("utf-8", "surrogateescape")
        is_ascii = data.isascii()
        own = base if is_ascii else 0
        if kind == "plain":
            found = self._found_in(text, own)
        else:  # what stands before a line end is no part of the line
            found = _with_returns(text, self._found_in(text.replace("\r\n", "\n"), 0), own)
        return found if is_ascii else _in_bytes(text, found, base)

    def _found_in(self, text: str, base: int) -> Iterator[tuple[int, int]]:
        at, size = 0, len(text)
        for batch in self._batches(text):
            for match in batch:
                start, last = match.span()
                first = text.rfind("\n", at, start) + 1 or at
                at = last
                yield base + first, base + min(last, size)

    def _batches(self, text: str) -> "Iterator[list[Match[Any]]]":
        """Yield one match for each line of *text* that has one, in batches; each ends with the line end.

        An engine that lets other threads run takes twice as long where matches are frequent: there it holds
        them up, for a short time.
        """
        at, finder, holds = 0, self.finder, False
        assert finder is not None
        text = text if text.endswith("\n") else text + "\n"
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

    def _line_by_line(self, data: bytes, base: int) -> Iterator[tuple[int, int]]:
        at = 0
        while at < len(data):
            last = data.find(b"\n", at) + 1 or len(data)
            if self._match(_shown(data[at:last]), 0) is not None:
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


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _bordered(quick: QuickSearch, data: bytes) -> tuple[bytes, int]:
    """Return *data* with a line end behind it, and before it if needed, and how many are before it."""
    before = b"\n" if quick.needs_end_before else b""
    behind = b"" if data.endswith(b"\n") else b"\n"
    return (b"".join((before, data, behind)) if before or behind else data), len(before)


def slices(quick: QuickSearch, data: bytes, first: int, last: int) -> Iterator[tuple[int, int]]:
    """Yield parts of whole lines, each of which *quick* searches in a short time, or which is one line."""
    size = min(quick.bytes_at_once, _SLICE)
    while first < last:
        end = last
        if last - first > size:
            end = data.rfind(b"\n", first, first + size) + 1
            end = end or data.find(b"\n", first + size, last) + 1 or last
        yield first, end
        first = end


def _first_other(window: bytes) -> int:
    """Return where the first character beyond ASCII is; the end if there is none."""
    try:
        window.decode("ascii")
    except UnicodeDecodeError as error:
        return error.start
    return len(window) - 1


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
