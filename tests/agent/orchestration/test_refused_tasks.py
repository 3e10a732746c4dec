"""A mistake in one task of a batch costs that task alone, and a resumed run starts the same workers."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest

from sunwell.agent import Agent
from sunwell.agent.prompts import CALL_NO_TOOLS, work_prompt
from sunwell.context.options import RunOptions
from sunwell.context.session import SessionContext
from sunwell.core import Completion, Request, TaskResult, ToolCall, ToolResult
from sunwell.core.message import Message
from sunwell.errors import ServerFailed
from sunwell.journal.codec import encode
from sunwell.journal.ownership import adopt
from sunwell.journal.places import JournalFiles
from sunwell.journal.records import Answer, Note, Record, ToolFinished, ToolStarted, WorkerOpened
from sunwell.testing import ScriptedModel, task_in
from sunwell.tools import tool
from tests.agent.orchestrated import answer, boss, call, calls, ids_in, orchestrated, results_in, run, worker

WAIT = call("await_results", task_ids=None, timeout_seconds=None)
MIXED = [
    {"task": "first", "tools": None},
    {"task": "second", "tools": ["look", "fly"]},
    {"task": " ", "tools": None},
    {"task": "fourth", "tools": ["look"]},
]


@tool
async def look() -> str:
    """Look."""
    return "seen"


def said(request: Request) -> str:
    """Return the answer of a worker, which names its task."""
    return f"did {task_in(request)}"


def test_the_tasks_without_a_mistake_start_and_the_others_say_why_not() -> None:
    """In the order of the tasks; the refused ones name what is wrong and which tools there are."""
    smart = boss(call("delegate_batch", tasks=MIXED), WAIT, answer("ok"))
    result, _ = run(smart, worker(said, said), tools=[look])
    first, fourth = ids_in(smart.calls[1])
    head, *lines = results_in(smart.calls[1])[0].split("\n")
    assert head.startswith("Started 2 workers for 4 tasks; nothing is waited for.")
    assert lines == [
        f"- {first} · first",
        "- not started · second · this worker cannot have 'fly'; its tools: look",
        "- not started · (no text) · the task is empty: say in words what the worker is to do",
        f"- {fourth} · fourth",
    ]
    assert [(one.task_id, one.answer) for one in result.workers] == [
        (first, "did first"),
        (fourth, "did fourth"),
    ]
    assert not any(
        part.is_error for part in smart.calls[1].messages[-1].parts if isinstance(part, ToolResult)
    )


def test_a_batch_of_which_nothing_can_start_is_an_error_with_all_reasons() -> None:
    """Nobody is asked, and the run goes on."""
    tasks = [{"task": "x", "tools": ["fly", "swim"]}, {"task": "", "tools": None}]
    smart = boss(call("delegate_batch", tasks=tasks), answer("ok"))
    result, _ = run(smart, worker(), tools=[look])
    assert (result.status, result.workers) == ("ok", ())
    (refused,) = [part for part in smart.calls[1].messages[-1].parts if isinstance(part, ToolResult)]
    assert refused.is_error
    assert refused.content.startswith("Started 0 workers for 2 tasks")
    assert "cannot have 'fly', 'swim'; its tools: look" in refused.content
    assert "the task is empty" in refused.content


@tool
async def smell() -> str:
    """Smell."""
    return "roses"


@pytest.mark.parametrize(
    ("depth", "wanted", "told"),
    [
        pytest.param(1, "delegate", "its tools: look, smell", id="a-worker-that-may-start-none"),
        pytest.param(2, "fly", "its tools: look, smell, delegate, ", id="a-worker-that-may"),
    ],
)
def test_the_tools_that_are_told_are_those_of_that_worker(depth: int, wanted: str, told: str) -> None:
    """Where it may start no workers, it cannot have the tools for it."""
    smart = boss(call("delegate", task="x", tools=[wanted]), answer("ok"))
    run(smart, worker(), orchestrated(max_depth=depth), [look, smell])
    assert f"this worker cannot have '{wanted}'; {told}" in results_in(smart.calls[1])[0]


def test_a_grandchild_is_told_the_tools_of_its_parent() -> None:
    """What its parent was not given cannot be passed on."""
    granted = ["look", "delegate_batch", "await_results"]
    smart = boss(call("delegate", task="split it", tools=granted), WAIT, answer("ok"))
    tasks = [{"task": "one", "tools": ["smell"]}, {"task": "two", "tools": ["look"]}]

    def does(request: Request) -> Completion | str:
        if task_in(request) == "two":
            return "seen"
        return results_in(request)[0] if results_in(request) else call("delegate_batch", tasks=tasks)

    result, _ = run(smart, worker(does, does, does), orchestrated(max_depth=2), [look, smell])
    assert (
        "- not started · one · this worker cannot have 'smell'; its tools: look\n" in result.workers[0].answer
    )
    assert {one.task for one in result.workers} == {"split it", "two"}


def test_a_worker_without_tools_has_the_prompt_of_work_without_tools() -> None:
    """No specs in its request, and nothing of tools in what it is told; its siblings keep theirs."""
    tasks = [{"task": "a", "tools": None}, {"task": "b", "tools": []}, {"task": "c", "tools": ["look"]}]
    smart = boss(call("delegate_batch", tasks=tasks), WAIT, answer("ok"))
    cheap = worker(said, said, said)
    run(smart, cheap, tools=[look, smell])
    all_of_them, none, one = sorted(cheap.calls, key=task_in)
    assert [spec.name for spec in none.tools] == []
    assert none.system == (work_prompt(()),)
    assert CALL_NO_TOOLS not in none.messages[0].text
    for request in (all_of_them, one):
        assert [spec.name for spec in request.tools] == ["look", "smell"]
        assert request.system == (work_prompt(("look", "smell")),)
    assert "You may call only these tools: look." in one.messages[0].text


async def test_the_workspace_is_not_described_to_a_worker_that_cannot_look_at_it(tmp_path: Path) -> None:
    """The caller's own words stay, and so does a way of working that the caller has written."""
    for own in (None, "Work in pairs."):
        options = RunOptions(orchestrate=True, system_prompt="Be kind.", work_prompt=own)
        smart = boss(call("delegate", task="b", tools=[]), WAIT, answer("ok"))
        cheap = worker("B")
        session = SessionContext.build(tmp_path, "the task", options=options)
        await Agent(smart_model=smart, delegation_model=cheap).result(session)
        assert cheap.calls[0].system == ("Be kind.", own or work_prompt(()))


Change = Callable[[Record], Record | None]


def session_in(folder: Path) -> SessionContext:
    """Return the session of an orchestrated run."""
    return SessionContext.build(folder, "the task", options=RunOptions(orchestrate=True))


async def broken_run(folder: Path, message: Completion, *lines: Any) -> TaskResult:
    """Return the end of a run whose model says *message* and is down afterwards."""
    smart = boss(message, ServerFailed("boss", "down"))
    return await Agent(smart_model=smart, delegation_model=worker(*lines)).result(session_in(folder))


def rewrite(folder: Path, run_id: str, change: Callable[[Sequence[Record]], Sequence[Record]]) -> None:
    """Replace the records of a run by what *change* makes of them."""
    journal = JournalFiles().read(folder, run_id)
    records = change(list(journal.records()))
    (path,) = (folder / ".sunwell").rglob(f"{run_id}/journal.jsonl")
    path.write_bytes(b"".join(encode(one, number) + b"\n" for number, one in enumerate(records)))
    adopt(folder, run_id)  # the mark of the run is on its first record


async def resumed(folder: Path, run_id: str, smart: ScriptedModel, cheap: ScriptedModel) -> TaskResult:
    """Return the result of the run, taken up by another agent."""
    agent = Agent(smart_model=smart, delegation_model=cheap)
    events = [event async for event in agent.resume(run_id, workspace=folder)]
    return events[-1].result  # type: ignore[no-any-return,attr-defined]


MIXED_FILES: list[dict[str, Any]] = [
    {"task": "first", "tools": ["read_file"]},
    {"task": "second", "tools": ["fly"]},
    {"task": "third", "tools": None},
]


@pytest.mark.parametrize("last", ["refused-0", "start-0", "result", "whole"])
async def test_a_run_that_was_killed_in_the_call_starts_the_same_workers(tmp_path: Path, last: str) -> None:
    """After the refusal is written down, after the start is, or after the model could be told."""
    first = await broken_run(tmp_path, call("delegate_batch", tasks=MIXED_FILES), said, said)
    before = {one.task: one.task_id for one in first.workers}
    assert set(before) == {"first", "third"}

    def cut(records: Sequence[Record]) -> Sequence[Record]:
        for number, one in enumerate(records):
            is_note = isinstance(one, Note) and one.name == last
            if is_note or (last == "result" and isinstance(one, ToolFinished)):
                return records[: number + 1]
        return records

    rewrite(tmp_path, first.run_id, cut)
    smart = boss(WAIT, answer("ok"))
    result = await resumed(tmp_path, first.run_id, smart, worker(said, said))
    assert result.status == "ok"
    assert {one.task: one.task_id for one in result.workers} == before
    (told, *_) = results_in(smart.calls[0])
    assert "- not started · second · this worker cannot have 'fly'; its tools: list_files, " in told
    assert ids_in(smart.calls[0])[:2] == [before["first"], before["third"]]


@pytest.mark.parametrize("calls_left", [0, 1, 2, 3])
async def test_calls_of_one_message_start_the_same_workers_after_a_kill(
    tmp_path: Path, calls_left: int
) -> None:
    """They are planned together again, whichever of them were carried out before."""
    wanted = [("delegate", {"task": task, "tools": None}) for task in ("first", "second", "third")]
    first = await broken_run(tmp_path, calls(*wanted), said, said, said)

    def cut(records: Sequence[Record]) -> Sequence[Record]:
        ends = [number for number, one in enumerate(records) if isinstance(one, ToolFinished)]
        begins = [number for number, one in enumerate(records) if isinstance(one, ToolStarted)]
        return records[: ends[calls_left - 1] + 1 if calls_left else begins[0] + 1]

    rewrite(tmp_path, first.run_id, cut)
    smart = boss(WAIT, answer("ok"))
    result = await resumed(tmp_path, first.run_id, smart, worker(said, said, said))
    assert [one.task_id for one in result.workers] == [one.task_id for one in first.workers]
    assert [one.answer for one in result.workers] == ["did first", "did second", "did third"]


async def test_a_batch_that_an_earlier_version_refused_as_a_whole_stays_refused(tmp_path: Path) -> None:
    """The model was told so: none of its workers is started when the run is taken up."""
    first = await broken_run(tmp_path, call("delegate_batch", tasks=MIXED_FILES), said, said)
    old = "workers have no tool 'fly'; theirs are: list_files, read_file"

    def as_before(records: Sequence[Record]) -> Sequence[Record]:
        kept: list[Record] = []
        for one in records:
            kept.append(one)
            if isinstance(one, ToolStarted):
                result = ToolResult(one.call.id, old, is_error=True)
                return [*kept, ToolFinished(one.span, one.turn, one.index, one.call.name, result, 0.0)]
        raise AssertionError("no call")

    rewrite(tmp_path, first.run_id, as_before)
    smart = boss(answer("ok"))
    result = await resumed(tmp_path, first.run_id, smart, worker())
    assert (result.status, result.workers) == ("ok", ())
    assert results_in(smart.calls[0]) == [old]


def with_arguments(old: str, new: str) -> Change:
    """Return a change that writes *new* for *old* in the arguments of calls."""

    def of(call: ToolCall) -> ToolCall:
        return attrs.evolve(call, arguments=call.arguments.replace(old, new))

    def change(record: Record) -> Record:
        if isinstance(record, ToolStarted):
            return attrs.evolve(record, call=of(record.call))
        if isinstance(record, Answer):
            parts = [of(part) if isinstance(part, ToolCall) else part for part in record.completion.parts]
            return attrs.evolve(record, completion=attrs.evolve(record.completion, parts=tuple(parts)))
        return record

    return change


async def test_workers_that_an_earlier_version_started_are_started_again(tmp_path: Path) -> None:
    """It allowed a tool that such a worker cannot have; their results are those on record."""
    tasks = [{"task": "first", "tools": ["read_file"]}, {"task": "second", "tools": None}]
    first = await broken_run(tmp_path, call("delegate_batch", tasks=tasks), said, said)
    change = with_arguments('["read_file"]', '["read_file", "delegate"]')
    rewrite(tmp_path, first.run_id, lambda records: [one for record in records if (one := change(record))])
    result = await resumed(tmp_path, first.run_id, boss(WAIT, answer("ok")), worker(said, said))
    assert [one.task_id for one in result.workers] == [one.task_id for one in first.workers]
    assert [one.status for one in result.workers] == ["ok", "ok"]


async def test_a_worker_that_was_offered_tools_it_may_not_call_is_asked_the_same_again(
    tmp_path: Path,
) -> None:
    """Earlier versions sent them to all; what such a worker was told is on record."""
    first = await broken_run(tmp_path, call("delegate", task="b", tools=[]), said)

    def as_before(record: Record) -> Record | None:
        if isinstance(record, WorkerOpened):
            return attrs.evolve(record, told=f"[From the harness: {CALL_NO_TOOLS}]")
        return record

    def cut(records: Sequence[Record]) -> Sequence[Record]:
        kept = [one for record in records if (one := as_before(record))]
        (number,) = [number for number, one in enumerate(kept) if isinstance(one, WorkerOpened)]
        return kept[: number + 1]

    rewrite(tmp_path, first.run_id, cut)
    cheap = worker(said)
    await resumed(tmp_path, first.run_id, boss(WAIT, answer("ok")), cheap)
    (request,) = cheap.calls
    assert isinstance(request.messages[0], Message)
    assert CALL_NO_TOOLS in request.messages[0].text
    assert "read_file" in [spec.name for spec in request.tools]
