"""What can be read from the text of the example's ``models.py`` and ``routes.py``."""

import re

import attrs

_CLASS = re.compile(r"^[ \t]*class (\w+)\(Record\):[ \t]*$", re.MULTILINE)
_END = re.compile(r"^[ \t]*(?:@|class )", re.MULTILINE)
_SETTING = r"^[ \t]+{}: ClassVar\[str\] = \"(\w+)\""
_FIELD = re.compile(r"^[ \t]+([a-z]\w*): (\w+)([^=\n]*)(=.*)?$", re.MULTILINE)
_NUMBERED = re.compile(r"^[ \t]*\d+(?:\t|[ ]?[|:→][ ]?)")
_HEADER = re.compile(r"\A[^\n]*: lines \d+-\d+ of \d+[^\n]*\n\n")
_ABOUT_ENDPOINTS = re.compile(r"\b(?:endpoints?|crud)\b", re.IGNORECASE)


@attrs.frozen
class Field:
    """A field of an entity, as it is annotated."""

    name: str
    type_name: str
    required: bool


@attrs.frozen
class Entity:
    """A stored entity."""

    class_name: str
    table: str
    fields: tuple[Field, ...]

    @property
    def noun(self) -> str:
        """The entity in a sentence, and the name of its endpoint module."""
        return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", self.class_name).lower()

    @property
    def path(self) -> str:
        """Where the endpoints of the entity belong."""
        return f"shop/endpoints/{self.noun}.py"


def plain(text: str) -> str:
    """Return *text* without what a tool may have put to it: a line on top, a number before each line."""
    text = _HEADER.sub("", text)
    lines = text.splitlines(keepends=True)
    numbered = [line for line in lines if _NUMBERED.match(line)]
    if not lines or len(numbered) < 0.8 * len(lines):
        return text
    return "".join(_NUMBERED.sub("", line) for line in lines)


def entities_in(text: str) -> tuple[Entity, ...]:
    """Return the entities that are defined in *text*, each once, in its order."""
    source = plain(text)
    found: dict[str, Entity] = {}
    for match in _CLASS.finditer(source):
        end = _END.search(source, match.end())
        body = source[match.end() : end.start() if end else len(source)]
        table = re.search(_SETTING.format("TABLE"), body, re.MULTILINE)
        if table:
            found.setdefault(match[1], Entity(match[1], table[1], _fields(body)))
    return tuple(found.values())


def _fields(body: str) -> tuple[Field, ...]:
    return tuple(Field(name, kind, not default) for name, kind, _, default in _FIELD.findall(body))


def is_about_endpoints(task: str) -> bool:
    """Whether the task asks for endpoints."""
    return bool(_ABOUT_ENDPOINTS.search(task))


def wanted_entities(task: str, entities: tuple[Entity, ...]) -> tuple[Entity, ...]:
    """Return those of *entities* that *task* names in a line about endpoints; all, where it names none."""
    lines = " ".join(line for line in task.splitlines() if _ABOUT_ENDPOINTS.search(line)).lower()
    named = tuple(e for e in entities if re.search(rf"\b(?:{e.noun}|{e.table})\b", lines))
    return named or entities


def route_edits(source: str, entities: tuple[Entity, ...]) -> tuple[tuple[str, str], ...]:
    """Return what to replace in ``routes.py``, and by what, so that *entities* are served.

    Each edit adds lines below one that stays, so that several workers can add their entities at the
    same time. Nothing to do gives no edits.
    """
    source = plain(source)
    imported = re.findall(r"^from shop\.endpoints import (\w+)$", source, re.MULTILINE)
    entry = re.search(r"^ENDPOINTS = \(\n([ ]+)(\w+),\n", source, re.MULTILINE)
    new = [entity.noun for entity in entities if entity.noun not in imported]
    if not (imported and entry and new):
        return ()
    line = f"from shop.endpoints import {imported[0]}\n"
    more = "".join(f"from shop.endpoints import {name}\n" for name in new)
    first = f"{entry[1]}{entry[2]},\n"
    return ((line, line + more), (first, first + "".join(f"{entry[1]}{name},\n" for name in new)))
