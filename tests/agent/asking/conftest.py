"""Questions about texts in memory, asked by scripted models, in one process after the other."""

import asyncio
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any

import attrs
import pytest

from sunwell.agent import Agent
from sunwell.context.options import RunOptions
from sunwell.core import Price, TaskResult, ToolCall
from sunwell.core.model import Completion
from sunwell.errors import ToolError
from sunwell.events import Event, RunFinished
from sunwell.gateway import RetryPolicy
from sunwell.journal import read_records
from sunwell.journal.records import Record
from sunwell.models.registry import ModelRegistry
from sunwell.testing import ScriptedModel, completion
from tests.agent.conftest import PRICE

CHEAP = Price(
    attrs.evolve(PRICE.rates, input_usd=PRICE.rates.input_usd / 10, output_usd=PRICE.rates.output_usd / 10),
    source="test",
    date="2026-11-01",
)


@attrs.frozen
class MemoryPlace:
    """Where a range of a text in memory is."""

    name: str
    start: int
    end: int
    first_line: int
    last_line: int

    def __str__(self) -> str:
        return f"{self.name}, lines {self.first_line}-{self.last_line} (bytes {self.start}-{self.end})"


@attrs.frozen
class MemoryRange:
    """A range of an ASCII text in memory."""

    whole: str
    name: str = "log"
    start: int = 0
    end: int = -1

    def __attrs_post_init__(self) -> None:
        if self.end < 0:
            object.__setattr__(self, "end", len(self.whole))

    def _at(self, start: int, end: int) -> "MemoryRange":
        return MemoryRange(self.whole, self.name, start, max(start, min(end, self.end)))

    def __getitem__(self, part: slice) -> "MemoryRange":
        first, last, _ = part.indices(self.end - self.start)
        return self._at(self.start + first, self.start + last)

    @property
    def place(self) -> MemoryPlace:
        """Where it is."""
        first = self.whole.count("\n", 0, self.start) + 1
        last = self.whole.count("\n", 0, max(self.end - 1, self.start)) + 1
        return MemoryPlace(self.name, self.start, self.end, first, last)

    def lines(self, first: int, last: int | None = None) -> "MemoryRange":
        """Return lines, counted from 1."""
        found = self.whole[self.start : self.end].splitlines(keepends=True)
        start = self.start + sum(map(len, found[: first - 1]))
        return self._at(start, start + sum(map(len, found[first - 1 : last])))

    def search(self, pattern: str, limit: int = 100, literal: bool = False) -> list["MemoryRange"]:
        """Return the lines that match."""
        try:
            wanted = re.compile(re.escape(pattern) if literal else pattern)
        except re.error as error:
            raise ToolError(f"the pattern is none: {error}") from None
        at, found = self.start, []
        for line in self.whole[self.start : self.end].splitlines(keepends=True):
            if wanted.search(line):
                found.append(self._at(at, at + len(line)))
            at += len(line)
        return found[:limit]

    def chunks(self, characters: int, overlap: int = 0) -> list["MemoryRange"]:
        """Return parts of at most so many characters."""
        return [self._at(at, at + characters) for at in range(self.start, self.end, characters)]

    def text(self) -> str:
        """Return the text."""
        return self.whole[self.start : self.end]

    def digest(self) -> str:
        """Return the hash of the text."""
        return hashlib.sha256(self.text().encode()).hexdigest()


def explore(code: str) -> Completion:
    """Return a message that runs *code*."""
    return completion(ToolCall("c0", "explore", json.dumps({"code": code})))


def final(content: str | None = None, variable: str | None = None) -> Completion:
    """Return a message that sets the answer."""
    arguments = json.dumps({"content": content, "variable": variable})
    return completion(ToolCall("c0", "set_answer", arguments))


@attrs.define(eq=False)
class Question:
    """One question, and the processes that answer it one after the other."""

    workspace: Path
    text: str = "".join(f"line {number}: all is well\n" for number in range(1, 20_001))
    options: RunOptions = RunOptions()
    smart: ScriptedModel = attrs.field(factory=lambda: ScriptedModel("opus-x", [], PRICE))
    cheap: ScriptedModel = attrs.field(factory=lambda: ScriptedModel("haiku-x", [], CHEAP))
    events: list[Event] = attrs.field(factory=list)
    question: str = "Which line is odd?"
    contexts: Mapping[str, MemoryRange] | None = None

    def ask(self, smart: list[Any], cheap: list[Any] | Callable[[Any], str] = (), **given: Any) -> TaskResult:  # type: ignore[assignment]
        """Ask, with a smart model that says *smart*, and a cheap one that says *cheap*."""
        return self._do("ask", smart, cheap, given)

    def resume(self, smart: list[Any] = [], cheap: Any = (), **given: Any) -> TaskResult:  # noqa: B006
        """Take the run up again, with models that have only these lines left."""
        return self._do("resume", smart, cheap, given)

    def replay(self) -> TaskResult:
        """Play the run again."""
        return self._do("replay", [], (), {})

    def _do(self, what: str, smart: list[Any], cheap: Any, given: dict[str, Any]) -> TaskResult:
        lines = [cheap] * 10_000 if callable(cheap) else list(cheap)
        self.smart = ScriptedModel("opus-x", list(smart), PRICE)
        self.cheap = ScriptedModel("haiku-x", lines, CHEAP)
        result = asyncio.run(self._process(what, given))
        if given.get("stop_at") is None:
            self.smart.assert_finished()
            if not callable(cheap):
                self.cheap.assert_finished()
        return result

    async def _process(self, what: str, given: dict[str, Any]) -> TaskResult:
        agent = Agent(
            model=self.smart,
            delegation_model=self.cheap,
            registry=ModelRegistry(),
            retry=RetryPolicy(attempts=1),
        )
        contexts = self.contexts or {"log": MemoryRange(self.text)}
        stop_at = given.pop("stop_at", None)
        if what == "ask":
            told = agent.ask(self.question, contexts, workspace=self.workspace, options=self.options, **given)
        elif what == "resume":
            told = agent.resume("", workspace=self.workspace, **{"contexts": contexts, **given})
        else:
            told = agent.replay("", workspace=self.workspace)
        self.events = []
        async with aclosing(told) as events:
            async for event in events:
                self.events.append(event)
                if len(self.events) == stop_at:
                    agent.stop()
        last = self.events[-1]
        assert isinstance(last, RunFinished)
        return last.result

    @property
    def journal(self) -> Path:
        """The one journal."""
        (found,) = self.workspace.glob(".sunwell/runs/*/journal.jsonl")
        return found

    def records(self) -> list[Record]:
        """Return what the journal holds."""
        return list(read_records(self.journal))

    def shown(self, turn: int = -1) -> str:
        """Return what the smart model was told last before its answer of *turn*."""
        parts = self.smart.calls[turn].messages[-1].parts
        return "\n".join(getattr(part, "content", "") or getattr(part, "text", "") for part in parts)


@pytest.fixture
def asked(tmp_path: Path) -> Question:
    """Return a question about a text of 460,000 bytes."""
    return Question(tmp_path)
