"""Killed at its records and resumed, a run whose workers have checks ends as it would have."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parent / "killed_checks.py"


@pytest.mark.timeout(280)
@pytest.mark.parametrize(("stride", "first", "again"), [("9", "2", "0"), ("16", "3", "2")])
def test_workers_with_checks_survive_a_kill_at_any_record(stride: str, first: str, again: str) -> None:
    """Before, after or inside the line of a record by turns, in another process each time.

    The worker whose work fails its check goes up the same rungs; the others keep their results, and the task
    whose check was refused is not started. What is asked again was in flight at a kill.
    The program with a step of one kills at each record in each of the three ways.
    """
    program = [sys.executable, str(PROGRAM), stride, first, again]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    unbroken, *killed = [json.loads(line) for line in done.stdout.splitlines()]
    whole = unbroken["unbroken"]
    assert whole["answer"] == "0: passed, 1: passed, 2: passed"
    assert [[rung for rung, *_ in one["rungs"]] for one in whole["workers"]] == [
        ["cheap"],
        ["cheap", "cheap_again", "smart"],
        ["cheap"],
    ]
    assert set(whole["files"].values()) == {"right\n"}
    assert whole["fits"]
    assert len(killed) >= 3
    for one in killed:
        case = (one["at"], one["how"], one["kills"])
        for name in set(whole) - {"asked", "uncertain_calls"}:
            assert (case, name, one.get(name)) == (case, name, whole[name])
        assert one["asked"] - whole["asked"] <= one["uncertain_calls"], case
