"""The contexts of a run that answers a question about them."""

from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from typing import Any, Self

import attrs

from sunwell.core.context_range import ContextRange
from sunwell.errors import ConfigurationError

Confirm = Callable[[str, Decimal | None], Awaitable[bool]]
"""Asked before a fan-out: what it is, in words, and its dollars at most. ``False`` refuses it."""


def _named(value: Mapping[str, ContextRange]) -> dict[str, ContextRange]:
    for name in value:
        if not isinstance(name, str) or not name.strip():
            raise ConfigurationError(f"a context cannot be called {name!r}: give it a name")
    return dict(value)


@attrs.frozen
class AskedContexts:
    """What a question is about. The first context is the one that scripts call ``context``."""

    by_name: Mapping[str, ContextRange] = attrs.field(converter=_named)
    names: tuple[str, ...] = ()
    """The names of all contexts; a run that is played again has no others."""
    confirm: Confirm | None = None

    @classmethod
    def of(cls, given: Mapping[str, ContextRange], confirm: Confirm | None = None) -> Self:
        """Return the contexts of a new run. Raises ConfigurationError if there are none."""
        if not given:
            raise ConfigurationError("there is no context: name at least one")
        return cls(given, tuple(given), confirm)

    @classmethod
    def again(
        cls, recorded: Mapping[str, Any] | None, given: Mapping[str, ContextRange] | None = None
    ) -> Self | None:
        """Return the contexts of a *recorded* run, as far as they are *given* again; ``None``: none."""
        return None if recorded is None else cls(given or {}, tuple(recorded["contexts"]))

    def settings(self) -> dict[str, Any]:
        """Return JSON values for the record."""
        return {"contexts": list(self.names)}

    def opened(self) -> Mapping[str, ContextRange]:
        """Return the contexts in their order.

        Raises :exc:`~sunwell.errors.ConfigurationError` if one of a run that goes on was not given again.
        """
        gone = [name for name in self.names if name not in self.by_name]
        if gone:
            raise ConfigurationError(
                f"the run was started with the context {gone[0]!r}, which no record can hold: give it again "
                f"(contexts={{{gone[0]!r}: ...}} in Python)"
            )
        return {name: self.by_name[name] for name in self.names}
