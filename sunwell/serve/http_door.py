"""A server over HTTP on loopback: who may speak to it, how much, and for how long.

What is refused is refused before its body is read, and costs nothing. A head is bounded in its length, in
time, and by the number of connections.
"""

import asyncio
import hmac
import json
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import anyio
import attrs
import h11
import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from sunwell.serve.loopback_server import HOST

KEY = "sunwell.key"
"""Under this name the scope of a request has what belongs to its token."""
_MOST_CONNECTIONS = 256
_MOST_HEAD_BYTES = 32 << 10
_MOST_SKIPPED_BYTES = 16 << 20


ErrorForm = Callable[[int, str], Any]
"""Makes the JSON value of a refusal from its HTTP status and a sentence."""


def _plain(_: int, sentence: str) -> Any:
    return {"error": sentence}


def _nothing() -> None:
    """Do nothing."""


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
    """Lets requests through to *app* that name this server, come from no other site, and have a token."""

    app: ASGIApp
    tokens: Mapping[str, Any] = attrs.field(repr=False)
    """What belongs to each token; the scope of a request has it under :data:`KEY`."""
    port: int
    limits: DoorLimits = DoorLimits()
    error: ErrorForm = _plain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        try:
            scope[KEY] = self._key_of(scope)
            inner = await self._with_body(scope, receive)
        except _Refusal as refusal:
            if refusal.status == 413 and not any(name == b"expect" for name, _ in scope["headers"]):
                await self._skip_body(receive)
            await _refuse(send, refusal, self.error(refusal.status, refusal.sentence))
            return
        await self.app(scope, inner, send)

    def _key_of(self, scope: Scope) -> Any:
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
        key = self._key_named(headers)
        lengths = headers.get(b"content-length", [])
        if lengths and b"transfer-encoding" in headers:
            raise _Refusal(400, "the body has two lengths: nothing was done")
        if any(not length.isdigit() or int(length) > self.limits.body_bytes for length in lengths):
            raise self._too_long()
        return key

    def _key_named(self, headers: Mapping[bytes, list[bytes]]) -> Any:
        """Return what belongs to the token in *headers*, which Anthropic's clients put elsewhere."""
        bearers = headers.get(b"authorization", [])
        parts = [each.partition(b" ") for each in bearers]
        given = [token.strip() for scheme, _, token in parts if scheme.lower() == b"bearer"]
        given += headers.get(b"x-api-key", [])
        known = [token for token in self.tokens if all(_is_same(each, token) for each in given)]
        if not given or len(bearers) > 1 or len(known) != 1:
            sentence = "the token is missing or wrong (Authorization: Bearer TOKEN): nothing was done"
            raise _Refusal(401, sentence, (b"www-authenticate", b"Bearer"))
        return self.tokens[known[0]]

    def _too_long(self) -> _Refusal:
        return _Refusal(413, f"the body is longer than {self.limits.body_bytes:,} bytes: nothing was done")

    async def _skip_body(self, receive: Receive) -> None:
        """Take what is left of a body, as far as it comes in time, and keep nothing of it.

        A client that is still sending when its connection is closed does not read why.
        """
        left = _MOST_SKIPPED_BYTES
        with suppress(TimeoutError):
            async with asyncio.timeout(self.limits.body_seconds):
                while left > 0:
                    message = await receive()
                    left -= len(message.get("body", b""))
                    if not message.get("more_body", False):
                        return

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


def _is_same(given: bytes, token: str) -> bool:
    return hmac.compare_digest(given, token.encode())


async def _refuse(send: Send, refusal: _Refusal, value: Any) -> None:
    body = json.dumps(value).encode()
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
    """Serves an application on 127.0.0.1 for clients that have a token."""

    app: Callable[[list[str]], ASGIApp]
    """Makes the application for the names under which it is served, such as ``127.0.0.1:4711``."""
    tokens: Mapping[str, Any] = attrs.field(repr=False)
    """What belongs to each token."""
    limits: DoorLimits = DoorLimits()
    error: ErrorForm = _plain
    closing: Callable[[], object] = _nothing
    """Called as soon as the server has to end, while answers can still be sent: for about a second."""
    _socket: socket.socket = attrs.field(factory=socket.socket, init=False)

    def open(self, port: int = 0) -> str:
        """Take *port*, or any free one if it is 0, and return the address. Raises :exc:`OSError`."""
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind((HOST, port))
            self._socket.listen(_MOST_CONNECTIONS)  # who is told the address may connect at once
        except OSError:
            self._socket.close()
            raise
        return f"http://{HOST}:{self.port}"

    @property
    def port(self) -> int:
        """The port that was taken."""
        number: int = self._socket.getsockname()[1]
        return number

    async def serve(self) -> None:
        """Serve until this is cancelled; then connections are closed, and what they began ends, in order."""
        app = self.app([f"{name}:{self.port}" for name in (HOST, "localhost")])
        heads: Any = partial(PromptHeads, head_seconds=self.limits.head_seconds)  # uvicorn only calls it
        config = uvicorn.Config(
            TokenGuard(app, self.tokens, self.port, self.limits, self.error),
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
            except asyncio.CancelledError:  # a listener that is only dropped would stay in the event loop
                self.closing()
                server.should_exit = True
                with anyio.CancelScope(shield=True):
                    await asyncio.wait((serving,))
                raise
