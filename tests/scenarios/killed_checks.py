"""Kills a run whose workers have checks, resumes it in another process, and prints what came of it.

Started as a program by ``test_killed_checks.py``: three workers write a word into a file each; the cheap
model writes the wrong one into one of them, so that this work goes up to the smart model. A fourth task has a
check that is refused. Arguments: the step from one record to the next, the record to begin with, how many
times a run is killed again while it is resumed. Prints one JSON line for the unbroken run and for each kill.
"""

import asyncio
import json
import shutil
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

from killed_runs import (
    WAYS,
    DeadlyJournals,
    counted,
    files_of,
    fresh,
    has_begun,
    in_a_process,
    killed_and_finished,
)

from sunwell.agent import Agent
from sunwell.context.options import RunOptions
from sunwell.context.session import SessionContext
from sunwell.core.message import Text
from sunwell.core.task import Budget, TaskResult
from sunwell.events import RunFinished
from sunwell.journal.layout import list_runs
from sunwell.journal.places import JournalFiles
from sunwell.models.registry import ModelRegistry
from sunwell.simulator import Asked, InProcessModel, Reply
from sunwell.simulator.scripts.conversation_state import ScriptedConversation, Wanted
from sunwell.simulator.scripts.scripted_orchestrator import reports_in

PARTS = 3
SLIPS = 1
"""The part that the cheap model gets wrong."""


def work(asked: Asked) -> Reply:
    """Hand the parts out, or do one: what comes next depends on the conversation alone."""
    return _orchestrate(asked) if "set_answer" in asked.tools else _write(asked)


def _orchestrate(asked: Asked) -> Reply:
    talk = ScriptedConversation.of(asked)
    tasks = [
        {"task": f"Part {part} of {PARTS}", "tools": None, "check": f"grep -qx right {part}.txt"}
        for part in range(PARTS)
    ]
    refused = {"task": "Part 9 of 3", "tools": None, "check": f"true {'x' * 3_000}"}
    told = {report.part: report.is_good for report in reports_in(talk.results())}
    answer = ", ".join(f"{part}: {'passed' if good else 'failed'}" for part, good in sorted(told.items()))
    wanted = [
        Wanted("delegate_batch", {"tasks": [tasks[0], refused, *tasks[1:]]}),
        Wanted("await_results", {"task_ids": None, "timeout_seconds": None}),
        Wanted("set_answer", {"content": answer or "?", "ready": True, "confidence": None}),
    ]
    call = next(call for call in wanted if talk.is_open(call, 1))
    return Reply((Text("Next."), call.as_call(f"call_{talk.turns:03d}")))


def _write(asked: Asked) -> Reply:
    talk = ScriptedConversation.of(asked)
    part = int(talk.task.split()[1])
    told = sum(message.role == "user" and bool(message.text) for message in asked.messages)
    is_wrong = part == SLIPS and "haiku" in asked.model
    word = f"wrong {told}" if is_wrong else "right"
    call = Wanted("write_file", {"path": f"{part}.txt", "content": f"{word}\n"})
    if talk.is_open(call, 1):
        return Reply((Text("I write it."), call.as_call(f"call_{talk.turns:03d}")))
    return Reply((Text(f"{part}.txt is written."),))


async def result_of(folder: Path, journals: DeadlyJournals | None = None) -> TaskResult:
    """Begin the run of *folder*, or take it up where there is one already."""
    log, workspace = folder / "asked.txt", folder / "workspace"
    agent = Agent(
        smart_model=InProcessModel("claude-opus-5-5", counted(work, log)),
        delegation_model=InProcessModel("claude-haiku-5-5", counted(work, log), latency_seconds=0.002),
        registry=ModelRegistry(),
        journals=journals or JournalFiles(),
    )
    runs = [run for run in list_runs(workspace) if has_begun(run.path)]
    if runs:
        given = {"allow_shell": True, "sandbox": "off"}  # a record cannot grant that commands run
        events = agent.resume(runs[-1].run_id, workspace=workspace, given=given)
    else:
        options = RunOptions(
            orchestrate=True,
            escalate=True,
            worth_usd=1_000,
            ladder=("cheap", "cheap_again", "smart"),
            allow_shell=True,
            sandbox="off",
            max_concurrent=2,
            budget=Budget(usd=Decimal(5)),
        )
        events = agent.run(SessionContext.build(workspace, "Write all parts", options=options))
    async for event in events:
        if isinstance(event, RunFinished):
            return event.result
    raise AssertionError("no result")


def _told(result: TaskResult) -> dict[str, Any]:
    found = result.verification
    return {
        "task": result.task,
        "status": result.status,
        "passed": None if found is None else found.passed,
        "rungs": [] if found is None else [[one.rung, one.model, one.passed] for one in found.attempts],
        "tools": result.tools_called,
        "diff": result.diff,
    }


def outcome(folder: Path) -> dict[str, Any]:
    """Finish the run of *folder* in a process of its own and return what came of it."""
    report = folder / "result.json"

    def finish() -> None:
        result = asyncio.run(result_of(folder))
        report.write_text(
            json.dumps(
                {
                    "status": result.status,
                    "answer": result.answer,
                    "workers": sorted((_told(one) for one in result.workers), key=lambda one: one["task"]),
                    "rungs": sorted((name, total.calls) for name, total in result.bill.split("rung")),
                    "fits": (result.bill.cost_usd or 0) <= 5,
                    "uncertain_calls": sum(line.uncertain_calls for line in result.bill.models),
                }
            )
        )

    code = in_a_process(finish)
    said = json.loads(report.read_text()) if code == 0 else {"status": f"exit {code}"}
    asked = (folder / "asked.txt").read_text().splitlines()
    return said | {"asked": len(asked), "files": files_of(folder / "workspace")}


def run_to_its_end(folder: Path, journals: DeadlyJournals) -> None:
    """Begin the run of *folder* or take it up."""
    asyncio.run(result_of(folder, journals))


def main(stride: int, first: int, again: int) -> None:
    """Print the outcome of an unbroken run, then of killed ones: every *stride*-th record from *first* on.

    A stride of one has each record in each of the three ways, a longer one has them by turns.
    """
    for number in range(2):  # the first loads in this process what every forked one then has
        folder = fresh()
        whole = outcome(folder) if number else asyncio.run(result_of(folder))
        shutil.rmtree(folder)
    print(json.dumps({"unbroken": whole}), flush=True)
    for at in range(first, 1_000, stride):
        ways = WAYS if stride == 1 else (WAYS[at // stride % 3],)
        killed = [killed_and_finished(at, how, again, run_to_its_end, outcome) for how in ways]
        if not any(killed):
            return
        for one in killed:
            if one is not None:
                print(json.dumps(one), flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:4]))
