"""``sunwell mcp`` as a process that a host starts: the same bill as the command line, caps, ends, resumes."""

import asyncio
import json
import os
import shutil
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mcp")

import httpx2
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from sunwell.journal import list_runs, read_records
from sunwell.journal.records import RunClosed
from sunwell.journal.retention import is_running
from sunwell.simulator import Fault, FaultRule, Simulator, running_simulator
from sunwell.simulator.scripts import DEMO_MODELS
from tests.cli.beginner import done

MODES = ("legacy", "2026-07-28")
TASK = "Generate CRUD endpoints for 5 entities"
SHOP = Path(__file__).parents[2] / "examples" / "shop"
MODELS = ("--smart-model", "opus", "--delegation-model", "haiku")


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with running_simulator(Simulator(DEMO_MODELS)) as running:
        yield running


@pytest.fixture
def environ(simulator: Simulator, tmp_path: Path) -> dict[str, str]:
    """Return the environment of somebody with a key of Anthropic's."""
    keys = {"ANTHROPIC_BASE_URL": simulator.url, "ANTHROPIC_API_KEY": "simulated-key"}
    return {**os.environ, **keys, "SUNWELL_HOME": str(tmp_path / "home")}


def shop(folder: Path, name: str) -> Path:
    """Return a fresh copy of the example code base."""
    return Path(shutil.copytree(SHOP, folder / name / "shop", ignore=shutil.ignore_patterns("__pycache__")))


@asynccontextmanager
async def served(
    root: Path, environ: dict[str, str], mode: str, *options: str, **given: Any
) -> AsyncIterator[Client]:
    """Start a server for *root* and connect to it."""
    words = ["-m", "sunwell", "mcp", "--root", str(root), *MODELS, *options]
    program = StdioServerParameters(command=sys.executable, args=words, env=environ)
    async with Client(program, mode=mode, **given) as client:
        yield client


def told(result: Any) -> dict[str, Any]:
    assert not result.is_error, result.content
    return dict(result.structured_content)


def sent_to(simulator: Simulator) -> list[tuple[str, int]]:
    """Return who was asked, in how long a conversation."""
    return [(request.model, len(request.body["messages"])) for request in simulator.requests]


@pytest.mark.parametrize("mode", MODES)
async def test_the_bill_is_that_of_the_command_line(simulator, environ, tmp_path: Path, mode: str) -> None:
    """The same task, cap and check: the same models are asked as often, and the bill has the same digits."""
    check = ("--check", "test -f shop/endpoints/order.py")
    typed, root = shop(tmp_path, "typed"), shop(tmp_path, "served")
    ran = done("run", TASK, *MODELS, *check, "--budget-usd", "0.5", "--json", folder=typed, env=environ)
    expected = json.loads(ran.stdout)
    sent = sent_to(simulator)
    paid = simulator.bill.total_usd()
    async with served(root, environ, mode, *check, "--max-cost", "0.5") as client:
        assert client.protocol_version == ("2025-11-25" if mode == "legacy" else mode)
        found = told(await client.call_tool("delegate", {"task": TASK}))
    assert found["status"] == expected["status"] == "ok"
    assert (found["verified"], found["cap_usd"]) == (True, "0.5")
    assert found["cost_usd"] == expected["cost_usd"]
    assert simulator.bill.total_usd() == 2 * paid
    assert sent_to(simulator) == 2 * sent
    assert [one["path"] for one in found["files"]] == [one["path"] for one in expected["files"]]


async def test_a_resume_is_held_by_the_ceilings_of_the_settings(simulator, environ, tmp_path: Path) -> None:
    """Whatever a client wants: by those that were typed, and by those of the environment."""
    root = shop(tmp_path, "served")
    async with served(root, environ, "legacy") as client:
        low = told(await client.call_tool("delegate", {"task": TASK, "max_cost_usd": 0.004}))
    assert (low["stop_reason"], low["cap_usd"]) == ("budget_usd", "0.004")
    sent, again = len(simulator.requests), {"run_id": low["run_id"], "max_cost_usd": 0.9}
    here = environ | {"SUNWELL_BUDGET_USD": "0.02"}
    async with served(root, here, "legacy", "--budget-tokens", "100") as client:
        held = told(await client.call_tool("resume", again))
        assert (held["stop_reason"], held["cap_usd"]) == ("budget_tokens", "0.02")
    assert len(simulator.requests) == sent


@asynccontextmanager
async def begun(
    root: Path, environ: dict[str, str], mode: str, simulator: Simulator, pid: Path
) -> AsyncIterator[tuple[Client, "asyncio.Task[Any]"]]:
    """Have a server work until its provider does not answer; the number of its process is in *pid*."""
    words = ["-c", 'echo $$ > "$0"; exec "$@"', str(pid), sys.executable, "-m", "sunwell", "mcp"]
    program = StdioServerParameters(
        command="/bin/sh", args=[*words, "--root", str(root), *MODELS], env=environ
    )
    async with Client(program, mode=mode) as client:
        call = asyncio.create_task(client.call_tool("delegate", {"task": TASK}))
        async with asyncio.timeout(60):
            while len(simulator.requests) < 4:
                await client.list_tools()
        yield client, call


def require_paid_once(simulator: Simulator, found: dict[str, Any], calls: int) -> None:
    """What was answered was asked once; the question without an answer was asked again, and may be billed."""
    assert (found["status"], found["stop_reason"]) == ("ok", "end")
    assert len(simulator.requests) == calls + 1
    cost, besides = Decimal(found["cost_usd"]), Decimal(found["uncertain_usd"])
    assert cost <= simulator.bill.total_usd() <= cost + besides


@pytest.fixture
def calls(environ: dict[str, str], tmp_path: Path, simulator: Simulator) -> int:
    """Return how many calls the task takes, and have the fourth of the next run stall."""
    done("run", TASK, *MODELS, folder=shop(tmp_path, "before"), env=environ)
    return len(simulator.requests)


STALLING = FaultRule(Fault(stall_before_seconds=600), numbers=(4,))


@pytest.fixture
def stalling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Simulator, dict[str, str]]]:
    """Return a provider that does not answer its fourth question, and the environment that leads to it."""
    with running_simulator(Simulator(DEMO_MODELS, faults=(STALLING,))) as running:
        keys = {"ANTHROPIC_BASE_URL": running.url, "ANTHROPIC_API_KEY": "simulated-key"}
        yield running, {**os.environ, **keys, "SUNWELL_HOME": str(tmp_path / "home")}


@pytest.mark.parametrize("mode", MODES)
async def test_a_cancelled_call_ends_its_run_as_ctrl_c_does(
    calls, stalling, tmp_path: Path, mode: str
) -> None:
    """What was paid is kept, the server goes on, and the run is resumed without paying anything twice."""
    simulator, environ = stalling
    root = shop(tmp_path, "served")
    async with begun(root, environ, mode, simulator, tmp_path / "pid") as (client, call):
        running = told(await client.call_tool("report", {"run_id": "last"}))["run"]
        assert running["status"] == "running"
        call.cancel()
        await asyncio.wait((call,))
        found = told(await client.call_tool("report", {"run_id": "last"}))
        while found["run"]["status"] == "running" or found["purse"]["held_usd"] != "0":
            found = told(await client.call_tool("report", {"run_id": "last"}))
        assert found["run"]["status"] == "cancelled"
        assert found["run"]["run_id"] in found["run"]["next"]
        spent = Decimal(found["run"]["cost_usd"]) + Decimal(found["run"]["uncertain_usd"])
        assert Decimal(found["purse"]["spent_usd"]) == spent > 0
        resumed = told(await client.call_tool("resume", {"run_id": running["run_id"]}))
        require_paid_once(simulator, resumed, calls)
        assert told(await client.call_tool("resume", {"run_id": running["run_id"]})) == resumed
        assert len(simulator.requests) == calls + 1


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_a_killed_server_leaves_a_run_that_another_one_resumes(
    calls, stalling, tmp_path: Path, mode: str, number: int
) -> None:
    """It is found by its id, or as the last one."""
    simulator, environ = stalling
    root, pid = shop(tmp_path, "served"), tmp_path / "pid"
    async with begun(root, environ, mode, simulator, pid) as (_, call):
        os.kill(int(pid.read_text()), number)
        await asyncio.wait((call,))
        assert call.exception() is not None or call.result().is_error
    async with served(root, environ, mode) as client:
        listed = told(await client.call_tool("report"))["runs"]
        assert [one["status"] for one in listed] in (["open"], ["cancelled"])
        resumed = told(await client.call_tool("resume", {"run_id": listed[0]["run_id"]}))
        require_paid_once(simulator, resumed, calls)


async def test_a_host_that_goes_away_ends_the_run_in_good_order(calls, stalling, tmp_path: Path) -> None:
    """The end of standard input is the end of the server; its run is booked as cancelled."""
    simulator, environ = stalling
    root = shop(tmp_path, "served")
    async with begun(root, environ, "legacy", simulator, tmp_path / "pid") as (_, call):
        call.cancel()
        await asyncio.wait((call,))
    [run] = list_runs(root)
    while await asyncio.to_thread(is_running, run):
        pass
    closed = [record for record in read_records(run.path) if isinstance(record, RunClosed)]
    assert [record.status for record in closed] == ["cancelled"]


@pytest.mark.parametrize("mode", MODES)
async def test_over_http_the_pair_of_the_key_delegates(simulator, environ, tmp_path: Path, mode: str) -> None:
    """The address is all that is on standard output; with a token of the user's, nothing tells it."""
    token, root = "a-token-of-the-users", shop(tmp_path, "served")
    words = [sys.executable, "-m", "sunwell", "mcp", "--http", "--root", str(root)]
    process = await asyncio.create_subprocess_exec(
        *words, env={**environ, "SUNWELL_MCP_TOKEN": token}, stdout=PIPE, stderr=PIPE
    )
    assert process.stdout is not None
    address = (await process.stdout.readline()).decode().strip()
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=60, trust_env=False) as http,
        Client(streamable_http_client(address, http_client=http), mode=mode) as client,
    ):
        found = told(await client.call_tool("delegate", {"task": TASK}))
    process.send_signal(signal.SIGTERM)
    output, errors = await process.communicate()
    assert (process.returncode, output, token.encode() in errors) == (130, b"", False)
    assert [one["model"] for one in found["by_model"]] == ["claude-haiku-5-5", "claude-opus-5-5"]
    assert Decimal(found["cost_usd"]) == simulator.bill.total_usd()
