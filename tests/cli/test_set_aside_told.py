"""What commands leave behind for other programs: set aside or not, it is the user who is told."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sunwell.cli.main import cli
from sunwell.core.message import Text, ToolCall
from sunwell.simulator import Asked, Reply, Simulator, running_simulator
from tests.bubblewrap import needs_bubblewrap

MODEL = "claude-haiku-5-5"
COMMAND = "echo evil > .envrc"
WHY = "direnv runs it when a shell enters the folder"


def commanding(asked: Asked) -> Reply:
    """Run a command that leaves a file for direnv, and say nothing of it."""
    if any(message.role == "assistant" for message in asked.messages):
        return Reply((Text("Done."),))
    given = {"command": COMMAND, "timeout_seconds": None}
    return Reply((ToolCall("call_0", "run_command", json.dumps(given)),))


def writing(asked: Asked) -> Reply:
    """Say that all is done."""
    return Reply((Text("Done."),))


@pytest.fixture
def answer() -> Callable[[Asked], Reply]:
    return commanding


@pytest.fixture
def simulator(answer) -> Iterator[Simulator]:
    with running_simulator(Simulator({MODEL: answer})) as running:
        yield running


@pytest.fixture
def invoke(simulator: Simulator) -> Callable[..., Result]:
    env = {"ANTHROPIC_BASE_URL": simulator.url, "ANTHROPIC_API_KEY": "simulated-key"}
    return lambda *words: CliRunner(env=env).invoke(cli, [str(word) for word in words])


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "clone"
    (folder / ".sunwell").mkdir(parents=True)
    return folder


def notes(text: str) -> list[str]:
    """Return the lines that are notes: while the run goes on, and in its report."""
    return [line for line in text.splitlines() if line.startswith(("note: ", "note     ")) and WHY in line]


@needs_bubblewrap
def test_what_was_set_aside_is_told_to_the_user(invoke, workspace: Path) -> None:
    """In a line at once, in the report, in JSON, and later in show and after a resume."""
    done = invoke("run", "Do it", "-w", workspace, "-m", "haiku", "--allow-shell")
    assert done.exit_code == 0, done.output
    (kept,) = (workspace / ".sunwell" / "set-aside").iterdir()
    said = f"'.envrc', which a command made, was moved to '.sunwell/set-aside/{kept.name}': {WHY}"
    assert notes(done.stderr) == [f"note: {said}", f"note     {said}"]
    (run,) = (workspace / ".sunwell" / "runs").iterdir()
    assert notes(invoke("show", run.name, "-w", workspace).stdout) == [f"note     {said}"]
    again = invoke("resume", run.name, "-w", workspace, "--allow-shell", "--json")
    assert json.loads(again.stdout)["left_behind"] == [said]
    replayed = invoke("replay", run.name, "-w", workspace, "--json")
    assert json.loads(replayed.stdout)["left_behind"] == [said]


@needs_bubblewrap
@pytest.mark.parametrize("answer", [writing])
def test_what_a_check_left_is_told_to_the_user(invoke, workspace: Path) -> None:
    """Also if the check passed, so that nobody looks at what it printed."""
    words = ("run", "Do it", "-w", workspace, "-m", "haiku", "--check", COMMAND, "--json")
    told = json.loads(invoke(*words).stdout)
    assert told["verification"]["passed"] is True
    (said,) = told["left_behind"]
    assert said.startswith("'.envrc', which a command made, was moved to '.sunwell/set-aside/")
    shown = invoke("show", told["run_id"], "-w", workspace).stdout
    assert notes(shown) == [f"note     {said}"]


@needs_bubblewrap
@pytest.mark.parametrize("harm", ["link", "dangling", "file", "pipe"])
def test_a_set_aside_folder_that_somebody_prepared_is_refused(
    invoke, simulator: Simulator, workspace: Path, tmp_path: Path, harm: str
) -> None:
    """Before anything is spent, as any other folder of .sunwell; nothing is written through it."""
    victim, place = tmp_path / "victim", workspace / ".sunwell" / "set-aside"
    victim.mkdir()
    {
        "link": lambda: place.symlink_to(victim),
        "dangling": lambda: place.symlink_to(tmp_path / "nowhere"),
        "file": lambda: place.write_text(""),
        "pipe": lambda: os.mkfifo(place),
    }[harm]()
    done = invoke("run", "Do it", "-w", workspace, "-m", "haiku", "--allow-shell")
    assert done.exit_code == 2
    what = "is a link, which journals do not follow" if harm in ("link", "dangling") else "is not a folder"
    assert f"{place} {what}: " in done.stderr
    assert not simulator.requests
    assert list(victim.iterdir()) == []
    assert not (workspace / ".envrc").exists()


@needs_bubblewrap
def test_a_resumed_run_looks_at_the_folder_again(invoke, workspace: Path, tmp_path: Path) -> None:
    """It may have been replaced since."""
    assert invoke("run", "Do it", "-w", workspace, "-m", "haiku", "--allow-shell").exit_code == 0
    place = workspace / ".sunwell" / "set-aside"
    place.rename(tmp_path / "kept")
    place.symlink_to(tmp_path / "kept")
    (run,) = (workspace / ".sunwell" / "runs").iterdir()
    refused = invoke("resume", run.name, "-w", workspace, "--allow-shell")
    assert f"{place} is a link, which journals do not follow" in refused.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="requires root")
def test_a_set_aside_folder_of_another_user_is_refused(invoke, simulator, workspace: Path) -> None:
    """Its owner could take out what was moved there, or put something back."""
    place = workspace / ".sunwell" / "set-aside"
    place.mkdir()
    os.chown(place, 65_534, 65_534)
    done = invoke("run", "Do it", "-w", workspace, "-m", "haiku")
    assert f"{place} belongs to another user (number 65534)" in done.stderr
    assert not simulator.requests


def test_without_a_sandbox_what_stays_is_told_to_the_user(invoke, workspace: Path) -> None:
    """Nothing is moved then."""
    done = invoke("run", "Do it", "-w", workspace, "-m", "haiku", "--allow-shell", "--sandbox", "off")
    said = f"'.envrc' was made while a command ran, and {WHY}"
    assert notes(done.stderr) == [f"note: {said}", f"note     {said}"]


def waiting(asked: Asked) -> Reply:
    """Run a command that leaves a file for direnv and does not end."""
    given = {"command": f"{COMMAND}; sleep 600", "timeout_seconds": None}
    return Reply((ToolCall("call_0", "run_command", json.dumps(given)),))


@needs_bubblewrap
@pytest.mark.parametrize("answer", [waiting])
def test_what_a_command_left_that_was_cut_short_is_told_to_the_user(invoke, workspace: Path) -> None:
    """It has no result: the time of the run is over."""
    done = invoke("run", "Do it", "-w", workspace, "-m", "haiku", "--allow-shell", "--max-seconds", "3")
    assert done.exit_code == 3
    (kept,) = (workspace / ".sunwell" / "set-aside").iterdir()
    said = f"'.envrc', which a command made, was moved to '.sunwell/set-aside/{kept.name}': {WHY}"
    assert notes(done.stderr) == [f"note: {said}", f"note     {said}"]
    (run,) = (workspace / ".sunwell" / "runs").iterdir()
    assert notes(invoke("show", run.name, "-w", workspace).stdout) == [f"note     {said}"]


@needs_bubblewrap
@pytest.mark.parametrize("answer", [writing])
def test_what_a_check_left_that_was_cut_short_is_told_to_the_user(invoke, workspace: Path) -> None:
    """Its verdict is that nobody knows."""
    check = ("--check", f"{COMMAND}; sleep 600", "--max-seconds", "3")
    done = invoke("run", "Do it", "-w", workspace, "-m", "haiku", *check)
    assert done.exit_code == 3
    assert len(notes(done.stderr)) == 2
