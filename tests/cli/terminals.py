"""A real terminal with a command in it, and models that call tools one after another."""

import json
import os
import pty
import select
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from sunwell.core.message import Text, ToolCall, ToolResult
from sunwell.simulator import Asked, Reply
from tests.cli.beginner import beginner

QUESTION = b"(y, n, all, details, ?) "
_PATIENCE_SECONDS = 60.0


class Terminal:
    """A terminal with a command in it; standard output is read apart, at the end, unless *one_stream*."""

    def __init__(
        self, arguments: list[str], env: dict[str, str], *, columns: int = 100, one_stream: bool = False
    ) -> None:
        self.master, slave = pty.openpty()
        self.seen = b""
        self.all = b""
        """Every byte that came so far."""
        env = {**os.environ, **env, "TERM": "xterm", "COLUMNS": str(columns)}
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
