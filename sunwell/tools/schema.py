"""JSON schemas that both Anthropic and OpenAI take as strict."""

from collections.abc import Mapping
from typing import Any

Schema = dict[str, Any]


def nullable(schema: Mapping[str, Any]) -> Schema:
    """Return *schema* with ``null`` allowed too."""
    kind = schema.get("type")
    if isinstance(kind, str) and kind in ("string", "integer", "number", "boolean") and "enum" not in schema:
        return {**schema, "type": [kind, "null"]}
    if "anyOf" in schema:
        return {**schema, "anyOf": [*schema["anyOf"], {"type": "null"}]}
    return {"anyOf": [dict(schema), {"type": "null"}]}


def closed(properties: Mapping[str, Any]) -> Schema:
    """Return the schema of an object with just *properties*, every one of them required."""
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
