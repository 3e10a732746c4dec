"""Ctrl-C, SIGTERM, SIGHUP and the time limit end a command at once, whatever it is doing.

Each row is a process of its own, with a provider over HTTP, a real signal, and real children. The bound is
for a busy machine, and what took longer is tried again, alone: a command that waits for something waits each
time. The rows are those that differ most; ``benchmarks/ends.py`` measures all of them.
"""

import json
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.endings import ROWS

PROGRAM = Path(__file__).with_name("endings.py")
ROOT = Path(__file__).parents[2]
MOST_SECONDS = 3.0
SIGNALLED = (
    ("start", "SIGTERM"),
    ("deaf-command", "SIGINT+SIGINT"),
    ("search", "SIGINT"),
    ("approval", "SIGHUP"),
    ("slow-disk", "SIGTERM"),
)
LIMITED = ("trickle", "check")
PAIRS = [*SIGNALLED, *((name, "limit") for name in LIMITED)]
pytestmark = pytest.mark.timeout(280)  # the first test waits for all rows


def lacking(name: str) -> str:
    """Return what the row *name* needs and this machine lacks."""
    for needed in ROWS[name].needs:
        if needed == "monty":
            if find_spec("pydantic_monty") is None:
                return "pydantic-monty"
        elif shutil.which(needed) is None:
            return {"bwrap": "bubblewrap"}.get(needed, needed)
    return ""


@pytest.fixture(scope="module")
def ends() -> dict[tuple[str, str], dict[str, Any]]:
    """Return how each row ended: all of them are started by one program, several at a time."""
    found = played([pair for pair in PAIRS if not lacking(pair[0])], at_once=4)
    for _ in range(2):
        found |= played([pair for pair, told in found.items() if not is_at_once(told)], at_once=1)
    return found


def played(pairs: list[tuple[str, str]], *, at_once: int) -> dict[tuple[str, str], dict[str, Any]]:
    """Return how each of *pairs* ended."""
    if not pairs:
        return {}
    line = [sys.executable, str(PROGRAM), str(at_once), *(word for pair in pairs for word in pair)]
    done = subprocess.run(line, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines()]
    return {(one["row"], one["how"]): one for one in told}


def is_at_once(told: dict[str, Any]) -> bool:
    """Whether a row was ready, and ended in time."""
    return told["seconds"] is not None and told["seconds"] < MOST_SECONDS


def _told(ends: dict[tuple[str, str], dict[str, Any]], name: str, how: str) -> dict[str, Any]:
    if missing := lacking(name):
        pytest.skip(f"requires {missing}")
    told = ends[name, how]
    assert is_at_once(told), told
    assert told["left"] == []
    assert told["bill"] == ""
    return told


@pytest.mark.parametrize(("name", "how"), SIGNALLED)
def test_a_signal_ends_a_command_at_once(
    ends: dict[tuple[str, str], dict[str, Any]], name: str, how: str
) -> None:
    """The exit code and the last line say so, the journal can be read, and no child is left."""
    told = _told(ends, name, how)
    assert told["journal"] in (None, "cancelled", "open"), told
    # Until the program is loaded, the system itself ends it.
    assert told["code"] == 130 or (name == "start" and told["code"] < 0), told
    if not ROWS[name].program and told["code"] == 130:
        assert any(word in told["said"] for word in ("resume", "cancelled", "ended at once")), told
    assert "Traceback" not in told["err"] or told["code"] < 0, told


@pytest.mark.parametrize("name", LIMITED)
def test_the_time_limit_ends_a_run_at_once(ends: dict[tuple[str, str], dict[str, Any]], name: str) -> None:
    """Also while a check, or the writer of a lens, is waited for; the run can be resumed."""
    told = _told(ends, name, "limit")
    assert told["journal"] == "timeout", told
    assert told["code"] == 3, told
