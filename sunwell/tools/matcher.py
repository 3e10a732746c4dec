"""Finds lines that match. Run as a program, it matches a model's expression in a process of its own.

Python cannot stop a regular expression that explodes, and one that runs stops every thread; a
process can be killed. The program reads from standard input a line of JSON with ``pattern``,
``most`` and ``seconds``, then for every file a line of JSON with ``path`` and ``size`` and the
bytes. It writes a line of JSON for every match, or one with ``error`` where the expression is
none, and ends after ``most`` of them. It imports the standard library only.
"""

import json
import re
import sys
from collections.abc import Callable, Iterator

LONGEST_LINE = 300
_MEMORY_BYTES = 2 << 30


def literal(pattern: str) -> Callable[[str], int | None]:
    """Return a function that gives where *pattern* stands in a line, ``None`` where it does not."""

    def find(line: str) -> int | None:
        at = line.find(pattern)
        return None if at < 0 else at

    return find


def regular(pattern: str) -> Callable[[str], int | None]:
    """Return a function that gives where the expression matches in a line; raises ``re.error``."""
    search = re.compile(pattern).search

    def find(line: str) -> int | None:
        match = search(line)
        return match.start() if match else None

    return find


def matches(data: bytes, find: Callable[[str], int | None]) -> Iterator[tuple[int, str]]:
    """Yield number and text of every matching line; long lines are cut around the match."""
    for number, line in enumerate(data.decode("utf-8", "replace").split("\n"), 1):
        line = line.rstrip("\r")
        at = find(line)
        if at is not None:
            yield number, _around(line, at)


def _around(line: str, at: int) -> str:
    if len(line) <= LONGEST_LINE:
        return line
    start = max(0, min(at - LONGEST_LINE // 3, len(line) - LONGEST_LINE))
    end = start + LONGEST_LINE
    return f"{'…' if start else ''}{line[start:end]}{'…' if end < len(line) else ''}"


def _limit(seconds: int) -> None:
    """End this process by itself, should nobody be left to do so."""
    import resource

    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))


def main() -> None:
    source, sink = sys.stdin.buffer, sys.stdout
    order = json.loads(source.readline())
    _limit(order["seconds"])
    try:
        find = regular(order["pattern"])
    except (re.error, OverflowError, RecursionError) as error:
        print(json.dumps({"error": str(error)}), file=sink)
        return
    left = order["most"]
    while header := source.readline():
        file = json.loads(header)
        for number, line in matches(source.read(file["size"]), find):
            print(json.dumps([file["path"], number, line]), file=sink, flush=True)
            left -= 1
            if left <= 0:
                return


if __name__ == "__main__":
    main()
