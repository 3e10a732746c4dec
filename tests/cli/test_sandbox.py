"""``--sandbox``: commands run in a sandbox, or without one because somebody said so."""

import json
from pathlib import Path

import pytest

WHOLE_SYSTEM = Path("/")
"""A workspace for which no machine has a sandbox."""
LINE = "the sandbox is off: commands run with all rights of your account"


@pytest.mark.parametrize("command", ["run", "batch"])
def test_a_run_without_the_sandbox_it_needs_spends_nothing(
    sunwell, simulator, tmp_path: Path, command
) -> None:
    """Exit code 2, one sentence, no request, and no run; what the machine had there before is left alone."""
    runs = Path("/.sunwell/runs")
    before = sorted(runs.glob("*"))
    tasks = tmp_path / "tasks.jsonl"
    tasks.write_text('"Say hello"\n')
    what = "Say hello" if command == "run" else tasks
    done = sunwell(command, what, "-w", WHOLE_SYSTEM, "--model", "haiku", "--allow-shell")
    assert done.exit_code == 2, done.output
    assert "no sandbox can protect" in done.stderr
    assert not any("messages" in request.path for request in simulator.requests)
    assert sorted(runs.glob("*")) == before


@pytest.mark.parametrize(
    ("options", "variable", "is_told"),
    [
        pytest.param(("--allow-shell", "--sandbox", "off"), "", True, id="option"),
        pytest.param(("--allow-shell",), "off", True, id="variable"),
        pytest.param((), "off", False, id="no-commands"),
        pytest.param(("--allow-shell", "--sandbox", "required", "--dry-run"), "off", False, id="typed-wins"),
    ],
)
def test_that_the_sandbox_is_off_is_said_in_one_line(
    sunwell, keys, tmp_path: Path, options, variable, is_told
) -> None:
    """On standard error, where commands are allowed."""
    env = keys | {"SUNWELL_SANDBOX": variable}
    done = sunwell("run", "Say hello", "-w", tmp_path, "--model", "haiku", *options, env=env)
    assert done.exit_code == 0, done.output
    assert [LINE in line for line in done.stderr.splitlines()].count(True) == is_told


def test_an_older_word_is_refused(sunwell, tmp_path: Path) -> None:
    """There is no way to have a sandbox perhaps."""
    done = sunwell("run", "Say hello", "-w", tmp_path, "--sandbox", "auto")
    assert done.exit_code == 2
    assert "required" in done.stderr


def test_the_doctor_says_whether_the_sandbox_works(sunwell, tmp_path: Path, simulator) -> None:
    """With the program, or with the reason; it is missed only if commands need it."""
    done = sunwell("doctor", "-w", WHOLE_SYSTEM, "--model", "haiku", "--json")
    told = json.loads(done.stdout)["sandbox"]
    assert (told["works"], told["required"]) == (False, False)
    assert "no sandbox can protect" in told["detail"]
    (tmp_path / "user").mkdir()
    done = sunwell("doctor", "-w", tmp_path, "--model", "haiku")
    assert done.stdout.startswith("sandbox  ")
