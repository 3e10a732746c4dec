"""What observers are told of calls and runs: what they came to, where, and every end."""

import asyncio
import json
from decimal import Decimal
from typing import Any

import pytest

from sunwell.agent.loop import AgentLoop, LoopConfig
from sunwell.agent.run.run_context import Run
from sunwell.core import Budget, Price, Rates, ToolCall, Usage
from sunwell.errors import BadAnswer, JournalError, ServerFailed
from sunwell.events import (
    MODEL_CONTENT,
    TOOL_CONTENT,
    Event,
    ModelCallFinished,
    ModelCallStarted,
    ModelContent,
    RunFailed,
    RunFinished,
    RunStarted,
    ToolCallFinished,
    ToolCallStarted,
    ToolContent,
    run_of_event,
)
from sunwell.gateway import RetryPolicy
from sunwell.journal.memory import MemoryJournal
from sunwell.journal.records import RunOpened
from sunwell.models.anthropic_messages import AnthropicModel
from sunwell.models.connection import Connection
from sunwell.testing import ScriptedModel, completion, run_virtual
from sunwell.tools import tool

PRICE = Price(Rates(Decimal(1), Decimal(10)), source="test", date="2026-11-01")


@tool
async def wait(seconds: int) -> str:
    """Wait."""
    await asyncio.sleep(seconds)
    return "waited"


def waiting(seconds: int, call_id: str = "c") -> ToolCall:
    """Return a call that waits."""
    return ToolCall(call_id, "wait", json.dumps({"seconds": seconds}))


def told_of(loop: AgentLoop, kind: type) -> list[Any]:
    """Return the events of one kind of a run on a virtual clock."""

    async def main() -> list[Event]:
        return [event async for event in loop.run("Wait a moment", (wait,))]

    return [event for event in run_virtual(main()) if isinstance(event, kind)]


def test_a_call_says_what_all_its_attempts_came_to() -> None:
    """One was billed and broke off, one may have been billed, the last one answered."""
    billed = completion("On.", usage=Usage(1_000, 100))
    lines = [
        BadAnswer("haiku", "cut", may_be_billed=True, retry=True, answer=billed),
        ServerFailed("haiku", "down", may_be_billed=True, retry=True),
        completion("Done.", usage=Usage(500, 50)),
    ]
    config = LoopConfig(retry=RetryPolicy(), max_output_tokens=400)
    [event] = told_of(AgentLoop(ScriptedModel("haiku", lines, PRICE), config=config), ModelCallFinished)
    assert event.cost_usd == Decimal("0.001")
    assert event.booked_usd == Decimal("0.003")
    assert event.booked_usage == Usage(1_500, 150)
    assert event.uncertain_usd == event.reserved_usd > 0
    assert (event.max_output_tokens, event.answered_by, event.error_kind) == (400, "haiku", "")


def test_a_call_that_fails_says_so_with_its_class_and_its_cost() -> None:
    """The cost of an answer that could not be used is in the bill, and in the event."""
    billed = completion("On.", usage=Usage(1_000, 100))
    model = ScriptedModel("haiku", [BadAnswer("haiku", "cut", may_be_billed=True, answer=billed)], PRICE)
    [event] = told_of(AgentLoop(model), ModelCallFinished)
    assert (event.error_kind, event.booked_usd, event.cost_usd) == ("BadAnswer", Decimal("0.002"), None)


async def test_a_call_names_its_server() -> None:
    """By host and port, with the id that the provider gets; a model without an address names none."""
    told = []
    for model in (
        AnthropicModel(
            "claude-haiku-5-5", Connection("anthropic", "http://127.0.0.1:9/v1", "k"), name="quick"
        ),
        ScriptedModel("haiku", ["Done."], PRICE),
    ):
        events = AgentLoop(model, config=LoopConfig(retry=RetryPolicy())).run("Say it", ())
        told.append(await anext(event async for event in events if isinstance(event, ModelCallStarted)))
        await events.aclose()
    first, second = told
    assert (first.model, first.model_id, first.provider) == ("quick", "claude-haiku-5-5", "anthropic")
    assert (first.address, first.port) == ("127.0.0.1", 9)
    assert (second.model_id, second.provider, second.address, second.port) == ("", "", "", None)


def test_tool_calls_say_which_they_are() -> None:
    """By the model's id, the turn and the place in it."""
    lines = [completion(waiting(1, "a"), waiting(2, "b")), completion(waiting(1, "c")), "Done."]
    loop = AgentLoop(ScriptedModel("haiku", lines, PRICE))
    for kind in (ToolCallStarted, ToolCallFinished):
        loop.model.lines[:] = lines  # type: ignore[attr-defined]
        told = [(one.call_id, one.turn, one.index) for one in told_of(loop, kind)]
        assert told == [("a", 0, 0), ("b", 0, 1), ("c", 1, 0)]


def test_a_tool_call_that_is_broken_off_has_its_end() -> None:
    """The time limit of the run comes while it works."""
    lines = [completion(waiting(25)), "Not done."]
    config = LoopConfig(budget=Budget(seconds=20))
    [event] = told_of(AgentLoop(ScriptedModel("haiku", lines, PRICE), config=config), ToolCallFinished)
    assert event.is_error
    assert (event.error, event.error_kind) == ("it was cancelled", "CancelledError")
    assert event.duration_seconds == pytest.approx(20, abs=5)


class BrokenJournal(MemoryJournal):
    """A journal that takes no answer."""

    async def append(self, record: Any, *, durable: Any = True) -> None:
        if record.kind == "answer":
            raise JournalError("the disk is full")
        await super().append(record, durable=durable)


def test_a_run_that_ends_with_an_error_has_an_end() -> None:
    """It is the last event before the error, in place of the usual one, with what the run came to."""
    told: list[Event] = []
    keep = told.append  # what came before the error counts

    async def read(run: Run, loop: AgentLoop) -> None:
        async with loop.events_of(run) as events:
            async for event in events:
                keep(event)

    async def main() -> None:
        loop = AgentLoop(ScriptedModel("haiku", ["Done."], PRICE))
        run = Run(loop, BrokenJournal("r"), task="Say it", config=loop.config)
        await run.journal.append(RunOpened("r", "Say it", 0.0))
        with pytest.raises(JournalError):
            await read(run, loop)

    run_virtual(main())
    assert isinstance(told[0], RunStarted)
    assert not any(isinstance(event, RunFinished) for event in told)
    last = told[-1]
    assert isinstance(last, RunFailed)
    assert (last.run_id, last.kind) == ("r", "JournalError")
    assert last.result is not None
    assert last.result.stop_reason == "not_recorded"


def test_texts_go_to_receivers_alone() -> None:
    """They are made only if somebody is connected, who is told which run they are of."""
    heard: list[tuple[str, Event]] = []

    def hear(_: object, event: Event) -> None:
        heard.append((run_of_event(), event))

    lines = [completion("Wait.", waiting(1)), "Done."]
    MODEL_CONTENT.connect(hear)
    TOOL_CONTENT.connect(hear)
    loop = AgentLoop(ScriptedModel("haiku", lines, PRICE))
    told = told_of(loop, Event)
    assert not any(isinstance(event, ModelContent | ToolContent) for event in told)
    assert {run_id for run_id, _ in heard} == {told[0].run_id}
    first, tools, last = (event for _, event in heard)
    assert isinstance(first, ModelContent)
    assert first.messages[0].text.startswith("Wait a moment")
    assert [part.part for part in first.answer] == ["text", "toolcall"]
    assert isinstance(tools, ToolContent)
    assert (json.loads(tools.arguments), tools.result) == ({"seconds": 1}, "waited")
    assert isinstance(last, ModelContent)
    assert len(last.messages) == 3
    assert run_of_event() == ""
