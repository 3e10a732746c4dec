"""A run in a workspace, and the processes that have it one after the other, on a virtual clock."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest

from sunwell.agent import Agent
from sunwell.context.options import RunOptions
from sunwell.context.session import SessionContext
from sunwell.core import Price, Rates, TaskResult, ToolCall
from sunwell.events import Event, RunFinished
from sunwell.gateway import RetryPolicy
from sunwell.journal import FileJournal, find_run, read_records
from sunwell.journal.memory import ReplayedJournal
from sunwell.journal.records import Answer, Record
from sunwell.models.registry import ModelRegistry
from sunwell.testing import ScriptedModel, completion, run_virtual

PRICE = Price(Rates(Decimal(1), Decimal(10)), source="test", date="2026-11-01")


@attrs.frozen
class UnthreadedFiles:
    """Journals in files whose syncs need no thread: a virtual clock knows none."""

    def create(self, workspace: Path, run_id: str) -> FileJournal:
        return FileJournal.create(workspace, run_id, threaded=False)

    def open(self, workspace: Path, run_id: str) -> FileJournal:
        return FileJournal.open(find_run(workspace, run_id).path, threaded=False)

    def read(self, workspace: Path, run_id: str) -> ReplayedJournal:
        return ReplayedJournal.read(find_run(workspace, run_id).path)


@attrs.define(eq=False)
class Calls:
    """Makes tool calls as a model would."""

    def __call__(self, name: str, **arguments: Any) -> ToolCall:
        """Return a call of the tool *name*."""
        return ToolCall("c0", name, json.dumps(arguments))

    def reading(self, path: str) -> ToolCall:
        """Return a call that reads a file."""
        return self("read_file", path=path, start_line=None, end_line=None)

    def writing(self, path: str, content: str) -> ToolCall:
        """Return a call that writes a file."""
        return self("write_file", path=path, content=content)


@attrs.define(eq=False)
class Story:
    """A workspace, and the processes that work in it one after the other. Each may have models of its own."""

    workspace: Path
    options: RunOptions = RunOptions()
    asked: int = 0
    """How often the models of the latest process were asked."""
    events: list[Event] = attrs.field(factory=list)
    """What the latest process told."""

    def run(self, *lines: Any, **given: Any) -> TaskResult:
        """Run the task with a model that says *lines*."""
        return run_virtual(self.process("run", lines, **given))

    def batch(self, tasks: Sequence[str], *lines: Any, **given: Any) -> TaskResult:
        """Give each of *tasks* to a worker; all ask a model that says *lines*."""
        return run_virtual(self.process("batch", lines, tasks=tasks, **given))

    def resume(self, *lines: Any, **given: Any) -> TaskResult:
        """Take the run up again, with a model that has only *lines* left."""
        return run_virtual(self.process("resume", lines, **given))

    def replay(self, **given: Any) -> TaskResult:
        """Play the run again, with a model that has nothing to say."""
        return run_virtual(self.process("replay", (), **given))

    def fork(self, at: str, *lines: Any, **given: Any) -> TaskResult:
        """Go on in a new run with a model that says *lines*."""
        return run_virtual(self.process("fork", lines, at=at, **given))

    def go_on(self, words: str, *lines: Any, **given: Any) -> TaskResult:
        """Say *words* next in the conversation of the run, to a model that says *lines*."""
        return run_virtual(self.process("continue_run", lines, words=words, **given))

    async def process(self, what: str, lines: Sequence[Any], **given: Any) -> TaskResult:
        """Do *what* in a process of its own and return its result; every line must be asked for."""
        own = given.pop("model", None) or ScriptedModel("opus-x", list(lines), PRICE)
        models = [own, *(given[name] for name in ("smart_model", "delegation_model") if name in given)]
        stop_at, named = given.pop("stop_at", None), ("smart_model", "delegation_model", "tool_executor")
        agent = Agent(
            model=own,
            registry=ModelRegistry(),
            journals=UnthreadedFiles(),
            retry=RetryPolicy(attempts=1),
            **{name: given.pop(name) for name in named if name in given},
        )
        self.events = []
        async with aclosing(self._told(agent, what, given)) as told:
            async for event in told:
                self.events.append(event)
                if len(self.events) == stop_at:
                    agent.stop()
        self.asked = sum(len(model.calls) for model in models)
        for model in models if stop_at is None else ():
            model.assert_finished()
        last = self.events[-1]
        assert isinstance(last, RunFinished)
        return last.result

    def _told(self, agent: Agent, what: str, given: dict[str, Any]) -> AsyncGenerator[Event, None]:
        if what == "run":
            return agent.run(SessionContext.build(self.workspace, "Do it.", options=self.options))
        if what == "batch":
            tasks = given.pop("tasks")
            return agent.batch_events(tasks, workspace=self.workspace, options=self.options, **given)
        run_id = given.pop("run_id", "")
        told: AsyncGenerator[Event, None] = getattr(agent, what)(run_id, workspace=self.workspace, **given)
        return told

    def in_real_time(self, what: str, *lines: Any, **given: Any) -> TaskResult:
        """Do *what* on the real clock: commands are processes."""
        return asyncio.run(self.process(what, lines, **given))

    @property
    def journals(self) -> list[Path]:
        """The journals of the workspace, oldest first."""
        return sorted(self.workspace.glob(".sunwell/runs/*/journal.jsonl"))

    def records(self) -> Iterator[Record]:
        """Return what the oldest journal holds."""
        return read_records(self.journals[0])


@pytest.fixture
def story(tmp_path: Path) -> Story:
    """Return a story in an empty workspace."""
    return Story(tmp_path)


@pytest.fixture
def call() -> Calls:
    """Return what makes tool calls."""
    return Calls()


@pytest.fixture
def scripted() -> Callable[..., ScriptedModel]:
    """Return a function that makes a scripted model with a price."""
    return lambda name, *lines, seconds=0.0: ScriptedModel(name, list(lines), PRICE, seconds)


@pytest.fixture
def answer() -> Callable[..., Answer]:
    """Return a function that makes the record of an answer in a span."""

    def make(span: str, number: int = 0) -> Answer:
        return Answer(span, number, 0, "work", 0, "d", completion("Yes."), Decimal(0), 1.0, 1.0)

    return make
