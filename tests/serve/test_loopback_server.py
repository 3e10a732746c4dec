"""The server on loopback over real sockets: what it takes, and what clients can take from it."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from sunwell.serve.loopback_server import LoopbackServer, PageRequest, PageResponse, ServerLimits

LIMITS = ServerLimits(head_seconds=30, piece_seconds=0.2, heads=4, requests=2)


async def echo(request: PageRequest) -> PageResponse:
    """Say what was asked."""
    return PageResponse(200, f"{request.method} {request.path} {request.query}".encode())


async def told(server: LoopbackServer, data: bytes) -> bytes:
    """Send *data* on a connection of its own, and return all that comes back until it is closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        writer.write(data)
        return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


def head(first: str, *lines: str) -> bytes:
    """Return the head of a request."""
    return "\r\n".join([first, *lines, "", ""]).encode("latin-1")


async def test_a_request_is_answered_and_the_connection_closed() -> None:
    """With the headers that every response has."""
    async with LoopbackServer(echo, LIMITS) as server:
        said = await told(server, head("GET /a/b?c=d HTTP/1.1", "Host: x"))
    start, _, body = said.partition(b"\r\n\r\n")
    assert start.startswith(b"HTTP/1.1 200 OK\r\n")
    assert body == b"GET /a/b c=d"
    for line in (
        "Cache-Control: no-store",
        "Connection: close",
        "Content-Length: 12",
        "Cross-Origin-Opener-Policy: same-origin",
        "Cross-Origin-Resource-Policy: same-origin",
        "Referrer-Policy: no-referrer",
        "X-Content-Type-Options: nosniff",
        "X-Frame-Options: DENY",
    ):
        assert line.encode() in start.split(b"\r\n")
    assert re.search(rb"Content-Security-Policy: default-src 'none'.*frame-ancestors 'none'", start)


async def test_a_response_to_head_has_no_body() -> None:
    """Only its size."""
    async with LoopbackServer(echo, LIMITS) as server:
        said = await told(server, head("HEAD /a HTTP/1.1"))
    assert b"Content-Length: 8\r\n" in said
    assert said.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(head("GET a HTTP/1.1"), id="no-path"),
        pytest.param(head("GET http://127.0.0.1/ HTTP/1.1"), id="a-proxys-form"),
        pytest.param(head("GET / HTTP/2.0"), id="version"),
        pytest.param(head("get / HTTP/1.1"), id="small-letters"),
        pytest.param(head("GET /\xe4 HTTP/1.1"), id="not-ascii"),
        pytest.param(head("GET / x HTTP/1.1"), id="a-blank-in-the-path"),
        pytest.param(head("GET / HTTP/1.1", "Host : x"), id="a-blank-before-the-colon"),
        pytest.param(head("GET / HTTP/1.1", "Host: x", " y"), id="a-folded-line"),
        pytest.param(head("GET / HTTP/1.1", "Host: x\ny: z"), id="a-bare-line-feed"),
        pytest.param(head("GET / HTTP/1.1", "Host: x\0"), id="a-zero"),
        pytest.param(head("GET / HTTP/1.1", "Host: x", "host: y"), id="two-hosts"),
        pytest.param(head("GET / HTTP/1.1", "Origin: x", "Origin: x"), id="two-origins"),
        pytest.param(head("POST / HTTP/1.1", "Content-Length: 5") + b"hello", id="a-body"),
        pytest.param(head("GET / HTTP/1.1", "Content-Length: 0", "Content-Length: 5"), id="two-lengths"),
        pytest.param(head("GET / HTTP/1.1", "Transfer-Encoding: chunked"), id="chunks"),
        pytest.param(b"\x16\x03\x01\x02\x00\r\n\r\n", id="tls"),
    ],
)
async def test_what_is_unclear_is_refused(data: bytes) -> None:
    """No request that two programs may read in two ways is answered."""
    async with LoopbackServer(echo, LIMITS) as server:
        said = await told(server, data)
    assert said.startswith(b"HTTP/1.1 400 ")


async def test_a_long_head_is_refused() -> None:
    """It is not read to its end."""
    async with LoopbackServer(echo, LIMITS) as server:
        said = await told(server, head("GET / HTTP/1.1", f"Cookie: {'x' * LIMITS.head_bytes}"))
        assert said[:12] in (b"HTTP/1.1 431", b"")  # a reset may overtake the response
        assert b"GET /" in await told(server, head("GET / HTTP/1.1", f"Cookie: {'x' * 20_000}"))


async def test_a_slow_head_is_given_up() -> None:
    """A client gets so many seconds for the whole of it, however it spreads them."""
    async with LoopbackServer(echo, ServerLimits(head_seconds=0.2)) as server:
        said = await told(server, b"GET / HTTP/1.1\r\nHost: ")
    assert said.startswith(b"HTTP/1.1 408 ")


async def test_clients_that_send_nothing_keep_nobody_out() -> None:
    """The oldest of too many has to go; who sends a request is answered meanwhile."""
    async with LoopbackServer(echo, LIMITS) as server:
        slow = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(50)]
        for _, writer in slow:
            writer.write(b"GET / HT")
        for _ in range(5):
            assert b"GET /a" in await told(server, head("GET /a HTTP/1.1"))
        ended = [reader for reader, _ in slow if reader.at_eof() or await ends(reader)]
        assert len(ended) >= 50 - LIMITS.heads
        for _, writer in slow:
            writer.close()


async def ends(reader: asyncio.StreamReader) -> bool:
    """Whether the connection behind *reader* is closed within a moment."""
    try:
        async with asyncio.timeout(0.05):
            return await reader.read() == b""
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False


MUCH = 16 << 20
"""More bytes than the system keeps for a client that takes none."""


async def much(_: PageRequest) -> PageResponse:
    """Answer with more than a client that takes nothing can be sent."""
    return PageResponse(200, b"x" * MUCH)


@asynccontextmanager
async def clients_that_take_nothing(
    server: LoopbackServer, count: int
) -> AsyncIterator[list[asyncio.StreamReader]]:
    """Give the streams of so many clients that have read the first line of their answer, and no more."""
    slow = [await asyncio.open_connection("127.0.0.1", server.port, limit=1024) for _ in range(count)]
    try:
        for reader, writer in slow:
            writer.write(head("GET / HTTP/1.1"))
            await reader.readline()
        yield [reader for reader, _ in slow]
    finally:
        for _, writer in slow:
            writer.close()


async def test_a_client_that_takes_nothing_has_a_place_of_few() -> None:
    """Until it is given up, others are told to come later."""
    limits = ServerLimits(head_seconds=30, piece_seconds=3_600, heads=4, requests=2)
    async with LoopbackServer(much, limits) as server, clients_that_take_nothing(server, 2):
        assert (await told(server, head("GET / HTTP/1.1"))).startswith(b"HTTP/1.1 503")


async def test_a_client_that_takes_nothing_is_given_up() -> None:
    """Its connection is ended after some time without progress, and its place is free for others."""
    async with LoopbackServer(much, LIMITS) as server, clients_that_take_nothing(server, 2) as slow:
        while len(await told(server, head("GET / HTTP/1.1"))) < MUCH:
            pass  # refused as long as both have their places, and served afterwards
        with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
            await slow[0].readexactly(MUCH)


async def test_too_many_requests_at_once_are_told_to_come_later() -> None:
    """Those that are being answered are not disturbed."""
    gate = asyncio.Event()

    async def wait(_: PageRequest) -> PageResponse:
        await gate.wait()
        return PageResponse(200, b"done")

    async with LoopbackServer(wait, ServerLimits(requests=2)) as server:
        asked = [asyncio.create_task(told(server, head("GET / HTTP/1.1"))) for _ in range(5)]
        refused, _ = await first(asked, 3)
        gate.set()
        answered = [await task for task in asked if task not in refused]
    assert {task.result()[:12] for task in refused} == {b"HTTP/1.1 503"}
    assert [said[-4:] for said in answered] == [b"done"] * 2


async def first(
    tasks: list["asyncio.Task[bytes]"], count: int
) -> tuple[set["asyncio.Task[bytes]"], set["asyncio.Task[bytes]"]]:
    """Return the tasks of which *count* are done, and the rest."""
    done: set[asyncio.Task[bytes]] = set()
    rest = set(tasks)
    while len(done) < count:
        more, rest = await asyncio.wait(rest, return_when=asyncio.FIRST_COMPLETED)
        done |= more
    return done, rest


async def test_a_bug_is_logged_and_told_to_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """The client learns that it was not its fault."""

    async def broken(_: PageRequest) -> PageResponse:
        raise ValueError("a secret")

    async with LoopbackServer(broken, LIMITS) as server:
        said = await told(server, head("GET / HTTP/1.1"))
    assert said.startswith(b"HTTP/1.1 500 ")
    assert b"secret" not in said
    assert "a secret" in caplog.text


async def test_the_end_waits_for_nobody() -> None:
    """Connections that are open are ended."""

    begun = asyncio.Event()

    async def never(_: PageRequest) -> PageResponse:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    async with LoopbackServer(never, LIMITS) as server:
        asked = asyncio.create_task(told(server, head("GET / HTTP/1.1")))
        idle = await asyncio.open_connection("127.0.0.1", server.port)
        await begun.wait()
    assert await asked == b""
    assert await idle[0].read() == b""
    idle[1].close()
