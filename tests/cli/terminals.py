"""A real terminal with a command in it, and models that call tools one after another."""

import atexit
import json
import os
import pty
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import IO

from sunwell.core.message import Text, ToolCall, ToolResult
from sunwell.simulator import Asked, Reply

QUESTION = b"(y, n, all, details, ?) "
_PATIENCE_SECONDS = 60.0


# Begins each command in a copy of a process that has imported everything: most of the time would go there.
_BEGINNER = """
import gc, json, os, signal, socket, sys
import anthropic.resources.messages, genai_prices, httpcore2, truststore, uuid_utils, yaml
import rich.live, rich.table
import sunwell.agent.agent, sunwell.agent.loop, sunwell.report.summary, sunwell.tools.shell
import sunwell.cli.live_view, sunwell.cli.main, sunwell.cli.run_output, sunwell.cli.unused_options
import sunwell.config.preflight, sunwell.config.resolution, sunwell.journal.exports
import sunwell.models.anthropic_messages

gc.freeze()
control = socket.socket(fileno=int(sys.argv[1]))
while True:
    asked, streams, _, _ = socket.recv_fds(control, 1 << 20, 3)
    if not asked:
        break
    if child := os.fork():
        for stream in streams:
            os.close(stream)
        control.sendall(b"%d\\n" % child)
        control.sendall(b"%d\\n" % os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        continue
    control.close()
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    told = json.loads(asked)
    os.environ.update(told["env"])
    os.chdir(told["folder"])
    sys.argv = ["sunwell", *told["arguments"]]
    program = told["arguments"][1] if told["arguments"][0] == "-c" else ""
    sys.stdin, sys.stdout, sys.stderr = (
        open(number, "r" if number == 0 else "w", encoding="utf-8", closefd=False) for number in range(3)
    )
    if program:
        exec(program, {"__name__": "__main__"})
        sys.stdout.flush()
        os._exit(0)
    try:
        sunwell.cli.main.main()
    except SystemExit as ended:  # what has been imported need not be taken down
        sys.stdout.flush()
        os._exit(ended.code)
"""


class Beginner:
    """Begins commands, one after another."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair()
        self.process = subprocess.Popen(
            [sys.executable, "-c", _BEGINNER, str(theirs.fileno())], pass_fds=[theirs.fileno()]
        )
        theirs.close()
        self._told = self._control.makefile("rb")
        atexit.register(self._end)

    def _end(self) -> None:
        self._told.close()
        self._control.close()
        self.process.wait()

    def begin(self, arguments: list[str], env: dict[str, str], streams: list[int]) -> "Begun":
        """Begin a command with these standard streams; the one before must have ended."""
        asked = {"arguments": arguments, "env": env, "folder": str(Path.cwd())}
        socket.send_fds(self._control, [json.dumps(asked).encode()], streams)
        return Begun(int(self._told.readline()), self._told)


class Begun:
    """A command that a :class:`Beginner` began."""

    def __init__(self, pid: int, told: IO[bytes]) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._told = told

    def send_signal(self, number: int) -> None:
        """Send a signal unless the command has ended."""
        with suppress(ProcessLookupError):
            if self.returncode is None:
                os.kill(self.pid, number)

    def wait(self) -> int:
        """Return the exit code once the command has ended."""
        if self.returncode is None:
            self.returncode = int(self._told.readline())
        return self.returncode


@cache
def beginner() -> Beginner:
    """Return the one of these tests; it ends with the process that asks for it."""
    return Beginner()


class Terminal:
    """A terminal with a command in it; standard output is read apart, at the end, unless *one_stream*."""

    def __init__(
        self, arguments: list[str], env: dict[str, str], *, columns: int = 100, one_stream: bool = False
    ) -> None:
        self.master, slave = pty.openpty()
        self.seen = b""
        self.all = b""
        """Every byte that came so far."""
        env = {**env, "TERM": "xterm", "COLUMNS": str(columns)}
        self._output, output = (None, slave) if one_stream else self._pipe()
        self.process = beginner().begin(arguments, env, [slave, output, slave])
        for stream in {slave, output}:
            os.close(stream)

    @staticmethod
    def _pipe() -> tuple[IO[bytes], int]:
        reading, writing = os.pipe()
        return os.fdopen(reading, "rb"), writing

    def read_until(self, text: bytes) -> bytes:
        """Return what was shown until *text* has come."""
        end = time.monotonic() + _PATIENCE_SECONDS
        while text not in self.seen:
            ready, _, _ = select.select([self.master], [], [], max(0.0, end - time.monotonic()))
            try:
                data = os.read(self.master, 65536) if ready else b""
            except OSError:  # the command has ended
                data = b""
            assert data, f"{text!r} did not come after {self.seen[-2000:].decode(errors='replace')}"
            self.seen += data
            self.all += data
        shown, _, self.seen = self.seen.partition(text)
        return shown

    def asked(self) -> str:
        """Return what was shown before the next question, with the question, without colours."""
        return plain(self.read_until(QUESTION))

    def type(self, line: bytes) -> None:
        """Type a line."""
        os.write(self.master, line + b"\n")

    def result(self) -> str:
        """Return standard output once the command has ended; what is shown meanwhile is kept in ``all``."""
        try:
            while data := os.read(self.master, 65536):
                self.all += data
        except OSError:
            pass  # the command has closed its terminal
        text = "" if self._output is None else self._output.read().decode()
        self.process.wait()
        return text

    def close(self) -> None:
        """End the command and close everything."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        if self._output is not None:
            self._output.close()
        os.close(self.master)


def plain(shown: bytes) -> str:
    """Return *shown* without colours, as text with line feeds."""
    for style in (b"0", b"1", b"31", b"32", b"36"):
        shown = shown.replace(b"\x1b[" + style + b"m", b"")
    return shown.decode().replace("\r\n", "\n")


def calling(*calls: tuple[str, dict[str, object]], last: str = "Done.") -> Callable[[Asked], Reply]:
    """Return a script that makes *calls*, each in a turn of its own, and then says *last*."""

    def script(asked: Asked) -> Reply:
        done = sum(isinstance(part, ToolResult) for message in asked.messages for part in message.parts)
        if done >= len(calls):
            return Reply((Text(last),))
        name, arguments = calls[done]
        return Reply((ToolCall("", name, json.dumps(arguments)),))

    return script


def writing(path: str, content: str) -> tuple[str, dict[str, object]]:
    """Return the call that writes a file."""
    return "write_file", {"path": path, "content": content}


def running(command: str) -> tuple[str, dict[str, object]]:
    """Return the call that runs a command."""
    return "run_command", {"command": command, "timeout_seconds": None}


def run_line(workspace: Path, *options: str) -> list[str]:
    """Return a command line that asks before each write and command."""
    return ["run", "Do it", "-w", str(workspace), "--model", "haiku", "--approve", "--json", *options]
