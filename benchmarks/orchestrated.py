"""What a crash costs an orchestrated run, and whether a wake-up is ever lost.

Run ``python benchmarks/orchestrated.py``: an orchestrator with thirty workers is ended by SIGKILL before
each record is written, after it, and inside its line; every fourth kill is followed by two more while the
run is resumed. The same is done to a smaller run whose orchestrator waits for the next few reports, talks
instead of calling, and passes reports on. Before that, ten thousand random schedules of workers and waits
(for all, for a number, by words) are played on a virtual clock. It prints its counts, writes
``benchmarks/results/orchestrated.json``, and fails where an answer, a file or a worker's end differs from
the unbroken run's, where more calls were asked again than were in flight, or where a schedule misses a
result.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

from recording import ROOT, record

PROGRAM = ROOT / "tests" / "scenarios" / "killed_orchestrations.py"
SAME = ("status", "answer", "workers", "files", "calls")
SAME_IF_READING = ("status", "answer", "workers")
"""How many turns that orchestrator takes depends on who finishes when."""
MOST_IN_FLIGHT = 7


def outcomes(workers: int, stride: int, again: int, *more: str) -> Iterator[dict[str, Any]]:
    """Yield what the program prints: the unbroken run, then each killed one."""
    command = [sys.executable, str(PROGRAM), str(workers), str(stride), str(again), *more]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        for line in program.stdout:
            yield json.loads(line)
    if program.returncode:
        raise SystemExit(f"{PROGRAM.name} ended with {program.returncode}")


def kills(workers: int, stride: int, again: int) -> dict[str, Any]:
    """Kill and resume, and return the counts."""
    begun, told = time.perf_counter(), outcomes(workers, stride, again)
    whole = next(told)["unbroken"]
    runs = killed = asked_again = 0
    for one in told:
        case = (one["at"], one["how"])
        for name in SAME:
            if one.get(name) != whole[name]:
                raise SystemExit(f"{case}: {name} is {one.get(name)!r} and not {whole[name]!r}")
        more = one["asked"] - whole["asked"]
        if not 0 <= more <= MOST_IN_FLIGHT * one["kills"] or one["uncertain_calls"] < more:
            raise SystemExit(f"{case}: {more} calls were asked again, {one['uncertain_calls']} are uncertain")
        runs, killed, asked_again = runs + 1, killed + one["kills"], asked_again + more
    return {
        "workers": workers,
        "stride": stride,
        "killed_runs": runs,
        "kills": killed,
        "calls_of_a_run": whole["asked"],
        "calls_asked_again": asked_again,
        "seconds": round(time.perf_counter() - begun, 1),
    }


def reading_kills(workers: int, again: int) -> dict[str, Any]:
    """The same at each record, with the orchestrator that waits for the next reports; return the counts."""
    begun, told = time.perf_counter(), outcomes(workers, 1, again, "reading")
    whole = next(told)["unbroken"]
    runs = killed = 0
    for one in told:
        for name in SAME_IF_READING:
            if one.get(name) != whole[name]:
                raise SystemExit(f"reading, {one['at']}, {one['how']}: {name} is {one.get(name)!r}")
        runs, killed = runs + 1, killed + one["kills"]
    return {
        "workers": workers,
        "killed_runs": runs,
        "kills": killed,
        "seconds": round(time.perf_counter() - begun, 1),
    }


def schedules(count: int) -> dict[str, Any]:
    """Play random schedules and return the counts."""
    sys.path.insert(0, str(ROOT))
    from tests.agent.orchestration.test_tools import schedule

    begun, workers = time.perf_counter(), 0
    for seed in range(count):
        started, told = schedule(seed)
        if started != told:
            raise SystemExit(f"schedule {seed}: {set(started) - set(told)} never woke who waited for them")
        workers += len(started)
    return {
        "schedules": count,
        "workers": workers,
        "seconds": round(time.perf_counter() - begun, 1),
    }


def main() -> None:
    """Measure, print and record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=30)
    parser.add_argument("--stride", type=int, default=1, help="from one record to the next")
    parser.add_argument("--again", type=int, default=2, help="kills while resuming")
    parser.add_argument("--schedules", type=int, default=10_000)
    parser.add_argument("--reading-workers", type=int, default=8)
    given = parser.parse_args()
    figures = {
        "schedules": schedules(given.schedules),
        "kills": kills(given.workers, given.stride, given.again),
        "reading": reading_kills(given.reading_workers, given.again),
    }
    print(json.dumps(figures, indent=2))
    record("orchestrated", figures)


if __name__ == "__main__":
    main()
