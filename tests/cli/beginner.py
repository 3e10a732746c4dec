"""Commands in processes of their own that need no time to load: each begins in a copy of a loaded one.

Loading takes more than a second of computing time, for each command. What a new interpreter does with the
environment and the standard streams is done here in the same way, so that a command cannot tell.
"""

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from functools import cache
from pathlib import Path
from typing import IO

import attrs

_BEGINNER = """
import gc, io, json, os, signal, socket, sys
import anthropic.resources.messages, openai.resources.responses
import ctypes, genai_prices.data, genai_prices.data_units, httpcore2, resource, truststore
import uuid_utils, yaml
import rich.live, rich.table
import sunwell.__main__
import sunwell.agent.agent, sunwell.agent.lifecycle.run_starter, sunwell.agent.loop
import sunwell.agent.policy.wanted_changes, sunwell.report.summary, sunwell.tools.shell
import sunwell.cli.live_view, sunwell.cli.main, sunwell.cli.run_output, sunwell.cli.unused_options
import sunwell.config.preflight, sunwell.config.resolution, sunwell.journal.exports
import sunwell.models.anthropic_messages, sunwell.models.openai_chat, sunwell.models.openai_responses

gc.freeze()


def stream(number):  # as a new interpreter opens it
    try:
        os.fstat(number)
    except OSError:
        return None
    encoding, _, errors = os.environ.get("PYTHONIOENCODING", "").partition(":")
    errors = errors or ("strict" if encoding else "surrogateescape")
    unbuffered = bool(os.environ.get("PYTHONUNBUFFERED")) and number > 0
    mode = "wb" if number else "rb"
    raw = open(number, mode, buffering=0 if unbuffered else -1, closefd=False)
    getattr(raw, "raw", raw).name = ("<stdin>", "<stdout>", "<stderr>")[number]
    return io.TextIOWrapper(
        raw,
        encoding or "utf-8",
        "backslashreplace" if number == 2 else errors,
        line_buffering=number == 2 or os.isatty(number),
        write_through=unbuffered,
    )


control = socket.socket(fileno=int(sys.argv[1]))
while True:
    asked, streams, _, _ = socket.recv_fds(control, 1 << 20, 4)
    if not asked:
        break
    if os.fork():
        for each in streams:
            os.close(each)
        while True:  # who waited for a command that has ended
            try:
                if not os.waitpid(-1, os.WNOHANG)[0]:
                    break
            except ChildProcessError:
                break
        continue
    control.close()
    state = streams.pop(0)
    if child := os.fork():
        for each in streams:
            os.close(each)
        os.write(state, b"%d\\n" % child)
        os.write(state, b"%d\\n" % os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        os._exit(0)
    os.close(state)
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # who started the tests may ignore both
    told = json.loads(asked)
    for number, is_open in enumerate(told["open"]):
        os.close(number)
        if is_open:
            os.dup2(streams[0], number)
            os.close(streams.pop(0))
    os.environ.clear()
    os.environ.update(told["env"])
    os.chdir(told["folder"])
    sys.argv = [sunwell.__main__.__file__, *told["arguments"]]
    program = told["arguments"][1] if told["arguments"][0] == "-c" else ""
    sys.stdin, sys.stdout, sys.stderr = map(stream, range(3))
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr
    if program:
        exec(program, {"__name__": "__main__"})
        sys.stdout.flush()
        os._exit(0)
    sunwell.__main__.main()  # ends the process
"""


class Beginner:
    """Begins commands, several at a time if need be."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair()
        self.process = subprocess.Popen(
            [sys.executable, "-c", _BEGINNER, str(theirs.fileno())], pass_fds=[theirs.fileno()]
        )
        theirs.close()
        atexit.register(self._end)

    def _end(self) -> None:
        self._control.close()
        self.process.wait()

    def begin(
        self,
        arguments: Sequence[str],
        env: Mapping[str, str],
        streams: Sequence[int | None],
        folder: Path | None = None,
    ) -> "Begun":
        """Begin a command with these standard streams, of which ``None`` is closed.

        *env* is all of its environment.
        """
        asked = {
            "arguments": list(arguments),
            "env": dict(env),
            "folder": str(folder or Path.cwd()),
            "open": [stream is not None for stream in streams],
        }
        reading, writing = os.pipe()
        given = [stream for stream in streams if stream is not None]
        socket.send_fds(self._control, [json.dumps(asked).encode()], [writing, *given])
        os.close(writing)
        return Begun(os.fdopen(reading, "rb", buffering=0))

    def piped(self, arguments: Sequence[str], env: Mapping[str, str], stdin: int | None = None) -> "Begun":
        """Begin a command whose streams are read as text; standard input is empty unless it is given."""
        out, output = os.pipe()
        err, errors = os.pipe()
        with Path("/dev/null").open("rb") as nothing:
            given = nothing.fileno() if stdin is None else stdin
            begun = self.begin(arguments, env, [given, output, errors])
        os.close(output)
        os.close(errors)
        begun.stdout, begun.stderr = os.fdopen(out, encoding="utf-8"), os.fdopen(err, encoding="utf-8")
        return begun


class Begun:
    """A command that a :class:`Beginner` began, with the methods of a process of :mod:`subprocess`."""

    def __init__(self, state: IO[bytes]) -> None:
        self._state = state
        self.pid = int(state.readline())
        self.returncode: int | None = None
        self.stdout: IO[str] | None = None
        self.stderr: IO[str] | None = None

    def send_signal(self, number: int) -> None:
        """Send a signal unless the command has ended."""
        with suppress(ProcessLookupError):
            if self.poll() is None:
                os.kill(self.pid, number)

    def kill(self) -> None:
        """End the command at once."""
        self.send_signal(signal.SIGKILL)

    def poll(self) -> int | None:
        """Return the exit code, or ``None`` while the command is at work."""
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code once the command has ended."""
        if self.returncode is None:
            if not select.select([self._state], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("sunwell", timeout or 0)
            with self._state:
                self.returncode = int(self._state.readline())
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Return what is still to be read of both streams, once the command has ended."""
        files = [file for file in (self.stdout, self.stderr) if file is not None and not file.closed]
        with ThreadPoolExecutor(2) as threads:
            said = list(threads.map(_rest, files, timeout=timeout))
        self.wait(timeout)
        return (said[0], said[1]) if said else ("", "")


def _rest(file: IO[str]) -> str:
    with file:
        return file.read()


@cache
def beginner() -> Beginner:
    """Return the one of these tests; it ends with the process that asks for it."""
    return Beginner()


@attrs.frozen
class Done:
    """How a command ended, and what it printed where no other place was given."""

    returncode: int
    stdout: bytes
    stderr: bytes


def done(
    *words: str | Path,
    folder: Path,
    env: Mapping[str, str],
    stdin: int | None = -1,
    stdout: int | None = -1,
    stderr: int | None = -1,
) -> Done:
    """Run a command to its end, with *env* as all of its environment.

    A stream is a descriptor, or ``None``: it is closed. Else standard input is empty and the others are read.
    """
    with ExitStack() as opened:
        given = [stdin, stdout, stderr]
        read: list[IO[bytes]] = []
        if stdin == -1:
            given[0] = opened.enter_context(Path("/dev/null").open("rb")).fileno()
        for number in (1, 2):
            if given[number] == -1:
                reading, writing = os.pipe()
                given[number] = writing
                read.append(opened.enter_context(os.fdopen(reading, "rb")))
        begun = beginner().begin([str(word) for word in words], env, given, folder)
        if stdout == -1:
            os.close(given[1])
        if stderr == -1:
            os.close(given[2])
        with ThreadPoolExecutor(2) as threads:
            told = list(threads.map(lambda file: file.read(), read))
        code = begun.wait()
    return Done(code, told.pop(0) if stdout == -1 else b"", told.pop(0) if stderr == -1 else b"")


def done_anew(*words: str | Path, folder: Path, env: Mapping[str, str], stdout: int = -1) -> Done:
    """Run a command to its end in a new interpreter, for tests of what it does while it is loaded."""
    return python_anew("-m", "sunwell", *words, folder=folder, env=env, stdout=stdout)


def python_anew(*words: str | Path, folder: Path, env: Mapping[str, str], stdout: int = -1) -> Done:
    """Run a new interpreter to its end; *words* are its arguments."""
    ended = subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=folder,
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if stdout == -1 else stdout,
        stderr=subprocess.PIPE,
        check=False,
    )
    return Done(ended.returncode, ended.stdout or b"", ended.stderr)
