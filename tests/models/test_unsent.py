"""A request that was not sent is not billed, and not repeated if that cannot help."""

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import httpx2
import pytest

from sunwell.core.message import user
from sunwell.core.model import Request
from sunwell.errors import ConnectionFailed, is_unsent
from sunwell.models.anthropic_messages import AnthropicModel
from sunwell.models.connection import Connection, close_clients
from sunwell.models.failures import Failures
from sunwell.models.openai_chat import ChatModel

Handle = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
ASKED = Request(messages=[user("hello")])
WIRES = pytest.mark.parametrize("wire", ["messages", "chat"])


@asynccontextmanager
async def listening(handle: Handle, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Yield the port of a server on loopback."""
    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await close_clients()


async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.close()


async def want_a_login(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n")
    await writer.drain()
    writer.close()


async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        await reader.read()
    finally:
        writer.close()


def model(wire: str, url: str) -> AnthropicModel | ChatModel:
    """Return a model at *url*."""
    kind = AnthropicModel if wire == "messages" else ChatModel
    return kind("m", Connection("lab", url, "key-of-a-test", connect_seconds=5.0))


async def failure(wire: str, url: str, request: Request = ASKED, *, stream: bool = False) -> ConnectionFailed:
    """Return how a call to *url* fails."""

    async def call() -> None:
        if not stream:
            await model(wire, url).complete(request)
            return
        async for _ in model(wire, url).stream(request):
            pass

    with pytest.raises(ConnectionFailed) as caught:
        await call()
    return caught.value


@pytest.fixture(scope="module")
def own_certificate(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """Return TLS of a server with a certificate that nobody trusts."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is missing")
    folder: Path = tmp_path_factory.mktemp("tls")
    key, certificate = str(folder / "key.pem"), str(folder / "certificate.pem")
    made = ("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost")
    subprocess.run(["openssl", *made, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


@WIRES
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
async def test_a_certificate_that_is_not_trusted_ends_the_call(wire, stream, own_certificate):
    """It will not be trusted a second later."""
    async with listening(hang_up, own_certificate) as port:
        error = await failure(wire, f"https://127.0.0.1:{port}/v1", stream=stream)
    assert (error.may_be_billed, error.retry) == (False, False)
    assert "certificate" in error.detail


@WIRES
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_that_wants_a_login_ends_the_call(wire, scheme, monkeypatch):
    """Nothing went through it."""
    async with listening(want_a_login) as port:
        monkeypatch.setenv(f"{scheme.upper()}_PROXY", f"http://127.0.0.1:{port}")
        error = await failure(wire, f"{scheme}://api.example/v1")
    assert (error.may_be_billed, error.retry) == (False, False)
    assert "HTTPS_PROXY" in error.detail


@WIRES
async def test_a_proxy_that_hangs_up_has_passed_nothing_on(wire, monkeypatch):
    """Before the tunnel is open, the request is still here."""
    async with listening(hang_up) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        error = await failure(wire, "https://api.example/v1")
    assert (error.may_be_billed, error.retry) == (False, True)


@WIRES
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
async def test_a_time_limit_that_ends_while_connecting(wire, stream):
    """The server accepts the connection and never begins TLS."""
    async with listening(say_nothing) as port:
        request = Request(messages=[user("hello")], timeout_seconds=0.2)
        error = await failure(wire, f"https://127.0.0.1:{port}/v1", request, stream=stream)
    assert (error.may_be_billed, error.retry) == (False, True)
    assert "in time" in error.detail


@WIRES
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_call_that_is_stopped_while_connecting_was_not_sent(wire, scheme):
    """Over plain HTTP the same server has the request by then."""
    reached = asyncio.Event()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        reached.set()
        await say_nothing(reader, writer)

    async with listening(take) as port:
        call = asyncio.create_task(model(wire, f"{scheme}://127.0.0.1:{port}/v1").complete(ASKED))
        await reached.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await call
    assert is_unsent(caught.value) == (scheme == "https")


@WIRES
async def test_a_connection_that_breaks_after_the_request_may_be_billed(wire):
    """The model may have worked by then."""
    async with listening(hang_up) as port:
        error = await failure(wire, f"http://127.0.0.1:{port}/v1")
    assert (error.may_be_billed, error.retry) == (True, True)


async def test_a_transport_of_the_callers_own_counts_as_sent_at_once():
    """It does not tell when it sends, so a request that was stopped in it may be billed."""

    class Silent(httpx2.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            await asyncio.Event().wait()
            raise AssertionError("never")

    connection = Connection("lab", "http://127.0.0.1:9/v1", "key-of-a-test", transport=Silent)
    asked = ChatModel("m", connection).complete(Request(messages=[user("hello")], timeout_seconds=0.05))
    with pytest.raises(ConnectionFailed) as caught:
        await asked
    await close_clients()
    assert caught.value.may_be_billed


def test_a_body_for_a_connection_that_had_closed_was_not_sent():
    """The server closed an idle connection at the moment it was to be used again."""
    cause = aiohttp.ClientConnectionResetError("Cannot write to closing transport")
    error = httpx2.ConnectError("broken")
    error.__cause__ = aiohttp.ClientOSError(None, "Can not write request body for http://127.0.0.1:9/v1")
    error.__cause__.__cause__ = cause
    told = Failures("m", Connection("lab", "http://127.0.0.1:9/v1"), "openai").from_exception(error)
    assert told is not None
    assert (told.may_be_billed, told.retry) == (False, True)
