"""Kills a run that climbs at its records, resumes it in another process, and prints what came of it.

Started as a program by ``test_killed_ladders.py`` and ``benchmarks/kills.py``. Arguments: ``run``, a task
that passes on the last of five rungs, or ``batch``, three items of which one fails twice; the step from one
record to the next; the record to begin with; how many times a run is killed again while it is resumed. Prints
one JSON line for the unbroken run and for each kill.
"""

import asyncio
import json
import os
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
from sunwell.core.check import Checking, Verdict
from sunwell.core.message import Text
from sunwell.core.task import Task, TaskResult
from sunwell.core.verdict import verification_fields
from sunwell.events import RunFinished
from sunwell.journal.layout import list_runs
from sunwell.journal.places import JournalFiles
from sunwell.models.registry import ModelRegistry
from sunwell.simulator import Asked, InProcessModel, Reply
from sunwell.simulator.scripts import smart
from sunwell.simulator.scripts.conversation_state import ScriptedConversation, Wanted

RUNGS = 5
TASK = "Leave a note of each attempt in notes/0"
TASKS = [f"Leave a note of each attempt in notes/{number}" for number in range(3)]
_LENS_SAYS = "Change nothing that the task does not ask for."


def attempt(asked: Asked) -> Reply:
    """Write a note that names the attempt, read it, and answer; or write a lens if one is wanted."""
    if asked.schema is not None:
        return smart(asked)
    talk = ScriptedConversation.of(asked)
    told = sum(message.role == "user" and bool(message.text) for message in asked.messages)
    way = "lens" if _LENS_SAYS in asked.system else str(told)
    path = f"{_place(talk.task)}/{asked.model}-{way}.txt"
    write = Wanted("write_file", {"path": path, "content": f"{path}\n"})
    read = Wanted("read_file", {"path": path, "start_line": None, "end_line": None})
    for wanted in (write, read):
        if talk.is_open(wanted, 1):
            return Reply((Text("Next."), wanted.as_call(f"call_{talk.turns:03d}")))
    return Reply((Text(f"{path} is written."),))


def _place(task: str) -> str:
    return next(word for word in task.split() if word.startswith("notes/"))


async def has_all_notes(checking: Checking) -> Verdict:
    """Pass once every rung has left its note, in whatever order; in a batch, the first item needs three."""
    assert checking.workspace is not None
    place = _place(checking.task)
    found = sorted(path.stem for path in (checking.workspace / place).glob("*.txt"))
    wanted = RUNGS if checking.task == TASK and not _is_batch() else 3 if place == "notes/0" else 1
    return Verdict(len(found) >= wanted, f"{len(found)} notes: {', '.join(found)}")


def _is_batch() -> bool:
    return sys.argv[1] == "batch"


def agent_in(folder: Path, journals: DeadlyJournals | None) -> Agent:
    """Return an agent whose models write down each question."""
    script = counted(attempt, folder / "asked.txt")
    return Agent(
        smart_model=InProcessModel("claude-opus-5-5", script),
        delegation_model=InProcessModel("claude-haiku-5-5", script, latency_seconds=0.001),
        registry=ModelRegistry(),
        journals=journals or JournalFiles(),
    )


async def result_of(folder: Path, journals: DeadlyJournals | None = None) -> TaskResult:
    """Begin the run of *folder*, or take it up where there is one already."""
    os.environ["SUNWELL_HOME"] = str(folder / "home")  # outcomes are kept, also by what is killed
    os.environ.pop("SUNWELL_OUTCOMES", None)
    agent, workspace = agent_in(folder, journals), folder / "workspace"
    own: dict[str, Any] = {"checks": (has_all_notes,)}
    if not _is_batch():
        script = counted(attempt, folder / "asked.txt")
        own["second_model"] = InProcessModel("claude-sonnet-5-5", script)
    runs = [run for run in list_runs(workspace) if has_begun(run.path)]
    if runs:
        events = agent.resume(runs[-1].run_id, workspace=workspace, given=own)
    else:
        ladder = ("cheap", "cheap_again", "smart") if _is_batch() else None
        options = RunOptions(escalate=True, worth_usd=1_000, ladder=ladder, max_concurrent=2, **own)
        if _is_batch():
            events = agent.batch_events([Task(text) for text in TASKS], workspace=workspace, options=options)
        else:
            events = agent.run(SessionContext.build(workspace, TASK, options=options))
    async for event in events:
        if isinstance(event, RunFinished):
            return event.result
    raise AssertionError("no result")


def run_to_its_end(folder: Path, journals: DeadlyJournals) -> None:
    """Begin the run of *folder* or take it up."""
    asyncio.run(result_of(folder, journals))


def settled(evidence: str) -> str:
    """Return *evidence* without the siblings that were at work then: after a kill, they are others."""
    lines = evidence.splitlines()
    return "\n".join(line for line in lines if not line.startswith("Still at work in the same folder"))


def _told(result: TaskResult) -> dict[str, Any]:
    found = verification_fields(result.verification)
    assert found is not None
    # Why a rung was chosen tells of outcomes; one that was found just before a kill may be lost.
    rungs = [
        [*[rung[name] for name in ("rung", "model", "passed")], settled(rung["evidence"])]
        for rung in found["rungs"]
    ]
    costs = [Decimal(rung["cost_usd"]) for rung in found["rungs"]]
    by_rung = result.bill.split("rung")
    return {
        "status": result.status,
        "answer": result.answer,
        "passed": found["passed"],
        "evidence": settled(found["evidence"]),
        "rungs": rungs,
        "turns": result.turns,
        # In tokens: the cache of a model in the process is lost with it.
        "tokens": sorted((name, total.usage.total_tokens) for name, total in by_rung),
        "fits": not costs or sum(costs) == result.bill.cost_usd,
    }


def outcome(folder: Path) -> dict[str, Any]:
    """Finish the run of *folder* in a process of its own and return what came of it."""
    report = folder / "result.json"

    def finish() -> None:
        result = asyncio.run(result_of(folder))
        uncertain = sum(line.uncertain_calls for line in result.bill.models)
        items = [_told(one) for one in result.workers]
        report.write_text(json.dumps(_told(result) | {"items": items, "uncertain_calls": uncertain}))

    code = in_a_process(finish)
    said = json.loads(report.read_text()) if code == 0 else {"status": f"exit {code}"}
    asked = (folder / "asked.txt").read_text().splitlines()
    return said | {"asked": len(asked), "files": files_of(folder / "workspace")}


def main(stride: int, first: int, again: int) -> None:
    """Print the outcome of an unbroken run, then of killed ones: every *stride*-th record from *first* on.

    A stride of one has each record in each of the three ways, a longer one has them by turns.
    """
    folder = fresh()
    asyncio.run(result_of(folder))  # loads in this process what every forked one then has
    shutil.rmtree(folder)
    folder = fresh()
    print(json.dumps({"unbroken": outcome(folder)}), flush=True)
    shutil.rmtree(folder)
    for at in range(first, 1_000, stride):
        ways = WAYS if stride == 1 else (WAYS[at // stride % 3],)
        killed = [killed_and_finished(at, how, again, run_to_its_end, outcome) for how in ways]
        if not any(killed):
            return
        for one in killed:
            if one is not None:
                print(json.dumps(one), flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[2:5]))
