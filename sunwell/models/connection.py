"""Where a provider is reached, and with what key."""

import base64
import os
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self
from urllib.parse import urlsplit, urlunsplit

import attrs

from sunwell.core.secrets import Secrets
from sunwell.errors import ConfigurationError, MissingKeyError

OWN_URLS = {"anthropic": "https://api.anthropic.com", "openai": "https://api.openai.com/v1"}
"""The providers' own addresses, used where a connection names none."""

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
        return "an address that is no URL"


@attrs.frozen
class Connection:
    """How a provider is reached. Models whose connections are equal share one client.

    Neither the key nor the values of headers are in its ``repr``.
    """

    provider: str
    """``anthropic``, ``openai``, or any other name for a compatible server."""
    base_url: str | None = attrs.field(default=None, repr=lambda url: repr(url and _without_login(url)))
    """``None`` is the provider's own address, see :data:`OWN_URLS`."""
    api_key: str | None = attrs.field(default=None, repr=False)
    key_variable: str | None = None
    """The environment variable that holds the key; ``None``: ``PROVIDER_API_KEY``."""
    headers: Headers = attrs.field(default=(), converter=_pairs, repr=_names)
    """Headers to send besides the SDK's own; ``None`` as a value takes one of those away."""
    timeout_seconds: float = 600.0
    """Longest time for one whole answer where the request names none."""
    stall_seconds: float = 300.0
    """Longest silence in the middle of a stream."""
    connect_seconds: float = 10.0
    """Longest time until a connection stands."""
    transport: Callable[[], Any] | None = attrs.field(default=None, repr=False)
    """Makes the ``httpx2`` transport of the client; ``None``: the SDK's own over aiohttp."""
    needs_key: bool = True
    """Whether nothing is sent without a key; servers on one's own machine often want none."""
    requests_per_minute: int | None = None
    """Most requests in a minute; ``None``: what the server's headers say."""
    tokens_per_minute: int | None = None
    """Most tokens in a minute; ``None``: what the server's headers say."""

    @classmethod
    def from_environment(
        cls,
        provider: str,
        *,
        base_url: str | None = None,
        key_variable: str | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> Self:
        """Return a connection with what the environment says: ``PROVIDER_API_KEY``, ``PROVIDER_BASE_URL``.

        A *base_url* given here is not the provider's own, so *key_variable* must be named with it
        (:exc:`~sunwell.errors.ConfigurationError`): a key goes nowhere by accident.
        """
        read = os.environ if environ is None else environ
        if base_url is not None and key_variable is None and provider in OWN_URLS:
            raise ConfigurationError(
                f"the base URL {_without_login(base_url)} is not {provider}'s own: "
                "name the environment variable that holds its key (key_variable)"
            )
        variable = key_variable or _prefix(provider) + "_API_KEY"
        address = base_url or read.get(_prefix(provider) + "_BASE_URL") or None
        return cls(provider, address, read.get(variable) or None, variable)

    @property
    def url(self) -> str:
        """The address that requests go to. Raises :exc:`~sunwell.errors.ConfigurationError` without one."""
        url = self.base_url or OWN_URLS.get(self.provider)
        if url is None:
            raise ConfigurationError(f"the provider {self.provider} is not known: give its base_url")
        return url

    @property
    def shown_url(self) -> str:
        """The address without anything secret in it."""
        return _without_login(self.url)

    @property
    def variable(self) -> str:
        """The environment variable in which a key is expected."""
        return self.key_variable or _prefix(self.provider) + "_API_KEY"

    def check_key(self) -> None:
        """Raise :exc:`~sunwell.errors.MissingKeyError` where a key is needed and none is there."""
        if not self.needs_key:
            return
        given = any(value and _CREDENTIAL.search(name) for name, value in self.headers)
        if not given and not (self.api_key and self.api_key.strip()):
            raise MissingKeyError(self.variable, self.provider)

    def secrets(self) -> Secrets:
        """Return all secrets that this connection sends, for redaction."""
        known = Secrets()
        for value in self.secret_values():
            known.add(value, self.variable)
        return known

    def secret_values(self) -> Iterable[str]:
        """Yield everything secret that is sent: the key, credentials in headers, a login in the address."""
        if self.api_key:
            yield self.api_key
            yield base64.urlsafe_b64encode(self.api_key.strip().encode()).decode().rstrip("=")
        for name, value in self.headers:
            if value and _CREDENTIAL.search(name):
                yield value
                yield value.rpartition(" ")[2]
        try:
            parts = urlsplit(self.base_url or "")
        except ValueError:
            return
        yield from filter(None, (parts.password, parts.query))


def _prefix(provider: str) -> str:
    return re.sub(r"\W", "_", provider).upper()
