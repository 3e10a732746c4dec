"""The end of work that met a limit: what the last call is asked, and whose words the answer is."""

import json
from typing import Any

import pytest

from sunwell.agent.loop import AgentLoop, LoopConfig
from sunwell.agent.run.composed_answer import COMPOSED
from sunwell.budget.ledger_protocol import Budget
from sunwell.context.options import RunOptions
from sunwell.core import Price, Rates, Text, ToolCall
from sunwell.core.model import Caching
from sunwell.core.task import TaskResult
from sunwell.errors import ServerFailed
from sunwell.events import HistoryCompacted, RunFinished
from sunwell.report.summary import summarize
from sunwell.testing import ScriptedModel, completion, run_virtual
from sunwell.tools import tool

PRICE = Price(Rates(1, 10), source="test", date="2026-11-01")
READ = completion(Text("I read the module. The bug is in `parse`."), ToolCall("c1", "look", "{}"))


@tool(parallel=True, repeatable=True)
async def look() -> str:
    """Look at the module."""
    return "def parse(): ..."


def ended(*lines: Any, **config: Any) -> TaskResult:
    """Return the result of a run whose model says *lines*."""
    loop = AgentLoop(ScriptedModel("opus", list(lines), price=PRICE), config=LoopConfig(**config))

    async def main() -> TaskResult:
        events = [event async for event in loop.run("Find the bug", (look,))]
        assert isinstance(events[-1], RunFinished)
        return events[-1].result

    return run_virtual(main())


def test_an_answer_of_the_last_call_is_the_models() -> None:
    """Nothing is added to it, and the limit is the reason of the end."""
    result = ended(READ, "The bug is in `parse`. It is not mended.", budget=Budget(turns=1))
    assert result.answer == "The bug is in `parse`. It is not mended."
    assert (result.status, result.stop_reason, result.answer_by) == ("incomplete", "turns", "model")


@pytest.mark.parametrize(
    ("last", "words"),
    [
        pytest.param(completion(""), "said last:\n\n> I read the module.", id="empty"),
        pytest.param(
            completion("The bug is", stop="length"), "This is its beginning:\n\n> The bug is", id="cut"
        ),
        pytest.param(
            completion(Text("I look again."), ToolCall("c2", "look", "{}")),
            "said last:\n\n> I look again.",
            id="calls a tool although none may be called",
        ),
        pytest.param(ServerFailed("opus", "down"), "said last:\n\n> I read the module.", id="failed"),
    ],
)
def test_without_a_whole_answer_the_harness_composes_one_and_says_so(last, words) -> None:
    """Its first line and a field of the result say whose it is; the true limit stays the reason."""
    result = ended(READ, last, *[last] * 5, budget=Budget(turns=1))
    assert (result.status, result.stop_reason, result.answer_by) == ("incomplete", "turns", "harness")
    assert result.answer.splitlines()[0] == COMPOSED
    assert words in result.answer
    assert "The task was not finished: " in result.answer


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        pytest.param([completion("", stop="refusal")], "refusal", id="refused without a word"),
        pytest.param([completion(""), completion("")], "model_error", id="empty twice"),
        pytest.param([completion("", stop="length")] * 2, "length", id="only thought"),
        pytest.param([completion("", stop="other")], "provider_stop", id="odd stop"),
    ],
)
def test_an_end_without_an_answer_leaves_what_is_there(lines, reason) -> None:
    """The words of an earlier turn are not passed off as the answer."""
    result = ended(READ, *lines)
    assert (result.stop_reason, result.answer_by) == (reason, "harness")
    assert "> I read the module." in result.answer


def test_an_end_before_anything_is_there_has_no_answer() -> None:
    """An empty answer is better than one that says nothing."""
    result = ended(completion("", stop="refusal"))
    assert (result.answer, result.answer_by) == ("", "model")


def test_the_json_says_who_wrote_the_answer() -> None:
    """For programs that do not read its first line."""
    result = ended(READ, completion(""), budget=Budget(turns=1))
    assert summarize(result)["answer_by"] == "harness"


def test_the_record_says_who_wrote_the_answer(story, call) -> None:
    """A run that is replayed has the same answer by the same author."""
    story.options = RunOptions(budget=Budget(turns=1))
    first = story.run(completion("Writing.", call.writing("a.txt", "1\n")), completion(""))
    assert (first.answer_by, "- a.txt (created)" in first.answer) == ("harness", True)
    again = story.replay()
    assert (again.answer, again.answer_by) == (first.answer, "harness")


def test_the_last_call_thinks_little_calls_nothing_and_writes_nothing_to_a_cache() -> None:
    """Nobody reads what it would write; with another effort, not even tools and system prompt are read."""
    model = ScriptedModel("opus", [READ, "Done."], price=PRICE)
    loop = AgentLoop(model, config=LoopConfig(budget=Budget(turns=1), effort="high"))

    async def main() -> None:
        async for _ in loop.run("Find the bug", (look,)):
            pass

    run_virtual(main())
    last = model.calls[-1]
    assert (last.effort, last.tool_choice, last.caching) == ("low", "none", Caching(None, conversation=False))
    assert "at most 500 words" in str(last.messages[-1].parts)


@pytest.mark.parametrize(
    ("effort", "sent", "prefix"), [("low", "low", "5m"), ("none", "none", "5m"), ("max", "low", None)]
)
def test_a_cached_prompt_is_read_if_the_effort_stays(effort, sent, prefix) -> None:
    """Never is the effort raised; a prompt that was cached with another effort is not written once more."""
    model = ScriptedModel("opus", [READ, "Done."], price=PRICE)
    loop = AgentLoop(model, config=LoopConfig(budget=Budget(turns=1), effort=effort))

    async def main() -> None:
        async for _ in loop.run("Find the bug", (look,)):
            pass

    run_virtual(main())
    last = model.calls[-1]
    assert (last.effort, last.caching.prefix) == (sent, prefix)


def test_a_conversation_without_room_is_shortened_and_goes_on() -> None:
    """Only if that makes no room either, the work is closed."""

    @tool(repeatable=True)
    async def dump(part: int) -> str:
        """Show a part of the log."""
        return f"part {part}\n" + "line of the log\n" * 1_500

    calls = [completion(ToolCall(f"c{n}", "dump", json.dumps({"part": n}))) for n in range(6)]
    model = ScriptedModel("opus", [*calls, "The log is fine."], price=PRICE)
    loop = AgentLoop(model, config=LoopConfig(budget=Budget(tokens=140_000), max_output_tokens=2_000))

    async def main() -> list[Any]:
        return [event async for event in loop.run("Read the log", (dump,))]

    events = run_virtual(main())
    assert any(isinstance(event, HistoryCompacted) for event in events)
    assert (events[-1].result.status, events[-1].result.answer) == ("ok", "The log is fine.")
    model.assert_finished()
