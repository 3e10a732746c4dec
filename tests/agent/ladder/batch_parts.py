"""Batches of items that climb: each item is a file that must hold its right word."""

import asyncio
import json
import re
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs

from sunwell.agent import Agent
from sunwell.agent.batches.task_batch import BatchResult
from sunwell.context import RunOptions
from sunwell.core import Completion, ModelProtocol, Price, Rates, Request, Task, ToolCall, Usage
from sunwell.core.check import Checking, Verdict
from sunwell.core.model import Delta
from sunwell.events import Event, RunFinished
from sunwell.journal.records import Record
from sunwell.models.registry import ModelRegistry
from sunwell.testing import completion, run_virtual
from tests.agent.conftest import UnthreadedFiles
from tests.agent.ladder.ladder_parts import LENS

RIGHT = "right"
WRONG = "wrong"
SHORT_LADDER = ("cheap", "cheap_again", "smart")
_ITEM = re.compile(r"item-\d+\.txt")


def items(count: int, **given: Any) -> list[Task]:
    """Return so many tasks, one file each; *given* holds for all of them."""
    return [Task(f"Write {RIGHT} into item-{number}.txt", **given) for number in range(count)]


def item_in(text: str) -> str:
    """Return the file that *text* names first."""
    found = _ITEM.search(text)
    assert found is not None
    return found[0]


async def is_right(checking: Checking) -> Verdict:
    """Check that the file of the item holds the right word."""
    assert checking.workspace is not None
    path = checking.workspace / item_in(checking.task)
    found = path.read_text() if path.exists() else "nothing"
    return Verdict(found == RIGHT, f"{path.name} holds {found}")


async def three_are_right(checking: Checking) -> Verdict:
    """Check that three items are there and right, whoever has written them."""
    assert checking.workspace is not None
    found = [path.name for path in sorted(checking.workspace.glob("item-*")) if path.read_text() == RIGHT]
    return Verdict(len(found) == 3, f"right: {', '.join(found) or 'none'}")


@attrs.define(eq=False)
class Writer:
    """A model that writes one word into the file of its item, and says that it is done.

    *words* has for each item the words that it writes one after the other; an item that is not named gets the
    right word at once. What it says depends on the request alone, and on how often the item was written.
    """

    name: str
    words: Mapping[str, Sequence[str]] = attrs.field(factory=dict)
    usd: int = 1
    seconds: Callable[[str], float] = lambda item: 1.0
    calls: list[Request] = attrs.field(factory=list, init=False)
    written: dict[str, int] = attrs.field(factory=lambda: defaultdict(int), init=False)

    @property
    def price(self) -> Price:
        """Input costs ``usd`` dollars a million tokens, output five times it."""
        return Price(Rates(Decimal(self.usd), Decimal(5 * self.usd)))

    @property
    def asked(self) -> list[str]:
        """The item of each request, in order."""
        return [item_in(request.messages[0].text) for request in self.calls]

    async def complete(self, request: Request) -> Completion:
        """Write, or end."""
        self.calls.append(request)
        if request.response_schema is not None:
            return completion(LENS, model=self.name)
        item = item_in(request.messages[0].text)
        await asyncio.sleep(self.seconds(item))
        if request.messages[-1].role == "tool":
            return completion(f"{item} is done.", usage=Usage(100, 10), model=self.name)
        words = self.words.get(item, (RIGHT,))
        word = words[min(self.written[item], len(words) - 1)]
        self.written[item] += 1
        call = ToolCall("w", "write_file", json.dumps({"path": item, "content": word}))
        return completion(call, usage=Usage(100, 10), model=self.name)

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        """Yield the whole answer at once."""
        yield Delta(completion=await self.complete(request))


@attrs.define(eq=False)
class Crew:
    """The models of a batch, its workspace, and what it told."""

    workspace: Path
    cheap: ModelProtocol
    smart: ModelProtocol
    events: list[Event] = attrs.field(factory=list)
    stop_at: Callable[[Event], bool] | None = None
    """The batch is stopped at the first event of which this is true."""
    play: Callable[[Any], Any] = run_virtual
    """Runs a coroutine to its end. A virtual clock knows no threads, and outcomes are read in one."""

    def batch(self, tasks: Sequence[Task], *, results: Path | None = None, **options: Any) -> BatchResult:
        """Return the results of *tasks* under *options*."""
        done: BatchResult = self.play(self._batch(tasks, results, options))
        return done

    async def _batch(
        self, tasks: Sequence[Task], results: Path | None, options: dict[str, Any]
    ) -> BatchResult:
        chosen = {"checks": (is_right,), "escalate": True, "worth_usd": 100, "ladder": SHORT_LADDER} | options
        agent = self.agent()
        told = agent.batch_events(
            tasks, workspace=self.workspace, options=RunOptions(**chosen), results=results
        )
        return await self._read(agent, told)

    def resume(self, run_id: str, given: Mapping[str, Any] | None = None, **more: Any) -> BatchResult:
        """Take the batch up again in what counts as another process."""

        async def resumed() -> BatchResult:
            agent = self.agent()
            return await self._read(
                agent, agent.resume(run_id, workspace=self.workspace, given=given, **more)
            )

        done: BatchResult = self.play(resumed())
        return done

    def agent(self) -> Agent:
        """Return an agent with these models."""
        return Agent(
            smart_model=self.smart,
            delegation_model=self.cheap,
            registry=ModelRegistry(),
            journals=UnthreadedFiles(),
        )

    async def _read(self, agent: Agent, told: Any) -> BatchResult:
        self.events = []
        has_stopped = False
        async with aclosing(told):
            async for event in told:
                self.events.append(event)
                if not has_stopped and self.stop_at is not None and self.stop_at(event):
                    has_stopped = True
                    agent.stop()
        last = self.events[-1]
        assert isinstance(last, RunFinished)
        return BatchResult(last.result)

    def records(self, kind: type[Record]) -> list[Any]:
        """Return the records of *kind* in the journal of the one run."""
        from sunwell.journal import read_records

        (path,) = self.workspace.glob(".sunwell/runs/*/journal.jsonl")
        return [record for record in read_records(path) if isinstance(record, kind)]


def rungs(result: Any) -> list[str]:
    """Return the rungs that an item climbed."""
    return [attempt.rung for attempt in result.verification.attempts]
