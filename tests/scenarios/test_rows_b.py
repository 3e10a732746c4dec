"""RFC-137's interface, row by row, where no room's own tests hold it."""

import json
from pathlib import Path
from typing import Any

import attrs
import pytest

from sunwell.agent import Agent
from sunwell.agent.loop import AgentLoop, LoopConfig
from sunwell.agent.prompts import LENS_STANDING, work_prompt
from sunwell.agent.request import RunOptions
from sunwell.context.session import SessionContext
from sunwell.core.lens import EphemeralLens
from sunwell.core.model import Request
from sunwell.core.task import TaskResult
from sunwell.events import (
    DELEGATION_STARTED,
    EPHEMERAL_LENS_CREATED,
    DelegationSkipped,
    DelegationStarted,
    EphemeralLensCreated,
    Event,
    RunFinished,
    Warned,
)
from sunwell.models.providers import Environment
from sunwell.models.registry import ModelRegistry, resolve_model
from sunwell.testing import ScriptedModel

TASK = "Generate CRUD endpoints for 5 entities"
LENS = json.dumps({"task_scope": "CRUD", "heuristics": ["Models first."], "patterns": ["Routers in api/."]})


def smart(name: str = "smart-1") -> ScriptedModel:
    """Return a model that writes one lens."""
    return ScriptedModel(name, [LENS])


def cheap(name: str = "cheap-1") -> ScriptedModel:
    """Return a model that answers once."""
    return ScriptedModel(name, ["The endpoints are there already."])


async def ran(agent: Agent, folder: Path, options: RunOptions, task: str = TASK) -> list[Event]:
    """Return the events of one run."""
    session = SessionContext.build(folder, task, options=options)
    return [event async for event in agent.run(session)]


def of_kind(events: list[Event], kind: type[Any]) -> list[Any]:
    """Return the events of one kind."""
    return [event for event in events if isinstance(event, kind)]


@pytest.mark.parametrize("kind", [LoopConfig, RunOptions])
def test_choices_begin_with_the_rfcs_and_cannot_change(kind: Any) -> None:
    """Off by default, a threshold of 2,000 tokens, no models; frozen, and without room for other names."""
    got = kind()
    assert (got.enable_delegation, got.delegation_threshold_tokens) == (False, 2000)
    placed = kind(True, 500)
    assert (placed.enable_delegation, placed.delegation_threshold_tokens) == (True, 500)
    for name in ("enable_delegation", "enable_delegatoin"):
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            setattr(got, name, True)
    assert not hasattr(got, "__dict__")


def test_options_name_models_or_hold_them() -> None:
    """Third and fourth come the smart and the delegation model: nothing, a name or a model."""
    assert (RunOptions().smart_model, RunOptions().delegation_model) == (None, None)
    worker = cheap()
    got = RunOptions(True, 2000, "opus", worker)
    assert (got.smart_model, got.delegation_model) == ("opus", worker)


def test_a_lens_has_room_for_its_fields_alone() -> None:
    """No other name can be set on a lens, not even by force of habit."""
    assert not hasattr(EphemeralLens(), "__dict__")


def test_an_agent_needs_no_models() -> None:
    """All its models may be named by the options of a session."""
    agent = Agent()
    assert (agent.model, agent.smart_model, agent.delegation_model, agent.tool_executor) == (None,) * 4
    assert not hasattr(agent, "__dict__")


def test_a_session_keeps_the_options_that_it_was_given(tmp_path: Path) -> None:
    """Workspace, goal and options come out as they went in."""
    options = RunOptions(enable_delegation=True)
    session = SessionContext.build(str(tmp_path), TASK, options=options)
    assert session.options is options
    assert (session.workspace, session.goal) == (tmp_path.resolve(), TASK)


@pytest.mark.parametrize(
    ("options", "delegates"),
    [
        pytest.param(RunOptions(), False, id="off-by-default"),
        pytest.param(RunOptions(enable_delegation=True), True, id="on"),
        pytest.param(
            RunOptions(enable_delegation=True, delegation_threshold_tokens=10**6), False, id="threshold-read"
        ),
    ],
)
async def test_a_sessions_options_reach_the_loop(
    tmp_path: Path, options: RunOptions, delegates: bool
) -> None:
    """They decide who works: the loop's own model, the cheap one under a lens, or the cheap one alone."""
    own, writer, worker = cheap("own"), smart(), cheap()
    agent = Agent(model=own, smart_model=writer, delegation_model=worker)
    events = await ran(agent, tmp_path, options, "Write one large parser in parser.py, about 900 lines long")
    asked = [model.name for model in (own, writer, worker) if model.calls]
    alone = ["cheap-1"] if options.enable_delegation else ["own"]
    assert asked == (["smart-1", "cheap-1"] if delegates else alone)
    assert bool(of_kind(events, DelegationStarted)) is delegates
    assert bool(of_kind(events, DelegationSkipped)) is (options.enable_delegation and not delegates)


async def test_models_are_looked_for_on_the_agent_then_in_the_options_then_by_name(tmp_path: Path) -> None:
    """Each place is used where the one before is silent; where two differ, the run says so."""
    registry, registered = ModelRegistry(), cheap("from-the-registry")
    registry.register("mine", registered)
    mine, theirs = smart("from-the-agent"), smart("from-the-options")
    agent = Agent(smart_model=mine, registry=registry)
    options = RunOptions(enable_delegation=True, smart_model=theirs, delegation_model="mine")
    events = await ran(agent, tmp_path, options)
    (started,) = of_kind(events, DelegationStarted)
    assert (started.smart_model, started.delegation_model) == ("from-the-agent", "from-the-registry")
    assert theirs.calls == []
    (warned,) = of_kind(events, Warned)
    assert "the agent's from-the-agent is used, not the options' from-the-options" in warned.message


async def test_signals_carry_what_the_stream_yields(tmp_path: Path, recorded: Any) -> None:
    """A receiver of the two signals of the RFC gets the very objects, with the RFC's fields first."""
    told = recorded(DELEGATION_STARTED, EPHEMERAL_LENS_CREATED)
    agent = Agent(smart_model=smart(), delegation_model=cheap())
    events = await ran(agent, tmp_path, RunOptions(enable_delegation=True))
    kinds = (DelegationStarted, EphemeralLensCreated)
    assert list(map(id, told)) == [id(event) for event in events if isinstance(event, kinds)]
    names = [[field.name for field in attrs.fields(kind)][:4] for kind in kinds]
    assert names == [
        ["task_description", "smart_model", "delegation_model", "reason"],
        ["task_scope", "heuristics_count", "patterns_count", "generated_by"],
    ]


async def test_without_a_smart_model_the_loops_own_writes_the_lens() -> None:
    """It is asked once, for the lens; the cheap model does the work."""
    own, worker = smart("own"), cheap()
    loop = AgentLoop(own, config=LoopConfig(enable_delegation=True), delegation_model=worker)
    events = [event async for event in loop.run(TASK)]
    assert [created.generated_by for created in of_kind(events, EphemeralLensCreated)] == ["own"]
    assert (len(own.calls), len(worker.calls)) == (1, 1)


async def test_without_a_delegation_model_the_loops_own_works_under_the_lens() -> None:
    """A separate smart model writes; nobody else is asked."""
    own, writer = cheap("own"), smart()
    loop = AgentLoop(own, config=LoopConfig(enable_delegation=True), smart_model=writer)
    events = [event async for event in loop.run(TASK)]
    assert [started.delegation_model for started in of_kind(events, DelegationStarted)] == ["own"]
    lens = of_kind(events, RunFinished)[0].result.lens
    assert own.calls[0].system == (work_prompt(()), lens.to_context(), LENS_STANDING)


async def test_context_is_shown_to_whoever_writes_the_lens() -> None:
    """The caller's text stands in the smart model's prompt, and not in the worker's."""
    writer, worker = smart(), cheap()
    loop = AgentLoop(
        cheap("own"), None, LoopConfig(enable_delegation=True), smart_model=writer, delegation_model=worker
    )
    async for _ in loop.run(TASK, None, "You work for a shop.", context="models.py has five classes"):
        pass
    assert "models.py has five classes" in writer.calls[0].messages[0].text
    assert "models.py" not in str(worker.calls[0])
    assert worker.calls[0].system[0] == "You work for a shop."


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        ("opus", "claude-opus-5-5"),
        ("o1", "o1"),
        ("gpt-4o", "gpt-4o"),
        ("haiku", "claude-haiku-5-5"),
        ("gpt-4o-mini", "gpt-4o-mini"),
        ("ollama/gemma3:4b", "gemma3:4b"),
    ],
)
def test_the_rfcs_examples_of_models_can_be_named(reference: str, name: str) -> None:
    """Smart ones and cheap ones, of providers and of this machine."""
    variables = {
        "ANTHROPIC_API_KEY": "key",
        "OPENAI_API_KEY": "key",
        "OLLAMA_BASE_URL": "http://127.0.0.1:11434/v1",
    }
    got: Any = resolve_model(reference, ModelRegistry(Environment(variables)))
    assert got.model_id == name


async def test_many_workers_read_one_lens(tmp_path: Path) -> None:
    """A batch gives the same object to every worker: their prompts begin with the same bytes."""
    lens = EphemeralLens(("Models first.",), task_scope="CRUD")
    seen: list[tuple[str, ...]] = []

    def said(request: Request) -> str:
        seen.append(request.system)
        return "Done."

    worker = ScriptedModel("cheap-1", [said] * 5)
    agent = Agent(model=worker, delegation_model=worker)
    results = await agent.batch([f"Entity {n}" for n in range(5)], lens=lens, workspace=tmp_path)
    assert [result.status for result in results] == ["ok"] * 5
    assert len(set(seen)) == 1
    assert seen[0][-2:] == (lens.to_context(), LENS_STANDING)
    assert all(isinstance(result, TaskResult) for result in results)
