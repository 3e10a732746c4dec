"""Orchestrated runs as a whole: killed and resumed, over HTTP in each format, and one after another."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sunwell.agent import Agent
from sunwell.agent.orchestration.answer_tool import AnswerTool
from sunwell.agent.orchestration.delegate_tools import delegating_tools
from sunwell.agent.orchestration.sub_call_tools import rlm_tools, subagent_tools
from sunwell.budget.ledger_protocol import Budget
from sunwell.context.options import RunOptions
from sunwell.context.session import SessionContext
from sunwell.core import ModelProtocol, Text, ToolCall
from sunwell.core.span import Span
from sunwell.core.task import TaskResult
from sunwell.errors import ServerFailed, SubCallDepthExceeded
from sunwell.events import Event, RunFinished
from sunwell.journal.places import JournalFiles
from sunwell.journal.records import Answer, Note, ToolFinished
from sunwell.models.anthropic_messages import AnthropicModel
from sunwell.models.connection import Connection, close_clients
from sunwell.models.openai_chat import ChatModel
from sunwell.models.openai_responses import ResponsesModel
from sunwell.models.quirks import ChatQuirks
from sunwell.models.registry import ModelRegistry
from sunwell.simulator import Asked, InProcessModel, Reply, Script, Simulator
from sunwell.simulator.schema_checks import check_schema
from sunwell.simulator.scripts.conversation_state import ScriptedConversation
from sunwell.simulator.scripts.scripted_orchestrator import orchestrator, part_worker, reports_in
from sunwell.testing import ScriptedModel
from tests.agent import orchestrated

PROGRAM = Path(__file__).parent / "killed_orchestrations.py"
TOOLS = {
    "delegate": (*delegating_tools(), AnswerTool(Span(), 0.9).tool()),
    "rlm": rlm_tools(),
    "subagent": subagent_tools(),
}


@pytest.mark.timeout(280)
def test_thirty_workers_survive_kills_while_the_orchestrator_plans_streams_and_repairs() -> None:
    """Killed by SIGKILL at records throughout the run, some again while resuming.

    The answer, the files and every worker's end are those of the unbroken run. What is asked again was
    in flight at a kill, and is listed as uncertain. ``benchmarks/orchestrated.py`` kills at every record.
    """
    command = [sys.executable, str(PROGRAM), "30", "61", "2"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    unbroken, *killed = [json.loads(line) for line in done.stdout.splitlines()]
    whole = unbroken["unbroken"]
    assert whole["answer"].startswith("30 of 30 parts are done.")
    assert len(whole["workers"]) == 33
    assert len(killed) >= 5
    for one in killed:
        case = (one["at"], one["how"])
        for name in ("status", "answer", "workers", "files", "calls"):
            assert (case, name, one[name]) == (case, name, whole[name])
        again = one["asked"] - whole["asked"]
        assert 0 <= again <= 7 * one["kills"], case
        assert one["uncertain_calls"] >= again, case


@pytest.mark.timeout(280)
def test_waits_for_the_next_words_briefs_and_passed_on_reports_survive_kills() -> None:
    """The same by an orchestrator that waits for a few, talks instead of calling, and passes reports on.

    How many turns it takes depends on who finishes when; what is answered and handed out does not.
    """
    command = [sys.executable, str(PROGRAM), "8", "13", "2", "reading"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    unbroken, *killed = [json.loads(line) for line in done.stdout.splitlines()]
    whole = unbroken["unbroken"]
    assert whole["answer"].count("- part ") == 10
    assert len(whole["workers"]) == 11
    assert len(killed) >= 8
    for one in killed:
        case = (one["at"], one["how"])
        for name in ("status", "answer", "workers"):
            assert (case, name, one[name]) == (case, name, whole[name])


async def finished(events: Any) -> TaskResult:
    """Return the result that the last of *events* carries."""
    told = [event async for event in events]
    last = told[-1]
    assert isinstance(last, RunFinished)
    return last.result


def agent_of(parts: int, fails: tuple[int, ...] = ()) -> Agent:
    """Return an agent with a scripted orchestrator and workers."""
    return Agent(
        smart_model=InProcessModel("claude-opus-5-5", orchestrator(parts)),
        delegation_model=InProcessModel("claude-haiku-5-5", part_worker(fails)),
        registry=ModelRegistry(),
    )


async def test_a_limit_that_was_met_is_left_behind_with_more_budget(tmp_path: Path) -> None:
    """Figures in the prompts differ, and what was answered still counts: nobody is asked twice."""
    options = RunOptions(orchestrate=True, budget=Budget(calls=9))
    session = SessionContext.build(tmp_path, "Write all parts down", options=options)
    first = await finished(agent_of(4, (1,)).run(session))
    assert (first.status, first.stop_reason) == ("incomplete", "calls")
    agent = agent_of(4, (1,))
    raised = agent.resume(first.run_id, workspace=tmp_path, budget=Budget(calls=60, usd="2"))
    result = await finished(raised)
    assert result.status == "ok"
    assert result.answer.startswith("4 of 4 parts are done.")
    journal = JournalFiles().read(tmp_path, first.run_id)
    answers = [(one.span, one.number) for one in journal.records() if isinstance(one, Answer)]
    assert len(answers) == len(set(answers))


async def test_the_first_new_call_after_a_resume_is_told_the_figures_of_now(tmp_path: Path) -> None:
    """The calls that were answered keep the status they were sent with, which the record holds."""
    wait = orchestrated.call("await_results", task_ids=None, timeout_seconds=None)
    options = RunOptions(orchestrate=True, budget=Budget(tokens=100_000))
    session = SessionContext.build(tmp_path, "Write it down", options=options)
    boss = ScriptedModel("boss", [orchestrated.batch("one"), ServerFailed("boss", "down")])
    first = await Agent(smart_model=boss, delegation_model=ScriptedModel("worker", ["wrote it"])).run(session)
    assert first.stop_reason == "model_error"
    told = boss.calls[-1].messages[-1].text
    assert "of 100,000 tokens" in told
    boss = ScriptedModel("boss", [wait, orchestrated.answer("It is written.")])
    agent = Agent(smart_model=boss, delegation_model=ScriptedModel("worker", ["wrote it"]))
    again = await agent.resume(first.run_id, workspace=tmp_path, budget=Budget(tokens=200_000))
    assert again.status == "ok"
    asked = [message.text for message in boss.calls[0].messages]
    assert "of 100,000 tokens" in asked[0]
    assert "of 200,000 tokens" in asked[-1]


async def test_a_finished_run_is_played_again_with_nobody_asked(tmp_path: Path) -> None:
    """The same answer, the same workers, and not a word in the journal."""
    session = SessionContext.build(tmp_path, "Write all parts down", options=RunOptions(orchestrate=True))
    first = await finished(agent_of(5, (2,)).run(session))
    journal = Path(str(first.journal))
    before = journal.read_bytes()
    agent = agent_of(5, (2,))
    again = await finished(agent.replay(first.run_id, workspace=tmp_path))
    assert (again.status, again.answer) == (first.status, first.answer)
    assert [(one.task_id, one.status) for one in again.workers] == [
        (one.task_id, one.status) for one in first.workers
    ]
    assert journal.read_bytes() == before
    assert agent.smart_model.calls == 0  # type: ignore[union-attr]


async def test_a_fork_of_an_orchestrated_run_keeps_what_came_before_it(tmp_path: Path) -> None:
    """Kept calls are not asked again, and the workers that they started keep their results."""
    session = SessionContext.build(tmp_path, "Write all parts down", options=RunOptions(orchestrate=True))
    first = await finished(agent_of(4, (1,)).run(session))
    agent = agent_of(4, (1,))
    forked = agent.fork(first.run_id, "run/orchestrator:3", workspace=tmp_path, accept_changes=True)
    result = await finished(forked)
    assert (result.status, result.answer) == (first.status, first.answer)
    assert [one.task_id for one in result.workers] == [one.task_id for one in first.workers]
    assert agent.smart_model.calls == 4  # type: ignore[union-attr]


async def test_what_is_shown_of_budgets_is_written_down_before_it_is_used(tmp_path: Path) -> None:
    """Each turn's status line is a note of the journal."""
    session = SessionContext.build(tmp_path, "Write all parts down", options=RunOptions(orchestrate=True))
    result = await finished(agent_of(3).run(session))
    records = list(JournalFiles().read(tmp_path, result.run_id).records())
    notes = [one.value for one in records if isinstance(one, Note) and one.name == "status"]
    asked = [one for one in records if isinstance(one, Answer) and one.purpose == "orchestrate"]
    assert len(notes) == len(asked) == 5
    assert all(str(note).startswith("[Status, from the harness: turn ") for note in notes)


async def test_a_later_run_reads_what_an_earlier_one_found(tmp_path: Path) -> None:
    """Named as an earlier run, its results can be listed and inspected; they survive in the new journal."""
    session = SessionContext.build(tmp_path, "Write all parts down", options=RunOptions(orchestrate=True))
    first = await finished(agent_of(2).run(session))
    key = first.workers[0].scratchpad_key

    def reader(asked: Asked) -> Reply:
        said = ScriptedConversation.of(asked).results()
        if "wrote" in said:
            return Reply((Text(said),))
        if key in said:
            return Reply((ToolCall("c2", "inspect", json.dumps({"key": key, "page": None})),))
        return Reply((ToolCall("c1", "inspect", json.dumps({"key": "", "page": None})),))

    model = InProcessModel("claude-opus-5-5", reader)
    options = RunOptions(orchestrate=True, earlier_runs=(first.run_id,))
    later = await finished(
        Agent(smart_model=model, registry=ModelRegistry()).run(
            SessionContext.build(tmp_path, "Read", options)
        )
    )
    assert later.status == "ok"
    assert first.workers[0].answer in later.answer
    third = RunOptions(orchestrate=True, earlier_runs=(later.run_id,))
    last = await finished(
        Agent(smart_model=InProcessModel("claude-opus-5-5", reader), registry=ModelRegistry()).run(
            SessionContext.build(tmp_path, "Read", third)
        )
    )
    assert first.workers[0].answer in last.answer


def on_the_wire(sim: Simulator, wire: str, name: str) -> ModelProtocol:
    """Return an adapter of one wire format."""
    if wire == "anthropic":
        return AnthropicModel(name, Connection("anthropic", sim.url, "key-of-a-test"))
    if wire == "responses":
        return ResponsesModel(name, Connection("openai", sim.openai_url, "key-of-a-test"))
    strict = wire == "chat-strict"
    return ChatModel(
        name, Connection("openai", sim.openai_url, "key-of-a-test"), quirks=ChatQuirks(strict_tools=strict)
    )


def call(number: int, name: str, arguments: Any) -> ToolCall:
    """Return a call; a string stands for arguments as a model wrote them."""
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return ToolCall(f"call_{number}", name, text)


def thorough(asked: Asked) -> Reply:
    """Use each delegation tool, several in one turn, one malformed and one that is not there."""
    talk = ScriptedConversation.of(asked)
    nobody = {"task": "Part 1 of 3: go", "tools": None}
    two = [{"task": f"Part {part} of 3: go", "tools": None} for part in (2, 3)]
    told = list(reports_in(talk.results()))
    key = f"task:{told[0].task_id}" if told else ""
    turns: list[list[tuple[str, Any]]] = [
        [
            ("delegate", nobody),
            ("delegate_batch", {"tasks": two}),
            ("delegate", '{"task": '),
            ("read_file", {}),
        ],
        [("stream_results", {}), ("await_results", {"task_ids": None, "timeout_seconds": None})],
        [
            ("inspect", {"key": key, "page": None}),
            ("await_results", {"task_ids": ["no"], "timeout_seconds": 0}),
        ],
        [("set_answer", {"content": f"{len(told)} reports", "ready": True, "confidence": 0.5})],
    ]
    return Reply(tuple(call(10 * talk.turns + i, *one) for i, one in enumerate(turns[talk.turns])))


def asking(name: str, arguments: Callable[[int], Any]) -> Script:
    """Return a model that makes two calls of *name* in one turn and answers with the results."""

    def script(asked: Asked) -> Reply:
        talk = ScriptedConversation.of(asked)
        if talk.turns == 0:
            return Reply(tuple(call(i, name, arguments(i)) for i in range(2)))
        return Reply((Text(talk.results()),))

    return script


SCRIPTS: dict[str, Script] = {
    "delegate": thorough,
    "rlm": asking(
        "rlm_batch_complete",
        lambda i: {
            "queries": [{"query": f"Part {i}", "max_tokens": 900}],
            "max_parallel": 2,
            "total_budget": None,
        },
    ),
    "subagent": asking("subagent", lambda i: {"question": f"Part {i}: where?"}),
}


DEEPER: dict[str, dict[str, Any]] = {
    "delegate": {"task": "Part 9: help me", "tools": None},
    "rlm_sub_complete": {"query": "Part 9?", "max_tokens": None, "system": None, "tools": None},
    "subagent": {"question": "Part 9?"},
}


def overreaching(asked: Asked) -> Reply:
    """Call every tool of delegation, none of which a worker of this depth has, and only then work."""
    if ScriptedConversation.of(asked).turns == 0:
        return Reply(tuple(call(i, *wanted) for i, wanted in enumerate(DEEPER.items())))
    return part_worker()(asked)


@pytest.mark.parametrize("kind", SCRIPTS)
@pytest.mark.parametrize("wire", ["anthropic", "chat", "chat-strict", "responses"])
async def test_each_set_of_tools_works_in_each_wire_format(wire: str, kind: Any, tmp_path: Path) -> None:
    """Parallel, malformed, unknown and too deep calls included; nothing is refused, the bill is the same."""
    smart_id, cheap_id = (
        ("claude-opus-5-5", "claude-haiku-5-5") if wire == "anthropic" else ("gpt-6.1-sol", "gpt-6-luna")
    )
    sim = Simulator({smart_id: SCRIPTS[kind], cheap_id: overreaching})
    events: list[Event] = []
    async with sim:
        agent = Agent(
            smart_model=on_the_wire(sim, wire, smart_id),
            delegation_model=on_the_wire(sim, wire, cheap_id),
            registry=ModelRegistry(),
        )
        options = RunOptions(orchestrate=kind == "delegate", delegation_tools=kind)
        try:
            session = SessionContext.build(tmp_path, "the task", options=options)
            events = [event async for event in agent.run(session)]
        finally:
            await close_clients()
        last = events[-1]
        assert isinstance(last, RunFinished)
        result = last.result
        assert result.status == "ok", result.error
        assert [one.status for one in result.workers] == ["ok"] * (3 if kind == "delegate" else 2)
        assert result.bill.cost_usd == sim.bill.total_usd()
    records = JournalFiles().read(tmp_path, result.run_id).records()
    refused = [one for one in records if isinstance(one, ToolFinished) and one.result.is_error]
    deeper = [one.result.content for one in refused if "/task-" in one.span]
    assert len(deeper) == 3 * len(result.workers)
    assert deeper.count(str(SubCallDepthExceeded())) == len(result.workers)
    if kind == "delegate":
        assert result.answer == "3 reports"
        errors = [one.result.content for one in refused if "/task-" not in one.span]
        assert len(errors) == 3
        for says in ("not valid JSON", "There is no tool 'read_file'", "no worker of yours"):
            assert any(says in text for text in errors), says
    else:
        assert result.answer.count("wrote ") == 2


@pytest.mark.parametrize("provider", ["anthropic", "openai"])
@pytest.mark.parametrize(
    "one", [one for tools in TOOLS.values() for one in tools], ids=lambda one: one.spec.name
)
def test_each_tool_has_a_schema_that_is_strict_for_both_providers(one: Any, provider: str) -> None:
    """Every object closed, every property required, no keyword that a provider refuses."""
    check_schema(one.spec.parameters, provider, one.spec.name)
