"""Killed at its records and resumed, a climb ends as it would have; no answered call is asked again."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).parent / "killed_ladders.py"
RUNGS = {"cheap", "cheap_again", "lens", "second", "smart"}


def outcomes(*arguments: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return what came of the unbroken run, and of each killed one."""
    program = [sys.executable, str(PROGRAM), *arguments]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    whole, *killed = [json.loads(line) for line in done.stdout.splitlines()]
    return whole["unbroken"], killed


def require_same(whole: dict[str, Any], killed: list[dict[str, Any]]) -> None:
    """Compare all but the calls in flight at a kill: those are asked again, and listed as uncertain."""
    assert whole["fits"]
    for one in killed:
        case = (one["at"], one["how"], one["kills"])
        for name in set(whole) - {"asked", "uncertain_calls"}:
            assert (case, name, one.get(name)) == (case, name, whole[name])
        assert one["asked"] - whole["asked"] <= one["uncertain_calls"], case


@pytest.mark.timeout(280)
@pytest.mark.parametrize("again", [0, 2], ids=["once", "again-while-resumed"])
def test_a_climb_over_five_rungs_survives_a_kill_at_any_record(again: int) -> None:
    """Before, after or inside the line of every eighth or fourteenth record, in another process each time.

    Answer, files, tokens of each rung and verification are those of the unbroken run, and each rung costs
    what the bill says. Outcomes that were recorded before the kill do not change what is climbed after it.
    ``benchmarks/resume.py --climbs`` kills at each record in each of the three ways.
    """
    whole, killed = outcomes("run", "8" if not again else "14", str(again), str(again))
    assert {name for name, *_ in whole["rungs"]} == RUNGS
    assert [passed for _, _, passed, _ in whole["rungs"]] == [False] * 4 + [True]
    assert len(killed) >= (8 if not again else 4)
    require_same(whole, killed)


@pytest.mark.timeout(280)
def test_a_batch_with_a_failing_item_survives_a_kill_at_any_record() -> None:
    """The failing item goes up as in the unbroken batch; the others keep their results."""
    whole, killed = outcomes("batch", "5", "1", "1")
    assert [len(item["rungs"]) for item in whole["items"]] == [3, 1, 1]
    assert {item["passed"] for item in whole["items"]} == {True}
    assert len(killed) >= 12
    require_same(whole, killed)
