"""What user code must be able to write. Never run: the type checker reads it, in strict mode."""

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from decimal import Decimal
from pathlib import Path
from typing import assert_type

import sunwell
from sunwell import Check, Checking, CommandCheck, FilesCheck, JudgeCheck, SchemaCheck, Verdict
from sunwell.agent import Agent
from sunwell.agent.ephemeral_lens import create_ephemeral_lens, should_use_delegation
from sunwell.agent.loop import AgentLoop, LoopConfig
from sunwell.agent.request import RunOptions
from sunwell.context.session import SessionContext
from sunwell.core import (
    Completion,
    DelegationDecision,
    Delta,
    EphemeralLens,
    ModelProtocol,
    Proposal,
    Request,
    Task,
    TaskResult,
    Text,
    ToolCall,
    ToolExecutor,
    ToolResult,
    ToolSpec,
    Usage,
)
from sunwell.errors import BudgetExhausted, ModelError, SunwellError
from sunwell.events import (
    DELEGATION_STARTED,
    DelegationStarted,
    EphemeralLensCreated,
    Event,
    ModelCallFinished,
    RunFinished,
)
from sunwell.models.registry import ModelRegistry, get_registry, resolve_model
from sunwell.simulator import Simulator, running_simulator
from sunwell.testing import ScriptedModel, completion, run_virtual
from sunwell.tools import Toolbox, tool


class OwnModel:
    """A model needs nothing to inherit from."""

    name = "own"

    async def complete(self, request: Request) -> Completion:
        return Completion((Text(request.messages[0].text),), "end", Usage(10, 5), self.name)

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        yield Delta(text="…")
        yield Delta(completion=await self.complete(request))


class OwnExecutor:
    """An executor needs nothing to inherit from, either."""

    async def execute(self, call: ToolCall) -> ToolResult:
        return ToolResult(call.id, f"{call.name} done")

    def specs(self) -> Sequence[ToolSpec]:
        return (ToolSpec("poke", "Poke it.", {"type": "object", "properties": {}}),)


@tool
def count(words: list[str], loud: bool = False) -> str:
    """Count words."""
    return str(len(words))


@tool(ask=True, timeout_seconds=5)
async def launch(target: str) -> dict[str, str]:
    """Launch it."""
    return {"launched": target}


async def approve(proposal: Proposal) -> bool:
    """Say yes to what changes a file."""
    return proposal.tool == "write_file"


MODEL: ModelProtocol = OwnModel()
SCRIPTED: ModelProtocol = ScriptedModel("haiku", ["Yes.", completion(ToolCall("a", "count", "{}"))])
EXECUTOR: ToolExecutor = OwnExecutor()


def named_models() -> RunOptions:
    """Names alone."""
    return RunOptions(
        enable_delegation=True,
        smart_model="opus",
        delegation_model=MODEL,
        budget=sunwell.Budget(usd=0.5, tokens=100_000, seconds=60),
        approve=approve,
        tools=["read_file", "write_file"],
    )


async def an_agent(workspace: Path) -> TaskResult:
    """Events are matched by type, and the last holds the result."""
    agent = Agent(model=MODEL, smart_model="opus", delegation_model="haiku", tool_executor=EXECUTOR)
    session = SessionContext.build(workspace, "Do it", options=named_models())
    async with aclosing(agent.run(session)) as events:
        async for event in events:
            assert_type(event, Event)
            match event:
                case DelegationStarted():
                    assert_type(event.reason, str)
                case EphemeralLensCreated(task_scope=scope, heuristics_count=count_):
                    assert_type(scope, str)
                    assert_type(count_, int)
                case ModelCallFinished(usage=Usage() as usage, cost_usd=cost):
                    assert_type(usage.input_tokens, int)
                    assert_type(cost, Decimal | None)
                case RunFinished(result=result):
                    assert_type(result.bill.cost_usd, Decimal | None)
    async for event in agent.resume("0123", workspace=str(workspace), budget=sunwell.Budget(usd="1")):
        print(event)
    return await agent.result(session)


async def a_result(workspace: Path) -> sunwell.BatchResult:
    """Whatever gives events gives the result to who awaits it, and an agent is left in good order."""
    session = SessionContext.build(workspace, "Do it")
    async with sunwell.Agent(model=MODEL) as agent, agent.run(session) as events:
        assert_type(events, sunwell.RunEvents)
        async for event in events:
            assert_type(event, Event)
        assert_type(await events, TaskResult)
        assert_type(await agent.resume("0123"), TaskResult)
        assert_type(await agent.fork("0123", "run/work:1"), TaskResult)
        assert_type(await agent.replay("0123"), TaskResult)
        return await agent.batch(["a", "b"])


def a_public_name() -> sunwell.events.Event | None:
    """Names and modules of ``sunwell`` are typed, although they are loaded on first use."""
    assert_type(sunwell.Budget(usd="1"), sunwell.Budget)
    assert_type(sunwell.get_registry(), ModelRegistry)
    return None


async def a_loop() -> None:
    """The RFC's direct use."""
    loop = AgentLoop(
        model=MODEL,
        executor=Toolbox(".", approve=approve),
        config=LoopConfig(enable_delegation=True, delegation_threshold_tokens=2000),
        smart_model=MODEL,
        delegation_model=SCRIPTED,
    )
    async for event in loop.run("Do it", [count, launch, "read_file"], "Be brief."):
        assert_type(event, Event)
    loop.stop()


async def a_lens() -> EphemeralLens:
    """The policy decides as an ``if`` reads, and a lens is a value."""
    decision = should_use_delegation("Generate 5 endpoints", 15_000, None, threshold_tokens=2000)
    assert_type(decision, DelegationDecision)
    lens = await create_ephemeral_lens("Generate 5 endpoints", MODEL)
    assert_type(lens.heuristics, tuple[str, ...])
    assert_type(lens.to_context(), str)
    return lens if decision else EphemeralLens(["Be brief."], task_scope="all")


def models() -> None:
    """A registry takes instances, and gives models."""
    registry = ModelRegistry()
    registry.register("own", MODEL)
    assert_type(registry.get("own"), ModelProtocol)
    assert_type(resolve_model("own", registry), ModelProtocol)
    assert_type(get_registry(), ModelRegistry)


def receive(sender: object, event: DelegationStarted) -> None:
    """A receiver is a plain function."""
    print(sender, event.smart_model)


def errors() -> str:
    """Every error is one of ours, and says its numbers."""
    try:
        result = sunwell.run_sync("Do it", workspace=".", smart_model="opus", stream=True)
    except BudgetExhausted as error:
        return f"{error.limit} {error.needed}"
    except ModelError as error:
        return f"{error.model} {error.may_be_billed}"
    except SunwellError as error:
        return str(error)
    assert_type(result, TaskResult)
    return result.summary


def a_test() -> None:
    """Users test their own code without keys, and without waiting."""
    DELEGATION_STARTED.connect(receive, weak=False)
    with running_simulator(Simulator()) as simulator:
        assert_type(simulator.url, str)
    assert_type(run_virtual(an_agent(Path())), TaskResult)
    print(Task("Do it", tools=["read_file"], done="It is done."))


async def one_call() -> None:
    """A run in one call gives the result."""
    assert_type(await sunwell.run("Do it", workspace=".", smart_model="opus", tools=[len]), TaskResult)


async def stands(checking: Checking) -> Verdict:
    """A check is an asynchronous function; its parameter may be called anything."""
    return Verdict(bool(checking.answer), "looked")


def checks() -> None:
    """A function and the checks that come with Sunwell are checks alike."""
    own: Check = stands
    given: list[Check] = [
        own,
        CommandCheck("pytest -q"),
        FilesCheck(protect=["tests/**"]),
        JudgeCheck("Good?"),
    ]
    print(RunOptions(checks=["pytest -q", *given], protect=["tests/**"]), Task("Do it", check=stands))
    assert_type(SchemaCheck({"type": "object"}).name, str)
