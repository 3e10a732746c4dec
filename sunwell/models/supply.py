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
    """Models of the providers whose address is known: ``PROVIDER_BASE_URL``, else the preset's."""

    variables: Mapping[str, str] | None = attrs.field(default=None, repr=False)
    """Environment variables; ``None`` is the process's own, as they are at each look-up."""

    def connection(self, provider: str) -> Hashable | None:
        """Return how *provider* is reached now, ``None`` where it has no address.

        Raises :exc:`~sunwell.errors.MissingKeyError` where it needs a key and there is none.
        """
        from sunwell.models.providers import Providers

        return Providers(variables=self.variables).connection(provider)

    def model(self, model_id: str, connection: Hashable) -> ModelProtocol:
        """Return a new adapter in the format that the provider speaks."""
        from sunwell.models.providers import Providers

        return Providers(variables=self.variables).model(model_id, connection)
