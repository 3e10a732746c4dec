"""Checks on the command line: given, recorded, refused from a file that nobody trusts, granted again."""

import json
from pathlib import Path

import pytest

from sunwell.agent.lifecycle.run_settings import options_from
from sunwell.journal import read_records
from sunwell.simulator import Simulator

TASK = "Generate CRUD endpoints for 5 entities"


def recorded(journal: str):
    """Return the options in the first record of *journal*."""
    return options_from(next(iter(read_records(Path(journal)))).settings)


def test_checks_are_recorded_as_they_were_typed(sunwell, shop: Path) -> None:
    """Each option can be repeated; a comma in a command does not divide it."""
    given = ("--check", "true a,b", "--check", "true", "--protect", "tests/**", "--protect", "*.toml")
    more = ("--must-change", "*.py", "--check-timeout", "2m")
    done = sunwell("run", TASK, "-w", shop, "--json", "--max-turns", "1", *given, *more)
    options = recorded(json.loads(done.stdout)["journal"])
    assert options.checks == ("true a,b", "true")
    assert (options.protect, options.must_change) == (("tests/**", "*.toml"), ("*.py",))
    assert options.check_timeout_seconds == 120


@pytest.mark.parametrize(
    "line", ['checks = ["touch evil"]', 'check = ["touch evil"]', 'protect = ["x"]', "check_timeout = 900"]
)
def test_a_file_that_nobody_trusts_sets_no_check(sunwell, shop: Path, simulator: Simulator, line) -> None:
    """A repository must not have its commands run because somebody works in it."""
    (shop / "sunwell.toml").write_text(f"{line}\n")
    done = sunwell("run", TASK, "-w", shop)
    assert done.exit_code == 2
    assert "a project's file that is not trusted may only narrow" in done.stderr
    assert (len(simulator.requests), (shop / "evil").exists()) == (0, False)


def test_a_run_goes_on_with_the_checks_of_its_record_only_if_they_are_allowed(sunwell, shop: Path) -> None:
    """They are printed before anything is done; given again, they need no permission."""
    first = json.loads(
        sunwell("run", TASK, "-w", shop, "--max-turns", "3", "--check", "true 1", "--json").stdout
    )
    refused = sunwell("resume", first["run_id"], "-w", shop, "--max-turns", "20")
    assert refused.exit_code == 2
    assert "--check 'true 1', which its record cannot grant" in refused.stderr
    assert "--allow-checks" in refused.stderr
    allowed = sunwell("resume", first["run_id"], "-w", shop, "--max-turns", "4", "--allow-checks")
    assert "checks of the record: true 1" in allowed.stderr
    again = sunwell("resume", first["run_id"], "-w", shop, "--max-turns", "5", "--check", "true 1")
    assert "checks of the record" not in again.stderr
    assert again.exit_code != 2


def test_a_batch_reads_the_checks_of_its_tasks(sunwell, shop: Path, tmp_path: Path) -> None:
    """A command, or a list of them; anything else is refused with its line."""
    tasks = tmp_path / "tasks.jsonl"
    lines = [{"text": "One", "check": "true 1"}, {"text": "Two", "check": ["true 2", "true 3"]}]
    tasks.write_text("\n".join(map(json.dumps, lines)))
    done = sunwell("batch", tasks, "-w", shop, "--json", "--max-turns", "1")
    opened = next(iter(read_records(Path(json.loads(done.stdout)["journal"]))))
    checks = [task["check"] for task in opened.settings["batch"]["tasks"]]
    assert checks == [["true 1"], ["true 2", "true 3"]]
    for wrong in (3, [""], [3], {"a": 1}):
        tasks.write_text(json.dumps({"text": "One", "check": wrong}))
        refused = sunwell("batch", tasks, "-w", shop)
        assert refused.exit_code == 2
        assert "line 1: a task's check cannot be" in refused.stderr


def test_a_schema_is_recorded_whole_and_a_bad_one_is_refused(sunwell, shop: Path, tmp_path: Path) -> None:
    """The file may change or go: the run goes on with what it read."""
    pytest.importorskip("jsonschema")
    file = tmp_path / "schema.json"
    file.write_text('{"type": "object"}')
    given = ("run", TASK, "-w", shop, "--max-turns", "1", "--answer-schema", file)
    done = sunwell(*given, "--json")
    opened = next(iter(read_records(Path(json.loads(done.stdout)["journal"]))))
    assert opened.settings["answer_schema"] == '{"type": "object"}'
    wrong = {"{": "is not JSON", "[]": "must be a JSON object", '{"type": 3}': "not a JSON schema"}
    for text, said in wrong.items():
        file.write_text(text)
        refused = sunwell(*given)
        assert refused.exit_code == 2
        assert said in refused.stderr
    file.unlink()
    assert "cannot be read" in sunwell(*given).stderr


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--judge-model", "opus"), "--judge-model has no effect here: nobody judges; add --judge"),
        (("--check-timeout", "5"), "has no effect here: no check is a command; add --check"),
        (("--judge", " "), "judge"),
        (("--check", " "), "check"),
    ],
)
def test_what_would_have_no_effect_is_refused(sunwell, shop: Path, simulator: Simulator, given, said) -> None:
    """Before anything is asked."""
    done = sunwell("run", TASK, "-w", shop, *given)
    assert done.exit_code == 2
    assert said in done.stderr
    assert len(simulator.requests) == 0


def test_without_a_sandbox_the_commands_of_checks_are_warned_of(sunwell, shop: Path) -> None:
    """As those of models are; the option has its effect without --allow-shell."""
    done = sunwell("run", TASK, "-w", shop, "--max-turns", "1", "--check", "true", "--sandbox", "off")
    assert "the sandbox is off: commands run with all rights of your account" in done.stderr


def test_a_check_whose_program_is_missing_is_found_before_a_run(
    sunwell, trust, shop: Path, tmp_path: Path
) -> None:
    """Its verdict would be that it cannot tell, after all has been paid."""
    file = tmp_path / "own.toml"
    file.write_text('checks = ["no-such-program-5f1d -q", "cd . && true"]\n')
    assert trust(file).exit_code == 0
    done = sunwell("config", "check", "-w", shop, "--config", file)
    assert "checks: no-such-program-5f1d is not found on PATH" in done.stdout + done.stderr
    assert "cd is not found" not in done.stdout + done.stderr
