"""No key on any command line, and none in the environment of a process that Sunwell starts."""

import asyncio
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import attrs
import click
import pytest

from sunwell.agent import Agent
from sunwell.cli.demo_command import fresh_shop, run_tests
from sunwell.cli.main import cli
from sunwell.context.options import RunOptions
from sunwell.context.session import SessionContext
from sunwell.core import ToolCall
from sunwell.testing import ScriptedModel, completion

KEYS = {"ANTHROPIC_API_KEY": "sk-planted-0123456789", "PLANTED_SERVICE_TOKEN": "ghp-planted-9876543210"}


@attrs.frozen
class Started:
    """A process as it was started."""

    arguments: tuple[str, ...]
    environ: Mapping[str, str] | None
    """``None``: everything that this process has."""


_watched: list[list[Started]] = []


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    if event == "subprocess.Popen" and _watched:
        _, given, _, environ = arguments
        assert isinstance(given, Sequence)
        assert environ is None or isinstance(environ, Mapping)
        read = None if environ is None else {_text(name): _text(value) for name, value in environ.items()}
        _watched[-1].append(Started(tuple(map(_text, given)), read))


def _text(value: object) -> str:
    return os.fsdecode(value) if isinstance(value, str | bytes | os.PathLike) else str(value)


sys.addaudithook(_watch)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Started]]:
    """Return a list of what is started meanwhile, in a process whose environment has keys."""
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    _watched.append([])
    yield _watched[-1]
    _watched.pop()


def require_clean(started: Sequence[Started]) -> None:
    """Fail where a process was given a key, or was left to inherit whatever there is."""
    for process in started:
        assert process.environ is not None, process.arguments
        told = "\0".join([*process.arguments, *process.environ, *process.environ.values()])
        assert [name for name, value in KEYS.items() if name in told or value in told] == []


def test_tools_start_their_processes_without_keys(started: list[Started], tmp_path: Path) -> None:
    """Searching with a pattern, a script, and a command, which looks at itself and at its environment.

    What it finds is written down in hexadecimal, so that nothing is replaced in it on its way.
    """
    (tmp_path / "a.txt").write_text("one line\n")
    look = "cat /proc/self/environ /proc/self/cmdline /proc/$PPID/cmdline 2>/dev/null | od -An -v -tx1"
    calls = [
        ("search_files", {"pattern": "l.ne", "literal": False, "path": None, "glob": None}),
        ("execute_python", {"code": "print(6 * 7)"}),
        ("run_command", {"command": f"{look}; env | od -An -v -tx1", "timeout_seconds": None}),
    ]
    parts = [ToolCall(f"c{i}", name, json.dumps(given)) for i, (name, given) in enumerate(calls)]
    model = ScriptedModel("opus-x", [completion(*parts), "Done."])
    session = SessionContext.build(
        tmp_path, "Look", options=RunOptions(allow_shell=True, allow_python=True, sandbox="off")
    )
    asyncio.run(Agent(model=model).result(session))
    contents = [part.content for part in model.calls[1].messages[-1].parts]
    assert "one line" in contents[0]
    assert "42" in contents[1]
    seen = bytes.fromhex("".join(re.findall(r"\b[0-9a-f]{2}\b(?= |$)", contents[2], re.MULTILINE)))
    assert b"PATH=" in seen
    assert [name for name, value in KEYS.items() if name.encode() in seen or value.encode() in seen] == []
    assert started  # the search runs in this process
    require_clean(started)


def test_the_demonstration_runs_what_a_model_wrote_without_keys(
    started: list[Started], tmp_path: Path
) -> None:
    """Its tests are code that came out of a model."""
    assert run_tests(fresh_shop(tmp_path / "shop")).count > 0
    assert len(started) == 1
    require_clean(started)


def options_of(command: click.Command) -> Iterator[str]:
    """Yield the names of all options of *command* and of what is below it."""
    for parameter in command.params:
        yield from parameter.opts
    for inner in getattr(command, "commands", {}).values():
        yield from options_of(inner)


def test_no_option_takes_a_key() -> None:
    """What is typed stands in the list of processes for everybody to read: keys are in variables only.

    But for the token of the endpoint, of which the command says so.
    """
    secret = re.compile(r"key|secret|password|header|auth|(?<!budget-)token(?!s)")
    names = sorted(set(options_of(cli)))
    assert "--model" in names
    assert [name for name in names if secret.search(name)] == ["--token"]
