"""Kills an orchestrated run at its records, resumes it in another process, and prints what came of it.

Started as a program by ``test_orchestrated.py`` and ``benchmarks/orchestrated.py``: the orchestrator plans,
streams, waits, inspects what failed, repairs it and answers; its workers write a file each. Arguments:
number of workers, step from one record to the next, how many times a run is killed again while it is
resumed. With a fourth argument, ``reading``, the orchestrator is that of ``reading_orchestrator.py``, which
waits for the next reports and so has another number of turns each time. Prints one JSON line for the
unbroken run and for each kill.
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

from killed_runs import PLACE, DeadlyJournals, How, counted, files_of, has_begun, in_a_process
from reading_orchestrator import ReadingOrchestrator, reading_worker

from sunwell.agent import Agent
from sunwell.context.options import RunOptions
from sunwell.context.session import SessionContext
from sunwell.core.task import TaskResult
from sunwell.events import RunFinished
from sunwell.journal.layout import list_runs
from sunwell.journal.places import JournalFiles
from sunwell.models.registry import ModelRegistry
from sunwell.simulator import InProcessModel
from sunwell.simulator.scripts.scripted_orchestrator import orchestrator, part_worker

TASK = "Write all parts down"
IS_READING = sys.argv[4:] == ["reading"]


def agent_in(folder: Path, workers: int, journals: DeadlyJournals | None) -> Agent:
    """Return an agent with an orchestrator and workers, of which every tenth fails at first."""
    log = folder / "asked.txt"
    fails = tuple(range(3, workers, 10))
    smart, worker = orchestrator(workers), part_worker(fails)
    if IS_READING:
        smart = ReadingOrchestrator(workers, follow_ups=2, looks_at=1, at_once=2)
        worker = reading_worker({part: 300 + 2_500 * (part % 3) for part in range(workers)}, fails)
    cheap = counted(worker, log)
    return Agent(
        smart_model=InProcessModel("claude-opus-5-5", counted(smart, log)),
        delegation_model=InProcessModel("claude-haiku-5-5", cheap, latency_seconds=0.002),
        registry=ModelRegistry(),
        journals=journals or JournalFiles(),
    )


async def result_of(folder: Path, workers: int, journals: DeadlyJournals | None = None) -> TaskResult:
    """Begin the run of *folder*, or take it up where there is one already."""
    agent, workspace = agent_in(folder, workers, journals), folder / "workspace"
    runs = [run for run in list_runs(workspace) if has_begun(run.path)]
    if runs:
        events = agent.resume(runs[-1].run_id, workspace=workspace)
    else:
        options = RunOptions(orchestrate=True, max_concurrent=6)
        events = agent.run(SessionContext.build(workspace, TASK, options=options))
    async for event in events:
        if isinstance(event, RunFinished):
            return event.result
    raise AssertionError("no result")


def outcome(folder: Path, workers: int) -> dict[str, Any]:
    """Finish the run of *folder* in a process of its own and return what came of it."""
    report = folder / "result.json"

    def finish() -> None:
        result = asyncio.run(result_of(folder, workers))
        known = {
            "status": result.status,
            "answer": result.answer,
            "calls": result.bill.calls,
            "workers": sorted((one.task, one.status, one.answer) for one in result.workers),
            "uncertain_calls": sum(line.uncertain_calls for line in result.bill.models),
        }
        report.write_text(json.dumps(known))

    code = in_a_process(finish)
    said = json.loads(report.read_text()) if code == 0 else {"status": f"exit {code}"}
    asked = (folder / "asked.txt").read_text().splitlines() if (folder / "asked.txt").exists() else []
    return said | {"asked": len(asked), "files": files_of(folder / "workspace")}


def fresh() -> Path:
    """Return a new folder with an empty workspace in it."""
    folder = Path(tempfile.mkdtemp(prefix="sunwell-orchestrated-", dir=PLACE))
    (folder / "workspace").mkdir()
    return folder


def begin(folder: Path, workers: int, deadly: DeadlyJournals) -> None:
    """Run until the kill."""
    asyncio.run(result_of(folder, workers, deadly))


def kill_at(at: int, how: How, workers: int, again: int) -> dict[str, Any] | None:
    """Kill a run at record *at*, *again* times more while it is resumed, and finish it."""
    folder, chance = fresh(), random.Random(f"{at}{how}")
    try:
        if in_a_process(partial(begin, folder, workers, DeadlyJournals(at, how, chance))) == 0:
            return None
        kills = 1
        for _ in range(again):
            deadly = DeadlyJournals(chance.randrange(1, 60), how, chance)
            kills += in_a_process(partial(begin, folder, workers, deadly)) == -9
        return {"at": at, "how": how, "kills": kills, **outcome(folder, workers)}
    finally:
        shutil.rmtree(folder)


def main(workers: int, stride: int, again: int) -> None:
    """Print the outcome of an unbroken run, then of each killed one."""
    for number in range(2):  # the first loads in this process what every forked one then has
        folder = fresh()
        whole = outcome(folder, workers) if number else asyncio.run(result_of(folder, workers))
        shutil.rmtree(folder)
    print(json.dumps({"unbroken": whole}), flush=True)
    at, ways = 0, ("before", "after", "inside")
    while True:
        chosen = ways if stride == 1 else (ways[at // stride % 3],)
        for way in chosen:
            one = kill_at(at, way, workers, again if at // stride % 4 == 1 else 0)  # type: ignore[arg-type]
            if one is None:
                return
            print(json.dumps(one), flush=True)
        at += stride


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:4]))
