"""Schemas of tool arguments, and the conversion of a model's JSON into arguments."""

import difflib
import json
from collections.abc import Mapping
from typing import Any

from sunwell.core.message import ToolCall
from sunwell.core.model import ToolSpec
from sunwell.errors import ToolError
from sunwell.tools.wording import quoted

Schema = dict[str, Any]


def nullable(schema: Mapping[str, Any]) -> Schema:
    """Return *schema* that also allows ``null``."""
    kind = schema.get("type")
    if isinstance(kind, str) and kind in ("string", "integer", "number", "boolean") and "enum" not in schema:
        return {**schema, "type": [kind, "null"]}
    if "anyOf" in schema:
        return {**schema, "anyOf": [*schema["anyOf"], {"type": "null"}]}
    return {"anyOf": [dict(schema), {"type": "null"}]}


def closed(properties: Mapping[str, Any]) -> Schema:
    """Return the schema of an object with exactly these *properties*, all of them required."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


def text(description: str) -> Schema:
    return {"type": "string", "description": description}


def whole(description: str) -> Schema:
    return {"type": "integer", "description": description}


_DEEPEST = 64
_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}


def read_arguments(call: ToolCall, spec: ToolSpec) -> dict[str, Any]:
    """Return the arguments of *call*, with every property of *spec*.

    A missing property that may be ``null`` is ``None``. Raises :exc:`~sunwell.errors.ToolError`, which
    says what is wrong and which keys are required.
    """
    try:
        given = _parsed(call.arguments)
        if not isinstance(given, dict):
            raise ToolError(f"the arguments must be a JSON object, got {_called(given)}")
        checked: dict[str, Any] = _checked(given, spec.parameters, "", 0)
    except ToolError as error:
        raise ToolError(f"{spec.name}: {error.sentence}. {_keys(spec)}") from None
    return checked


def _refuse_constant(name: str) -> Any:
    raise ToolError(f"the arguments are not valid JSON: {name} is not a JSON value")


def _parsed(text: str) -> Any:
    if not text.strip():
        return {}  # several providers send this for a call without arguments
    try:
        # Not strict: some gateways leave raw line breaks in strings.
        return json.loads(text, strict=False, parse_constant=_refuse_constant)
    except RecursionError:
        raise ToolError("the arguments are nested too deeply") from None
    except ValueError as error:
        raise ToolError(f"the arguments are not valid JSON: {error}") from None


def _checked(value: Any, schema: Any, where: str, depth: int) -> Any:
    if depth > _DEEPEST:
        raise ToolError("the arguments are nested too deeply")
    if not isinstance(schema, Mapping):  # ``true`` in the schema of a caller's tool allows anything
        return value
    if "anyOf" in schema:
        return _any_of(value, schema["anyOf"], where, depth)
    value = _typed(value, schema, where)
    if "enum" in schema and not any(_same(value, one) for one in schema["enum"]):
        allowed = ", ".join(json.dumps(one, ensure_ascii=False) for one in schema["enum"])
        raise ToolError(f"{where} must be one of {allowed}, got {json.dumps(value)[:100]}")
    if isinstance(value, dict) and "properties" in schema:
        return _object(value, schema, where, depth)
    if isinstance(value, list) and "items" in schema:
        return [
            _checked(item, schema["items"], f"{where}[{index}]", depth + 1)
            for index, item in enumerate(value)
        ]
    return value


def _same(left: Any, right: Any) -> bool:
    return type(left) is type(right) and bool(left == right)


def _any_of(value: Any, schemas: list[Mapping[str, Any]], where: str, depth: int) -> Any:
    errors = []
    for schema in schemas:
        try:
            return _checked(value, schema, where, depth + 1)
        except ToolError as error:
            errors.append(error.sentence)
    raise ToolError(" or ".join(dict.fromkeys(errors)))


def _typed(value: Any, schema: Mapping[str, Any], where: str) -> Any:
    wanted = schema.get("type")
    if wanted is None:
        return value
    kinds = [wanted] if isinstance(wanted, str) else list(wanted)
    for kind in kinds:
        if kind == "integer" and isinstance(value, float) and value.is_integer():
            return int(value)
        if isinstance(value, bool) and kind != "boolean":
            continue
        if isinstance(value, _TYPES.get(kind, (object,))):
            return value
    names = " or ".join(_article(kind) for kind in kinds)
    raise ToolError(f"{where or 'the value'} must be {names}, got {_called(value)}")


def _object(value: dict[str, Any], schema: Mapping[str, Any], where: str, depth: int) -> dict[str, Any]:
    properties: Mapping[str, Any] = schema["properties"]
    inside = f"{where}." if where else ""
    if schema.get("additionalProperties") is False:
        for key in value:
            if key not in properties:
                near = difflib.get_close_matches(key, properties, 1)
                hint = f"; did you mean {near[0]}?" if near else ""
                raise ToolError(f"there is no argument {quoted(inside + key)}{hint}")
    out = dict(value)
    for key, expected in properties.items():
        if key in value:
            out[key] = _checked(value[key], expected, inside + key, depth + 1)
        elif _takes_null(expected):
            out[key] = None
        elif key in schema.get("required", ()):
            raise ToolError(f"{inside}{key} is missing")
    return out


def _takes_null(schema: Any) -> bool:
    if not isinstance(schema, Mapping):
        return False
    kind = schema.get("type")
    return (
        kind == "null"
        or (isinstance(kind, list) and "null" in kind)
        or any(_takes_null(one) for one in schema.get("anyOf", ()))
    )


def _article(kind: str) -> str:
    if kind == "null":
        return kind
    return f"an {kind}" if kind[0] in "aio" else f"a {kind}"


def _called(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    return next(kind for kind, types in _TYPES.items() if kind != "integer" and isinstance(value, types))


def _keys(spec: ToolSpec) -> str:
    properties = spec.parameters.get("properties", {})
    needed = [key for key in spec.parameters.get("required", ()) if not _takes_null(properties.get(key, {}))]
    optional = [key for key in properties if key not in needed]
    if not properties:
        return "It takes no arguments"
    said = f"Required: {', '.join(needed) or 'nothing'}"
    return f"{said}; optional: {', '.join(optional)}" if optional else said
