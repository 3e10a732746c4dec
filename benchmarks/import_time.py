"""What the first ``import sunwell`` and ``from sunwell import Agent`` cost, beside the least they stand on.

Medians over fresh interpreters that take turns, less what a bare interpreter takes to start: what
else the machine does then falls on all alike.
"""

import statistics
import subprocess
import sys
import time

from recording import record

ROUNDS = 15
LIMIT_RATIO = 2.5
LIMIT_MS = 100.0
IMPORTS = {
    "nothing": "",
    "attrs and asyncio": "import attrs, asyncio",
    "sunwell": "import sunwell",
    "agent": "from sunwell import Agent",
    "command line": "import sunwell.cli.main",
}


def milliseconds(code: str) -> float:
    """Return how long a fresh interpreter takes to start, run *code* and end."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return (time.perf_counter() - started) * 1000


def main() -> None:
    """Measure, record, and fail if ``import sunwell`` or its agent is dearer than promised."""
    for code in IMPORTS.values():
        milliseconds(code)  # writes the byte code
    taken: dict[str, list[float]] = {name: [] for name in IMPORTS}
    for _ in range(ROUNDS):
        for name, code in IMPORTS.items():
            taken[name].append(milliseconds(code))
    medians = {name: statistics.median(values) for name, values in taken.items()}
    bare = medians.pop("nothing")
    cost = {name: round(value - bare, 1) for name, value in medians.items()}
    ratios = {name: round(value / cost["attrs and asyncio"], 2) for name, value in cost.items()}
    path = record("import_time", {"bare_ms": round(bare, 1), "import_ms": cost, "ratio": ratios})
    for name, value in cost.items():
        print(f"{name:<18} {value:>7.1f} ms  {ratios[name]:.2f} x")
    print(f"written to {path}")
    if ratios["sunwell"] > LIMIT_RATIO or cost["sunwell"] > LIMIT_MS:
        sys.exit(f"import sunwell may cost {LIMIT_RATIO} x attrs and asyncio and {LIMIT_MS:.0f} ms")
    if ratios["agent"] > LIMIT_RATIO:
        sys.exit(f"from sunwell import Agent may cost {LIMIT_RATIO} x attrs and asyncio")


if __name__ == "__main__":
    main()
