"""Runs a program as a process group that ends when we say so."""

import asyncio
import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import attrs

_SLACK_BYTES = 65_536
"""What is kept beyond what will be shown, so that a secret is never cut in two before it is replaced."""
_DRAIN_SECONDS = 1.0


@attrs.frozen
class Ended:
    """How a process came to its end, and what it printed."""

    exit_code: int | None
    """``None`` where its time was over; negative where a signal ended it."""
    output: bytes
    """Head and tail of standard output and standard error, as they came."""
    cut_bytes: int = 0
    """Bytes that are missing between :attr:`head_bytes` and the rest."""
    head_bytes: int = 0


@attrs.define(eq=False)
class _Spool(asyncio.Protocol):
    """Keeps the head and the tail of what comes."""

    most_bytes: int
    ended: "asyncio.Future[None]"
    _head: bytearray = attrs.field(factory=bytearray, init=False)
    _tail: bytearray = attrs.field(factory=bytearray, init=False)
    _cut: int = attrs.field(default=0, init=False)

    def data_received(self, data: bytes) -> None:
        room = self.most_bytes - len(self._head)
        self._head += data[:room]
        self._tail += data[room:] if room > 0 else data
        extra = len(self._tail) - self.most_bytes
        if extra > self.most_bytes:
            del self._tail[:extra]
            self._cut += extra

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(None)

    def printed(self, exit_code: int | None) -> Ended:
        return Ended(exit_code, bytes(self._head + self._tail), self._cut, len(self._head))


async def run_group(
    command: tuple[str, ...], folder: Path, environ: Mapping[str, str], seconds: float, output_bytes: int
) -> Ended:
    """Run *command* and return how it ended; the whole process group is dead when this returns.

    That holds when the time is over, when the caller is cancelled, and for what the command left
    in the background. Standard input is empty. About *output_bytes* are kept of head and tail each.
    """
    loop = asyncio.get_running_loop()
    reading, writing = os.pipe()
    spool = _Spool(output_bytes + _SLACK_BYTES, loop.create_future())
    # A pipe of our own: asyncio's would tie the end of the process to the end of all who hold it.
    transport, _ = await loop.connect_read_pipe(lambda: spool, os.fdopen(reading, "rb", 0))
    try:
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                cwd=folder,
                env=dict(environ),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=writing,
                stderr=writing,
                start_new_session=True,
            )
        finally:
            os.close(writing)
        code = await _wait(process, seconds)
        with suppress(TimeoutError):  # a process that left the group may hold the pipe for ever
            async with asyncio.timeout(_DRAIN_SECONDS):
                await spool.ended
        return spool.printed(code)
    finally:
        transport.close()


async def _wait(process: asyncio.subprocess.Process, seconds: float) -> int | None:
    try:
        async with asyncio.timeout(seconds):
            return await process.wait()
    except TimeoutError:
        return None
    finally:
        with suppress(ProcessLookupError, PermissionError):  # macOS says the latter of a dead group
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
