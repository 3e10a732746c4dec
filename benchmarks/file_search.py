"""What searching 100,000 files costs beside ``grep -rn``, with ripgrep and without.

The ways take turns, and each is warm: what else the machine does then falls on all alike.
"""

import asyncio
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from recording import record

from sunwell.core import ToolCall
from sunwell.core.secrets import Secrets
from sunwell.tools import Toolbox, ToolLimits

FILES = 100_000
FILES_IN_A_FOLDER = 50
ROUNDS = 5
LIMIT_RATIO = 5.0
PATTERNS = {"word": "needle", "expression": r"needle = \d", "no word in it": r"[n]e{2}[d][l][e] [=]"}
WORDS = ["alpha", "beta", "gamma", "delta", "def", "return", "import", "self", "value", "name", "for", "in"]


def make(root: Path) -> None:
    """Write the files, some 40 lines each; one of 5,000 has the word."""
    chance = random.Random(1)
    for number in range(FILES):
        folder = root / f"m{number // 5_000}" / f"p{number // FILES_IN_A_FOLDER % 100}"
        if number % FILES_IN_A_FOLDER == 0:
            folder.mkdir(parents=True, exist_ok=True)
        lines = [" ".join(chance.choices(WORDS, k=8)) for _ in range(chance.randint(10, 60))]
        if number % 5_000 == 77:
            lines.insert(5, "here is the needle = 1")
        (folder / f"f{number}.py").write_text("\n".join(lines) + "\n")


def grep(root: Path, pattern: str) -> int:
    """Return how many lines ``grep`` finds."""
    words = ["grep", "-rnE", pattern.replace(r"\d", "[0-9]"), "."]
    return subprocess.run(words, cwd=root, capture_output=True, check=True).stdout.count(b"\n")


def search(root: Path, pattern: str, programs: str) -> int:
    """Return how many lines ``search_files`` finds with *programs* as ``PATH``."""
    os.environ["PATH"] = programs
    box = Toolbox(root, secrets=Secrets(), limits=ToolLimits(search_seconds=600, call_seconds=900))
    call = ToolCall("1", "search_files", json.dumps({"pattern": pattern}))
    said = asyncio.run(box.execute(call)).content
    if "(" in said:
        raise RuntimeError(said)
    return said.count("\n") + 1


def main() -> None:
    """Measure, record, and fail if a search takes more than a small multiple of grep."""
    path = os.environ["PATH"]
    ripgrep = shutil.which("rg")
    if ripgrep is None:
        print("ripgrep is left out: it is not installed", file=sys.stderr)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        make(root)
        ways: dict[str, Callable[[str], int]] = {
            "grep": lambda pattern: grep(root, pattern),
            "search_files": lambda pattern: search(root, pattern, "/nowhere"),
        }
        if ripgrep is not None:
            ways["search_files with ripgrep"] = lambda pattern: search(root, pattern, path)
        taken: dict[tuple[str, str], list[float]] = {}
        for _ in range(ROUNDS + 1):
            for what, pattern in PATTERNS.items():
                for way, find in ways.items():
                    started = time.perf_counter()
                    found = find(pattern)
                    taken.setdefault((what, way), []).append(time.perf_counter() - started)
                    os.environ["PATH"] = path
                    if found != FILES // 5_000:
                        raise RuntimeError(f"{way} found {found} lines for {pattern}")
    seconds = {key: statistics.median(values[1:]) for key, values in taken.items()}  # the first one warms up
    figures = {
        what: {
            way: {
                "seconds": round(seconds[what, way], 2),
                "ratio": round(seconds[what, way] / seconds[what, "grep"], 1),
            }
            for way in ways
        }
        for what in PATTERNS
    }
    print(f"written to {record('file_search', {'files': FILES, 'searches': figures})}")
    for what in ("word", "expression"):
        for way, part in figures[what].items():
            if part["ratio"] > LIMIT_RATIO:
                sys.exit(f"{way}, {what}: {part['ratio']} times grep, and {LIMIT_RATIO} is allowed")


if __name__ == "__main__":
    main()
