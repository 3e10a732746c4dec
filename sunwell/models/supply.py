"""Models of providers, made from the environment as it is when they are asked for."""

from collections.abc import Hashable, Mapping
from typing import Protocol

import attrs

from sunwell.core.model import ModelProtocol


class Supply(Protocol):
    """Where a registry gets models from that nobody registered."""

    def connection(self, provider: str) -> Hashable | None:
        """Return how *provider* is reached now, equal as long as nothing changed; ``None``: unknown.

        Raises :exc:`~sunwell.errors.MissingKeyError` where its key is missing.
        """
        ...

    def model(self, model_id: str, connection: Hashable) -> ModelProtocol:
        """Return a new model behind a connection that this supply gave."""
        ...


@attrs.frozen
class Environment:
    """Models of the providers whose address is known: their own, or ``PROVIDER_BASE_URL``."""

    variables: Mapping[str, str] | None = attrs.field(default=None, repr=False)
    """Environment variables; ``None`` is the process's own, as they are at each look-up."""

    def connection(self, provider: str) -> Hashable | None:
        """Return how *provider* is reached now, ``None`` where it has no address.

        Raises :exc:`~sunwell.errors.MissingKeyError` where it is reached at its own address and
        there is no key; other addresses may do without one.
        """
        from sunwell.models.connection import OWN_URLS, Connection

        connection = Connection.from_environment(provider, environ=self.variables)
        if connection.base_url is None:
            if provider not in OWN_URLS:
                return None
            connection.check_key()
        return connection

    def model(self, model_id: str, connection: Hashable) -> ModelProtocol:
        """Return a new adapter; only Anthropic's wire format differs from what all others speak."""
        from sunwell.models.connection import Connection

        if not isinstance(connection, Connection):
            raise TypeError(f"a Connection is wanted, got {connection!r}")
        if connection.provider == "anthropic":
            from sunwell.models.anthropic_messages import AnthropicModel

            return AnthropicModel(model_id, connection)
        from sunwell.models.openai_chat import ChatModel

        return ChatModel(model_id, connection)
