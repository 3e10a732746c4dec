"""Runs that may use commands begin only if the sandbox that they need works, or if it is given up by name."""

import asyncio
import json
import os
from pathlib import Path

import pytest

from sunwell import Agent, RunOptions, SessionContext
from sunwell.budget.ledger_protocol import Budget
from sunwell.core.message import ToolCall
from sunwell.errors import ConfigurationError
from sunwell.events import RunFinished, Warned
from sunwell.testing import ScriptedModel, completion
from sunwell.tools import Toolbox
from sunwell.tools.sandbox import OFF_WARNING, require_sandbox

WHOLE_SYSTEM = Path("/")
"""A workspace for which no machine has a sandbox."""


def works_here() -> bool:
    try:
        return bool(require_sandbox(Path(__file__).parent, os.environ))
    except ConfigurationError:
        return False


needs_bubblewrap = pytest.mark.skipif(not works_here(), reason="no working bubblewrap")


def command(line: str) -> ToolCall:
    return ToolCall("c1", "run_command", json.dumps({"command": line, "timeout_seconds": None}))


def agent_without_sandbox(*lines: object, **options: object) -> tuple[Agent, ScriptedModel, Toolbox]:
    """Return an agent whose tools have no sandbox on any machine."""
    model = ScriptedModel("opus-x", lines)
    box = Toolbox(WHOLE_SYSTEM, allow_shell=True, **options)
    return Agent(model=model, tool_executor=box), model, box


def test_a_run_without_the_sandbox_it_needs_is_refused_before_anything_is_paid(tmp_path: Path) -> None:
    """No model is asked and no journal is begun; one sentence says what to choose."""
    agent, model, _ = agent_without_sandbox("Done.")
    session = SessionContext.build(tmp_path, "Look", options=RunOptions(allow_shell=True))
    with pytest.raises(ConfigurationError, match="no sandbox can protect"):
        asyncio.run(agent.result(session))
    with pytest.raises(ConfigurationError, match="no sandbox can protect"):
        asyncio.run(agent.batch(["Look"], workspace=tmp_path, options=RunOptions(allow_shell=True)))
    assert model.calls == []
    assert not (tmp_path / ".sunwell").exists()


@pytest.mark.parametrize(
    ("tools", "dry_run"), [(("read_file",), False), (None, True)], ids=["no-commands", "dry-run"]
)
def test_a_run_that_cannot_use_commands_needs_no_sandbox(tmp_path: Path, tools, dry_run) -> None:
    """Nothing would run in it."""
    agent, _, _ = agent_without_sandbox("Done.", dry_run=dry_run)
    options = RunOptions(allow_shell=True, tools=tools, dry_run=dry_run)
    assert asyncio.run(agent.result(SessionContext.build(tmp_path, "Look", options=options))).status == "ok"


def told(events) -> list[str]:
    async def all_of() -> list[str]:
        return [event.message for event in [e async for e in events] if isinstance(event, Warned)]

    return asyncio.run(all_of())


@pytest.mark.parametrize(
    ("options", "is_told"),
    [
        pytest.param(RunOptions(allow_shell=True, sandbox="off"), True, id="off"),
        pytest.param(RunOptions(allow_shell=False, sandbox="off"), False, id="no-commands"),
        pytest.param(RunOptions(allow_shell=True, sandbox="off", tools=("read_file",)), False, id="closed"),
        pytest.param(RunOptions(allow_shell=True, sandbox="off", dry_run=True), False, id="dry-run"),
    ],
)
def test_a_run_whose_commands_have_no_sandbox_says_so(tmp_path: Path, options: RunOptions, is_told) -> None:
    """In one line, at its beginning."""
    session = SessionContext.build(tmp_path, "Look", options=options)
    warnings = told(Agent(model=ScriptedModel("opus-x", ["Done."])).run(session))
    assert (OFF_WARNING in warnings) is is_told


@needs_bubblewrap
def test_a_sandbox_that_was_off_is_required_again_by_a_resume(tmp_path: Path) -> None:
    """A record is no permission: the command that wrote outside before cannot do so now."""
    outside = tmp_path / "outside"
    outside.mkdir()
    work = tmp_path / "work"
    work.mkdir()
    options = RunOptions(allow_shell=True, sandbox="off")
    model = ScriptedModel("opus-x", [completion(command(f"touch {outside}/first"))])

    async def first() -> str:
        run_id = ""
        agent = Agent(model=model)
        async for event in agent.run(SessionContext.build(work, "Look", options=options)):
            if (outside / "first").exists():
                agent.stop()
            if isinstance(event, RunFinished):
                run_id = event.result.run_id
        return run_id

    run_id = asyncio.run(first())
    assert (outside / "first").exists()
    again = ScriptedModel("opus-x", [completion(command(f"touch {outside}/second")), "The command failed."])

    async def second(**given: object) -> None:
        async for _ in Agent(model=again).resume(run_id, workspace=work, **given):
            pass

    with pytest.raises(ConfigurationError, match="--sandbox off, which its record cannot grant"):
        asyncio.run(second(given={"allow_shell": True}))
    asyncio.run(second(given={"allow_shell": True, "sandbox": "required"}, accept_changes=True))
    assert not (outside / "second").exists()
    assert again.lines == []


def test_a_resume_without_the_sandbox_it_needs_is_refused(tmp_path: Path) -> None:
    """It was off before; it is off again only if that is said again."""
    run_id = ""
    options = RunOptions(allow_shell=True, sandbox="off", budget=Budget(turns=1))
    model = ScriptedModel("opus-x", [completion(command("echo one")), "Not finished."])

    async def follow(events) -> RunFinished:
        return [event async for event in events][-1]

    box = Toolbox(WHOLE_SYSTEM, allow_shell=True, sandbox="off")
    agent = Agent(model=model, tool_executor=box)
    run_id = asyncio.run(
        follow(agent.run(SessionContext.build(tmp_path, "Look", options=options)))
    ).result.run_id
    again, asked, _ = agent_without_sandbox("Done.")
    given = {"allow_shell": True, "sandbox": "required"}
    resumed = again.resume(run_id, workspace=tmp_path, given=given, budget=Budget(turns=9))
    with pytest.raises(ConfigurationError, match="no sandbox can protect"):
        asyncio.run(follow(resumed))
    assert asked.calls == []
    agent = Agent(model=ScriptedModel("opus-x", ["Done."]), tool_executor=box)
    terms = {"workspace": tmp_path, "budget": Budget(turns=9), "options": options}
    assert asyncio.run(follow(agent.resume(run_id, **terms))).result.status == "ok"
