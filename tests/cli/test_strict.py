"""What is unresolved on the command line: in reports, JSON and results, and as exit code 3 with --strict."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest
from click.testing import CliRunner, Result

from sunwell.cli.exit_codes import code_of_result
from sunwell.cli.main import cli
from sunwell.core.message import Text, ToolCall
from sunwell.core.task import CommandRun, TaskResult
from sunwell.core.verdict import Verification
from sunwell.report.summary import command_lines
from sunwell.simulator import Asked, Reply, Simulator, running_simulator

MODEL = "claude-haiku-5-5"
SHELL = ("--allow-shell", "--sandbox", "off")
TASK = "Fix the total in cart.txt"
COMMAND = "exit 1"
UNRESOLVED = f"The last command failed: `{COMMAND}` ended with exit code 1."


def failing(asked: Asked) -> Reply:
    """Change the file, run tests that fail, and say that it is done."""
    turn = sum(message.role == "assistant" for message in asked.messages)
    if turn == 0:
        arguments = {"path": "cart.txt", "content": "1\n"}
        return Reply((ToolCall("call_0", "write_file", json.dumps(arguments)),))
    if turn == 1:
        return Reply(
            (ToolCall("call_1", "run_command", json.dumps({"command": COMMAND, "timeout_seconds": None})),)
        )
    return Reply((Text("Fixed."),))


@pytest.fixture
def env() -> Iterator[dict[str, str]]:
    with running_simulator(Simulator({MODEL: failing})) as running:
        yield {"ANTHROPIC_BASE_URL": running.url, "ANTHROPIC_API_KEY": "simulated-key"}


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    (tmp_path / "cart.txt").write_text("0\n")
    return tmp_path


def invoke(env: dict[str, str], *arguments: str | Path) -> Result:
    return CliRunner(env=env).invoke(cli, [str(argument) for argument in arguments])


def run(env: dict[str, str], workspace: Path, *more: str) -> Result:
    return invoke(env, "run", TASK, "-w", workspace, "--model", "haiku", *SHELL, *more)


def test_a_report_names_commands_and_what_is_unresolved(env: dict[str, str], workspace: Path) -> None:
    """The run is done all the same: only --strict makes it count."""
    done = run(env, workspace)
    assert done.exit_code == 0, done.output
    said = re.compile(rf"^commands exit 1, \d+\.\d s  {re.escape(COMMAND)}$", re.MULTILINE)
    assert said.search(done.stderr)
    assert f"unresolved: {UNRESOLVED}\n" in done.stderr
    (journal,) = workspace.glob(".sunwell/runs/*/journal.jsonl")
    shown = invoke(env, "show", journal.parent.name, "-w", workspace)
    assert said.search(shown.output)
    assert f"unresolved: {UNRESOLVED}\n" in shown.output


def test_strict_makes_it_count(env: dict[str, str], workspace: Path) -> None:
    """Also in JSON, which says both, and when the finished run or a fork of it is asked for its result."""
    done = run(env, workspace, "--strict", "--json")
    assert done.exit_code == 3
    told = json.loads(done.stdout)
    assert (told["status"], told["unresolved"]) == ("ok", [UNRESOLVED])
    (ran,) = told["commands"]
    assert (ran["command"], ran["exit_code"], ran["duration_seconds"] > 0) == (COMMAND, 1, True)
    again = invoke(env, "resume", told["run_id"], "-w", workspace, "--strict", "--json", *SHELL)
    assert again.exit_code == 3, again.output
    assert json.loads(again.stdout)["unresolved"] == [UNRESOLVED]
    assert json.loads(again.stdout)["commands"] == told["commands"]
    assert invoke(env, "resume", told["run_id"], "-w", workspace, *SHELL).exit_code == 0
    fork = ("fork", told["run_id"], "--at", "run/direct:2", "-w", workspace, "--strict", "--json")
    forked = invoke(env, *fork, *SHELL)
    assert forked.exit_code == 3, forked.output


def test_a_batch_tells_it_of_each_worker(env: dict[str, str], workspace: Path) -> None:
    """In each result, in the report with the worker's id, and in the exit code."""
    tasks, results = workspace / "tasks.jsonl", workspace / "out.jsonl"
    tasks.write_text(json.dumps(TASK) + "\n")
    more = ("--model", "haiku", *SHELL, "--strict")
    done = invoke(env, "batch", tasks, "-w", workspace, "--results", results, *more)
    assert done.exit_code == 3, done.output
    (line,) = [json.loads(text) for text in results.read_text().splitlines()]
    assert (line["status"], line["unresolved"]) == ("ok", [UNRESOLVED])
    assert f"unresolved: task-0: {UNRESOLVED}\n" in done.stderr


RESULT = TaskResult("t", "ok", "end")


@pytest.mark.parametrize(
    ("result", "code"),
    [
        pytest.param(RESULT, 0, id="done"),
        pytest.param(attrs.evolve(RESULT, unresolved=("x",)), 3, id="unresolved"),
        pytest.param(
            attrs.evolve(RESULT, verification=Verification(None, ("pytest",))), 3, id="could-not-tell"
        ),
        pytest.param(attrs.evolve(RESULT, verification=Verification(True, ("pytest",))), 0, id="verified"),
        pytest.param(TaskResult("t", "error", "bug", unresolved=("x",)), 1, id="failed"),
        pytest.param(TaskResult("t", "cancelled", "cancelled"), 130, id="cancelled"),
    ],
)
def test_what_strict_counts(result: TaskResult, code: int) -> None:
    """Something unresolved, and checks that could not tell; worse ends keep their own code."""
    assert code_of_result(result, strict=True) == code
    assert code_of_result(result) == {3: 0}.get(code, code)


def test_many_commands_are_shortened_in_text() -> None:
    """The last ten are shown, and how many came before."""
    lines = list(command_lines([CommandRun(f"c{number}", number, 0.5) for number in range(12)]))
    ends = (
        "commands exit 2, 0.5 s   c2",
        "         exit 11, 0.5 s  c11",
        "         and 2 earlier: --json lists all",
    )
    assert (lines[0], lines[-2], lines[-1]) == ends
    assert list(command_lines([CommandRun("sleep 9", None)])) == ["commands killed  sleep 9"]
