"""One started server of the Model Context Protocol, on top of the package ``mcp``.

Only :mod:`~sunwell.tools.mcp_client` imports this module, on first use: the package is an extra.
"""

import asyncio
import logging
import os
import shutil
import signal
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import IO, Any, TypeVar

import anyio
import attrs
import httpx2
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.message import SessionMessage
from mcp_types import CONNECTION_CLOSED, Implementation, Tool, jsonrpc_message_adapter

import sunwell
from sunwell.core.secrets import Secrets
from sunwell.core.threads import in_thread
from sunwell.errors import ConfigurationError, ToolError
from sunwell.tools.command_keeper import end_below, kept
from sunwell.tools.environment import command_environment
from sunwell.tools.mcp_client import McpServer
from sunwell.tools.sandbox import require_sandbox
from sunwell.tools.system_calls import opened_filter
from sunwell.tools.unix_sockets import sockets_in
from sunwell.tools.wording import on_one_line, without_escapes

if logging.getLogger("mcp").level == logging.NOTSET:  # else warnings of the package go to standard error
    logging.getLogger("mcp").setLevel(logging.CRITICAL + 1)
_T = TypeVar("_T")
_PIECE_BYTES = 65_536
_TAIL_BYTES = 4_000
_LONGEST_WORDS = 500
_MOST_STRAY_LINES = 1_000
_LEAVE_SECONDS = 1.0
_END_SECONDS = 2.0
_CLOSE_SECONDS = 8.0


_NOT_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)


class AnswerBroken(ConnectionError):
    """The connection of a server over HTTP ended during one request; the server may have carried it out."""


@attrs.define(eq=False)
class McpSession:
    """A server from its start to its end. A task of its own holds it open, whoever uses it."""

    server: McpServer
    root: Path
    environ: Mapping[str, str]
    secrets: Secrets
    is_older: bool = False
    """Whether it is greeted as servers before 2026-07-28 are, without asking first what it understands."""
    _said: bytearray = attrs.field(factory=bytearray, init=False)
    _strays: list[str] = attrs.field(factory=list, init=False)
    _status: list[int] = attrs.field(factory=list, init=False)
    _task: "asyncio.Task[None] | None" = attrs.field(default=None, init=False)
    _client: Client | None = attrs.field(default=None, init=False)
    _failed: BaseException | None = attrs.field(default=None, init=False)
    _changed: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    """Set when it is open, and when it could not be opened."""
    _leaving: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    _over: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)

    @property
    def is_over(self) -> bool:
        """Whether the server has ended, or was ended."""
        return self._over.is_set()

    @property
    def protocol_version(self) -> str:
        return "" if self._client is None else self._client.protocol_version

    async def begin(self) -> None:
        """Start the server and agree with it on a version of the protocol.

        Raises :exc:`ConnectionError` if it ends before that, :exc:`~sunwell.errors.ToolError` if it cannot be
        started or asked.
        """
        self._task = asyncio.create_task(self._hold(), name=f"mcp-{self.server.name}")
        await self._changed.wait()
        if self._client is None:
            raise self._reason(self._failed)

    async def offered(self, most_pages: int, most_tools: int) -> list[Tool]:
        """Return the tools that it lists; pages and tools past the limits are left out."""
        assert self._client is not None
        if self._client.server_capabilities.tools is None:
            return []
        found: list[Tool] = []
        cursor: str | None = None
        for _ in range(most_pages):
            page = await self._asked(self._client.list_tools(cursor=cursor))
            found += page.tools
            cursor = page.next_cursor
            if not cursor or len(found) >= most_tools:
                break
        return found[:most_tools]

    async def call(self, tool: str, arguments: dict[str, Any]) -> Any:
        """Return the result of *tool*, as the package gives it."""
        assert self._client is not None
        return await self._asked(self._client.call_tool(tool, arguments))

    async def read(self, uri: str) -> Any:
        """Return the contents of the resource *uri*, as the package gives them."""
        assert self._client is not None
        return (await self._asked(self._client.read_resource(uri))).contents

    async def _asked(self, answer: Awaitable[_T]) -> _T:
        """Return *answer*. Raises :exc:`ConnectionError` if the server ended, else as an error sentence."""
        try:
            return await answer
        except Exception as error:  # the package passes on whatever a server makes of its messages
            reason = self._reason(error)
        if isinstance(reason, ConnectionError) and not isinstance(reason, AnswerBroken):
            with suppress(TimeoutError):  # why it ended is known once all of it has ended
                async with asyncio.timeout(_LEAVE_SECONDS):
                    await self._over.wait()
            if not self.is_over:  # the number of a closed connection is also one that servers use
                reason = ToolError(str(reason))
            elif self._failed is not None:
                reason = self._reason(self._failed)
        raise reason

    def _reason(self, error: BaseException | None) -> Exception:
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        if isinstance(error, ToolError | ConnectionError):
            return error
        if isinstance(error, ConfigurationError):
            return ToolError(error.sentence)
        if (self._status and self._status[-1] // 100 in (3, 5)) or self._status[-1:] in ([401], [403]):
            return ToolError(f"it answered with HTTP {self._status[-1]}{_advice(self._status[-1])}")
        if isinstance(error, httpx2.TransportError):
            if not isinstance(error, _NOT_SENT):
                return AnswerBroken(f"the answer broke off ({type(error).__name__})")
            return ToolError(f"it cannot be reached ({type(error).__name__})")
        if isinstance(error, MCPError) and error.code != CONNECTION_CLOSED:
            return ToolError(error.message)
        if error is None or self.is_over or isinstance(error, MCPError):
            return ConnectionError(error.message if isinstance(error, MCPError) else "the server ended")
        return ToolError(f"{type(error).__name__}: {error}")

    def last_words(self) -> str:
        """Return what it last printed beside the protocol, as the end of a sentence; empty for nothing."""
        plain = self._said.decode("utf-8", "replace") or "\n".join(self._strays[-3:])
        line = on_one_line(" ".join(self.secrets.redact(without_escapes(self.secrets.redact(plain))).split()))
        return f"; it printed: {line[-_LONGEST_WORDS:]}" if line else ""

    async def close(self) -> None:
        """End the server and wait until it and all that it started are gone; a cancellation waits, too."""
        self._leaving.set()
        task = self._task
        if task is not None and self._client is None:
            task.cancel()  # it waits for an answer to its greeting
        cancelled = False
        while task is not None and not task.done():
            try:
                done, _ = await asyncio.wait((task,), timeout=_CLOSE_SECONDS)
            except asyncio.CancelledError:
                cancelled = True
                continue
            if not done:
                task.cancel()
        if cancelled:
            raise asyncio.CancelledError

    async def _hold(self) -> None:
        try:
            async with AsyncExitStack() as stack:
                streams = await self._streams(stack)
                mode = "legacy" if self.is_older else "auto"
                info = Implementation(name="sunwell", version=sunwell.__version__)
                # No callbacks: a server that asks for sampling, elicitation or roots is refused.
                client = Client(streams, mode=mode, client_info=info, cache=None)
                opening = asyncio.create_task(self._over.wait())
                stack.callback(opening.cancel)
                self._client = await stack.enter_async_context(client)
                self._changed.set()
                leaving = asyncio.create_task(self._leaving.wait())
                stack.callback(leaving.cancel)
                await asyncio.wait((leaving, opening), return_when=asyncio.FIRST_COMPLETED)
        except Exception as error:
            self._failed = error
            if self._client is not None and not self._leaving.is_set():
                logging.getLogger("sunwell.tools").debug("mcp %s: %r", self.server.name, error)
        finally:
            self._over.set()
            self._changed.set()

    async def _streams(self, stack: AsyncExitStack) -> Any:
        if self.server.url:
            client = self._http_client()
            await stack.enter_async_context(client)
            size = self.server.most_bytes
            return streamable_http_client(self.server.url, http_client=client, max_sse_event_size=size)
        return self._piped()

    def _http_client(self) -> httpx2.AsyncClient:
        bounded = _BoundedTransport(
            httpx2.AsyncHTTPTransport(), httpx2.URL(self.server.url), self.server.most_bytes, self._status
        )
        return httpx2.AsyncClient(
            # What is packed may unpack to any size.
            headers={**self.server.header_values(self.environ), "Accept-Encoding": "identity"},
            transport=bounded,
            timeout=httpx2.Timeout(self.server.start_seconds, read=self.server.call_seconds + _END_SECONDS),
            trust_env=False,
            follow_redirects=False,
        )

    @asynccontextmanager
    async def _piped(self) -> AsyncIterator[Any]:
        """Start the program, and exchange messages with it, one on each line."""
        incoming, received = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        outgoing, to_send = anyio.create_memory_object_stream[SessionMessage](0)
        async with incoming, received, outgoing, to_send, AsyncExitStack() as stack:
            program = await _Program.started(self, stack)
            async with anyio.create_task_group() as group:
                group.start_soon(program.receive, incoming)
                group.start_soon(program.send, to_send)
                group.start_soon(program.listen)
                try:
                    yield received, outgoing
                finally:
                    with anyio.CancelScope(shield=True):
                        await program.end()
                    group.cancel_scope.cancel()


@attrs.define(eq=False)
class _Program:
    """The process of a server, in a group of its own, below a keeper or in the sandbox."""

    session: McpSession
    process: asyncio.subprocess.Process
    output: asyncio.StreamReader
    errors: asyncio.StreamReader

    @classmethod
    async def started(cls, session: McpSession, stack: AsyncExitStack) -> "_Program":
        """Start the program of *session*'s server. Raises :exc:`~sunwell.errors.ToolError`."""
        server, root = session.server, session.root
        environ = command_environment(session.environ, session.secrets)
        named = server.command[0]
        program = shutil.which(root / named if "/" in named else named, path=environ["PATH"])
        if program is None:
            raise ToolError(f"the program {server.command[0]} is not found on PATH")
        environ["PATH"] = os.pathsep.join((str(Path(program).parent), environ["PATH"]))
        environ |= {name: session.environ[name] for name in server.variables if name in session.environ}
        line, files = (program, *server.command[1:]), tuple[int, ...]()
        if server.sandbox == "off":
            line = kept(line)
        else:
            file = stack.enter_context(opened_filter())
            line, files = await in_thread(_confined, server, root, environ, line, file), (file,)
        output, writing = await _pipe(stack)
        errors, complaining = await _pipe(stack)
        try:
            process = await asyncio.create_subprocess_exec(
                *line,
                cwd=root,
                env=environ,
                stdin=asyncio.subprocess.PIPE,
                stdout=writing,
                stderr=complaining,
                start_new_session=True,
                pass_fds=files,
            )
        except (OSError, ValueError) as error:
            raise ToolError(f"the program {server.command[0]} cannot be started: {error}") from None
        finally:
            writing.close()
            complaining.close()
        return cls(session, process, output, errors)

    async def receive(self, incoming: Any) -> None:
        """Pass on each message; lines that are none are counted. The stream is closed at the end."""
        strays, most_bytes = 0, self.session.server.most_bytes
        held = bytearray()
        try:
            while piece := await self.output.read(_PIECE_BYTES):
                at = piece.rfind(b"\n")
                if at < 0:
                    held += piece
                    if len(held) > most_bytes:
                        self.session._strays.append(f"a message of more than {most_bytes:,} bytes")
                        return
                    continue
                lines = bytes(held + piece[:at]).split(b"\n")
                held = bytearray(piece[at + 1 :])
                for line in lines:
                    message = _message(line)
                    if message is not None:
                        await incoming.send(message)
                    elif line.strip():
                        strays += 1
                        self.session._strays[2:] = [line[:200].decode("utf-8", "replace")]
                    if strays > _MOST_STRAY_LINES:
                        return
        except (anyio.ClosedResourceError, anyio.BrokenResourceError):
            pass  # nobody reads any more
        finally:
            self.session._over.set()
            await incoming.aclose()

    async def send(self, to_send: Any) -> None:
        """Write each message to the program."""
        assert self.process.stdin is not None
        async for message in to_send:
            text = message.message.model_dump_json(by_alias=True, exclude_unset=True)
            try:
                self.process.stdin.write(f"{text}\n".encode())
                await self.process.stdin.drain()
            except (OSError, RuntimeError):  # it has closed its input; its output tells when it ends
                return

    async def listen(self) -> None:
        """Keep the end of what it prints as errors."""
        said = self.session._said
        while piece := await self.errors.read(_PIECE_BYTES):
            said += piece
            del said[:-_TAIL_BYTES]

    async def end(self) -> None:
        """Close its input, and end it and all below it if it does not leave by itself."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        if self.process.returncode is None:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LEAVE_SECONDS):
                    await self.process.wait()
        if self.process.returncode is None:
            end_below(self.process.pid)  # first: if the process itself is gone, nobody knows its children
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        with suppress(TimeoutError):
            async with asyncio.timeout(_END_SECONDS):
                await self.process.wait()


def _confined(
    server: McpServer, root: Path, environ: Mapping[str, str], command: tuple[str, ...], file: int
) -> tuple[str, ...]:
    """Return *command* in the sandbox, with a workspace that is read-only.

    Files that other programs run by themselves are watched around each command. Around a server, which may
    write at any moment, they cannot be.
    """
    try:
        sandbox = require_sandbox(root, environ, network=server.allow_network)
    except ConfigurationError as error:
        raise ToolError(
            f'{error.sentence}; for a server, set sandbox = "off" in [mcp.{server.name}]'
        ) from None
    sandbox = attrs.evolve(sandbox, closed=(root,), missing=(), sockets=sockets_in(root))
    return sandbox.wrapped(command, root, environ, file)


async def _pipe(stack: AsyncExitStack) -> tuple[asyncio.StreamReader, IO[bytes]]:
    """Return a pipe of our own: with asyncio's, a process counts as running while anything holds the pipe."""
    reading, writing = os.pipe()
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(reading, "rb", 0)
    )
    stack.callback(transport.close)
    return reader, os.fdopen(writing, "wb", 0)


def _message(line: bytes) -> SessionMessage | None:
    try:
        return SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False))
    except (ValueError, RecursionError):
        return None


def _advice(status: int) -> str:
    if status in (401, 403):
        return ": check its key"
    return ": it leads elsewhere, which is not followed; set the address itself" if status < 400 else ""


@attrs.define(eq=False)
class _BoundedTransport(httpx2.AsyncBaseTransport):
    """Sends requests to one server alone, and reads answers of limited size."""

    inner: httpx2.AsyncHTTPTransport
    origin: httpx2.URL
    most_bytes: int
    status: list[int]

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        there = (request.url.scheme, request.url.host, request.url.port)
        if there != (self.origin.scheme, self.origin.host, self.origin.port):
            raise ToolError("it leads to another server, which is not followed")
        response = await self.inner.handle_async_request(request)
        if request.method == "POST":
            self.status[:] = [response.status_code]
        if response.headers.get("content-encoding", "identity") != "identity":
            await response.aclose()
            raise ToolError("its answer is packed although that was not asked for")
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        most = None if request.method == "GET" else self.most_bytes  # that one goes on as long as the run
        return httpx2.Response(
            response.status_code,
            headers=response.headers,
            stream=_BoundedStream(response.stream, most),
            extensions=response.extensions,
        )

    async def aclose(self) -> None:
        await self.inner.aclose()


@attrs.define(eq=False)
class _BoundedStream(httpx2.AsyncByteStream):
    inner: httpx2.AsyncByteStream
    most_bytes: int | None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        count = 0
        async for piece in self.inner:
            count += len(piece)
            if self.most_bytes is not None and count > self.most_bytes:
                raise ToolError(f"its answer is longer than {self.most_bytes:,} bytes")
            yield piece

    async def aclose(self) -> None:
        await self.inner.aclose()
