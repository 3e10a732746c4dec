"""What came of killed runs beside an unbroken one, for tests and for ``benchmarks/kills.py``."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

MOST_IN_FLIGHT_IN_BATCHES = 8


def outcomes_of(program: str, *arguments: object) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Start a program of this folder, and return what came of the unbroken run, and of the killed ones."""
    command = [sys.executable, str(Path(__file__).parent / program), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    whole, *killed = [json.loads(line) for line in done.stdout.splitlines()]
    return whole.get("unbroken", whole), killed


def differing(whole: dict[str, Any], one: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return what of *one*, a killed run that was resumed, is not as in the unbroken run.

    Calls in flight at a kill may be asked again, and must be listed as uncertain.
    """
    names = set(whole) - {"asked", "uncertain_calls"}
    return _others(whole, one, names) | _out_of_bounds(one["asked"] - whole["asked"], one["uncertain_calls"])


def differing_story(whole: dict[str, Any], one: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return the same of a run with two that continue it, one of which was killed.

    A run that is not resumed is continued as the kill left it.
    """
    ends = whole["ends"][3 - len(one["ends"]) :]
    if one["resumes"]:
        again = one["asked"] - whole["asked"]
        found = _others(whole, one, {"files"}) | _out_of_bounds(again, min(one["uncertain"], 1))
    else:
        missing = {"1.txt", "2.txt"} - set(one["files"])
        found = {"files": (one["files"], missing)} if missing else {}
    return found | ({} if one["ends"] == ends else {"ends": (one["ends"], ends)})


def differing_batch(whole: dict[str, Any], one: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return the same of a batch that was killed several times."""
    names = {"statuses", "in_order", "answers", "indexes", "notes", "calls", "different"}
    again = one["asked"] - one["different"]
    most = MOST_IN_FLIGHT_IN_BATCHES * sum(code == -9 for code in one["codes"])
    return _others(whole, one, names) | _out_of_bounds(again, min(most, one["uncertain_calls"]))


def _others(whole: dict[str, Any], one: dict[str, Any], names: set[str]) -> dict[str, tuple[Any, Any]]:
    return {name: (one.get(name), whole[name]) for name in names if one.get(name) != whole[name]}


def _out_of_bounds(again: int, most: int) -> dict[str, tuple[Any, Any]]:
    return {} if 0 <= again <= most else {"asked again": (again, most)}
