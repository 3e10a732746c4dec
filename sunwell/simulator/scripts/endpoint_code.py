"""The code that the scripted models write: one endpoint module, right or wrong rule by rule."""

from string import Template

from sunwell.simulator.scripts.entities import Entity, Field

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
