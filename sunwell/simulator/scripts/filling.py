"""An answer for any JSON schema."""

from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]

_EMPTY = {"string": "", "integer": 0, "number": 0, "boolean": False, "null": None}
_PYTHON_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}


def filled(schema: Schema, known: Mapping[str, Any]) -> Any:
    """Return a value that obeys *schema*.

    A property takes its value from *known* where the name is there and the type fits. For an array
    of objects, *known* may hold a list of mappings, each of which fills one object. All else is
    empty: null where that is allowed by name, ``""``, ``0``, ``False``, ``[]``, the first of an enumeration
    or of alternatives.
    """
    return _fill(schema, known, schema)


def _fill(schema: Schema, known: Any, root: Schema) -> Any:
    schema = _resolved(schema, root)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return known if known in schema["enum"] else schema["enum"][0]
    kind = _kind(schema, known)
    if kind == "object":
        given = known if isinstance(known, Mapping) else {}
        return {
            name: _fill(inner, given.get(name), root) for name, inner in schema.get("properties", {}).items()
        }
    if kind == "array":
        items = known if isinstance(known, list) else []
        return [_fill(schema.get("items", {}), item, root) for item in items]
    if isinstance(known, Mapping):
        known = known.get("text")  # where a plain string is wanted, an item is its sentence
    return known if isinstance(known, _PYTHON_TYPES.get(kind, (object,))) else _EMPTY.get(kind)


def _resolved(schema: Schema, root: Schema) -> Schema:
    while True:
        if "$ref" in schema:
            target: Any = root
            for step in schema["$ref"].removeprefix("#/").split("/"):
                target = target[step]
            schema = target
        elif alternatives := schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf"):
            schema = alternatives[0]
        else:
            return schema


def _kind(schema: Schema, known: Any) -> str:
    kinds = schema.get("type", "object" if "properties" in schema else "")
    if isinstance(kinds, str):
        return kinds
    fitting = [kind for kind in kinds if isinstance(known, _PYTHON_TYPES.get(kind, ()))]
    return str((fitting or kinds)[0])
