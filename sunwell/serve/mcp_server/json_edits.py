"""Changes one entry in the text of a JSON file and leaves all else as it is, comments and spaces too.

Read are JSON and what editors write besides: comments, and a comma after the last member.
"""

import json
import re
from typing import Any, NoReturn

import attrs

from sunwell.errors import ConfigurationError

_SPACE = re.compile(r"(?:[ \t\r\n]+|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\.)*"')
_PLAIN = re.compile(r"-?\d[\d.eE+-]*|true|false|null")
_MOST_DEPTH = 100


@attrs.frozen
class Member:
    """A member of an object: where it is in the text."""

    key: str
    start: int
    """Where its key begins."""
    value: "Part"


@attrs.frozen
class Part:
    """A value and its place in the text."""

    start: int
    end: int
    value: Any
    members: tuple[Member, ...] | None = None
    """Of an object; ``None``: it is none."""
    comma: int | None = None
    """Where the comma after the last member is, if there is one."""

    def member(self, key: str) -> Member | None:
        """Return the member called *key*; ``None`` if there is none."""
        return next((one for one in self.members or () if one.key == key), None)


@attrs.define
class _Reader:
    text: str
    at: int = 0

    def whole(self) -> Part:
        self._skip()
        found = self._part(0)
        self._skip()
        if self.at < len(self.text):
            self._fail()
        return found

    def _fail(self) -> NoReturn:
        line = self.text.count("\n", 0, self.at) + 1
        raise ConfigurationError(f"line {line} is not JSON as editors write it")

    def _skip(self) -> None:
        found = _SPACE.match(self.text, self.at)
        assert found is not None
        self.at = found.end()

    def _takes(self, sign: str) -> bool:
        if self.text[self.at : self.at + 1] != sign:
            return False
        self.at += 1
        self._skip()
        return True

    def _part(self, depth: int) -> Part:
        if depth > _MOST_DEPTH:
            self._fail()
        match self.text[self.at : self.at + 1]:
            case "{":
                return self._object(depth)
            case "[":
                return self._array(depth)
        return self._scalar()

    def _scalar(self) -> Part:
        found = _STRING.match(self.text, self.at) or _PLAIN.match(self.text, self.at)
        if found is None:
            self._fail()
        try:
            value = json.loads(found[0])
        except ValueError:
            self._fail()
        start, self.at = self.at, found.end()
        return Part(start, self.at, value)

    def _array(self, depth: int) -> Part:
        start, values = self.at, list[Any]()
        self._takes("[")
        while self.text[self.at : self.at + 1] != "]":
            values.append(self._part(depth + 1).value)
            self._skip()
            if not self._takes(",") and self.text[self.at : self.at + 1] != "]":
                self._fail()
        self.at += 1
        return Part(start, self.at, values)

    def _object(self, depth: int) -> Part:
        start, members, comma = self.at, list[Member](), None
        self._takes("{")
        while self.text[self.at : self.at + 1] != "}":
            key = self._scalar()
            if not isinstance(key.value, str) or any(one.key == key.value for one in members):
                self._fail()
            self._skip()
            if not self._takes(":"):
                self._fail()
            members.append(Member(key.value, key.start, self._part(depth + 1)))
            self._skip()
            comma = self.at
            if not self._takes(","):
                comma = None
                if self.text[self.at : self.at + 1] != "}":
                    self._fail()
        self.at += 1
        values = {one.key: one.value.value for one in members}
        return Part(start, self.at, values, tuple(members), comma)


def read_json(text: str) -> Part:
    """Return what *text* says. Raises :exc:`~sunwell.errors.ConfigurationError` if it is not understood."""
    return _Reader(text).whole()


def with_entry(text: str, path: tuple[str, str], value: Any) -> str:
    """Return *text* with *value* as the member ``path[1]`` of the object ``path[0]``, made if need be.

    Raises :exc:`~sunwell.errors.ConfigurationError` if *text* is not understood, or has such an entry.
    """
    if not text.strip():
        return json.dumps({path[0]: {path[1]: value}}, indent=2, ensure_ascii=False) + "\n"
    root = _object_at(read_json(text), "the file")
    group = root.member(path[0])
    if group is None:
        return _added(text, root, path[0], {path[1]: value}, 1)
    inside = _object_at(group.value, path[0])
    if inside.member(path[1]) is not None:
        raise ConfigurationError(f"{path[0]} has an entry {path[1]} already")
    return _added(text, inside, path[1], value, 2)


def without_entry(text: str, path: tuple[str, str]) -> str:
    """Return *text* without the member ``path[1]`` of the object ``path[0]``; the object stays.

    Raises :exc:`~sunwell.errors.ConfigurationError` if *text* is not understood, or has no such entry.
    """
    group = _object_at(read_json(text), "the file").member(path[0])
    inside = None if group is None else _object_at(group.value, path[0])
    found = None if inside is None else inside.member(path[1])
    if inside is None or found is None or inside.members is None:
        raise ConfigurationError(f"there is no entry {path[1]} in {path[0]}")
    number = inside.members.index(found)
    start, end = found.start, found.value.end
    space = re.search(r"(?:\r?\n)?[ \t]*\Z", text[:start])
    start -= len(space[0]) if space else 0
    before = text[:start]
    is_last = number == len(inside.members) - 1
    if not is_last or inside.comma is not None:
        end = text.index(",", _after_space(text, end)) + 1
    elif number:
        comma = _comma_after(text, inside.members[number - 1].value.end)
        before = text[:comma] + text[comma + 1 : start]
    return before + text[end:]


def _object_at(part: Part, what: str) -> Part:
    if part.members is None:
        raise ConfigurationError(f"{what} is not an object with entries")
    return part


def _after_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    assert found is not None
    return found.end()


def _comma_after(text: str, at: int) -> int:
    return text.index(",", _after_space(text, at))


def _added(text: str, parent: Part, key: str, value: Any, depth: int) -> str:
    line = "\r\n" if "\r\n" in text else "\n"
    members = parent.members or ()
    indent = _indent_of(text, members[-1].start if members else None) or depth * "  "
    step = indent[: max(1, len(indent) // depth)]
    said = json.dumps(value, indent=step, ensure_ascii=False).replace("\n", f"{line}{indent}")
    entry = f"{line}{indent}{json.dumps(key, ensure_ascii=False)}: {said}"
    inner = text[: parent.end - 1]
    at = len(inner.rstrip(" \t\r\n"))
    if "\n" not in text[at : parent.end - 1]:
        entry += f"{line}{indent[: len(indent) - len(step)]}"
    if "//" in inner[inner.rfind("\n", 0, at) + 1 : at] and "\n" in text[at:]:
        at = max(at, text.index("\n", at) - (1 if line == "\r\n" else 0)) if at < parent.end - 1 else at
    after = text[at:]
    if members and parent.comma is None:
        end = members[-1].value.end
        return f"{text[:end]},{text[end:at]}{entry}{after}"
    return f"{text[:at]}{entry}{',' if parent.comma is not None else ''}{after}"


def _indent_of(text: str, start: int | None) -> str:
    """Return the spaces before the key at *start*; empty if it does not begin its line."""
    if start is None:
        return ""
    found = re.search(r"\n([ \t]+)\Z", text[:start])
    return found[1] if found else ""
