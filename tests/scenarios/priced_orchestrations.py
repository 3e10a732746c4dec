"""Simulated orchestrated runs of different sizes, each with its estimate before and its bill after it."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
from click.testing import CliRunner

from sunwell.cli.main import cli
from sunwell.core import Text
from sunwell.simulator import Asked, Reply, Script, Simulator, running_simulator
from sunwell.simulator.scripts.conversation_state import ScriptedConversation, Wanted
from sunwell.simulator.scripts.scripted_orchestrator import orchestrator

MODELS = ("--smart-model", "opus", "--delegation-model", "haiku")
_READ = (
    "shop/models.py", "shop/routes.py", "shop/store.py", "CONVENTIONS.md", "shop/endpoints/category.py",
)  # fmt: skip


@attrs.frozen
class SizedCase:
    """A task, how many parts the orchestrator makes of it, and how much work each part is."""

    task: str
    parts: int
    reads: int
    """Files that each worker reads, one in a turn."""
    written_words: int
    """Words that each worker writes to a file; 0: it writes none."""
    report_words: int
    fails: tuple[int, ...] = ()
    """Parts that fail at first."""


CASES = (
    SizedCase("Say in a sentence what this project does", 1, 1, 0, 40),
    SizedCase("Say what this project does", 2, 2, 0, 60),
    SizedCase("Find every place that reads the clock, and say which are untested", 3, 4, 0, 300),
    SizedCase("Describe what each module of the shop does", 4, 3, 0, 150),
    SizedCase("Explain how orders are stored, and what could go wrong", 6, 4, 0, 250, (1, 4)),
    SizedCase("Review the code of the shop", 8, 5, 0, 200),
    SizedCase("Write 2 modules", 2, 1, 400, 50),
    SizedCase("Write tests for 5 modules", 5, 2, 700, 60),
    SizedCase("Generate CRUD endpoints for 5 entities", 5, 3, 1_500, 60),
    SizedCase("Generate CRUD endpoints for 8 entities", 8, 3, 1_200, 60, (2,)),
    SizedCase("Write 12 product descriptions", 12, 0, 90, 20),
    SizedCase("Write 30 product descriptions", 30, 0, 90, 20, (7, 11)),
)


@attrs.frozen
class _SizedWorker:
    case: SizedCase

    def __call__(self, asked: Asked) -> Reply:
        talk, case = ScriptedConversation.of(asked), self.case
        part = int(talk.task.removeprefix("Part ").partition(" ")[0])
        if part in case.fails and "second attempt" not in talk.task:
            return Reply((Text(f"I will not do part {part}."),), stop="refusal")
        calls = [
            Wanted("read_file", {"path": path, "start_line": None, "end_line": None})
            for path in _READ[: case.reads]
        ]
        if case.written_words:
            calls.append(Wanted("write_file", {"path": f"{part}.txt", "content": _words(case.written_words)}))
        for call in calls:
            if talk.is_open(call, 1):
                return Reply((Text("I go on."), call.as_call(f"call_{talk.turns:03d}")))
        return Reply((Text(_words(case.report_words)),))


def _words(count: int) -> str:
    return " ".join(f"word{number % 97}" for number in range(count))


def scripts_of(case: SizedCase) -> dict[str, Script]:
    """Return the simulated models of *case*."""
    return {"claude-opus-5-5": orchestrator(case.parts), "claude-haiku-5-5": _SizedWorker(case)}


@attrs.frozen
class PricedRun:
    """What was printed before a run, what it cost, and what its result says was quoted."""

    case: SizedCase
    low_usd: Decimal
    expected_usd: Decimal
    high_usd: Decimal
    smart_alone_usd: Decimal
    actual_usd: Decimal
    estimated: dict[str, Any]
    told: dict[str, Any]

    @property
    def is_within(self) -> bool:
        """Whether the bill lies in the range that was printed."""
        return self.low_usd <= self.actual_usd <= self.high_usd


def priced(case: SizedCase, workspace: Path) -> PricedRun:
    """Estimate *case* on the command line, run it on the simulator, and return both."""
    with running_simulator(Simulator(scripts_of(case))) as running:
        env = {"ANTHROPIC_BASE_URL": running.url, "ANTHROPIC_API_KEY": "simulated-key"}
        estimated = _told(env, "estimate", case.task, "-w", str(workspace), *MODELS, "--orchestrate")
        told = _told(env, "run", case.task, "-w", str(workspace), *MODELS, "--orchestrate")
        billed = running.bill.total_usd()
    assert Decimal(told["cost_usd"]) == billed
    side = estimated["quote"]["sides"]["orchestrated"]
    low, expected, high = (Decimal(side[f"{name}_usd"]) for name in ("low", "expected", "high"))
    alone = Decimal(estimated["quote"]["smart_alone_usd"])
    return PricedRun(case, low, expected, high, alone, billed, estimated, told)


def _told(env: dict[str, str], *arguments: str) -> dict[str, Any]:
    done = CliRunner(env=env).invoke(cli, [*arguments, "--json"])
    assert done.exit_code == 0, done.output
    told: dict[str, Any] = json.loads(done.stdout)
    return told
