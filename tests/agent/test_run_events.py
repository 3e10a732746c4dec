"""A run gives its events to who iterates and its result to who awaits."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import pytest

from sunwell import Agent, RunOptions, SessionContext
from sunwell.agent.orchestrator import Orchestrator
from sunwell.agent.run.run_context import EventStream, RunEvents
from sunwell.core import Completion, Request, ToolCall
from sunwell.errors import ConfigurationError, JournalError
from sunwell.events import (
    MODEL_CALL_FINISHED,
    MODEL_CALL_STARTED,
    TOOL_CALL_FINISHED,
    TOOL_CALL_STARTED,
    Event,
    ModelCallStarted,
    RunFinished,
    RunStarted,
    Warned,
)
from sunwell.journal import find_run, read_records
from sunwell.journal.records import RunClosed
from sunwell.testing import Line, ScriptedModel, completion


@attrs.define(eq=False)
class SilentModel(ScriptedModel):
    """A model that never answers, and says when it is asked."""

    name: str = "silent"
    lines: list[Line] = attrs.field(factory=list)
    is_asked: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)

    async def complete(self, request: Request) -> Completion:
        """Wait until the call is cancelled."""
        self.is_asked.set()
        await asyncio.Event().wait()
        raise AssertionError


def session(workspace: Path) -> SessionContext:
    """Return a session with nothing special about it."""
    return SessionContext.build(workspace, "Say hello")


async def test_a_run_is_awaited_for_its_result(tmp_path: Path) -> None:
    """``await agent.run(session)`` is ``await agent.result(session)``."""
    agent = Agent(model=ScriptedModel("m", ["Hello.", "Hello again."]))
    assert (await agent.run(session(tmp_path))).answer == "Hello."
    assert (await agent.result(session(tmp_path))).answer == "Hello again."


AGAIN: dict[str, Callable[[Agent, str, Path], RunEvents]] = {
    "resume": lambda agent, run_id, place: agent.resume(run_id, workspace=place),
    "replay": lambda agent, run_id, place: agent.replay(run_id, workspace=place),
    "fork": lambda agent, run_id, place: agent.fork(run_id, "run/direct", workspace=place),
}


@pytest.mark.parametrize("way", AGAIN)
async def test_what_goes_on_from_a_record_is_awaited_alike(way: str, tmp_path: Path) -> None:
    """Resume, replay and fork give events to who iterates, and the same result to who awaits."""
    agent = Agent(model=ScriptedModel("m", ["Hello.", *(["Hello."] * 2 if way == "fork" else [])]))
    first = await agent.run(session(tmp_path))
    last = [event async for event in AGAIN[way](agent, first.run_id, tmp_path)][-1]
    assert isinstance(last, RunFinished)
    awaited = await AGAIN[way](agent, first.run_id, tmp_path)
    assert last.result.answer == awaited.answer == first.answer
    assert (awaited.run_id == first.run_id) is (way != "fork")


async def test_a_batch_is_awaited_as_a_whole(tmp_path: Path) -> None:
    """``batch`` gives the results in order; who awaits its events gets the run that holds them."""
    agent = Agent(model=ScriptedModel("m", ["one", "two"] * 2))
    options = RunOptions(max_concurrent=1)
    results = await agent.batch(["a", "b"], workspace=tmp_path, options=options)
    whole = await agent.batch_events(["a", "b"], workspace=tmp_path, options=options)
    assert [one.answer for one in results] == [one.answer for one in whole.workers] == ["one", "two"]


async def test_an_orchestrators_run_is_awaited_alike(tmp_path: Path) -> None:
    """A subclass that changes the session changes nothing of this."""
    result = await Orchestrator(smart_model=ScriptedModel("m", ["Done."])).run(session(tmp_path))
    assert result.answer == "Done."


async def test_nothing_begins_before_somebody_reads(tmp_path: Path) -> None:
    """A call alone opens no journal and leaves nothing to be awaited."""
    agent = Agent(model=ScriptedModel("m", []))
    agent.run(session(tmp_path))
    agent.resume("0", workspace=tmp_path)
    assert not (tmp_path / ".sunwell").exists()


async def test_errors_are_raised_to_who_awaits(tmp_path: Path) -> None:
    """The same ones as to who iterates."""
    agent = Agent(model=ScriptedModel("m", []))
    with pytest.raises(JournalError):
        await agent.resume("0", workspace=tmp_path)
    with pytest.raises(ConfigurationError, match="the batch is empty"):
        await agent.batch_events([], workspace=tmp_path)


async def test_events_first_and_then_the_result(tmp_path: Path) -> None:
    """Who has read some events may await the rest, and ask for the result as often as wanted."""
    events = Agent(model=ScriptedModel("m", ["Hello."])).run(session(tmp_path))
    async for event in events:
        if isinstance(event, ModelCallStarted):
            break
    assert (await events).answer == "Hello."
    assert await events is await events.result()
    assert [event async for event in events] == []


async def test_a_stream_that_was_closed_early_has_no_result(tmp_path: Path) -> None:
    """It says so in place of waiting or of making a result up."""
    async with Agent(model=ScriptedModel("m", ["Hello."])).run(session(tmp_path)) as events:
        assert isinstance(await anext(events), RunStarted)
    with pytest.raises(RuntimeError, match="closed before the run ended"):
        await events


async def test_closing_stops_a_run_that_another_task_reads(tmp_path: Path) -> None:
    """The call in flight is given up, the journal is free at once, and the reader is told why it ends."""
    model = SilentModel()
    events = Agent(model=model).run(session(tmp_path))
    started = await anext(events)
    assert isinstance(started, RunStarted)
    reader = asyncio.create_task(events.result())
    await model.is_asked.wait()
    await events.aclose()
    with pytest.raises(RuntimeError, match="closed before the run ended"):
        await reader
    again = Agent(model=ScriptedModel("silent", ["Hello."])).resume(started.run_id, workspace=tmp_path)
    assert (await again).answer == "Hello."


async def test_who_gives_up_waiting_leaves_the_run_to_who_reads_it(tmp_path: Path) -> None:
    """Two tasks await one run: the cancelled one is cancelled, and the other gets the result."""
    events = Agent(model=ScriptedModel("m", ["Hello."])).run(session(tmp_path))
    reader, waiting = (asyncio.create_task(events.result()) for _ in range(2))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert (await reader).answer == "Hello."


def test_the_result_is_a_coroutine_for_who_needs_one(tmp_path: Path) -> None:
    """``asyncio.run`` takes nothing else before Python 3.14."""
    agent = Agent(model=ScriptedModel("m", ["Hello."]))
    assert asyncio.run(agent.run(session(tmp_path)).result()).answer == "Hello."


async def test_leaving_an_agent_ends_the_run_that_nobody_reads_any_more(tmp_path: Path) -> None:
    """Its journal is closed, so it can be taken up at once; who comes back finds the end of it."""
    async with Agent(model=ScriptedModel("m", ["Never asked for."])) as agent:
        events = agent.run(session(tmp_path))
        started = await anext(events)
        assert isinstance(started, RunStarted)
    last = [event async for event in events][-1]
    assert isinstance(last, RunFinished)
    assert (last.result.status, last.result.stop_reason) == ("cancelled", "cancelled")
    assert (await events).status == "cancelled"
    again = Agent(model=ScriptedModel("m", ["Never asked for."])).resume(started.run_id, workspace=tmp_path)
    assert (await again).status == "ok"


async def test_leaving_an_agent_stops_a_run_that_another_task_reads(tmp_path: Path) -> None:
    """The call in flight is booked as uncertain, and the reader gets the cancelled result."""
    model = SilentModel()
    async with Agent(model=model) as agent:
        reader = asyncio.create_task(agent.result(session(tmp_path)))
        await model.is_asked.wait()
    result = await reader
    assert result.status == "cancelled"
    assert [line.uncertain_calls for line in result.bill.models] == [1]


async def test_leaving_an_agent_stops_a_run_that_is_just_beginning(tmp_path: Path) -> None:
    """Also one whose journal is not open yet."""
    async with Agent(model=ScriptedModel("m", ["Never asked for."])) as agent:
        reader = asyncio.create_task(agent.result(session(tmp_path)))
        await asyncio.sleep(0)
    assert (await reader).status == "cancelled"


async def test_a_run_that_is_left_at_a_warning_before_its_first_step_has_an_end(tmp_path: Path) -> None:
    """What is found on the way is told before the work begins; nobody is asked."""
    options = RunOptions(delegation_model=ScriptedModel("w", []))  # which nothing uses
    model = ScriptedModel("m", ["Never asked for."])
    async with Agent(model=model).run(SessionContext.build(tmp_path, "Say hello", options)) as events:
        assert isinstance(await anext(events), Warned)
    *_, last = read_records(find_run(tmp_path, "last").path)
    assert isinstance(last, RunClosed)
    assert (last.status, model.calls) == ("cancelled", [])


async def test_a_run_that_is_stopped_before_its_first_step_asks_nobody(tmp_path: Path) -> None:
    """Also if nothing holds it up: its result alone is awaited, and the model answers at once."""
    model = ScriptedModel("m", ["Never asked for."])
    agent = Agent(model=model)
    reader = asyncio.create_task(agent.result(session(tmp_path)))
    await asyncio.sleep(0)
    agent.stop()
    assert ((await reader).status, model.calls) == ("cancelled", [])


async def test_leaving_an_agent_waits_for_a_stream_that_was_dropped(tmp_path: Path) -> None:
    """The event loop closes it; the journal is free once the agent is left."""
    async with Agent(model=ScriptedModel("m", ["Never asked for."])) as agent:
        async for event in agent.run(session(tmp_path)):
            assert isinstance(event, RunStarted)
            break
    again = Agent(model=ScriptedModel("m", ["Hello."])).resume(event.run_id, workspace=tmp_path)
    assert (await again).answer == "Hello."


async def test_an_agent_that_was_left_works_again(tmp_path: Path) -> None:
    """Leaving ends what is going on, and forbids nothing."""
    agent = Agent(model=ScriptedModel("m", ["one", "two"]))
    async with agent:
        assert (await agent.run(session(tmp_path))).answer == "one"
    async with agent:
        assert (await agent.run(session(tmp_path))).answer == "two"


async def test_a_run_ends_after_fifty_turns_and_a_batch_has_them_for_each_task(tmp_path: Path) -> None:
    """Nobody named a limit: one model that works alone has one, and a batch as a whole has none."""
    (tmp_path / "a.txt").write_text("1\n")
    turn = completion(ToolCall("c", "read_file", '{"path": "a.txt", "start_line": null, "line_count": null}'))
    alone = await Agent(model=ScriptedModel("m", [turn] * 60)).run(session(tmp_path))
    assert (alone.stop_reason, alone.turns) == ("turns", 50)
    agent = Agent(model=ScriptedModel("m", ["Done."] * 60))
    results = await agent.batch([f"Task {n}" for n in range(51)], workspace=tmp_path)
    assert [one.status for one in results] == ["ok"] * 51


async def test_who_hears_of_calls_gets_each_event_whoever_awaits_the_result(tmp_path: Path) -> None:
    """Who awaits a result needs none; a receiver of a signal gets each, and so does who iterates."""
    made: list[str] = []

    def lines() -> list[Line]:
        return [completion(ToolCall("1", "list_files", '{"path": ".", "depth": 1}')), "Done."]

    async def result_of() -> str:
        return (await Agent(model=ScriptedModel("m", lines())).run(session(tmp_path))).answer

    def hear(sender: object, *, event: Event) -> None:
        made.append(type(event).__name__)

    assert await result_of() == "Done."
    assert made == []
    signals = (MODEL_CALL_STARTED, MODEL_CALL_FINISHED, TOOL_CALL_STARTED, TOOL_CALL_FINISHED)
    for signal in signals:
        signal.connect(hear)
    try:
        assert await result_of() == "Done."
    finally:
        for signal in signals:
            signal.disconnect(hear)
    call, tool = ["ModelCallStarted", "ModelCallFinished"], ["ToolCallStarted", "ToolCallFinished"]
    assert made == [*call, *tool, *call]
    run = Agent(model=ScriptedModel("m", lines())).run(session(tmp_path))
    seen = [type(event).__name__ async for event in run]
    assert [name for name in seen if name in made] == made


@pytest.mark.parametrize("reads_first", [False, True])
async def test_no_event_is_wanted_of_a_run_whose_result_alone_is_awaited(
    tmp_path: Path, reads_first: bool
) -> None:
    """From its first event on; who has begun to read gets the events until the result is awaited."""
    result = await Agent(model=ScriptedModel("m", ["Done."])).run(session(tmp_path))
    stream = EventStream()
    wanted: list[bool] = []

    @asynccontextmanager
    async def begin() -> AsyncIterator[EventStream]:
        working = asyncio.create_task(work())
        yield stream
        await working

    async def work() -> None:
        await asyncio.sleep(0)
        for _ in range(2):
            wanted.append(stream.takes_all)
            stream.put(Warned("one"))
            await stream.hold()
        stream.put(RunFinished("r", result))
        stream.end()

    events = RunEvents(begin)
    if reads_first:
        assert await anext(events) == Warned("one")
    assert await events is result
    assert wanted == [reads_first, False]
