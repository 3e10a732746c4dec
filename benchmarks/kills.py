"""Whether a run survives a kill at any of its records, whatever sort of run it is.

Run ``python benchmarks/kills.py``: programs of ``tests/scenarios`` end runs by SIGKILL at each record, before
it is written, after it, or inside its line, and resume them in another process. Tests do the same at some
records. The runs: a conversation of three runs, direct and orchestrated; workers with checks; a climb over
five rungs; a batch that climbs. A batch of fifty tasks is killed at random records, three times in a row. It
fails where an end differs from the unbroken run's, or where more was asked again than was in flight.
``resume.py``, ``orchestrated.py`` and ``long_context.py`` kill longer runs of other sorts.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import attrs
from recording import ROOT, record

sys.path.insert(0, str(ROOT))
from tests.scenarios.after_kills import differing, differing_batch, differing_story, outcomes_of


@attrs.frozen
class KilledSort:
    """One sort of runs, and the program that kills them."""

    name: str
    program: str
    arguments: tuple[object, ...]
    differing: Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]] = differing


SORTS = (
    KilledSort("a conversation, direct", "killed_continuations.py", (0, 1), differing_story),
    KilledSort("a conversation, orchestrated", "killed_continuations.py", (1, 1), differing_story),
    KilledSort("workers with checks", "killed_checks.py", (1, 0, 0)),
    KilledSort("a climb over five rungs", "killed_ladders.py", ("run", 1, 0, 0)),
    KilledSort("a batch that climbs, twice killed", "killed_ladders.py", ("batch", 1, 0, 1)),
    KilledSort("a batch of fifty, at random records", "killed_batches.py", (20, 3), differing_batch),
)


def measured(sort: KilledSort) -> dict[str, Any]:
    """Kill and resume, and return the counts, and the runs that ended otherwise."""
    begun = time.perf_counter()
    whole, killed = outcomes_of(sort.program, *sort.arguments)
    wrong = [one | {"differs": found} for one in killed if (found := sort.differing(whole, one))]
    return {
        "sort": sort.name,
        "calls_of_an_unbroken_run": whole["asked"],
        "killed_runs": len(killed),
        "kills": sum(one["kills"] if "kills" in one else len(one.get("codes", "1")) for one in killed),
        "wrong": wrong,
        "seconds": round(time.perf_counter() - begun, 1),
    }


def main() -> None:
    """Measure, print and record."""
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        rows = list(threads.map(measured, SORTS))
    print(json.dumps(rows, indent=2))
    record("kills", {"rows": rows})
    if any(row["wrong"] for row in rows):
        raise SystemExit("a killed run ended otherwise")


if __name__ == "__main__":
    main()
