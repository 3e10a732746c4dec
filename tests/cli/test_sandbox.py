"""``--sandbox``: commands run in a sandbox, or without one because somebody said so."""

import json
import re
from pathlib import Path

import pytest

from tests.bubblewrap import needs_bubblewrap

NO_NETWORK = "bubblewrap .*, no network"
WITH_NETWORK = "bubblewrap .*, with network"
OFF = "off: commands run with all rights of your account"
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


@needs_bubblewrap
@pytest.mark.parametrize("command", ["run", "batch"])
@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        pytest.param(("--allow-shell",), NO_NETWORK, id="shell"),
        pytest.param(("--check", "true"), NO_NETWORK, id="check"),
        pytest.param(("--allow-shell", "--allow-network"), WITH_NETWORK, id="network"),
        pytest.param(("--allow-shell", "--sandbox", "off"), OFF, id="off"),
        pytest.param((), "none: no commands run", id="none"),
    ],
)
def test_what_is_active_is_said(sunwell, tmp_path: Path, command, options, sentence) -> None:
    """In one line at the start, and in the report of it, as text and as JSON."""
    (tmp_path / "tasks.jsonl").write_text('"Say hello"\n')
    what = "Say hello" if command == "run" else tmp_path / "tasks.jsonl"
    common = (command, what, "-w", tmp_path, "--model", "haiku", *options)
    done = sunwell(*common)
    lines = [line for line in done.stderr.splitlines() if re.search(f"sandbox: {sentence}$", line)]
    assert len(lines) == (sentence in (NO_NETWORK, WITH_NETWORK)), done.stderr
    reported = re.findall(f"^sandbox  {sentence}$", done.output, re.MULTILINE)
    assert len(reported) == bool(options), done.output
    told = json.loads(sunwell(*common, "--json").stdout)["sandbox"]
    assert re.fullmatch(sentence, told["sentence"])
    assert told["network"] is (sentence in (WITH_NETWORK, OFF))


@needs_bubblewrap
def test_a_record_opens_no_network(sunwell, tmp_path: Path) -> None:
    """Whoever goes on says it again, and then it is open."""
    allowed = ("--allow-shell", "--allow-network", "--json")
    run = ("run", "Say hello", "-w", tmp_path, "--model", "haiku", *allowed)
    run_id = json.loads(sunwell(*run).stdout)["run_id"]
    fork = ("fork", run_id, "--at", "run/direct", "-w", tmp_path, "--json")
    refused = sunwell(*fork, "--allow-shell")
    assert refused.exit_code == 2
    assert "--allow-network" in refused.stderr
    closed = sunwell(*fork, "--allow-shell", "--no-allow-network", "--accept-changes")
    assert json.loads(closed.stdout)["sandbox"]["network"] is False
    again = sunwell(*fork, "--allow-shell", "--allow-network")
    assert json.loads(again.stdout)["sandbox"]["network"] is True


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


@needs_bubblewrap
@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("SANDBOX", "required", "no network)"),
        ("ALLOW_NETWORK", "true", "with network)"),
        ("SANDBOX", "off", "it is off: commands run with all rights of your account"),
    ],
)
def test_the_doctor_says_what_is_chosen(sunwell, keys, tmp_path: Path, name, value, said) -> None:
    """Not only whether it would work."""
    env = keys | {f"SUNWELL_{name}": value}
    told = json.loads(sunwell("doctor", "-w", tmp_path, "--model", "haiku", "--json", env=env).stdout)
    assert said in told["sandbox"]["detail"]
    assert told["sandbox"]["works"] is True
