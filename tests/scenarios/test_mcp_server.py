"""``sunwell mcp`` as a process that a host starts: the same bill as the command line, caps, ends, resumes."""

import json
import os
import shutil
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mcp")

from mcp import Client, StdioServerParameters

from sunwell.simulator import Simulator, running_simulator
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
