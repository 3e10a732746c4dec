"""Typed functions become tools with strict schemas."""

import dataclasses
import datetime
import json
import math
import sys
import threading
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, Optional

import pytest

from sunwell.core.message import ToolCall
from sunwell.core.secrets import Secrets
from sunwell.core.tool import Tool
from sunwell.errors import ToolError
from sunwell.tools import Toolbox, tool

SCALAR = {"anyOf": [{"type": "string"}, {"type": "number"}, {"type": "boolean"}, {"type": "null"}]}


def pairs(value: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {"key": {"type": "string"}, "value": value},
            "required": ["key", "value"],
            "additionalProperties": False,
        },
    }


@pytest.mark.parametrize(
    ("annotation", "schema", "sent", "got"),
    [
        pytest.param(str, {"type": "string"}, "a", "a", id="str"),
        pytest.param(int, {"type": "integer"}, 3, 3, id="int"),
        pytest.param(float, {"type": "number"}, 3, 3.0, id="float"),
        pytest.param(bool, {"type": "boolean"}, True, True, id="bool"),
        pytest.param(Annotated[str, "x"], {"type": "string", "description": "x"}, "a", "a", id="annotated"),
        pytest.param(Literal["a", "b"], {"type": "string", "enum": ["a", "b"]}, "b", "b", id="literal"),
        pytest.param(
            Literal["a", 1], {"type": ["string", "integer"], "enum": ["a", 1]}, 1, 1, id="mixed-literal"
        ),
        pytest.param(str | None, {"type": ["string", "null"]}, None, None, id="or-none"),
        pytest.param(Optional[int], {"type": ["integer", "null"]}, 3, 3, id="optional"),  # noqa: UP045
        pytest.param(
            Literal["a"] | None,
            {"anyOf": [{"type": "string", "enum": ["a"]}, {"type": "null"}]},
            None,
            None,
            id="literal-or-none",
        ),
        pytest.param(int | str, {"anyOf": [{"type": "integer"}, {"type": "string"}]}, "a", "a", id="union"),
        pytest.param(list[int], {"type": "array", "items": {"type": "integer"}}, [1, 2], [1, 2], id="list"),
        pytest.param(
            Sequence[str], {"type": "array", "items": {"type": "string"}}, ["a"], ["a"], id="sequence"
        ),
        pytest.param(tuple[int, ...], {"type": "array", "items": {"type": "integer"}}, [1], (1,), id="tuple"),
        pytest.param(set[int], {"type": "array", "items": {"type": "integer"}}, [1, 1], {1}, id="set"),
        pytest.param(
            list, {"type": "array", "items": SCALAR}, [1, "a", None], [1, "a", None], id="bare-list"
        ),
        pytest.param(
            dict[str, int], pairs({"type": "integer"}), [{"key": "a", "value": 1}], {"a": 1}, id="dict"
        ),
        pytest.param(
            Mapping[str, list[int]],
            pairs({"type": "array", "items": {"type": "integer"}}),
            [{"key": "a", "value": [1]}],
            {"a": [1]},
            id="mapping-of-lists",
        ),
        pytest.param(dict, pairs(SCALAR), [{"key": "a", "value": "b"}], {"a": "b"}, id="bare-dict"),
        pytest.param(
            list[int] | None,
            {"anyOf": [{"type": "array", "items": {"type": "integer"}}, {"type": "null"}]},
            [1],
            [1],
            id="list-or-none",
        ),
        pytest.param(Any, SCALAR, "x", "x", id="any"),
    ],
)
async def test_each_type_has_a_strict_schema_and_comes_back_as_itself(annotation, schema, sent, got):
    """The schema says the type, and the function gets the value as typed."""
    seen = []

    async def act(value):
        seen.append(value)
        return "ok"

    act.__annotations__ = {"value": annotation}
    made = tool(act)
    assert made.spec.parameters == {
        "type": "object",
        "properties": {"value": schema},
        "required": ["value"],
        "additionalProperties": False,
    }
    result = await Toolbox(tools=[made], secrets=Secrets()).execute(
        ToolCall("1", "act", json.dumps({"value": sent}))
    )
    assert (result.content, seen) == ("ok", [got])
    assert type(seen[0]) is type(got)


def test_the_docstring_describes_the_tool_and_its_parameters():
    """The text before the first section is the description; ``Args`` has the parameters."""

    @tool
    def fetch(city: str, days: int = 3, unit: Literal["C", "F"] | None = None) -> str:
        """Say what the weather will be.

        Only for cities.

        Args:
            city: Name of the city,
                in any language.
            days (int): How many days: at most ten.

        Returns:
            city: not a parameter.
        """
        return city

    assert fetch.spec.name == "fetch"
    assert fetch.spec.description == "Say what the weather will be.\n\nOnly for cities."
    assert fetch.spec.parameters["properties"] == {
        "city": {"type": "string", "description": "Name of the city, in any language."},
        "days": {"type": ["integer", "null"], "description": "How many days: at most ten. Default: 3."},
        "unit": {
            "anyOf": [{"type": "string", "enum": ["C", "F"]}, {"type": "null"}],
            "description": "Default: null.",
        },
    }
    assert fetch.spec.parameters["required"] == ["city", "days", "unit"]
    assert fetch("Rome") == "Rome"
    assert isinstance(fetch, Tool)


@pytest.mark.parametrize(
    ("sent", "got"),
    [
        pytest.param({}, [5, None], id="left-out"),
        pytest.param({"a": None, "b": None}, [5, None], id="null"),
        pytest.param({"a": 1, "b": 2}, [1, 2], id="given"),
    ],
)
async def test_a_default_stands_in_for_what_is_not_given(sent, got):
    """Null means the default where None is no value of the parameter."""

    @tool
    async def act(a: int = 5, b: int | None = None) -> Any:
        return [a, b]

    result = await Toolbox(tools=[act], secrets=Secrets()).execute(ToolCall("1", "act", json.dumps(sent)))
    assert json.loads(result.content) == got


async def test_each_call_has_values_of_its_own():
    """What the function does with them changes neither those of another call nor the arguments."""

    @tool
    async def act(items: list[str]) -> str:
        items.append("b")
        return " ".join(items)

    arguments = {"items": ["a"]}
    act.require_valid(arguments)
    assert [await act.run(arguments), await act.run(arguments)] == ["a b", "a b"]
    act.require_valid(arguments)
    assert await act.run({"items": ["c"]}) == "c b"
    assert arguments == {"items": ["a"]}


def no_type(value):
    return value


def many(*values: int) -> int:
    return sum(values)


def named(**values: int) -> int:
    return sum(values.values())


def by_place(value: int, /) -> int:
    return value


def of_bytes(value: bytes) -> int:
    return len(value)


def keyed_by_number(value: dict[int, str]) -> int:
    return len(value)


def two_lists(value: list[int] | set[str]) -> int:
    return len(value)


def odd_literal(value: Literal[b"x"]) -> int:
    return len(value)


def no_such_type(value: "Nowhere") -> int:  # noqa: F821
    return 0


@pytest.mark.parametrize(
    ("function", "said"),
    [
        pytest.param(no_type, "the parameter value of the tool no_type has no type", id="no-type"),
        pytest.param(many, "the parameter values of the tool many cannot be passed by name", id="star"),
        pytest.param(named, "values of the tool named cannot be passed by name", id="two-stars"),
        pytest.param(
            by_place, "the parameter value of the tool by_place cannot be passed by name", id="by-place"
        ),
        pytest.param(of_bytes, "tool of_bytes: <class 'bytes'> has no strict schema", id="bytes"),
        pytest.param(keyed_by_number, "dict[int, str] has no strict schema", id="dict-by-number"),
        pytest.param(two_lists, "a union may contain only simple types", id="two-lists"),
        pytest.param(odd_literal, "has no strict schema; use strings, integers", id="literal"),
        pytest.param(no_such_type, "of the tool no_such_type cannot be resolved", id="unknown-type"),
        pytest.param(lambda: "", "invalid tool name '<lambda>'", id="lambda"),
    ],
)
def test_what_cannot_be_a_strict_schema_is_told_when_decorated(function, said):
    """A mistake shows at import, in one sentence."""
    with pytest.raises(TypeError) as caught:
        tool(function)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_options_are_kept():
    """Options of the decorator are what the toolbox goes by."""

    @tool(name="other", parallel=True, repeatable=True, ask=True, timeout_seconds=math.inf)
    def act() -> str:
        """Do it."""
        return ""

    kept = (act.spec.name, act.parallel, act.repeatable, act.ask, act.timeout_seconds)
    assert kept == ("other", True, True, True, math.inf)
    plain = tool(lambda_free)
    assert (plain.parallel, plain.repeatable, plain.ask, plain.timeout_seconds) == (False, False, None, None)


def lambda_free() -> str:
    return threading.current_thread().name


@dataclasses.dataclass
class Point:
    """A value of the caller's own."""

    x: int
    y: int


class Mute:
    """A value that has no text."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


CIRCLE: list[Any] = []
CIRCLE.append(CIRCLE)


@pytest.mark.parametrize("is_async", [True, False])
async def test_a_tool_that_exits_is_an_error_of_the_tool(is_async: bool):
    """The caller's program goes on."""

    async def leave() -> str:
        sys.exit(3)

    def leave_in_a_thread() -> str:
        sys.exit(3)

    act = tool(name="act")(leave if is_async else leave_in_a_thread)
    result = await Toolbox(tools=[act]).execute(ToolCall("1", "act", "{}"))
    assert (result.content, result.is_error) == ("act failed: it called sys.exit(3)", True)


async def test_a_sync_function_runs_in_a_thread():
    """It cannot block the loop."""
    assert await tool(lambda_free).run({}) != threading.main_thread().name


@pytest.mark.parametrize(
    ("given", "text"),
    [
        pytest.param("as it is", "as it is", id="text"),
        pytest.param({"a": [1, None, "\u00e9"]}, '{"a": [1, null, "\u00e9"]}', id="object"),
        pytest.param(None, "null", id="none"),
        pytest.param(3, "3", id="number"),
        pytest.param([Decimal("9.50")], '["9.50"]', id="amount"),
        pytest.param({"on": datetime.date(2026, 1, 2)}, '{"on": "2026-01-02"}', id="date"),
        pytest.param(Point(1, 2), '{"x": 1, "y": 2}', id="dataclass"),
        pytest.param({"in": Path("a/b")}, '{"in": "a/b"}', id="path"),
        pytest.param(math.nan, "NaN", id="not-a-number"),
        pytest.param({(1, 2): 3}, "{(1, 2): 3}", id="key-that-is-not-text"),
        pytest.param(CIRCLE, "[[...]]", id="circle"),
        pytest.param({"a": Mute()}, "a dict that cannot be shown as text", id="nothing-to-show"),
    ],
)
async def test_what_is_no_text_becomes_json(given, text):
    """A model reads text as it is and everything else as JSON, or as Python shows it.

    The tool has acted by then: a failure would tell the model to act again.
    """

    @tool
    def act() -> Any:
        return given

    assert await act.run({}) == text


@pytest.mark.parametrize(
    ("error", "said"),
    [
        pytest.param(ToolError("the city is not known"), "the city is not known", id="meant-for-the-model"),
        pytest.param(ValueError("bad sk-planted-key"), "act failed: ValueError: bad [KEY]", id="any-other"),
        pytest.param(TimeoutError("own"), "act failed: TimeoutError: own", id="a-time-out-of-its-own"),
    ],
)
async def test_a_tool_that_raises_gives_an_error_result(error, said, caplog):
    """No tool ends the run; secrets are gone from what is told and from what is logged."""
    secrets = Secrets()
    secrets.add("sk-planted-key", "KEY")

    @tool
    async def act() -> str:
        raise error

    result = await Toolbox(tools=[act], secrets=secrets).execute(ToolCall("1", "act", "{}"))
    assert (result.content, result.is_error) == (said, True)
    assert "sk-planted-key" not in caplog.text
    assert ("Traceback" in caplog.text) == (not isinstance(error, ToolError))
