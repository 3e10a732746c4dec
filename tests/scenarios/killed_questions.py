"""Answers questions about long contexts in processes of their own, and kills those that are to be killed.

Started as a program by ``test_killed_questions.py`` and ``benchmarks/long_context.py``, which serve the
models and keep the bill. Each line of standard input is a :class:`Job`; for each, a forked process asks the
question or takes its run up, and a line says how it ended. A process that is to be killed gets SIGKILL as
soon as so many answers about parts are in its record, whatever else is in flight.
"""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any

import attrs
from journal_around import JournalAround
from killed_runs import in_a_process

from sunwell.agent import Agent
from sunwell.budget import Budget
from sunwell.context.options import RunOptions
from sunwell.core.task import TaskResult
from sunwell.events import RunFinished
from sunwell.journal.layout import list_runs
from sunwell.journal.places import JournalFiles
from sunwell.journal.protocol import Durability, Journal
from sunwell.journal.records import Answer, Record
from sunwell.models.connection import Connection, close_clients
from sunwell.models.openai_chat import ChatModel

CONTEXT = "context.txt"
_LOADED = sys.stdlib_module_names | {
    "sunwell",
    "openai",
    "httpx",
    "httpcore",
    "pydantic",
    "pydantic_monty",
    "attrs",
}


@attrs.frozen
class Job:
    """A question about the file ``context.txt`` of a folder."""

    folder: str
    """The workspace; a run that is there is taken up."""
    url: str
    """Of the server, for clients of OpenAI."""
    models: tuple[str, str]
    """The one that looks into the context, and the one that is asked about parts."""
    question: str
    kill_at: int | None = None
    """Answers about parts in the record of this process at which it is killed."""
    usd: str | None = None
    """Cap in dollars."""
    tokens: int | None = None
    cache: str | None = None
    """Folder of the memory of answers; ``None``: none is taken or kept."""
    key: str = "key"
    """Of the account, by which the server tells processes apart."""
    again: bool = False
    """Whether a run that is there is left alone, and the question asked in a new one."""


@attrs.define(eq=False)
class PartsJournal(JournalAround):
    """A journal that kills its process once it has written so many answers about parts."""

    most: int
    _count: int = attrs.field(default=0, init=False)

    async def append(self, record: Record, *, durable: Durability = True) -> None:
        await super().append(record, durable=durable)
        self._count += isinstance(record, Answer) and record.purpose == "read"
        if self._count == self.most:
            os.kill(os.getpid(), signal.SIGKILL)


@attrs.frozen
class PartsJournals:
    """Journals of which each kills its process after so many answers about parts."""

    most: int

    def create(self, workspace: Path, run_id: str) -> Journal:
        return PartsJournal(JournalFiles().create(workspace, run_id), self.most)

    def open(self, workspace: Path, run_id: str) -> Journal:
        return PartsJournal(JournalFiles().open(workspace, run_id), self.most)

    def read(self, workspace: Path, run_id: str) -> Journal:
        return JournalFiles().read(workspace, run_id)


async def result_of(job: Job) -> TaskResult:
    """Ask, or take the run of the folder up."""
    smart, reader = (ChatModel(name, Connection("openai", job.url, job.key)) for name in job.models)
    journals = JournalFiles() if job.kill_at is None else PartsJournals(job.kill_at)
    workspace = Path(job.folder)
    budget = Budget(usd=None if job.usd is None else Decimal(job.usd), tokens=job.tokens)
    options = RunOptions(budget=budget, answer_memory=job.cache is not None, cache_dir=job.cache)
    agent = Agent(smart_model=smart, delegation_model=reader, journals=journals)
    runs = [] if job.again else list_runs(workspace)
    if runs:
        events = agent.resume(runs[-1].run_id, workspace=workspace)
    else:
        events = agent.ask(job.question, CONTEXT, workspace=workspace, options=options)
    try:
        async for event in events:
            if isinstance(event, RunFinished):
                return event.result
    finally:
        await close_clients()
    raise AssertionError("no result")


def told(result: TaskResult, seconds: float) -> dict[str, Any]:
    """Return what a line says of *result*."""
    bill = result.bill
    return {
        "status": result.status,
        "stop_reason": result.stop_reason,
        "error": result.error,
        "answer": result.answer,
        "usd": str(bill.cost_usd),
        "tokens": bill.usage.total_tokens,
        "calls": bill.calls,
        "remembered": bill.remembered_calls,
        "uncertain_calls": sum(line.uncertain_calls for line in bill.models),
        "seconds": round(seconds, 2),
    }


def done(job: Job) -> dict[str, Any]:
    """Do *job* in a process of its own, and return how that ended, and which modules it loaded."""
    report = Path(job.folder) / "told.json"
    report.unlink(missing_ok=True)

    def work() -> None:
        begun = time.perf_counter()
        result = asyncio.run(result_of(job))
        said = told(result, time.perf_counter() - begun)
        report.write_text(json.dumps({**said, "modules": list(sys.modules)}))

    code = in_a_process(work)
    return {"code": code, **(json.loads(report.read_text()) if code == 0 else {})}


def load(names: Iterable[str]) -> None:
    """Load modules that the processes need: to load them takes longer than to run."""
    for name in names:
        if name not in sys.modules and name.partition(".")[0] in _LOADED:
            with suppress(ImportError):
                import_module(name)


def main() -> None:
    """Do the jobs of standard input, one after the other."""
    for line in sys.stdin:
        given = json.loads(line)
        ended = done(Job(**{**given, "models": tuple(given["models"])}))
        load(ended.pop("modules", ()))
        print(json.dumps(ended), flush=True)


if __name__ == "__main__":
    main()
