"""Runs a batch of a hundred siblings, half of it in each of two processes' lives, and prints its prefixes.

Started by ``test_sibling_prompts.py`` as a program, under several hash seeds and Python versions; with
``--without-files`` it keeps its journal in memory, since the format of the file needs a library that is
compiled for one Python. Prints one JSON line: the digest of everything before the messages, in both wire
formats, with how many of the prompts have it; that of a tool's schema; and what is cached.
"""

import asyncio
import collections
import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs

from sunwell.agent import Agent
from sunwell.agent.prompts import TOLD_BEGINS
from sunwell.context.options import RunOptions
from sunwell.core.lens import EphemeralLens
from sunwell.core.message import Text
from sunwell.core.model import Completion, Request, Usage
from sunwell.events import RunFinished, WorkerFinished
from sunwell.journal.memory import MemoryJournal
from sunwell.journal.places import JournalFiles
from sunwell.journal.protocol import Durability
from sunwell.journal.records import Record
from sunwell.models import anthropic_messages, openai_chat
from sunwell.models.catalog import quirks_for
from sunwell.models.prices import PriceBook
from sunwell.models.registry import ModelRegistry
from sunwell.tools import tool

LENS = EphemeralLens(
    heuristics=("Read first.", "Größe zählt."),
    constraints=("Nothing else.",),
    examples=("def f():\n    ...",),
    task_scope="Docstrings",
)
QUIRKS = quirks_for("openai")
FOUND: "collections.Counter[tuple[str, str]]" = collections.Counter()


@attrs.define(eq=False)
class NoPrices(PriceBook):
    """Knows no price: the installed table needs a library that is compiled for one Python."""

    @property
    def date(self) -> str:
        return "2026-11-21"

    def price(self, model):  # type: ignore[no-untyped-def]
        return None


class KeptJournal(MemoryJournal):
    """A journal in memory whose records are not encoded, and that can be opened again."""

    async def append(self, record: Record, *, durable: Durability = True) -> None:
        self._add(record)

    def close(self) -> None:
        pass


@attrs.define(eq=False)
class KeptJournals:
    """Keeps journals in memory."""

    by_run: dict[str, KeptJournal] = attrs.field(factory=dict, init=False)

    def create(self, workspace: Path, run_id: str) -> KeptJournal:
        return self.by_run.setdefault(run_id, KeptJournal(run_id))

    def open(self, workspace: Path, run_id: str) -> KeptJournal:
        return self.by_run[run_id]

    def read(self, workspace: Path, run_id: str) -> KeptJournal:
        return self.by_run[run_id]


@tool(repeatable=True)
async def look_up(word: str, *, deep: bool = False) -> str:
    """Look a word up.

    The text is indented, as texts of tools are: newer Pythons keep less of that than older ones.

    Args:
        word: What to look up.
            It may be several words.
        deep: Whether to look
            everywhere.
    """
    return word


@attrs.define(eq=False)
class Watching:
    """A model that writes down how each question begins on either wire."""

    name: str = "claude-haiku-5-5"

    async def complete(self, request: Request) -> Completion:
        bodies = {
            "messages": b"".join(anthropic_messages.encode_request("m", request, streaming=False)),
            "chat": b"".join(openai_chat.encode_request("m", request, QUIRKS, streaming=False)),
        }
        for wire, body in bodies.items():
            first = request.messages[0].text.partition(TOLD_BEGINS)[0].strip().encode()
            FOUND[wire, hashlib.sha256(body[: body.rindex(first)]).hexdigest()] += 1
        spec = look_up.spec
        schema = f"{spec.name}\n{spec.description}\n{spec.schema_text}"
        FOUND["tool", hashlib.sha256(schema.encode()).hexdigest()] += 1
        FOUND["caching", f"{request.caching.prefix} {request.caching.key}"] += 1
        return Completion((Text("done"),), "end", Usage(10, 5), self.name)

    async def stream(self, request: Request):  # type: ignore[no-untyped-def]
        from sunwell.core.model import Delta

        yield Delta(completion=await self.complete(request))


@contextmanager
def workspace_at(folder: Path) -> Iterator[Path]:
    """Make a workspace that is called the same in each process: its path is in the prompts."""
    folder.mkdir()
    try:
        (folder / "AGENTS.md").write_text("Write docstrings in the imperative.\n")
        yield folder
    finally:
        shutil.rmtree(folder)


def on_the_date_of(zone: str) -> None:
    """Take the local time of *zone*: between the first and the last zone of the earth lies a day."""
    os.environ["TZ"] = zone
    time.tzset()


async def main() -> None:
    """Run half of the batch, stop, and take it up again with another agent, on another day."""
    journals = KeptJournals() if "--without-files" in sys.argv else JournalFiles()
    with workspace_at(Path(sys.argv[1])) as folder:
        on_the_date_of("Etc/GMT+12")
        tasks = [f"Write the docstring of function {i:03d}" for i in range(100)]
        options = RunOptions(max_concurrent=5, system_prompt="You are careful.")
        agent = Agent(model=Watching(), registry=ModelRegistry(), prices=NoPrices(), journals=journals)
        run_id, finished = "", 0
        async for event in agent.batch_events(tasks, lens=LENS, workspace=Path(folder), options=options):
            finished += isinstance(event, WorkerFinished)
            if finished == 50:
                agent.stop()
            if isinstance(event, RunFinished):
                run_id = event.run_id
        on_the_date_of("Etc/GMT-14")
        again = Agent(model=Watching(), registry=ModelRegistry(), prices=NoPrices(), journals=journals)
        async for event in again.resume(run_id, workspace=folder):
            if isinstance(event, RunFinished):
                assert [one.status for one in event.result.workers] == ["ok"] * 100
    print(json.dumps(sorted([wire, digest, count] for (wire, digest), count in FOUND.items())))


if __name__ == "__main__":
    asyncio.run(main())
