"""The server over HTTP on loopback: who may speak to it, how much, and for how long.

What is refused is refused before its body is read, and costs nothing. A head is bounded in its length, in
time, and by the number of connections.
"""

import asyncio
import hmac
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import anyio
import attrs
import h11
import uvicorn
from mcp.server.transport_security import TransportSecuritySettings
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from sunwell.serve.loopback_server import HOST
from sunwell.serve.mcp_server.delegation_server import DelegationServer

PATH = "/mcp"
_MOST_CONNECTIONS = 256
_MOST_HEAD_BYTES = 32 << 10


@attrs.frozen
class DoorLimits:
    """What a client may take."""

    head_seconds: float = 10.0
    """How long a head may take to arrive, from the beginning of its connection or of the wait for it."""
    body_bytes: int = 1 << 20
    body_seconds: float = 10.0
    """How long a whole body may take to arrive."""


@attrs.frozen
class _Refusal(Exception):
    status: int
    sentence: str
    header: tuple[bytes, bytes] | None = None


@attrs.define(eq=False)
class TokenGuard:
    """Lets requests through to *app* that name this server, come from no other site, and have the token."""

    app: ASGIApp
    token: str = attrs.field(repr=False)
    port: int
    limits: DoorLimits = DoorLimits()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        try:
            self._require(scope)
            inner = await self._with_body(scope, receive)
        except _Refusal as refusal:
            await _refuse(send, refusal)
            return
        await self.app(scope, inner, send)

    def _require(self, scope: Scope) -> None:
        headers: dict[bytes, list[bytes]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.lower(), []).append(value)
        hosts = headers.get(b"host", [])
        known = [f"{name}:{self.port}".encode() for name in (HOST, "localhost")]
        if len(hosts) != 1 or hosts[0].lower() not in known:
            raise _Refusal(403, "the Host is not the address of this server: nothing was done")
        origins = headers.get(b"origin", [])
        if any(origin.lower() != b"http://" + hosts[0].lower() for origin in origins):
            raise _Refusal(403, "the request comes from another site: nothing was done")
        given = headers.get(b"authorization", [])
        wanted = f"Bearer {self.token}".encode()
        if len(given) != 1 or not hmac.compare_digest(given[0], wanted):
            sentence = "the token is missing or wrong (Authorization: Bearer TOKEN): nothing was done"
            raise _Refusal(401, sentence, (b"www-authenticate", b"Bearer"))
        lengths = headers.get(b"content-length", [])
        if any(not length.isdigit() or int(length) > self.limits.body_bytes for length in lengths):
            raise self._too_long()

    def _too_long(self) -> _Refusal:
        return _Refusal(413, f"the body is longer than {self.limits.body_bytes:,} bytes: nothing was done")

    async def _with_body(self, scope: Scope, receive: Receive) -> Receive:
        """Read the whole body in time, and return what gives it to the application."""
        if scope["method"] in ("GET", "HEAD", "DELETE", "OPTIONS"):
            return receive
        body = bytearray()
        try:
            async with asyncio.timeout(self.limits.body_seconds):
                while True:
                    message = await receive()
                    if message["type"] != "http.request":
                        raise _Refusal(400, "the body ended too early: nothing was done")
                    body += message.get("body", b"")
                    if len(body) > self.limits.body_bytes:
                        raise self._too_long()
                    if not message.get("more_body", False):
                        break
        except TimeoutError:
            seconds = f"{self.limits.body_seconds:g}"
            raise _Refusal(408, f"the body took longer than {seconds} seconds: nothing was done") from None
        waiting: list[Message] = [{"type": "http.request", "body": bytes(body), "more_body": False}]

        async def replayed() -> Message:
            return waiting.pop() if waiting else await receive()

        return replayed


async def _refuse(send: Send, refusal: _Refusal) -> None:
    body = json.dumps({"error": refusal.sentence}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
        *([refusal.header] if refusal.header else []),
    ]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class PromptHeads(H11Protocol):
    """A connection that is closed if a head takes longer to arrive than *head_seconds*."""

    def __init__(self, *given: Any, head_seconds: float, **more: Any) -> None:
        super().__init__(*given, **more)
        self._head_seconds = head_seconds
        self._end: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first head."""
        super().connection_made(transport)
        self._watch()

    def handle_events(self) -> None:
        """Take what has arrived, and wait for the rest of a head, or no longer."""
        super().handle_events()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing more."""
        super().connection_lost(exc)
        self._watch()

    def _watch(self) -> None:
        is_waiting = self.conn.their_state is h11.IDLE and not self.transport.is_closing()
        if is_waiting and self._end is None:
            self._end = asyncio.get_running_loop().call_later(self._head_seconds, self.transport.close)
        elif not is_waiting and self._end is not None:
            self._end.cancel()
            self._end = None


class LoopbackHttp(uvicorn.Server):
    """The HTTP server, which leaves signals to whoever runs it."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Change nothing."""
        yield


@attrs.define(eq=False)
class HttpDoor:
    """Serves *server* on 127.0.0.1 under ``/mcp`` for clients that have *token*."""

    server: DelegationServer
    token: str = attrs.field(repr=False)
    limits: DoorLimits = DoorLimits()
    _socket: socket.socket = attrs.field(factory=socket.socket, init=False)

    def open(self, port: int = 0) -> str:
        """Take *port*, or any free one if it is 0, and return the address. Raises :exc:`OSError`."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind((HOST, port))
        self._socket.listen(_MOST_CONNECTIONS)  # who is told the address may connect at once
        return f"http://{HOST}:{self.port}{PATH}"

    @property
    def port(self) -> int:
        """The port that was taken."""
        number: int = self._socket.getsockname()[1]
        return number

    async def serve(self) -> None:
        """Serve until this is cancelled; then connections are closed, and what they began ends, in order."""
        names = [f"{name}:{self.port}" for name in (HOST, "localhost")]
        app = self.server.streamable_http_app(
            streamable_http_path=PATH,
            max_request_body_size=self.limits.body_bytes,
            transport_security=TransportSecuritySettings(
                allowed_hosts=names, allowed_origins=[f"http://{name}" for name in names]
            ),
        )
        guard = TokenGuard(app, self.token, self.port, self.limits)
        heads: Any = partial(PromptHeads, head_seconds=self.limits.head_seconds)  # uvicorn only calls it
        config = uvicorn.Config(
            guard,
            log_config=None,
            log_level="critical",
            access_log=False,
            server_header=False,
            limit_concurrency=_MOST_CONNECTIONS,
            h11_max_incomplete_event_size=_MOST_HEAD_BYTES,
            http=heads,
            ws="none",
            timeout_graceful_shutdown=1,
        )
        server = LoopbackHttp(config)
        with self._socket:
            serving = asyncio.ensure_future(server.serve(sockets=[self._socket]))
            try:
                await asyncio.shield(serving)
            except asyncio.CancelledError:
                server.should_exit = True
                with anyio.CancelScope(shield=True):
                    await asyncio.wait((serving,))
                raise
