"""The tools of a run: whose they are, and whose rules hold for them."""

import asyncio
from typing import Any

import pytest

from sunwell.agent.run.toolset import Toolset
from sunwell.core import Proposal, Secrets, ToolCall, ToolResult
from sunwell.errors import ConfigurationError
from sunwell.tools import Toolbox, tool
from sunwell.tools.limits import ToolLimits

done: list[str] = []


@tool(ask=True)
async def launch(target: str) -> str:
    """Launch it."""
    done.append(target)
    return f"launched {target}"


@tool(name="read_file")
async def read(path: str) -> str:
    """Read it in another way."""
    return path


def carried_out(toolset: Toolset, name: str = "launch", arguments: str = '{"target": "hunter2-moon"}') -> Any:
    """Return what a call gives, and what was really done."""
    done.clear()
    call = ToolCall("a", name, arguments)
    executor, _ = toolset.executors_of(call)
    assert executor is not None
    return asyncio.run(executor.execute(call)), list(done)


def refuse(_: Proposal) -> bool:
    """Say no."""
    return False


@pytest.mark.parametrize(
    ("rules", "said", "happened"),
    [
        pytest.param({}, "launched hunter2-moon", True, id="none"),
        pytest.param({"approve": refuse}, "not approved", False, id="approval"),
        pytest.param({"dry_run": True}, "dry run", False, id="dry-run"),
        pytest.param({"limits": ToolLimits(output_chars=8)}, "characters were cut", True, id="limits"),
    ],
)
def test_tools_given_to_a_run_obey_the_toolbox_beside_them(rules, said, happened) -> None:
    """Approval, dry run and limits of the executor hold for tools that came another way."""
    toolset = Toolset.of([launch], Toolbox(**rules))
    result, launched = carried_out(toolset)
    assert said in result.content
    assert bool(launched) is happened


def test_secrets_of_the_toolbox_are_replaced_in_what_given_tools_say() -> None:
    """What the executor knows as secret is secret everywhere."""
    secrets = Secrets()
    secrets.add("hunter2-moon", "TARGET")
    result, _ = carried_out(Toolset.of([launch], Toolbox(secrets=secrets)))
    assert result == ToolResult("a", "launched [TARGET]")


def test_given_tools_leave_the_executors_own_out_unless_they_are_named(tmp_path) -> None:
    """The list is the whole list: names are the executor's, the others come with it."""
    box = Toolbox(tmp_path)
    assert [spec.name for spec in Toolset.of([launch], box).specs] == ["launch"]
    assert [spec.name for spec in Toolset.of(["read_file", launch], box).specs] == ["read_file", "launch"]


@pytest.mark.parametrize(
    "tools",
    [
        pytest.param([launch, launch], id="given-twice"),
        pytest.param(["read_file", read], id="given-and-named"),
    ],
)
def test_two_tools_of_one_name_are_refused(tmp_path, tools) -> None:
    """Nobody could tell which of them a model means."""
    with pytest.raises(ConfigurationError, match="two tools are called"):
        Toolset.of(tools, Toolbox(tmp_path))


def test_a_name_without_end_is_not_sent_back_whole() -> None:
    """What a model makes up costs no more than it must."""
    said = Toolset.of([launch], None).refusal(ToolCall("a", "n" * 1_000_000, "{}"))
    assert len(said.content) < 200


def test_nobody_grants_more_than_they_have(tmp_path) -> None:
    """A worker that may only read cannot let a worker of its own write."""
    reader = Toolset.of(None, Toolbox(tmp_path, secrets=Secrets())).granting(["read_file"], "reader")
    below = reader.granting(["read_file", "write_file"], "below")
    assert below.granted == {"read_file"}
    assert below.executors_of(ToolCall("a", "write_file", "{}")) == (None, None)
