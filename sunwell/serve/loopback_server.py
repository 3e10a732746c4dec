"""A small HTTP server on loopback that is only read from: strict, and bounded in all that a client can do.

It takes no body, keeps no connection and follows no path into a file system, so a request is its head alone.
No library is used for that: those at hand wait for a slow head without end.
"""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Self

import attrs

log = logging.getLogger("sunwell.serve")

HOST = "127.0.0.1"
TEXT, HTML, JSON = "text/plain; charset=utf-8", "text/html; charset=utf-8", "application/json"

_REQUEST = re.compile(rb"([A-Z]{1,16}) (/[!-~]*) HTTP/1\.[01]\Z")
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*?)[ \t]*\Z")
_HEAD_END = b"\r\n\r\n"
_ONCE = ("host", "origin", "content-length", "transfer-encoding", "sec-fetch-site", "sec-fetch-mode")
_SAFE_HEADERS = (
    ("Cache-Control", "no-store"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Connection", "close"),
)
_NOTHING_ELSE = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_REASONS = {
    200: "OK",
    303: "See Other",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}
_PIECE_BYTES = 64 << 10


@attrs.frozen
class PageRequest:
    """The head of a request, which is all of it."""

    method: str
    path: str
    """As it was sent: nothing in it is decoded."""
    query: str
    """What follows the question mark; empty if there is none."""
    headers: Mapping[str, str]
    """By name in small letters."""


@attrs.frozen
class PageResponse:
    """What is answered. A response to ``HEAD`` is sent without its body."""

    status: int
    body: bytes = b""
    kind: str = TEXT
    headers: tuple[tuple[str, str], ...] = ()
    policy: str = _NOTHING_ELSE
    """Content security policy."""


def refusal(status: int, *headers: tuple[str, str]) -> PageResponse:
    """Return a response that says no more than what its *status* does."""
    return PageResponse(status, f"{_REASONS[status]}\n".encode(), headers=headers)


@attrs.frozen
class ServerLimits:
    """What clients may take."""

    head_bytes: int = 32 << 10
    """A browser sends the cookies of all servers of this machine, so a head can be long."""
    head_seconds: float = 5.0
    """How long a whole head may take to arrive."""
    piece_seconds: float = 20.0
    """How long a client may take for each 64 KiB of a response."""
    heads: int = 64
    """Connections whose request has not arrived. One more ends the oldest of them."""
    requests: int = 32
    """Requests whose response is being made or sent. Further ones get a 503."""


class _BadHead(Exception):
    def __init__(self, status: int) -> None:
        self.status = status


@attrs.define(eq=False)
class LoopbackServer:
    """Listens on 127.0.0.1, at any free port, while its context is open, and has *answer* answer.

    *answer* gets ``GET`` and ``HEAD`` and any other method; it decides what is refused. What it raises is
    logged, and the client gets a 500.
    """

    answer: Callable[[PageRequest], Awaitable[PageResponse]]
    limits: ServerLimits = ServerLimits()
    port: int = attrs.field(default=0, init=False)
    _server: asyncio.Server | None = attrs.field(default=None, init=False)
    _heads: dict[asyncio.StreamWriter, None] = attrs.field(factory=dict, init=False)
    """Connections whose request has not arrived, the oldest first."""
    _answering: int = attrs.field(default=0, init=False)
    _tasks: set["asyncio.Task[None]"] = attrs.field(factory=set, init=False)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(
            self._connected, HOST, 0, limit=self.limits.head_bytes, backlog=256
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Who sends nothing must not keep others out, however many connections they open.
        if len(self._heads) >= self.limits.heads:
            oldest = next(iter(self._heads))
            del self._heads[oldest]
            oldest.transport.abort()
        self._heads[writer] = None
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            try:
                request = await self._request(reader)
            except _BadHead as bad:
                await self._send(writer, "GET", refusal(bad.status))
                return
            finally:
                self._heads.pop(writer, None)
            await self._respond(writer, request)
        except (OSError, EOFError, TimeoutError):  # the client is gone, or takes nothing
            pass
        finally:
            if writer.transport.get_write_buffer_size():  # to close it would wait for the client
                writer.transport.abort()
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _request(self, reader: asyncio.StreamReader) -> PageRequest:
        try:
            async with asyncio.timeout(self.limits.head_seconds):
                head = await reader.readuntil(_HEAD_END)
        except asyncio.LimitOverrunError:
            raise _BadHead(431) from None
        except TimeoutError:
            raise _BadHead(408) from None
        return _parsed(head.removesuffix(_HEAD_END))

    async def _respond(self, writer: asyncio.StreamWriter, request: PageRequest) -> None:
        if self._answering >= self.limits.requests:
            await self._send(writer, request.method, refusal(503, ("Retry-After", "5")))
            return
        self._answering += 1
        try:
            try:
                response = await self.answer(request)
            except Exception:
                log.exception("a page could not be served")
                response = refusal(500)
            await self._send(writer, request.method, response)
        finally:
            self._answering -= 1

    async def _send(self, writer: asyncio.StreamWriter, method: str, response: PageResponse) -> None:
        own = (
            ("Content-Type", response.kind),
            ("Content-Length", str(len(response.body))),
            ("Content-Security-Policy", response.policy),
        )
        lines = [f"{name}: {value}\r\n" for name, value in (*own, *response.headers, *_SAFE_HEADERS)]
        start = f"HTTP/1.1 {response.status} {_REASONS[response.status]}\r\n"
        writer.write(f"{start}{''.join(lines)}\r\n".encode("ascii"))
        body = memoryview(b"" if method == "HEAD" else response.body)
        writer.transport.set_write_buffer_limits(
            high=0
        )  # a piece is waited for until the client has taken it
        for at in range(0, len(body) or 1, _PIECE_BYTES):
            writer.write(body[at : at + _PIECE_BYTES])
            async with asyncio.timeout(self.limits.piece_seconds):
                await writer.drain()


def _parsed(head: bytes) -> PageRequest:
    """Return what *head* says. What is unclear is refused: two programs may read it in two ways."""
    first, *lines = head.split(b"\r\n")
    start = _REQUEST.match(first)
    if start is None:
        raise _BadHead(400)
    headers: dict[str, str] = {}
    for line in lines:
        found = _HEADER.match(line)
        if found is None:
            raise _BadHead(400)
        name = found[1].decode("ascii").lower()
        if name in headers and name in _ONCE:
            raise _BadHead(400)
        headers[name] = found[2].decode("latin-1")
    if headers.get("content-length", "0") != "0" or "transfer-encoding" in headers:
        raise _BadHead(400)
    path, _, query = start[2].decode("ascii").partition("?")
    return PageRequest(start[1].decode("ascii"), path, query, headers)
