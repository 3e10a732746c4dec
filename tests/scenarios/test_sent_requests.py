"""Requests made again from a journal: byte for byte those that a provider received, for every kind of run.

The models are scripts of the simulator, and the calls are made over HTTP.
"""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest

from sunwell.agent import Agent
from sunwell.agent.lifecycle.sent_requests import SentCall, sent_call, sent_calls
from sunwell.budget import Budget
from sunwell.context import RunOptions, SessionContext
from sunwell.core.check import Checking, Verdict
from sunwell.core.task import TaskResult
from sunwell.gateway import RetryPolicy
from sunwell.journal import read_records
from sunwell.journal.records import Intent
from sunwell.models import anthropic_messages
from sunwell.models.connection import close_clients
from sunwell.models.registry import ModelRegistry
from sunwell.simulator import Asked, Fault, FaultRule, Reply, Script, Simulator
from sunwell.simulator.scripts import smart, steps
from sunwell.simulator.scripts.scripted_orchestrator import orchestrator, part_worker
from tests.scenarios.ladder_scripts import FileWriter, path_in
from tests.scenarios.test_bill import TASK, model

OPUS, SONNET, HAIKU = "claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5"


@attrs.define(eq=False)
class Provider:
    """A provider of scripted models that keeps what it receives, and a workspace."""

    sim: Simulator
    workspace: Path

    def agent(self) -> Agent:
        """Return an agent whose models are those of the provider."""
        return Agent(
            smart_model=model(self.sim, "anthropic", OPUS),
            delegation_model=model(self.sim, "anthropic", HAIKU),
            registry=ModelRegistry(),
            retry=RetryPolicy(attempts=2, first_wait_seconds=0.01),
        )

    async def run(self, task: str = "Do the work.", **options: Any) -> TaskResult:
        """Return the result of a run with these options."""
        session = SessionContext.build(self.workspace, task, options=RunOptions(**options))
        return await self.agent().run(session)

    async def batch(self, *tasks: str, **options: Any) -> TaskResult:
        """Return the result of a batch."""
        events = self.agent().batch_events(tasks, workspace=self.workspace, options=RunOptions(**options))
        return await events

    @property
    def received(self) -> set[bytes]:
        """The bodies of all requests for answers, without what is not in a journal."""
        return {told(request.raw) for request in self.sim.requests if request.raw is not None}


_CACHING = re.compile(rb',?"cache_control":\{[^}]*\}|,"stream":true')


def told(body: bytes) -> bytes:
    """Return *body* without the marks of what to cache, which are decided anew by each process, and without
    the wish for a stream."""
    return _CACHING.sub(b"", body)


@asynccontextmanager
async def provider(
    workspace: Path, cheap: Script, best: Script = smart, *rules: FaultRule
) -> AsyncIterator[Provider]:
    """Start a provider of two models."""
    async with Simulator({HAIKU: cheap, OPUS: best}, keep_bodies=True, faults=rules) as sim:
        try:
            yield Provider(sim, workspace)
        finally:
            await close_clients()


def body_of(call: SentCall) -> bytes:
    """Return the body that the adapter of the model makes of the request of *call*."""
    return told(b"".join(anthropic_messages.encode_request(call.model, call.request, streaming=False)))


async def require_all(there: Provider, *journals: str | None) -> None:
    """Hold the requests that are made again from *journals* against those that the provider received."""
    made: set[bytes] = set()
    for journal in journals:
        records = list(read_records(Path(journal or "")))
        sent = await sent_calls(records)
        assert sent.missing == ""
        intents = {(one.span, one.number) for one in records if isinstance(one, Intent)}
        assert sent.calls.keys() == intents
        assert all(call.agrees for call in sent.calls.values())
        made |= {body_of(call) for call in sent.calls.values()}
    assert made == there.received


async def test_direct(tmp_path: Path) -> None:
    """A run of one model."""
    async with provider(tmp_path, steps(3), steps(3)) as there:
        result = await there.run()
        await require_all(there, result.journal)


async def test_delegated(tmp_path: Path) -> None:
    """A model looks around and writes a lens, and another one works under it."""
    (tmp_path / "a.py").write_text("def f():\n    return 1\n" * 20)
    async with provider(tmp_path, steps(3)) as there:
        result = await there.run(TASK, enable_delegation=True)
        assert result.lens is not None
        await require_all(there, result.journal)


async def test_only_a_lens(tmp_path: Path) -> None:
    """The run ends with its lens."""
    async with provider(tmp_path, steps(3)) as there:
        result = await there.agent().lens_events(SessionContext.build(tmp_path, TASK))
        assert result.lens is not None
        await require_all(there, result.journal)


async def test_orchestrated(tmp_path: Path) -> None:
    """A model hands the work out; one of its workers fails, and another one does its part."""
    async with provider(tmp_path, part_worker((1,)), orchestrator(5)) as there:
        result = await there.run(orchestrate=True, max_concurrent=2)
        assert len(result.workers) == 6
        await require_all(there, result.journal)


async def test_batch(tmp_path: Path) -> None:
    """Siblings under one lens."""
    async with provider(tmp_path, steps(2)) as there:
        result = await there.batch("one", "two", "three", "four", max_concurrent=2, enable_delegation=True)
        assert len(result.workers) == 4
        await require_all(there, result.journal)


async def is_right(checking: Checking) -> Verdict:
    """Check that the file of the task holds the right word."""
    assert checking.workspace is not None
    path = checking.workspace / path_in(checking.task)
    found = path.read_text().strip() if path.exists() else "nothing"
    return Verdict(found == "right", f"{path.name} holds {found}")


def best_on_a_ladder(asked: Asked) -> Reply:
    """Write a lens, or do it wrong."""
    return smart(asked) if asked.schema is not None else FileWriter(usually=9)(asked)


def cheap_on_a_ladder(asked: Asked) -> Reply:
    """Do it right under a lens."""
    has_lens = "Change nothing that the task does not ask for." in asked.system
    return FileWriter(usually=0 if has_lens else 9)(asked)


async def climbed(there: Provider) -> TaskResult:
    """Return the result of a task that nobody does right but the cheap model under a lens, at last."""
    given = {"escalate": True, "worth_usd": 1_000, "checks": (is_right,)}
    result = await there.run("Write items/01.txt", **given)
    assert {name for name, _ in result.bill.split("rung")} == {"cheap", "cheap_again", "smart", "lens"}
    return result


async def test_laddered(tmp_path: Path) -> None:
    """Each rung asks in its own way."""
    async with provider(tmp_path, cheap_on_a_ladder, best_on_a_ladder) as there:
        result = await climbed(there)
        await require_all(there, result.journal)


async def resumed(there: Provider) -> TaskResult:
    """Return the result of a run that a limit ended, and that was then given more room and other words."""
    first = await there.run(budget=Budget(turns=2))
    assert first.status == "incomplete"
    second = await there.agent().resume(
        first.run_id,
        workspace=there.workspace,
        budget=Budget(turns=9),
        given={"system_prompt": "Be brief."},
        accept_changes=True,
    )
    assert second.status == "ok"
    return second


async def test_resumed_on_other_terms(tmp_path: Path) -> None:
    """Each process asked in its own way, and both ends were asked for."""
    async with provider(tmp_path, steps(4), steps(4)) as there:
        result = await resumed(there)
        await require_all(there, result.journal)


async def test_forked_and_continued(tmp_path: Path) -> None:
    """A fork has what was copied, and a run that goes on has the whole conversation."""
    async with provider(tmp_path, steps(3)) as there:
        first = await there.run(TASK, enable_delegation=True)
        forked = await there.agent().fork(first.run_id, "run/work:1", workspace=tmp_path, accept_changes=True)
        on = await there.agent().continue_run(forked.run_id, "And now?", workspace=tmp_path)
        await require_all(there, first.journal, forked.journal, on.journal)


async def test_tried_again_and_failed(tmp_path: Path) -> None:
    """Attempts that came to nothing had the same request; the last call fails for good."""
    rules = [FaultRule(Fault(status=500), numbers=(1, 4, 5))]
    async with provider(tmp_path, steps(9), steps(9), *rules) as there:
        result = await there.run()
        assert result.status == "error"
        await require_all(there, result.journal)


async def test_a_judge_is_not_asked_again(tmp_path: Path) -> None:
    """What it was shown depends on files: its request is missing, and a sentence says so."""
    async with provider(tmp_path, steps(3), steps(3)) as there:
        result = await there.run(judge="The work is done.")
        sent = await sent_calls(read_records(Path(result.journal or "")))
        assert len(sent.calls) == len(there.received) - 2
        assert sent.missing == (
            "2 of 6 requests could not be made again. What a judge was shown depends on files, which the "
            "journal does not hold."
        )


async def require_prefixes(journal: str | None) -> int:
    """Hold a run that was killed after any of its records against what was under way or over by then."""
    records = list(read_records(Path(journal or "")))
    whole = (await sent_calls(records)).calls
    for end in range(1, len(records) + 1):
        begun = {(one.span, one.number) for one in records[:end] if isinstance(one, Intent)}
        sent = await sent_calls(records[:end])
        assert (end, sent.missing, sent.calls.keys()) == (end, "", begun)
        assert all(call.agrees and call.request == whole[place].request for place, call in sent.calls.items())
    for place, call in whole.items():
        alone = await sent_call(records, place)
        assert alone.missing == ""
        assert {at: one.request for at, one in alone.calls.items()} == {place: call.request}
    return len(records)


async def delegated(there: Provider) -> TaskResult:
    """Return the result of a run with a lens."""
    return await there.run(TASK, enable_delegation=True)


async def orchestrated(there: Provider) -> TaskResult:
    """Return the result of a run that hands its work out."""
    return await there.run(orchestrate=True)


async def batched(there: Provider) -> TaskResult:
    """Return the result of a batch."""
    return await there.batch("one", "two", "three", max_concurrent=2)


@pytest.mark.parametrize(
    ("cheap", "best", "made"),
    [
        pytest.param(steps(2), smart, delegated, id="delegated"),
        pytest.param(part_worker((1,)), orchestrator(2), orchestrated, id="orchestrated"),
        pytest.param(steps(2), steps(2), batched, id="batch"),
        pytest.param(cheap_on_a_ladder, best_on_a_ladder, climbed, id="laddered"),
        pytest.param(steps(3), steps(3), resumed, id="resumed"),
    ],
)
async def test_killed(
    tmp_path: Path, cheap: Script, best: Script, made: Callable[[Provider], Awaitable[TaskResult]]
) -> None:
    """A run that a kill cut off at any record has the requests that were sent by then."""
    async with provider(tmp_path, cheap, best) as there:
        result = await made(there)
    records = list(read_records(Path(result.journal or "")))
    whole = (await sent_calls(records)).calls
    assert len(whole) > 3
    for end in range(1, len(records) + 1):
        begun = {(one.span, one.number) for one in records[:end] if isinstance(one, Intent)}
        sent = await sent_calls(records[:end])
        assert (end, sent.missing, sent.calls.keys()) == (end, "", begun)
        for place, call in sent.calls.items():
            assert (end, place, call) == (end, place, whole[place])
    for place, call in whole.items():
        assert (await sent_call(records, place)).calls == {place: call}
