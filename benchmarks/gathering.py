"""Does the smart model see the code that a task is about? Real tasks on real packages.

Run with ``python benchmarks/gathering.py --sources FOLDER``. A task is a line of a changelog, its workspace
the release before, and its gold the source files that were changed for that line. A file counts as found if
the text that is gathered shows it whole, or shows the definition in which most lines were changed; changes
outside of definitions count as their lines. The tasks are in ``tasks/gathering.toml``.

FOLDER holds unpacked source distributions, ``NAME-VERSION``. What is missing is downloaded with pip.
"""

import argparse
import difflib
import re
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
from pathlib import Path
from typing import Any

import attrs
from recording import record

from sunwell.context.excerpts import gather
from sunwell.context.outline import Definition, outline

LIMIT_TOKENS = 12_000
AIM_FOUND, AIM_NAMED, AIM_SECONDS = 0.75, 0.98, 2.0
MANY_FILES = 10_000
TASKS = Path(__file__).parent / "tasks" / "gathering.toml"


@attrs.frozen
class Case:
    """A line of a changelog, and the files that were changed for it."""

    package: str
    before: str
    after: str
    task: str
    gold: tuple[str, ...]
    """Paths; after a ``#`` the definition that was changed, if its release changed more in the file."""


@attrs.frozen
class Found:
    """What was gathered for one case."""

    package: str
    tokens: int
    seconds: float
    whole: int
    partly: int
    """Files that are shown in part, with the changed definition."""
    missed: tuple[str, ...]
    unnamed: int
    """Files that the listing does not name."""

    @property
    def files(self) -> int:
        """How many files were changed."""
        return self.whole + self.partly + len(self.missed)


def changed_lines(gold: str, before: str, after: str) -> set[int]:
    """Return the lines of *before* that must be shown: those of the definition in which most was changed."""
    path, _, name = gold.partition("#")
    lines, parts = before.splitlines(), outline(path, before).definitions
    hits: dict[Definition, int] = {}
    outside: set[int] = set()
    matcher = difflib.SequenceMatcher(None, lines, after.splitlines(), autojunk=False)
    for kind, first, last, _, _ in matcher.get_opcodes():
        if kind == "equal":
            continue
        for number in range(first + 1, max(last, first + 1) + 1):
            around = [part for part in parts if part.first_line <= number <= part.last_line]
            if around:
                inner = max(around, key=lambda part: part.depth)
                hits[inner] = hits.get(inner, 0) + 1
            elif not lines[number - 1 : number] or not lines[number - 1].startswith(
                ("import ", "from ", "__version")
            ):
                outside.add(number)
    if not hits:
        return outside
    meant = [part for part in hits if name in ("", part.name)]
    most = max(meant, key=lambda part: hits[part])
    return set(range(most.first_line, most.last_line + 1))


def find(case: Case, sources: Path) -> Found:
    """Gather for *case* and say what of its files is shown."""
    before, after = (sources / f"{case.package}-{version}" for version in (case.before, case.after))
    begun = time.perf_counter()
    text = gather(before, case.task, limit_tokens=LIMIT_TOKENS).text
    seconds = time.perf_counter() - begun
    listing = {line.split(" ")[0] for line in text.partition("\n\n")[0].splitlines()}
    whole, partly, missed = 0, 0, []
    for gold in case.gold:
        path = gold.partition("#")[0]
        shown = shown_lines(text, path)
        if shown is None:
            whole += 1
        elif shown and changed_lines(gold, (before / path).read_text(), (after / path).read_text()) <= shown:
            partly += 1
        else:
            missed.append(gold)
    unnamed = sum(gold.partition("#")[0] not in listing for gold in case.gold)
    return Found(case.package, len(text.encode()) // 4, seconds, whole, partly, tuple(missed), unnamed)


def shown_lines(text: str, path: str) -> set[int] | None:
    """Return the lines of *path* that *text* shows; ``None``: all."""
    name = re.escape(path)
    if re.search(rf"^File {name}:$", text, re.MULTILINE):
        return None
    shown: set[int] = set()
    for first, last in re.findall(rf"^File {name}, lines (\d+)-(\d+) of", text, re.MULTILINE):
        shown.update(range(int(first), int(last) + 1))
    return shown


def fetch(case: Case, sources: Path) -> None:
    """Download what *case* needs and is not there."""
    for version in (case.before, case.after):
        if (sources / f"{case.package}-{version}").is_dir():
            continue
        with tempfile.TemporaryDirectory() as folder:
            wanted = f"{case.package}=={version}"
            command = [
                "-m",
                "pip",
                "download",
                "-q",
                "--no-deps",
                "--no-binary",
                ":all:",
                "-d",
                folder,
                wanted,
            ]
            subprocess.run([sys.executable, *command], check=True)
            [archive] = Path(folder).glob("*.tar.gz")
            with tarfile.open(archive) as packed:
                packed.extractall(Path(folder) / "unpacked", filter="data")
            [top] = (Path(folder) / "unpacked").iterdir()
            top.rename(sources / f"{case.package}-{version}")


def many_files_seconds() -> float:
    """Return how long gathering takes in a workspace of ten thousand files."""
    with tempfile.TemporaryDirectory() as folder:
        for number in range(MANY_FILES):
            place = Path(folder) / f"part_{number // 100}" / f"module_{number}.py"
            place.parent.mkdir(exist_ok=True)
            body = f'    """Give back item {number}."""\n    return {number}\n\n\n' * 8
            place.write_text(f"def item_{number}(order):\n{body}")
        begun = time.perf_counter()
        gather(folder, "Fix item_777 of the order", limit_tokens=LIMIT_TOKENS)
        return time.perf_counter() - begun


def summary(found: list[Found]) -> dict[str, Any]:
    """Return the shares and means of *found*."""
    files = sum(one.files for one in found)
    return {
        "tasks": len(found),
        "packages": len({one.package for one in found}),
        "files": files,
        "found": round(sum(one.whole + one.partly for one in found) / files, 3),
        "whole": round(sum(one.whole for one in found) / files, 3),
        "named": round(1 - sum(one.unnamed for one in found) / files, 3),
        "tokens": round(sum(one.tokens for one in found) / len(found)),
        "seconds": round(sum(one.seconds for one in found) / len(found), 2),
        "missed": [f"{one.package}: {path}" for one in found for path in one.missed],
    }


def cases() -> dict[str, list[Case]]:
    """Return the tasks by the name of their set."""
    found: dict[str, list[Case]] = {}
    for one in tomllib.loads(TASKS.read_text("utf-8"))["task"]:
        case = Case(one["package"], one["before"], one["after"], one["text"], tuple(one["gold"]))
        found.setdefault(one["set"], []).append(case)
    return found


def main() -> None:
    """Measure, print, write the results, and fail if an aim is missed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sources", type=Path, required=True, help="folder of unpacked source distributions")
    sources = parser.parse_args().sources
    sources.mkdir(exist_ok=True)
    before = tomllib.loads(TASKS.read_text("utf-8"))["before"]
    results: dict[str, Any] = {"limit_tokens": LIMIT_TOKENS, "before": before, "sets": {}}
    for name, several in cases().items():
        for case in several:
            fetch(case, sources)
        results["sets"][name] = summary([find(case, sources) for case in several])
        print(f"{name}: {results['sets'][name]}\n  before: {before['sets'][name]}")
    results["many_files_seconds"] = round(many_files_seconds(), 2)
    print(
        f"{MANY_FILES:,} files: {results['many_files_seconds']} s, before: {before['many_files_seconds']} s"
    )
    print(record("gathering", results))
    fails = [n for n, got in results["sets"].items() if got["found"] < AIM_FOUND or got["named"] < AIM_NAMED]
    if results["many_files_seconds"] > AIM_SECONDS:
        fails.append("time")
    if fails:
        sys.exit(f"an aim is missed: {', '.join(fails)}")


if __name__ == "__main__":
    main()
