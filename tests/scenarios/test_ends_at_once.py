"""Ctrl-C, SIGTERM, SIGHUP and the time limit end a command at once, whatever it is doing.

Each row is a process of its own, with a provider over HTTP, a real signal, and real children. The bound is one for a
busy machine; ``benchmarks/ends.py`` measures how long it takes on a quiet one.
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
TOLD = ("SIGINT", "SIGTERM", "SIGHUP")
LIMITED = [name for name, row in ROWS.items() if row.limited]
SIGNALLED = [
    (name, "SIGINT" if row.program else TOLD[number % len(TOLD)])
    for number, (name, row) in enumerate(ROWS.items())
]
TWICE = [("slow-answer", "SIGINT+SIGINT"), ("deaf-command", "SIGINT+SIGINT")]


def ended(name: str, how: str) -> dict[str, Any]:
    """Return how the row *name* ended; skips it if it needs what this machine lacks."""
    for needed in ROWS[name].needs:
        if needed == "monty":
            if find_spec("pydantic_monty") is None:
                pytest.skip("requires pydantic-monty")
        elif shutil.which(needed) is None:
            pytest.skip(f"requires {needed}")
    done = subprocess.run(
        [sys.executable, str(PROGRAM), name, how], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    assert told["seconds"] is not None, told
    return told


@pytest.mark.parametrize(("name", "how"), SIGNALLED + TWICE)
def test_a_signal_ends_a_command_at_once(name: str, how: str) -> None:
    """The exit code and the last line say so, the journal can be read, and no child is left."""
    told = ended(name, how)
    assert told["seconds"] < MOST_SECONDS, told
    assert told["left"] == []
    assert told["bill"] == ""
    assert told["journal"] in (None, "cancelled", "open"), told
    # Until the program is loaded, the system itself ends it.
    assert told["code"] == 130 or (name in ("start", "context-pipe") and told["code"] < 0), told
    if not ROWS[name].program and told["code"] == 130:
        assert any(word in told["said"] for word in ("resume", "cancelled", "ended at once")), told
    assert "Traceback" not in told["err"] or told["code"] < 0, told


@pytest.mark.parametrize("name", LIMITED)
def test_the_time_limit_ends_a_run_at_once(name: str) -> None:
    """Also while a check, a judge or the writer of a lens is waited for; the run can be resumed."""
    told = ended(name, "limit")
    assert told["seconds"] < MOST_SECONDS, told
    assert told["left"] == []
    assert told["bill"] == ""
    assert told["journal"] == "timeout", told
    assert told["code"] == (0 if ROWS[name].program else 3), told
