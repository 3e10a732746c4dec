"""The answer must be JSON of a schema; each fault is a line with its place."""

import json
from pathlib import Path

import pytest

from sunwell.checks.schema_check import SchemaCheck
from sunwell.context.json_text import json_object_in
from sunwell.errors import ConfigurationError

pytest.importorskip("jsonschema")
SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1},
        "items": {"type": "array", "items": {"type": "integer", "minimum": 0}},
    },
    "required": ["name", "items"],
    "additionalProperties": False,
}
GOOD = '{"name": "a", "items": [1, 2]}'


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(GOOD, id="bare"),
        pytest.param(f"  {GOOD}\n", id="with-space"),
        pytest.param(f"```json\n{GOOD}\n```", id="in-a-fence"),
        pytest.param(f"Here it is:\n\n~~~~\n{GOOD}\n~~~~\nThat is all.", id="in-a-fence-with-words"),
    ],
)
async def test_json_that_fits_passes(checking, answer):
    """Bare, or in the one fenced block of the answer."""
    verdict = await SchemaCheck(SCHEMA)(checking(answer=answer))
    assert (verdict.passed, verdict.evidence) == (True, "the answer fits the schema")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        pytest.param("", "Expecting value", id="empty"),
        pytest.param("Done.", "Expecting value", id="words"),
        pytest.param(f"{GOOD} and more", "Extra data", id="words-after-it"),
        pytest.param(f"```\n{GOOD}\n```\n```\n{GOOD}\n```", "Expecting value", id="two-blocks"),
        pytest.param('{"name": NaN}', "NaN is not JSON", id="not-a-number"),
        pytest.param('{"name": "a", "name": "b"}', "a key twice", id="a-key-twice"),
        pytest.param("[" * 100_000, "nested too deeply", id="deep"),
    ],
)
async def test_what_is_not_json_has_failed(checking, answer, said):
    """The sentence says why it is not."""
    verdict = await SchemaCheck(SCHEMA)(checking(answer=answer))
    assert verdict.passed is False
    assert verdict.evidence.startswith("The answer must be JSON and nothing else: ")
    assert said in verdict.evidence


async def test_each_fault_is_a_line_with_its_place(checking):
    """In the order of their places, so that two runs say the same."""
    answer = json.dumps({"items": [1, -1, "x"], "extra": 1})
    verdict = await SchemaCheck(SCHEMA)(checking(answer=answer))
    assert verdict.passed is False
    assert verdict.evidence.splitlines() == [
        "$: 'name' is a required property",
        "$: Additional properties are not allowed ('extra' was unexpected)",
        "$.items[1]: -1 is less than the minimum of 0",
        "$.items[2]: 'x' is not of type 'integer'",
    ]


async def test_many_faults_are_counted(checking):
    """Evidence stays short."""
    answer = json.dumps({"name": "a", "items": ["x" * 10_000] * 50})
    verdict = await SchemaCheck(SCHEMA)(checking(answer=answer))
    assert verdict.evidence.endswith("and 40 more")
    assert len(verdict.evidence) < 4_000


async def test_a_reference_to_another_document_is_not_followed(checking):
    """A check reaches no network: then it could not tell."""
    check = SchemaCheck({"$ref": "http://127.0.0.1:9/schema.json"})
    verdict = await check(checking(answer="1"))
    assert verdict.passed is None
    assert "the schema cannot be applied" in verdict.evidence


@pytest.mark.parametrize("schema", [{"type": "text"}, {"required": "name"}, "x", None, []])
def test_what_is_no_schema_is_refused_when_it_is_made(schema):
    """Before anything is paid."""
    with pytest.raises(ConfigurationError, match="schema"):
        SchemaCheck(schema)


@pytest.mark.parametrize("text", ["", "{", "[]", "{" + '"a":1,' * 200_000 + '"b":1}'])
def test_a_file_without_a_schema_is_named(tmp_path: Path, text):
    """Missing, not JSON, no object, or much too long."""
    file = tmp_path / "schema.json"
    file.write_text(text)
    for path in (file, tmp_path / "missing.json"):
        with pytest.raises(ConfigurationError, match=f"answer_schema: {path}"):
            json_object_in(path, "answer_schema")
    file.write_text(json.dumps(SCHEMA))
    assert json_object_in(file, "answer_schema") == SCHEMA
