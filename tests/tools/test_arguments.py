"""What a model is told of the arguments it wrote."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sunwell.core.message import ToolCall
from sunwell.core.model import ToolSpec
from sunwell.errors import ToolError
from sunwell.tools.arguments import closed, nullable, read_arguments

SPEC = ToolSpec(
    "act",
    "",
    closed(
        {
            "path": {"type": "string"},
            "count": nullable({"type": "integer"}),
            "mode": nullable({"type": "string", "enum": ["fast", "slow"]}),
            "flag": nullable({"type": "boolean"}),
            "rows": nullable({"type": "array", "items": closed({"n": {"type": "number"}})}),
        }
    ),
)
EMPTY = {"path": "x", "count": None, "mode": None, "flag": None, "rows": None}
KEYS = ". Required: path; optional: count, mode, flag, rows"


def read(text: str) -> dict[str, object]:
    return read_arguments(ToolCall("1", "act", text), SPEC)


@pytest.mark.parametrize(
    ("text", "got"),
    [
        pytest.param('{"path": "x"}', {}, id="optional-left-out"),
        pytest.param('{"path": "x", "count": null}', {}, id="optional-null"),
        pytest.param('{"path": "x", "count": 3}', {"count": 3}, id="whole"),
        pytest.param('{"path": "x", "count": 3.0}', {"count": 3}, id="whole-written-as-a-fraction"),
        pytest.param('{"path": "x", "mode": "fast"}', {"mode": "fast"}, id="choice"),
        pytest.param(
            '{"path": "x", "rows": [{"n": 1}, {"n": 1.5}]}', {"rows": [{"n": 1}, {"n": 1.5}]}, id="rows"
        ),
        pytest.param('{"path": "a\nb"}', {"path": "a\nb"}, id="raw-line-end-in-a-string"),
        pytest.param(' {"path": "x"}\n', {}, id="space-around"),
    ],
)
def test_good_arguments_come_out_whole(text, got):
    """Every property is there, and what was left out is None."""
    assert read(text) == EMPTY | got


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("", "path is missing", id="empty"),
        pytest.param("{", "the arguments are not valid JSON: Expecting property name", id="cut"),
        pytest.param('{"path": "x"} x', "the arguments are not valid JSON: Extra data", id="more-behind"),
        pytest.param("[]", "the arguments must be a JSON object, got array", id="array"),
        pytest.param("null", "the arguments must be a JSON object, got null", id="null"),
        pytest.param('"x"', "the arguments must be a JSON object, got string", id="text"),
        pytest.param('{"path": NaN}', "the arguments are not valid JSON: NaN is not", id="nan"),
        pytest.param("[" * 100_000, "the arguments are nested too deeply", id="deep"),
        pytest.param(
            '{"path": 1' + "0" * 5_000 + "}", "the arguments are not valid JSON", id="endless-number"
        ),
        pytest.param('{"path": 5}', "path must be a string, got number", id="number-for-text"),
        pytest.param('{"path": null}', "path must be a string, got null", id="null-for-text"),
        pytest.param(
            '{"path": "x", "count": "3"}', "count must be an integer or null, got string", id="text"
        ),
        pytest.param(
            '{"path": "x", "count": 3.5}', "count must be an integer or null, got number", id="part"
        ),
        pytest.param(
            '{"path": "x", "count": true}', "count must be an integer or null, got boolean", id="bool"
        ),
        pytest.param(
            '{"path": "x", "flag": 1}', "flag must be a boolean or null, got number", id="one-for-true"
        ),
        pytest.param(
            '{"path": "x", "mode": "mid"}', 'mode must be one of "fast", "slow", got "mid"', id="choice"
        ),
        pytest.param(
            '{"path": "x", "rows": [{"n": "1"}]}', "rows[0].n must be a number, got string", id="row"
        ),
        pytest.param('{"path": "x", "rows": [{}]}', "rows[0].n is missing", id="row-without"),
        pytest.param('{"pth": "x"}', "there is no argument 'pth'; did you mean path?", id="misspelt"),
        pytest.param('{"path": "x", "zz": 1}', "there is no argument 'zz'", id="unknown"),
    ],
)
def test_bad_arguments_say_what_is_wrong_and_what_is_needed(text, said):
    """The sentence begins with the tool and ends with its keys."""
    with pytest.raises(ToolError) as caught:
        read(text)
    assert str(caught.value).startswith(f"act: {said}")
    assert str(caught.value).endswith(KEYS)


@given(st.text() | st.recursive(st.none() | st.integers() | st.text(), lambda x: st.lists(x)).map(json.dumps))
def test_any_text_gives_arguments_or_a_sentence(text):
    """Nothing that a model writes raises anything else."""
    try:
        got = read(text)
    except ToolError:
        return
    assert isinstance(got["path"], str)


@pytest.mark.parametrize(
    ("schema", "given", "got"),
    [
        pytest.param({"type": "object"}, {"a": 1}, {"a": 1}, id="no-properties"),
        pytest.param({"properties": {"a": True}}, {"a": [1]}, {"a": [1]}, id="anything"),
        pytest.param(
            {"properties": {"a": {"items": True}}}, {"a": [1, "x"]}, {"a": [1, "x"]}, id="any-items"
        ),
        pytest.param({"properties": {"a": {"type": "date"}}}, {"a": "x"}, {"a": "x"}, id="unknown-type"),
        pytest.param({"properties": {"a": {"$ref": "#/x"}}}, {}, {}, id="reference"),
        pytest.param({"properties": {}}, {"b": 1}, {"b": 1}, id="open-object"),
    ],
)
def test_schemas_that_are_not_strict_are_taken_as_they_are(schema, given, got):
    """A caller's own schema may be looser than ours; what it does not say is not checked."""
    spec = ToolSpec("own", "", schema)
    assert read_arguments(ToolCall("1", "own", json.dumps(given)), spec) == got
