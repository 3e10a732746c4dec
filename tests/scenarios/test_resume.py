"""Nothing is paid twice: a run killed at any record asks no answered call again, and ends the same."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).parent / "killed_runs.py"
RECORDS = 25


@pytest.mark.timeout(280)
def test_a_run_of_five_turns_survives_a_kill_at_any_record() -> None:
    """Killed by SIGKILL before, after or inside the line of every record, each third again while resuming.

    The answer and the files are those of the unbroken run, byte for byte. Only a call that was in
    flight at a kill is asked again, and it is listed as uncertain. The three ways take turns;
    ``benchmarks/resume.py`` kills a longer run at each record in each of them.
    """
    program = [sys.executable, PROGRAM, "5", "1", "2"]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    unbroken, *killed = [json.loads(line) for line in done.stdout.splitlines()]
    whole: dict[str, Any] = unbroken["unbroken"]
    assert whole["turns"] == 6
    assert {one["how"] for one in killed} == {"before", "after", "inside"}
    assert {one["at"] for one in killed} >= set(range(RECORDS))
    assert {one["code"] for one in killed} == {-9}
    for one in killed:
        case = (one["at"], one["how"], one["kills"])
        for name in ("status", "answer", "files", "turns", "tokens"):
            assert (case, name, one[name]) == (case, name, whole[name])
        assert one["asked"] <= whole["asked"] + one["kills"], case
        assert one["uncertain_calls"] >= one["asked"] - whole["asked"], case
