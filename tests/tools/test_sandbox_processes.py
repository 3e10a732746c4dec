"""What a command leaves behind ends with it, however it ends."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from sunwell.core.secrets import Secrets
from sunwell.tools import Toolbox
from tests.bubblewrap import needs_bubblewrap

pytestmark = needs_bubblewrap

LEAVERS = {
    "session": "setsid sh -c 'echo begun; exec sleep 1000' >&3",
    "double-fork": "(setsid sh -c '(echo begun; exec sleep 1000) >&3 &' &)",
    "deaf": "setsid sh -c 'trap \"\" TERM INT HUP QUIT; echo begun; while :; do sleep 1000; done' >&3",
    "no-hang-up": "nohup setsid sh -c 'echo begun >&3; exec sleep 1000' >/dev/null 2>&1",
}
RUNNER = """
import asyncio, sys
from pathlib import Path
from sunwell.core.message import ToolCall
from sunwell.core.secrets import Secrets
from sunwell.tools import Toolbox
box = Toolbox(Path(sys.argv[1]), allow_shell=True, secrets=Secrets())
asyncio.run(box.execute(ToolCall("c", "run_command", sys.argv[2])))
"""


class Life:
    """A pipe of the workspace that is open as long as a process of a command lives."""

    def __init__(self, folder: Path) -> None:
        os.mkfifo(folder / "life")
        self.file = os.open(folder / "life", os.O_RDONLY | os.O_NONBLOCK)

    def begun(self) -> None:
        """Wait until a process has said that it lives."""
        said = b""
        os.set_blocking(self.file, True)
        while said != b"begun\n":
            said += os.read(self.file, 100)  # empty as long as nobody has opened it

    def is_over(self) -> bool:
        """Wait until nobody has the pipe any more."""
        os.set_blocking(self.file, True)
        return os.read(self.file, 100) == b""


@pytest.fixture
def life(folder: Path) -> Iterator[Life]:
    made = Life(folder)
    yield made
    os.close(made.file)


def boxed(folder: Path) -> Toolbox:
    return Toolbox(folder, allow_shell=True, secrets=Secrets())


@pytest.mark.parametrize("kind", LEAVERS)
async def test_it_ends_with_the_command(folder, ask, life, kind) -> None:
    """The command itself ends well, with another process in the background."""
    os.mkfifo(folder / "go")
    command = f"exec 3>life; {{ {LEAVERS[kind]}; }} & exec 3>&-; read -r said < go"
    call = asyncio.create_task(ask(boxed(folder), "run_command", command=command))
    await asyncio.to_thread(life.begun)
    await asyncio.to_thread((folder / "go").write_text, "on\n")
    assert (await call).exit_code == 0
    assert await asyncio.to_thread(life.is_over)


@pytest.mark.parametrize("kind", LEAVERS)
async def test_it_ends_with_a_command_that_takes_too_long(folder, ask, life, kind) -> None:
    """After its time."""
    command = f"exec 3>life; {{ {LEAVERS[kind]}; }} & sleep 1000"
    result = await ask(boxed(folder), "run_command", command=command, timeout_seconds=1)
    assert result.exit_code is None
    await asyncio.to_thread(life.begun)
    assert await asyncio.to_thread(life.is_over)


@pytest.mark.parametrize("kind", LEAVERS)
async def test_it_ends_with_a_run_that_is_cancelled(folder, ask, life, kind) -> None:
    """The cancelled call comes back only when the command has ended."""
    command = f"exec 3>life; {{ {LEAVERS[kind]}; }} & sleep 1000"
    call = asyncio.create_task(ask(boxed(folder), "run_command", command=command))
    await asyncio.to_thread(life.begun)
    call.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await call
    assert await asyncio.to_thread(life.is_over)


@pytest.mark.parametrize(
    ("kind", "number"),
    [*((kind, signal.SIGKILL) for kind in LEAVERS), ("deaf", signal.SIGINT), ("deaf", signal.SIGTERM)],
)
def test_it_ends_with_sunwell_itself(folder, life, kind, number) -> None:
    """Also if that is killed in a way that lets it do nothing more."""
    command = f"exec 3>life; {{ {LEAVERS[kind]}; }} & sleep 1000"
    arguments = json.dumps({"command": command, "timeout_seconds": None})
    process = subprocess.Popen(
        [sys.executable, "-c", RUNNER, folder, arguments],
        stderr=subprocess.DEVNULL,
        # A shell that starts the tests in the background has them, and their children, ignore SIGINT.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    life.begun()
    process.send_signal(number)
    process.wait()
    assert life.is_over()
