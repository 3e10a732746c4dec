"""A provider on loopback that follows a script to the byte, for what real ones do when they fail."""

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator
from typing import Any

import attrs
import pytest

STALL = "stall"
"""Say nothing more until the client goes away."""
PAUSE = "pause"
"""Let the client work on what it has before more comes."""
RESET = "reset"
"""Break the connection at once."""
KEEP = "keep"
"""Wait for the next request on the same connection."""

Step = bytes | str


@attrs.define(eq=False)
class ScriptedServer:
    """Answers the n-th request with the n-th script, and remembers what it was sent."""

    scripts: list[list[Step]] = attrs.field(factory=list)
    requests: list[tuple[str, bytes]] = attrs.field(factory=list)
    connections: int = 0
    _arrived: asyncio.Condition = attrs.field(factory=asyncio.Condition)
    gone: asyncio.Event = attrs.field(factory=asyncio.Event)
    """Set when a client has gone away while the server stalled."""
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def until_asked(self, number: int) -> None:
        """Wait until *number* requests have come in whole."""
        async with self._arrived:
            await self._arrived.wait_for(lambda: len(self.requests) >= number)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while await self._answer(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next(line for line in head.lower().split("\r\n") if line.startswith("content-length:"))
        self.requests.append((head, await reader.readexactly(int(length.partition(":")[2]))))
        async with self._arrived:
            self._arrived.notify_all()
        for step in self.scripts.pop(0):
            if isinstance(step, bytes):
                writer.write(step)
                await writer.drain()
            elif step == KEEP:
                return True
            elif step == PAUSE:
                for _ in range(50):
                    await asyncio.sleep(0)
            elif step == STALL:
                await reader.read()
                self.gone.set()
            elif step == RESET:
                linger = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        return False

    @staticmethod
    def head(kind: str = "text/event-stream", status: str = "200 OK", **headers: Any) -> bytes:
        """The head of an answer that comes in chunks, unless a length is given."""
        named = {"content-type": kind, **{name.replace("_", "-"): value for name, value in headers.items()}}
        if "content-length" not in named:
            named["transfer-encoding"] = "chunked"
        lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in named.items())]
        return "\r\n".join([*lines, "", ""]).encode()

    @staticmethod
    def chunk(data: bytes) -> bytes:
        """One chunk of an answer; no data is the last."""
        return b"%x\r\n%s\r\n" % (len(data), data)

    @classmethod
    def whole(cls, value: Any, status: str = "200 OK", **headers: Any) -> bytes:
        """A whole answer in JSON."""
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        return cls.head("application/json", status, content_length=len(data), **headers) + data

    @staticmethod
    def events(*values: Any) -> bytes:
        """Events as every wire format here writes them."""
        lines = []
        for value in values:
            if isinstance(value, str):
                lines.append(f"data: {value}\n\n")
            else:
                named = f"event: {value['type']}\n" if "type" in value else ""
                lines.append(f"{named}data: {json.dumps(value)}\n\n")
        return "".join(lines).encode()

    @classmethod
    def streamed(cls, *values: Any, end: bool = True) -> list[Step]:
        """The script of a stream of events, one in each chunk."""
        chunks = [cls.chunk(cls.events(value)) for value in values]
        return [cls.head(), *chunks, *([cls.chunk(b"")] if end else [])]


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    """A scripted server that listens on loopback."""
    scripted = ScriptedServer()
    listening = await asyncio.start_server(scripted.serve, "127.0.0.1", 0, backlog=1024)
    scripted.port = listening.sockets[0].getsockname()[1]
    yield scripted
    listening.close()
