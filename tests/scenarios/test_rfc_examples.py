"""RFC-137's usage examples, as they stand there."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from sunwell.agent import Agent
from sunwell.agent.loop import AgentLoop, LoopConfig
from sunwell.agent.request import RunOptions
from sunwell.context.session import SessionContext
from sunwell.events import DelegationStarted, EphemeralLensCreated, Event, RunFinished
from sunwell.models.registry import get_registry
from sunwell.testing import ScriptedModel
from sunwell.tools.toolbox import Toolbox

REGISTERED = ("claude-3-opus-20240229", "claude-3-haiku-20240307", "opus", "haiku")
LENS = json.dumps(
    {
        "task_scope": "CRUD endpoints",
        "heuristics": ["One module for each entity."],
        "patterns": ["Follow the reference endpoint."],
        "anti_patterns": ["Do not return None for an unknown id."],
        "constraints": ["The tests pass."],
        "examples": ["def read(id): ..."],
        "target_files": ["shop/endpoints"],
    }
)
goal = "Generate CRUD endpoints for 5 entities"
memory = None


@pytest.fixture(autouse=True)
def _nothing_stays_registered() -> Iterator[None]:
    """Leave the registry of the process as it was: its names are asked for in other tests, too."""
    yield
    for name in REGISTERED:
        get_registry().unregister(name)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """Return an empty folder to work in."""
    return tmp_path


def smart(name: str) -> ScriptedModel:
    """Return a model that writes one lens."""
    return ScriptedModel(name, [LENS])


def cheap(name: str) -> ScriptedModel:
    """Return a model that answers at once."""
    return ScriptedModel(name, ["All five were there already."])


def check_delegated(events: list[Event], smart_model: str, delegation_model: str) -> None:
    """Hold the events of a delegated run against what the RFC says of them."""
    kinds = [type(event) for event in events]
    assert kinds.index(DelegationStarted) < kinds.index(EphemeralLensCreated)
    started = next(event for event in events if isinstance(event, DelegationStarted))
    assert started.task_description == goal
    assert (started.smart_model, started.delegation_model) == (smart_model, delegation_model)
    assert "2,000" in started.reason
    created = next(event for event in events if isinstance(event, EphemeralLensCreated))
    assert (created.task_scope, created.heuristics_count, created.patterns_count) == ("CRUD endpoints", 1, 1)
    assert created.generated_by == smart_model
    assert isinstance(events[-1], RunFinished)
    assert events[-1].result.answer == "All five were there already."
    assert events[-1].result.status == "ok"


async def test_option_1_names_in_run_options(workspace: Path) -> None:
    """Names in the options are enough; here they are registered, with keys they would be asked."""
    registry = get_registry()
    registry.register("claude-3-opus-20240229", smart("claude-3-opus-20240229"))
    registry.register("claude-3-haiku-20240307", cheap("claude-3-haiku-20240307"))
    agent = Agent()
    events = []

    options = RunOptions(
        enable_delegation=True,
        smart_model="claude-3-opus-20240229",
        delegation_model="claude-3-haiku-20240307",
    )
    session = SessionContext.build(workspace, goal, options=options)
    async for event in agent.run(session, memory):
        events.append(event)

    check_delegated(events, "claude-3-opus-20240229", "claude-3-haiku-20240307")


async def test_option_2_models_at_construction(workspace: Path) -> None:
    """Instances given to the agent are used as they are."""
    primary_model, opus_model, haiku_model = ScriptedModel("primary", []), smart("opus-5"), cheap("haiku-5")
    executor = Toolbox()
    events = []

    agent = Agent(
        model=primary_model,
        smart_model=opus_model,  # ModelProtocol instance
        delegation_model=haiku_model,
        tool_executor=executor,
    )
    options = RunOptions(enable_delegation=True)
    session = SessionContext.build(workspace, goal, options=options)
    async for event in agent.run(session, memory):
        events.append(event)

    check_delegated(events, "opus-5", "haiku-5")
    assert primary_model.calls == []
    assert haiku_model.calls[0].system[-2].startswith("# Task Expertise: CRUD endpoints")


async def test_option_3_registered_names(workspace: Path) -> None:
    """A registered name comes before a built-in alias of the same name."""
    opus_model, haiku_model = smart("my-opus"), cheap("my-haiku")
    agent = Agent()
    events = []

    registry = get_registry()
    registry.register("opus", opus_model)
    registry.register("haiku", haiku_model)
    options = RunOptions(
        enable_delegation=True,
        smart_model="opus",  # Resolved from registry
        delegation_model="haiku",
    )
    session = SessionContext.build(workspace, goal, options=options)
    async for event in agent.run(session, memory):
        events.append(event)

    check_delegated(events, "my-opus", "my-haiku")


async def test_option_4_the_loop_alone() -> None:
    """The loop works without an agent, a workspace or a file."""
    primary, opus_model, haiku_model = ScriptedModel("primary", []), smart("opus-5"), cheap("haiku-5")
    executor, task, tools, system_prompt = Toolbox(), goal, None, "You work for a shop."
    events = []

    loop = AgentLoop(
        model=primary,
        executor=executor,
        config=LoopConfig(enable_delegation=True),
        smart_model=opus_model,
        delegation_model=haiku_model,
    )
    async for event in loop.run(task, tools, system_prompt):
        events.append(event)

    check_delegated(events, "opus-5", "haiku-5")
    assert haiku_model.calls[0].system[0] == "You work for a shop."


async def test_a_smart_model_alone_does_not_delegate_to_itself(workspace: Path) -> None:
    """``RunOptions(enable_delegation=True, smart_model="opus")`` runs on that model and says why."""
    get_registry().register("opus", ScriptedModel("my-opus", ["It was there already."]))

    options = RunOptions(enable_delegation=True, smart_model="opus")

    session = SessionContext.build(workspace, goal, options=options)
    result = await Agent().result(session)
    assert (result.status, result.answer) == ("ok", "It was there already.")
    assert result.decision is not None
    assert not result.decision
    assert "my-opus" in result.decision.reason
