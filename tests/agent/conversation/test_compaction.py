"""A history that outgrows the window: stubs for old results, a stable prefix in between, and a resume."""

import json
from pathlib import Path
from typing import Any

import attrs
import pytest

from sunwell.agent import Agent
from sunwell.agent.conversation.compaction import FULL_AT, HistoryCut, compacted
from sunwell.budget.ledger_protocol import Budget
from sunwell.context.options import RunOptions
from sunwell.context.session import SessionContext
from sunwell.core import History, Message, ModelProtocol, Request, Text, ToolCall, ToolResult, user
from sunwell.core.price import Price
from sunwell.core.task import TaskResult
from sunwell.events import Event, HistoryCompacted, RunFinished
from sunwell.journal.places import JournalFiles
from sunwell.journal.records import Answer
from sunwell.models.registry import ModelRegistry
from sunwell.simulator import Asked, InProcessModel, Reply
from sunwell.simulator.scripts.conversation_state import ScriptedConversation

TURNS, FITTING = 400, 60
RESULT = "x" * 3_000


def conversation(turns: int, size: int = 500) -> History:
    """Return a conversation of *turns* turns with a result of *size* characters each."""
    messages = [user("the task")]
    for turn in range(turns):
        call = ToolCall(f"c{turn}", "read_file", "{}")
        messages.append(Message("assistant", (Text(f"turn {turn}"), call)))
        messages.append(Message("tool", (ToolResult(call.id, f"{turn} " + "y" * size),)))
    return History(messages)


def test_old_results_become_stubs_that_say_where_the_text_is() -> None:
    """The newest turns, the task and all that the model said stay as they are."""
    whole = conversation(10)
    shorter = compacted(whole, HistoryCut(4))
    assert len(shorter) == len(whole)
    assert shorter[0] == whole[0]
    assert shorter[-4:] == whole[-4:]
    assert [m for m in shorter if m.role == "assistant"] == [m for m in whole if m.role == "assistant"]
    stub = shorter[2].parts[0]
    assert isinstance(stub, ToolResult)
    assert stub.content == "[502 characters were left out here to save room; read_file can be called again]"
    assert stub.call_id == "c0"


def test_results_of_workers_are_found_in_the_scratchpad() -> None:
    """Their stub names the tool that gives them in full."""
    call = ToolCall("c", "await_results", "{}")
    result = Message("tool", (ToolResult("c", "z" * 900), Text("[Status, from the harness: turn 2 of 20.]")))
    history = History([user("t"), Message("assistant", (call,)), result, Message("assistant", (Text("a"),))])
    (stub,) = compacted(history, HistoryCut(1))[2].parts
    assert isinstance(stub, ToolResult)
    assert stub.content.endswith("inspect gives each result in full]")


@pytest.mark.parametrize(
    "result",
    [
        pytest.param(ToolResult("c", "n" * 200), id="short"),
        pytest.param(ToolResult("c", "n" * 900, is_error=True), id="error"),
    ],
)
def test_short_results_and_errors_stay(result: ToolResult) -> None:
    """A stub would save nothing, or hide what went wrong."""
    call = ToolCall("c", "read_file", "{}")
    history = History([user("t"), Message("assistant", (call,)), Message("tool", (result,))])
    assert compacted(history, HistoryCut(0)) == history


def test_compacting_twice_changes_nothing_more() -> None:
    """Stubs are left alone, so a prefix changes once."""
    once = compacted(conversation(10), HistoryCut(4, 200))
    assert compacted(once, HistoryCut(4, 200)) == once


@attrs.define(eq=False)
class Windowed:
    """A model with a window: it fails on a prompt that is too long for it, and keeps every prompt."""

    inner: InProcessModel
    window: int
    asked: list[Request] = attrs.field(factory=list)
    tokens: list[int] = attrs.field(factory=list)

    @property
    def name(self) -> str:
        return self.inner.name

    @property
    def price(self) -> Price:
        return attrs.evolve(self.inner.price, context_window=self.window)

    async def complete(self, request: Request) -> Any:
        completion = await self.inner.complete(request)
        self.asked.append(request)
        assert completion.usage is not None
        self.tokens.append(completion.usage.input_tokens)
        return completion

    def stream(self, request: Request) -> Any:
        raise NotImplementedError


def reading(turns: int) -> InProcessModel:
    """Return a model that reads a file at each of *turns* turns, and then answers."""

    def script(asked: Asked) -> Reply:
        done = ScriptedConversation.of(asked).turns
        if done >= turns or "read_file" not in asked.tools:
            return Reply((Text(f"read {done} times"),))
        arguments = {"path": f"f{done % 2}.txt", "start_line": None, "end_line": None}
        return Reply((ToolCall(f"c{done}", "read_file", json.dumps(arguments)),))

    return InProcessModel("claude-haiku-5-5", script)


def window_for(turns: int, folder: Path) -> int:
    """Return the window into which a run of *turns* turns just fits, the room for an answer included."""
    return turns * 850 + 1_000 + 500


async def run(
    model: ModelProtocol, folder: Path, resume: str = "", **budget: Any
) -> tuple[TaskResult, list[Event]]:
    """Begin or resume a run in *folder*, and return its result and events."""
    for number in range(2):
        (folder / f"f{number}.txt").write_text(RESULT)
    agent = Agent(model=model, registry=ModelRegistry())
    ceilings = Budget(turns=TURNS + 1, **budget)
    if resume:
        told = [event async for event in agent.resume(resume, workspace=folder, budget=ceilings)]
    else:
        options = RunOptions(budget=ceilings, max_output_tokens=500)
        told = [event async for event in agent.run(SessionContext.build(folder, "read", options=options))]
    last = told[-1]
    assert isinstance(last, RunFinished)
    return last.result, told


async def test_four_hundred_turns_fit_into_a_window_for_sixty(tmp_path: Path) -> None:
    """No prompt is longer than the window, and between compactions each begins with the one before."""
    window = window_for(FITTING, tmp_path)
    model = Windowed(reading(TURNS), window)
    result, events = await run(model, tmp_path)
    assert (result.status, result.answer) == ("ok", f"read {TURNS} times")
    assert max(model.tokens) <= window - 500
    assert max(model.tokens) > window * FULL_AT * 0.9
    told = [event for event in events if isinstance(event, HistoryCompacted)]
    broken = [
        number
        for number, (before, after) in enumerate(zip(model.asked, model.asked[1:], strict=False), 1)
        if after.messages[: len(before.messages)] != before.messages[:]
    ]
    assert broken == [event.turn for event in told]
    assert 1 <= len(told) <= 25
    cached = result.bill.usage.cache_read_tokens / result.bill.usage.input_tokens
    assert cached > 0.85


async def test_a_compacted_run_resumes_with_no_answered_call_asked_again(tmp_path: Path) -> None:
    """The prompts of the resumed run are those that were answered."""
    window = window_for(20, tmp_path)
    first, told = await run(Windowed(reading(120), window), tmp_path, calls=80)
    assert (first.status, first.stop_reason) == ("incomplete", "calls")
    assert any(isinstance(event, HistoryCompacted) for event in told)
    again = Windowed(reading(120), window)
    result, _ = await run(again, tmp_path, resume=first.run_id, calls=500)
    assert (result.status, result.answer) == ("ok", "read 120 times")
    assert len(again.asked) <= 121 - 78
    answers = [
        (one.span, one.number)
        for one in JournalFiles().read(tmp_path, first.run_id).records()
        if isinstance(one, Answer)
    ]
    assert len(answers) == len(set(answers))


async def test_what_no_stub_can_make_short_enough_ends_with_a_closing_call(tmp_path: Path) -> None:
    """The work says what it has, with the true reason."""

    def talker(asked: Asked) -> Reply:
        done = ScriptedConversation.of(asked).turns
        if "Stop here" in asked.messages[-1].text or done > 90:
            return Reply((Text("what I have"),))
        arguments = {"path": "f0.txt", "start_line": 1, "end_line": 1}
        words = Text(f"{done} " + "thought " * 200)
        return Reply((words, ToolCall(f"c{done}", "read_file", json.dumps(arguments))))

    model = Windowed(InProcessModel("claude-haiku-5-5", talker), 12_000)
    (tmp_path / "f0.txt").write_text("short")
    result, _ = await run(model, tmp_path)
    assert (result.status, result.stop_reason) == ("incomplete", "window")
    assert result.answer == "what I have"
    assert max(model.tokens) < 12_000
