"""A batch killed again and again: fifty results in order, and no answered call asked twice."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parent / "killed_batches.py"
MOST_IN_FLIGHT = 8


@pytest.mark.timeout(280)
def test_fifty_tasks_survive_kills_at_random_records() -> None:
    """Fifty tasks on the example's code base, eight at once, killed by SIGKILL and taken up again.

    The end is that of the unbroken batch. What is asked again was in flight at a kill, and is listed
    as uncertain. The results file is whole after each kill and loses nothing.
    """
    done = subprocess.run([sys.executable, PROGRAM, "4", "3"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    whole, *killed = [json.loads(line) for line in done.stdout.splitlines()]
    assert (whole["statuses"], whole["in_order"], whole["calls"]) == (["ok"], True, 150)
    assert len(killed) == 4
    kills = 0
    for one in killed:
        for name in ("statuses", "in_order", "answers", "indexes", "notes", "calls"):
            assert (one["seed"], name, one[name]) == (one["seed"], name, whole[name])
        died = sum(code == -9 for code in one["codes"])
        again = one["asked"] - one["different"]
        assert one["different"] == whole["different"] == 150
        assert again <= MOST_IN_FLIGHT * died
        assert one["uncertain_calls"] >= again
        kills += died
    assert kills >= 8
