"""Requests made again from a journal: byte for byte those that a provider received, for every kind of run.

The models are scripts of the simulator, and the calls are made over HTTP.
"""

import collections
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest

from sunwell.agent import Agent
from sunwell.agent.lifecycle.sent_requests import SentCall, sent_calls
from sunwell.budget import Budget
from sunwell.context import RunOptions, SessionContext
from sunwell.core import ToolCall
from sunwell.core.check import Checking, Verdict
from sunwell.core.task import TaskResult
from sunwell.events import RunFinished
from sunwell.gateway import RetryPolicy
from sunwell.journal import read_records
from sunwell.journal.records import Intent, RunClosed
from sunwell.models import anthropic_messages
from sunwell.models.connection import close_clients
from sunwell.models.registry import ModelRegistry
from sunwell.simulator import Asked, Fault, FaultRule, Reply, Script, Simulator
from sunwell.simulator.scripts import smart, steps
from sunwell.simulator.scripts.scripted_orchestrator import orchestrator, part_worker
from tests.scenarios.ladder_scripts import FileWriter, path_in
from tests.scenarios.test_bill import model

OPUS, SONNET, HAIKU = "claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5"


@attrs.define(eq=False)
class Provider:
    """A provider of scripted models that keeps what it receives, and a workspace."""

    sim: Simulator
    workspace: Path

    def agent(self) -> Agent:
        """Return an agent whose models are those of the provider."""
        return Agent(
            model=model(self.sim, "anthropic", HAIKU),
            smart_model=model(self.sim, "anthropic", OPUS),
            delegation_model=model(self.sim, "anthropic", HAIKU),
            registry=ModelRegistry(),
            retry=RetryPolicy(first_wait_seconds=0.01),
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
    def received(self) -> "collections.Counter[bytes]":
        """The bodies of all requests for answers, as they came."""
        return collections.Counter(request.raw for request in self.sim.requests if request.raw is not None)


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


def bodies_of(call: SentCall) -> set[bytes]:
    """Return the bodies that the adapter of the model makes of a request: streamed, and not streamed."""
    return {
        b"".join(anthropic_messages.encode_request(call.model, call.request, streaming=streaming))
        for streaming in (False, True)
    }


async def require_all(there: Provider, *journals: str | None) -> None:
    """Hold the requests that are made again from *journals* against those that the provider received."""
    made: list[SentCall] = []
    intents = 0
    for journal in journals:
        records = list(read_records(Path(journal or "")))
        sent = await sent_calls(records)
        assert sent.missing == ""
        made += sent.calls.values()
        intents += sum(isinstance(record, Intent) for record in records)
    assert all(call.agrees for call in made)
    wanted = there.received
    assert set().union(*(bodies_of(call) & wanted.keys() for call in made)) == wanted.keys()
    assert all(bodies_of(call) & wanted.keys() for call in made)


async def test_direct(tmp_path: Path) -> None:
    """A run of one model."""
    async with provider(tmp_path, steps(3)) as there:
        result = await there.run()
        await require_all(there, result.journal)


async def test_delegated(tmp_path: Path) -> None:
    """A run with a lens."""
    async with provider(tmp_path, steps(3)) as there:
        result = await there.run("Generate CRUD endpoints for 5 entities", enable_delegation=True)
        await require_all(there, result.journal)


async def test_orchestrated(tmp_path: Path) -> None:
    """A model hands the work out."""
    async with provider(tmp_path, part_worker((1,)), orchestrator(5)) as there:
        result = await there.run(orchestrate=True)
        await require_all(there, result.journal)


async def test_batch(tmp_path: Path) -> None:
    """Siblings."""
    async with provider(tmp_path, steps(2)) as there:
        result = await there.batch("one", "two", "three", "four", max_concurrent=2, enable_delegation=True)
        await require_all(there, result.journal)


async def is_right(checking: Checking) -> Verdict:
    """Check that the file of the task holds the right word."""
    assert checking.workspace is not None
    path = checking.workspace / path_in(checking.task)
    found = path.read_text().strip() if path.exists() else "nothing"
    return Verdict(found == "right", f"{path.name} holds {found}")


async def test_laddered(tmp_path: Path) -> None:
    """Up after failed checks."""
    async with provider(tmp_path, FileWriter(usually=5)) as there:
        result = await there.run("Write items/01.txt", escalate=True, worth_usd=100, checks=(is_right,))
        await require_all(there, result.journal)
