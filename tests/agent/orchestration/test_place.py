"""What an orchestrator and its workers are told of where they are: true, bounded, the same after a resume."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import attrs
import pytest

from sunwell.agent import Agent
from sunwell.agent.orchestration.answer_tool import AnswerTool
from sunwell.agent.orchestration.delegate_tools import delegating_tools
from sunwell.agent.prompts import ORCHESTRATOR_PROMPT
from sunwell.budget.ledger_protocol import Budget
from sunwell.context.options import RunOptions
from sunwell.context.session import SessionContext
from sunwell.core import Completion, Delta, EphemeralLens, Request, ToolCall
from sunwell.core.span import Span
from sunwell.core.task import TaskResult
from sunwell.errors import BadRequest, ServerFailed
from sunwell.events import RunFinished, WorkerFailed
from sunwell.journal.places import JournalFiles
from sunwell.journal.records import Note
from sunwell.models.tokens import estimate_tokens
from sunwell.testing import ScriptedModel, completion, task_in
from sunwell.tools import tool
from tests.agent.orchestrated import answer, batch, call, ids_in, orchestrated, results_in, run

WAIT = call("await_results", task_ids=None)


@tool
async def look() -> str:
    """Look."""
    return "seen"


async def ran(folder: Path, smart: ScriptedModel, cheap: ScriptedModel, **given: Any) -> TaskResult:
    """Return the result of an orchestrated run in *folder*."""
    options = RunOptions(orchestrate=True, **given)
    agent = Agent(smart_model=smart, delegation_model=cheap)
    return await agent.result(SessionContext.build(folder, "Find the price", options))


def shop(folder: Path) -> Path:
    """Fill *folder* with a small package."""
    (folder / "shop").mkdir()
    (folder / "shop" / "cart.py").write_text("class Cart:\n    def total(self):\n        return 0\n")
    (folder / "README.md").write_text("A shop.\n")
    return folder


async def test_the_orchestrator_is_told_files_tools_and_limits(tmp_path: Path) -> None:
    """By name and number; and that several calls fit into one message."""
    smart = ScriptedModel("boss", [answer("Nothing.")])
    await ran(shop(tmp_path), smart, ScriptedModel("worker", []), max_concurrent=3, worker_timeout_seconds=60)
    place = smart.calls[0].system[-1]
    assert "shop/cart.py 50\n  class Cart: total" in place
    assert "README.md 8" in place
    assert "read_file" in place
    assert "They cannot run commands, so no tests either: do not ask for it." in place
    assert "3 workers run at the same time; more wait in a queue." in place
    assert "Each worker has at most 50 messages and 60 seconds." in place
    assert "You have at most 20 messages. Several calls fit into one." in place
    assert "earlier runs" not in place


async def test_commands_are_named_if_workers_may_run_them(tmp_path: Path) -> None:
    """So that the model asks for tests, or does not."""
    smart = ScriptedModel("boss", [answer("Nothing.")])
    settings = {"allow_shell": True, "sandbox": "off"}
    await ran(shop(tmp_path), smart, ScriptedModel("worker", []), **settings)
    assert "They can run commands, so tests, too." in smart.calls[0].system[-1]


def test_workers_without_tools_are_said_to_have_none() -> None:
    """And there is no outline of files that nobody could read."""
    smart = ScriptedModel("boss", [answer("Nothing.")])
    run(smart, ScriptedModel("worker", []))
    place = smart.calls[0].system[-1]
    assert "Workers have no tools" in place
    assert "Outline" not in place


async def test_findings_of_earlier_runs_are_listed(tmp_path: Path) -> None:
    """Each with its key, and a line of what it says; a run without any says nothing of them."""
    cheap = ScriptedModel("worker", ["The price is in shop.py."])
    first = await ran(tmp_path, ScriptedModel("boss", [batch("look"), WAIT, answer("Found.")]), cheap)
    key = first.workers[0].scratchpad_key
    smart = ScriptedModel("boss", [call("inspect", key=key, page=None), answer("Known.")])
    await ran(tmp_path, smart, ScriptedModel("worker", []), earlier_runs=(first.run_id,))
    place = smart.calls[0].system[-1]
    assert f"- {key} · 'The price is in shop.py.'" in place
    assert "inspect(key) gives the text; context passes it on." in place
    assert "The price is in shop.py." in results_in(smart.calls[1])[0]


async def test_a_report_of_an_earlier_run_can_be_passed_on(tmp_path: Path) -> None:
    """Under its key, as one of this run."""
    cheap = ScriptedModel("worker", ["The price is in shop.py."])
    first = await ran(tmp_path, ScriptedModel("boss", [batch("look"), WAIT, answer("Found.")]), cheap)
    key = first.workers[0].scratchpad_key
    passes = call("delegate", task="change it", tools=None, context=[key])
    smart = ScriptedModel("boss", [passes, WAIT, answer("Changed.")])
    later = ScriptedModel("worker", ["Done."])
    result = await ran(tmp_path, smart, later, earlier_runs=(first.run_id,))
    assert result.status == "ok"
    assert "The price is in shop.py." in later.calls[0].messages[0].text


async def test_the_place_is_written_down_and_a_resume_sends_the_same(tmp_path: Path) -> None:
    """Although a file was added meanwhile."""
    smart = ScriptedModel("boss", [batch("look"), ServerFailed("boss", "down")])
    cheap = ScriptedModel("worker", ["seen"])
    first = await ran(shop(tmp_path), smart, cheap)
    assert first.stop_reason == "model_error"
    (tmp_path / "new.py").write_text("x = 1\n")
    again = ScriptedModel("boss", [WAIT, answer("Seen.")])
    agent = Agent(smart_model=again, delegation_model=ScriptedModel("worker", ["seen"]))
    result = await agent.resume(first.run_id, workspace=tmp_path)
    assert result.status == "ok"
    assert again.calls[0].system == smart.calls[0].system
    assert "new.py" not in again.calls[0].system[-1]
    records = JournalFiles().read(tmp_path, first.run_id).records()
    notes = [one for one in records if isinstance(one, Note) and one.name == "orchestrator-place"]
    assert len(notes) == 1


async def test_reports_that_were_handed_over_are_not_handed_over_again(tmp_path: Path) -> None:
    """The note holds what was said; the run goes on from there."""
    smart = ScriptedModel("boss", [batch("one"), "I wait.", ServerFailed("boss", "down")])
    first = await ran(tmp_path, smart, ScriptedModel("worker", ["a finding"]))
    assert first.stop_reason == "model_error"
    again = ScriptedModel("boss", ["It is found."])
    agent = Agent(smart_model=again, delegation_model=ScriptedModel("worker", []))
    result = await agent.resume(first.run_id, workspace=tmp_path)
    assert (result.status, result.answer) == ("ok", "It is found.")
    told = again.calls[0].messages[-1].text
    assert "a finding" in told
    before = smart.calls[-1].messages[-1].text
    assert told.partition("[Status")[0] == before.partition("[Status")[0]


@attrs.define(eq=False)
class _OneFails:
    """A model for workers: one fails, one waits for that, and one builds on it."""

    over: asyncio.Event
    name: str = "worker"

    async def complete(self, request: Request) -> Completion:
        match task_in(request):
            case "find" if len(request.messages) == 1:
                return completion("I have seen a part.", ToolCall("c", "look", "{}"))
            case "find":
                raise BadRequest("worker", "it broke")
            case "wait":
                await self.over.wait()
        return completion("fine")

    def stream(self, request: Request) -> AsyncGenerator[Delta, None]:
        raise NotImplementedError


async def test_a_report_that_was_passed_on_stands_after_a_crash(tmp_path: Path) -> None:
    """A worker that failed is not asked again if another builds on its report, although nobody read that."""
    passes = [
        batch("find", "wait"),
        lambda r: call("await_results", task_ids=[ids_in(r)[1]], wait_for="all", timeout_seconds=None),
        lambda r: call("delegate", task="build", tools=None, context=[ids_in(r)[0]]),
        WAIT,
    ]
    smart, over, run_id = ScriptedModel("boss", [*passes, ServerFailed("boss", "down")]), asyncio.Event(), ""
    agent = Agent(smart_model=smart, delegation_model=_OneFails(over))
    session = SessionContext.build(tmp_path, "Find the price", RunOptions(orchestrate=True))
    async with aclosing(agent.run(session)) as events:
        async for event in events:
            if isinstance(event, WorkerFailed):
                over.set()
            if isinstance(event, RunFinished):
                assert event.result.stop_reason == "model_error"
                run_id = event.result.run_id
    again = ScriptedModel("boss", [answer("Done.")])
    agent = Agent(smart_model=again, delegation_model=ScriptedModel("worker", []))
    result = await agent.resume(run_id, workspace=tmp_path)
    ended = {one.task: one.status for one in result.workers}
    assert ended == {"find": "error", "wait": "ok", "build": "ok"}


def test_a_worker_is_told_the_larger_task_and_how_its_report_is_read() -> None:
    """In a paragraph behind its task."""
    cheap = ScriptedModel("worker", ["seen"])
    run(ScriptedModel("boss", [batch("look"), WAIT, answer("ok")]), cheap)
    told = cheap.calls[0].messages[0].text.partition("[From the harness: ")[2]
    assert 'It belongs to a larger task: "the task".' in told
    assert "longer than 4,000 characters" in told
    assert "Put the result first, and what you did not check last." in told


def test_a_worker_is_told_the_time_that_is_really_left() -> None:
    """The smaller one of its own limit and of what the run has."""
    cheap = ScriptedModel("worker", ["seen"])
    smart = ScriptedModel("boss", [batch("look"), WAIT, answer("ok")])
    run(smart, cheap, orchestrated(budget=Budget(seconds=90)), [look])
    assert "90 seconds" in cheap.calls[0].messages[0].text


LENS = EphemeralLens(heuristics=("Read the cart first.",), task_scope="prices")
WRITTEN = json.dumps(
    {
        "task_scope": "prices",
        "heuristics": ["Read the cart first."],
        "patterns": [],
        "anti_patterns": [],
        "constraints": [],
        "examples": [],
        "target_files": [],
    }
)


@pytest.mark.parametrize("is_given", [True, False], ids=["given", "written"])
async def test_with_delegation_on_workers_have_a_lens_that_the_orchestrator_is_shown(
    tmp_path: Path, is_given: bool
) -> None:
    """Written by the smart model before it begins, or the caller's; a brief comes after it."""
    brief = {"heuristics": ["Name the line."], "patterns": [], "anti_patterns": [], "constraints": []}
    lines = [call("write_brief", **brief, examples=[]), batch("look"), WAIT, answer("ok")]
    smart = ScriptedModel("boss", lines if is_given else [WRITTEN, *lines])
    cheap = ScriptedModel("worker", ["seen"])
    given: dict[str, Any] = {"lens": LENS} if is_given else {"enable_delegation": True}
    result = await ran(tmp_path, smart, cheap, **given)
    assert result.status == "ok"
    shown = smart.calls[-1].system[-1]
    assert shown.startswith("# What your workers read")
    assert "- Read the cart first." in shown
    read = cheap.calls[0].system
    assert "- Read the cart first." in read[-3]
    assert "- Name the line." in read[-1]


async def test_a_lens_that_fails_does_not_stop_an_orchestrated_run(tmp_path: Path) -> None:
    """Unless it is told to: the workers go on without it."""
    smart = ScriptedModel("boss", ["no JSON", "still none", batch("look"), WAIT, answer("ok")])
    cheap = ScriptedModel("worker", ["seen"])
    result = await ran(tmp_path, smart, cheap, enable_delegation=True, on_lens_failure="direct")
    assert result.status == "ok"
    smart = ScriptedModel("boss", ["no JSON", "still none"])
    result = await ran(tmp_path, smart, cheap, enable_delegation=True, on_lens_failure="fail")
    assert (result.status, result.stop_reason) == ("error", "lens_failed")


def test_what_an_orchestrator_reads_before_its_task_is_bounded() -> None:
    """Its prompt has at most 1,100 tokens, its tools 1,700, the workers' share of a task 120.

    Where there is a source of context, its tools have at most 1,850.
    """
    assert estimate_tokens(ORCHESTRATOR_PROMPT) <= 1_100
    for can_query, most in ((False, 1_700), (True, 1_850)):
        tools = (*delegating_tools(can_query=can_query), AnswerTool(Span(), 0.9).tool())
        specs = [one.shown or one.spec for one in tools]
        told = [f"{one.name}{one.description}{one.schema_text}" for one in specs]
        assert sum(map(estimate_tokens, told)) <= most
    cheap = ScriptedModel("worker", ["seen"])
    run(ScriptedModel("boss", [batch("look"), WAIT, answer("ok")]), cheap, orchestrated())
    assert estimate_tokens(cheap.calls[0].messages[0].text) <= 120


async def test_the_outline_of_a_large_workspace_is_bounded(tmp_path: Path) -> None:
    """4,000 bytes, whatever there is; what fits the task comes first, and the rest is counted."""
    for number in range(600):
        (tmp_path / f"module_{number:03d}.py").write_text(f"def function_{number}():\n    return {number}\n")
    (tmp_path / "price.py").write_text("def price():\n    return 1\n")
    smart = ScriptedModel("boss", [answer("Nothing.")])
    await ran(tmp_path, smart, ScriptedModel("worker", []))
    outline = smart.calls[0].system[-1].partition("## Outline of the workspace\n\n")[2]
    assert 2_000 < len(outline.encode()) <= 4_000
    assert "price.py" in outline
    assert "more files)" in outline
