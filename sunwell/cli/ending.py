"""Signals: the command stops in good order, and the process ends within a second if it does not.

A handler of a signal runs in the main thread, and only between two steps of Python. So a thread waits for the
signals as well: it ends the process if the main thread is held up, for example by a disk.
"""

import asyncio
import json
import os
import select
import signal
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, TypeVar

import attrs

from sunwell.cli.exit_codes import CANCELLED
from sunwell.cli.output import flush, say, say_at_once
from sunwell.core.threads import DaemonThreads

T = TypeVar("T")
SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
_STEP_SECONDS = 0.05
"""The wait is counted in steps of this length: on a busy machine they take longer, as the end itself does."""
_STOPPING_STEPS = 15
_REPORTING_STEPS = 30
_SAME_SECONDS = 0.04
"""A program such as ``timeout`` sends a signal to the process and to its group: that counts once."""
_SHOW_CURSOR = b"\x1b[?25h"


@attrs.define(eq=False)
class Interrupts:
    """What SIGINT, SIGTERM and SIGHUP do: the first stops the command, another ends the process at once."""

    recovery: str = ""
    """How to go on after the process was ended, for its last line."""
    as_json: bool = False
    """Whether standard output gets an object if the process is ended."""
    _stop: Callable[[], object] | None = attrs.field(default=None, init=False)
    _is_asked: bool = attrs.field(default=False, init=False)
    _steps_left: int = attrs.field(default=_STOPPING_STEPS, init=False)
    _before: dict[int, Any] = attrs.field(factory=dict, init=False)
    _wakes_before: int = attrs.field(default=-1, init=False)
    _writing: int = attrs.field(default=-1, init=False)

    def __enter__(self) -> "Interrupts":
        reading, self._writing = os.pipe()
        os.set_blocking(self._writing, False)
        for number in SIGNALS:
            before = signal.getsignal(number)
            if number != signal.SIGINT and before is signal.SIG_IGN:  # nohup
                continue
            self._before[number] = signal.signal(number, self._arrived)
        self._wakes_before = signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)
        threading.Thread(target=self._watch, args=(reading,), name="sunwell-signals", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        signal.set_wakeup_fd(self._wakes_before)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        os.close(self._writing)  # ends the thread

    @contextmanager
    def stopping_with(self, stop: Callable[[], object]) -> Iterator[None]:
        """Have the first signal call *stop* while the body runs, instead of raising KeyboardInterrupt."""
        before, self._stop = self._stop, stop
        try:
            yield
        finally:
            self._stop = before

    def report(self) -> None:
        """Give the command more time: it has stopped, and tells of it."""
        self._steps_left = _REPORTING_STEPS

    def _arrived(self, _: int, __: FrameType | None) -> None:
        if self._is_asked:  # the thread ends the process
            return
        self._is_asked = True
        if self._stop is None:
            raise KeyboardInterrupt
        self._stop()

    def _watch(self, reading: int) -> None:
        """Wait for the first signal, then for the end of the process, another signal or the time limit."""
        since: float | None = None
        while since is None or self._steps_left > 0:
            if since is not None:
                self._steps_left -= 1
                if not select.select([reading], [], [], _STEP_SECONDS)[0]:
                    continue
            arrived = os.read(reading, 1)
            if not arrived:
                os.close(reading)
                return
            if arrived[0] not in self._before:
                continue
            if since is None:
                since = time.monotonic()
            elif time.monotonic() - since > _SAME_SECONDS and arrived[0] != getattr(signal, "SIGHUP", 0):
                break  # a terminal that is closed may send SIGHUP several times
        self._end()

    def _end(self) -> NoReturn:
        kill_children()
        sentence = f"ended at once; all answers so far are in the journal{self.recovery}"
        if self.as_json:
            say_at_once(json.dumps({"status": "cancelled", "error": sentence}).encode() + b"\n", err=False)
        shown = _SHOW_CURSOR if os.isatty(2) else b""
        say_at_once(shown + f"\nsunwell: {sentence}\n".encode("utf-8", "replace"))
        os._exit(CANCELLED)


_handling: list[Interrupts] = []


@contextmanager
def interruptible() -> Iterator[Interrupts]:
    """Handle the signals while the body runs; a body in another one shares the outer one's handling."""
    if _handling:
        yield _handling[-1]
        return
    with Interrupts() as interrupts:
        _handling.append(interrupts)
        try:
            yield interrupts
        finally:
            _handling.remove(interrupts)


def run_async(main: Coroutine[Any, Any, T]) -> T:
    """Return what *main* returns. A signal cancels it, and raises :exc:`KeyboardInterrupt` then.

    Unlike :func:`asyncio.run`, this waits for no thread: a name that is looked up, say, may take minutes.
    """
    with interruptible() as interrupts:

        async def watched() -> T:
            loop, task = asyncio.get_running_loop(), asyncio.current_task()
            loop.set_default_executor(DaemonThreads())
            assert task is not None
            with interrupts.stopping_with(partial(loop.call_soon_threadsafe, task.cancel)):
                return await main

        try:
            return asyncio.run(watched())
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None


def kill_children() -> None:
    """Kill all processes that this one has started, with their groups; only Linux knows which those are.

    So are those below them, first: a keeper that is killed leaves them to nobody.
    """
    from sunwell.tools.command_keeper import end_below

    with suppress(OSError):
        tasks = list(Path("/proc/self/task").iterdir())
        end_below(*(int(number) for task in tasks for number in (task / "children").read_text().split()))
        for task in Path("/proc/self/task").iterdir():
            for number in map(int, (task / "children").read_text().split()):
                with suppress(OSError):
                    if os.getpgid(number) == number:
                        os.killpg(number, signal.SIGKILL)
                    os.kill(number, signal.SIGKILL)


def leave(code: str | int | None) -> NoReturn:
    """End the process with *code*, as :func:`sys.exit` means it, but without waiting for any thread.

    Python would also take down everything that is in memory, which takes half a second and helps nobody.
    """
    import atexit

    if isinstance(code, str):
        say(code, err=True)
    with suppress(Exception):  # each function's own error is printed by Python
        atexit._run_exitfuncs()
    flush()
    os._exit(code & 0xFF if isinstance(code, int) else int(code is not None))
