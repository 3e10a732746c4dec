"""How long does a command take to end, whatever it is doing? Signals, Ctrl-C twice, and the time limit.

Run ``python benchmarks/ends.py``: each row of ``tests/scenarios/endings.py`` is a process that is interrupted
in the middle of something, with a provider over HTTP, real signals and real children. It prints the seconds
from the signal, or from the moment at which the time limit is reached, to the exit of the process; writes
``benchmarks/results/ends.json``; and fails if the median of a row is above one second, a journal cannot be
read, a bill is wrong, or a child is left. Rows whose needs this machine lacks are left out, and named.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
from importlib.util import find_spec
from typing import Any

from recording import ROOT, record

PROGRAM = ROOT / "tests" / "scenarios" / "endings.py"
MOST_SECONDS = 1.0
SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGINT+SIGINT")


def asked_of(names: list[str]) -> list[dict[str, Any]]:
    """Return the rows that can be interrupted here: what they need, and whether they have a limit."""
    done = subprocess.run([sys.executable, str(PROGRAM)], capture_output=True, text=True, check=True)
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return [one for one in found if not names or one["row"] in names]


def is_here(needed: str) -> bool:
    """Whether this machine has a program or a library."""
    return find_spec("pydantic_monty") is not None if needed == "monty" else shutil.which(needed) is not None


def measure(rows: list[dict[str, Any]], times: int, at_once: int) -> list[dict[str, Any]]:
    """Interrupt each row *times* times in each way; return what was told of each."""
    words: list[str] = []
    for row in rows:
        # A program of one's own has the handlers that it sets; Python sets one for Ctrl-C.
        signals = ("SIGINT",) if row["is_program"] else SIGNALS
        for how in (*signals, *(["limit"] if row["limited"] else [])):
            words += [row["row"], how] * times
    done = subprocess.run(
        [sys.executable, str(PROGRAM), str(at_once), *words], stdout=subprocess.PIPE, text=True
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def wrong_in(told: dict[str, Any]) -> str:
    """Return what is wrong with how one command ended; empty if nothing is."""
    if told["seconds"] is None:
        return str(told.get("error") or told.get("said"))
    if told["left"] or told["bill"]:
        return f"left {told['left']}, bill {told['bill']}"
    known = ("timeout",) if told["how"] == "limit" else (None, "cancelled", "open")
    if told["journal"] not in known or told["was_over"]:
        return f"journal {told['journal']}, over before: {told['was_over']}"
    return ""


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description="How long a command takes to end.")
    parser.add_argument("rows", nargs="*", help="rows; all if none is named")
    parser.add_argument("--times", type=int, default=3, help="interruptions of each kind in each row")
    parser.add_argument("--at-once", type=int, default=1, help="rows that are measured at the same time")
    parser.add_argument("--dry", action="store_true", help="write no result")
    chosen = parser.parse_args()
    rows = asked_of(chosen.rows)
    able = [row for row in rows if all(map(is_here, row["needs"]))]
    told = measure(able, chosen.times, chosen.at_once)
    wrong = [f"{one['row']} {one['how']}: {said}" for one in told if (said := wrong_in(one))]
    found: dict[str, Any] = {}
    for row in able:
        signalled, limited = (
            [
                one["seconds"]
                for one in told
                if one["row"] == row["row"]
                and (one["how"] == "limit") is of_limit
                and one["seconds"] is not None
            ]
            for of_limit in (False, True)
        )
        found[row["row"]] = {
            "signal_seconds": round(statistics.median(signalled), 2) if signalled else None,
            "signal_most_seconds": round(max(signalled), 2) if signalled else None,
            "limit_seconds": round(statistics.median(limited), 2) if limited else None,
            "limit_most_seconds": round(max(limited), 2) if limited else None,
        }
        print(f"{row['row']:20} {found[row['row']]}")
    left_out = [row["row"] for row in rows if row not in able]
    print(f"left out: {', '.join(left_out) or 'none'}", *wrong, sep="\n")
    if not chosen.dry:
        record("ends", {"times": chosen.times, "rows": found, "left_out": left_out, "wrong": wrong})
    slow = [
        name
        for name, row in found.items()
        if max(row["signal_seconds"] or 0, row["limit_seconds"] or 0) > MOST_SECONDS
    ]
    if slow or wrong:
        raise SystemExit(f"slow: {', '.join(slow) or 'none'}; wrong: {len(wrong)}")


if __name__ == "__main__":
    main()
