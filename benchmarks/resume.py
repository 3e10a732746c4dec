"""What a crash costs: a long delegated run, killed at every record, resumed, and killed while resuming.

Run ``python benchmarks/resume.py``: each run is ended by SIGKILL before a record is written, after it, and
at a random byte inside its line; and once more in each of these ways with three further kills while it is
resumed, each at one of the first records that the resume writes. Each process starts from the files alone.
The records are shared out among as many programs as there are processors (``--processes``), and the
workspaces lie in memory where the system has such a folder: a killed process loses nothing of either. It
prints its table, writes ``benchmarks/results/resume.json``, and fails where an answer or a file differs
from the unbroken run's, or more calls were asked than those of the unbroken run and those in flight.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from recording import ROOT, record

PROGRAM = ROOT / "tests" / "scenarios" / "killed_runs.py"
MEMORY = Path("/dev/shm")
SAME = ("status", "answer", "files", "turns", "tokens")


def outcomes(turns: int, stride: int, again: int, first: int) -> list[dict[str, Any]]:
    """Return what a program prints: the unbroken run, then each killed one from record *first* on."""
    command = [sys.executable, str(PROGRAM), *map(str, (turns, stride, again, first, 1))]
    quick = {"TMPDIR": str(MEMORY)} if MEMORY.is_dir() else {}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | quick) as program:
        assert program.stdout is not None
        told = [json.loads(line) for line in program.stdout]
    if program.returncode:
        raise SystemExit(f"{PROGRAM.name} ended with {program.returncode}")
    return told


def shared_out(turns: int, stride: int, again: int, processes: int) -> Iterator[dict[str, Any]]:
    """Yield what so many programs print that take turns at the records, the unbroken run first."""
    firsts = range(0, stride * processes, stride)
    with ThreadPoolExecutor(processes) as threads:
        parts = list(threads.map(lambda first: outcomes(turns, stride * processes, again, first), firsts))
    yield parts[0][0]
    for unbroken, *killed in parts:
        if unbroken != parts[0][0]:
            raise SystemExit("two unbroken runs differ")
        yield from killed


def measure(turns: int, stride: int, again: int, processes: int) -> dict[str, Any]:
    """Kill and resume, and return the counts."""
    begun, told = time.perf_counter(), shared_out(turns, stride, again, processes)
    whole = next(told)["unbroken"]
    kinds: Counter[str] = Counter()
    wrong: list[dict[str, Any]] = []
    records = kills = asked_again = most_again = 0
    for one in told:
        records = max(records, one["at"] + 1)
        kinds[one["how"] + (", again while resuming" if one["kills"] > 1 else "")] += 1
        kills += one["kills"]
        more = one["asked"] - whole["asked"]
        asked_again += more
        most_again = max(most_again, more)
        differs = [name for name in SAME if one.get(name) != whole[name]]
        if differs or more > one["kills"] or one["uncertain_calls"] < more:
            wrong.append({"at": one["at"], "how": one["how"], "differs": differs, "asked_again": more})
    return {
        "turns": whole["turns"],
        "calls_of_an_unbroken_run": whole["asked"],
        "records_killed_at": records,
        "killed_runs": dict(sorted(kinds.items())),
        "kills": kills,
        "calls_asked_again": asked_again,
        "most_asked_again_in_one_run": most_again,
        "wrong": wrong,
        "processes": processes,
        "seconds": round(time.perf_counter() - begun, 1),
    }


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description="What a crash costs.")
    parser.add_argument("--turns", type=int, default=50, help="tool-using turns of the run")
    parser.add_argument("--stride", type=int, default=1, help="step from one record to the next")
    parser.add_argument("--again", type=int, default=3, help="kills while resuming, after each first one")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="programs side by side")
    parser.add_argument("--no-result", action="store_true", help="print only")
    chosen = parser.parse_args()
    found = measure(chosen.turns, chosen.stride, chosen.again, chosen.processes)
    for name, value in found.items():
        print(f"{name:<28} {value}")
    if not chosen.no_result:
        print(f"written: {record('resume', found).relative_to(ROOT)}")
    if found["wrong"]:
        raise SystemExit(1)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    main()
