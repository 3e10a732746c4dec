"""What durability costs: appending to a journal beside bare writes, and reading a long one.

Run ``python benchmarks/journal.py`` on a quiet machine: it prints its table and writes
``benchmarks/results/journal.json``. The same lines are written to a file in the same folder without a
journal: one after another; by a hundred threads that each write and sync by themselves; by a hundred tasks
that each send their write and sync to asyncio's threads. Rounds of all alternate, and each figure is the
median over the rounds. Without pauses all workers append as fast as they can, so most of an append is
waiting for the encoding of the others; with pauses they append at random moments, as workers do that wait
for models in between. Each ratio is told beside both: one bare sync with nobody else, and a hundred.
"""

import argparse
import asyncio
import os
import random
import statistics
import tempfile
import threading
import time
import tracemalloc
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

from recording import record

from sunwell.core import Completion, Text, ToolCall, Usage
from sunwell.journal import FileJournal, PosixDisk, journal_path, read_records
from sunwell.journal.codec import decode, encode
from sunwell.journal.records import Answer, RunOpened

WORKERS, APPENDS, BARE = 100, 20, 1000
MOST_TO_A_HUNDRED_BARE = 4
PAUSE_SECONDS = 0.1
OPENED = RunOpened("r1", "benchmark", 1.0)


def answer(worker: int, turn: int) -> Answer:
    """Return an answer of ordinary size: about 1.4 kB as a line."""
    parts = (Text("All endpoints answer now. " * 30), ToolCall("toolu_1", "write", '{"path": "a.py"}' * 8))
    completion = Completion(
        parts, "tool_calls", Usage(2000, 847, 1500), "claude-haiku-5-5", "tool_use", "msg_1"
    )
    return Answer(f"run/{worker}", turn, 1, "work", 1, "d" * 32, completion, Decimal("0.0142"), 3.2, 1.0)


class Bare:
    """A file to which lines are written and synced without anything else."""

    def __init__(self, folder: Path) -> None:
        self.line = encode(answer(0, 0), 0) + b"\n"
        self.file = os.open(folder / "bare", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        self.taken: list[float] = []

    def write(self, times: int) -> None:
        """Write and sync so often, and keep the seconds of each."""
        for _ in range(times):
            start = time.perf_counter()
            self.once()
            self.taken.append(time.perf_counter() - start)

    def once(self) -> None:
        """Write one line and sync it."""
        os.write(self.file, self.line)
        os.fdatasync(self.file)


def bare_loop(folder: Path) -> list[float]:
    """Return the seconds of each write and sync, one after another."""
    bare = Bare(folder)
    bare.write(BARE)
    return bare.taken


def bare_threads(folder: Path) -> list[float]:
    """Return the seconds of each write and sync of many threads, each of which syncs by itself."""
    bare = Bare(folder)
    threads = [threading.Thread(target=bare.write, args=(APPENDS,)) for _ in range(WORKERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return bare.taken


def bare_tasks(folder: Path) -> list[float]:
    """Return the seconds of each write and sync of many tasks, which share asyncio's own threads."""
    bare = Bare(folder)

    async def work() -> None:
        for _ in range(APPENDS):
            start = time.perf_counter()
            await asyncio.to_thread(bare.once)
            bare.taken.append(time.perf_counter() - start)

    async def all_work() -> None:
        await asyncio.gather(*(work() for _ in range(WORKERS)))

    asyncio.run(all_work())
    return bare.taken


class CountingDisk(PosixDisk):
    """The real file, which also counts its syncs."""

    syncs = 0

    def sync(self) -> None:
        """Sync and count."""
        type(self).syncs += 1
        super().sync()


async def appending(
    folder: Path, workers: int, appends: int, pause_seconds: float
) -> tuple[list[float], int]:
    """Return the seconds of each append of so many workers, and how many syncs served them."""
    path = journal_path(folder, "r1")
    path.parent.mkdir(parents=True)
    CountingDisk.syncs = 0
    journal = FileJournal.create(folder, "r1", disk=CountingDisk.create(path))
    await journal.append(OPENED)
    taken: list[float] = []
    records = [[answer(worker, turn) for turn in range(appends)] for worker in range(workers)]

    async def work(worker: int) -> None:
        chance = random.Random(worker)
        for one in records[worker]:
            if pause_seconds:
                await asyncio.sleep(chance.uniform(0, 2 * pause_seconds))
            start = time.perf_counter()
            await journal.append(one)
            taken.append(time.perf_counter() - start)

    async with asyncio.TaskGroup() as group:
        for worker in range(workers):
            group.create_task(work(worker))
    journal.close()
    return taken, CountingDisk.syncs


def percentile(taken: list[float], share: float) -> float:
    """Return in microseconds what so large a share did not exceed."""
    ordered = sorted(taken)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1e6


BARE_CASES = {
    "bare, one after another": bare_loop,
    "bare, 100 threads": bare_threads,
    "bare, 100 asyncio tasks": bare_tasks,
}
CASES = {
    "journal, one worker": (1, BARE, 0.0),
    "journal, 100 workers, pauses": (WORKERS, APPENDS, PAUSE_SECONDS),
    "journal, 100 workers, no pauses": (WORKERS, 5 * APPENDS, 0.0),
}


def measure_appends(rounds: int, folder_above: Path | None) -> dict[str, Any]:
    """Alternate bare writes and journals; return medians over the rounds."""
    seen: dict[str, list[dict[str, float]]] = {name: [] for name in (*BARE_CASES, *CASES)}
    for _ in range(rounds):
        found: dict[str, dict[str, float]] = {}
        for name in seen:
            with tempfile.TemporaryDirectory(dir=folder_above) as folder:
                if name in BARE_CASES:
                    taken = BARE_CASES[name](Path(folder))
                    syncs = len(taken)
                else:
                    taken, syncs = asyncio.run(appending(Path(folder), *CASES[name]))
            p50, p99 = percentile(taken, 0.5), percentile(taken, 0.99)
            found[name] = {"p50_us": p50, "p99_us": p99, "syncs_per_append": syncs / len(taken)}
        alone, crowd = (found[name] for name in tuple(BARE_CASES)[:2])
        for name, row in found.items():
            row["p50_ratio"] = row["p50_us"] / alone["p50_us"]
            row["p99_ratio"] = row["p99_us"] / alone["p99_us"]
            row["p99_ratio_to_100"] = row["p99_us"] / crowd["p99_us"]
            seen[name].append(row)
    return {
        name: {key: statistics.median(each[key] for each in rows) for key in rows[0]}
        for name, rows in seen.items()
    }


def measure_reading(counts: tuple[int, int], folder_above: Path | None) -> dict[str, Any]:
    """Return seconds and peak memory of reading two journals, and the seconds of opening them."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(dir=folder_above) as folder:
        for count in counts:
            path = Path(folder) / f"{count}.jsonl"
            with path.open("wb") as file:
                file.write(encode(OPENED, 0) + b"\n")
                file.writelines(encode(answer(seq, 0), seq) + b"\n" for seq in range(1, count))
            found[str(count)] = {
                "megabytes": path.stat().st_size / 1e6,
                "read_seconds": best_of_three(partial(read_through, path)),
                "open_seconds": best_of_three(partial(open_and_close, path)),
                "peak_megabytes": peak_megabytes(partial(read_through, path)),
            }
    less, more = (found[str(count)] for count in counts)
    found["records_ratio"] = counts[1] / counts[0]
    found["time_ratio"] = more["read_seconds"] / less["read_seconds"]
    found["memory_ratio"] = more["peak_megabytes"] / less["peak_megabytes"]
    return found


def read_through(path: Path) -> int:
    """Read all records and keep none."""
    return sum(1 for _ in read_records(path))


def open_and_close(path: Path) -> None:
    """Take the journal up, which reads it through and builds its index."""
    FileJournal.open(path).close()


def best_of_three(action: Callable[[], object]) -> float:
    """Return the least seconds of three runs: what disturbs only adds."""
    taken = []
    for _ in range(3):
        start = time.perf_counter()
        action()
        taken.append(time.perf_counter() - start)
    return min(taken)


def peak_megabytes(action: Callable[[], object]) -> float:
    """Return the most memory that *action* held at once, as Python counts it."""
    tracemalloc.start()
    action()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 1e6


def measure_codec(times: int) -> dict[str, float]:
    """Return the microseconds of encoding and decoding one answer."""
    written = answer(0, 0)
    line = encode(written, 0)
    encoding = best_of_three(lambda: [encode(written, 0) for _ in range(times)])
    decoding = best_of_three(lambda: [decode(line) for _ in range(times)])
    return {"line_bytes": len(line), "encode_us": encoding / times * 1e6, "decode_us": decoding / times * 1e6}


def show(result: dict[str, Any]) -> None:
    """Print the tables."""
    print(
        f"{'append':<32} {'p50 µs':>9} {'p99 µs':>9} {'p99 / bare p99: alone':>22} {'of 100':>8} "
        f"{'p50 ratio':>10} {'syncs/append':>13}"
    )
    for name, row in result["append"].items():
        print(
            f"{name:<32} {row['p50_us']:>9.0f} {row['p99_us']:>9.0f} {row['p99_ratio']:>22.2f} "
            f"{row['p99_ratio_to_100']:>8.2f} {row['p50_ratio']:>10.2f} {row['syncs_per_append']:>13.3f}"
        )
    print(f"\n{'read':<26} {'MB':>9} {'read s':>9} {'open s':>10} {'peak MB':>10}")
    for name, row in result["reading"].items():
        if isinstance(row, dict):
            print(
                f"{name + ' records':<26} {row['megabytes']:>9.1f} {row['read_seconds']:>9.2f} "
                f"{row['open_seconds']:>10.2f} {row['peak_megabytes']:>10.2f}"
            )
    reading, codec = result["reading"], result["codec"]
    print(
        f"{reading['records_ratio']:.0f} times the records: {reading['time_ratio']:.2f} times the time, "
        f"{reading['memory_ratio']:.2f} times the memory"
    )
    print(
        f"one answer of {codec['line_bytes']:.0f} bytes: {codec['encode_us']:.1f} µs to encode, "
        f"{codec['decode_us']:.1f} µs to decode"
    )


def missed(result: dict[str, Any]) -> list[str]:
    """Return what this page claims and *result* does not show."""
    many = {name: row for name, row in result["append"].items() if name.startswith("journal, 100 workers")}
    late = [name for name, row in many.items() if row["p99_ratio_to_100"] > MOST_TO_A_HUNDRED_BARE]
    said = [
        f"{name}: the 99 % is more than {MOST_TO_A_HUNDRED_BARE} times that of bare writers" for name in late
    ]
    reading = result["reading"]
    if reading["time_ratio"] > 1.25 * reading["records_ratio"]:
        said.append("reading takes more than linear time")
    if reading["memory_ratio"] > 1.25:
        said.append("reading takes memory that grows")
    return said


def main() -> None:
    """Measure, print, write; fail where a claim does not hold."""
    parser = argparse.ArgumentParser(description="What durability costs.")
    parser.add_argument("--rounds", type=int, default=7, help="rounds of each append measurement")
    parser.add_argument(
        "--folder", type=Path, help="a folder on the disk to measure; else that for temporary files"
    )
    parser.add_argument("--no-result", action="store_true", help="print only")
    chosen = parser.parse_args()
    result = {
        "load_average_before": os.getloadavg()[0],
        "n": {"rounds": chosen.rounds, "bare": BARE, "workers": WORKERS, "appends_per_worker": APPENDS},
        "append": measure_appends(chosen.rounds, chosen.folder),
        "reading": measure_reading((10_000, 100_000), chosen.folder),
        "codec": measure_codec(2_000),
    }
    show(result)
    if not chosen.no_result:
        record("journal", result)
    if said := missed(result):
        raise SystemExit("\n".join(said))


if __name__ == "__main__":
    main()
