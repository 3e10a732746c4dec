"""What a command in the sandbox takes longer to start, and to end, than the same command without one.

Pairs of runs of ``echo``, one after the other, so that what else the machine does falls on both alike. A
command has started when its first output arrives; what is done before each one, such as the search for new
sockets, is part of that time. The second difference is that of the whole way through the runner.
"""

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import Any

from recording import record

from sunwell.core.secrets import Secrets
from sunwell.tools.environment import command_environment
from sunwell.tools.sandbox import require_sandbox
from sunwell.tools.shell import CommandRunner
from sunwell.tools.system_calls import opened_filter

ROUNDS = 101
LIMIT_MS = 30.0
COMMAND = ("/bin/sh", "-c", "echo")


def start_ms(line_of: Callable[[int], tuple[str, ...]], root: Path, environ: Mapping[str, str]) -> float:
    """Return how long it takes until the command that *line_of* returns says something."""
    started = time.perf_counter()
    with (
        opened_filter() as file,
        subprocess.Popen(
            line_of(file), env=environ, cwd=root, stdin=DEVNULL, stdout=PIPE, pass_fds=[file]
        ) as process,
    ):
        assert process.stdout is not None
        assert os.read(process.stdout.fileno(), 10) == b"\n"
        return (time.perf_counter() - started) * 1000


async def runner_ms(runner: CommandRunner) -> float:
    """Return how long *runner* takes for a command."""
    started = time.perf_counter()
    await runner.run("echo", 60, 1000)
    return (time.perf_counter() - started) * 1000


def differences(pairs: list[tuple[float, float]]) -> dict[str, float]:
    """Return the medians of both sides, and of the differences of the pairs with their ninth decile."""
    found = [boxed - bare for bare, boxed in pairs]
    return {
        "bare_ms": round(statistics.median(bare for bare, _ in pairs), 1),
        "sandbox_ms": round(statistics.median(boxed for _, boxed in pairs), 1),
        "difference_ms": round(statistics.median(found), 1),
        "ninth_decile_ms": round(statistics.quantiles(found, n=10)[-1], 1),
    }


async def measure(root: Path) -> dict[str, Any]:
    """Return what was found in the workspace *root*."""
    environ = command_environment(os.environ, Secrets())
    started = time.perf_counter()
    sandbox = require_sandbox(root, environ)
    once_ms = (time.perf_counter() - started) * 1000
    ready = sandbox.made_ready(root)
    line = ready.wrapped(COMMAND, root, environ)
    bare = CommandRunner(root, Secrets(), os.environ, "off")
    boxed = CommandRunner(root, Secrets(), os.environ)
    for runner in (bare, boxed):
        await runner_ms(runner)
    starts, runs = [], []
    for _ in range(ROUNDS):
        plain_ms = start_ms(lambda _: COMMAND, root, environ)
        boxed_ms = start_ms(lambda file: ready.wrapped(COMMAND, root, environ, file), root, environ)
        starts.append((plain_ms, boxed_ms))
        runs.append((await runner_ms(bare), await runner_ms(boxed)))
    return {
        "sandbox": boxed.confinement.program,
        "mounts": sum(word in ("--ro-bind-try", "--ro-bind", "--bind", "--tmpfs") for word in line),
        "once_ms": round(once_ms, 1),
        "start": differences(starts),
        "runner": differences(runs),
    }


def main() -> None:
    """Measure, record, and fail if a command starts later than promised."""
    with tempfile.TemporaryDirectory() as place:
        found = asyncio.run(measure(Path(place).resolve()))
    path = record("sandbox_start", found)
    for name in ("start", "runner"):
        print(f"{name:<8} {found[name]}")
    print(f"{found['mounts']} mounts; once for a run: {found['once_ms']} ms; written to {path}")
    if found["start"]["difference_ms"] > LIMIT_MS:
        sys.exit(f"a command in the sandbox may start {LIMIT_MS:.0f} ms later")


if __name__ == "__main__":
    main()
