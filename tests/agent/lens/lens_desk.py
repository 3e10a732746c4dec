"""A workspace, two simulated models over HTTP and a store of lenses, for tests of lenses that are kept."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest

from sunwell.agent import Agent
from sunwell.context import RunOptions, SessionContext
from sunwell.core.message import Text
from sunwell.core.task import TaskResult
from sunwell.events import Event, RunFinished
from sunwell.memory.lens_store import KeptLens, LensStore, lenses_file
from sunwell.models.anthropic_messages import AnthropicModel
from sunwell.models.connection import Connection
from sunwell.models.registry import ModelRegistry
from sunwell.simulator import Asked, Reply, Simulator, running_simulator

SMART, CHEAP = "claude-opus-5-5", "claude-haiku-5-5"
TASK = "Write the endpoints of 5 modules in src/shop.py, as in src/model.py"
LENS: dict[str, Any] = {
    "task_scope": "the shop",
    "heuristics": ["Read src/model.py first.", "Then write src/shop.py."],
    "patterns": ["Prices are in cents."],
    "anti_patterns": [],
    "constraints": [],
    "examples": [],
    "target_files": ["src/shop.py"],
}
NO_CHANGES: dict[str, Any] = {
    "drop": [],
    "change": [],
    "add": [],
    "task_scope": "the shop",
    "target_files": ["src/shop.py"],
}


@attrs.define(eq=False)
class LensDesk:
    """Runs tasks in one workspace, each with an agent of its own."""

    workspace: Path
    simulator: Simulator = attrs.field(init=False)
    lens: Any = attrs.field(factory=lambda: dict(LENS))
    """What the smart model answers if it is asked for a whole lens."""
    changes: Any = attrs.field(factory=lambda: dict(NO_CHANGES))
    """What it answers if it is asked what must change."""
    asked: list[Asked] = attrs.field(factory=list)
    """What the smart model was asked."""
    worked: list[Asked] = attrs.field(factory=list)
    """What the models were asked that work."""
    work: Callable[[Asked], Reply] = attrs.field(default=lambda _: Reply((Text("Done."),)))

    def __attrs_post_init__(self) -> None:
        self.simulator = Simulator({SMART: self._say, CHEAP: self._work})

    def _say(self, asked: Asked) -> Reply:
        self.asked.append(asked)
        answer = self.changes if "There is a lens already" in asked.system else self.lens
        return Reply((Text(answer if isinstance(answer, str) else json.dumps(answer)),))

    def _work(self, asked: Asked) -> Reply:
        self.worked.append(asked)
        return self.work(asked)

    def agent(self, host: str = "127.0.0.1") -> Agent:
        """Return a new agent, whose delegation model is asked at *host*."""
        url = self.simulator.url
        smart = AnthropicModel(SMART, Connection("anthropic", url, "a-key"))
        there = Connection("anthropic", url.replace("127.0.0.1", host), "a-key")
        return Agent(smart, smart, AnthropicModel(CHEAP, there), registry=ModelRegistry())

    async def run(self, task: str = TASK, host: str = "127.0.0.1", **options: Any) -> TaskResult:
        """Run *task* and return its result."""
        return (await self.events(task, host, **options))[1]

    async def events(
        self, task: str = TASK, host: str = "127.0.0.1", **options: Any
    ) -> tuple[list[Event], TaskResult]:
        """Run *task* and return the events and the result."""
        session = self.session(task, **options)
        events = [event async for event in self.agent(host).run(session)]
        last = events[-1]
        assert isinstance(last, RunFinished)
        return events, last.result

    def session(self, task: str = TASK, **options: Any) -> SessionContext:
        """Return the session of *task*; it is delegated unless the options say something else."""
        chosen = {"enable_delegation": True, "delegation_threshold_tokens": 1} | options
        return SessionContext.build(self.workspace, task, RunOptions(**chosen))

    def kept(self) -> tuple[KeptLens, ...]:
        """Return what the store holds."""
        return self.store().all()

    def store(self) -> LensStore:
        """Return the store."""
        return LensStore(lenses_file(), warn=pytest.fail)

    def write(self, path: str, text: str) -> None:
        """Write a file of the workspace."""
        place = self.workspace / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)


@contextmanager
def lens_desk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LensDesk]:
    """Give a desk with a small workspace, in *folder*, and a store of its own."""
    monkeypatch.setenv("SUNWELL_HOME", str(folder / "home"))
    monkeypatch.delenv("SUNWELL_LENSES")
    desk = LensDesk(folder / "shop")
    desk.write("src/model.py", "class Price:\n    cents: int\n" + "    # cents are whole\n" * 40)
    desk.write("src/other.py", "def unrelated():\n    return 1\n")
    with running_simulator(desk.simulator):
        yield desk
    shutil.rmtree(folder / "shop")
