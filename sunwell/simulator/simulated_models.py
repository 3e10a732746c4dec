"""The default simulated model: echoes the question, or returns a minimal valid instance of the schema."""

import json
import re
from collections.abc import Mapping
from typing import Any

import attrs

from sunwell.core.message import Text
from sunwell.errors import ConfigurationError
from sunwell.simulator.script import Asked, Player, Reply, Script
from sunwell.simulator.simulated_prices import ModelPrice

_DEEPEST = 32


def echo(asked: Asked) -> Reply:
    """Answer with the user's last text, or with a minimal instance of the requested schema."""
    if asked.schema is not None:
        return Reply((Text(json.dumps(minimal(asked.schema), ensure_ascii=False)),))
    texts = [message.text for message in asked.messages if message.role == "user" and message.text]
    return Reply((Text(texts[-1] if texts else "…"),))


def minimal(schema: Mapping[str, Any]) -> Any:
    """Return a small JSON value that is valid for *schema*, with only the required properties."""
    return _instance(schema, schema, 0)


def _instance(schema: Any, root: Mapping[str, Any], depth: int) -> Any:
    if not isinstance(schema, Mapping) or depth > _DEEPEST:
        return None
    schema = _resolved(schema, root)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    for choice in ("anyOf", "oneOf", "allOf"):
        if schema.get(choice):
            return _instance(schema[choice][0], root, depth + 1)
    kind = schema.get("type", "object" if "properties" in schema else None)
    if isinstance(kind, list):
        kind = kind[0]
    if kind == "object":
        known = schema.get("properties", {})
        return {name: _instance(known.get(name, {}), root, depth + 1) for name in schema.get("required", ())}
    if kind == "array":
        return [_instance(schema.get("items", {}), root, depth + 1)] * schema.get("minItems", 0)
    return _scalar(kind, schema)


def _resolved(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = schema.get("$ref")
    if not isinstance(reference, str) or not reference.startswith("#"):
        return schema
    target: Any = root
    for step in reference.lstrip("#").split("/"):
        if step:
            target = target[step.replace("~1", "/").replace("~0", "~")]
    return target if isinstance(target, Mapping) else schema


def _scalar(kind: str | None, schema: Mapping[str, Any]) -> Any:
    if kind == "string":
        return "x" * schema.get("minLength", 0)
    if kind in ("integer", "number"):
        least = schema["exclusiveMinimum"] + 1 if "exclusiveMinimum" in schema else schema.get("minimum", 0)
        return min(max(least, 0), schema.get("maximum", max(0, least)))
    if kind == "boolean":
        return False
    return None


_DATE = re.compile(r"-\d{8}$")


@attrs.frozen
class SimulatedModel:
    """A script, or a player, and its speed."""

    script: Script | Player
    latency_seconds: float = 0.0
    """Time before the first byte."""
    chunk_seconds: float = 0.0
    """Time for each chunk of an answer."""
    keep_alive_seconds: float = 10.0
    """Time after which the caller of a player is sent something, again and again until the answer comes."""


def offered(
    models: Mapping[str, Script | Player | SimulatedModel] | None, prices: Mapping[str, ModelPrice]
) -> dict[str, SimulatedModel]:
    """Return the models by id; without any, every priced model echoes.

    Raises :exc:`~sunwell.errors.ConfigurationError` if a model has no price.
    """
    if models is None:
        return {name: SimulatedModel(echo) for name in prices}
    unpriced = [name for name in models if name not in prices]
    if unpriced:
        named = ", ".join(unpriced)
        raise ConfigurationError(f"the simulator has no price for {named}: add it to prices=")
    return {
        name: model if isinstance(model, SimulatedModel) else SimulatedModel(model)
        for name, model in models.items()
    }


def offered_id(asked: str, models: Mapping[str, SimulatedModel]) -> str | None:
    """Return the offered id that matches *asked*: exactly, or without the date at its end."""
    if asked in models:
        return asked
    undated = _DATE.sub("", asked)
    return undated if undated in models else None
