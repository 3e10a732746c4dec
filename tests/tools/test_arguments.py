"""What a model is told of the arguments it wrote."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sunwell.core.message import ToolCall
from sunwell.core.model import ToolSpec
from sunwell.errors import ToolError
from sunwell.tools.arguments import closed, nullable, read_arguments, repaired

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
            '{"path": "x", "count": "3 or so"}', "count must be an integer or null, got string", id="text"
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
            '{"path": "x", "rows": [{"n": "1,5"}]}', "rows[0].n must be a number, got string", id="row"
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


STRING, INTEGER, NUMBER, BOOLEAN = ({"type": kind} for kind in ("string", "integer", "number", "boolean"))
TEXTS = {"type": "array", "items": STRING}
PAIRS = {"type": "array", "items": closed({"key": STRING, "value": INTEGER})}


@pytest.mark.parametrize(
    ("schema", "written", "meant"),
    [
        pytest.param(INTEGER, "3", 3, id="number-in-quotes"),
        pytest.param(INTEGER, " -12 ", -12, id="with-space"),
        pytest.param(INTEGER, "3.0", 3, id="whole-with-a-fraction-in-quotes"),
        pytest.param(INTEGER, "9" * 30, int("9" * 30), id="every-digit-stays"),
        pytest.param(NUMBER, "0.5", 0.5, id="fraction-in-quotes"),
        pytest.param(nullable(INTEGER), "3", 3, id="number-or-null"),
        pytest.param(nullable(INTEGER), "null", None, id="null-in-quotes"),
        pytest.param(BOOLEAN, "true", True, id="true-in-quotes"),
        pytest.param(BOOLEAN, "False", False, id="false-as-in-python"),
        pytest.param(TEXTS, '["a", "b"]', ["a", "b"], id="list-encoded-twice"),
        pytest.param(TEXTS, "a.py", ["a.py"], id="one-for-a-list"),
        pytest.param({"type": "array", "items": INTEGER}, 3, [3], id="one-number-for-a-list"),
        pytest.param({"type": "array", "items": INTEGER}, "3", [3], id="one-quoted-number-for-a-list"),
        pytest.param({"type": "array", "items": INTEGER}, ["3", 4], [3, 4], id="quoted-number-in-a-list"),
        pytest.param(closed({"n": INTEGER}), '{"n": "3"}', {"n": 3}, id="object-encoded-twice"),
        pytest.param(closed({"maxSize": INTEGER}), {"max_size": 3}, {"maxSize": 3}, id="name-in-other-form"),
        pytest.param(
            PAIRS, {"a": 1, "b": 2}, [{"key": "a", "value": 1}, {"key": "b", "value": 2}], id="pairs"
        ),
        pytest.param(PAIRS, {"key": "a", "value": 1}, [{"key": "a", "value": 1}], id="one-pair"),
        pytest.param({"type": "string", "enum": ["fast", "slow"]}, "Fast", "fast", id="choice-in-capitals"),
        pytest.param({"type": "integer", "enum": [1, 2]}, "2", 2, id="choice-in-quotes"),
        pytest.param({"anyOf": [INTEGER, BOOLEAN]}, "1", 1, id="the-one-type-it-can-be"),
    ],
)
def test_what_can_mean_one_thing_is_taken_as_that(schema, written, meant):
    """The recorded call has the value that is meant, with its type."""
    spec = ToolSpec("act", "", closed({"value": schema}))
    call = repaired(ToolCall("1", "act", json.dumps({"value": written})), spec)
    assert repr(json.loads(call.arguments)) == repr({"value": meant})
    assert repr(read_arguments(call, spec)) == repr({"value": meant})


@pytest.mark.parametrize(
    ("schema", "written"),
    [
        pytest.param(STRING, "007", id="digits-for-text"),
        pytest.param(STRING, "true", id="word-for-text"),
        pytest.param(STRING, '{"a": 1}', id="json-for-text"),
        pytest.param(nullable(STRING), "null", id="null-for-text-or-null"),
        pytest.param({"anyOf": [STRING, INTEGER]}, "3", id="text-or-number"),
        pytest.param(TEXTS, ["1", "null"], id="texts-in-a-list"),
        pytest.param({}, "3", id="anything"),
        pytest.param({"type": "object"}, {"a": "1"}, id="open-object"),
    ],
)
def test_a_string_for_a_string_stays(schema, written):
    """What fits is never changed, whatever else it could be."""
    call = ToolCall("1", "act", json.dumps({"value": written}))
    assert repaired(call, ToolSpec("act", "", closed({"value": schema}))) is call


@pytest.mark.parametrize(
    ("schema", "written"),
    [
        pytest.param(INTEGER, "007", id="leading-zeros"),
        pytest.param(INTEGER, "1,000", id="separator"),
        pytest.param(INTEGER, "3.5", id="fraction-for-whole"),
        pytest.param(INTEGER, True, id="boolean-for-number"),
        pytest.param(NUMBER, "NaN", id="no-number"),
        pytest.param(BOOLEAN, "yes", id="word-for-true"),
        pytest.param(BOOLEAN, "1", id="one-for-true"),
        pytest.param(STRING, 7, id="number-for-text"),
        pytest.param(STRING, ["a"], id="list-for-text"),
        pytest.param(TEXTS, "a.py, b.py", id="one-or-two-items"),
        pytest.param(TEXTS, "", id="none-or-an-empty-item"),
        pytest.param(nullable(TEXTS), "null", id="null-or-an-item"),
        pytest.param({"type": "string", "enum": ["a", "A"]}, " a ", id="two-choices"),
        pytest.param({"anyOf": [INTEGER, {"type": "array", "items": INTEGER}]}, "3", id="number-or-list"),
        pytest.param(
            {"type": "array", "items": closed({"key": STRING, "value": STRING})},
            {"key": "a", "value": "b"},
            id="one-pair-or-two",
        ),
    ],
)
def test_what_can_mean_two_things_is_refused(schema, written):
    """The call stays as the model wrote it, and the model is told."""
    spec = ToolSpec("act", "", closed({"value": schema}))
    call = ToolCall("1", "act", json.dumps({"value": written}))
    assert repaired(call, spec) is call
    with pytest.raises(ToolError):
        read_arguments(call, spec)


EDIT = ToolSpec("edit_file", "", closed({"path": STRING, "old": STRING, "new": STRING}))


@pytest.mark.parametrize(
    "written",
    [
        pytest.param({"file_path": "a", "old_string": "b", "new_string": "c"}, id="file_path-old_string"),
        pytest.param({"filename": "a", "oldStr": "b", "newStr": "c"}, id="filename-oldStr"),
        pytest.param({"Path": "a", "search": "b", "replace": "c"}, id="capital-search-replace"),
        pytest.param({"arguments": {"path": "a", "old": "b", "new": "c"}}, id="wrapped"),
        pytest.param('{"path": "a", "old": "b", "new": "c"}', id="encoded-twice"),
        pytest.param({"input": '{"path": "a", "old": "b", "new": "c"}'}, id="wrapped-and-encoded-twice"),
    ],
)
def test_other_names_of_arguments_are_taken(written):
    """A model that knows another product's tools is understood."""
    call = repaired(ToolCall("1", "edit_file", json.dumps(written)), EDIT)
    assert json.loads(call.arguments) == {"path": "a", "old": "b", "new": "c"}


@pytest.mark.parametrize(
    ("spec", "written"),
    [
        pytest.param(
            EDIT, {"path": "a", "file_path": "b", "old": "b", "new": "c"}, id="the-real-one-is-there"
        ),
        pytest.param(EDIT, {"file": "a", "filename": "b", "old": "b", "new": "c"}, id="two-for-one"),
        pytest.param(
            ToolSpec("mine", "", closed({"path": STRING})), {"file_path": "a"}, id="a-tool-of-the-caller"
        ),
        pytest.param(
            ToolSpec("read_file", "", closed({"path": STRING, "file": STRING})),
            {"file": "a"},
            id="it-is-another",
        ),
        pytest.param(
            ToolSpec("act", "", closed({"a_b": STRING, "ab": STRING})), {"AB": "a"}, id="one-for-two"
        ),
    ],
)
def test_other_names_are_not_taken_if_they_may_mean_something_else(spec, written):
    """The error names the argument that is not known, or the one that is missing."""
    call = ToolCall("1", spec.name, json.dumps(written))
    assert repaired(call, spec) is call
    with pytest.raises(ToolError, match=r"there is no argument|is missing"):
        read_arguments(call, spec)


def test_a_missing_argument_that_may_be_null_is_null():
    """An executor that relies on its schema finds every required key."""
    call = repaired(ToolCall("1", "act", '{"path": "x", "count": 3}'), SPEC)
    assert json.loads(call.arguments) == EMPTY | {"count": 3}


LEAVES = st.one_of(
    *(st.just({"type": kind}) for kind in ("string", "integer", "number", "boolean", "null")),
    st.just({"type": ["integer", "null"]}),
    st.just({"type": "string", "enum": ["a", "A", "1"]}),
)
SCHEMAS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        inner.map(lambda items: {"type": "array", "items": items}),
        inner.map(nullable),
        st.lists(inner, min_size=1, max_size=3).map(lambda some: {"anyOf": some}),
        st.dictionaries(st.sampled_from(["a", "a_b", "key", "value"]), inner, max_size=3).map(closed),
    ),
    max_leaves=8,
)


def values(schema: dict[str, object]) -> st.SearchStrategy[object]:
    """Values that fit *schema*."""
    if "anyOf" in schema:
        return st.one_of(*map(values, schema["anyOf"]))
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    by_kind = {
        "string": st.one_of(st.text(), st.sampled_from(["3", "007", "true", "null", "[1]", '{"a": 1}'])),
        "integer": st.integers(),
        "number": st.integers() | st.floats(allow_nan=False, allow_infinity=False),
        "boolean": st.booleans(),
        "null": st.none(),
    }
    kinds = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
    if kinds == ["array"]:
        return st.lists(values(schema["items"]), max_size=3)
    if kinds == ["object"]:
        return st.fixed_dictionaries({key: values(one) for key, one in schema["properties"].items()})
    return st.one_of(*(by_kind[kind] for kind in kinds))


@given(SCHEMAS.flatmap(lambda schema: st.tuples(st.just(schema), values(schema))))
def test_repairing_valid_arguments_changes_nothing(case):
    """Whatever the schema, a call that fits it runs and is recorded as the model wrote it."""
    schema, value = case
    spec = ToolSpec("act", "", closed({"value": schema}))
    call = ToolCall("1", "act", json.dumps({"value": value}))
    assert repaired(call, spec) is call


WRITTEN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text()
    | st.sampled_from(["3", "true", "[1]", '{"a": "1"}']),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "AB", "x"]), inner),
    max_leaves=6,
)


@given(SCHEMAS, WRITTEN)
def test_repairing_twice_is_repairing_once(schema, value):
    """A recorded call that is run again runs with the same arguments."""
    spec = ToolSpec("act", "", closed({"value": schema}))
    once = repaired(ToolCall("1", "act", json.dumps({"value": value})), spec)
    assert repaired(once, spec) == once


@given(SCHEMAS, WRITTEN)
def test_a_call_reads_the_same_whether_it_was_repaired_before_or_not(schema, value):
    """Arguments that are remembered from the repair are those that a reader would find by himself."""
    spec = ToolSpec("act", "", closed({"value": schema, "other": nullable({"type": "integer"})}))
    call = ToolCall("1", "act", json.dumps({"value": value}))

    def found(one: ToolCall) -> str:
        try:
            return repr(read_arguments(one, spec))
        except ToolError as error:
            return error.sentence

    assert found(repaired(call, spec)) == found(ToolCall("2", "act", call.arguments))


ANYTHING = ToolSpec("act", "", closed({"value": {}}))


@pytest.mark.parametrize(
    "written",
    [
        pytest.param("1e400", id="larger-than-a-float"),
        pytest.param("1" * 400, id="long-integer"),
        pytest.param("-0", id="minus-nothing"),
        pytest.param("2.2250738585072011e-308", id="smallest-normal-float"),
        pytest.param('"\\ud800"', id="half-a-character"),
        pytest.param('"a\tb\nc"', id="raw-white-space"),
        pytest.param('{"a": 1, "b": 2, "a": 3}', id="name-twice"),
        pytest.param('["\\u00e9", "\\ud83d\\ude00"]', id="escapes"),
    ],
)
def test_unusual_json_is_read_as_python_reads_it(written):
    """What one reader of JSON does not take, the other one reads, and both read the same."""
    call = ToolCall("1", "act", f'{{"value": {written}}}')
    assert repr(read_arguments(call, ANYTHING)["value"]) == repr(json.loads(written, strict=False))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    ),
    st.booleans(),
)
def test_json_is_read_as_python_reads_it(value, is_ascii):
    """Numbers and texts come out exactly as they were written."""
    written = json.dumps({"value": value}, ensure_ascii=is_ascii).replace("Infinity", "1e999")
    got = read_arguments(ToolCall("1", "act", written), ANYTHING)
    assert repr(got) == repr(json.loads(written))


def test_who_reads_a_repaired_call_has_its_arguments_alone():
    """What one reader does with them, the next one does not see, and neither does another call."""
    spec = ToolSpec("act", "", closed({"items": {"type": "array", "items": {"type": "string"}}}))
    call = ToolCall("1", "act", '{"items": ["a"]}')
    assert repaired(call, spec) is call
    first = read_arguments(call, spec)
    first["items"].append("b")
    assert read_arguments(call, spec) == {"items": ["a"]}
    repaired(call, spec)
    other = ToolSpec("act", "", closed({"item": {"type": "string"}}))
    with pytest.raises(ToolError):
        read_arguments(call, other)  # the same call under another schema
    assert read_arguments(ToolCall("1", "act", '{"items": []}'), spec) == {"items": []}
