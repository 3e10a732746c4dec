"""Requests on the connections of aiohttp: what goes over them, and what becomes of the connection."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace

import aiohttp
import attrs
import pytest

from sunwell.models.connection import Connection, Sender, close_clients, sender_for
from sunwell.models.direct_post import DirectHead

OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"


@attrs.define(eq=False)
class Server:
    """Answers each request with the next of its answers, and keeps what was sent on which connection."""

    answers: list[bytes]
    heads: list[bytes] = attrs.field(factory=list)
    bodies: list[bytes] = attrs.field(factory=list)
    peers: list[object] = attrs.field(factory=list)
    hang_up_after: int | None = None
    asked: asyncio.Event = attrs.field(factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                size = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                self.heads.append(head)
                self.bodies.append(await reader.readexactly(size))
                self.peers.append(writer.get_extra_info("peername"))
                self.asked.set()
                answer = self.answers.pop(0)
                for piece in answer.split(b"|"):
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0)
                if self.hang_up_after == len(self.bodies):
                    return
        except (asyncio.IncompleteReadError, ConnectionError, IndexError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving(*answers: bytes, hang_up_after: int | None = None) -> AsyncIterator[tuple[Server, Sender]]:
    """Give a server with these answers, and a sender of requests to it."""
    server = Server(list(answers), hang_up_after=hang_up_after)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, limit=1 << 24)
    port = listening.sockets[0].getsockname()[1]
    try:
        yield (
            server,
            await sender_for("openai", Connection("lab", f"http://127.0.0.1:{port}/v1?a=b", "key-1")),
        )
    finally:
        listening.close()
        await close_clients()


async def answer_to(sender: Sender, body: bytes = b"{}") -> tuple[int, dict[str, str], bytes]:
    """Return status, headers and body of the answer to *body*."""
    flight = SimpleNamespace(is_sent=False)
    answer = await sender.post("/chat/completions", body, flight)
    try:
        data = b"".join([piece async for piece in answer.pieces])
    finally:
        await answer.aclose()
    assert flight.is_sent
    return answer.status_code, dict(answer.headers), data


async def test_calls_share_a_connection_and_each_body_arrives_whole() -> None:
    """Also a large one, and one that comes after an answer in pieces."""
    pieces = b"HTTP/1.1 200 OK\r\ntransfer-|encoding: chunked\r\n\r\n3\r\n|abc\r\n0\r\n|\r\n"
    bodies = [b'{"a":1}', b"x" * 300_000, b"y" * 80 * 1024, b""]
    async with serving(pieces, OK, OK, OK) as (server, sender):
        got = [await answer_to(sender, body) for body in bodies]
    assert [data for _, _, data in got] == [b"abc", b"{}", b"{}", b"{}"]
    assert server.bodies == bodies
    assert len(set(server.peers)) == 1
    assert all(head.startswith(b"POST /v1/chat/completions?a=b HTTP/1.1\r\n") for head in server.heads)
    assert all(b"\r\nAuthorization: Bearer key-1\r\n".lower() in head.lower() for head in server.heads)


async def test_a_body_that_came_with_its_headers_is_there_at_once_and_its_connection_is_free() -> None:
    """Also none at all. One that is still to come, or is encoded, is read in pieces."""
    nothing = b"HTTP/1.1 204 No Content\r\n\r\n"
    packed = b"HTTP/1.1 200 OK\r\ncontent-encoding: identity\r\ncontent-length: 2\r\n\r\n{}"
    later = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{|}"
    async with serving(OK, nothing, packed, later, OK) as (server, sender):
        answers = [await sender.post("/chat/completions", b"{}") for _ in range(2)]
        assert [answer.data for answer in answers] == [b"{}", b""]
        assert [b"".join([piece async for piece in answer.pieces]) for answer in answers] == [b"{}", b""]
        read = [await sender.post("/chat/completions", b"{}")]
        assert (read[0].data, b"".join([piece async for piece in read[0].pieces])) == (None, b"{}")
        assert (await answer_to(sender))[2] == b"{}"
        assert (await answer_to(sender))[2] == b"{}"
    assert len(set(server.peers)) == 1


async def test_what_a_server_sends_before_its_answer_is_no_answer() -> None:
    """Headers that come twice are joined; cookies are neither kept nor sent."""
    early = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n|HTTP/1.1 200 OK\r\nset-cookie: a=b\r\n"
    early += b"x-a: 1\r\nX-A: 2\r\ncontent-length: 2\r\n\r\n{}"
    async with serving(early, OK) as (server, sender):
        status, headers, data = await answer_to(sender)
        await answer_to(sender)
    assert (status, headers["x-a"], data) == (200, "1, 2", b"{}")
    assert not any(b"cookie:" in head.lower() for head in server.heads)


async def test_a_connection_with_half_an_answer_on_it_is_not_used_again() -> None:
    """What is left of the answer would be taken for the next one."""
    long = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n" + b"z" * 10
    async with serving(long, OK) as (server, sender):
        answer = await sender.post("/chat/completions", b"{}")
        await answer.aclose()
        assert (await answer_to(sender))[2] == b"{}"
    assert len(set(server.peers)) == 2


@pytest.mark.parametrize("headers", ["connection: close\r\ncontent-length: 2\r\n", ""])
async def test_an_answer_may_end_with_its_connection(headers: str) -> None:
    """With or without a length: the next request gets a connection of its own."""
    ends = f"HTTP/1.1 200 OK\r\n{headers}\r\n{{}}".encode()
    async with serving(ends, OK, hang_up_after=1) as (server, sender):
        assert [(await answer_to(sender))[2] for _ in range(2)] == [b"{}", b"{}"]
    assert len(set(server.peers)) == 2


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (b"", aiohttp.ServerDisconnectedError),
        (b"no HTTP at all\r\n\r\n", aiohttp.ClientResponseError),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", aiohttp.ClientPayloadError),
    ],
)
async def test_a_broken_answer_raises_what_aiohttp_raises(said: bytes, error: type[Exception]) -> None:
    """The failures of a call are made of these."""
    async with serving(said, OK, hang_up_after=1) as (_, sender):
        with pytest.raises(error):
            await answer_to(sender)
        assert (await answer_to(sender))[0] == 200


async def test_a_call_that_is_cancelled_gives_its_connection_up() -> None:
    """Its answer may come later, and is nobody's."""
    async with serving(b"", OK) as (server, sender):
        task = asyncio.ensure_future(answer_to(sender))
        await server.asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await answer_to(sender))[2] == b"{}"
    assert len(set(server.peers)) == 2


@pytest.mark.parametrize("value", ["a\r\nx-evil: 1", "a\nb", "a\0b"])
async def test_a_header_with_a_line_break_is_refused(value: str) -> None:
    """It would be two headers, or a second request."""
    import multidict
    import yarl

    async with aiohttp.ClientSession() as session:
        url = yarl.URL("http://127.0.0.1:1/v1")
        with pytest.raises(ValueError, match="line break"):
            DirectHead.of(session, url, multidict.CIMultiDict({"x-team": value}), None)


async def test_headers_of_one_request_replace_others_and_stay_with_it() -> None:
    """As those that name the span of a trace; one with a line break is refused before anything is sent."""
    async with serving(OK, OK) as (server, sender):
        await answer_to(sender)
        direct = sender._heads["/chat/completions"].direct
        assert direct is not None
        answer = await direct.post(b"{}", None, {"Accept": "text/plain", "traceparent": "00-1"})
        await answer.aclose()
        with pytest.raises(ValueError, match="line break"):
            await direct.post(b"{}", None, {"traceparent": "a\r\nb: c"})
    first, second = (head.lower() for head in server.heads)
    assert (b"traceparent" in first, b"\r\ntraceparent: 00-1\r\n" in second) == (False, True)
    assert second.count(b"\r\naccept: ") == 1
    assert b"\r\naccept: text/plain\r\n" in second
