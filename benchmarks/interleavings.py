"""How many random interleavings of the whole stack keep the provider's bill within the cap: all of them?

Run with ``python benchmarks/interleavings.py --count 1000000 --minutes 10``. What is drawn, and what
must hold of it, stands in ``money_world.py`` and ``money_trees.py``.
"""

import argparse
import asyncio
import json
import platform
import subprocess
import time
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path

from money_http import over_http
from money_parts import InProcess
from money_trees import crowd, drawn
from money_world import survey

from sunwell.testing import run_virtual

_RESULTS = Path(__file__).parent / "results"
_CHUNK = 500
_CROWD = 1_000
Survey = Callable[[int, int], Counter[str]]
"""Runs so many interleavings from a seed on, and counts what happened."""


def small_trees(start: int, count: int) -> Counter[str]:
    """Run trees of a few calls on a virtual clock."""
    return run_virtual(survey(map(drawn, range(start, start + count)), InProcess()))


def crowds(start: int, count: int) -> Counter[str]:
    """Run trees of a thousand workers on a virtual clock."""
    return run_virtual(survey((crowd(seed, _CROWD) for seed in range(start, start + count)), InProcess()))


def trees_over_http(start: int, count: int) -> Counter[str]:
    """Run small trees against the simulator's server on loopback."""

    async def main() -> Counter[str]:
        async with over_http() as provider:
            return await survey(map(drawn, range(start, start + count)), provider)

    return asyncio.run(main())


def _surveyed(
    kind: Survey, first: int, count: int, chunk: int, given: argparse.Namespace
) -> dict[str, object]:
    """Run *count* interleavings from the seed *first* on, or as many as the given minutes allow."""
    seen: Counter[str] = Counter()
    broken: list[str] = []
    begun = time.monotonic()
    starts = deque(range(first, first + count, chunk))
    running: set[Future[Counter[str]]] = set()
    with ProcessPoolExecutor(given.processes) as pool:
        while starts or running:
            while starts and len(running) < 2 * given.processes:
                start = starts.popleft()
                running.add(pool.submit(kind, start, min(chunk, first + count - start)))
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for one in done:
                if (error := one.exception()) is not None:
                    broken.append(str(error))
                else:
                    seen.update(one.result())
            if time.monotonic() - begun > given.minutes * 60:
                starts.clear()
    return {
        "wanted": count,
        "run": seen.pop("interleavings", 0),
        "broken": broken,
        "seconds": round(time.monotonic() - begun),
        "seen": dict(sorted(seen.items())),
    }


def _git(*words: str) -> str:
    done = subprocess.run(
        ["git", *words], capture_output=True, text=True, check=False, cwd=Path(__file__).parent
    )
    return done.stdout.strip()


def main() -> None:
    """Run all three kinds, print the table, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20_000, help="small trees in process")
    parser.add_argument("--crowds", type=int, default=20, help="trees of 1,000 workers in process")
    parser.add_argument("--http", type=int, default=1_000, help="small trees over HTTP")
    parser.add_argument("--minutes", type=float, default=10.0, help="stop beginning small trees after this")
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--out", default="interleavings.json", help="file name of the results")
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()
    result = {
        "commit": _git("rev-parse", "HEAD"),
        "dirty": bool(_git("status", "--porcelain", "--", "../sunwell", "*.py")),
        "python": platform.python_version(),
        "first seed": given.first,
        "in process": _surveyed(small_trees, given.first, given.count, _CHUNK, given),
        "crowds of 1,000": _surveyed(crowds, given.first, given.crowds, 1, given),
        "over HTTP": _surveyed(trees_over_http, given.first, given.http, 100, given),
    }
    _RESULTS.mkdir(exist_ok=True)
    (_RESULTS / given.out).write_text(json.dumps(result, indent=2) + "\n")
    print("| interleavings | run | broken | model calls | kills | cancelled | retried | bound passed |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for name in ("in process", "crowds of 1,000", "over HTTP"):
        part = result[name]
        assert isinstance(part, dict)
        counts = [part["seen"].get(kind, 0) for kind in _SHOWN]
        cells = [part["run"], len(part["broken"]), *counts]
        print(f"| {name} | " + " | ".join(f"{cell:,}" for cell in cells) + " |")
    print(f"\ncommit {result['commit'][:12]}, Python {result['python']}")


_SHOWN = ("model-call-finished", "kills", "cancels", "model-retried", "bound-exceeded")


if __name__ == "__main__":
    main()
