"""Batches whose lens is tested: what a model answers depends on the item, and on whether it has the lens."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs

from sunwell.agent import Agent
from sunwell.agent.batches.task_batch import BatchResult
from sunwell.agent.policy.lens_trial import paired_places
from sunwell.context import RunOptions
from sunwell.core import Completion, EphemeralLens, ModelProtocol, Price, Rates, Request, Task, Usage
from sunwell.core.check import Checking, Verdict
from sunwell.core.model import Delta
from sunwell.events import Event, RunFinished
from sunwell.journal import read_records
from sunwell.journal.records import Record
from sunwell.models.registry import ModelRegistry
from sunwell.testing import completion, run_virtual
from tests.agent.conftest import UnthreadedFiles

LENS = EphemeralLens(("Mind the lens.",), task_scope="Questions")
COUNT = 44
RIGHT, WRONG = "right", "wrong"
_NUMBER = re.compile(r"Question (\d+)")


def questions(count: int = COUNT, **given: Any) -> list[Task]:
    """Return so many items; *given* holds for each of them."""
    return [Task(f"Question {number}", **given) for number in range(count)]


def order_of(tasks: Sequence[Task]) -> tuple[int, ...]:
    """Return the items that run both ways, in their order: tasks of a text alone are known by it."""
    return paired_places([f'{{"text": "{task.text}"}}' for task in tasks])


async def is_right(checking: Checking) -> Verdict:
    """Check the answer."""
    return Verdict(checking.answer == RIGHT, f"it says {checking.answer}")


@attrs.define(eq=False)
class Pupil:
    """A model that answers an item rightly with the lens, without it, both or never."""

    right_with: Callable[[int], bool] = lambda number: True
    right_without: Callable[[int], bool] = lambda number: True
    name: str = "pupil"
    usd: int = 1
    seconds: Callable[[int], float] = lambda number: 1.0
    tokens: Mapping[bool, int] = attrs.field(factory=lambda: {True: 200, False: 100})
    """Input of a call with the lens, and without it."""
    fails: Callable[[int, bool], BaseException | None] = lambda number, with_lens: None
    asked: list[tuple[int, bool]] = attrs.field(factory=list, init=False)
    """The items in the order in which they were asked, and whether the lens was there."""

    @property
    def price(self) -> Price:
        """Input costs ``usd`` dollars a million tokens, output five times it."""
        return Price(Rates(Decimal(self.usd), Decimal(5 * self.usd)))

    async def complete(self, request: Request) -> Completion:
        """Answer."""
        found = _NUMBER.search(request.messages[0].text)
        assert found is not None
        number, with_lens = int(found[1]), "Mind the lens." in "\n".join(request.system)
        self.asked.append((number, with_lens))
        await asyncio.sleep(self.seconds(number))
        error = self.fails(number, with_lens)
        if error is not None:
            raise error
        is_known = (self.right_with if with_lens else self.right_without)(number)
        usage = Usage(self.tokens[with_lens], 10)
        return completion(RIGHT if is_known else WRONG, usage=usage, model=self.name)

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        """Yield the whole answer at once."""
        yield Delta(completion=await self.complete(request))

    def without(self) -> list[int]:
        """Return the items that were asked without the lens, sorted."""
        return sorted(number for number, with_lens in self.asked if not with_lens)


@attrs.define(eq=False)
class School:
    """A workspace in which a pupil works on a batch."""

    workspace: Path
    pupil: Pupil
    teacher: ModelProtocol | None = None
    """The smart model, for batches that climb."""
    events: list[Event] = attrs.field(factory=list, repr=False)
    done: BatchResult | None = attrs.field(default=None, repr=False)
    """What its one batch came to, if it is one for several tests."""
    stop_at: int | None = None
    """After how many events the batch is stopped."""

    def batch(
        self, tasks: Sequence[Task] | None = None, *, results: Path | None = None, **options: Any
    ) -> BatchResult:
        """Return the results of *tasks*, or of the usual questions, under *options*."""
        chosen = {"checks": (is_right,), "lens": LENS, "tools": (), "max_concurrent": 50} | options
        agent = self.agent()
        told = agent.batch_events(
            questions() if tasks is None else tasks,
            workspace=self.workspace,
            options=RunOptions(**chosen),
            results=results,
        )
        return self._played(agent, told)

    def resume(self, run_id: str, **more: Any) -> BatchResult:
        """Take the batch up again in what counts as another process."""
        agent = self.agent()
        given = {"checks": (is_right,)} | more
        return self._played(agent, agent.resume(run_id, workspace=self.workspace, given=given))

    def replay(self, run_id: str) -> BatchResult:
        """Play the batch again from its record."""
        agent = self.agent()
        return self._played(agent, agent.replay(run_id, workspace=self.workspace))

    def agent(self) -> Agent:
        """Return an agent with these models."""
        return Agent(
            smart_model=self.teacher or self.pupil,
            delegation_model=self.pupil,
            registry=ModelRegistry(),
            journals=UnthreadedFiles(),
        )

    def _played(self, agent: Agent, told: Any) -> BatchResult:
        return run_virtual(self._read(agent, told))

    async def _read(self, agent: Agent, told: Any) -> BatchResult:
        self.events = []
        async with aclosing(told):
            async for event in told:
                self.events.append(event)
                if len(self.events) == self.stop_at:
                    agent.stop()
        last = self.events[-1]
        assert isinstance(last, RunFinished)
        return BatchResult(last.result)

    @property
    def journal(self) -> Path:
        """The journal of the one run."""
        (path,) = self.workspace.glob(".sunwell/runs/*/journal.jsonl")
        return path

    def records(self, kind: type[Record]) -> list[Any]:
        """Return the records of *kind* in the journal of the one run."""
        return [record for record in read_records(self.journal) if isinstance(record, kind)]
