"""Checks which JSON schemas the providers accept for an answer."""

from collections.abc import Iterator, Mapping
from typing import Any

from sunwell.simulator.wire import Refusal

_UNSUPPORTED = {
    "anthropic": ("minimum", "maximum", "multipleOf", "minLength", "maxLength", "maxItems", "not", "if"),
    "openai": ("allOf", "not", "dependentRequired", "dependentSchemas", "if", "then", "else"),
}


def check_schema(schema: Any, provider: str, param: str) -> None:
    """Raise :exc:`Refusal` if *provider* does not accept *schema*: every object must be closed.

    OpenAI also requires an object at the root, and that every property is required.
    """
    if not isinstance(schema, Mapping):
        raise Refusal(400, f"{param}: the schema must be an object", param)
    if provider == "openai" and (schema.get("type") != "object" or "anyOf" in schema):
        raise Refusal(400, "Invalid schema for response_format: the root must have type 'object'", param)
    for node in _nodes(schema):
        _check_node(node, provider, param)


def _check_node(node: Mapping[str, Any], provider: str, param: str) -> None:
    for keyword in _UNSUPPORTED[provider]:
        if keyword in node:
            raise Refusal(400, f"{param}: For this schema, property '{keyword}' is not supported", param)
    if provider == "anthropic" and node.get("minItems", 0) not in (0, 1):
        raise Refusal(400, f"{param}: 'minItems' values other than 0 or 1 are not supported", param)
    if node.get("type") == "object" or "properties" in node:
        if node.get("additionalProperties") is not False:
            raise Refusal(
                400,
                f"{param}: For 'object' type, 'additionalProperties' must be explicitly set to false",
                param,
            )
        missing = set(node.get("properties", ())) - set(node.get("required", ()))
        if provider == "openai" and missing:
            named = ", ".join(sorted(missing))
            raise Refusal(400, f"{param}: 'required' must list every property; missing: {named}", param)


def _nodes(schema: Any) -> Iterator[Mapping[str, Any]]:
    """Yield every schema in *schema*, itself first; names of properties are not keywords."""
    if not isinstance(schema, Mapping):
        return
    yield schema
    for keyword in ("properties", "$defs", "definitions"):
        named = schema.get(keyword)
        if isinstance(named, Mapping):
            for child in named.values():
                yield from _nodes(child)
    for keyword in ("anyOf", "oneOf", "allOf", "prefixItems"):
        for child in schema.get(keyword) or ():
            yield from _nodes(child)
    yield from _nodes(schema.get("items"))
