"""The entities of the example shop, and the code of their endpoints."""

import re
from string import Template

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


_MODULE = Template('''\
"""Endpoints of ${table}: create, read, list, change and delete."""

${time_import}from typing import Any

from shop.context import Shop
from shop.errors import ${errors}
from shop.http import Request, Response
from shop.models import ${entity}
from shop.router import Router

FIELDS: dict[str, Any] = {
${fields}
}
REQUIRED = (${required})


def register(router: Router) -> None:
    """Add the routes of this module."""
    router.add("POST", "/${table}", create)
    router.add("GET", "/${table}", list_all)
    router.add("GET", "/${table}/{id}", read)
    router.add("PATCH", "/${table}/{id}", change)
    router.add("DELETE", "/${table}/{id}", delete)


def create(shop: Shop, request: Request) -> Response:
    """Create a record of the body."""
    values = _checked(request.body)
    missing = [name for name in REQUIRED if name not in values]
    if missing:
        raise Unprocessable(f"missing fields: {', '.join(missing)}")
    now = ${now}
    record = ${entity}(id=${new_id}, created_at=now, updated_at=now, **values)
    shop.store.table(${entity}.TABLE).insert(record)
    return Response(201, record.as_json())


def list_all(shop: Shop, request: Request) -> Response:
    """Return a page of the records."""
    records = [record for record in shop.store.table(${entity}.TABLE).all() if record.deleted_at is None]
    limit = ${limit}
    offset = _count(request, "offset", 0)
    items = [record.as_json() for record in records[offset : offset + limit]]
    return Response(200, {"items": items, "total": len(records), "limit": limit, "offset": offset})


def read(shop: Shop, request: Request) -> Response:
    """Return one record."""
    record = _find(shop, request)
${guard}    return Response(200, record.as_json())


def change(shop: Shop, request: Request) -> Response:
    """Change the fields that the body names."""
    record = _find(shop, request)
${guard}    for name, value in _checked(request.body).items():
        setattr(record, name, value)
    record.updated_at = ${now}
    return Response(200, record.as_json())


def delete(shop: Shop, request: Request) -> Response:
    """Delete one record."""
    record = _find(shop, request)
${guard}    ${delete}
    return Response(204)


def _find(shop: Shop, request: Request) -> ${found}:
    record = shop.store.table(${entity}.TABLE).get(request.params["id"])
    if record is None or record.deleted_at is not None:
        ${missing}
    return record


def _checked(body: Any) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise Unprocessable("the body must be an object")
${unknown}    for name, value in body.items():
        if not isinstance(value, FIELDS[name]):
            raise Unprocessable(f"{name} has the wrong type")
    return body


def _count(request: Request, name: str, default: int) -> int:
    text = request.query.get(name, str(default))
    if not text.isdecimal():
        raise Unprocessable(f"{name} must be a count")
    return int(text)
''')

_REFUSED = """\
    unknown = sorted(set(body) - set(FIELDS))
    if unknown:
        raise Unprocessable(f"unknown fields: {', '.join(unknown)}")
"""
_DROPPED = """\
    body = {name: value for name, value in body.items() if name in FIELDS}
"""
_GUARD = """\
    if record is None:
        return Response(200)
"""

_GAPS: dict[str, dict[str, tuple[str, str]]] = {
    "not_found": {
        "errors": ("NotFound, Unprocessable", "Unprocessable"),
        "found": ("${entity}", "${entity} | None"),
        "missing": ("""raise NotFound(f"no ${noun} {request.params['id']}")""", "return None"),
        "guard": ("", _GUARD),
    },
    "paging": {
        "limit": ('min(_count(request, "limit", 20), 100)', '_count(request, "limit", len(records))'),
    },
    "unknown_fields": {"unknown": (_REFUSED, _DROPPED)},
    "soft_delete": {
        "delete": ("record.deleted_at = ${now}", "shop.store.table(${entity}.TABLE).remove(record.id)"),
    },
    "ids": {"new_id": ("shop.store.new_id(${entity}.PREFIX)", "str(shop.store.next_number())")},
    "clock": {
        "now": ("shop.clock.now()", "datetime.now(timezone.utc).isoformat()"),
        "time_import": ("", "from datetime import datetime, timezone\n"),
    },
    "money": {"cents": ("int", "(int, float)")},
}
"""By convention, what fills the gaps of the module: first where it is known, then where it is not."""

_TYPES = ("str", "int", "float", "bool", "list", "dict")


def endpoint_module(entity: Entity, known: frozenset[str]) -> str:
    """Return the endpoint module of *entity*, right in the conventions *known*, wrong in the others.

    Every other convention is broken in its own way, so that only the tests of that one fail.
    """
    gaps = {"entity": entity.class_name, "noun": entity.noun, "table": entity.table}
    for slug, choices in _GAPS.items():
        gaps |= {name: right if slug in known else wrong for name, (right, wrong) in choices.items()}
    gaps["fields"] = "\n".join(f'    "{f.name}": {_checked_type(f, gaps["cents"])},' for f in entity.fields)
    gaps["required"] = "".join(f'"{field.name}", ' for field in entity.fields if field.required).rstrip(" ")
    # What fills a gap may hold gaps itself, one level deep.
    return Template(_MODULE.safe_substitute(gaps)).safe_substitute(gaps)


def _checked_type(field: Field, cents: str) -> str:
    if field.name.endswith("_cents"):
        return cents
    return field.type_name if field.type_name in _TYPES else "object"
