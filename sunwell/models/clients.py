"""The SDKs' clients: made on first use, one for each connection and event loop, closed with the loop."""

import asyncio
import functools
import os
import sys
import threading
from collections.abc import AsyncGenerator
from typing import Any, Literal
from weakref import WeakKeyDictionary

import attrs

from sunwell.models.connection import OWN_URLS, Connection
from sunwell.models.sender import Sender

Sdk = Literal["anthropic", "openai"]

_OPENAI_PLATFORMS: dict[str, Literal["Linux", "MacOS"]] = {"linux": "Linux", "darwin": "MacOS"}
_PARALLEL = 2_000  # twice the thousand workers that a run may have at once
_IDLE = 1_000
_AMBIENT_HEADERS = {"anthropic": "ANTHROPIC_CUSTOM_HEADERS", "openai": "OPENAI_CUSTOM_HEADERS"}


@attrs.define(eq=False)
class _Pool:
    """The clients of one event loop."""

    senders: dict[tuple[Sdk, Connection], Sender] = attrs.field(factory=dict)
    closer: AsyncGenerator[None, None] | None = None

    async def close(self) -> None:
        while self.senders:
            _, sender = self.senders.popitem()
            await sender.client.close()

    async def until_the_loop_ends(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            await self.close()


_pools: "WeakKeyDictionary[asyncio.AbstractEventLoop, _Pool]" = WeakKeyDictionary()
_pools_lock = threading.Lock()  # loops of several threads look up and add at once


async def client_for(sdk: Sdk, connection: Connection) -> Any:
    """Return the running loop's client for *connection*; equal connections share one.

    Raises :exc:`~sunwell.errors.MissingKeyError` before a client is made.
    """
    return (await sender_for(sdk, connection)).client


async def sender_for(sdk: Sdk, connection: Connection) -> Sender:
    """Return what sends finished requests over the connections of :func:`client_for`'s client."""
    loop = asyncio.get_running_loop()
    pool = _pools.get(loop)
    sender = pool.senders.get((sdk, connection)) if pool else None
    if sender is None:
        connection.check_key()
        sender = _anthropic(connection) if sdk == "anthropic" else _openai(connection)
        with _pools_lock:
            pool = _pools.setdefault(loop, _Pool())
        pool.senders[sdk, connection] = sender
        if pool.closer is None:
            # asyncio.run() closes what generators are still open, and so the connections in time
            pool.closer = pool.until_the_loop_ends()
            await anext(pool.closer)
    return sender


async def close_clients() -> None:
    """Close every client of the running loop and its connections. Later calls make new ones."""
    pool = _pools.get(asyncio.get_running_loop())
    if pool is not None:
        await pool.close()


def _anthropic(connection: Connection) -> Sender:
    import anthropic

    headers = _headers(connection, anthropic.omit, _AMBIENT_HEADERS["anthropic"])
    if not connection.api_key:
        headers.setdefault("Authorization", anthropic.omit)
    http = _http_client(connection, anthropic.DefaultAioHttpClient)
    client = anthropic.AsyncAnthropic(
        api_key=connection.api_key or "in the headers",
        base_url=connection.url,
        max_retries=0,
        default_headers=headers,
        open_telemetry={"traces": False, "propagation": False},
        http_client=http,
    )
    return Sender(client, http)


@functools.cache
def _openai_client() -> Any:
    """Return the SDK's client, but told what platform this is.

    To find out, the SDK starts ``uname`` from ``PATH``, where a workspace can be, with all our keys.
    """
    import openai

    class _Client(openai.AsyncOpenAI):
        def __init__(self, **given: Any) -> None:
            super().__init__(**given)
            self._platform = _OPENAI_PLATFORMS.get(sys.platform, "Unknown")

    return _Client


def _openai(connection: Connection) -> Sender:
    import openai

    headers = _headers(connection, openai.omit, _AMBIENT_HEADERS["openai"])
    if connection.base_url not in (None, OWN_URLS["openai"]):
        # The SDK reads them from the environment, and they are nobody else's business.
        headers = {"OpenAI-Organization": openai.omit, "OpenAI-Project": openai.omit} | headers
    if not connection.api_key:
        headers.setdefault("Authorization", openai.omit)
    http = _http_client(connection, openai.DefaultAioHttpClient)
    client = _openai_client()(
        api_key=connection.api_key or "in the headers",
        base_url=connection.url,
        max_retries=0,
        default_headers=headers,
        http_client=http,
    )
    return Sender(client, http, request_options("openai", connection))


def request_options(sdk: Sdk, connection: Connection) -> dict[str, Any]:
    """Return the options of each request. Without a key ``openai`` wants to be told so every time."""
    if sdk != "openai" or connection.api_key:
        return {}
    if any(name.lower() == "authorization" for name, _ in connection.headers):
        return {}
    import openai

    return {"headers": {"Authorization": openai.omit}}


def _headers(connection: Connection, omit: Any, ambient_variable: str) -> dict[str, Any]:
    """The connection's headers; those that the SDK would take from a variable are taken away."""
    lines = os.environ.get(ambient_variable, "").split("\n")
    ambient = {line.partition(":")[0].strip(): omit for line in lines if ":" in line}
    given = {name: omit if value is None else value for name, value in connection.headers}
    lowered = {name.lower() for name in given} | {"authorization"}
    return {name: value for name, value in ambient.items() if name.lower() not in lowered} | given


def _http_client(connection: Connection, aiohttp_client: Any) -> Any:
    import warnings

    import httpx2

    limits = httpx2.Limits(max_connections=_PARALLEL, max_keepalive_connections=_IDLE)
    # How long an answer may take is limited by whoever asks; here, only how long a connection may.
    timeout = httpx2.Timeout(None, connect=connection.connect_seconds)
    # A redirect would carry the prompt, and headers with keys in them, to an address nobody named.
    settings: dict[str, Any] = {"limits": limits, "timeout": timeout, "follow_redirects": False}
    if connection.transport is not None:
        return httpx2.AsyncClient(transport=connection.transport(), **settings)
    warnings.filterwarnings("ignore", "Sending a large body directly", ResourceWarning)
    return aiohttp_client(verify=_trusted_authorities(), **settings)


@functools.cache
def _trusted_authorities() -> Any:
    """Return what certificates are checked against; reading the system's takes 20 ms, so it is read once."""
    import httpx2

    return httpx2.create_ssl_context()
