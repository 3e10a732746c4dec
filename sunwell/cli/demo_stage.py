"""What the demonstration stands on: the example code base, its tests, and runs on the simulator."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from sunwell.errors import ConfigurationError
from sunwell.tools.environment import command_environment, secrets_from_environment

if TYPE_CHECKING:
    from sunwell.cli.view import View
    from sunwell.context.options import RunOptions
    from sunwell.core.model import ModelProtocol
    from sunwell.core.task import TaskResult
    from sunwell.simulator import Simulator

TASK = "Generate CRUD endpoints for 5 entities"
_COUNT = re.compile(r"^Ran (\d+) tests?", re.MULTILINE)
_FAILED = re.compile(r"^(?:FAIL|ERROR): (\w+)", re.MULTILINE)
_LONGEST_SECONDS = 60


@attrs.frozen
class Verdict:
    """What the shop's own tests said."""

    count: int
    failed: tuple[str, ...]
    """Names of the tests that failed, one for each failure."""

    @property
    def is_green(self) -> bool:
        """Whether tests ran and all of them passed."""
        return self.count > 0 and not self.failed

    def by_rule(self, slugs: tuple[str, ...]) -> dict[str, int]:
        """Return how many failures belong to each of *slugs*: tests of a rule begin with its name."""
        counted: Counter[str] = Counter()
        for name in self.failed:
            counted.update(slug for slug in slugs if name.startswith(f"test_{slug}"))
        return dict(counted)


def example_shop() -> Path:
    """Return the folder of the example code base: the repository's, else the installed copy.

    Raises :exc:`~sunwell.errors.ConfigurationError` where there is neither.
    """
    import sunwell

    schemes = (sysconfig.get_default_scheme(), sysconfig.get_preferred_scheme("user"))
    installed = [Path(sysconfig.get_path("data", scheme)) / "share" / "sunwell" for scheme in schemes]
    for root in (Path(sunwell.__file__).resolve().parent.parent, *installed):
        if (folder := root / "examples" / "shop").is_dir():
            return folder
    raise ConfigurationError(
        "the demonstration works on the example code base examples/shop, and this installation lacks it: "
        "run it in a checkout of the repository, where make demo does all"
    )


def fresh_shop(place: Path) -> Path:
    """Copy the example to *place* and return it."""
    return Path(
        shutil.copytree(example_shop(), place, ignore=shutil.ignore_patterns("__pycache__", ".sunwell"))
    )


def run_tests(shop: Path) -> Verdict:
    """Run the shop's own tests, in a process of their own: a model wrote what they run, so it gets no key."""
    done = subprocess.run(
        [sys.executable, "-I", "-B", "-m", "unittest"],
        cwd=shop,
        env=command_environment(os.environ, secrets_from_environment()),
        capture_output=True,
        text=True,
        timeout=_LONGEST_SECONDS,
        check=False,
    )
    counted = _COUNT.search(done.stderr)
    failed = tuple(_FAILED.findall(done.stderr))
    if done.returncode and not failed:
        failed = ("the tests themselves",)
    return Verdict(int(counted.group(1)) if counted else 0, failed)


def simulated(simulator: "Simulator", model_id: str, account: str) -> "ModelProtocol":
    """Return the model over HTTP, through the provider's SDK, billed to *account*."""
    from sunwell.models.anthropic_messages import AnthropicModel
    from sunwell.models.connection import Connection

    connection = Connection("anthropic", simulator.url, account, transport=_without_proxies)
    return AnthropicModel(model_id, connection)


def _without_proxies() -> object:
    """Return a transport for this machine alone: a proxy of the environment does not reach it."""
    import httpx2

    return httpx2.AsyncHTTPTransport()


def work(shop: Path, options: "RunOptions", view: "View") -> "TaskResult":
    """Run the task in *shop* through the agent, shown in *view*."""
    from sunwell.agent.agent import Agent
    from sunwell.cli.driving import drive
    from sunwell.context.session import SessionContext

    agent = Agent()
    return drive(agent, agent.run(SessionContext.build(shop, TASK, options)), view)
