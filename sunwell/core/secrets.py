"""Keeps known secrets out of everything that is shown, sent or written."""

import base64
import functools
import html.entities
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from itertools import islice
from operator import attrgetter
from typing import Any, NoReturn, Self, TypeVar, cast

import attrs

_Value = TypeVar("_Value")
_SHORTEST = 6  # shorter values occur in ordinary text, which would be damaged
_SHORTEST_WRAPPED = 12  # parts of a shorter value stand at the ends of lines by chance
_LONGEST_WHOLE = 240
_PIECE = 160
"""Of a longer value, such as a private key, each piece of this length counts by itself, so that a part of
it, one line for example, is found, too."""
_SHORTEST_LINE = 20
_SHORTEST_ANCHOR = 4

_ANSI = r"\x1b\[[0-?]*[ -/]*[@-~]"
_ANSI_CODE = re.compile(_ANSI)
_WITHIN = f"(?:{_ANSI})*"
"""What may stand between two characters of a secret: colours."""
_WRAPPED_WITHIN = rf"(?:(?:{_ANSI})*(?:\r?\n)?(?:{_ANSI})*)"
"""The same, and a line break."""
_LETTER = "(?:3[0-9]|[46][1-9A-Fa-f]|[57][0-9Aa])"
_OTHER_SPELLING = re.compile(r"""[\\%&\x1b+_/'"-]""")
"""Is in each spelling of a secret that is not the plain one, without line breaks."""
_ESCAPED_LETTER = re.compile(  # one class of characters at its beginning: that is searched for fastest
    rf"[%&\\](?:(?<=%)(?:25)?{_LETTER}|(?<=\\)(?:x|u00|U000000){_LETTER}|(?<=\\)[01][0-7]{{2}}"
    rf"|(?<=&)#(?:[xX]0{{0,5}}{_LETTER}|0{{0,5}}(?:4[89]|5[0-7]|6[5-9]|[78][0-9]|90|9[7-9]|1[01][0-9]|12[0-2]));?)"
)
_ANSI_CODE_IN_BYTES = re.compile(_ANSI.encode())
_ESCAPED_LETTER_IN_BYTES = re.compile(_ESCAPED_LETTER.pattern.encode())
_MANY_LETTERS = 3
"""Letters and digits need no escape: a text with so many of them may hide a word by escaping some of it."""


@attrs.define(eq=False)
class _SecretForm:
    """One way in which a secret is written: as it is, in hex or in base64."""

    characters: tuple[str, ...]
    """A regular expression for each character."""
    anchors: tuple[str, ...]
    """Texts of which one is in each text that this form is in; none: it has to be searched for."""
    shown: str
    prefixes: tuple[str, ...]
    """How it may be written plainly."""
    is_piece: bool = False

    @functools.cached_property
    def pattern(self) -> re.Pattern[str]:
        """Finds it. Compiled when it is needed for the first time: that takes milliseconds."""
        is_long = len(self.characters) >= _SHORTEST_WRAPPED
        return re.compile((_WRAPPED_WITHIN if is_long else _WITHIN).join(self.characters))

    @property
    def longest_chars(self) -> int:
        """Length of the longest text that it usually is."""
        return 8 * len(self.characters) + 64

    def may_be_in(self, squeezed: str, is_escaped: bool) -> bool:
        """Whether it can be in the text that is *squeezed*.

        *is_escaped*: whether there are words in it of which letters are escaped.
        """
        if not self.anchors:
            return True
        for anchor in self.anchors:
            if anchor in squeezed:
                return True
        return is_escaped


@attrs.define(eq=False)
class Secrets:
    """The values that must not appear in prompts, journals, events, logs or errors.

    Each is also found in base64 (alone or inside longer data), in hex, with percent-encoding, in the escapes
    of JSON, of Python, of shells and of HTML, with colours of a terminal in it, and across a line break.
    Of a value with several lines or more than 240 characters, each line and each piece is found. Values
    shorter than 6 characters are ignored: replacing them would damage ordinary text.

    It cannot be pickled or copied.
    """

    _known: dict[str, tuple[_SecretForm, ...]] = attrs.field(factory=dict, init=False, repr=False)
    _joined: tuple["Secrets", ...] = attrs.field(default=(), init=False, repr=False)
    """Other ``Secrets`` whose values are replaced, too, including values added to them later."""
    _built: "_Sought | None" = attrs.field(default=None, init=False, repr=False)
    _built_at: object = attrs.field(default=None, init=False, repr=False)
    """What :data:`_latest` held then."""

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("known secrets are not pickled or copied: pass the object itself")

    def joined(self, other: "Secrets") -> "Secrets":
        """Return one that replaces all values that this one and *other* know, now or later."""
        if other is self:
            return self
        both = Secrets()
        both._joined = (self, other)
        return both

    def join(self, other: "Secrets") -> None:
        """Replace all values that *other* knows, now or later, too."""
        if other is not self and other not in self._joined:
            self._joined = (*self._joined, other)
            self._built = None
            _latest[0] = object()

    def add(self, value: str, name: str = "secret") -> None:
        """Remember *value*; in text it is replaced by ``[name]``."""
        value = value.strip().replace("\r\n", "\n")  # which is found with either line end
        if len(value) < _SHORTEST:
            return
        # A new dictionary: other threads may be reading the old one.
        self._known = self._known | {value: _forms_of(value, f"[{name}]")}
        _latest[0] = object()

    @property
    def longest_chars(self) -> int:
        """Length of the longest text that is replaced; 0 if no secret is known."""
        return self._sought().longest_chars

    def redact(self, text: str) -> str:
        """Return *text* with every known secret replaced by its name."""
        spans = self.spans(text)
        if not spans:
            return text
        parts: list[str] = []
        done = 0
        for start, end, shown in spans:
            parts += (text[done:start], shown)
            done = end
        return "".join((*parts, text[done:]))

    def spans(self, text: str) -> list[tuple[int, int, str]]:
        """Return where known secrets are in *text*, in their order, and what is shown in place of each."""
        sought = self._sought()
        return [] if not sought.forms or sought.is_free(text) else self._spans(sought, text)

    @staticmethod
    def _spans(sought: "_Sought", text: str) -> list[tuple[int, int, str]]:
        squeezed = _squeezed(text)
        is_escaped = _may_hide_words(squeezed)
        if not (is_escaped or sought.may_be_in(squeezed)):
            return []  # nearly always
        found = [
            (match.start(), -match.end(), form.is_piece, form.shown)
            for form in sought.forms
            if form.may_be_in(squeezed, is_escaped)
            for match in form.pattern.finditer(text)
        ]
        spans: list[tuple[int, int, str]] = []
        was_piece = False
        for start, negative_end, is_piece, shown in sorted(found):
            end = -negative_end
            if spans and (start < spans[-1][1] or (was_piece and _is_next(text, spans[-1], start, shown))):
                # Of two that overlap nothing may be left; the longer one gives the name.
                first, last, name = spans[-1]
                name = shown if end - start > last - first else name
                spans[-1] = (first, max(end, last), name)
            else:
                spans.append((start, end, shown))
            was_piece = is_piece
        return spans

    @property
    def version(self) -> object:
        """What is another object as soon as a value was added."""
        return self._sought()

    def may_be_in(self, data: bytes) -> bool:
        """Whether a known secret can be in *data*, a text in UTF-8; if not, that is certain.

        It is much quicker than :meth:`spans`.
        """
        sought = self._sought()
        return bool(sought.forms) and not sought.is_free_in_bytes(data)

    def cleaned(self, value: _Value) -> _Value:
        """Return *value* with every known secret replaced in all strings in it, at any depth.

        That goes through attrs objects, tuples, lists and mappings. If there is none, it is *value* itself.
        """
        sought = self._sought()
        if not sought.forms:
            return value
        found: list[str] = []
        _gather((value,), found)
        text = "\0".join(found)
        if sought.is_free(text) or not self._spans(sought, text):
            return value  # nearly always: much cheaper than building everything anew
        return cast(_Value, _replaced(value, self.redact))

    def cleaned_in_json(self, value: _Value) -> _Value:
        """Do what :meth:`cleaned` does with a value that JSON shows all of: that takes much less time.

        Of attrs objects it leaves out private fields, so there must be none.
        """
        sought = self._sought()
        return value if not sought.forms or _is_free_object(sought, value) else self.cleaned(value)

    def may_be_in_json(self, line: bytes) -> bool:
        """Whether :meth:`cleaned` may find anything in a value that *line* is the JSON of, in UTF-8.

        It looks at the whole line at once, which takes less time than to gather all texts of the value.
        """
        sought = self._sought()
        return bool(sought.forms) and not sought.is_free_json(line)

    def may_show(self, text: str) -> bool:
        """Whether :meth:`redact` may put *text*, or a part of it, where it was not before."""
        return any(_overlap(text, shown) for shown in self._shown())

    def placeholders_in(self, text: str) -> tuple[str, ...]:
        """Return the names in brackets that :meth:`redact` shows and that are in *text*."""
        return tuple(sorted(shown for shown in self._shown() if shown in text))

    def _shown(self) -> set[str]:
        return {form.shown for form in self._forms()}

    def _forms(self) -> tuple[_SecretForm, ...]:
        return self._sought().forms

    def _sought(self) -> "_Sought":
        built, latest = self._built, _latest[0]
        if built is not None:
            if self._built_at is latest:
                return built  # nearly always: this is asked for each piece of an answer
            for other, known in built.sources:
                if other._known is not known:  # it is made anew when a secret is added
                    break
            else:
                self._built_at = latest
                return built
        sources = tuple((other, other._known) for other in self._all())
        merged: dict[str, tuple[_SecretForm, ...]] = {}
        for _, known in sources:
            merged |= known
        self._built = _Sought.of(sources, tuple(form for forms in merged.values() for form in forms))
        self._built_at = latest
        return self._built

    def _all(self) -> Iterator["Secrets"]:
        yield self
        for other in self._joined:
            yield from other._all()


_latest = [object()]
"""Another object as soon as any ``Secrets`` of the process has learned or joined anything."""


@attrs.frozen(eq=False)
class _Sought:
    """All that is searched for, and from what it was put together."""

    sources: tuple[tuple[Secrets, dict[str, tuple[_SecretForm, ...]]], ...]
    forms: tuple[_SecretForm, ...]
    anchors: tuple[str, ...] | None
    """The anchors of all forms, which are in ASCII; ``None`` if one of them has none."""

    @classmethod
    def of(
        cls,
        sources: tuple[tuple[Secrets, dict[str, tuple[_SecretForm, ...]]], ...],
        forms: tuple[_SecretForm, ...],
    ) -> Self:
        """Return what is searched for if these are the *forms* of the secrets."""
        each = dict.fromkeys(anchor for form in forms for anchor in form.anchors)
        return cls(sources, forms, tuple(each) if all(form.anchors for form in forms) else None)

    @functools.cached_property
    def beginning(self) -> re.Pattern[str]:
        """Finds each character with which a form can begin, however it is escaped."""
        whole = (form.characters[0] for form in self.forms if not form.prefixes)  # escaped text, no class
        firsts = self.firsts | {one.removeprefix("\\")[0] for one in whole}
        spellings = [re.compile(form.characters[0]) for form in self.forms]
        firsts |= {one for one in map(chr, range(128)) if any(each.fullmatch(one) for each in spellings)}
        return re.compile("[" + "".join(map(re.escape, sorted(firsts | set("\\%&\x1b")))) + "]")

    @functools.cached_property
    def firsts(self) -> frozenset[str]:
        """First characters of the forms as they are written plainly."""
        return frozenset(one[0] for form in self.forms for one in form.prefixes if one)

    @functools.cached_property
    def prefixes(self) -> frozenset[str]:
        """All beginnings of the forms as they are written plainly."""
        plain = (one for form in self.forms for one in form.prefixes)
        return frozenset(one[:size] for one in plain for size in range(1, len(one) + 1))

    @functools.cached_property
    def anchors_in_bytes(self) -> tuple[bytes, ...]:
        """The anchors for :meth:`is_free_in_bytes`."""
        return tuple(map(str.encode, self.anchors or ()))

    @functools.cached_property
    def longest_prefix(self) -> int:
        """Length of the longest of them."""
        return max((len(one) for form in self.forms for one in form.prefixes), default=0)

    @functools.cached_property
    def longest_chars(self) -> int:
        """Length of the longest text that is usually replaced."""
        return max((form.longest_chars for form in self.forms), default=0)

    @functools.cached_property
    def _shortest_chars(self) -> int:
        return min(len(form.characters) if form.prefixes else 0 for form in self.forms)

    @functools.cached_property
    def _in_lower_case(self) -> frozenset[str]:
        return frozenset(map(str.lower, self.prefixes))

    def is_free(self, text: str) -> bool:
        """Whether no form can be in *text*: nothing in it is escaped, and no anchor is there."""
        if self.anchors is None or "%" in text or "&" in text or "\\" in text or "\x1b" in text:
            return False
        squeezed = text.replace("\r", "").replace("\n", "")
        for anchor in self.anchors:  # noqa: SIM110 - all records and events pass here
            if anchor in squeezed:
                return False
        return True

    def is_free_json(self, line: bytes) -> bool:
        """The same for all texts in JSON: without a backslash, only line breaks are escaped in a text."""
        text = line.decode("latin-1")  # bytes in bytes: Python tries a number first, and its error takes time
        if self.anchors is None or "%" in text or "&" in text:
            return False
        if "\\" in text:
            if "\\\\" in text or "\\u" in text:
                return False
            text = text.replace("\\r", "").replace("\\n", "")
        for anchor in self.anchors:  # noqa: SIM110 - all records pass here
            if anchor in text:
                return False
        return True

    def is_free_in_bytes(self, data: bytes) -> bool:
        """The same for a text in UTF-8, in which colours and escapes may be; it may have megabytes."""
        if self.anchors is None:
            return False
        if b"\x1b" in data:
            data = _ANSI_CODE_IN_BYTES.sub(b"", data)
        data = data.replace(b"\r", b"").replace(b"\n", b"")
        return not any(map(data.__contains__, self.anchors_in_bytes)) and not _may_hide_words_in(data)

    def may_begin_in(self, text: str) -> bool:
        """Whether a form may be in *text*, or begin in it and end in what follows."""
        if _OTHER_SPELLING.search(text) is not None:
            return True
        if len(text) >= self._shortest_chars and self.may_be_in(_squeezed(text)):
            return True
        # Written plainly, but for white space in it, and for the case of hex digits.
        tail = "".join(text.split())[-self.longest_prefix :]
        for first in self.beginning.finditer(tail):
            if tail[first.start() :].lower() in self._in_lower_case:
                return True
        return False

    def may_be_in(self, squeezed: str) -> bool:
        """Whether any form may be in the text that is *squeezed*, in which no word is escaped."""
        return self.anchors is None or any(map(squeezed.__contains__, self.anchors))


def _is_free_object(sought: _Sought, value: object) -> bool:
    """Whether *value* can be JSON, and no secret can be in it then."""
    import msgspec

    try:
        return sought.is_free_json(msgspec.json.encode(value))
    except (TypeError, ValueError, OverflowError):
        return False


def _gather(values: Iterable[Any], found: list[str]) -> None:
    """Add all strings in *values* to *found*; by exact types first: all records and events pass here."""
    for value in values:
        kind = type(value)
        if kind is str:
            found.append(value)
        elif kind in _WITHOUT_STRINGS:
            continue
        elif kind in _values_of:
            _gather(_values_of[kind](value), found)
        elif kind is tuple or kind is list:
            if value:
                _gather(value, found)
        elif attrs.has(kind):
            _gather(_values(value), found)
        elif isinstance(value, str):
            found.append(value)
        elif isinstance(value, tuple | list):
            _gather(value, found)
        elif isinstance(value, Mapping):
            _gather(value, found)
            _gather(value.values(), found)


_WITHOUT_STRINGS = frozenset({int, float, bool, type(None), Decimal})


def _replaced(value: Any, redact: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, tuple) and type(value) is not tuple:  # a named one
        return type(value)(*(_replaced(each, redact) for each in value))
    if isinstance(value, tuple | list):
        return type(value)(_replaced(each, redact) for each in value)
    if isinstance(value, Mapping):
        return {_replaced(name, redact): _replaced(each, redact) for name, each in value.items()}
    if attrs.has(type(value)):
        found = {name: getattr(value, name) for name in _fields_of(type(value))}
        made = {name: _replaced(each, redact) for name, each in found.items()}
        return attrs.evolve(value, **{name: each for name, each in made.items() if each != found[name]})
    return value


_values_of: dict[type, Callable[[Any], tuple[Any, ...]]] = {}


def _values(value: Any) -> tuple[Any, ...]:
    """Return the values of the fields of an attrs object; how to get them is noted for its class."""
    kind = type(value)
    if kind not in _values_of:
        names = _fields_of(kind)
        get = attrgetter(*names) if names else lambda _: ()
        _values_of[kind] = (lambda one: (get(one),)) if len(names) == 1 else get
    return _values_of[kind](value)


def _fields_of(kind: Any) -> tuple[str, ...]:
    return tuple(field.name for field in attrs.fields(kind) if field.init)


@attrs.define(eq=False)
class SecretStream:
    """Redacts a text that arrives in pieces: what may be the beginning of a secret is held back."""

    secrets: Secrets
    _held: str = attrs.field(default="", init=False, repr=False)

    def feed(self, text: str) -> str:
        """Return what can be shown after *text* has arrived; it may be empty."""
        held, sought = self._held + text, self.secrets._sought()
        begins = sought.beginning.search(held) if sought.forms else None
        if begins is None or not sought.may_begin_in(
            held
        ):  # nearly always: each piece of an answer comes here
            self._held = ""
            return held
        clear, held = held[: begins.start()], held[begins.start() :]
        spans = self.secrets._spans(sought, held)
        end = _safe_end(sought, held, spans)
        shown, self._held = held[:end], held[end:]
        return clear + (self.secrets.redact(shown) if spans else shown)

    def end(self) -> str:
        """Return the rest, when nothing more arrives."""
        rest, self._held = self._held, ""
        return self.secrets.redact(rest)


def _safe_end(sought: _Sought, held: str, spans: list[tuple[int, int, str]]) -> int:
    """Return up to where *held* can be shown, whatever follows it."""
    first = max(len(held) - sought.longest_chars, 0)
    # Every form without white space in it is in the last word, however it is escaped.
    end = len(held)
    while end > first and not held[end - 1].isspace():
        end -= 1
    places: list[int] = []
    done = first
    for mark in _BETWEEN.finditer(held, first):
        places += range(done, mark.start())
        done = mark.end()
    places += range(done, len(held))
    tail = "".join(held[at] for at in places)
    firsts, prefixes = sought.firsts, sought.prefixes
    ends = range(min(sought.longest_prefix, len(tail)), 0, -1)  # the longest that it may be is found first
    size = next((n for n in ends if tail[-n] in firsts and tail[-n:] in prefixes), 0)
    end = min(end, places[-size]) if size else end
    for start, stop, _ in spans:
        if start < end < stop:
            end = start
    return end


_BETWEEN = re.compile(rf"\s+|{_ANSI}|\x1b(?:\[[0-?]*[ -/]*)?\Z")
"""What may stand within a secret that arrives in pieces, also if it has only begun."""


def _may_hide_words(squeezed: str) -> bool:
    """Whether so many letters of the text are escaped that a word may be among them."""
    if not ("%" in squeezed or "&" in squeezed or "\\" in squeezed):
        return False
    letters = islice(_ESCAPED_LETTER.finditer(squeezed), _MANY_LETTERS)
    return sum(1 for _ in letters) == _MANY_LETTERS


def _may_hide_words_in(squeezed: bytes) -> bool:
    """The same for bytes."""
    if not (b"%" in squeezed or b"&" in squeezed or b"\\" in squeezed):
        return False
    letters = islice(_ESCAPED_LETTER_IN_BYTES.finditer(squeezed), _MANY_LETTERS)
    return sum(1 for _ in letters) == _MANY_LETTERS


def _squeezed(text: str) -> str:
    """Return *text* without what may stand within a secret: line breaks and colours."""
    if "\x1b" in text:
        text = _ANSI_CODE.sub("", text)
    if "\r" in text:
        text = text.replace("\r", "")
    return text.replace("\n", "")


_GAP = re.compile(r"(?:\s|\\{1,3}[nr]){0,8}")


def _is_next(text: str, before: tuple[int, int, str], start: int, shown: str) -> bool:
    """Whether a piece that begins at *start* goes on with what was found before it."""
    return shown == before[2] and _GAP.fullmatch(text, before[1], start) is not None


def _overlap(text: str, shown: str) -> bool:
    if text in shown or shown in text:
        return True
    most = min(len(text), len(shown))
    return any(text.endswith(shown[:n]) or shown.endswith(text[:n]) for n in range(1, most))


@functools.lru_cache(maxsize=200)
def _forms_of(value: str, shown: str) -> tuple[_SecretForm, ...]:
    """Return all forms of *value*. They are kept: each run of a process looks for the same secrets."""
    return tuple(_each_form_of(value, shown))


def _each_form_of(value: str, shown: str) -> Iterator[_SecretForm]:
    lines = [line.strip() for line in value.splitlines()]
    for line in lines if len(lines) > 1 else ():
        if len(line) >= _SHORTEST_LINE and not line.startswith("-----"):
            yield from _forms_of_line(line, shown, is_piece=True)
    if len(value) <= _LONGEST_WHOLE:
        yield from _forms_of_line(value, shown)
    else:  # as it is, all of it: pieces of a text that repeats itself can be found side by side with gaps
        anchor = _anchor(value)
        yield _SecretForm((re.escape(value),), (anchor,) if anchor else (), shown, ())
    if len(value) > _LONGEST_WHOLE and len(lines) == 1:
        # They overlap: of the first and last characters of a piece in base64, not all bits are its own.
        starts = [*range(0, len(value) - _PIECE, _PIECE - 4), len(value) - _PIECE]
        for start in starts:
            yield from _forms_of_line(value[start : start + _PIECE], shown, is_piece=True)


def _forms_of_line(value: str, shown: str, *, is_piece: bool = False) -> Iterator[_SecretForm]:
    data = value.encode("utf-8", "surrogatepass")
    anchor = _anchor(value)
    squeezed = "".join(value.split())
    yield _SecretForm(
        tuple(map(_any_spelling, value)),
        (anchor,) if anchor else (),
        shown,
        (squeezed,),
        is_piece,
    )
    digits = data.hex()
    anchor = _anchor(digits, _DIGIT_RUN)  # the same in either case, and if both are mixed
    yield _SecretForm(
        tuple(map(_either_case, re.findall("..", digits))),
        (anchor,) if anchor else (),
        shown,
        (digits, digits.upper()),
        is_piece,
    )
    for before in range(3):
        # The encoding depends on the offset of the value within a group of three bytes. Of the first and
        # last group, only the characters that depend on the value alone can be searched for.
        written = base64.b64encode(bytes(before) + data).decode()
        own = written[(0, 2, 3)[before] : (before + len(data)) * 8 // 6]
        anchor = _anchor(own)
        yield _SecretForm(
            tuple(_OF_BASE64.get(sign, sign) for sign in own),
            (anchor,) if anchor else (),
            shown,
            (own, own.replace("+", "-").replace("/", "_")),
            is_piece,
        )


_OF_BASE64 = {
    "+": r"(?:[+-]|%(?:25)?2[Bb]|\\{1,3}u002[Bb]|&#43;)",
    "/": r"(?:\\{0,3}/|_|%(?:25)?2[Ff]|\\{1,3}u002[Ff]|&#47;)",
}
_PLAIN_RUN = re.compile("[A-Za-z0-9]+")
_DIGIT_RUN = re.compile("[0-9]+")


def _anchor(written: str, run: re.Pattern[str] = _PLAIN_RUN) -> str:
    """Return the longest part that is written the same however the rest is; empty if that is too short."""
    longest = max(run.findall(written), key=len, default="")
    return longest if len(longest) >= _SHORTEST_ANCHOR else ""


@functools.cache
def _any_spelling(character: str) -> str:
    """Return a regular expression for *character* in every usual escape."""
    code = ord(character)
    data = character.encode("utf-8", "surrogatepass")
    units = character.encode("utf-16-be", "surrogatepass").hex()
    ways = [
        "".join(f"%(?:25)?{_either_case(f'{byte:02x}')}" for byte in data),
        "".join(rf"\\{{1,4}}x{_either_case(f'{byte:02x}')}" for byte in data),
        "".join(rf"\\{{1,4}}u{_either_case(unit)}" for unit in re.findall("....", units)),
        rf"\\{{1,4}}U{_either_case(f'{code:08x}')}",
        "".join(rf"\\{{1,4}}{byte:03o}" for byte in data),
        f"&#0{{0,5}}{code};",
        f"&#[xX]0{{0,5}}{_either_case(f'{code:x}')};",
    ]
    if 127 < code < 256:
        ways.append(rf"\\{{1,4}}x{_either_case(f'{code:02x}')}")
    if (entity := html.entities.codepoint2name.get(code)) is not None:
        ways.append(f"&{entity};")
    ways += _SPECIAL.get(character, ())
    literal = character if character.isalnum() else rf"\\{{0,4}}{re.escape(character)}"
    return f"(?:{'|'.join((literal, *ways))})"


_SPECIAL = {
    " ": (r"\+", r"\r?\n"),
    "\n": (r"\r\n", r"(?:\\{1,4}r)?\\{1,4}n", "[ \t]++"),
    "\t": (r"\\{1,4}t",),
    "'": (r"'\\''", "'\"'\"'", "&apos;"),
}


def _either_case(digits: str) -> str:
    return "".join(f"[{one}{one.upper()}]" if one.isalpha() else one for one in digits)


_HEADER = (
    r"\b(?i:((?:proxy-)?authorization|(?:x-)?(?:goog-)?api-key|(?:set-)?cookie)"
    r"(['\"]{0,2}\s{0,3}[:=]\s{0,3}['\"]{0,2})(?:(?:Bearer|Basic)\s{1,3})?[^\s'\",;\[]{6,})"
)
_WELL_KNOWN = (
    r"\b(?:sk-[A-Za-z0-9_*-]{12,}|gh[oprsu]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}"
    r"|(?:AKIA|ASIA)[A-Z0-9]{16}|xox[abeprs]-[A-Za-z0-9-]{10,}|AIza[\w-]{30,}|hf_[A-Za-z0-9]{20,}"
    r"|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{0,2000})"
)
_CREDENTIALS = (
    (r"\b(?i:([a-z][a-z0-9+.-]{0,20}://)[^\s/@\"'<>]{0,500}:[^\s/@\"'<>]{1,500}@)", r"\1[login]@"),
    (_HEADER, r"\1\2[credential]"),
    (r"\b(?i:(Bearer|Basic)(\s{1,3})[A-Za-z0-9._~+/=-]{12,})", r"\1\2[credential]"),
    (_WELL_KNOWN, "[credential]"),
    (r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----[^-]{0,20000}(?:-----END[A-Z -]{0,50})?", "[private key]"),
)


def without_credentials(message: str) -> str:
    """Return *message* without what looks like a credential, whether or not it is known.

    That is the login in an address, the value of a header for authorization or cookies, a token in the form
    of a well-known provider, and a private key. It is meant for messages of errors, which repeat what was
    sent. Files and answers must not pass through it: there, most of these are examples, and a model that
    edits a file has to see what is in it.
    """
    for pattern, shown in _CREDENTIALS:
        message = re.sub(pattern, shown, message)
    return message
