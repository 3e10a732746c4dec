"""What ``sunwell mcp`` takes from its start to its answer to ``initialize``, beside a bare ``MCPServer``.

Medians of fresh processes that take turns, so that what else the machine does falls on both alike. It is
computing time of the process; the wall time, which other programs lengthen, is recorded beside it. Fails if
Sunwell takes more than :data:`LIMIT_RATIO` times as much computing time.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from recording import record

ROUNDS = 11
LIMIT_RATIO = 1.2
VERSION = "2025-11-25"
BARE = 'from mcp.server.mcpserver import MCPServer\nMCPServer("bare").run()'
_INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": VERSION,
        "capabilities": {},
        "clientInfo": {"name": "benchmark", "version": "1"},
    },
}


def milliseconds(words: list[str], folder: Path) -> tuple[float, float]:
    """Return the computing time and the wall time from the start of the program *words* to its answer."""
    began = time.perf_counter()
    with subprocess.Popen(
        words, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(_INITIALIZE).encode() + b"\n")
        process.stdin.flush()
        answer = json.loads(process.stdout.readline())
        taken = (time.perf_counter() - began) * 1000
        process.kill()
        _, _, used = os.wait4(process.pid, 0)
        process.returncode = 0  # its end is known: nobody else may wait for it
    assert answer["result"]["protocolVersion"] == VERSION
    return (used.ru_utime + used.ru_stime) * 1000, taken


def main() -> None:
    """Measure, record, and fail if it takes too long."""
    programs = {
        "bare": [sys.executable, "-c", BARE],
        "sunwell": [sys.executable, "-m", "sunwell", "mcp"],
    }
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in programs}
    with tempfile.TemporaryDirectory() as folder:
        for words in programs.values():
            milliseconds(words, Path(folder))  # writes the byte code
        for _ in range(ROUNDS):
            for name, words in programs.items():
                taken[name].append(milliseconds(words, Path(folder)))
    cpu, wall = (
        {name: round(statistics.median([pair[which] for pair in pairs]), 1) for name, pairs in taken.items()}
        for which in (0, 1)
    )
    ratio, wall_ratio = (round(each["sunwell"] / each["bare"], 2) for each in (cpu, wall))
    path = record(
        "mcp_start",
        {"rounds": ROUNDS, "cpu_ms": cpu, "wall_ms": wall, "ratio": ratio, "wall_ratio": wall_ratio},
    )
    for name, value in cpu.items():
        print(f"{name:<8} {value:>8.1f} ms of computing time, {wall[name]:>8.1f} ms in all")
    print(f"{ratio:.2f} x ({wall_ratio:.2f} x in all), written to {path}")
    if ratio > LIMIT_RATIO:
        sys.exit(f"the start may take {LIMIT_RATIO} x a bare MCPServer")


if __name__ == "__main__":
    main()
