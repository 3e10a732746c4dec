"""Kills a batch of fifty tasks at random records, again and again, and prints what came of it.

Started by ``test_batch_resume.py`` as a program: each attempt is a forked process that is ended by
SIGKILL at some record, until one comes to the end. Prints one JSON line for each batch.
"""

import asyncio
import json
import random
import shutil
import sys
import tempfile
from pathlib import Path

from killed_runs import PLACE, DeadlyJournals, has_begun, in_a_process

from sunwell.agent import Agent
from sunwell.context.options import RunOptions
from sunwell.core.lens import EphemeralLens
from sunwell.core.message import Text, ToolCall, ToolResult
from sunwell.core.task import TaskResult
from sunwell.events import RunFinished
from sunwell.journal.layout import list_runs
from sunwell.journal.places import JournalFiles
from sunwell.models.registry import ModelRegistry
from sunwell.simulator import Asked, InProcessModel, Reply
from sunwell.testing import task_in

SHOP = Path(__file__).parents[2] / "examples" / "shop"
SOURCES = sorted(path.relative_to(SHOP) for path in (SHOP / "shop").rglob("*.py"))
TASKS = [f"Describe {SOURCES[i % len(SOURCES)]} in notes/{i:02d}.md" for i in range(50)]
LENS = EphemeralLens(("Read the file before you describe it.",) * 40, task_scope="Notes on the shop")


def script_in(folder: Path):  # type: ignore[no-untyped-def]
    """Return a model that reads the file that its task names, writes the note, and says so."""

    def answer(asked: Asked) -> Reply:
        with (folder / "asked.txt").open("a") as lines:
            lines.write(f"{task_in(asked)} {len(asked.messages)}\n")
        words = task_in(asked).split()
        source, note = words[1], words[3]
        seen = [part for message in asked.messages for part in message.parts if isinstance(part, ToolResult)]
        if not seen:
            arguments = json.dumps({"path": source, "start_line": None, "end_line": None})
            return Reply((Text("First the file."), ToolCall("call_0", "read_file", arguments)))
        if len(seen) == 1:
            arguments = json.dumps(
                {"path": note, "content": f"{source}: {len(seen[0].content)} characters\n"}
            )
            return Reply((Text("Now the note."), ToolCall("call_1", "write_file", arguments)))
        return Reply((Text(f"{note}: {seen[1].content}"),))

    return answer


async def batch_of(folder: Path, journals: DeadlyJournals | None) -> TaskResult:
    """Begin the batch of *folder*, or take it up where there is one already."""
    workspace, out = folder / "workspace", folder / "results.jsonl"
    agent = Agent(
        model=InProcessModel("claude-haiku-5-5", script_in(folder), latency_seconds=0.002),
        registry=ModelRegistry(),
        journals=journals or JournalFiles(),
    )
    runs = [run for run in list_runs(workspace) if has_begun(run.path)]
    if runs:
        events = agent.resume(runs[-1].run_id, workspace=workspace, results=out)
    else:
        options = RunOptions(max_concurrent=8)
        events = agent.batch_events(TASKS, lens=LENS, workspace=workspace, options=options, results=out)
    async for event in events:
        if isinstance(event, RunFinished):
            return event.result
    raise AssertionError("no result")


def lines_of(folder: Path) -> list[int]:
    """Return the indexes in the results file; each of its lines is whole."""
    path = folder / "results.jsonl"
    return [json.loads(line)["index"] for line in path.read_text().splitlines()] if path.exists() else []


def one_batch(kills: int, seed: int) -> dict[str, object]:
    """Kill a batch at *kills* random records, finish it, and return what came of it."""
    chance = random.Random(seed)
    folder = Path(tempfile.mkdtemp(prefix="sunwell-batch-", dir=PLACE))
    shutil.copytree(SHOP, folder / "workspace", ignore=shutil.ignore_patterns("__pycache__", ".sunwell"))
    try:
        codes, seen = [], 0
        for _ in range(kills):
            deadly = DeadlyJournals(
                chance.randrange(5, 250), chance.choice(("before", "after", "inside")), chance
            )
            codes.append(in_a_process(lambda deadly=deadly: asyncio.run(batch_of(folder, deadly)) and None))
            now = lines_of(folder)
            assert len(now) >= seen, "a result was lost"
            assert len(set(now)) == len(now), "a result stands twice"
            seen = len(now)
        result = asyncio.run(batch_of(folder, None))
        asked = (folder / "asked.txt").read_text().splitlines()
        notes = sorted((folder / "workspace" / "notes").glob("*.md"))
        return {
            "seed": seed,
            "codes": codes,
            "statuses": sorted({worker.status for worker in result.workers}),
            "in_order": [worker.task for worker in result.workers] == TASKS,
            "answers": [worker.answer for worker in result.workers],
            "indexes": lines_of(folder),
            "notes": [note.read_text() for note in notes],
            "asked": len(asked),
            "different": len(set(asked)),
            "uncertain_calls": sum(line.uncertain_calls for line in result.bill.models),
            "calls": result.bill.calls,
        }
    finally:
        shutil.rmtree(folder)


def main(batches: int, kills: int) -> None:
    """Print the outcome of an unbroken batch, then of killed ones."""
    for seed in range(batches + 1):
        print(json.dumps(one_batch(kills if seed else 0, seed)), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
