"""Keeps the children of a command below one process, so that all of them can be ended with it.

Outside the sandbox, a child may begin a session of its own and lose its parent: nothing then tells that the
command made it. On Linux, a *keeper* stands between Sunwell and the command: orphans below it become its
children. When the command has ended, the keeper ends all that is left below it, and ends as the command did.
This file is also the keeper's program: it is run by itself and imports nothing of Sunwell's.
"""

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

_SET_DEATH_SIGNAL, _SET_SUBREAPER = 1, 36
_PATIENCE_SECONDS = 0.25
_PAUSE_SECONDS = 0.001


def kept(command: tuple[str, ...]) -> tuple[str, ...]:
    """Return the command line that runs *command* below a keeper; *command* itself if there can be none."""
    is_program = Path(__file__).is_file() and not getattr(sys, "frozen", False)  # not in an archive
    if sys.platform != "linux" or not sys.executable or not is_program:
        return command
    return (sys.executable, "-I", "-S", __file__, *command)


def end_below(*parents: int) -> None:
    """Kill all processes below *parents*, which live on: until none is left, or for a quarter of a second.

    They are found again after each round: one that is killed leaves its children to a keeper above. Only on
    Linux are there any to find.
    """
    until = time.monotonic() + _PATIENCE_SECONDS
    tried: set[int] = set()
    while found := set(_below(parents)) - tried:
        for number in found:
            try:
                os.kill(number, signal.SIGKILL)
            except ProcessLookupError:
                pass
            except PermissionError:  # it has other rights than we have
                tried.add(number)
        if time.monotonic() > until:
            return
        time.sleep(_PAUSE_SECONDS)


def _below(parents: tuple[int, ...]) -> Iterator[int]:
    """Yield the processes below *parents* that are not dead yet."""
    rest, seen = list(parents), set(parents)
    while rest:
        for number in _children_of(rest.pop()):
            if number not in seen:
                seen.add(number)
                rest.append(number)
                if not _is_dead(number):
                    yield number


def _children_of(number: int) -> list[int]:
    found: list[int] = []
    with suppress(OSError):
        for task in Path(f"/proc/{number}/task").iterdir():
            with suppress(OSError):
                found += map(int, (task / "children").read_text().split())
    return found


def _is_dead(number: int) -> bool:
    try:
        return Path(f"/proc/{number}/stat").read_bytes().rpartition(b")")[2].split()[:1] in ([b"Z"], [b"X"])
    except OSError:
        return True


def _keep(command: list[str]) -> NoReturn:
    """Run *command*, end what it leaves, and end as it did."""
    import ctypes

    ours = os.getpid()
    set_for_process = ctypes.CDLL(None).prctl
    set_for_process(_SET_SUBREAPER, 1, 0, 0, 0)
    # What a command may send to its own group; the keeper is in it, so that the group can be killed as one.
    ignored = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in ignored}
    signal.signal(signal.SIGUSR2, lambda *_: _leave_nothing(ours))
    set_for_process(_SET_DEATH_SIGNAL, signal.SIGUSR2, 0, 0, 0)  # Sunwell itself was killed
    first = os.fork()
    if first == 0:
        for ignored_one, handler in before.items():
            signal.signal(ignored_one, handler)
        for changed in (signal.SIGUSR2, signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores the last two
            signal.signal(changed, signal.SIG_DFL)
        with suppress(OSError):
            os.execve(command[0], command, _given_environment())
        os._exit(127)
    number, status = 0, 0
    while number != first:
        number, status = os.waitpid(-1, 0)
    end_below(ours)
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        os._exit(code)
    with suppress(OSError):  # nobody can take SIGKILL
        signal.signal(-code, signal.SIG_DFL)
    os.kill(ours, -code)
    os._exit(128 - code)


def _leave_nothing(ours: int) -> NoReturn:
    end_below(ours)
    os._exit(128 + signal.SIGUSR2)


def _given_environment() -> dict[bytes, bytes]:
    """Return the environment as it was given: Python may have added the locale."""
    given = [line.partition(b"=") for line in Path("/proc/self/environ").read_bytes().split(b"\0")]
    return {name: value for name, sign, value in given if sign and name}


if __name__ == "__main__":
    _keep(sys.argv[1:])
