"""How many random interleavings of the whole stack keep the provider's bill within the cap: all of them?

Run with ``python benchmarks/interleavings.py``: a million small trees and twenty crowds of a thousand workers
in process, and a thousand small trees over HTTP, on two processes. What is drawn, and what must hold of it,
stands in ``money_trees.py`` and ``money_world.py``.
"""

import argparse
import asyncio
import gc
import time
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait

from money_http import over_http
from money_parts import InProcess
from money_trees import crowd, drawn
from money_world import survey
from recording import record
from tables import interleavings as table

from sunwell.testing import run_virtual

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
    with ProcessPoolExecutor(given.processes, initializer=_collect_rarely) as pool:
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


def _collect_rarely() -> None:
    gc.freeze()
    gc.set_threshold(20_000, 20, 100)  # nearly all of a tree is gone when it ends


def main() -> None:
    """Run all three kinds, record what was found, print the table, and fail where something did not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000, help="small trees in process")
    parser.add_argument("--crowds", type=int, default=20, help="trees of 1,000 workers in process")
    parser.add_argument("--http", type=int, default=1_000, help="small trees over HTTP")
    parser.add_argument(
        "--minutes", type=float, default=90.0, help="stop beginning trees of a kind after this"
    )
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--no-record", action="store_true", help="print only")
    given = parser.parse_args()
    found: dict[str, object] = {
        "first_seed": given.first,
        "processes": given.processes,
        "in process": _surveyed(small_trees, given.first, given.count, _CHUNK, given),
        "crowds of 1,000": _surveyed(crowds, given.first, given.crowds, 1, given),
        "over HTTP": _surveyed(trees_over_http, given.first, given.http, 100, given),
    }
    if not given.no_record:
        record("interleavings", found)
    print("\n".join(table(found)))
    broken = [one for part in found.values() if isinstance(part, dict) for one in part["broken"]]
    if broken:
        raise SystemExit("\n".join(broken))


if __name__ == "__main__":
    main()
