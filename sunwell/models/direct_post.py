"""A POST on the connections of an aiohttp session, without what its own way does anew for each request.

The session's connector is used as it is: its pool, its limits, TLS, names and time limits for connecting, and
its reader of answers. What is left out is the same for each request to one address, so it is done once:
reading the address, preparing headers, cookies, redirects, a task for the body and an object for the answer.
"""

import functools
import inspect
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Protocol, Self

import attrs

_LARGE_BODY_BYTES = 80 * 2**10
_READ_BYTES = 64 * 2**10
"""Most that is read from a connection at once. The 256 KB of asyncio are mapped and given back at each read,
which takes 9 µs more (Linux, glibc)."""
_READING: Mapping[str, Any] = {"skip_payload": False, "read_until_eof": True, "auto_decompress": False}
"""How an answer is read: as it came, and to the end of the connection if it does not say how long it is."""


class TellsSending(Protocol):
    """Is told that a request goes out."""

    is_sent: bool


@functools.cache
def is_possible() -> bool:
    """Whether the installed aiohttp has the parts that are used here: they are half private."""
    import aiohttp
    from aiohttp.client_proto import ResponseHandler
    from aiohttp.streams import StreamReader

    taken = inspect.signature(ResponseHandler.set_response_params).parameters
    asked = list(inspect.signature(aiohttp.BaseConnector.connect).parameters)
    has_buffer = "_buffer" in StreamReader.__slots__
    return set(_READING) <= set(taken) and asked == ["self", "req", "traces", "timeout"] and has_buffer


@functools.cache
def _request_class() -> Any:
    import aiohttp

    class _SameRequest(aiohttp.ClientRequest):
        @functools.cached_property
        def connection_key(self) -> Any:
            # All requests of a head go to one place: which connections fit is worked out once.
            return super().connection_key

    return _SameRequest


@attrs.define(eq=False)
class _TakenConnection:
    """A connection that is taken from the pool until the answer on it is read, or given up."""

    _connection: Any

    def give_back(self) -> None:
        """Give the connection back. The pool closes it if an answer on it is not read to its end."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.release()

    async def aclose(self) -> None:
        """Do the same, as the owner of an answer does it."""
        self.give_back()


@attrs.frozen
class HttpAnswer:
    """What a server answers, with any status."""

    status_code: int
    headers: Mapping[str, str]
    """Values by names in lower case."""
    pieces: AsyncIterator[bytes]
    """The body as it arrives, without its content encoding."""
    aclose: Callable[[], Awaitable[None]]
    """Gives the connection back if the body was read to its end, else closes it."""
    data: bytes | None = None
    """The whole body, if it came with the headers and has no content encoding. Nothing is left to close."""


def _answer_of(message: Any, content: Any, connection: Any) -> HttpAnswer:
    """Return the answer whose body is read from *content*, aiohttp's stream, on *connection*."""
    headers: dict[str, str] = {}
    for name, value in message.headers.items():
        key = name.lower()
        headers[key] = f"{headers[key]}, {value}" if key in headers else value
    is_encoded = "content-encoding" in headers
    if content.is_eof() and not is_encoded:  # as most often
        connection.release()
        # The stream's own methods would ask the connection for more, which by now may have another request.
        data = b"".join(getattr(content, "_buffer", ()))
        return HttpAnswer(message.code, headers, _once(data), _closed, data)
    taken = _TakenConnection(connection)
    content.on_eof(taken.give_back)
    pieces = content.iter_any()
    if is_encoded:
        pieces = _decoded(message.code, message.raw_headers, pieces)
    return HttpAnswer(message.code, headers, pieces, taken.aclose)


async def _closed() -> None:
    """Close what has nothing left to close."""


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def _decoded(status: int, headers: Any, pieces: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """Yield *pieces* without the content encoding that *headers* name."""
    import httpx2

    async for piece in httpx2.Response(status, headers=headers, content=pieces).aiter_bytes():
        yield piece


def _started(path: str, headers: Mapping[str, str]) -> bytes:
    """Return request line and headers, but for the length of the body.

    Raises :exc:`ValueError` for a header with a line break in it.
    """
    lines = [f"POST {path} HTTP/1.1"]
    for name, value in headers.items():
        if name.lower() not in ("content-length", "transfer-encoding"):
            lines.append(f"{name}: {value}")
    if any(sign in line for line in lines for sign in "\r\n\0"):
        raise ValueError("a header has a line break in it, which no request can carry")
    return "\r\n".join(lines).encode() + b"\r\nContent-Length: "


@attrs.frozen
class DirectHead:
    """What all requests to one address have in common, ready to be sent."""

    _connector: Any
    _asked: Any
    """aiohttp's request, by which its connector knows which connections fit."""
    _timeout: Any
    _start: bytes
    """Request line and headers, but for the length of the body."""

    @classmethod
    def of(cls, session: Any, url: Any, headers: Any, connect_seconds: float | None) -> Self:
        """Return the head of requests to *url* on the connections of *session*.

        Raises what aiohttp raises for an address or a header that it cannot send.
        """
        import aiohttp

        if url.scheme not in ("", "http", "https"):
            raise aiohttp.NonHttpUrlClientError(url)
        asked = _request_class()("POST", url, headers=headers, ssl=True)
        start = _started(asked.url.raw_path_qs, asked.headers)
        return cls(session.connector, asked, aiohttp.ClientTimeout(sock_connect=connect_seconds), start)

    async def post(
        self, body: bytes, flight: TellsSending | None, more: Mapping[str, str] | None = None
    ) -> HttpAnswer:
        """Send *body* and return the answer. *flight* is told once a connection is open.

        *more* are headers of this request alone; they replace those of the same name.
        Raises the same as aiohttp's own session.
        """
        connection, start = None, self._start if not more else self._start_with(more)
        try:
            connection = await self._connector.connect(self._asked, traces=[], timeout=self._timeout)
            transport = connection.transport
            if transport is None or transport.is_closing():  # lost in the moment in which it was opened
                raise ConnectionResetError("the connection was closed before anything was sent")
            if flight is not None:
                flight.is_sent = True
            protocol = connection.protocol
            protocol.set_response_params(**_READING)
            self._write(transport, start, body)
            message, content = await protocol.read()
            while 100 <= message.code <= 199 and message.code != 101:
                message, content = await protocol.read()
        except BaseException as error:
            is_open = connection is not None
            if connection is not None:
                connection.close()
            meant = self._meaning(error, is_open)
            if meant is error:
                raise
            raise meant from error
        return _answer_of(message, content, connection)

    def _start_with(self, more: Mapping[str, str]) -> bytes:
        headers = self._asked.headers.copy()
        headers.update(more)
        return _started(self._asked.url.raw_path_qs, headers)

    def _write(self, transport: Any, start: bytes, body: bytes) -> None:
        if getattr(transport, "max_size", 0) > _READ_BYTES:
            transport.max_size = _READ_BYTES
        head = b"%b%d\r\n\r\n" % (start, len(body))
        if len(body) < _LARGE_BODY_BYTES:
            transport.write(head + body)
        else:  # a copy of the body behind the headers takes more than a second write
            transport.write(head)
            transport.write(body)

    def _meaning(self, error: BaseException, is_open: bool) -> BaseException:
        """Return what aiohttp's own session raises for *error*."""
        import aiohttp
        from aiohttp.http_exceptions import HttpProcessingError

        if isinstance(error, TimeoutError) and not is_open:
            return aiohttp.ConnectionTimeoutError(f"Connection timeout to host {self._asked.url}")
        if isinstance(error, HttpProcessingError):
            return aiohttp.ClientResponseError(
                self._asked.request_info, (), status=error.code, message=error.message, headers=error.headers
            )
        if isinstance(error, OSError) and not isinstance(error, (aiohttp.ClientError, TimeoutError)):
            return aiohttp.ClientOSError(*error.args)
        return error
