"""The command line, killed at random moments over HTTP: the provider bills no answered call twice."""

import json
import os
import random
import time
from pathlib import Path

import pytest

from sunwell.journal import list_runs, read_records
from sunwell.journal.records import Answer
from sunwell.simulator import Simulator, running_simulator
from sunwell.simulator.scripts import smart, steps
from tests.cli.beginner import Begun, beginner

TASK = "Generate CRUD endpoints for 5 entities"
MODELS = {"claude-opus-5-5": smart, "claude-haiku-5-5": steps(16, calls_per_turn=2)}


def start(simulator: Simulator, *arguments: str) -> Begun:
    """Start ``sunwell`` with the simulator as its provider."""
    environment = {**os.environ, "ANTHROPIC_BASE_URL": simulator.url, "ANTHROPIC_API_KEY": "simulated-key"}
    return beginner().piped([*arguments, "--json"], environment)


def files_of(workspace: Path) -> dict[str, bytes]:
    """Return what the run wrote."""
    return {path.name: path.read_bytes() for path in sorted(workspace.rglob("*.txt"))}


def wait_until_written(workspace: Path, size: int, process: Begun) -> None:
    """Wait until the journal is longer than *size* bytes, or the process has ended."""
    while process.poll() is None:
        runs = list_runs(workspace)
        if runs and runs[-1].path.stat().st_size > size:
            return
        time.sleep(0.01)


def killed_and_resumed(simulator: Simulator, workspace: Path, chance: random.Random) -> tuple[dict, int]:
    """Run to the end with a kill now and then; return the last result and the number of kills."""
    command, kills = ("run", TASK, "--delegate", "-w", str(workspace)), 0
    while True:
        runs = list_runs(workspace)
        size = runs[-1].path.stat().st_size if runs else 0
        process = start(simulator, *command)
        wait_until_written(workspace, size + chance.randrange(500, 14_000), process)
        time.sleep(chance.uniform(0, 0.01))
        if kills < 3 and process.poll() is None:
            process.kill()
            kills += 1
        out, error = process.communicate(timeout=60)
        runs = list_runs(workspace)
        if process.returncode == 0:
            return json.loads(out), kills
        assert process.returncode == -9, error
        command = ("resume", runs[-1].run_id, "-w", str(workspace))


@pytest.mark.timeout(200)
def test_a_command_killed_three_times_bills_no_answered_call_twice(tmp_path: Path) -> None:
    """Answer and files are those of an unbroken run; the provider's own bill has its calls, and at most
    one more for each kill; the run's bill says which are uncertain."""
    (tmp_path / "whole").mkdir()
    (tmp_path / "killed").mkdir()
    with running_simulator(Simulator(MODELS)) as simulator:
        out, error = start(simulator, "run", TASK, "--delegate", "-w", str(tmp_path / "whole")).communicate()
        whole = json.loads(out)
        assert whole["status"] == "ok", error
        calls = len(simulator.bill.entries())
    with running_simulator(Simulator(MODELS)) as simulator:
        result, kills = killed_and_resumed(simulator, tmp_path / "killed", random.Random(4))
        billed = len(simulator.bill.entries())
    assert kills == 3
    assert (result["status"], result["answer"]) == ("ok", whole["answer"])
    assert files_of(tmp_path / "killed") == files_of(tmp_path / "whole")
    assert calls <= billed <= calls + kills
    [run] = list_runs(tmp_path / "killed")
    assert sum(isinstance(record, Answer) for record in read_records(run.path)) == calls
    assert sum(row["calls"] for row in result["by_model"]) == calls
    assert sum(row["uncertain_calls"] for row in result["by_model"]) >= billed - calls
