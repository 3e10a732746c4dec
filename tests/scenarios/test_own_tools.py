"""Tools of the caller's own: typed functions that are given to an agent or to a run."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

from sunwell.agent import Agent
from sunwell.context.options import RunOptions
from sunwell.context.session import SessionContext
from sunwell.core import Completion, TaskResult, ToolCall, ToolResult
from sunwell.core.model import ToolSpec
from sunwell.errors import ConfigurationError, JournalError, ServerFailed
from sunwell.events import RunFinished
from sunwell.gateway.retry import RetryPolicy
from sunwell.journal import list_runs
from sunwell.testing import ScriptedModel, completion
from sunwell.tools import Toolbox, tool

ONCE = RetryPolicy(attempts=1)


def stock_of(article: str) -> int:
    """Say how many pieces of an article there are."""
    return len(article)


def make_untyped() -> Callable[..., Any]:
    """Return a function whose parameter has no type."""
    return lambda article: article


@tool(name="stock_of", parallel=True)
def other_stock(article: str, shop: str) -> int:
    """Say how many pieces of an article a shop has."""
    return 0


def asks(name: str = "stock_of", **arguments: Any) -> Completion:
    """Return an answer that calls the tool *name*."""
    return completion(ToolCall("c1", name, json.dumps(arguments or {"article": "mug"})))


def session_in(folder: Path, **options: Any) -> SessionContext:
    """Return a session with *options*."""
    return SessionContext.build(folder, "How many mugs are there?", options=RunOptions(**options))


def offered(model: ScriptedModel) -> list[str]:
    """Return the names of the tools that *model* was told of first."""
    return [spec.name for spec in model.calls[0].tools]


async def last(events: Any) -> TaskResult:
    """Return the result of a run."""
    async for event in events:
        if isinstance(event, RunFinished):
            return event.result
    raise AssertionError("no result")


@pytest.mark.parametrize("given", [stock_of, tool(stock_of)], ids=["plain", "decorated"])
async def test_a_function_is_a_tool_beside_those_of_the_workspace(tmp_path: Path, given: Any) -> None:
    """The model is told of it after the usual ones, and gets what it returns."""
    model = ScriptedModel("m", [asks(), "Three."])
    result = await Agent(model=model, tools=[given]).result(session_in(tmp_path))
    assert (result.status, result.answer) == ("ok", "Three.")
    assert offered(model)[-1] == "stock_of"
    assert "read_file" in offered(model)
    assert "3" in str(model.calls[1].messages[-1])


async def test_workers_of_a_batch_have_it(tmp_path: Path) -> None:
    """Each worker may call it."""
    model = ScriptedModel("m", [asks(), "Three."])
    results = await Agent(model=model, tools=[stock_of]).batch(["How many mugs?"], workspace=tmp_path)
    assert [one.answer for one in results] == ["Three."]
    assert "stock_of" in offered(model)


async def test_a_dry_run_leaves_out_a_function_that_may_act(tmp_path: Path) -> None:
    """The rules of the run hold for it."""
    called: list[str] = []

    def order(article: str) -> str:
        called.append(article)
        return "ordered"

    model = ScriptedModel("m", [asks("order"), "Done."])
    result = await Agent(model=model, tools=[order]).result(session_in(tmp_path, dry_run=True))
    assert (result.status, called) == ("ok", [])


async def test_who_approves_is_asked_for_it(tmp_path: Path) -> None:
    """A refusal keeps the function from being called."""
    asked: list[str] = []

    def refuse(proposal: Any) -> bool:
        asked.append(proposal.tool)
        return False

    model = ScriptedModel("m", [asks(), "Done."])
    await Agent(model=model, tools=[stock_of]).result(session_in(tmp_path, approve=refuse))
    assert asked == ["stock_of"]


async def test_a_toolbox_of_the_callers_gets_it_too(tmp_path: Path) -> None:
    """An executor that is a toolbox keeps its own tools."""

    @tool
    def price_of(article: str) -> int:
        return 1

    model = ScriptedModel("m", ["Done."])
    box = Toolbox(tmp_path, [price_of])
    await Agent(model=model, tools=[stock_of], tool_executor=box).result(session_in(tmp_path))
    assert offered(model)[-2:] == ["price_of", "stock_of"]


@attrs.define
class Listing:
    """An executor of the caller's own."""

    def specs(self) -> tuple[ToolSpec, ...]:
        return (tool(stock_of).spec,)

    async def execute(self, call: ToolCall) -> ToolResult:
        return ToolResult(call.id, "3")


@pytest.mark.parametrize(
    ("agent", "options", "sentence"),
    [
        ({"tools": [stock_of], "tool_executor": Listing()}, {}, "the executor Listing is none"),
        ({"tool_executor": Listing()}, {"tools": [stock_of]}, "the executor Listing is none"),
        ({"tools": [stock_of]}, {"tools": [other_stock]}, "two tools are called 'stock_of'"),
        ({"tools": [tool(name="read_file")(stock_of)]}, {}, "called 'read_file'"),
        ({"tools": [tool(name="delegate")(stock_of)]}, {}, "called 'delegate'"),
        ({"tools": [tool(name="run_command")(stock_of)]}, {}, "called 'run_command'"),
    ],
)
async def test_what_cannot_be_is_refused_before_anything_is_spent(
    tmp_path: Path, agent: dict[str, Any], options: dict[str, Any], sentence: str
) -> None:
    """One sentence, no call, no journal."""
    model = ScriptedModel("m", [])
    with pytest.raises(ConfigurationError, match=sentence):
        await Agent(model=model, **agent).result(session_in(tmp_path, **options))
    assert (model.calls, (tmp_path / ".sunwell").exists()) == ([], False)


@pytest.mark.parametrize(
    ("tools", "sentence"),
    [
        ([make_untyped()], "invalid tool name"),
        ([tool(name="f")(stock_of), 7], "7 is not a tool"),
        ([stock_of, other_stock], "two tools are called 'stock_of'"),
        ("stock_of", "a list of functions"),
    ],
)
def test_what_is_no_tool_is_said_in_one_sentence(tools: Any, sentence: str) -> None:
    """Where the agent is made."""
    with pytest.raises(ConfigurationError, match=sentence):
        Agent(tools=tools)


async def test_names_choose_and_functions_are_added(tmp_path: Path) -> None:
    """In the options of a run, too; without a name all other tools stay."""
    model, free = ScriptedModel("m", ["Done."]), ScriptedModel("m", ["Done."])
    await Agent(model=model).result(session_in(tmp_path, tools=["read_file", stock_of]))
    await Agent(model=free).result(session_in(tmp_path, tools=[stock_of]))
    assert offered(model) == ["read_file", "stock_of"]
    assert {"read_file", "write_file", "stock_of"} <= set(offered(free))


async def stopped(folder: Path, agent: dict[str, Any], **options: Any) -> str:
    """Begin a run that fails after a call of the tool, and return its id."""
    model = ScriptedModel("m", [asks(), ServerFailed("m", "down", retry=False)])
    result = await Agent(model=model, retry=ONCE, **agent).result(session_in(folder, **options))
    assert result.status == "error"
    return list_runs(folder)[0].run_id


async def test_a_resumed_run_needs_the_function_again(tmp_path: Path) -> None:
    """The record has its name and no code: a sentence says what to give, and then it goes on."""
    run_id = await stopped(tmp_path, {}, tools=["read_file", stock_of])
    with pytest.raises(ConfigurationError, match=r"give stock_of again \(Agent\(tools=\[stock_of\]\)"):
        await last(Agent(model=ScriptedModel("m", [])).resume(run_id, workspace=tmp_path))
    model = ScriptedModel("m", ["Three."])
    result = await last(Agent(model=model, tools=[stock_of]).resume(run_id, workspace=tmp_path))
    assert result.answer == "Three."
    assert offered(model) == ["read_file", "stock_of"]


async def test_who_accepts_changes_goes_on_without_the_function(tmp_path: Path) -> None:
    """The tool is gone, the chosen others stay."""
    run_id = await stopped(tmp_path, {}, tools=["read_file", stock_of])
    model = ScriptedModel("m", ["Three."])
    result = await last(Agent(model=model).resume(run_id, workspace=tmp_path, accept_changes=True))
    assert (result.answer, offered(model)) == ("Three.", ["read_file"])


async def test_single_options_may_give_the_function_again(tmp_path: Path) -> None:
    """An agent's function may come back as an option."""
    run_id = await stopped(tmp_path, {"tools": [stock_of]})
    agent = Agent(model=ScriptedModel("m", ["Three."]))
    result = await last(agent.resume(run_id, workspace=tmp_path, given={"tools": [stock_of]}))
    assert result.answer == "Three."


async def test_a_function_with_another_schema_is_a_change(tmp_path: Path) -> None:
    """The tool is named; who accepts changes goes on."""
    run_id = await stopped(tmp_path, {"tools": [stock_of]})
    agent = Agent(model=ScriptedModel("m", ["Three."]), tools=[other_stock])
    with pytest.raises(JournalError, match="the tool stock_of is described in other words"):
        await last(agent.resume(run_id, workspace=tmp_path))
    result = await last(agent.resume(run_id, workspace=tmp_path, accept_changes=True))
    assert result.answer == "Three."


async def test_a_fork_needs_the_function_again(tmp_path: Path) -> None:
    """As on resume."""
    run_id = await stopped(tmp_path, {"tools": [stock_of]})
    with pytest.raises(ConfigurationError, match="give stock_of again"):
        await last(Agent(model=ScriptedModel("m", [])).fork(run_id, "run/direct:1", workspace=tmp_path))
    agent = Agent(model=ScriptedModel("m", ["Three."]), tools=[stock_of])
    assert (await last(agent.fork(run_id, "run/direct:1", workspace=tmp_path))).answer == "Three."


async def test_a_finished_run_is_played_again_without_the_function(tmp_path: Path) -> None:
    """Nothing is called any more, so nothing must be given again."""
    model = ScriptedModel("m", [asks(), "Three."])
    await Agent(model=model).result(session_in(tmp_path, tools=["read_file", stock_of]))
    run_id = list_runs(tmp_path)[0].run_id
    assert (await last(Agent().resume(run_id, workspace=tmp_path))).answer == "Three."


@attrs.define
class OnlyExecutes:
    """An executor with the one method that the protocol asks for, and no list of its tools."""

    calls: list[str] = attrs.field(factory=list)

    async def execute(self, call: ToolCall) -> ToolResult:
        self.calls.append(call.name)
        return ToolResult(call.id, "3")


async def test_an_executor_that_lists_no_tools_offers_none(tmp_path: Path) -> None:
    """The run works: the model is told of none, and a call to one is answered, not carried out."""
    executor, model = OnlyExecutes(), ScriptedModel("m", [asks(), "I cannot know."])
    result = await Agent(model=model, tool_executor=executor).result(session_in(tmp_path))
    assert (result.status, offered(model), executor.calls) == ("ok", [], [])
    assert "There is no tool 'stock_of' here" in str(model.calls[1].messages[-1])
