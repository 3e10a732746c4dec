"""Parameters that somebody else describes, as a strict schema of limited size, and the way back.

A server may describe its parameters in all of JSON Schema, and at any length. Models are told the part that
strict tools take: closed objects whose properties are all required. What has no such form is a text with JSON
in it.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from sunwell.core.markdown import shortened
from sunwell.errors import ToolError
from sunwell.tools.arguments import Schema, closed, fits, nullable, takes_null

MOST_CHARACTERS = 12_000
"""Longest schema of one tool, as JSON."""
_DEEPEST = 8
_MOST_PROPERTIES = 64
_MOST_CHOICES = 200
_MOST_BRANCHES = 8
_LONGEST_DESCRIPTION = 300
_SCALARS = ("string", "integer", "number", "boolean", "null")
_AS_TEXT = "JSON, written as text"

Read = Callable[[Any], Any]
"""Turns a checked argument of a model into what the server takes."""


def _same(value: Any) -> Any:
    return value


@attrs.frozen
class ForeignSchema:
    """A strict schema for models, and how their arguments become those of the server."""

    parameters: Schema
    read: Read = attrs.field(eq=False)
    """Raises :exc:`~sunwell.errors.ToolError` for a text that is not JSON where JSON is wanted."""


def strict_schema(schema: Any) -> ForeignSchema:
    """Return *schema*, the parameters of a foreign tool, as a strict one.

    Optional parameters may be ``null``, which leaves them out. Keywords that only narrow values (lengths,
    patterns, formats) are left out: the server checks them itself. Descriptions are one line of at most 300
    characters.
    Raises :exc:`~sunwell.errors.ToolError` for a schema that is not one of an object, or is too long.
    """
    if not isinstance(schema, Mapping) or schema.get("type", "object") != "object":
        raise ToolError("its parameters are not those of an object")
    made, read = _Conversion(schema).object(schema, (), 0)
    if len(json.dumps(made, ensure_ascii=False)) > MOST_CHARACTERS:
        raise ToolError(f"its parameters need more than {MOST_CHARACTERS:,} characters")
    return ForeignSchema(made, read)


@attrs.frozen
class _Conversion:
    root: Mapping[str, Any]

    def any(self, schema: Any, refs: tuple[str, ...], depth: int) -> tuple[Schema, Read]:
        """Return the strict form of *schema*; *refs* are the references on the way here."""
        if not isinstance(schema, Mapping) or depth > _DEEPEST:
            return _as_text({})
        ref = schema.get("$ref")
        if ref is not None:
            target = None if ref in refs else self._resolved(ref)
            return _as_text(schema) if target is None else self.any(target, (*refs, ref), depth + 1)
        made, read = self._plain(schema, refs, depth)
        return _described(made, schema), read

    def object(self, schema: Mapping[str, Any], refs: tuple[str, ...], depth: int) -> tuple[Schema, Read]:
        """Return the strict form of the object that *schema* describes by its properties."""
        given = schema.get("properties", {})
        if not isinstance(given, Mapping) or len(given) > _MOST_PROPERTIES:
            raise ToolError(
                f"an object in its parameters has more than {_MOST_PROPERTIES} properties, or none"
            )
        required = schema.get("required", ())
        properties: dict[str, Schema] = {}
        reads: dict[str, Read] = {}
        left_out: set[str] = set()
        for name, inner in given.items():
            made, reads[name] = self.any(inner, refs, depth + 1)
            if isinstance(required, list) and name in required:
                properties[name] = made
                continue
            if not takes_null(made):
                left_out.add(name)  # null only says that it was not given
                made = _described(nullable({k: v for k, v in made.items() if k != "description"}), made)
            properties[name] = made

        def read(value: Any) -> Any:
            return {
                name: reads[name](inner)
                for name, inner in value.items()
                if name in reads and not (inner is None and name in left_out)
            }

        return closed(properties), read

    def _plain(self, schema: Mapping[str, Any], refs: tuple[str, ...], depth: int) -> tuple[Schema, Read]:
        choices = [schema["const"]] if "const" in schema else schema.get("enum")
        if choices is not None:
            return _choice(choices, schema)
        for key in ("anyOf", "oneOf", "allOf"):
            branches = schema.get(key)
            if isinstance(branches, list) and branches:
                if len(branches) == 1:
                    return self.any(branches[0], refs, depth + 1)
                return _as_text(schema) if key == "allOf" else self._any_of(branches, refs, depth)
        kind = schema.get("type")
        if isinstance(kind, list):
            if kind and all(one in _SCALARS for one in kind):
                return {"type": list(kind)}, _same
            return self._any_of([{**schema, "type": one} for one in kind], refs, depth)
        if kind in _SCALARS:
            return {"type": kind}, _same
        if kind == "array" and isinstance(schema.get("items"), Mapping):
            items, read = self.any(schema["items"], refs, depth + 1)
            return {"type": "array", "items": items}, lambda value: [read(item) for item in value]
        has_names = isinstance(schema.get("properties"), Mapping) and bool(schema["properties"])
        if (
            kind in ("object", None)
            and has_names
            and not isinstance(schema.get("additionalProperties"), Mapping)
        ):
            return self.object(schema, refs, depth)
        return _as_text(schema)

    def _any_of(self, branches: list[Any], refs: tuple[str, ...], depth: int) -> tuple[Schema, Read]:
        if not branches or len(branches) > _MOST_BRANCHES:
            return _as_text({})
        made = [self.any(branch, refs, depth + 1) for branch in branches]

        def read(value: Any) -> Any:
            return next((inner(value) for schema, inner in made if fits(value, schema)), value)

        return {"anyOf": [schema for schema, _ in made]}, read

    def _resolved(self, ref: Any) -> Any:
        """Return what the reference *ref* within this schema leads to; ``None`` for any other."""
        if not isinstance(ref, str) or not ref.startswith("#/"):
            return None
        found: Any = self.root
        for name in ref[2:].split("/"):
            name = name.replace("~1", "/").replace("~0", "~")
            if not isinstance(found, Mapping) or name not in found:
                return None
            found = found[name]
        return found


def _choice(choices: Any, schema: Mapping[str, Any]) -> tuple[Schema, Read]:
    is_short = isinstance(choices, list) and 0 < len(choices) <= _MOST_CHOICES
    if not is_short or any(isinstance(one, dict | list) for one in choices):
        return _as_text(schema)
    kinds = sorted({_kind_of(one) for one in choices})
    return {"type": kinds[0] if len(kinds) == 1 else kinds, "enum": list(choices)}, _same


def _kind_of(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "null" if value is None else "boolean"
    return "string" if isinstance(value, str) else "integer" if isinstance(value, int) else "number"


def _as_text(schema: Any) -> tuple[Schema, Read]:
    """Return the schema for a value of any form: a text that holds it as JSON."""
    said = schema.get("description") if isinstance(schema, Mapping) else None
    words = f"{_AS_TEXT}. {said}" if isinstance(said, str) and said.strip() else _AS_TEXT
    return {"type": "string", "description": shortened(words, _LONGEST_DESCRIPTION)}, _read_json


def _read_json(value: Any) -> Any:
    try:
        return json.loads(value)
    except (TypeError, ValueError, RecursionError):
        raise ToolError("a text that must be JSON is not: write the value as JSON, in a text") from None


def _described(made: Schema, schema: Mapping[str, Any]) -> Schema:
    said = schema.get("description")
    if not isinstance(said, str) or not said.strip() or "description" in made:
        return made
    return {**made, "description": shortened(said, _LONGEST_DESCRIPTION)}
