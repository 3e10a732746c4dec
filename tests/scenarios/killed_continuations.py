"""Kills a run, or one that continues it, at its records, goes on in another process, and prints the outcome.

Started as a program by ``test_continued.py``. A story is a run and two that continue it, one behind the
other; in each the model writes a file and says so. Arguments: whether the runs are orchestrated (0 or 1), and
the step from one record to the next. Prints one JSON line for the unbroken story, one for each kill with a
resume, and one for each kill of the first run that is not resumed: it is continued as the kill left it.
"""

import asyncio
import json
import random
import shutil
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from killed_runs import PLACE, WAYS, DeadlyJournals, How, counted, files_of, has_begun, in_a_process

from sunwell.agent import Agent
from sunwell.context.options import RunOptions
from sunwell.context.session import SessionContext
from sunwell.core.message import Text, ToolCall
from sunwell.core.task import TaskResult
from sunwell.journal.layout import list_runs
from sunwell.journal.places import JournalFiles
from sunwell.models.registry import ModelRegistry
from sunwell.simulator import Asked, InProcessModel, Reply
from sunwell.simulator.scripts.conversation_state import ScriptedConversation, Wanted

QUESTIONS = ("Write file 0", "Write file 1", "Write file 2")


def writer(asked: Asked) -> Reply:
    """Write the file of the latest question, and say so."""
    number = _latest(asked)
    wanted = Wanted("write_file", {"path": f"{number}.txt", "content": f"{number}\n"})
    talk = ScriptedConversation.of(asked)
    if talk.is_open(wanted, 2):
        return Reply((Text("I write it."), wanted.as_call(f"call_{talk.turns:03d}")))
    return Reply((Text(f"File {number} is written."),))


def boss(asked: Asked) -> Reply:
    """Have a worker write the file of the latest question, wait for it, and set the answer."""
    number = _latest(asked)
    talk = ScriptedConversation.of(asked)
    task = {"task": f"Write file {number}", "tools": None}
    since = [f"{m.role} {m.text}" for m in asked.messages]
    begun = max(at for at, text in enumerate(since) if f"Write file {number}" in text)
    turns = sum(text.startswith("assistant") for text in since[begun:])
    calls: list[tuple[str, dict[str, Any]]] = [
        ("delegate", task),
        ("await_results", {"task_ids": None, "timeout_seconds": None}),
        ("set_answer", {"content": f"File {number} is written.", "ready": True, "confidence": 0.9}),
    ]
    name, arguments = calls[min(turns, 2)]
    return Reply((ToolCall(f"call_{talk.turns:03d}", name, json.dumps(arguments)),))


def _latest(asked: Asked) -> int:
    texts = " ".join(part.text for m in asked.messages for part in m.parts if isinstance(part, Text))
    return max(number for number, question in enumerate(QUESTIONS) if question in texts)


def agent_in(folder: Path, is_orchestrated: bool, journals: DeadlyJournals | None) -> Agent:
    """Return an agent whose models write files."""
    log, kept = folder / "asked.txt", journals or JournalFiles()
    worker = InProcessModel("claude-haiku-5-5", counted(writer, log))
    if not is_orchestrated:
        return Agent(model=worker, registry=ModelRegistry(), journals=kept)
    smart = InProcessModel("claude-opus-5-5", counted(boss, log))
    return Agent(smart_model=smart, delegation_model=worker, registry=ModelRegistry(), journals=kept)


async def answer_to(
    folder: Path, number: int, is_orchestrated: bool, journals: DeadlyJournals | None = None
) -> TaskResult:
    """Begin the run of question *number* in *folder*, or take it up if there is one already."""
    agent, workspace = agent_in(folder, is_orchestrated, journals), folder / "workspace"
    runs = [run.run_id for run in list_runs(workspace) if has_begun(run.path)]
    if len(runs) > number:
        return await agent.resume(runs[number], workspace=workspace)
    if number:
        return await agent.continue_run(runs[-1], QUESTIONS[number], workspace=workspace)
    options = RunOptions(orchestrate=is_orchestrated)
    return await agent.run(SessionContext.build(workspace, QUESTIONS[0], options=options))


def outcome(folder: Path, is_orchestrated: bool, first: int = 0) -> dict[str, Any]:
    """Ask the questions from *first* on in a process of its own and return what came of them."""
    report = folder / "result.json"

    def finish() -> None:
        told = []
        for number in range(first, len(QUESTIONS)):
            result = asyncio.run(answer_to(folder, number, is_orchestrated))
            uncertain = sum(line.uncertain_calls for line in result.bill.models)
            told.append((result.status, result.answer, result.bill.calls - uncertain, uncertain))
        report.write_text(json.dumps(told))

    code = in_a_process(finish)
    told = json.loads(report.read_text()) if code == 0 else [[f"exit {code}", "", 0, 0]]
    log = folder / "asked.txt"
    return {
        "ends": [one[:2] for one in told],
        "calls": sum(one[2] for one in told),
        "uncertain": sum(one[3] for one in told),
        "asked": len(log.read_text().splitlines()) if log.exists() else 0,
        "files": files_of(folder / "workspace"),
    }


def fresh() -> Path:
    """Return a new folder with an empty workspace in it."""
    folder = Path(tempfile.mkdtemp(prefix="sunwell-continued-", dir=PLACE))
    (folder / "workspace").mkdir()
    return folder


def tell_until(folder: Path, number: int, is_orchestrated: bool, deadly: DeadlyJournals) -> None:
    """Ask the questions before *number*, then that one until the kill."""
    for before in range(number):
        asyncio.run(answer_to(folder, before, is_orchestrated))
    asyncio.run(answer_to(folder, number, is_orchestrated, deadly))


def kill_at(
    number: int, at: int, how: How, is_orchestrated: bool, *, resumes: bool = True
) -> dict[str, Any] | None:
    """Kill the run of question *number* at record *at*, and go on; ``None``: it has no such record."""
    folder = fresh()
    try:
        deadly = DeadlyJournals(at, how, random.Random(f"{at} {how}"))
        if in_a_process(partial(tell_until, folder, number, is_orchestrated, deadly)) == 0:
            return None
        begun = any(has_begun(run.path) for run in list_runs(folder / "workspace"))
        first = 0 if resumes or not begun else number + 1
        case = {"number": number, "at": at, "how": how, "resumes": resumes}
        return case | outcome(folder, is_orchestrated, first)
    finally:
        shutil.rmtree(folder)


def main(is_orchestrated: bool, stride: int) -> None:
    """Print the outcome of an unbroken story, then of each killed one."""
    for number in range(2):  # the first loads in this process what every forked one then has
        folder = fresh()
        if number:
            print(json.dumps({"unbroken": outcome(folder, is_orchestrated)}), flush=True)
        else:
            asyncio.run(answer_to(folder, 0, is_orchestrated))
            asyncio.run(answer_to(folder, 1, is_orchestrated))
        shutil.rmtree(folder)
    for number, resumes in ((0, False), (1, True), (2, True)):
        at = 0
        while True:
            # The records of one question are like those of the next: each kind is met in each of the ways.
            how = WAYS[(at // stride + number) % 3]
            killed = kill_at(number, at, how, is_orchestrated, resumes=resumes)
            if killed is None:
                break
            print(json.dumps(killed), flush=True)
            at += stride


if __name__ == "__main__":
    main(bool(int(sys.argv[1])), int(sys.argv[2]))
