"""What a pattern asks of a line: texts that it must hold, and the same in bytes for a quicker engine.

``regex`` can be stopped and knows all of Unicode, and takes two to ten times as long as ``re`` for a search
in bytes. ``re`` cannot be stopped. So a pattern is read here, and goes to ``re`` only where both say the same
of a line (its characters are ASCII) and where no text can make it take long. What is not understood, or may
take long, is left to ``regex``: nothing here says that a pattern is wrong.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress

import attrs

LONGEST_LINE = 2_048
"""Bytes: each line that is searched quickly is shorter, with its end.

All below half of it may be. Whether one between is depends on where it lies, see the windows of the search.
"""
_MOST_STEPS = 12 * LONGEST_LINE
"""So many steps may be taken at most for each place at which a match may begin."""
_MOST_AT_ONCE = _MOST_STEPS * LONGEST_LINE
"""So many steps may be taken at most until the clock is looked at: less than a tenth of a second.

A single line may need as many, and cannot be searched in parts.
"""
_MOST_CASES = 2_000
_DEEPEST = 30
_ALL = frozenset(range(128)) - {10}
_DIGIT = frozenset(range(48, 58))
_WORD = frozenset(ord(one) for one in map(chr, range(128)) if one.isalnum() or one == "_")
_UPPER = frozenset(range(65, 91))
_SPACE = frozenset((9, 11, 12, 13, 32))
_CLASSES = {"d": _DIGIT, "w": _WORD, "s": _SPACE}
_CLASSES |= {name.upper(): _ALL - codes for name, codes in _CLASSES.items()}
_CONTROLS = {"t": "\t", "r": "\r", "f": "\f", "v": "\v", "n": "\n"}
_CASED_AS_ASCII = frozenset("\u0130\u0131\u017f\u212a")
"""Letters beyond ASCII that ``(?i)`` takes for one of ASCII."""
_FLAGS = re.compile(r"\(\?([aimsu]+)\)")
_COUNT = re.compile(r"\{(?:(\d+)(,?)(\d*)|,(\d+))\}", re.ASCII)
_CODE = re.compile(r"\\(?:x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8}))")
_SIGN = re.compile(r"\\([^\w\s]| )", re.ASCII)
_BACK = re.compile(r"\\([1-9])(?!\d)", re.ASCII)
_NAMED = re.compile(r"\(\?P?<[A-Za-z_]\w*>", re.ASCII)
_LOOK = re.compile(r"\(\?<?[=!]")
_OTHER_EDGES = ("\\B", "\\m", "\\M")


class _NotPlain(Exception):
    """The pattern has something that is not understood here, or may take too long."""


@attrs.frozen
class OneOf:
    """One character."""

    codes: frozenset[int]
    """Of ASCII, without the line end; none: a line in ASCII has no such character."""
    written: str = ""
    """The one character that it is, of any script; empty if it may be several."""


@attrs.frozen
class Edge:
    """A border: ``^``, ``$``, or ``b`` for that of a word; ``?``: some other condition."""

    kind: str


@attrs.frozen
class LookAround:
    """What stands, or does not stand, before or behind a place; so many characters long."""

    sign: str
    """``(?=``, ``(?!``, ``(?<=`` or ``(?<!``."""
    within: tuple[OneOf, ...]


@attrs.frozen
class Repeated:
    """Something, several times; ``most`` is ``None`` if there is no bound."""

    of: "Part"
    least: int
    most: int | None


@attrs.frozen
class EitherOf:
    """Alternatives."""

    branches: "tuple[Parts, ...]"


@attrs.frozen
class Captured:
    """A group that is referred to."""

    number: int
    within: "Parts"


@attrs.frozen
class SameAgain:
    """What a group had."""

    number: int


Part = OneOf | Edge | LookAround | Repeated | EitherOf | Captured | SameAgain
Parts = tuple[Part, ...]


@attrs.frozen
class LinePattern:
    """What is known about a pattern."""

    clauses: tuple[tuple[str, ...], ...]
    """Of each, one text at least is in every line with a match, whatever its characters are."""
    is_clause: bool
    """Whether each line that holds a text of the first clause has a match."""
    matches: "QuickSearch | None"
    """How lines in ASCII are searched; ``None``: not with ``re``."""

    @classmethod
    def of(cls, pattern: str) -> "LinePattern | None":
        """Return what is known about *pattern*, which is a valid one of ``regex``; ``None``: nothing."""
        try:
            reader = _PatternReader.of(pattern)
            branches, has_references = reader.all()
        except _NotPlain:
            return None
        clauses = tuple(_clauses((EitherOf(branches),)))
        is_exact = all(all(isinstance(one, OneOf) and one.written for one in each) for each in branches)
        is_exact = is_exact and len(clauses) == 1 and "\r" not in "".join(clauses[0])
        matches = None
        if reader.is_plain:
            with suppress(_NotPlain):
                matches = QuickSearch.of(branches, has_references, reader.is_any_case)
        return cls(clauses, is_exact, matches)


@attrs.frozen
class QuickSearch:
    """Finds matches in lines in ASCII that are at most :data:`LONGEST_LINE` long and end with a line end."""

    expression: re.Pattern[bytes] | None
    """Finds a match with what follows up to the line end, which is not in it; ``None``: there is none."""
    needs_end_before: bool = False
    """Whether a match may begin with the end of the line before."""
    is_every: bool = False
    """Whether each line has a match."""
    is_any_case: bool = False
    """Whether it is searched for in text in lower case."""
    steps: int = 1
    """How many are taken at most from one place in any line."""

    @property
    def bytes_at_once(self) -> int:
        """How many bytes of lines may be searched without a stop, if they are more lines than one."""
        return _MOST_AT_ONCE // max(self.steps, 1)

    def folded(self, data: bytes) -> bytes:
        """Return what is searched in place of *data*."""
        return data.lower() if self.is_any_case else data

    @classmethod
    def of(cls, branches: tuple[Parts, ...], has_references: bool, is_any_case: bool) -> "QuickSearch":
        """Raises ``_NotPlain`` if ``re`` may take long, or may find other lines."""
        if is_any_case:  # of each letter, either both are meant or none
            branches = tuple(_transformed(each, lambda one: OneOf(one.codes - _UPPER)) for each in branches)
        alive = [one for one in map(_alive, branches) if one is not None]
        if not has_references:
            alive = [_shortened(one) for one in alive]
        if not alive:
            return cls(None)
        if any(map(_is_everywhere, alive)):
            return cls(None, is_every=True)
        for one in alive:
            is_line = (one[0], one[-1]) == (Edge("^"), Edge("$"))  # from one line end to the next
            if (_least(one) == 0 and not is_line) or any(map(_has_inner_edge, one)):
                raise _NotPlain
            if Edge("^") in one[1:] or Edge("$") in one[:-1]:
                raise _NotPlain
        cases = _Cases()
        steps = sum(map(cases.steps, alive))
        if steps > _MOST_STEPS:
            raise _NotPlain
        numbers: dict[int, int] = {}
        written = b"|".join(_written(one if has_references else _from_text(one), numbers) for one in alive)
        begins = any(one[:1] == (Edge("^"),) for one in alive)
        whole = written if len(alive) == 1 else b"(?:" + written + b")"
        expression = re.compile(whole + rb"[^\n]*")
        return cls(expression, begins, is_any_case=is_any_case, steps=steps)


@attrs.define(eq=False)
class _PatternReader:
    """Reads a pattern of ``regex``, of which it knows the plain part."""

    text: str
    at: int
    is_any_case: bool
    groups: int = 0
    references: set[int] = attrs.field(factory=set)
    is_named: bool = False
    is_plain: bool = True
    """Whether ``re`` can do all that was read."""
    depth: int = 0

    @classmethod
    def of(cls, pattern: str) -> "_PatternReader":
        flags = _FLAGS.match(pattern)
        return cls(pattern, flags.end() if flags else 0, flags is not None and "i" in flags[1])

    def all(self) -> tuple[tuple[Parts, ...], bool]:
        """Return the alternatives, and whether anything refers to a group."""
        branches = self._branches()
        if self.at != len(self.text):
            raise _NotPlain
        if not self.references:
            return tuple(map(_without_groups, branches)), False
        own = {one.number for one in branches[0] if isinstance(one, Captured)}
        if len(branches) > 1 or self.is_named or self.is_any_case or not self.references <= own:
            raise _NotPlain
        kept = self.references
        return (_without_groups(branches[0], kept),), True

    def _branches(self) -> tuple[Parts, ...]:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise _NotPlain
        found: list[Parts] = []
        parts: list[Part] = []
        while self.at < len(self.text) and self.text[self.at] != ")":
            if self.text[self.at] == "|":
                self.at += 1
                found.append(tuple(parts))
                parts = []
            else:
                parts += self._times(self._part())
        self.depth -= 1
        return (*found, tuple(parts))

    def _times(self, parts: Parts) -> Parts:
        """Return *parts* as often as what follows says."""
        one = self.text[self.at : self.at + 1]
        if one in ("*", "+", "?"):
            least, most = {"*": (0, None), "+": (1, None), "?": (0, 1)}[one]
            self.at += 1
        elif one == "{":
            found = _COUNT.match(self.text, self.at)
            if found is None:
                raise _NotPlain
            self.at = found.end()
            least = int(found[1] or 0)
            most = (
                int(found[4]) if found[4] else least if not found[2] else int(found[3]) if found[3] else None
            )
        else:
            return parts
        after = self.text[self.at : self.at + 1]
        if after in ("?", "+"):  # as few as possible, which changes no line that is found, or all or none
            self.at += 1
            self.is_plain = self.is_plain and after == "?"
        if self.text[self.at : self.at + 1] in ("*", "+", "?", "{") and self.at < len(self.text):
            raise _NotPlain
        if any(isinstance(each, Captured) for each in parts):
            parts = tuple(
                attrs.evolve(each, number=0) if isinstance(each, Captured) else each for each in parts
            )
        of = parts[0] if len(parts) == 1 else EitherOf((parts,))
        if _least((of,)) == 0 or (most is not None and most < least):
            raise _NotPlain
        return (Repeated(of, least, most),)

    def _part(self) -> Parts:
        one = self.text[self.at]
        if self.text.startswith(_OTHER_EDGES, self.at):
            self.at += 2
            self.is_plain = False
            return (Edge("?"),)
        if one == "\\":
            return (self._escaped(),)
        if one == "[":
            return (self._set(),)
        if one == "(":
            return self._group()
        if one in "*+?{":
            raise _NotPlain
        self.at += 1
        if one in "^$":
            return (Edge(one),)
        return (OneOf(_ALL) if one == "." else self._character(one),)

    def _character(self, one: str) -> OneOf:
        if self.is_any_case:
            if one in _CASED_AS_ASCII:
                raise _NotPlain
            if not one.isascii():
                return OneOf(frozenset())
            if one.isalpha():
                return OneOf(frozenset(map(ord, (one, one.swapcase()))))
        code = ord(one)
        return OneOf(frozenset((code,)) & _ALL, one if one != "\n" else "")

    def _escaped(self) -> Part:
        name = self.text[self.at + 1 : self.at + 2]
        found = _BACK.match(self.text, self.at)
        if found is not None:
            self.references.add(int(found[1]))
            if int(found[1]) > self.groups:
                raise _NotPlain
            self.at = found.end()
            return SameAgain(int(found[1]))
        if name in ("b", "A", "Z"):
            self.at += 2
            return Edge({"b": "b", "A": "^", "Z": "$"}[name])
        codes, one = self._escape()
        return OneOf(codes) if codes is not None else self._character(one)

    def _escape(self) -> tuple[frozenset[int] | None, str]:
        """Return the class that is escaped here, or the character."""
        name = self.text[self.at + 1 : self.at + 2]
        if name in _CLASSES:
            self.at += 2
            return _CLASSES[name], ""
        if name in _CONTROLS:
            self.at += 2
            return None, _CONTROLS[name]
        if found := _SIGN.match(self.text, self.at):
            self.at = found.end()
            return None, found[1]
        if found := _CODE.match(self.text, self.at):
            code = int(found[1] or found[2] or found[3], 16)
            if code < 0x110000:
                self.at = found.end()
                return None, chr(code)
        raise _NotPlain

    def _set(self) -> OneOf:
        self.at += 1
        is_other = self.text.startswith("^", self.at)
        self.at += is_other
        codes: set[int] = set()
        is_first = True
        while self.at < len(self.text) and (is_first or self.text[self.at] != "]"):
            is_first = False
            first = self._member(codes)
            if (
                first
                and self.text[self.at : self.at + 1] == "-"
                and self.text[self.at + 1 : self.at + 2] != "]"
            ):
                self.at += 1
                last = self._member(set())
                if not last:
                    raise _NotPlain
                self._add(range(ord(first), ord(last) + 1), codes)
            elif first:
                self._add((ord(first),), codes)
        if self.at >= len(self.text):
            raise _NotPlain
        self.at += 1
        return OneOf((_ALL - codes) if is_other else _ALL & codes)

    def _member(self, codes: set[int]) -> str:
        """Return the character at this place; if it is a class, add it to *codes* and return nothing."""
        one = self.text[self.at : self.at + 1]
        if one == "[" or self.text[self.at : self.at + 2] in ("--", "||", "&&", "~~"):
            raise _NotPlain
        if one != "\\":
            self.at += 1
            return one
        found, character = self._escape()
        codes |= found or set()
        return character

    def _add(self, members: Sequence[int], codes: set[int]) -> None:
        if self.is_any_case and any(ord(one) in members for one in _CASED_AS_ASCII):
            raise _NotPlain
        for code in members:
            if code > 127:
                break
            codes |= {code, *(map(ord, chr(code).swapcase()) if self.is_any_case else ())}

    def _group(self) -> Parts:
        number = 0
        if look := _LOOK.match(self.text, self.at):
            self.at = look.end()
            within = self._closed()
            try:
                return (LookAround(look[0], tuple(_fixed(within))),)
            except _NotPlain:
                self.is_plain = False
                return (Edge("?"),)
        if self.text.startswith(("(?:", "(?>"), self.at):
            self.is_plain = self.is_plain and self.text[self.at + 2] == ":"
            self.at += 3
        elif found := _NAMED.match(self.text, self.at):
            self.at, self.is_named = found.end(), True
        elif self.text[self.at + 1 : self.at + 2] in ("?", "*"):
            raise _NotPlain
        else:
            self.at += 1
            self.groups += 1
            number = self.groups
        branches = self._closed()
        parts: Parts = branches[0] if len(branches) == 1 else (EitherOf(branches),)
        return (Captured(number, parts),)

    def _closed(self) -> tuple[Parts, ...]:
        branches = self._branches()
        if self.text[self.at : self.at + 1] != ")":
            raise _NotPlain
        self.at += 1
        return branches


def _fixed(branches: tuple[Parts, ...]) -> Iterator[OneOf]:
    """Yield the characters of what has always the same length."""
    if len(branches) != 1:
        raise _NotPlain
    for one in _without_groups(branches[0]):
        if isinstance(one, OneOf):
            yield one
        elif (
            isinstance(one, Repeated)
            and isinstance(one.of, OneOf)
            and one.least == one.most
            and one.least < LONGEST_LINE
        ):
            yield from (one.of,) * one.least
        else:
            raise _NotPlain


def _without_groups(parts: Parts, kept: Iterable[int] = ()) -> Parts:
    """Return *parts* without groups to which nothing refers."""
    found: list[Part] = []
    for one in parts:
        if isinstance(one, Captured):
            within = _without_groups(one.within)
            found += (Captured(one.number, within),) if one.number in kept else within
        elif isinstance(one, EitherOf):
            branches = tuple(map(_without_groups, one.branches))
            found += branches[0] if len(branches) == 1 else (EitherOf(branches),)
        elif isinstance(one, Repeated):
            within = _without_groups((one.of,))
            found.append(attrs.evolve(one, of=within[0] if len(within) == 1 else EitherOf((within,))))
        elif isinstance(one, SameAgain) and not kept:
            raise _NotPlain  # in a part of the pattern in which no group stays
        else:
            found.append(one)
    return tuple(found)


def _clauses(parts: Parts) -> Iterator[tuple[str, ...]]:
    """Yield texts of which one is in all that *parts* match."""
    run = ""
    for one in _unrolled(parts):
        if isinstance(one, OneOf) and one.written:
            run += one.written
            continue
        if run:
            yield (run,)
        run = ""
        if isinstance(one, EitherOf):
            if len(one.branches) == 1:
                yield from _clauses(one.branches[0])
                continue
            best = [
                max(_clauses(each), key=lambda texts: min(map(len, texts)), default=())
                for each in one.branches
            ]
            if all(best):
                yield tuple(dict.fromkeys(text for texts in best for text in texts))
    if run:
        yield (run,)


def _unrolled(parts: Parts) -> Iterator[Part | None]:
    """Yield *parts* in a row, ``None`` where anything may be between."""
    for one in parts:
        if isinstance(one, Captured):
            yield from _unrolled(one.within)
        elif isinstance(one, Repeated):
            yield None
            if one.least:
                yield one.of
            yield None
        else:
            yield one


def _alive(parts: Parts) -> Parts | None:
    """Return *parts* without what a line in ASCII cannot match; ``None`` if that is all of it."""
    found: list[Part] = []
    for one in parts:
        if isinstance(one, OneOf):
            if not one.codes:
                return None
        elif isinstance(one, LookAround):
            if not all(each.codes for each in one.within):
                if one.sign.endswith("="):
                    return None
                continue
        elif isinstance(one, Repeated):
            within = _alive((one.of,))
            if within is None:
                if one.least:
                    return None
                continue
            one = attrs.evolve(one, of=within[0] if len(within) == 1 else EitherOf((within,)))
        elif isinstance(one, EitherOf):
            branches = tuple(each for each in map(_alive, one.branches) if each is not None)
            if not branches:
                return None
            if len(branches) == 1:
                found += branches[0]
                continue
            one = EitherOf(branches)
        elif isinstance(one, Captured):
            within = _alive(one.within)
            if within is None:
                return None
            one = Captured(one.number, within)
        found.append(one)
    return tuple(found)


def _shortened(parts: Parts) -> Parts:
    """Return *parts* with no more at both ends than is needed for a match.

    If ``a+b`` matches somewhere, ``ab`` does, and the other way round; so do ``(?<=a)b`` and ``ab``.
    """
    kept = list(parts)
    for end, sign in ((0, "(?<="), (-1, "(?=")):
        while kept and isinstance(one := kept[end], Repeated | LookAround):
            if isinstance(one, LookAround):
                if one.sign != sign:
                    break
                kept[end : end + 1 or None] = one.within
                continue
            if one.least:
                kept[end] = attrs.evolve(one, most=one.least)
                break
            kept.pop(end)
    return tuple(kept)


def _transformed(parts: Parts, change: Callable[[OneOf], OneOf]) -> Parts:
    """Return *parts* with each character changed."""
    found: list[Part] = []
    for one in parts:
        if isinstance(one, OneOf):
            one = change(one)
        elif isinstance(one, LookAround):
            one = LookAround(one.sign, tuple(map(change, one.within)))
        elif isinstance(one, Repeated):
            one = attrs.evolve(one, of=_transformed((one.of,), change)[0])
        elif isinstance(one, EitherOf):
            one = EitherOf(tuple(_transformed(each, change) for each in one.branches))
        elif isinstance(one, Captured):
            one = Captured(one.number, _transformed(one.within, change))
        found.append(one)
    return tuple(found)


def _is_everywhere(parts: Parts) -> bool:
    """Whether *parts*, which are shortened, match every line."""
    optional = [one for one in parts if not (isinstance(one, Repeated) and one.least == 0)]
    return optional in ([], [Edge("^")], [Edge("$")])


def _least(parts: Parts) -> int:
    """Return how many characters *parts* match at least."""
    size = 0
    for one in parts:
        if isinstance(one, OneOf):
            size += 1
        elif isinstance(one, Repeated):
            size += one.least * _least((one.of,))
        elif isinstance(one, EitherOf):
            size += min(map(_least, one.branches))
        elif isinstance(one, Captured):
            size += _least(one.within)
    return size


def _has_inner_edge(part: Part) -> bool:
    """Whether a border of the line is within *part*."""
    if isinstance(part, Repeated):
        return isinstance(part.of, Edge) or _has_inner_edge(part.of)
    branches = part.branches if isinstance(part, EitherOf) else ()
    within = (part.within,) if isinstance(part, Captured) else branches
    return any(
        (isinstance(one, Edge) and one.kind != "b") or _has_inner_edge(one) for each in within for one in each
    )


@attrs.define(eq=False)
class _Cases:
    """Counts the steps that a match from one place may take at most, in a line of the longest length."""

    asked: int = 0

    def steps(self, parts: Parts) -> int:
        """Return a bound; raises ``_NotPlain`` if there is none, or if finding it takes long."""
        self.asked += 1
        if self.asked > _MOST_CASES:
            raise _NotPlain
        taken = 0
        for at, one in enumerate(parts):
            rest = parts[at + 1 :]
            if isinstance(one, Repeated):
                return taken + self._repeated(one, rest)
            if isinstance(one, EitherOf):
                return taken + sum(1 + self.steps((*each, *rest)) for each in one.branches)
            if isinstance(one, Captured):
                return taken + 1 + self.steps((*one.within, *rest))
            length = LONGEST_LINE if isinstance(one, SameAgain) else 1
            taken += len(one.within) if isinstance(one, LookAround) else length
        return taken

    def _repeated(self, one: Repeated, rest: Parts) -> int:
        if isinstance(one.of, OneOf):
            most = LONGEST_LINE if one.most is None else min(one.most, LONGEST_LINE)
            ends = max(most - one.least + 1, 1)
            if rest and ends > 1 and _is_apart(one.of, rest[0]):
                return most + ends + self.steps(rest)  # where it ends early, what follows fails at once
            return most + ends * (1 + self.steps(rest))
        if one.most is None:
            raise _NotPlain
        if one.most == 0:
            return self.steps(rest)
        fewer = Repeated(one.of, max(one.least - 1, 0), one.most - 1)
        more = self.steps((one.of, fewer, *rest))
        return 1 + more + (0 if one.least else self.steps(rest))


def _is_apart(one: OneOf, following: Part) -> bool:
    """Whether what follows cannot begin where *one* could go on."""
    if isinstance(following, Edge):
        return following.kind == "$"
    if isinstance(following, Repeated) and following.least and isinstance(following.of, OneOf):
        following = following.of
    return isinstance(following, OneOf) and not one.codes & following.codes


def _from_text(parts: Parts) -> Parts:
    """Return the same match, found from its longest plain text on if all before that has a fixed length.

    An engine finds a text by leaps, and anything else character by character.
    """
    before: list[OneOf] = []
    best, size = 0, 0
    for one in parts:
        try:
            before += _fixed(((one,),))
        except _NotPlain:
            break
    for at in range(len(before)):
        length = next((n for n, one in enumerate(before[at:]) if len(one.codes) > 1), len(before) - at)
        if length > size:
            best, size = at, length
    if not best:
        return parts
    read = number = 0
    while read < len(before):
        one = parts[number]
        read += one.least if isinstance(one, Repeated) else 1
        number += 1
    head, text = before[: best + size], before[best : best + size]
    return (*text, LookAround("(?<=", tuple(head)), *before[best + size :], *parts[number:])


def _written(parts: Parts, numbers: dict[int, int]) -> bytes:
    """Return *parts* as an expression of ``re``; *numbers* are those of the groups in it."""
    return b"".join(_one_written(one, numbers) for one in parts)


def _one_written(one: Part, numbers: dict[int, int]) -> bytes:
    if isinstance(one, OneOf):
        return _set_written(one.codes)
    if isinstance(one, Edge):
        return {"^": rb"\n", "$": rb"(?=\n)", "b": rb"\b"}[one.kind]
    if isinstance(one, LookAround):
        return one.sign.encode() + _written(one.within, numbers) + b")"
    if isinstance(one, Repeated):
        most = b"" if one.most is None else b"%d" % one.most
        return b"(?:%s){%d,%s}" % (_one_written(one.of, numbers), one.least, most)
    if isinstance(one, EitherOf):
        return b"(?:" + b"|".join(_written(each, numbers) for each in one.branches) + b")"
    if isinstance(one, Captured):
        numbers[one.number] = len(numbers) + 1
        return b"(" + _written(one.within, numbers) + b")"
    if one.number not in numbers:
        raise _NotPlain
    return b"(?:\\%d)" % numbers[one.number]


def _set_written(codes: frozenset[int]) -> bytes:
    if codes == _ALL:
        return rb"[^\n]"
    if len(codes) == 1:
        return re.escape(bytes(codes))
    negated = len(codes) > 64
    members = _ALL - codes | {10} if negated else codes
    return (b"[^" if negated else b"[") + b"".join(rb"\x%02x" % one for one in sorted(members)) + b"]"
