"""Kills a run at every record, resumes it in another process, and prints what came of it.

Started as a program by ``test_resume.py`` and ``benchmarks/resume.py``: each run is a forked process of
its own that is ended by SIGKILL before a record is written, after it, or in the middle of its line. The
first argument is the number of turns, the second the step from one record to the next, the third how many
times a run is killed again while it is resumed, a fourth the record to begin with, a fifth how rarely a
record is one at which the run is killed again while it is resumed: 1 is every one, in each of the three ways;
otherwise a record has one of the ways, by turns. Prints one JSON line for the unbroken run and each kill.
"""

import asyncio
import gc
import json
import os
import random
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

import attrs
from journal_around import JournalAround

from sunwell.agent import Agent
from sunwell.context.options import RunOptions
from sunwell.context.session import SessionContext
from sunwell.core.task import TaskResult
from sunwell.errors import JournalError
from sunwell.events import RunFinished
from sunwell.journal import read_records
from sunwell.journal.layout import list_runs
from sunwell.journal.places import JournalFiles
from sunwell.journal.protocol import Durability, Journal
from sunwell.journal.records import Record
from sunwell.models.registry import ModelRegistry
from sunwell.simulator import Asked, InProcessModel, Reply, Script
from sunwell.simulator.scripts import smart, steps

How = Literal["before", "after", "inside"]
WAYS: tuple[How, ...] = ("before", "after", "inside")
TASK = "Generate CRUD endpoints for 5 entities"
PLACE = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
"""Where the folders of runs lie: in memory where that can be. What a killed process has written stays there,
too, and thousands of syncs cost nothing. Loss of power is another matter, with tests of its own."""


@attrs.define(eq=False)
class DeadlyJournal(JournalAround):
    """A journal that kills its process at one record: before it is written, or after."""

    at: int
    how: How
    chance: random.Random
    _count: int = attrs.field(default=0, init=False)

    async def append(self, record: Record, *, durable: Durability = True) -> None:
        this, self._count = self._count, self._count + 1
        if this == self.at and self.how == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        before = self.path.stat().st_size if self.path else 0
        await super().append(record, durable=durable)
        if this == self.at:
            if self.how == "inside" and self.path:  # as if it had been killed while the line was written
                self._cut(self.path, before)
            os.kill(os.getpid(), signal.SIGKILL)

    def _cut(self, path: Path, before: int) -> None:
        with path.open("rb") as file:
            file.seek(before)
            written = file.read()
        # What others wrote meanwhile may be synced, and used: no kill could take that back.
        if written.count(b"\n") == 1:
            os.truncate(path, self.chance.randrange(before, before + len(written)))


@attrs.frozen
class DeadlyJournals:
    """Journals of which each kills its process at one record."""

    at: int
    how: How
    chance: random.Random

    def create(self, workspace: Path, run_id: str) -> Journal:
        return DeadlyJournal(JournalFiles().create(workspace, run_id), self.at, self.how, self.chance)

    def open(self, workspace: Path, run_id: str) -> Journal:
        return DeadlyJournal(JournalFiles().open(workspace, run_id), self.at, self.how, self.chance)

    def read(self, workspace: Path, run_id: str) -> Journal:
        return JournalFiles().read(workspace, run_id)


def counted(script: Script, log: Path) -> Script:
    """Return *script*, with a line in *log* for each question, written before it is answered."""

    def answer(asked: Asked) -> Reply:
        reply = script(asked)
        with log.open("a") as lines:
            lines.write(f"{asked.model} {len(asked.messages)}\n")
        return reply

    return answer


def agent_in(folder: Path, turns: int, journals: DeadlyJournals | None) -> Agent:
    """Return an agent whose smart model writes a lens and whose cheap one makes *turns* turns."""
    log = folder / "asked.txt"
    return Agent(
        smart_model=InProcessModel("claude-opus-5-5", counted(smart, log)),
        delegation_model=InProcessModel("claude-haiku-5-5", counted(steps(turns), log)),
        registry=ModelRegistry(),
        journals=journals or JournalFiles(),
    )


def has_begun(journal: Path) -> bool:
    """Whether the first record stands in *journal*; else the run was killed before anything was asked."""
    try:
        return next(read_records(journal), None) is not None
    except JournalError:
        return False


async def result_of(folder: Path, turns: int, journals: DeadlyJournals | None = None) -> TaskResult:
    """Begin the run of *folder*, or take it up where there is one already."""
    agent, workspace = agent_in(folder, turns, journals), folder / "workspace"
    runs = [run for run in list_runs(workspace) if has_begun(run.path)]
    if runs:
        events = agent.resume(runs[-1].run_id, workspace=workspace)
    else:
        options = RunOptions(enable_delegation=True)
        events = agent.run(SessionContext.build(workspace, TASK, options=options))
    async for event in events:
        if isinstance(event, RunFinished):
            return event.result
    raise AssertionError("no result")


def run_to_its_end(folder: Path, turns: int, journals: DeadlyJournals) -> None:
    """Begin the run of *folder* or take it up."""
    asyncio.run(result_of(folder, turns, journals))


def in_a_process(work: Callable[[], None]) -> int:
    """Run *work* in a forked process and return how it ended; negative is a signal."""
    gc.freeze()  # what is loaded is not looked through again in each of them
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def files_of(workspace: Path) -> dict[str, str]:
    """Return every file of *workspace* with its content, the runs left out."""
    paths = sorted(path for path in workspace.rglob("*") if path.is_file() and ".sunwell" not in path.parts)
    return {str(path.relative_to(workspace)): path.read_text() for path in paths}


def outcome(folder: Path, turns: int) -> dict[str, object]:
    """Finish the run of *folder* in a process of its own and return what came of it."""
    report = folder / "result.json"

    def finish() -> None:
        result = asyncio.run(result_of(folder, turns))
        usage = result.bill.usage
        report.write_text(
            json.dumps(
                {
                    "status": result.status,
                    "answer": result.answer,
                    "turns": result.turns,
                    "tokens": usage.total_tokens,
                    "uncertain_calls": sum(line.uncertain_calls for line in result.bill.models),
                }
            )
        )

    code = in_a_process(finish)
    said = json.loads(report.read_text()) if code == 0 else {"status": f"exit {code}"}
    asked = (folder / "asked.txt").read_text().splitlines()
    return said | {"asked": len(asked), "files": files_of(folder / "workspace")}


def fresh() -> Path:
    """Return a new folder with an empty workspace in it."""
    folder = Path(tempfile.mkdtemp(prefix="sunwell-kill-", dir=PLACE))
    (folder / "workspace").mkdir()
    return folder


def killed_and_finished(
    at: int,
    how: How,
    again: int,
    begin: Callable[[Path, DeadlyJournals], None],
    outcome: Callable[[Path], dict[str, Any]],
) -> dict[str, Any] | None:
    """Kill a run at record *at*, its resume *again* times, and finish it; ``None``: no such record.

    *begin* begins the run of a folder or takes it up, *outcome* finishes it and tells what came of it.
    """
    folder, chance = fresh(), random.Random(f"{at} {how}")
    try:
        code = in_a_process(partial(begin, folder, DeadlyJournals(at, how, chance)))
        if code == 0:
            return None
        kills = 1
        for _ in range(again):
            deadly = DeadlyJournals(chance.randrange(6), how, chance)
            kills += in_a_process(partial(begin, folder, deadly)) != 0
        return {"at": at, "how": how, "kills": kills, "code": code, **outcome(folder)}
    finally:
        shutil.rmtree(folder)


def main(turns: int, stride: int, again: int, first: int = 0, rarely: int = 3) -> None:
    """Print the outcome of an unbroken run, then of killed ones: every *stride*-th record from *first* on."""
    folder = fresh()
    asyncio.run(result_of(folder, turns))  # loads in this process what every forked one then has
    shutil.rmtree(folder)
    folder = fresh()
    print(json.dumps({"unbroken": outcome(folder, turns)}), flush=True)
    shutil.rmtree(folder)

    def begin(folder: Path, journals: DeadlyJournals) -> None:
        run_to_its_end(folder, turns, journals)

    ended = partial(outcome, turns=turns)
    at = first
    while True:
        outcomes = [
            killed_and_finished(at, how, 0, begin, ended)
            for how in (WAYS if rarely == 1 else (WAYS[at % 3],))
        ]
        if at % rarely == 0:
            ways = WAYS if rarely == 1 else (WAYS[at // rarely % 3],)
            outcomes += [killed_and_finished(at, how, again, begin, ended) for how in ways]
        # A pause of the reader is a record, too, so two runs may differ in their last record.
        killed = [one for one in outcomes if one is not None]
        if not killed:
            return
        for one in killed:
            print(json.dumps(one), flush=True)
        at += stride


if __name__ == "__main__":
    main(*map(int, sys.argv[1:6]))
