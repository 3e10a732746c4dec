"""The context as a script sees it: parts with figures and methods; the text stays with the host."""

from collections.abc import Mapping
from typing import Any, Self, cast

import attrs

from sunwell.agent.asking.part_sizes import MOST_ANSWER_TOKENS, PartSizes
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
    size: int


_METHODS: Mapping[str, tuple[str, ...]] = {
    "search": ("pattern", "limit", "literal"),
    "count": ("pattern", "literal"),
    "lines": ("first", "last"),
    "part": ("start", "end"),
    "chunks": ("characters", "overlap", "most_tokens"),
    "place": (),
    "text": (),
}
_DEFAULTS: Mapping[str, Any] = {
    "limit": 100, "literal": False, "last": None, "overlap": 0, "characters": None,
    "most_tokens": MOST_ANSWER_TOKENS,
}  # fmt: skip
_KINDS: Mapping[str, tuple[type, ...]] = {
    "pattern": (str,),
    "literal": (bool,),
    "last": (int, type(None)),
    "characters": (int, type(None)),
}
_MOST_PASSAGES = 200_000


@attrs.define(eq=False)
class Passages:
    """The passages of one session, found by what identifies them there."""

    sizes: PartSizes
    """Of parts for which a script gives no size."""
    _by_id: dict[Any, PartInScript] = attrs.field(factory=dict, init=False)

    def shown(self, part: Handle) -> Any:
        """Return *part* as the scripts of the session see it."""
        if len(self._by_id) >= _MOST_PASSAGES:
            raise ToolError(f"the session has {_MOST_PASSAGES:,} parts already: take fewer, longer ones")
        passage = PartInScript(part, part.start, part.end - part.start)
        made, identity = as_object(passage, ("start", "size"), tuple(_METHODS))
        self._by_id[identity] = passage
        return made

    async def call(self, method: str, owner: Any, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """Return what *method* of the passage *owner* gives.

        Raises :exc:`~sunwell.errors.ToolError` for arguments that do not fit.
        """
        passage, names = self._by_id.get(owner), _METHODS.get(method)
        if passage is None or names is None:
            raise ToolError(f"a part has no method {method}")
        given = bound(method, names, _DEFAULTS, args, named)
        for name, value in given.items():
            kinds = _KINDS.get(name, (int,))
            if type(value) not in kinds:
                raise ToolError(f"{name} of {method} is {kinds[0].__name__}, not {type(value).__name__}")
        part = passage.part
        if method == "part":
            return self.shown(await in_thread(lambda: part[given["start"] : given["end"]]))
        if method == "place":
            return str(await in_thread(lambda: part.place))
        if method == "chunks":
            most = given.pop("most_tokens")
            given["characters"] = given["characters"] or self.sizes.characters(most)
        found = await in_thread(getattr(part, method), **given)
        if isinstance(found, list):
            return [self.shown(one) for one in found]
        return found if isinstance(found, str | int) else self.shown(cast(Handle, found))


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


def as_parts(value: Any) -> Any:
    """Return *value* of a script with the ranges in place of its passages."""
    if isinstance(value, PartInScript):
        return value.part
    return [as_parts(one) for one in value] if isinstance(value, list | tuple) else value
