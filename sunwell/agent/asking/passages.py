"""The context as a script sees it: parts with figures and methods; the text stays with the host."""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date, time, timedelta
from time import monotonic
from typing import Any, Self, cast

import attrs

from sunwell.agent.asking.part_sizes import PartSizes
from sunwell.context.long_context import Handle
from sunwell.core.threads import in_thread
from sunwell.errors import ToolError
from sunwell.tools.python_session import as_object


@attrs.frozen
class Extent:
    """A range by its figures alone."""

    name: str
    start: int
    end: int
    first_line: int
    last_line: int

    @classmethod
    def of(cls, part: Handle) -> Self:
        """Return the figures of *part*."""
        place = part.place
        return cls(place.name, part.start, part.end, place.first_line, place.last_line)

    def __str__(self) -> str:
        return (
            f"{self.name}, lines {self.first_line:,}-{self.last_line:,} (bytes {self.start:,}-{self.end:,})"
        )


@attrs.frozen
class PartInScript:
    """A part of a context in a script: what crosses the border are its figures, and its name there."""

    part: Handle
    start: int
    end: int
    size: int


_ATTRIBUTES = ("start", "end", "size")
_FILES = "files"
_METHODS: Mapping[str, tuple[str, ...]] = {
    "search": ("pattern", "limit", "literal"),
    "count": ("pattern", "literal"),
    "lines": ("first", "last"),
    "part": ("start", "end"),
    "around": ("characters",),
    "chunks": ("characters", "overlap"),
    "place": (),
    "text": (),
}
_DEFAULTS: Mapping[str, Any] = {
    "limit": 100, "literal": False, "last": None, "end": None, "overlap": 0, "characters": None,
}  # fmt: skip
_KINDS: Mapping[str, tuple[type, ...]] = {
    "pattern": (str,),
    "literal": (bool,),
    "last": (int, type(None)),
    "end": (int, type(None)),
    "characters": (int, type(None)),
}
NO_SUCH_ATTRIBUTE = re.compile(r"'PartInScript' object has no attribute '\w+'")
"""What the interpreter says of an attribute that a part does not have."""
PARTS_HAVE = f"a part has {', '.join(f'.{name}' for name in (*_ATTRIBUTES, _FILES))} and " + ", ".join(
    f".{method}({', '.join(names)})" for method, names in _METHODS.items()
)
_MOST_PASSAGES = 200_000
_MOST_FOUND = 100_000
_SEARCH_SECONDS = 30.0
_MOST_TEXT_BYTES = 2_000_000
"""Longest text that enters a session at once: its memory is bounded."""


@attrs.define(eq=False)
class LookingTime:
    """What the host may spend on the calls of one step, without waiting for models and people.

    The interpreter's clock does not see it, and a script that catches errors could search for days.
    """

    most_seconds: float = 120.0
    _used_seconds: float = attrs.field(default=0.0, init=False)

    def begin(self) -> None:
        """Begin a step."""
        self._used_seconds = 0.0

    def left_seconds(self) -> float:
        """Return what is left. Raises :exc:`~sunwell.errors.ToolError` if nothing is."""
        left = self.most_seconds - self._used_seconds
        if left <= 0:
            raise ToolError(
                f"this step has read and searched for {self.most_seconds:g} seconds, which is the most: "
                "search less at a time, or go on in the next step"
            )
        return left

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count the time of the body. Raises :exc:`~sunwell.errors.ToolError` if nothing is left."""
        self.left_seconds()
        began = monotonic()
        try:
            yield
        finally:
            self._used_seconds += monotonic() - began


@attrs.define(eq=False)
class Passages:
    """The passages of one session, found by what identifies them there."""

    sizes: PartSizes
    """Of parts for which a script gives no size."""
    clock: LookingTime = attrs.field(factory=LookingTime)
    stopped: list[int] = attrs.field(factory=list, init=False)
    """Limits of the searches that ended at their limit, since somebody emptied it."""
    _by_id: dict[Any, PartInScript] = attrs.field(factory=dict, init=False)
    touched: dict[str, list[tuple[int, int]]] = attrs.field(factory=dict, init=False)
    """What scripts searched, counted in or took as text, by context, in the order of the calls."""
    _roots: list[Handle] = attrs.field(factory=list, init=False)
    _files: dict[Any, dict[str, Any]] = attrs.field(factory=dict, init=False)

    def whole(self, part: Handle) -> Any:
        """Return *part* as :meth:`shown` does; what is around its parts ends where it does."""
        self._roots.append(part)
        return self.shown(part)

    def attribute_of(self, owner: Any, name: str) -> tuple[Any, bool]:
        """Return what the attribute *name* of the passage *owner* is, and whether there is one."""
        passage = self._by_id.get(owner)
        if passage is None or name != _FILES:
            return None, False
        if owner not in self._files:
            files = passage.part.files()
            if len(self._by_id) + len(files) > _MOST_PASSAGES:  # an attribute can raise nothing of its own
                return None, False
            self._files[owner] = {path: self.shown(one) for path, one in files.items()}
        return self._files[owner], True

    async def texts(self, parts: Any) -> list[str]:
        """Return the texts of *parts* as :func:`texts_of` does, and count them as looked into."""
        with self.clock.counted():
            found = await in_thread(texts_of, parts)
        for part in parts:
            if isinstance(part, Handle):
                self._touch(part, part.end)
        return found

    async def answer(self, value: Any, most_bytes: int) -> str:
        """Return the answer as :func:`as_answer` does, and count the parts in it as looked into."""
        taken: list[Handle] = []
        text = await in_thread(as_answer, value, most_bytes, taken)
        for part in taken:
            self._touch(part, part.end)
        return text

    def _touch(self, part: Handle, end: int) -> None:
        """Take note that a script has looked into *part*, up to the byte before *end*."""
        self.touched.setdefault(part.context.name, []).append((part.start, end))

    def shown(self, part: Handle) -> Any:
        """Return *part* as the scripts of the session see it."""
        if len(self._by_id) >= _MOST_PASSAGES:
            raise ToolError(f"the session has {_MOST_PASSAGES:,} parts already: take fewer, longer ones")
        passage = PartInScript(part, part.start, part.end, part.end - part.start)
        made, identity = as_object(passage, _ATTRIBUTES, tuple(_METHODS))
        self._by_id[identity] = passage
        return made

    async def call(self, method: str, owner: Any, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """Return what *method* of the passage *owner* gives.

        Raises :exc:`~sunwell.errors.ToolError` for arguments that do not fit.
        """
        passage, names = self._by_id.get(owner), _METHODS.get(method)
        if passage is None or names is None:
            raise ToolError(f"a part has no method {method}; {PARTS_HAVE}")
        given = bound(method, names, _DEFAULTS, args, named)
        for name, value in given.items():
            kinds = _KINDS.get(name, (int,))
            if type(value) not in kinds:
                raise ToolError(f"{name} of {method} is {kinds[0].__name__}, not {type(value).__name__}")
        if method == "search" and given["limit"] > _MOST_FOUND:
            raise ToolError(f"limit of search is at most {_MOST_FOUND:,}")
        if method in ("search", "count"):
            given["seconds"] = min(_SEARCH_SECONDS, self.clock.left_seconds())
        if method == "text":
            given["most_bytes"] = _MOST_TEXT_BYTES
        part = passage.part
        if method == "part":
            given["start"], given["end"] = _range_in(part, given["start"], given["end"])
        if method == "around":
            given["within"] = next((root for root in self._roots if _is_in(part, root)), None)
        with self.clock.counted():
            if method == "part":
                return self.shown(await in_thread(lambda: part[given["start"] : given["end"]]))
            if method == "place":
                return await in_thread(lambda: part.spot)
            if method == "chunks":
                given["characters"] = given["characters"] or self.sizes.characters()
            found = await in_thread(getattr(part, method), **given)
        if method in ("search", "count", "text"):
            is_full = isinstance(found, list) and len(found) >= given["limit"]
            self._touch(part, found[-1].end if is_full else part.end)
        if method == "search" and len(found) == given["limit"] > 1:  # with 1 it asks whether there is one
            self.stopped.append(given["limit"])
        if isinstance(found, list):
            return [self.shown(one) for one in found]
        return found if isinstance(found, str | int) else self.shown(cast(Handle, found))


def _is_in(part: Handle, root: Handle) -> bool:
    return part.context is root.context and root.start <= part.start and part.end <= root.end


def _range_in(part: Handle, start: int, end: int | None) -> tuple[int, int]:
    """Return the borders of a range of *part*. Raises ToolError for one that does not begin in it."""
    size = len(part)
    last = size if end is None else end
    if not 0 <= start <= last or (0 < start >= size and last > start):
        raise ToolError(
            f"part({start:,}, {last:,}) is no range of this part: both numbers count from 0 at its first "
            f"byte, and it has {size:,} bytes. (.start and .end count in the whole context; the text around "
            "a hit is hit.around(characters).)"
        )
    return start, last


def texts_of(parts: Any) -> list[str]:
    """Return the texts of *parts*, a list of parts and strings. It reads them, and so blocks.

    Raises :exc:`~sunwell.errors.ToolError` if it is none, or if they have too many bytes together.
    """
    if not isinstance(parts, list) or not all(isinstance(one, Handle | str) for one in parts):
        raise ToolError("texts takes a list of parts")
    size = sum(len(one) for one in parts if isinstance(one, Handle))
    if size > _MOST_TEXT_BYTES:
        raise ToolError(
            f"these are {size:,} bytes, and at most {_MOST_TEXT_BYTES:,} are given as text at once: give "
            "fewer parts to texts"
        )
    return [one if isinstance(one, str) else one.text() for one in parts]


def bound(
    function: str,
    names: tuple[str, ...],
    defaults: Mapping[str, Any],
    args: tuple[Any, ...],
    named: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the arguments by name. Raises :exc:`~sunwell.errors.ToolError` as Python would complain."""
    wanted = f"{function}({', '.join(names)})"
    given = dict(zip(names, args, strict=False))
    if len(args) > len(names) or set(named) - set(names) or given.keys() & named.keys():
        raise ToolError(f"the arguments do not fit {wanted}")
    given |= named
    for name in names:
        if name not in given and name not in defaults:
            raise ToolError(f"{wanted} needs {name}")
        given.setdefault(name, defaults.get(name))
    return given


def as_parts(value: Any, depth: int = 2) -> Any:
    """Return *value* of a script with the ranges in place of its passages, also in lists of lists."""
    if isinstance(value, PartInScript):
        return value.part
    if depth and isinstance(value, list | tuple):
        return [as_parts(one, depth - 1) for one in value]
    return value


_PLAIN = (str, bool, int, float, type(None))
_MOST_DEEP = 50


def as_answer(value: Any, most_bytes: int, taken: list[Handle]) -> str:
    """Return the answer that *value* of a script is: a text, a part's text, or JSON of such values.

    Parts whose texts are in it are added to *taken*.
    Raises :exc:`~sunwell.errors.ToolError` for one that is none, is empty of meaning, or is too long.
    """
    if value is None:
        raise ToolError("the name holds None, which is no answer")
    room = [most_bytes]
    plain = _plain(value, room, _MOST_DEEP, taken)
    try:
        text = plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)
    except ValueError:
        raise ToolError("the answer holds a number of too many digits: make it a text, or shorter") from None
    if len(text.encode("utf-8", "replace")) > most_bytes:
        raise ToolError(f"the answer is longer than {most_bytes:,} bytes: make it shorter")
    return text


def _plain(value: Any, room: list[int], depth: int, taken: list[Handle]) -> Any:
    """Return *value* as JSON has it. What its parts hold is taken from the *room* in bytes."""
    if isinstance(value, PartInScript):
        room[0] -= value.size
        if room[0] < 0:
            raise ToolError("the parts in the answer are too long: give a part of them, or what they say")
        taken.append(value.part)
        return value.part.text()
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, date | time | timedelta):
        return str(value)
    if not isinstance(value, list | tuple | set | frozenset | dict):
        kind = type(value).__name__
        shown = "an object" if "Monty" in kind else kind
        raise ToolError(f"the answer holds {shown}, which cannot be shown: make it a text")
    if not depth:
        raise ToolError(f"the answer is nested more than {_MOST_DEEP} deep: make it a text, or flat")
    if isinstance(value, dict):
        return {
            str(_plain(key, room, 0, taken)): _plain(one, room, depth - 1, taken)
            for key, one in value.items()
        }
    return [_plain(one, room, depth - 1, taken) for one in value]
