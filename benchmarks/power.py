"""What a loss of power takes from the record of a run, on a real file system, and whether its cap holds.

Run ``python benchmarks/power.py`` as root on Linux with ``mkfs.ext4`` and loop devices. Each run works in an
ext4 file system in a file. At a random moment the process is stopped and the file system shut down as by a
loss of power: all that it has not written to its disk is gone. The process is killed, the file system
mounted again, and the run taken up by another process that finds another start of the machine. The provider
is a simulator outside of it, with a bill of its own. It fails where the provider billed more than the run's
cap, or than cost and uncertain cost of the run together, where more was missing than the leeway on record,
where that does not count as uncertain, or where the run does not end as one that was left alone.
"""

import argparse
import fcntl
import json
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
from recording import record

from sunwell.core.message import Text, ToolCall
from sunwell.errors import JournalError
from sunwell.journal import read_records
from sunwell.journal.layout import list_runs
from sunwell.journal.records import Intent, Leeway, RunClosed
from sunwell.simulator import Asked, Reply, Simulator
from sunwell.simulator.server import running_simulator
from sunwell.simulator.simulated_models import SimulatedModel

MODEL, CAP_USD = "claude-haiku-5-5", Decimal("0.50")
TURNS, ITEMS = 30, 24
SHUT_DOWN, WITHOUT_WRITING = 0x8004587D, 2  # EXT4_IOC_SHUTDOWN, EXT4_GOING_FLAGS_NOLOGFLUSH
BOOT_ID = "/proc/sys/kernel/random/boot_id"
_OTHER_START = 'mount --bind "$0" "$1" && shift && exec "$@"'


@attrs.frozen
class PowerSort:
    """One sort of runs, and how long the provider takes to answer."""

    name: str
    latency_seconds: float
    words: tuple[str, ...]
    calls: int


SORTS = (
    PowerSort("a conversation, answered at once", 0.0, ("run", "Read it again and again"), TURNS),
    PowerSort("a conversation, answered after 30 ms", 0.03, ("run", "Read it again and again"), TURNS),
    PowerSort("a batch, answered at once", 0.0, ("batch", "tasks.jsonl"), 2 * ITEMS),
    PowerSort("a batch, answered after 30 ms", 0.03, ("batch", "tasks.jsonl"), 2 * ITEMS),
)


def reader(asked: Asked) -> Reply:
    """Read a file once for each item of a batch, or many times for a single task, and answer."""
    turns = sum(message.role == "assistant" for message in asked.messages)
    is_item = any("Item" in message.text for message in asked.messages)
    if turns < (1 if is_item else TURNS - 1):
        return Reply((ToolCall(f"call_{turns:03d}", "read_file", json.dumps({"path": "notes.txt"})),))
    return Reply((Text("Read."),))


@attrs.frozen
class Place:
    """A file system in a file, and where it is mounted."""

    folder: Path

    @property
    def root(self) -> Path:
        """The workspace."""
        return self.folder / "mounted"

    def make(self) -> None:
        """Make the file system."""
        image = self.folder / "image"
        with image.open("wb") as file:
            file.truncate(96 << 20)
        subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
        self.root.mkdir()

    def mount(self) -> None:
        """Mount it."""
        subprocess.run(["mount", "-o", "loop", str(self.folder / "image"), str(self.root)], check=True)

    def unmount(self) -> None:
        """Unmount it once nobody has anything open there."""
        for _ in range(100):
            if subprocess.run(["umount", str(self.root)], capture_output=True, check=False).returncode == 0:
                return
            time.sleep(0.05)
        raise SystemExit(f"{self.root} cannot be unmounted")

    def lose_power(self) -> None:
        """Have the file system forget what is not on its disk, and refuse everything from now on."""
        folder = os.open(self.root, os.O_RDONLY)
        try:
            fcntl.ioctl(folder, SHUT_DOWN, struct.pack("I", WITHOUT_WRITING))
        finally:
            os.close(folder)

    @contextmanager
    def provided(self, sort: PowerSort) -> Iterator[tuple[Simulator, dict[str, str]]]:
        """Run a provider for one run, and give it with the environment of the run."""
        model = SimulatedModel(reader, latency_seconds=sort.latency_seconds)
        with running_simulator(Simulator({MODEL: model})) as simulator:
            environ = {"PATH": os.environ["PATH"], "HOME": str(self.folder / "home")}
            environ |= {"ANTHROPIC_BASE_URL": simulator.url, "ANTHROPIC_API_KEY": "a-key"}
            yield simulator, environ | {"SUNWELL_LENSES": "off", "SUNWELL_OUTCOMES": "off"}


def command(*words: str) -> list[str]:
    """Return the command line of Sunwell with *words*."""
    return [sys.executable, "-m", "sunwell", *words]


def stop(process: "subprocess.Popen[bytes]") -> None:
    """Stop *process* where it is, after what it has the system do.

    A loss of power stops the processor, too. A sync that runs while this file system is shut down may report
    success and be lost: so it is for one small program that writes and syncs, in 26 of 500 trials.
    """
    process.send_signal(signal.SIGSTOP)
    tasks = Path(f"/proc/{process.pid}/task")
    while process.poll() is None:
        states = [each.joinpath("stat").read_text().rpartition(")")[2].split()[0] for each in tasks.iterdir()]
        if all(state in "TZX" for state in states):
            return
        time.sleep(0.0005)


def trial(place: Place, sort: PowerSort, dice: random.Random) -> dict[str, Any]:
    """Begin a run, lose power, take the run up, and return what came of it."""
    place.mount()
    try:
        shutil.rmtree(place.root / ".sunwell", ignore_errors=True)
        (place.root / "notes.txt").write_text("Note.\n")
        (place.root / "tasks.jsonl").write_text(
            "".join(f'"Item {number}: read it"\n' for number in range(ITEMS))
        )
        os.sync()
        with place.provided(sort) as (simulator, environ):
            line = command(*sort.words, "-m", MODEL, "--budget-usd", str(CAP_USD), "--json")
            asked = dice.randrange(1, sort.calls)
            with subprocess.Popen(
                line, cwd=place.root, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            ) as process:
                while len(simulator.requests) < asked and process.poll() is None:
                    time.sleep(0.0002)
                time.sleep(dice.random() * (sort.latency_seconds + 0.005))
                stop(process)
                place.lose_power()
                process.kill()
            time.sleep(sort.latency_seconds + 0.05)  # the provider goes on with what it has
            place.unmount()
            place.mount()
            return found_again(place, simulator, environ)
    finally:
        place.unmount()


def found_again(place: Place, simulator: Simulator, environ: dict[str, str]) -> dict[str, Any]:
    """Take the run up on another start of the machine."""
    sent = len(simulator.requests)
    try:
        [run] = list_runs(place.root)
        records = list(read_records(run.path))
    except (ValueError, JournalError):
        return {"sent": sent, "is_there": False, "billed_usd": simulator.bill.total_usd()}
    boot = place.folder / "boot_id"
    boot.write_text("11111111-2222-4333-8444-555555555555\n")
    line = [
        "unshare",
        "-m",
        "sh",
        "-c",
        _OTHER_START,
        str(boot),
        BOOT_ID,
        *command("resume", "last", "--json"),
    ]
    done = subprocess.run(line, cwd=place.root, env=environ, capture_output=True, text=True, check=False)
    told = json.loads(done.stdout) if done.stdout.startswith("{") else {"status": done.stderr}
    leeways = [one for one in records if isinstance(one, Leeway)]
    is_closed = any(isinstance(one, RunClosed) for one in records)
    missing = sent - sum(isinstance(one, Intent) for one in records)
    return {
        "sent": sent,
        "is_there": True,
        "missing": missing,
        "leeway_calls": leeways[-1].calls if leeways else 0,
        "leeway_usd": leeways[-1].usd if leeways and not is_closed else Decimal(0),
        "billed_usd": simulator.bill.total_usd(),
        "requests": len(simulator.requests),
        "status": told["status"],
        "cost_usd": Decimal(told.get("cost_usd") or 0),
        "uncertain_usd": Decimal(told.get("uncertain_usd") or 0),
    }


def wrong_with(one: dict[str, Any]) -> str:
    """Return what is wrong with a trial; empty: nothing."""
    if not one["is_there"]:
        return "calls were sent, and there is no run" if one["sent"] else ""
    if one["status"] != "ok":
        return f"it ended as {one['status']}"
    if one["missing"] > one["leeway_calls"]:
        return "more calls are missing than the leeway allows"
    if one["billed_usd"] > CAP_USD:
        return "the cap was passed"
    if one["uncertain_usd"] < one["leeway_usd"]:
        return "what may be missing does not count"
    if not one["cost_usd"] <= one["billed_usd"] <= one["cost_usd"] + one["uncertain_usd"]:
        return "the bill does not hold what was billed"
    return ""


def measured(place: Place, sort: PowerSort, trials: int, seed: int) -> dict[str, Any]:
    """Return what came of all trials of a sort of runs."""
    dice = random.Random(seed)
    found = [trial(place, sort, dice) for _ in range(trials)]
    there = [one for one in found if one["is_there"]]
    return {
        "sort": sort.name,
        "calls": sort.calls,
        "losses": len(found),
        "with_missing_calls": sum(one["missing"] > 0 for one in there),
        "most_missing": max((one["missing"] for one in there), default=0),
        "most_asked_again": max((one["requests"] - sort.calls for one in there), default=0),
        "wrong": [{"why": why, **one} for one in found if (why := wrong_with(one))],
    }


def main() -> None:
    """Lose power many times, print and write the result; fail where something is wrong."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, default=40, help="losses of power for each sort of runs")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    if os.name != "posix" or os.geteuid() != 0 or shutil.which("mkfs.ext4") is None:
        raise SystemExit("power.py requires root, Linux, mkfs.ext4 and loop devices")
    with tempfile.TemporaryDirectory() as name:
        place = Place(Path(name))
        (place.folder / "home").mkdir()
        place.make()
        found = [measured(place, sort, given.trials, given.seed) for sort in SORTS]
    print(json.dumps(found, indent=2, default=str))
    print(record("power", {"seed": given.seed, "sorts": found}))
    if any(one["wrong"] for one in found):
        raise SystemExit("a loss of power was not survived")


if __name__ == "__main__":
    main()
