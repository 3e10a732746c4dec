"""Runs that an earlier version wrote can be shown, exported, undone and, if they had finished, resumed."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from sunwell.cli.main import cli
from sunwell.journal.layout import list_runs
from sunwell.journal.ownership import adopt
from sunwell.journal.reading import read_records
from sunwell.journal.records import RunClosed

DATA = Path(__file__).parents[1] / "data" / "journals"
RUNS = [
    pytest.param(path.parent.parent, path.name, id=f"{path.parent.parent.name}-{number}")
    for folder in sorted(DATA.iterdir())
    if folder.is_dir()
    for number, path in enumerate(sorted((folder / "runs").iterdir()), 1)
]
FINISHED = [
    case
    for case in RUNS
    if case.id.rpartition("-")[0] not in {"turns-limit", "cap-refused", "model-error"}
    and case.id != "forked-1"
]
BEFORE = {
    "notes.md": "# Notes\n\nThree steps are to be written down.\n",
    "steps/0.txt": "before\n",
}


@pytest.fixture
def restored(tmp_path: Path) -> Callable[[Path], Path]:
    """Return a function that lays the workspace of a run as it was, with the runs in it."""

    def lay(folder: Path) -> Path:
        workspace = tmp_path / "journal-example"
        shutil.copytree(folder / "workspace", workspace)
        shutil.copytree(folder / "runs", workspace / ".sunwell" / "runs")
        for run in list_runs(workspace):  # they came from elsewhere
            adopt(workspace, run.run_id)
        return workspace

    return lay


def invoke(*arguments: str | Path) -> Result:
    """Run a command without a key, so that no model can be asked."""
    return CliRunner(env={}).invoke(cli, [str(argument) for argument in arguments])


def within(new: Any, old: Any) -> bool:
    """Whether *new* says all that *old* says; it may say more."""
    if isinstance(old, dict):
        return isinstance(new, dict) and all(key in new and within(new[key], old[key]) for key in old)
    if isinstance(old, list):
        return isinstance(new, list) and len(new) == len(old) and all(map(within, new, old))
    return bool(new == old)


def test_all_kinds_of_runs_are_here() -> None:
    """Twelve kinds at least: a test over an empty folder would hold nothing."""
    assert len({case.values[0] for case in RUNS}) >= 12
    assert len(FINISHED) >= 9


@pytest.mark.parametrize(("folder", "run"), RUNS)
def test_an_old_run_is_exported_as_it_was(folder: Path, run: str, restored: Callable[[Path], Path]) -> None:
    """Every figure, time and span is what it was; there may be more."""
    done = invoke("export", run, "-w", restored(folder))
    assert done.exit_code == 0, done.output
    assert within(json.loads(done.stdout), json.loads((folder / f"{run}.json").read_text()))


@pytest.mark.parametrize(("folder", "run"), RUNS)
def test_an_old_run_is_shown(folder: Path, run: str, restored: Callable[[Path], Path]) -> None:
    """The tree has a line for every call and tool."""
    workspace = restored(folder)
    shown = invoke("show", run, "-w", workspace)
    assert shown.exit_code == 0, shown.output
    exported = (folder / f"{run}.json").read_text()
    pieces = exported.count('"type":"call"') + exported.count('"type":"tool"')
    assert pieces > 0
    assert len(shown.output.splitlines()) > pieces
    listed = invoke("runs", "-w", workspace)
    assert run[:8] in listed.output


@pytest.mark.parametrize(("folder", "run"), RUNS)
def test_an_old_run_is_undone(folder: Path, run: str, restored: Callable[[Path], Path]) -> None:
    """The files that were there are as they were before."""
    workspace = restored(folder)
    for other in sorted((workspace / ".sunwell" / "runs").iterdir(), reverse=True):
        has_originals = (other / "originals").is_dir()  # else it changed no file, and undo says so
        assert invoke("undo", other.name, "-w", workspace).exit_code == (0 if has_originals else 2)
    assert {name: (workspace / name).read_text() for name in BEFORE} == BEFORE
    made = {str(path.relative_to(workspace)) for path in workspace.rglob("*.txt")}
    # What a command did is not the run's to put back; a batch's list of tasks is the user's.
    assert made - {"made.txt", "tasks.txt"} == {"steps/0.txt"}


@pytest.mark.parametrize(("folder", "run"), FINISHED)
def test_an_old_run_that_had_finished_gives_its_result_again(
    folder: Path, run: str, restored: Callable[[Path], Path]
) -> None:
    """No key is there, so nobody can be asked; nothing is added to the record but that."""
    workspace = restored(folder)
    journal = workspace / ".sunwell" / "runs" / run / "journal.jsonl"
    closed = [record for record in read_records(journal) if isinstance(record, RunClosed)][-1]
    assert closed.status == "ok"
    done = invoke("resume", run, "-w", workspace, "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert (told["status"], told["answer"]) == ("ok", closed.answer)
