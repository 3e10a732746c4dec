"""The loop: turns, tools, limits, and what goes wrong on the way."""

import asyncio
from collections.abc import Coroutine
from contextlib import aclosing
from decimal import Decimal
from typing import Any

import attrs
import pytest

from sunwell.agent.batches.task_batch import Batch
from sunwell.agent.loop import AgentLoop, LoopConfig
from sunwell.budget.ledger_protocol import Budget
from sunwell.core import Price, Rates, Request, Text, Thinking, ToolCall, ToolResult, Usage
from sunwell.core.task import TaskResult
from sunwell.errors import BadRequest, ConfigurationError, RateLimited, ServerFailed
from sunwell.events import (
    Event,
    ModelCallFinished,
    ModelCallStarted,
    ModelRetried,
    RunFinished,
    RunStarted,
    ToolCallFinished,
    ToolCallStarted,
)
from sunwell.report.summary import compare_with_smart_model, summarize, summary_text
from sunwell.testing import ScriptedModel, completion, run_virtual, task_in
from sunwell.tools import tool

PRICE = Price(Rates(Decimal(1), Decimal(10)), source="test", date="2026-11-01")
CHEAP = Price(Rates(Decimal("0.01"), Decimal("0.1")), source="test", date="2026-11-01")
DEAR = Price(Rates(Decimal(10), Decimal(100)), source="test", date="2026-11-01")


@tool(parallel=True, repeatable=True)
async def add(first: int, second: int) -> str:
    """Add two numbers."""
    return str(first + second)


@tool
async def fail(reason: str) -> str:
    """Fail on purpose."""
    raise ValueError(reason)


def events_of(loop: AgentLoop, task: str = "Add 1 and 2", tools: Any = (add,), **given: Any) -> list[Event]:
    """Return all events of one run on a virtual clock."""

    async def main() -> list[Event]:
        return [event async for event in loop.run(task, tools, **given)]

    return run_virtual(main())


def result_of(loop: AgentLoop, task: str = "Add 1 and 2", tools: Any = (add,), **given: Any) -> TaskResult:
    """Return the result of one run on a virtual clock."""
    last = events_of(loop, task, tools, **given)[-1]
    assert isinstance(last, RunFinished)
    return last.result


def results_seen(request: Request) -> list[ToolResult]:
    """Return the tool results in the last message of *request*."""
    return [part for part in request.messages[-1].parts if isinstance(part, ToolResult)]


def call(call_id: str, arguments: str = '{"first": 1, "second": 2}', name: str = "add") -> ToolCall:
    """Return a tool call."""
    return ToolCall(call_id, name, arguments)


def test_a_task_is_worked_on_until_an_answer_without_tool_calls() -> None:
    """Results go back in the order of the calls, and the last text is the answer."""
    model = ScriptedModel(
        "haiku", [completion(call("a"), call("b", '{"first": 2, "second": 2}')), "It is 3 and 4."]
    )
    events = events_of(AgentLoop(model))
    kinds = [type(event) for event in events if not isinstance(event, ToolCallStarted)]
    assert kinds == [
        RunStarted, ModelCallStarted, ModelCallFinished, ToolCallFinished, ToolCallFinished,
        ModelCallStarted, ModelCallFinished, RunFinished,
    ]  # fmt: skip
    result = events[-1].result  # type: ignore[attr-defined]
    assert (result.status, result.stop_reason, result.answer) == ("ok", "end", "It is 3 and 4.")
    assert (result.turns, result.tools_called) == (2, (("add", 2),))
    assert [(part.call_id, part.content) for part in results_seen(model.calls[1])] == [("a", "3"), ("b", "4")]
    model.assert_finished()


@pytest.mark.parametrize(
    ("made", "told"),
    [
        pytest.param(call("a", name="subtract"), "add", id="unknown-tool"),
        pytest.param(call("a", '{"first": 1'), "JSON", id="malformed-arguments"),
        pytest.param(call("a", '{"first": 1}'), "second", id="missing-argument"),
        pytest.param(call("a", '{"reason": "no luck"}', "fail"), "no luck", id="failing-tool"),
    ],
)
def test_a_call_that_goes_wrong_goes_back_to_the_model(made: ToolCall, told: str) -> None:
    """The model reads what was wrong, as an error, and the run goes on."""
    model = ScriptedModel("haiku", [completion(made), "I see."])
    result = result_of(AgentLoop(model), tools=(add, fail))
    seen = results_seen(model.calls[1])
    assert [part.is_error for part in seen] == [True]
    assert told in seen[0].content
    assert result.status == "ok"


def test_missing_and_doubled_call_ids_are_told_apart() -> None:
    """Each result answers its own call, also where the server gave no id or one twice."""
    model = ScriptedModel("haiku", [completion(call(""), call("x"), call("x")), "Done."])
    result_of(AgentLoop(model))
    asked = model.calls[1].messages[-2].tool_calls
    ids = [part.id for part in asked]
    assert len(set(ids)) == 3
    assert [part.call_id for part in results_seen(model.calls[1])] == ids


def test_the_same_call_again_and_again_is_noticed() -> None:
    """The third identical call with an identical result carries a hint for the model."""
    model = ScriptedModel("haiku", [*[completion(call(f"c{i}")) for i in range(3)], "Done."])
    result_of(AgentLoop(model))
    contents = [results_seen(request)[0].content for request in model.calls[1:]]
    assert contents[:2] == ["3", "3"]
    assert "3 times in a row" in contents[2]


def test_a_cut_answer_is_continued_and_joined() -> None:
    """An answer cut at its length limit is asked to go on, and the pieces are one answer."""
    model = ScriptedModel("haiku", [completion("The answer ", stop="length"), "is 3."])
    result = result_of(AgentLoop(model))
    assert (result.status, result.answer) == ("ok", "The answer is 3.")


def test_an_answer_cut_for_ever_is_incomplete() -> None:
    """After a few continuations the run ends with what is there and the true reason."""
    model = ScriptedModel("haiku", [completion("more ", stop="length")] * 4)
    result = result_of(AgentLoop(model))
    assert (result.status, result.stop_reason, result.answer) == ("incomplete", "length", "more " * 4)


def test_no_call_of_a_cut_message_is_carried_out() -> None:
    """A call that was cut can be valid JSON all the same, so none is made, and the model learns why."""
    done: list[str] = []

    @tool
    async def note(text: str) -> str:
        """Note a text."""
        done.append(text)
        return "noted"

    cut = completion(
        ToolCall("a", "note", '{"text": "whole"}'), ToolCall("b", "note", '{"text": "ha"}'), stop="length"
    )
    model = ScriptedModel("haiku", [cut, completion(ToolCall("c", "note", '{"text": "half"}')), "Done."])
    result = result_of(AgentLoop(model), tools=(note,))
    seen = results_seen(model.calls[1])
    assert [part.is_error for part in seen] == [True, True]
    assert all("cut off at its length limit" in part.content for part in seen)
    assert (result.status, done) == ("ok", ["half"])


@pytest.mark.parametrize(
    "parts", [(), (Thinking("Hm.", "", "somewhere"),)], ids=["nothing-shown", "reasoning-shown"]
)
def test_an_answer_that_was_cut_while_it_was_thought_about_is_not_asked_for_unchanged(parts: Any) -> None:
    """The model is told to think less, once; the same request would be cut and paid for again."""
    cut = completion(*parts, stop="length")
    model = ScriptedModel("haiku", [cut, "3"])
    assert result_of(AgentLoop(model)).answer == "3"
    assert "still thinking" in model.calls[1].messages[-1].text
    stubborn = ScriptedModel("haiku", [cut, cut])
    result = result_of(AgentLoop(stubborn))
    assert (result.status, result.stop_reason) == ("incomplete", "length")
    assert "max_output_tokens" in result.error
    assert len({request.digest("haiku") for request in stubborn.calls}) == 2


def test_a_pause_without_a_word_is_not_asked_for_unchanged() -> None:
    """Nothing was added to the conversation, so the same request would be paid again."""
    model = ScriptedModel("haiku", [completion(stop="pause")])
    result = result_of(AgentLoop(model))
    assert (result.status, result.stop_reason) == ("incomplete", "provider_stop")


@pytest.mark.parametrize(
    ("parts", "word", "told"),
    [
        pytest.param(("half an ans",), "abort", "'abort'", id="text"),
        pytest.param(("half an ans",), "", "without a reason", id="no-word"),
        pytest.param(("", call("a")), "abort", "'abort'", id="call"),
    ],
)
def test_an_answer_that_did_not_end_properly_is_incomplete(parts: Any, word: str, told: str) -> None:
    """What is there is kept, no call in it is made, nothing is asked again, and the word is shown."""
    cut = attrs.evolve(completion(*parts, stop="other"), provider_stop=word)
    model = ScriptedModel("haiku", [cut])
    result = result_of(AgentLoop(model))
    assert (result.status, result.stop_reason) == ("incomplete", "provider_stop")
    assert (result.answer, result.tool_calls) == (parts[0], 0)
    assert told in result.error


def test_a_refusal_is_no_answer() -> None:
    """A refusal ends the run as incomplete, with the model's words."""
    model = ScriptedModel("haiku", [completion("I will not.", stop="refusal")])
    result = result_of(AgentLoop(model))
    assert (result.status, result.stop_reason, result.answer) == ("incomplete", "refusal", "I will not.")


def test_an_empty_answer_is_asked_for_once_more() -> None:
    """A model that says nothing gets one more chance; then it is an error."""
    model = ScriptedModel("haiku", ["", "3"])
    assert result_of(AgentLoop(model)).answer == "3"
    silent = ScriptedModel("haiku", ["", ""])
    assert result_of(AgentLoop(silent)).status == "error"


def test_a_passing_failure_is_retried_and_a_lasting_one_ends_the_run() -> None:
    """Retries wait as the provider asks; a bad request is not made again."""
    model = ScriptedModel(
        "haiku", [RateLimited("haiku", "slow down", retry=True, retry_after_seconds=7), "3"]
    )
    events = events_of(AgentLoop(model))
    assert [event.wait_seconds for event in events if isinstance(event, ModelRetried)] == [7]
    refused = ScriptedModel("haiku", [BadRequest("haiku", "the prompt is no prompt")])
    result = result_of(AgentLoop(refused))
    assert (result.status, result.stop_reason) == ("error", "model_error")
    assert "the prompt is no prompt" in result.error


def test_retries_are_bounded() -> None:
    """After four attempts the last error ends the run."""
    model = ScriptedModel("haiku", [ServerFailed("haiku", f"down {i}", retry=True) for i in range(4)])
    result = result_of(AgentLoop(model))
    assert "down 3" in result.error
    model.assert_finished()


@pytest.mark.parametrize(
    ("budget", "reason"),
    [
        pytest.param(Budget(turns=3), "turns", id="turns"),
        pytest.param(Budget(calls=4), "calls", id="calls"),
        pytest.param(Budget(tokens=10_000), "budget_tokens", id="tokens"),
        pytest.param(Budget(usd=Decimal("0.05")), "budget_usd", id="usd"),
        pytest.param(Budget(seconds=100), "timeout", id="seconds"),
    ],
)
def test_every_limit_ends_a_model_that_never_would(budget: Budget, reason: str) -> None:
    """At a limit one closing call without tools makes an answer of what is there, inside the limit."""
    spent = Usage(300, 100)

    def answer(request: Request) -> Any:
        if request.tool_choice == "none":
            return completion("What I have so far.", usage=spent)
        return completion(call("x"), usage=spent)

    model = ScriptedModel("haiku", [answer] * 200, price=PRICE, seconds=8)
    loop = AgentLoop(model, config=LoopConfig(budget=budget, max_output_tokens=500))
    result = result_of(loop)
    assert (result.status, result.stop_reason) == ("incomplete", reason)
    assert result.answer == "What I have so far."
    assert result.error
    assert model.calls[-1].tool_choice == "none"
    if budget.usd is not None:
        assert result.bill.cost_usd is not None
        assert result.bill.cost_usd <= budget.usd
    if budget.tokens is not None:
        assert result.bill.usage.total_tokens <= budget.tokens
    if budget.calls is not None:
        assert len(model.calls) == budget.calls
    if budget.seconds is not None:
        assert result.duration_seconds <= budget.seconds


def test_a_dollar_cap_on_an_unpriced_model_refuses_to_start() -> None:
    """Unknown is not zero: nothing is asked, and the sentence says what to do."""
    model = ScriptedModel("nobody-knows-it", ["never said"])
    with pytest.raises(ConfigurationError, match="nobody-knows-it"):
        result_of(AgentLoop(model, config=LoopConfig(budget=Budget(usd=1))))
    assert model.calls == []


def test_an_empty_task_is_refused() -> None:
    """An empty task costs nothing."""
    with pytest.raises(ConfigurationError, match="empty"):
        result_of(AgentLoop(ScriptedModel("haiku", [])), task="  ")


def test_breaking_off_starts_no_further_call() -> None:
    """A consumer that stops pays for no further call, and everything begun is booked at the end."""
    model = ScriptedModel("haiku", [completion(call("x"))] * 50)

    async def main() -> int:
        async with aclosing(AgentLoop(model).run("Add 1 and 2", (add,))) as events:
            async for event in events:
                if isinstance(event, ToolCallFinished):
                    break
            await asyncio.sleep(1000)
            return len(model.calls)

    assert run_virtual(main()) == 1


def test_stopping_gives_a_cancelled_result() -> None:
    """``stop()`` ends a run with its last text, and the call in flight is booked as uncertain."""
    lines = [completion(Text("On it."), call("x")), completion("never heard")]
    model = ScriptedModel("haiku", lines, price=PRICE, seconds=10)
    loop = AgentLoop(model)

    async def main() -> TaskResult:
        asyncio.get_running_loop().call_later(15, loop.stop)
        events = [event async for event in loop.run("Add 1 and 2", (add,))]
        assert isinstance(events[-1], RunFinished)
        return events[-1].result

    result = run_virtual(main())
    assert (result.status, result.stop_reason, result.answer_by) == ("cancelled", "cancelled", "harness")
    assert "The model said last:\n\n> On it." in result.answer
    assert result.bill.uncertain_usd is not None
    assert result.bill.uncertain_usd > 0
    assert result.bill.calls == 1


def test_one_loop_runs_two_tasks_at_once() -> None:
    """Nothing of one task is seen by the other."""

    def answer(request: Request) -> str:
        return f"about {task_in(request)}"

    model = ScriptedModel("haiku", [answer, answer], seconds=5)
    loop = AgentLoop(model)

    async def one(task: str) -> str:
        events = [event async for event in loop.run(task)]
        return events[-1].result.answer  # type: ignore[attr-defined,no-any-return]

    async def main() -> list[str]:
        first, second = one("cats"), one("dogs")
        made: list[Coroutine[Any, Any, str]] = [first, second]
        return list(await asyncio.gather(*made))

    assert run_virtual(main()) == ["about cats", "about dogs"]


@pytest.mark.parametrize("unpriced", ["smart", "worker"])
def test_a_cap_in_dollars_needs_the_price_of_each_model_that_may_be_asked(unpriced: str) -> None:
    """A lens, a worker and a batch cost, too, whatever the model of the loop itself costs."""
    own, smart, worker = (
        ScriptedModel(name, [], price=None if name == unpriced else PRICE)
        for name in ("own", "smart", "worker")
    )

    def loop(**chosen: Any) -> AgentLoop:
        config = LoopConfig(budget=Budget(usd=1), **chosen)
        return AgentLoop(own, config=config, smart_model=smart, delegation_model=worker)

    sentence = f"the price of {unpriced} is unknown"
    for chosen in ({"enable_delegation": True}, {"orchestrate": True}, {"delegation_tools": "delegate"}):
        with pytest.raises(ConfigurationError, match=sentence):
            loop(**chosen).check()
    with pytest.raises(ConfigurationError, match=sentence):
        loop().check(lens_only=unpriced == "smart", batch=Batch(["Do it"], None, None))
    loop().check()


def test_the_report_of_a_run_whose_lens_failed_says_that_it_was_not_delegated() -> None:
    """It says why, and which model did the work; there is no saving to tell of."""
    smart = ScriptedModel("opus", [completion("no lens"), completion("none either")], DEAR)
    own = ScriptedModel("own", [completion("Done.")], DEAR)
    config = LoopConfig(enable_delegation=True, delegation_threshold_tokens=0)
    loop = AgentLoop(own, None, config, smart, ScriptedModel("haiku", [], CHEAP))
    result = result_of(loop, "Write tests for all modules, for each of 40 files", ())
    assert not result.decision
    assert "opus wrote no lens" in result.not_delegated
    assert result.not_delegated.endswith("; own did the work")
    assert "note     not delegated: no lens: opus wrote no lens" in summary_text(result)
    assert "own did the work" in summarize(result)["delegation"]["not_delegated"]
    assert compare_with_smart_model(result) is None
