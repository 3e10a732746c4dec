"""Makes runs of many kinds over the simulator, for what shows runs.

As a program, ``python -m tests.report.page.sample_runs FOLDER`` makes them all, each in a workspace of its
own, and prints their journals.
"""

import asyncio
import json
import sys
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

import attrs

from sunwell.agent import Agent
from sunwell.budget import Budget
from sunwell.context import RunOptions, SessionContext
from sunwell.core.check import Checking, Verdict
from sunwell.core.lens import EphemeralLens
from sunwell.core.message import Text, Thinking, ToolCall
from sunwell.core.task import TaskResult
from sunwell.errors import JournalError
from sunwell.gateway import RetryPolicy
from sunwell.journal.codec import decode, encode
from sunwell.journal.layout import list_runs
from sunwell.journal.places import JournalFiles, Journals
from sunwell.journal.protocol import Durability, Journal
from sunwell.journal.records import Leeway, Record
from sunwell.models.registry import ModelRegistry
from sunwell.simulator import Asked, Billing, Fault, FaultRule, InProcessModel, Reply, Script
from sunwell.simulator.scripts import smart, steps
from sunwell.simulator.scripts.conversation_state import ScriptedConversation
from sunwell.simulator.scripts.scripted_orchestrator import orchestrator, part_worker
from tests.scenarios.journal_around import JournalAround
from tests.scenarios.ladder_scripts import FileWriter, path_in

OPUS, SONNET, HAIKU = "claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5"
LENS = EphemeralLens(
    heuristics=tuple(f"Rule {n}: write one file for each task, nothing beside." for n in range(300)),
    constraints=("Every file ends with a line feed.",),
    task_scope="Notes",
    generated_by=OPUS,
)
HOSTILE = (
    "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
    "\u2028\u2029\x1b[2J\x00\u202edesrever\u202c"
    "{{ 7*7 }} ${7*7}&amp; <!-- --> javascript:alert(3)\"'` 𝔘𝔫 e\u0301 \ud800\n"
    "# Title\n[a](https://evil.example)"
)
"""What a text from outside may hold: markup, controls, half a character, marks of other languages."""


@attrs.frozen
class SampleRun:
    """A run that was made, and what the other side billed for it."""

    name: str
    workspace: Path
    journal: Path
    result: TaskResult | None
    """``None``: its process died."""
    billing: Billing


@attrs.define(eq=False)
class Place:
    """A workspace with models that share one bill."""

    folder: Path
    smart: Script = smart
    cheap: Script = attrs.field(factory=lambda: steps(3))
    second: Script = attrs.field(factory=FileWriter)
    faults: tuple[FaultRule, ...] = ()
    billing: Billing = attrs.field(factory=lambda: Billing(clock=lambda: 0.0))
    latency_seconds: float = 0.0
    has_own_model: bool = True
    """Whether the cheap model is the run's own; if not, the smart one is."""

    def __attrs_post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)

    def agent(self, journals: Journals | None = None) -> Agent:
        """Return an agent whose models are asked under this bill."""
        return Agent(
            model=self._model(HAIKU, self.cheap) if self.has_own_model else None,
            smart_model=self._model(OPUS, self.smart),
            delegation_model=self._model(HAIKU, self.cheap),
            second_model=self._model(SONNET, self.second),
            registry=ModelRegistry(),
            journals=journals or JournalFiles(),
            retry=RetryPolicy(first_wait_seconds=0.01),
        )

    async def run(self, task: str, journals: Journals | None = None, **options: Any) -> TaskResult:
        """Return the result of *task* as a run of its own."""
        session = SessionContext.build(self.folder, task, options=RunOptions(**options))
        return await self.agent(journals).run(session)

    def sample(self, name: str, result: TaskResult | None) -> SampleRun:
        """Return the latest run as a sample."""
        return SampleRun(name, self.folder, list_runs(self.folder)[-1].path, result, self.billing)

    def _model(self, model_id: str, script: Script) -> InProcessModel:
        return InProcessModel(
            model_id, script, self.billing, self.faults, latency_seconds=self.latency_seconds
        )


@attrs.define(eq=False)
class DyingJournal(JournalAround):
    """A journal that takes so many records and then fails, as where the disk goes away."""

    left: int

    async def append(self, record: Record, *, durable: Durability = True) -> None:
        if self.left <= 0:
            raise JournalError("the journal cannot be written: the disk is gone")
        self.left -= 1
        await super().append(record, durable=durable)


@attrs.frozen
class DyingJournals(JournalFiles):
    """Makes journals that take so many records."""

    left: int = 0

    def create(self, workspace: Path, run_id: str) -> Journal:
        """Begin a journal that will fail."""
        return DyingJournal(JournalFiles().create(workspace, run_id), self.left)


async def is_right(checking: Checking) -> Verdict:
    """Check that the file of the task holds the right word."""
    assert checking.workspace is not None
    path = checking.workspace / path_in(checking.task)
    found = path.read_text().strip() if path.exists() else "nothing"
    return Verdict(found == "right", f"{path.name} holds {found}")


async def small(folder: Path) -> SampleRun:
    """One model that does the task alone, under a cap."""
    place = Place(folder)
    return place.sample("small", await place.run("Write three steps down", budget=Budget(usd="0.50")))


async def delegated(folder: Path) -> SampleRun:
    """A lens, the work under it, and an attempt that had to be made again."""
    cut = FaultRule(Fault(cut="dropped"), numbers={3}, model=HAIKU)
    place = Place(folder, cheap=steps(6), faults=(cut,), has_own_model=False)
    done = await place.run(
        "Generate CRUD endpoints for 5 entities", enable_delegation=True, budget=Budget(usd="2")
    )
    return place.sample("delegated", done)


async def failing_worker(folder: Path) -> SampleRun:
    """An orchestrator one of whose workers fails, and is started again."""
    place = Place(folder, smart=orchestrator(4), cheap=part_worker((1,)))
    done = await place.run("Write all parts down", orchestrate=True, budget=Budget(usd="3"))
    return place.sample("failing_worker", done)


async def escalation(folder: Path) -> SampleRun:
    """A ladder: the check fails twice, and the second model passes it."""
    place = Place(folder, cheap=FileWriter(usually=9), second=FileWriter())
    done = await place.run(
        "Write the word right into items/00.txt",
        checks=(is_right,),
        escalate=True,
        worth_usd=100,
        second_model=SONNET,
        budget=Budget(usd="5"),
    )
    return place.sample("escalation", done)


async def conflict(folder: Path) -> SampleRun:
    """Two workers that want to write the same file."""
    place = Place(folder, smart=_twice_the_same, cheap=_same_file)
    return place.sample("conflict", await place.run("Write a.txt twice", orchestrate=True))


async def batch(folder: Path) -> SampleRun:
    """Six tasks under one lens that is long enough for a cache."""
    place = Place(folder, cheap=FileWriter(slips={"items/03.txt": 0}), latency_seconds=0.02)
    tasks = [f"Write the word right into items/{number:02d}.txt" for number in range(6)]
    done = await place.agent().batch(
        tasks, lens=LENS, workspace=folder, options=RunOptions(budget=Budget(usd="1"))
    )
    return place.sample("batch", done.run)


async def resumed(folder: Path) -> SampleRun:
    """A run whose process died with a call under way, and another process that finished it."""
    killed = await dead(folder)
    place = Place(folder, cheap=steps(6), billing=killed.billing)
    done = await place.agent().resume(killed.journal.parent.name, workspace=folder)
    return place.sample("resumed", done)


async def lost(folder: Path) -> SampleRun:
    """A run whose machine was started anew before it was taken up: its record may lack calls."""
    killed = await dead(folder)
    on_another_start(killed.journal)
    place = Place(folder, cheap=steps(6), billing=killed.billing)
    done = await place.agent().resume(killed.journal.parent.name, workspace=folder)
    return place.sample("lost", done)


def on_another_start(journal: Path) -> None:
    """Have the run of *journal* been done before the machine was started anew."""
    good = journal.read_bytes().splitlines()
    lines = [decode(line) for line in good]
    for at, line in enumerate(lines):
        if line is not None and isinstance(line.record, Leeway):
            good[at] = encode(attrs.evolve(line.record, boot="an-earlier-start"), line.seq, line.synced)
    journal.write_bytes(b"\n".join(good))


async def dead(folder: Path) -> SampleRun:
    """A run whose process died while an answer was written, and nobody has taken it up."""
    place = Place(folder, cheap=steps(6))
    try:
        await place.run("Write six steps down", DyingJournals(left=15), budget=Budget(usd="0.50"))
    except JournalError:
        sample = place.sample("dead", None)
        with sample.journal.open("ab") as file:
            file.write(b'{"seq":15,"kind":"ans')
        return sample
    raise AssertionError("the run should have died")


async def forked(folder: Path) -> SampleRun:
    """A run that begins anew at the second call of another one."""
    place = Place(folder)
    first = await place.run("Write three steps down")
    (folder / "steps" / "001-0.txt").unlink()
    place.billing = Billing(clock=lambda: 0.0)
    done = await place.agent().fork(first.run_id, "run/direct:2", workspace=folder)
    return place.sample("forked", done)


async def continued(folder: Path) -> SampleRun:
    """A run that goes on with the conversation of another one."""
    place = Place(folder)
    first = await place.run("Write three steps down")
    place.billing = Billing(clock=lambda: 0.0)
    done = await place.agent().continue_run(first.run_id, "And now in short", workspace=folder)
    return place.sample("continued", done)


async def capped(folder: Path) -> SampleRun:
    """A run that met its cap, so that calls were refused."""
    place = Place(folder, cheap=steps(40, calls_per_turn=3))
    return place.sample("capped", await place.run("Write forty steps down", budget=Budget(usd="0.004")))


async def tight(folder: Path) -> SampleRun:
    """Ten workers at once under a cap that does not hold all that they may cost: some wait for room."""
    place = Place(folder, smart=orchestrator(10), cheap=part_worker(), latency_seconds=0.003)
    done = await place.run(
        "Write all parts down", orchestrate=True, max_concurrent=8, budget=Budget(usd="0.15")
    )
    return place.sample("tight", done)


async def failed(folder: Path) -> SampleRun:
    """A run whose provider turns every call away."""
    place = Place(folder, faults=(FaultRule(Fault(status=401)),))
    return place.sample("failed", await place.run("Write three steps down"))


async def hostile(folder: Path) -> SampleRun:
    """Texts from outside that would break out of a page, in every place where one can stand."""
    place = Place(folder, cheap=_hostile)
    return place.sample("hostile", await place.run(f"Say it: {HOSTILE}".replace("\ud800", "")))


SAMPLES: Mapping[str, Callable[[Path], Coroutine[Any, Any, SampleRun]]] = {
    one.__name__: one
    for one in (
        small,
        delegated,
        failing_worker,
        escalation,
        conflict,
        batch,
        dead,
        resumed,
        lost,
        forked,
        continued,
        capped,
        tight,
        failed,
        hostile,
    )
}
"""How each kind of run is made."""


def sample_runs(folder: Path, *names: str) -> dict[str, SampleRun]:
    """Make the runs of these *names*, by default all, in folders below *folder*."""
    return {name: asyncio.run(SAMPLES[name](folder / name)) for name in names or SAMPLES}


def _calling(number: int, name: str, **arguments: Any) -> Reply:
    return Reply((Text(f"I call {name}."), ToolCall(f"call_{number:03d}", name, json.dumps(arguments))))


def _twice_the_same(asked: Asked) -> Reply:
    """Start one worker, wait, start another that is told to do the same, wait, and answer."""
    turn = ScriptedConversation.of(asked).turns
    if turn in (0, 2):
        word = "first" if turn == 0 else "second"
        return _calling(turn, "delegate_batch", tasks=[{"task": f"Write {word} into a.txt", "tools": None}])
    if turn in (1, 3):
        return _calling(turn, "await_results", task_ids=None, timeout_seconds=None)
    return _calling(turn, "set_answer", content="Both were started.", ready=True, confidence=0.9)


def _same_file(asked: Asked) -> Reply:
    talk = ScriptedConversation.of(asked)
    if talk.turns:
        return Reply((Text("It is written."),))
    return _calling(0, "write_file", path="a.txt", content=f"{talk.task.split()[1]}\n")


def _hostile(asked: Asked) -> Reply:
    turn = ScriptedConversation.of(asked).turns
    if turn == 0:
        return Reply(
            (
                Thinking(HOSTILE, "", ""),
                Text(HOSTILE),
                ToolCall("call_0", "write_file", json.dumps({"path": "<b>.txt", "content": HOSTILE[:-60]})),
            )
        )
    if turn == 1:
        return Reply((ToolCall("call_1", "read_file", '{"path": "<script>alert(4)</script>"}'),))
    return Reply((Text(HOSTILE),))


def main(folder: str) -> None:
    """Make all runs below *folder* and print their journals."""
    for name, sample in sample_runs(Path(folder)).items():
        status = sample.result.status if sample.result else "dead"
        print(f"{name:<16}{status:<12}{sample.journal}")


if __name__ == "__main__":
    main(sys.argv[1])
