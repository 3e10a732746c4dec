"""Questions about texts in memory, asked by scripted models, in one process after the other."""

import asyncio
import json
from collections.abc import Callable, Iterable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import attrs
import pytest

from sunwell.agent import Agent
from sunwell.context.options import RunOptions
from sunwell.core import Price, TaskResult, ToolCall
from sunwell.core.model import Completion, Request
from sunwell.events import Event, RunFinished
from sunwell.gateway import RetryPolicy
from sunwell.journal import read_records
from sunwell.journal.records import Record
from sunwell.models.registry import ModelRegistry
from sunwell.testing import Line, ScriptedModel, completion
from tests.agent.conftest import PRICE

CHEAP = Price(
    attrs.evolve(PRICE.rates, input_usd=PRICE.rates.input_usd / 10, output_usd=PRICE.rates.output_usd / 10),
    source="test",
    date="2026-11-01",
)
_MANY = 1_000
Lines = Iterable[Line] | Callable[[Request], str | Completion]
"""What a model says: line by line, or a function of each request."""


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
    contexts: Any = None
    cheap_price: Price = CHEAP
    crowd: Any = None
    """The cheap model, if it is not a scripted one."""

    def ask(self, smart: Lines, cheap: Lines = (), **given: Any) -> TaskResult:
        """Ask, with a smart model that says *smart*, and a cheap one that says *cheap*."""
        return self._do("ask", smart, cheap, given)

    def resume(self, smart: Lines = (), cheap: Lines = (), **given: Any) -> TaskResult:
        """Take the run up again, with models that have only these lines left."""
        return self._do("resume", smart, cheap, given)

    def replay(self) -> TaskResult:
        """Play the run again."""
        return self._do("replay", (), (), {})

    def fork(self, run_id: str, at: str, smart: Lines) -> TaskResult:
        """Go on in a new run from the place *at*."""
        return self._do("fork", smart, (), {"run_id": run_id, "at": at})

    def go_on(self, run_id: str, words: str) -> TaskResult:
        """Say *words* next in the conversation of the run."""
        return self._do("continue_run", (), (), {"run_id": run_id, "words": words})

    def _do(self, what: str, smart: Lines, cheap: Lines, given: dict[str, Any]) -> TaskResult:
        is_stopped = "stop_at" in given
        self.smart = ScriptedModel("opus-x", [smart] * _MANY if callable(smart) else smart, PRICE)
        self.cheap = ScriptedModel("haiku-x", [cheap] * _MANY if callable(cheap) else cheap, self.cheap_price)
        result = asyncio.run(self._process(what, given))
        for model, lines in ((self.smart, smart), (self.cheap, cheap)):
            if not is_stopped and not callable(lines):
                model.assert_finished()
        return result

    async def _process(self, what: str, given: dict[str, Any]) -> TaskResult:
        agent = Agent(
            model=self.smart,
            delegation_model=self.crowd or self.cheap,
            registry=ModelRegistry(),
            retry=RetryPolicy(attempts=1),
        )
        contexts = self.contexts or "log.txt"
        if not self.contexts:
            (self.workspace / "log.txt").write_text(self.text)
        stop_at = given.pop("stop_at", None)
        if what == "ask":
            told = agent.ask(self.question, contexts, workspace=self.workspace, options=self.options, **given)
        elif what == "resume":
            told = agent.resume("", workspace=self.workspace, **given)
        elif what == "replay":
            told = agent.replay("", workspace=self.workspace)
        else:
            told = getattr(agent, what)(workspace=self.workspace, **given)
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
