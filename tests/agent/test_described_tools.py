"""Tools of an executor that has only ``execute``: the options describe them, and it carries them out."""

from pathlib import Path
from typing import Any

import pytest

from sunwell.agent import Agent
from sunwell.context import RunOptions, SessionContext
from sunwell.core import TaskResult, ToolCall, ToolResult
from sunwell.core.model import ToolSpec
from sunwell.errors import ConfigurationError
from sunwell.testing import ScriptedModel, completion
from sunwell.tools import Toolbox, tool

SPEC = ToolSpec(
    "note",
    "Take a note.",
    {
        "type": "object",
        "properties": {"text": {"type": "string"}},
        "required": ["text"],
        "additionalProperties": False,
    },
)


@tool
async def note(text: str) -> str:
    """Take a note."""
    raise AssertionError("the executor carries it out")


class Plain:
    """An executor that can only execute."""

    def __init__(self) -> None:
        self.calls: list[ToolCall] = []

    async def execute(self, call: ToolCall) -> ToolResult:
        """Note the call."""
        self.calls.append(call)
        return ToolResult(call.id, f"noted {call.arguments}")


def scripted() -> ScriptedModel:
    """Return a model that calls the tool once."""
    return ScriptedModel("m", [completion(ToolCall("1", "note", '{"text": "x"}')), "ok"])


async def run(folder: Path, executor: Any, model: ScriptedModel, **options: Any) -> TaskResult:
    """Return the result of a run with *executor*."""
    session = SessionContext.build(folder, "Take a note.", RunOptions(**options))
    return await Agent(model=model, tool_executor=executor).result(session)


@pytest.mark.parametrize("described", [note, SPEC], ids=["a-function", "a-description"])
async def test_the_executor_carries_out_what_the_options_describe(tmp_path: Path, described: Any) -> None:
    """The model is told of the tool, and its call reaches the executor; a function is not called."""
    executor, model = Plain(), scripted()
    result = await run(tmp_path, executor, model, tools=[described])
    assert result.success
    assert [one.name for one in model.calls[0].tools] == ["note"]
    assert [(call.name, call.arguments) for call in executor.calls] == [("note", '{"text": "x"}')]
    assert 'noted {"text": "x"}' in str(model.calls[-1].messages[-1])
    assert dict(result.tools_called) == {"note": 1}


async def test_each_call_is_approved(tmp_path: Path) -> None:
    """An executor that only executes does not say what it will change."""
    executor, asked = Plain(), []
    result = await run(
        tmp_path,
        executor,
        scripted(),
        tools=[SPEC],
        approve=lambda proposal: bool(asked.append(proposal.tool)),
    )
    assert result.success
    assert (asked, executor.calls) == (["note"], [])


@pytest.mark.parametrize(
    ("executor", "options", "sentence"),
    [
        pytest.param(None, {}, "tools= describes note, and nobody carries it out", id="nobody"),
        pytest.param(Toolbox(), {}, "tools= describes note, and nobody carries it out", id="a-toolbox"),
        pytest.param(Plain(), {"dry_run": True}, "a dry run needs an executor that stages", id="dry-run"),
    ],
)
async def test_what_cannot_be_carried_out_is_refused_before_a_model_is_asked(
    tmp_path: Path, executor: Any, options: dict[str, Any], sentence: str
) -> None:
    """With a sentence that says what to do."""
    model = scripted()
    with pytest.raises(ConfigurationError, match=sentence):
        await run(tmp_path, executor, model, tools=[SPEC], **options)
    assert not model.calls


async def test_an_executor_that_knows_its_tools_describes_them_itself(tmp_path: Path) -> None:
    """Then a function beside it is somebody else's, which it cannot carry out."""

    class Knowing(Plain):
        def specs(self) -> tuple[ToolSpec, ...]:
            return (SPEC,)

    model = scripted()
    assert (await run(tmp_path, Knowing(), model)).success
    with pytest.raises(ConfigurationError, match="let the executor carry it out"):
        await run(tmp_path, Knowing(), scripted(), tools=[note])
