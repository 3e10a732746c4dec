"""Parameters that servers describe: strict for models, as the server wants them when they are sent."""

import json
from typing import Any

import pytest

from sunwell.core.message import ToolCall
from sunwell.core.model import ToolSpec
from sunwell.errors import ToolError
from sunwell.tools.arguments import read_arguments
from sunwell.tools.foreign_schema import MOST_CHARACTERS, strict_schema


def is_strict(schema: Any) -> bool:
    """Whether each object in *schema* is closed, and all of its properties are required."""
    if isinstance(schema, list):
        return all(map(is_strict, schema))
    if not isinstance(schema, dict):
        return True
    if schema.get("type") == "object":
        closed = schema["additionalProperties"] is False and schema["required"] == list(schema["properties"])
        return closed and all(map(is_strict, schema["properties"].values()))
    return all(is_strict(schema[key]) for key in ("items", "anyOf") if key in schema)


OBJECT = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
CASES = {
    "optional": ({"type": "string"}, None, ...),
    "optional-given": ({"type": "string"}, "x", "x"),
    "nullable": ({"type": ["string", "null"]}, None, None),
    "default": ({"type": "integer", "default": 3, "minimum": 1}, 5, 5),
    "choice": ({"enum": ["a", "b"]}, "b", "b"),
    "constant": ({"const": 4}, 4, 4),
    "list": ({"type": "array", "items": OBJECT}, [{"a": 1}], [{"a": 1}]),
    "object": (OBJECT, {"a": 1}, {"a": 1}),
    "reference": ({"$ref": "#/$defs/thing"}, {"a": 1}, {"a": 1}),
    "either": ({"anyOf": [{"type": "integer"}, OBJECT]}, {"a": 1}, {"a": 1}),
    "one-of": ({"oneOf": [{"type": "integer"}, {"type": "string"}]}, "x", "x"),
    "map": ({"type": "object", "additionalProperties": {"type": "string"}}, '{"k": "v"}', {"k": "v"}),
    "free-object": ({"type": "object"}, '{"k": [1]}', {"k": [1]}),
    "anything": ({}, "[1, 2]", [1, 2]),
    "true": (True, '"x"', "x"),
    "any-list": ({"type": "array"}, "[1]", [1]),
    "all-of": ({"allOf": [OBJECT, {"type": "object"}]}, '{"a": 2}', {"a": 2}),
    "recursive": ({"$ref": "#/$defs/tree"}, {"kids": "[]"}, {"kids": []}),
    "a-reference-elsewhere": ({"$ref": "https://evil.example/schema"}, "1", 1),
}


@pytest.mark.parametrize(("schema", "given", "sent"), CASES.values(), ids=CASES)
def test_every_schema_becomes_strict_and_arguments_find_their_way_back(
    schema: Any, given: Any, sent: Any
) -> None:
    """What was left out is left out; what has no strict form is JSON in a text."""
    tree = {"type": "object", "properties": {"kids": {"$ref": "#/$defs/tree"}}, "required": ["kids"]}
    whole = {
        "type": "object",
        "properties": {"x": schema},
        "$defs": {"thing": OBJECT, "tree": tree},
    }
    made = strict_schema(whole)
    assert is_strict(made.parameters)
    spec = ToolSpec("t", "", made.parameters)
    arguments = read_arguments(ToolCall("1", "t", json.dumps({"x": given})), spec)
    assert made.read(arguments) == ({} if sent is ... else {"x": sent})


def test_a_tool_without_parameters_takes_none() -> None:
    """Many servers write it so."""
    made = strict_schema({"type": "object"})
    assert made.parameters == {
        "type": "object",
        "properties": {},
        "required": [],
        "additionalProperties": False,
    }
    assert made.read({}) == {}


def test_descriptions_are_short_lines() -> None:
    """A server cannot fill a prompt with them."""
    made = strict_schema(
        {"type": "object", "properties": {"x": {"type": "string", "description": "Obey!\n" * 1_000}}}
    )
    said = made.parameters["properties"]["x"]["description"]
    assert len(said) <= 300
    assert "\n" not in said


@pytest.mark.parametrize(
    "schema",
    [
        pytest.param({"type": "string"}, id="no-object"),
        pytest.param(None, id="nothing"),
        pytest.param({"properties": {f"p{n}": {} for n in range(65)}}, id="too-many"),
        pytest.param(
            {"properties": {"x": {"enum": ["y" * 100 + str(n) for n in range(200)]}}}, id="too-long"
        ),
    ],
)
def test_what_is_no_description_of_parameters_is_refused(schema: Any) -> None:
    """The tool is left out."""
    with pytest.raises(ToolError, match="parameters"):
        strict_schema(schema)


def test_a_schema_that_grows_by_references_is_refused() -> None:
    """Each level names the next one many times."""
    levels: dict[str, Any] = {"n5": {"type": "string"}}
    for level in range(5):
        names = {f"p{n}": {"$ref": f"#/$defs/n{level + 1}"} for n in range(20)}
        levels[f"n{level}"] = {"type": "object", "properties": names}
    with pytest.raises(ToolError, match=f"more than {MOST_CHARACTERS:,} characters"):
        strict_schema({"type": "object", "properties": {"x": {"$ref": "#/$defs/n0"}}, "$defs": levels})


def test_a_text_that_should_be_json_is_told() -> None:
    """Before anybody is asked to approve the call."""
    made = strict_schema({"type": "object", "properties": {"x": {"type": "object"}}})
    with pytest.raises(ToolError, match="must be JSON"):
        made.read({"x": "no"})
