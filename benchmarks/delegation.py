"""Does a lens make a cheap model good enough, and what does it cost? Three arms on one task.

Run with ``python benchmarks/delegation.py``. *Smart only*, *cheap only* and *cheap with lens* do
the task of ``tasks/shop.toml``, each in a fresh copy and each through the whole product over HTTP;
the workspace's own tests say whether the result is right. The models are the simulator's scripts,
so the table shows the machinery and the money, and nothing of any model's skill.
"""

import asyncio
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any

from recording import ROOT, record

from sunwell.agent import Agent
from sunwell.context import RunOptions, SessionContext
from sunwell.models.anthropic_messages import AnthropicModel
from sunwell.models.connection import Connection, close_clients
from sunwell.simulator import Simulator
from sunwell.simulator.scripts import DEMO_MODELS

TASK = tomllib.loads((Path(__file__).parent / "tasks" / "shop.toml").read_text())
ARMS = ("smart only", "cheap only", "cheap with lens")


def failures(workspace: Path) -> tuple[int, int]:
    """Return how many of the workspace's own tests ran and how many failed."""
    done = subprocess.run(
        [sys.executable, *TASK["check"]], cwd=workspace, capture_output=True, text=True, check=False
    )
    ran = re.search(r"Ran (\d+) tests?", done.stderr)
    failed = sum(int(count) for count in re.findall(r"(?:failures|errors)=(\d+)", done.stderr))
    return int(ran[1]) if ran else 0, failed


async def arm(name: str, workspace: Path) -> dict[str, Any]:
    """Do the task the way of the arm *name* and return what came of it."""
    async with Simulator(DEMO_MODELS) as simulator:
        connection = Connection("anthropic", simulator.url, "a-key")
        smart, cheap = (AnthropicModel(TASK["models"][role], connection) for role in ("smart", "cheap"))
        if name == "cheap with lens":
            agent = Agent(smart_model=smart, delegation_model=cheap)
            options = RunOptions(enable_delegation=True)
        else:
            agent, options = Agent(model=smart if name == "smart only" else cheap), RunOptions()
        result = await agent.result(SessionContext.build(workspace, TASK["task"], options))
        await close_clients()
        billed = simulator.bill.total_usd()
    ran, failed = failures(workspace)
    return {
        "status": result.status,
        "calls": result.bill.calls,
        "tokens": result.bill.usage.total_tokens,
        "usd": str(result.bill.cost_usd),
        "billed_usd": str(billed),
        "tests": ran,
        "failed": failed,
    }


async def main() -> None:
    """Run the arms, print the table and write the result."""
    found: dict[str, Any] = {}
    for name in ARMS:
        with tempfile.TemporaryDirectory() as folder:
            workspace = Path(shutil.copytree(ROOT / TASK["workspace"], Path(folder) / "shop"))
            found[name] = await arm(name, workspace)
    print(f"{'':18}{'calls':>7}{'tokens':>9}{'usd':>12}{'tests failed':>18}")
    for name, one in found.items():
        usd = f"{Decimal(one['usd']):.6f}"
        print(f"{name:18}{one['calls']:7}{one['tokens']:9,}{usd:>12}{one['failed']:>10} of {one['tests']}")
    print("The models are scripts: this shows machinery and money, not skill.")
    print(record("delegation", {"task": TASK["task"], "models": TASK["models"], "arms": found}))


if __name__ == "__main__":
    asyncio.run(main())
