"""How to reach a provider: address, key and client."""

import asyncio
import base64
import functools
import importlib
import os
import re
import sys
import threading
from collections.abc import (
    AsyncGenerator,
    Callable,
    Iterable,
    Mapping,
)
from contextvars import ContextVar
from typing import Any, Literal, Self
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit
from weakref import WeakKeyDictionary

import attrs

from sunwell.core.passed_on import passed_headers
from sunwell.core.secrets import Secrets
from sunwell.core.threads import in_thread
from sunwell.errors import ConfigurationError, MissingKeyError
from sunwell.models.direct_post import DirectHead, HttpAnswer, TellsSending, is_possible

OWN_URLS = {"anthropic": "https://api.anthropic.com", "openai": "https://api.openai.com/v1"}
"""The providers' own addresses, used if a connection sets none."""

_CREDENTIAL = re.compile(r"auth|key|token|secret|cookie|password", re.IGNORECASE)
Headers = tuple[tuple[str, str | None], ...]


def _pairs(value: "Mapping[str, str | None] | Iterable[tuple[str, str | None]]") -> Headers:
    pairs = value.items() if isinstance(value, Mapping) else value
    return tuple((name, text) for name, text in pairs)


def _names(headers: Headers) -> str:
    return repr(tuple(name for name, _ in headers))


def _without_login(url: str) -> str:
    """Return *url* without user, password, query and fragment: they may be secrets."""
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        return urlunsplit((parts.scheme, host, parts.path, "", ""))
    except ValueError:
        return "an invalid URL"


def _login_in(url: str | None) -> str | None:
    """Return ``user:password`` if *url* has a login in it, else ``None``."""
    try:
        login, at, _ = urlsplit(url or "").netloc.rpartition("@")
    except ValueError:
        return None
    return unquote(login) if at else None


def _is_positive(_: object, field: "attrs.Attribute[int | None]", value: int | None) -> None:
    if value is not None and value < 1:
        raise ConfigurationError(f"{field.name} cannot be {value!r}: it must be at least 1, or None")


_PORTS = {"https": 443, "http": 80}


@attrs.frozen(cache_hash=True)  # looked up by each request
class Connection:
    """How to reach a provider. Models with equal connections share one client.

    Its ``repr`` contains neither the key nor the values of headers, and one that has any is not pickled: a
    pickle would hold them.
    """

    provider: str
    """``anthropic``, ``openai``, or any other name for a compatible server."""
    base_url: str | None = attrs.field(default=None, repr=lambda url: repr(url and _without_login(url)))
    """``None``: the provider's own address, see :data:`OWN_URLS`."""
    api_key: str | None = attrs.field(default=None, repr=False)
    key_variable: str | None = None
    """The environment variable that holds the key; ``None``: ``PROVIDER_API_KEY``."""
    headers: Headers = attrs.field(default=(), converter=_pairs, repr=_names)
    """Headers to send in addition to the SDK's own; the value ``None`` removes one of those."""
    timeout_seconds: float = 600.0
    """Time limit for one complete answer if the request sets none."""
    stall_seconds: float = 180.0
    """Longest pause within a stream."""
    connect_seconds: float = 10.0
    """Time limit for opening a connection."""
    transport: Callable[[], Any] | None = attrs.field(default=None, repr=False)
    """Returns the ``httpx2`` transport of the client; ``None``: the SDK's own, based on aiohttp."""
    needs_key: bool = True
    """Whether a key is required; local servers often need none."""
    requests_per_minute: int | None = attrs.field(default=None, validator=_is_positive)
    """Limit of requests per minute; ``None``: as the server's headers say."""
    tokens_per_minute: int | None = attrs.field(default=None, validator=_is_positive)
    """Limit of tokens per minute; ``None``: as the server's headers say."""
    vendor: str | None = None
    """The preset whose prices, usage and limits apply; ``None``: that of the name or the address, if any."""
    first_byte_seconds: float = 180.0
    """Longest wait until a streamed answer begins."""

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _: object) -> Self:
        return self

    def __reduce_ex__(self, protocol: Any) -> Any:
        if self.api_key or self.headers or _login_in(self.base_url) is not None:
            raise TypeError(
                "a connection with a key, headers or a login is not pickled: a pickle would hold them; "
                "make it anew with Connection.from_environment in the other process"
            )
        return super().__reduce_ex__(protocol)

    @classmethod
    def from_environment(
        cls,
        provider: str,
        *,
        base_url: str | None = None,
        key_variable: str | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> Self:
        """Return a connection from the environment: ``PROVIDER_API_KEY``, ``PROVIDER_BASE_URL``.

        A *base_url* given here is not the provider's own address, so *key_variable* must be given, too:
        otherwise it raises :exc:`~sunwell.errors.ConfigurationError`, so that no key is sent by accident.
        """
        read = os.environ if environ is None else environ
        if base_url is not None and key_variable is None and provider in OWN_URLS:
            raise ConfigurationError(
                f"the base URL {_without_login(base_url)} is not {provider}'s own: "
                "set key_variable to the environment variable that holds its key"
            )
        variable = key_variable or _prefix(provider) + "_API_KEY"
        address = base_url or read.get(_prefix(provider) + "_BASE_URL") or None
        return cls(provider, address, read.get(variable) or None, variable)

    @property
    def url(self) -> str:
        """The address for requests. Raises :exc:`~sunwell.errors.ConfigurationError` if there is none."""
        url = self.base_url or OWN_URLS.get(self.provider)
        if url is None:
            raise ConfigurationError(f"the provider {self.provider} is unknown: set its base_url")
        return url

    @property
    def bare_url(self) -> str:
        """The address without login, query and fragment: paths of requests are added to it."""
        return _without_login(self.url)

    @functools.cached_property
    def server(self) -> tuple[str, int | None]:
        """Host name and port of the server; empty and ``None`` if it has no address: the request says so."""
        try:
            parts = urlsplit(self.bare_url)
            return parts.hostname or "", parts.port or _PORTS.get(parts.scheme)
        except (ConfigurationError, ValueError):
            return "", None

    @property
    def query(self) -> dict[str, str]:
        """The parameters in the address, for example Azure's ``api-version``; each request has them."""
        try:
            return dict(parse_qsl(urlsplit(self.url).query, keep_blank_values=True))
        except ValueError:  # not an address: the request says so
            return {}

    @property
    def all_headers(self) -> Headers:
        """The headers, and one for the login in the address if there is one."""
        login = _login_in(self.base_url)
        if login is None or any(name.lower() == "authorization" for name, _ in self.headers):
            return self.headers
        return (*self.headers, ("Authorization", f"Basic {base64.b64encode(login.encode()).decode()}"))

    @property
    def shown_url(self) -> str:
        """The address without any secrets."""
        return _without_login(self.url)

    @property
    def variable(self) -> str:
        """The environment variable that should hold the key."""
        return self.key_variable or _prefix(self.provider) + "_API_KEY"

    def check_key(self) -> None:
        """Raise :exc:`~sunwell.errors.MissingKeyError` if a key is required and none is set.

        Raises :exc:`~sunwell.errors.ConfigurationError` if the address has a login although a key is set,
        because a request can carry only one of them.
        """
        if self.api_key and _login_in(self.base_url) is not None:
            raise ConfigurationError(
                f"{self.provider} has a login in its base URL, and a key in {self.variable}: remove one"
            )
        if not self.needs_key:
            return
        given = any(value and _CREDENTIAL.search(name) for name, value in self.all_headers)
        if not given and not (self.api_key and self.api_key.strip()):
            raise MissingKeyError(self.variable, self.provider)

    def secrets(self) -> Secrets:
        """Return all secrets that this connection sends, for redaction."""
        known = Secrets()
        for value in self.secret_values():
            known.add(value, self.variable)
        return known

    def secret_values(self) -> list[str]:
        """Return all secrets that are sent: the key, credentials in headers, a login in the address."""
        found: list[str] = []
        if self.api_key:
            found += (
                self.api_key,
                base64.urlsafe_b64encode(self.api_key.strip().encode()).decode().rstrip("="),
            )
        for name, value in self.all_headers:
            if value and _CREDENTIAL.search(name):
                found += (value, value.rpartition(" ")[2])
        try:
            parts = urlsplit(self.base_url or "")
        except ValueError:
            return found
        password = parts.password and (parts.password, unquote(parts.password))
        return [*found, *(password or ()), *filter(None, (parts.query,))]


def _prefix(provider: str) -> str:
    return re.sub(r"\W", "_", provider).upper()


_FLIGHT: ContextVar[TellsSending | None] = ContextVar("flight", default=None)
"""The request that the current task sends."""


@attrs.frozen
class _RequestHead:
    """Address and headers of all requests to one path."""

    request: Any
    """The ``httpx2`` request without a body that the SDK has made."""
    direct: DirectHead | None
    """The same for the connections of the SDK's session on aiohttp, which is used without ``httpx2``;
    ``None``: only ``httpx2`` knows the transport."""

    @classmethod
    def of(cls, request: Any, http: Any) -> "_RequestHead":
        """Return the head for requests like *request* that the client *http* sends."""
        transport_for = getattr(http, "_transport_for_url", None)
        transport: Any = None if transport_for is None else transport_for(request.url)
        if not _is_on_aiohttp(transport) or transport.proxy is not None or not is_possible():
            return cls(request, None)
        import multidict
        import yarl

        if callable(transport.client):  # as the transport itself makes it at its first request
            transport.client = transport.get_client()
        headers = multidict.CIMultiDict(request.headers.multi_items())
        url, seconds = yarl.URL(str(request.url)), http.timeout.connect
        return cls(request, DirectHead.of(transport.client, url, headers, seconds))


@attrs.define(eq=False)
class Sender:
    """An SDK's client, and a way to send an already encoded body with it.

    The SDK provides the address and headers of a request, including authentication, once for each path.
    What it would do again for every body and answer costs more than the rest of a call and is skipped:
    a request is only its address, its headers and the body. If the SDK's client is on aiohttp, the request
    goes to the connections of its session without a detour over ``httpx2``, see :class:`DirectHead`.
    """

    client: Any
    """The SDK's own client."""
    _http: Any
    """The ``httpx2`` client of that SDK client."""
    _options: dict[str, Any] = attrs.field(factory=dict)
    """Options that the SDK needs with each request."""
    _tells_sending: bool = False
    """Whether the client tells when it sends a request, see :func:`_watched`; else it is sent at once."""
    _heads: dict[str, _RequestHead] = attrs.field(factory=dict, init=False)
    """Address and headers for each path."""
    calls: int = attrs.field(default=0, init=False)
    """Number of calls that use it now. Each call increments it at its start and decrements it at its end."""
    is_lent: bool = attrs.field(default=False, init=False)
    """Whether :func:`client_for` returned the client, so that it is unknown how long it is used."""

    async def post(self, path: str, body: bytes, flight: TellsSending | None = None) -> HttpAnswer:
        """Send *body* and return the answer, before its body is read.

        *flight* tells afterwards, and after an error, how far the request has come.
        """
        head = self._heads.get(path)
        if head is None:
            head = self._heads[path] = _RequestHead.of(await self._head(path), self._http)
        if flight is not None:
            flight.is_sent = not self._tells_sending
        if head.direct is not None:
            return await head.direct.post(body, flight, passed_headers())
        token = _FLIGHT.set(flight)
        try:
            return await self._post_by_httpx2(head, body)
        finally:
            _FLIGHT.reset(token)

    async def _post_by_httpx2(self, head: _RequestHead, body: bytes) -> HttpAnswer:
        import httpx2

        # With content=, the headers would be read and built anew for each request.
        request = httpx2.Request(
            "POST",
            head.request.url,
            headers=head.request.headers,
            stream=httpx2.ByteStream(body),
            extensions={"timeout": self._http.timeout.as_dict()},
        )
        request.headers["content-length"] = str(len(body))
        request.headers.update(passed_headers())
        request.read()
        # Not the client's own send() if that can be: login is in the headers, redirects and cookies are
        # unwanted, and looking for them takes long. The function is private, and may be gone one day.
        transport_for = getattr(self._http, "_transport_for_url", None)
        if transport_for is None:
            response = await self._http.send(request, stream=True)
        else:
            response = await transport_for(request.url).handle_async_request(request)
            response.request = request
        return HttpAnswer(response.status_code, response.headers, response.aiter_bytes(), response.aclose)

    async def _head(self, path: str) -> Any:
        """Let the SDK build a request to *path*, and capture it instead of sending it."""
        import httpx2

        made: list[httpx2.Request] = []

        def caught(request: httpx2.Request) -> httpx2.Response:
            made.append(request)
            # No answer: the client would log it as a request of its own.
            raise httpx2.ConnectError("captured", request=request)

        async with httpx2.AsyncClient(transport=httpx2.MockTransport(caught)) as nowhere:
            client = self.client.copy(http_client=nowhere)
            try:  # as a stream, like every request here: the SDK says so in a header
                await client.post(
                    path, cast_to=httpx2.Response, content=b"{}", options=self._options, stream=True
                )
            except Exception:
                if not made:
                    raise
        del made[0].headers["content-length"]  # it differs for each body
        return made[0]


Sdk = Literal["anthropic", "openai"]

_OPENAI_PLATFORMS: dict[str, Literal["Linux", "MacOS"]] = {"linux": "Linux", "darwin": "MacOS"}
_PARALLEL = 2_000  # twice the 1,000 workers that a run may have at once
_IDLE = 1_000
_AMBIENT_HEADERS = {"anthropic": "ANTHROPIC_CUSTOM_HEADERS", "openai": "OPENAI_CUSTOM_HEADERS"}


@attrs.define(eq=False)
class _Pool:
    """The clients of one event loop."""

    senders: dict[tuple[Sdk, Connection], Sender] = attrs.field(factory=dict)
    closer: AsyncGenerator[None, None] | None = None
    keepers: int = 0
    """How many have called :func:`keep_clients` and not yet :func:`release_clients`."""

    async def close_idle(self) -> None:
        # Taken out before the first one is closed: a call that begins meanwhile makes a client of its own.
        idle = {key: one for key, one in self.senders.items() if one.calls == 0 and not one.is_lent}
        for key in idle:
            del self.senders[key]
        for sender in idle.values():
            await sender.client.close()

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
_pools_lock = threading.Lock()  # loops in several threads look up and add concurrently


async def client_for(sdk: Sdk, connection: Connection) -> Any:
    """Return the running loop's client for *connection*; equal connections share one.

    Raises :exc:`~sunwell.errors.MissingKeyError` before a client is made.
    """
    sender = await sender_for(sdk, connection)
    sender.is_lent = True
    return sender.client


async def sender_for(sdk: Sdk, connection: Connection) -> Sender:
    """Return the sender of encoded requests that uses the connections of :func:`client_for`'s client."""
    loop = asyncio.get_running_loop()
    pool = _pools.get(loop)
    sender = pool.senders.get((sdk, connection)) if pool else None
    if sender is None:
        connection.check_key()
        if sdk not in sys.modules:
            await in_thread(importlib.import_module, sdk)  # it takes a second, in which others must go on
            return await sender_for(sdk, connection)  # somebody else may have made it meanwhile
        sender = _anthropic(connection) if sdk == "anthropic" else _openai(connection)
        with _pools_lock:
            pool = _pools.setdefault(loop, _Pool())
        pool.senders[sdk, connection] = sender
        if pool.closer is None:
            # asyncio.run() closes open generators, and so the connections in time
            pool.closer = pool.until_the_loop_ends()
            await anext(pool.closer)
    return sender


def keep_clients() -> None:
    """Keep the running loop's clients open until :func:`release_clients` is called as often as this."""
    with _pools_lock:
        pool = _pools.setdefault(asyncio.get_running_loop(), _Pool())
    pool.keepers += 1


async def release_clients() -> None:
    """Undo one :func:`keep_clients`; the last one closes the clients of the running loop that are idle.

    Clients are shared by all agents and models of a loop, so one that carries a call stays open. It is
    closed by the next release, or when the loop ends. Later calls make new clients.
    """
    pool = _pools[asyncio.get_running_loop()]
    pool.keepers -= 1
    if pool.keepers == 0:
        await pool.close_idle()


async def close_clients() -> None:
    """Close every client of the running loop and its connections. Later calls create new ones."""
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
        # The SDK adds /v1 to each path; an address that ends with it is meant to be the same one.
        base_url=connection.bare_url.rstrip("/").removesuffix("/v1"),
        max_retries=0,
        default_headers=headers,
        default_query=connection.query,
        open_telemetry={"traces": False, "propagation": False},
        http_client=http,
    )
    return Sender(client, http, tells_sending=_watched(http))


@functools.cache
def _openai_client() -> Any:
    """Return the SDK's client class, with the platform filled in.

    Otherwise the SDK would start ``uname`` from ``PATH``, which may contain a workspace, with all our keys.
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
        # The SDK reads them from the environment, and only OpenAI may see them.
        headers = {"OpenAI-Organization": openai.omit, "OpenAI-Project": openai.omit} | headers
    if not connection.api_key:
        headers.setdefault("Authorization", openai.omit)
    http = _http_client(connection, openai.DefaultAioHttpClient)
    client = _openai_client()(
        api_key=connection.api_key or "in the headers",
        base_url=connection.bare_url,
        max_retries=0,
        default_headers=headers,
        default_query=connection.query,
        http_client=http,
    )
    return Sender(client, http, request_options("openai", connection), tells_sending=_watched(http))


def request_options(sdk: Sdk, connection: Connection) -> dict[str, Any]:
    """Return the options of each request. Without a key, ``openai`` needs to be told so every time."""
    if sdk != "openai" or connection.api_key:
        return {}
    if any(name.lower() == "authorization" for name, _ in connection.all_headers):
        return {}
    import openai

    return {"headers": {"Authorization": openai.omit}}


def _headers(connection: Connection, omit: Any, ambient_variable: str) -> dict[str, Any]:
    """Return the connection's headers; those that the SDK would take from a variable are removed."""
    lines = os.environ.get(ambient_variable, "").split("\n")
    ambient = {line.partition(":")[0].strip(): omit for line in lines if ":" in line}
    given = {name: omit if value is None else value for name, value in connection.all_headers}
    lowered = {name.lower() for name in given} | {"authorization"}
    return {name: value for name, value in ambient.items() if name.lower() not in lowered} | given


def _http_client(connection: Connection, aiohttp_client: Any) -> Any:
    import warnings

    import httpx2

    limits = httpx2.Limits(max_connections=_PARALLEL, max_keepalive_connections=_IDLE)
    # The caller limits the time of an answer; this limits only the time to connect.
    timeout = httpx2.Timeout(None, connect=connection.connect_seconds)
    # A redirect would send the prompt, and headers with keys, to an address that the user did not choose.
    settings: dict[str, Any] = {"limits": limits, "timeout": timeout, "follow_redirects": False}
    if connection.transport is not None:
        return httpx2.AsyncClient(transport=connection.transport(), **settings)
    warnings.filterwarnings("ignore", "Sending a large body directly", ResourceWarning)
    return aiohttp_client(verify=_trusted_authorities(), **settings)


def _watched(http: Any) -> bool:
    """Make *http* tell when it sends a request; return whether it does so.

    The SDKs' aiohttp transports accept a function that makes their session. Any other transport, one of
    the caller or of a newer SDK, does not tell.
    """
    transports = [getattr(http, "_transport", None), *getattr(http, "_mounts", {}).values()]
    known = [one for one in transports if one is not None]
    if not known or not all(map(_is_on_aiohttp, known)):
        return False
    for transport in known:
        transport.client = functools.partial(_session, transport.get_client)
    return True


def _is_on_aiohttp(transport: Any) -> bool:
    return all(hasattr(transport, name) for name in ("client", "get_client", "proxy"))


def _session(made_by: Callable[[], Any]) -> Any:
    """Return an aiohttp session like the one that *made_by* returns, with requests that tell."""
    import aiohttp

    transport = made_by.__self__  # type: ignore[attr-defined]
    transport.client = None
    plain = made_by()
    connector = plain.connector
    plain.detach()
    return aiohttp.ClientSession(connector=connector, request_class=_request_class())


@functools.cache
def _request_class() -> Any:
    import aiohttp

    class _Request(aiohttp.ClientRequest):
        async def send(self, conn: Any) -> Any:
            # The connection is open, through TLS and a proxy's tunnel. Nothing was sent before.
            flight = _FLIGHT.get()
            if flight is not None:
                flight.is_sent = True
            return await super().send(conn)

    return _Request


@functools.cache
def _trusted_authorities() -> Any:
    """Return the trusted certificates; reading the system's takes 20 ms, so they are read once."""
    import httpx2

    return httpx2.create_ssl_context()
