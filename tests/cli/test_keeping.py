"""``sunwell replay``, ``fork``, ``prune``, ``show``: what one does with runs that are over or cut off."""

import asyncio
import json
import os
import time
from pathlib import Path

import pytest

from sunwell.journal import FileJournal, list_runs
from sunwell.journal.codec import encode
from sunwell.journal.records import RunOpened
from sunwell.testing import replay_journal

TASK = "Generate CRUD endpoints for 5 entities"


@pytest.fixture
def finished(sunwell, shop: Path) -> dict[str, object]:
    """Return what a finished delegated run printed."""
    return json.loads(sunwell("run", TASK, "-w", shop, "--delegate", "--json").stdout)


def test_a_replay_needs_neither_key_nor_network(sunwell, simulator, shop: Path, finished) -> None:
    """Answer and bill are the recorded ones, and the provider hears nothing."""
    asked, journal = len(simulator.requests), Path(str(finished["journal"])).read_bytes()
    done = sunwell("replay", finished["run_id"], "-w", shop, "--json", env={})
    again = json.loads(done.stdout)
    assert done.exit_code == 0
    for name in ("status", "answer", "files", "turns", "usage", "cost_usd", "tools_called", "by_purpose"):
        assert (name, again[name]) == (name, finished[name])
    assert len(simulator.requests) == asked
    assert Path(str(finished["journal"])).read_bytes() == journal


def test_a_fork_goes_on_with_another_model(sunwell, shop: Path, finished) -> None:
    """The lens is kept and not paid again; the work is done anew by the model that is named."""
    sunwell("undo", finished["run_id"], "-w", shop)
    done = sunwell(
        "fork", finished["run_id"], "--at", "run/work", "--delegation-model", "claude-sonnet-5-5",
        "-w", shop, "--json",
    )  # fmt: skip
    forked = json.loads(done.stdout)
    assert (done.exit_code, forked["status"]) == (0, "ok")
    assert [row["model"] for row in forked["by_model"]] == ["claude-sonnet-5-5"]
    shown = sunwell("show", forked["run_id"], "-w", shop, "--spans").stdout
    assert "= lens 1 [run/lens:0] · claude-opus-5-5" in shown
    assert "copied, already paid" in shown
    assert [row["status"] for row in json.loads(sunwell("runs", "-w", shop, "--json").stdout)["runs"]] == [
        "ok",
        "ok",
    ]


def test_a_fork_onto_files_that_are_not_as_they_were_is_refused(sunwell, shop: Path, finished) -> None:
    """One sentence that names them, exit code 2, and no new run."""
    done = sunwell("fork", finished["run_id"], "--at", "run/work", "-w", shop)
    assert done.exit_code == 2
    assert "the workspace is not as it was at run/work:0: " in done.stderr
    assert "shop/endpoints/order.py" in done.stderr
    assert len(list_runs(shop)) == 1


def aged(root: Path, *days: float) -> list[str]:
    """Make runs that were last written to so many days ago, and return their ids, oldest id first."""
    for number, age in enumerate(days):
        folder = root / ".sunwell" / "runs" / f"r{number}"
        folder.mkdir(parents=True)
        (folder / "journal.jsonl").write_text("{}\n")
        os.utime(folder / "journal.jsonl", (time.time() - age * 86_400,) * 2)
    return [run.run_id for run in list_runs(root)]


@pytest.mark.parametrize(
    ("options", "left"),
    [
        pytest.param(["--older-than", "30d"], ["r2", "r3"], id="age"),
        pytest.param(["--older-than", "31d"], ["r1", "r2", "r3"], id="age-on-the-other-side"),
        pytest.param(["--older-than", "720h"], ["r2", "r3"], id="hours"),
        pytest.param(["--older-than", "29d24h"], ["r2", "r3"], id="days-and-hours"),
        pytest.param(["--keep", "1"], ["r3"], id="count"),
        pytest.param(["--keep", "9"], ["r0", "r1", "r2", "r3"], id="more-than-there-are"),
        pytest.param(["--keep", "0"], [], id="none"),
        pytest.param(["--older-than", "1d", "--keep", "3"], ["r1", "r2", "r3"], id="both"),
        pytest.param(["--keep", "1", "--dry-run"], ["r0", "r1", "r2", "r3"], id="dry-run"),
    ],
)
def test_pruning_removes_what_is_old_and_not_among_the_newest(sunwell, tmp_path: Path, options, left) -> None:
    """With all that was kept of a run; the rest stays."""
    aged(tmp_path, 40, 30.5, 2, 0)
    done = sunwell("prune", "-w", tmp_path, *options)
    assert done.exit_code == 0
    assert [run.run_id for run in list_runs(tmp_path)] == left
    assert {p.name for p in (tmp_path / ".sunwell" / "runs").iterdir()} == set(left)


def test_pruning_never_takes_a_run_that_goes_on(sunwell, tmp_path: Path) -> None:
    """It is named instead."""
    journal = FileJournal.create(tmp_path, "r0")
    done = sunwell("prune", "-w", tmp_path, "--keep", "0", "--json")
    assert json.loads(done.stdout)["running"] == ["r0"]
    assert len(list_runs(tmp_path)) == 1
    journal.close()
    assert json.loads(sunwell("prune", "-w", tmp_path, "--keep", "0", "--json").stdout)["removed"] == ["r0"]


def test_pruning_wants_to_be_told_what_may_go(sunwell, tmp_path: Path) -> None:
    """Without a word nothing is removed."""
    done = sunwell("prune", "-w", tmp_path)
    assert (done.exit_code, "--older-than, --keep or both" in done.stderr) == (2, True)


def test_a_run_that_goes_on_is_not_undone(sunwell, shop: Path, finished) -> None:
    """Its files are about to change under the undo."""
    journal = FileJournal.open(Path(str(finished["journal"])))
    done = sunwell("undo", finished["run_id"], "-w", shop)
    journal.close()
    assert (done.exit_code, "running in another process" in done.stderr) == (2, True)


def test_two_processes_cannot_take_one_run_up(sunwell, shop: Path, finished) -> None:
    """The second is told who has it, in one sentence; nothing is asked."""
    journal = FileJournal.open(Path(str(finished["journal"])))
    done = sunwell("resume", finished["run_id"], "-w", shop)
    journal.close()
    assert done.exit_code == 2
    assert f"is in use by process {os.getpid()}: wait until it ends, or end it" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_journal_is_recorded_anew_on_the_simulator(
    sunwell, simulator, shop: Path, finished, tmp_path
) -> None:
    """The same task and models, without the provider; the new recording plays against today's code."""
    kept = tmp_path / "kept.jsonl"
    kept.write_bytes(Path(str(finished["journal"])).read_bytes())
    sunwell("undo", finished["run_id"], "-w", shop)
    asked = len(simulator.requests)
    done = sunwell("record", kept, "--files", shop, "--json", env={})
    again = json.loads(done.stdout)
    assert (done.exit_code, again["answer"], again["tools_called"]) == (
        0, finished["answer"], finished["tools_called"],
    )  # fmt: skip
    assert len(simulator.requests) == asked
    assert kept.read_bytes() != Path(str(finished["journal"])).read_bytes()
    assert asyncio.run(replay_journal(kept)).answer == finished["answer"]


def test_a_model_without_a_script_is_not_recorded_anew(sunwell, tmp_path: Path) -> None:
    """One sentence that names those that have one; the journal stays."""
    kept = tmp_path / "kept.jsonl"
    settings = {"models": {"model": "stranger", "smart_model": None, "delegation_model": None}}
    kept.write_bytes(encode(RunOpened("r1", "Do it.", 1.0, settings=settings), 0) + b"\n")
    done = sunwell("record", kept)
    assert (done.exit_code, "the simulator has no script for stranger; it has" in done.stderr) == (2, True)


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="no folder that nobody can write to")
def test_a_folder_that_cannot_be_written_is_told_before_anything_is_asked(sunwell, simulator) -> None:
    """One sentence, exit code 2, and no call."""
    done = sunwell("run", TASK, "-w", "/proc/self")
    assert (done.exit_code, len(simulator.requests)) == (2, 0)
    assert done.stderr.startswith("sunwell: the journal /proc/")
    assert done.stderr.count("\n") == 1
