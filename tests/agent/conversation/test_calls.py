"""Tool calls as models and executors of others really send and answer them."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import attrs
import pytest

from sunwell.agent.conversation.tool_calls import with_sound_ids
from sunwell.agent.loop import AgentLoop
from sunwell.core import FileChange, Message, Request, ToolCall, ToolResult, ToolSpec
from sunwell.core.task import TaskResult
from sunwell.errors import JournalError
from sunwell.events import RunFinished
from sunwell.testing import ScriptedModel, completion, run_virtual
from sunwell.tools import tool


@attrs.define(eq=False)
class Foreign:
    """An executor that somebody else wrote, with one tool."""

    gives: Any

    def specs(self) -> Sequence[ToolSpec]:
        return (ToolSpec("poke", "Poke it.", {"type": "object", "properties": {}}),)

    async def execute(self, call: ToolCall) -> Any:
        if isinstance(self.gives, BaseException):
            raise self.gives
        return self.gives


@attrs.define(eq=False)
class FullDisk(Foreign):
    """An executor whose calls may run side by side, and cannot even be looked at."""

    async def stage(self, call: ToolCall) -> Any:
        raise self.gives

    async def hashes(self, paths: tuple[str, ...]) -> tuple[str | None, ...]:
        return tuple(None for _ in paths)

    def is_parallel(self, name: str) -> bool:
        return True


def result_of(model: ScriptedModel, executor: Any = None, tools: Any = None) -> TaskResult:
    """Return how a run of *model* ends."""

    async def main() -> TaskResult:
        events = [event async for event in AgentLoop(model, executor).run("Poke it.", tools)]
        assert isinstance(events[-1], RunFinished)
        return events[-1].result

    return run_virtual(main())


def told(request: Request) -> list[ToolResult]:
    """Return the results that the model reads in *request*."""
    return [part for part in request.messages[-1].parts if isinstance(part, ToolResult)]


@pytest.mark.parametrize(
    "ids",
    [
        pytest.param(["a", "b"], id="sound"),
        pytest.param(["", ""], id="left-out"),
        pytest.param(["a", "a"], id="doubled"),
        pytest.param(["call_3_1", ""], id="like-the-one-we-would-give"),
        pytest.param(["", "call_3_0"], id="like-the-one-we-gave"),
    ],
)
def test_every_call_of_a_message_has_an_id_of_its_own(ids: list[str]) -> None:
    """Ids that are missing or doubled are replaced, never by one that another call has."""
    message = Message("assistant", tuple(ToolCall(one, "poke", "{}") for one in ids))
    got = [call.id for call in with_sound_ids(message, 3).tool_calls]
    assert len(set(got)) == len(ids)
    assert all(got)
    kept = [mine for mine, given in zip(got, ids, strict=True) if mine == given]
    assert kept == list(dict.fromkeys(one for one in ids if one))


@pytest.mark.parametrize(
    ("gives", "content"),
    [
        pytest.param(None, "null", id="nothing"),
        pytest.param("text", "text", id="text"),
        pytest.param({"paid": Decimal("9.50")}, '{"paid": "9.50"}', id="amount"),
        pytest.param(ToolResult("x", {"a": 1}), '{"a": 1}', id="object-for-text"),  # type: ignore[arg-type]
    ],
)
def test_what_an_executor_returned_after_acting_is_text(gives: Any, content: str) -> None:
    """A failure would tell the model to do it again."""
    model = ScriptedModel("haiku", [completion(ToolCall("a", "poke", "{}")), "It is done."])
    assert result_of(model, Foreign(gives)).answer == "It is done."
    (seen,) = told(model.calls[1])
    assert (seen.content, seen.is_error) == (content, False)


@pytest.mark.parametrize(
    "gives",
    [
        pytest.param(ToolResult("x", "ok", 1), id="number-for-bool"),  # type: ignore[arg-type]
        pytest.param(ToolResult("x", "ok", exit_code="0"), id="text-for-exit-code"),  # type: ignore[arg-type]
        pytest.param(ToolResult("x", "ok", False, ("a.py",)), id="path-for-change"),  # type: ignore[arg-type]
    ],
)
def test_a_result_that_cannot_be_read_says_that_the_tool_has_run(gives: Any) -> None:
    """The model checks before it acts again."""
    model = ScriptedModel("haiku", [completion(ToolCall("a", "poke", "{}")), "I checked."])
    assert result_of(model, Foreign(gives)).answer == "I checked."
    (seen,) = told(model.calls[1])
    assert seen.is_error
    assert seen.content.startswith("poke has run, but its result cannot be read (")


@pytest.mark.parametrize(
    "gives", [pytest.param(ValueError("broken"), id="raises"), pytest.param(SystemExit(3), id="exits")]
)
def test_an_executor_that_raises_is_told_to_the_model(gives: BaseException) -> None:
    """The run goes on, and the model reads that the tool failed."""
    model = ScriptedModel("haiku", [completion(ToolCall("a", "poke", "{}")), "It is broken."])
    result = result_of(model, Foreign(gives))
    assert (result.status, result.answer) == ("ok", "It is broken.")
    (seen,) = told(model.calls[1])
    assert seen.is_error
    assert seen.content.startswith("The tool failed: ")


def test_a_list_of_changes_counts() -> None:
    """An executor may give its changes as a list."""
    gives = ToolResult("x", "done", False, [FileChange("a.py", None, "0" * 64)])  # type: ignore[arg-type]
    model = ScriptedModel("haiku", [completion(ToolCall("a", "poke", "{}")), "Done."])
    assert [file.path for file in result_of(model, Foreign(gives)).files] == ["a.py"]


@tool
async def poke(text: str) -> str:
    """Poke it."""
    return text


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param("[" * 100_000, id="nested-without-end"),
        pytest.param('{"text": ' + "[" * 900 + "]" * 900 + "}", id="nested-deep"),
        pytest.param('{"text": ' + "9" * 5_000 + "}", id="long-number"),
        pytest.param('{"text": NaN}', id="no-json"),
        pytest.param("\x00", id="control"),
    ],
)
def test_hostile_arguments_are_a_mistake_of_the_model(arguments: str) -> None:
    """Whatever stands in the arguments, the model is told of it and the run goes on."""
    model = ScriptedModel("haiku", [completion(ToolCall("a", "poke", arguments)), "I see."])
    assert result_of(model, tools=[poke]).status == "ok"
    (seen,) = told(model.calls[1])
    assert seen.is_error


def test_one_error_comes_out_of_calls_side_by_side() -> None:
    """A journal that cannot be written is raised as such, not in a group."""
    calls = [ToolCall(one, "poke", "{}") for one in "ab"]
    with pytest.raises(JournalError, match="disk is full"):
        result_of(ScriptedModel("haiku", [completion(*calls)]), FullDisk(JournalError("the disk is full")))
