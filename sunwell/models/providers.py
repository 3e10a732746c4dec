"""Models of named providers and presets, each on the connection that its provider names."""

import os
from collections.abc import Hashable, Mapping

import attrs

from sunwell.core.model import ModelProtocol
from sunwell.errors import ConfigurationError
from sunwell.models.chat_encoding import ChatQuirks, quirks_for
from sunwell.models.connection import OWN_URLS, Connection
from sunwell.models.presets import Api, Kind, Provider, preset
from sunwell.models.tuning import UNTUNED, Tuning


@attrs.frozen
class Route:
    """How a model is reached: the connection, the format spoken on it, and what its server understands."""

    connection: Connection
    kind: Kind = "openai"
    api: Api = "chat"
    quirks: ChatQuirks | None = None
    prefix: str = ""
    """What stands before a model's id at a gateway: the id of its maker."""
    without_effort: tuple[str, ...] = ()

    def model(self, model_id: str, *, name: str | None = None, tuning: Tuning = UNTUNED) -> ModelProtocol:
        """Return a new adapter for *model_id*."""
        asked = self.prefix + model_id
        if self.kind == "anthropic":
            from sunwell.models.anthropic_messages import AnthropicModel

            return AnthropicModel(asked, self.connection, name=name, tuning=tuning)
        if self.api == "responses":
            from sunwell.models.openai_responses import ResponsesModel

            return ResponsesModel(asked, self.connection, name=name, tuning=tuning)
        from sunwell.models.openai_chat import ChatModel

        quirks = self.quirks or quirks_for(self.connection.provider, asked)
        if model_id in self.without_effort or asked in self.without_effort:
            quirks = attrs.evolve(quirks, effort=False)
        return ChatModel(asked, self.connection, name=name, quirks=quirks, tuning=tuning)


@attrs.frozen
class Providers:
    """A supply of models: named providers first, then a gateway if one is chosen, then presets.

    A key goes only to its provider's own host, or to an address whose entry names its variable.
    """

    named: Mapping[str, Provider] = attrs.field(factory=dict)
    gateway: str | None = None
    """The provider that serves what no entry of ``named`` does."""
    variables: Mapping[str, str] | None = attrs.field(default=None, repr=False)
    """Environment variables; ``None`` is the process's own, as they are at each look-up."""

    def connection(self, provider: str) -> Route | None:
        """Return how *provider* is reached now; ``None`` where nobody knows.

        Raises :exc:`~sunwell.errors.MissingKeyError` where its key is missing, and
        :exc:`~sunwell.errors.ConfigurationError` where it has no address.
        """
        entry = self.named.get(provider)
        if entry is None and self.gateway is not None and provider != self.gateway:
            through = self.connection(self.gateway)
            if through is None:
                raise ConfigurationError(f"the gateway {self.gateway} is no provider that is known")
            return attrs.evolve(through, prefix=f"{provider}/")
        if entry is None:
            known = preset(provider)
            entry = provider_from_variables(provider, self._read, like=known) or known
        if entry is None:
            return None
        route = self.route(entry)
        route.connection.check_key()
        return route

    def route(self, provider: Provider) -> Route:
        """Return the way to *provider* with the key that the environment holds."""
        if provider.base_url is None:
            raise ConfigurationError(
                f"the provider {provider.name} has no address: give [providers.{provider.name}] a base_url"
            )
        read = self._read
        own = provider.base_url == OWN_URLS.get(provider.name)
        variable = provider.key_variable
        connection = Connection(
            provider.name,
            None if own else provider.base_url,
            (read.get(variable) or None) if variable else None,
            variable,
            provider.headers,
            provider.timeout_seconds,
            provider.stall_seconds,
            provider.connect_seconds,
            needs_key=provider.needs_key,
            requests_per_minute=provider.requests_per_minute,
            tokens_per_minute=provider.tokens_per_minute,
        )
        return Route(
            connection, provider.kind, provider.api, provider.quirks, without_effort=provider.without_effort
        )

    def model(self, model_id: str, connection: Hashable) -> ModelProtocol:
        """Return a new adapter behind a route that this supply gave."""
        if not isinstance(connection, Route):
            raise TypeError(f"a Route is wanted, got {connection!r}")
        return connection.model(model_id)

    @property
    def _read(self) -> Mapping[str, str]:
        return os.environ if self.variables is None else self.variables


def provider_from_variables(
    name: str, environ: Mapping[str, str] | None = None, *, like: Provider | None = None
) -> Provider | None:
    """Return *name* at the address that ``NAME_BASE_URL`` holds: its owner is who set the key, too.

    ``None`` where there is no such variable. What the server understands is what *like* does.
    """
    found = Connection.from_environment(name, environ=environ)
    if found.base_url is None:
        return None
    kind: Kind = like.kind if like else "openai"
    quirks = like.quirks if like else None
    return Provider(name, kind, found.base_url, found.variable, needs_key=False, quirks=quirks)
