"""Over HTTP: an agent that is left leaves no connection open, and cuts nobody else's."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from sunwell import Agent, RunOptions, SessionContext
from sunwell.core import ModelProtocol
from sunwell.gateway import RetryPolicy
from sunwell.models.anthropic_messages import AnthropicModel
from sunwell.models.connection import Connection, client_for, close_clients
from sunwell.models.openai_chat import ChatModel
from sunwell.simulator import Asked, Fault, FaultRule, Reply, Simulator, echo, running_simulator

PROGRAM = """
import asyncio, sys
from sunwell import Agent, SessionContext

async def main():
    async with Agent(model="anthropic/claude-haiku-5-5") as agent:
        result = await agent.run(SessionContext.build(sys.argv[1], "Say hello"))
        assert result.status == "ok", result.error

# Not asyncio.run(): that closes what is open at its end, whoever left it.
loop = asyncio.new_event_loop()
loop.run_until_complete(main())
loop.close()
"""
MODELS = {"claude-haiku-5-5": echo, "gpt-6-luna": echo}
SDKS = ["anthropic", "openai"]


def connection(sim: Simulator, sdk: str) -> Connection:
    """Return the way to *sim* in the format of *sdk*."""
    return Connection(sdk, sim.url if sdk == "anthropic" else sim.openai_url, "a-key")


def model(sim: Simulator, sdk: str) -> ModelProtocol:
    """Return a cheap model of the provider."""
    if sdk == "anthropic":
        return AnthropicModel("claude-haiku-5-5", connection(sim, sdk))
    return ChatModel("gpt-6-luna", connection(sim, sdk))


def hello(workspace: Path) -> SessionContext:
    """Return a session that takes one call."""
    return SessionContext.build(workspace, "Say hello")


def test_no_client_stays_open_behind_an_agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python itself complains of nothing, also where the event loop is not asyncio.run()'s."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    with running_simulator(Simulator(MODELS)) as sim:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", sim.url)
        monkeypatch.setenv("ANTHROPIC_API_KEY", "a-key")
        done = subprocess.run(
            [sys.executable, "-W", "error::ResourceWarning", program, workspace],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("sdk", SDKS)
async def test_the_last_agent_closes_what_all_of_them_shared(sdk: str, tmp_path: Path) -> None:
    """As long as one of them is open, the others' connections stay warm for it."""
    async with Simulator(MODELS) as sim:
        async with Agent(model=model(sim, sdk)) as outer:
            async with Agent(model=model(sim, sdk)) as inner:
                await inner.run(hello(tmp_path))
            await outer.run(hello(tmp_path))
            assert sim.connections == 1
        async with Agent(model=model(sim, sdk)) as later:
            await later.run(hello(tmp_path))
        assert sim.connections == 2


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("fault", [Fault(status=400), Fault(cut="dropped")], ids=["refused", "cut"])
@pytest.mark.parametrize("sdk", SDKS)
async def test_a_call_that_failed_holds_no_client(
    sdk: str, fault: Fault, stream: bool, tmp_path: Path
) -> None:
    """The client is closed behind it as behind any other."""
    async with Simulator(MODELS, faults=[FaultRule(fault, numbers={1})]) as sim:
        session = SessionContext.build(tmp_path, "Say hello", options=RunOptions(stream=stream))
        async with Agent(model=model(sim, sdk), retry=RetryPolicy(attempts=1)) as agent:
            assert (await agent.run(session)).status == "error"
            await agent.run(hello(tmp_path))
        before = sim.connections
        async with Agent(model=model(sim, sdk)) as agent:
            await agent.run(hello(tmp_path))
        assert sim.connections == before + 1


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("sdk", SDKS)
async def test_a_call_of_somebody_else_goes_on(sdk: str, stream: bool, tmp_path: Path) -> None:
    """An agent without ``async with`` shares the client, and gets its answer."""
    is_asked = asyncio.Event()

    def noticed(asked: Asked) -> Reply:
        is_asked.set()
        return echo(asked)

    slow = FaultRule(Fault(stall_before_seconds=0.3), numbers={1})
    options = RunOptions(stream=stream)
    async with Simulator(dict.fromkeys(MODELS, noticed), faults=[slow]) as sim:
        session = SessionContext.build(tmp_path, "Say hello", options=options)
        other = asyncio.create_task(Agent(model=model(sim, sdk)).result(session))
        await is_asked.wait()
        async with Agent(model=model(sim, sdk)) as agent:
            await agent.run(hello(tmp_path))
        assert (await other).status == "ok"
        await close_clients()


@pytest.mark.parametrize("sdk", SDKS)
async def test_a_client_that_was_given_away_stays_open(sdk: str, tmp_path: Path) -> None:
    """Nobody knows how long it is used."""
    async with Simulator(MODELS) as sim:
        client = await client_for(sdk, connection(sim, sdk))
        async with Agent(model=model(sim, sdk)) as agent:
            await agent.run(hello(tmp_path))
        assert not client.is_closed()
        await close_clients()
