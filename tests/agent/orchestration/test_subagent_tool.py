"""``subagent``: one question, one fresh worker, its answer beside the question."""

from pathlib import Path
from typing import Any

import pytest

from sunwell.agent import Agent
from sunwell.agent.loop import AgentLoop, LoopConfig
from sunwell.context.options import RunOptions
from sunwell.context.session import SessionContext
from sunwell.core import Completion, TaskResult, ToolCall
from sunwell.errors import ServerFailed
from sunwell.events import RunFinished
from sunwell.journal.places import JournalFiles
from sunwell.journal.records import ToolFinished
from sunwell.testing import Line, ScriptedModel, completion, run_virtual
from tests.agent.orchestrated import call, calls, results_in, worker

SENTENCE = "Maximum recursion depth reached. Summarize with available context."


def run(lines: list[Line], cheap: ScriptedModel, **settings: Any) -> tuple[TaskResult, ScriptedModel]:
    """Run a loop that has the tool and nothing else."""
    smart = ScriptedModel("main", lines)
    loop = AgentLoop(
        smart, delegation_model=cheap, config=LoopConfig(delegation_tools="subagent", **settings)
    )

    async def gather() -> Any:
        return [event async for event in loop.run("the task")][-1]

    last = run_virtual(gather())
    assert isinstance(last, RunFinished)
    return last.result, smart


def test_the_result_carries_the_answer_and_the_question() -> None:
    """The model that asked can tell which answer belongs to what."""
    result, smart = run([call("subagent", question="where is it?"), "there"], worker("in a.py"))
    (said,) = results_in(smart.calls[1])
    assert "Task: where is it?" in said
    assert "in a.py" in said
    assert result.workers[0].task == "where is it?"


def test_a_failure_carries_the_error_beside_the_question() -> None:
    """And the run goes on."""
    down = ServerFailed("worker", "it is down")
    result, smart = run([call("subagent", question="where?"), "no idea"], worker(down))
    message = smart.calls[1].messages[-1]
    assert getattr(message.parts[0], "is_error", False)
    assert "Task: where?" in results_in(smart.calls[1])[0]
    assert "worker: it is down" in results_in(smart.calls[1])[0]
    assert result.status == "ok"


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        pytest.param(completion(ToolCall("c", "subagent", "{question: x}")), "not valid JSON", id="bad-json"),
        pytest.param(call("subagent", question=" "), "question is empty", id="empty"),
        pytest.param(call("subagent", question="x", model="opus"), "no argument 'model'", id="model"),
    ],
)
def test_a_mistake_is_an_error_result(wanted: Completion, says: str) -> None:
    """Nobody is asked for it."""
    cheap = worker()
    _, smart = run([wanted, "done"], cheap)
    assert says in results_in(smart.calls[1])[0]
    assert cheap.calls == []


def test_where_nobody_may_be_started_the_tool_says_so() -> None:
    """With depth 0 it is not offered, and a call is answered with the sentence."""
    _, smart = run([call("subagent", question="x"), "done"], worker(), max_depth=0)
    assert smart.calls[0].tools == ()
    assert results_in(smart.calls[1]) == [SENTENCE]


def test_questions_of_one_turn_are_answered_side_by_side() -> None:
    """Three of a second each take one second."""
    wanted = calls(*[("subagent", {"question": f"q{i}"}) for i in range(3)])
    result, _ = run([wanted, "done"], worker("a", "b", "c"))
    assert result.duration_seconds == pytest.approx(1.0)


async def test_a_run_with_mistakes_in_its_calls_is_taken_up_again(tmp_path: Path) -> None:
    """What was refused is refused no second time, and nothing is started for it."""
    mistakes = [
        call("delegate", task=" ", tools=None),
        call("delegate", task="x", tools=["fly"]),
        completion(ToolCall("c", "delegate_batch", "[")),
        call("await_results", task_ids=["no"], timeout_seconds=None),
        call("set_answer", content="", ready=True, confidence=None),
    ]
    options = RunOptions(orchestrate=True)
    broken = ScriptedModel("boss", [*mistakes, ServerFailed("boss", "down")])
    session = SessionContext.build(tmp_path, "the task", options)
    first = await Agent(smart_model=broken, delegation_model=worker()).result(session)
    assert first.status == "error"
    mended = ScriptedModel("boss", [call("set_answer", content="done", ready=True, confidence=None)])
    again = Agent(smart_model=mended, delegation_model=worker())
    last = [event async for event in again.resume(first.run_id, workspace=tmp_path)][-1]
    assert isinstance(last, RunFinished)
    assert (last.result.status, last.result.answer, last.result.workers) == ("ok", "done", ())
    records = JournalFiles().read(tmp_path, first.run_id).records()
    assert sum(isinstance(one, ToolFinished) and one.result.is_error for one in records) == len(mistakes)
