"""The command line against a simulator on loopback: real HTTP, real SDKs, no keys of anybody."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sunwell.cli.main import cli
from sunwell.simulator import Simulator, running_simulator
from sunwell.simulator.scripts import DEMO_MODELS
from tests.cli.beginner import Begun, beginner

TASK = "Generate CRUD endpoints for 5 entities"
SHOP = Path(__file__).parents[2] / "examples" / "shop"
Invoke = Callable[..., Result]


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """Run the scripted models of the demonstration."""
    with running_simulator(Simulator(DEMO_MODELS)) as running:
        yield running


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Return a fresh copy of the example code base."""
    return Path(shutil.copytree(SHOP, tmp_path / "shop", ignore=shutil.ignore_patterns("__pycache__")))


@pytest.fixture
def keys(simulator: Simulator) -> dict[str, str]:
    """Return the environment of somebody with a key of Anthropic's."""
    return {"ANTHROPIC_BASE_URL": simulator.url, "ANTHROPIC_API_KEY": "simulated-key"}


@pytest.fixture
def sunwell(keys: dict[str, str]) -> Invoke:
    """Return a function that runs a command in this process."""

    def invoke(*arguments: str | Path, env: dict[str, str] | None = None, said: str | None = None) -> Result:
        runner = CliRunner(env=keys if env is None else env)
        return runner.invoke(cli, [str(argument) for argument in arguments], input=said)

    return invoke


@pytest.fixture
def trust(sunwell: Invoke) -> Invoke:
    """Return a function that trusts a file: it takes the hash that is printed, and says yes with it."""

    def accept(*place: str | Path, env: dict[str, str] | None = None) -> Result:
        shown = sunwell("config", "trust", *place, env=env)
        digest = next(line.split()[1] for line in shown.stdout.splitlines() if line.startswith("hash "))
        return sunwell("config", "trust", *place, "--yes", "--hash", digest, env=env)

    return accept


@pytest.fixture
def start(keys: dict[str, str]) -> Iterator[Callable[..., Begun]]:
    """Return a function that starts a command in a process of its own, ended with the test at the latest."""
    processes: list[Begun] = []

    def begin(*arguments: str | Path, env: dict[str, str] | None = None) -> Begun:
        environ = {**os.environ, **(keys if env is None else env)}
        processes.append(beginner().piped([str(word) for word in arguments], environ))
        return processes[-1]

    yield begin
    for process in processes:
        process.kill()
        process.communicate()
