"""What a long context takes of memory, and what searching it costs beside ``grep``.

A gigabyte, as a file and on standard input, is held by a process that uses all that a context can do, and by
a whole ``sunwell ask`` against the simulator: how far its peak is above that of the import. Then a million
lines are counted and found; ``grep`` reads the same file in the same rounds, and what else the machine does
falls on both.
Counting is beside ``grep -c``; finding all lines, each with its place, beside ``grep -b`` into a file.
"""

import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
from recording import record

from sunwell.context.long_context import LongContext
from sunwell.core.message import Text, ToolCall
from sunwell.core.secrets import Secrets
from sunwell.simulator import Simulator, running_simulator
from sunwell.simulator.script import Asked, Reply

LINES = 1_000_000
GIGABYTE = 1_000_000_000
ROUNDS = 3
LIMIT_RATIO = 10.0
RATIOS = {
    "cpu_to_grep_p": "",
    "secret_to_grep_p": ", a secret known",
    "secret_first_to_grep_p": ", a secret known, first search",
}
"""What is held against the limit, and how it is called."""
LIMIT_MEGABYTES = 200
WORDS = ("alpha", "beta", "gamma", "delta", "request", "served", "user", "session", "index", "cache")
MORE = ("token", "value", "order", "item")
OTHERS = ("größe", "naïve", "Ωmega", "данные", "東京", "señor")


@attrs.frozen
class Sought:
    """One pattern, and how the other kinds of ``grep`` spell it; ``None``: they cannot."""

    name: str
    pattern: str
    extended: str | None = None
    fixed: str | None = None
    is_literal: bool = False


SEARCHES = (
    Sought("literal, rare", "ERROR", "ERROR", "ERROR", is_literal=True),
    Sought("literal, frequent", "INFO", "INFO", "INFO", is_literal=True),
    Sought("literal, none", "nowhere at all", "nowhere at all", "nowhere at all", is_literal=True),
    Sought("literal, Unicode", "größe", "größe", "größe", is_literal=True),
    Sought("expression, rare", r"ERROR \[worker-\d+\]", r"ERROR \[worker-[0-9]+\]"),
    Sought("expression, frequent", r"took \d+ ms", "took [0-9]+ ms"),
    Sought("expression, frequent, no literal", r"\d{3} \w\w id", "[0-9]{3} [[:alnum:]_]{2} id"),
    Sought("expression, none", "[xyz]{3} ?ERR", "[xyz]{3} ?ERR"),
    Sought("beginning of lines", "^2026-11-05", "^2026-11-05"),
    Sought("end of lines", "id=[0-9a-f]*ff$", "id=[0-9a-f]*ff$"),
    Sought("empty lines", "^$", "^$"),
    Sought("fields", r"^\S+\s+\S+\s+ERROR", "^[^ ]+ +[^ ]+ +ERROR"),
    Sought("any case", "(?i)error", None),
    Sought("any case, frequent", "(?i)info", None),
    Sought("any case, Unicode", "(?i)GRÖSSE|größe|ΩMEGA", None),
    Sought("Unicode class", "[а-я]{4,}", None),
    Sought("alternatives", "ERROR|WARN", "ERROR|WARN"),
    Sought("alternatives and more", r"(ERROR|WARN) .* 9\d\d ms", "(ERROR|WARN) .* 9[0-9][0-9] ms"),
    Sought("look-around", r"(?<=worker-)7(?!\d)", None),
    Sought("words without a rare literal", r"\w+-\d+\] \w+ \w+ cache", None),
    Sought("back reference", r"([a-z])\1[a-z]\1", r"([a-z])\1[a-z]\1"),
)


def lines_of(count: int) -> str:
    """Return so many lines of a log, about 100 characters each; one of 50,000 is an error."""
    chance = random.Random(1)
    found = []
    for number in range(count):
        level = "ERROR" if number % 50_000 == 777 else "WARN" if number % 100 == 3 else "INFO"
        words = chance.choices(WORDS + MORE, k=6)
        if number % 200 == 5:
            words[2] = OTHERS[number // 200 % len(OTHERS)]
        clock = f"{number // 3600 % 24:02d}:{number // 60 % 60:02d}:{number % 60:02d}"
        found.append(
            f"2026-11-{number % 28 + 1:02d} {clock} {level} [worker-{number % 16}] {' '.join(words)} "
            f"took {chance.randrange(1, 999)} ms id={chance.getrandbits(32):08x}\n"
        )
    return "".join(found)


def measured(work: Callable[[], int]) -> tuple[int, float, float]:
    """Return what *work* gives, and the seconds of CPU, its children's included, and of the wall clock."""

    def used() -> float:
        kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        return sum(one.ru_utime + one.ru_stime for one in map(resource.getrusage, kinds))

    cpu, wall = used(), time.perf_counter()
    found = work()
    return found, used() - cpu, time.perf_counter() - wall


def grep(options: str, pattern: str, file: Path, *, into: Path | None = None) -> int:
    """Return how many lines ``grep`` counts, or writes to the file *into*."""
    words = ["grep", *options.split(), "-e", pattern, str(file)]
    env = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
    if into is None:
        return int(subprocess.run(words, capture_output=True, check=False, env=env).stdout)
    with into.open("wb") as opened:
        subprocess.run(words, stdout=opened, check=False, env=env)
    return -1


def ways_of(one: Sought, contexts: dict[str, LongContext], file: Path) -> dict[str, Callable[[], int]]:
    """Return the ways of finding what is sought."""
    plain, guarded = contexts["plain"].whole, contexts["with a secret"]
    pattern, literal, copy = one.pattern, one.is_literal, file.with_suffix(".found")
    perl = "-F" if literal else "-P"
    ways = {
        "grep -P, counted": lambda: grep("-c -P", pattern, file),
        "counted": lambda: plain.count(pattern, literal, seconds=600),
        "counted, a secret known": lambda: guarded.whole.count(pattern, literal, seconds=600),
        "counted first, a secret known": lambda: first_count(one, guarded, file),
        "grep -b, found": lambda: grep(f"-b {perl}", pattern, file, into=copy),
        "found": lambda: len(plain.search(pattern, LINES, literal, seconds=600)),
        "first 100 found": lambda: min(100, len(plain.search(pattern, 100, literal, seconds=600))),
    }
    if one.extended is not None:
        extended = one.extended
        ways["grep -E, counted"] = lambda: grep("-c -E", extended, file)
    if one.fixed is not None:
        fixed = one.fixed
        ways["grep -F, counted"] = lambda: grep("-c -F", fixed, file)
    return ways


def first_count(one: Sought, context: LongContext, file: Path) -> int:
    """Count in a context of which nothing is known yet."""
    with LongContext.of(file, secrets=context._secrets) as new:
        return new.whole.count(one.pattern, one.is_literal, seconds=600)


def search_figures(folder: Path) -> dict[str, Any]:
    """Return what each way takes for each pattern, in medians, and its ratio to ``grep -P``."""
    file = folder / "lines.log"
    file.write_text(lines_of(LINES))
    secrets = Secrets()
    secrets.add("sk-not-in-any-line-0123456789", "API_KEY")
    contexts = {"plain": LongContext.of(file), "with a secret": LongContext.of(file, secrets=secrets)}
    rows: dict[str, Any] = {}
    for one in SEARCHES:
        ways = ways_of(one, contexts, file)
        taken: dict[str, list[list[float]]] = {name: [] for name in ways}
        lines = -1
        for _ in range(ROUNDS):
            for name, way in ways.items():
                found, *spent = measured(way)
                taken[name].append(spent)
                lines = found if name == "counted" else lines
                if found not in (-1, lines, 100) and lines >= 0:
                    raise RuntimeError(f"{one.name}, {name}: {found} lines, not {lines}")
        seconds = {
            name: [statistics.median(each) for each in zip(*rounds, strict=True)]
            for name, rounds in taken.items()
        }
        cpu, wall = ({name: each[kind] for name, each in seconds.items()} for kind in (0, 1))
        rows[one.name] = {
            "pattern": one.pattern,
            "lines": lines,
            "cpu_ms": {name: round(1000 * value) for name, value in cpu.items()},
            "wall_ms": {name: round(1000 * value) for name, value in wall.items()},
            "cpu_to_grep_p": round(cpu["counted"] / cpu["grep -P, counted"], 1),
            "wall_to_grep_p": round(wall["counted"] / wall["grep -P, counted"], 1),
            "secret_to_grep_p": round(cpu["counted, a secret known"] / cpu["grep -P, counted"], 1),
            "secret_first_to_grep_p": round(
                cpu["counted first, a secret known"] / cpu["grep -P, counted"], 1
            ),
            "found_to_grep_b": round(cpu["found"] / cpu["grep -b, found"], 1),
        }
        print(one.name, rows[one.name], flush=True)
    return {"lines": LINES, "megabytes": round(file.stat().st_size / 1e6), "rows": rows}


_PEAK = """
import sys
def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
"""
_HELD = f"""{_PEAK}
import regex
from sunwell.context.long_context import LongContext
before = peak()
with LongContext.of(sys.stdin.buffer if sys.argv[1] == "-" else sys.argv[1]) as context:
    whole = context.whole
    whole.about(), whole.digest(), whole.search("ERROR", 1000), whole.count(r"took \\\\d+ ms", seconds=900)
    whole.search("nothing of it"), whole.search(r"(?i)warn .* 99\\\\d ms", 1000), whole.chunks(100_000)
    whole.lines(700_000, 700_010).text(), whole[500_000_000:508_000_000].text(), context.changed()
print(peak() - before)
"""
_ASKED = f"""{_PEAK}
import os
import sunwell.cli.main
from sunwell.__main__ import main
before, leave = peak(), os._exit
def ended(code):  # the command ends its process without what Python does at the end
    os.write(2, f"\\n{{peak() - before}}\\n".encode())
    leave(code)
os._exit = ended
main()
"""


def peak_of(
    code: str, arguments: list[str], file: Path, *, piped: bool, env: dict[str, str]
) -> dict[str, Any]:
    """Run *code* with a context, and return its peak above the import in MB, with what it wrote."""
    words = [sys.executable, "-c", code, *(one.format("-" if piped else file) for one in arguments)]
    begun = time.perf_counter()
    with subprocess.Popen(["cat", str(file)], stdout=subprocess.PIPE) as cat:
        stdin = cat.stdout if piped else subprocess.DEVNULL
        done = subprocess.run(words, stdin=stdin, capture_output=True, text=True, check=True, env=env)
        cat.terminate()
    is_held = code == _HELD
    kilobytes = int((done.stdout if is_held else done.stderr).splitlines()[-1])
    if not is_held and "ERROR disk 3 is full" not in done.stdout:
        raise RuntimeError(done.stdout)
    return {"megabytes": round(kilobytes / 1024, 1), "seconds": round(time.perf_counter() - begun, 1)}


STEPS = (
    "n = context.count('ERROR', True)\nhits = context.search('ERROR disk', 100, True)\nprint(n, len(hits))",
    """near = [context.part(hit.start - 2000, hit.start + 2000) for hit in hits]
report = str(n) + ' errors. ' + ' '.join(llm_map('Which disk is full?', near, 40))
print(report)""",
)


def root(asked: Asked) -> Reply:
    """Look for the errors, ask about what stands around three of them, and answer."""
    turn = sum(message.role == "assistant" for message in asked.messages)
    name, given = ("explore", {"code": STEPS[turn]}) if turn < len(STEPS) else ("set_answer", FINAL)
    return Reply((ToolCall(f"call_{turn}", name, json.dumps(given)),))


FINAL = {"content": None, "variable": "report"}


def reader(asked: Asked) -> Reply:
    """Say which disk is full."""
    return Reply((Text(next(line for line in asked.messages[-1].text.splitlines() if "ERROR disk" in line)),))


def memory_figures(folder: Path) -> dict[str, Any]:
    """Return the peaks of processes that hold a gigabyte."""
    file = folder / "gigabyte.log"
    block = lines_of(20_000).replace("ERROR", "WARN").encode()
    with file.open("wb") as opened:
        number = 0
        while opened.tell() < GIGABYTE:
            opened.write(block)
            if number % 150 == 50:
                opened.write(f"2026-11-30 12:00:00 ERROR disk {number // 150} is full\n".encode())
            number += 1
    rows: dict[str, Any] = {}
    with running_simulator(Simulator({"claude-opus-5-5": root, "claude-haiku-5-5": reader})) as simulator:
        env = {
            "ANTHROPIC_BASE_URL": simulator.url,
            "ANTHROPIC_API_KEY": "simulated-key",
            "HOME": str(folder),
            "PATH": os.environ["PATH"],
            "TMPDIR": str(folder),
        }
        for piped in (False, True):
            place = "standard input" if piped else "file"
            rows[f"held, {place}"] = peak_of(_HELD, ["{}"], file, piped=piped, env=env)
            asking = ["ask", "Which disks are full?", "-c", "{}", "-w", str(folder), "--no-answer-memory"]
            rows[f"sunwell ask, {place}"] = peak_of(_ASKED, asking, file, piped=piped, env=env)
    for name, row in rows.items():
        print(name, row, flush=True)
    return {"bytes": file.stat().st_size, "rows": rows}


def main() -> None:
    """Measure, record, and fail if a bar is missed."""
    with tempfile.TemporaryDirectory() as name:
        memory = memory_figures(Path(name))
        found: dict[str, Any] = {"memory": memory, "search": search_figures(Path(name))}
    rows = found["search"]["rows"]
    missed = [
        f"{name}{suffix}: {row[figure]}"
        for name, row in rows.items()
        for figure, suffix in RATIOS.items()
        if row[figure] > LIMIT_RATIO
    ]
    missed += [
        f"{name}: {row['megabytes']} MB"
        for name, row in found["memory"]["rows"].items()
        if row["megabytes"] > LIMIT_MEGABYTES
    ]
    found["missed"] = missed
    print(f"written to {record('context_search', found)}")
    if missed:
        sys.exit(f"missed: {'; '.join(missed)}")


if __name__ == "__main__":
    main()
