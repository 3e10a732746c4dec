"""Without the sandbox, what a command started ends with it, also in a session of its own."""

import asyncio
import os
import select
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sunwell.core.secrets import Secrets
from sunwell.simulator import Simulator, running_simulator
from sunwell.tools.shell import CommandRunner
from tests.cli.beginner import beginner
from tests.cli.terminals import calling

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells who began a process")
PATIENCE_SECONDS = 60
DEAF = "trap '' INT TERM HUP"
HOLDS = f"{DEAF}; exec 9>held; echo x >&9; exec sleep 777"
WAYS = {
    "session": "setsid ./child &",
    "orphan": "(setsid ./child &);",
    "orphan-of-an-orphan": "(setsid sh -c '(setsid ./child &)' &);",
    "no-environment": "(env -i setsid ./child &);",
}


ORPHAN = WAYS["orphan"]


class Held:
    """A named pipe that is open for writing as long as a child of the command lives."""

    def __init__(self, folder: Path) -> None:
        (folder / "child").write_text(f"#!/bin/sh\n{HOLDS}\n")
        (folder / "child").chmod(0o755)
        os.mkfifo(folder / "held")
        self.file = os.open(folder / "held", os.O_RDONLY | os.O_NONBLOCK)

    def wait_until_open(self) -> None:
        """Wait until the child has begun."""
        assert select.select([self.file], [], [], PATIENCE_SECONDS)[0]
        assert os.read(self.file, 2) == b"x\n"

    def require_closed(self) -> None:
        """Fail unless the child has ended, or is about to."""
        assert select.select([self.file], [], [], 5)[0], "the child goes on"
        assert os.read(self.file, 2) == b""

    @property
    def is_open(self) -> bool:
        """Whether a child lives."""
        return not select.select([self.file], [], [], 0)[0]


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Held]:
    """Return the pipe of a folder."""
    made = Held(tmp_path)
    yield made
    os.close(made.file)


def runner(folder: Path) -> CommandRunner:
    """Return a runner without a sandbox."""
    return CommandRunner(folder, Secrets(), os.environ, "off")


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
async def test_it_ends_when_the_command_ends_by_itself(way: str, tmp_path: Path, held: Held) -> None:
    """The exit code is that of the command."""
    os.mkfifo(tmp_path / "go")
    task = asyncio.create_task(runner(tmp_path).run(f"{way} read x <go; exit 3", 60, 1_000))
    await asyncio.to_thread(held.wait_until_open)
    await asyncio.to_thread((tmp_path / "go").write_text, "x\n")
    assert (await task).exit_code == 3
    held.require_closed()


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
async def test_it_ends_at_the_time_limit(way: str, tmp_path: Path, held: Held) -> None:
    """Whatever it ignores."""
    ended = await runner(tmp_path).run(f"{way} {DEAF}; sleep 777", 1, 1_000)
    assert ended.exit_code is None
    held.wait_until_open()
    held.require_closed()


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
async def test_it_ends_when_the_command_is_cancelled(way: str, tmp_path: Path, held: Held) -> None:
    """As by Ctrl-C."""
    task = asyncio.create_task(runner(tmp_path).run(f"{way} {DEAF}; sleep 777", 60, 1_000))
    await asyncio.to_thread(held.wait_until_open)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    held.require_closed()


async def test_another_command_keeps_its_children(tmp_path: Path, held: Held) -> None:
    """Each has a keeper of its own."""
    task = asyncio.create_task(runner(tmp_path).run(f"{ORPHAN} sleep 777", 60, 1_000))
    await asyncio.to_thread(held.wait_until_open)
    assert (await runner(tmp_path).run("(setsid sleep 777 &) ; true", 60, 1_000)).exit_code == 0
    assert held.is_open
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    held.require_closed()


@pytest.mark.parametrize(
    ("command", "code"),
    [("exit 0", 0), ("exit 41", 41), ("kill -9 $$", -9), ("kill -TERM $$", -15), ("trap 'kill 0' EXIT", -15)],
)
async def test_the_end_of_a_command_is_told_as_it_was(command: str, code: int, tmp_path: Path) -> None:
    """By its own exit code or signal; it finds the environment that it was given."""
    ended = await runner(tmp_path).run(f"env; {command}", 30, 10_000)
    assert ended.exit_code == code
    names = {line.split(b"=")[0] for line in ended.output.splitlines()}
    assert names <= {
        *map(str.encode, os.environ),
        b"TERM",
        b"PAGER",
        b"GIT_PAGER",
        b"GIT_TERMINAL_PROMPT",
        b"PWD",
    }


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_it_ends_with_sunwell(number: signal.Signals, tmp_path: Path, held: Held) -> None:
    """The attack: a deaf child in a session of its own, and the run is stopped, or killed."""
    command = f"{DEAF}; {ORPHAN} sleep 778"
    script = calling(("run_command", {"command": command, "timeout_seconds": None}))
    with running_simulator(Simulator({"claude-haiku-5-5": script})) as simulator:
        env = {"ANTHROPIC_BASE_URL": simulator.url, "ANTHROPIC_API_KEY": "simulated-key"}
        line = ["run", "Do it", "-w", str(tmp_path), "--model", "haiku", "--allow-shell", "--sandbox", "off"]
        process = beginner().piped(line, {**os.environ, **env})
        held.wait_until_open()
        process.send_signal(number)
        process.communicate(timeout=PATIENCE_SECONDS)
        held.require_closed()
