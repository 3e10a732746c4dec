"""Models by name: registered ones, built-in aliases, and all models of known providers."""

import re
import threading
from collections.abc import Callable, Hashable, Iterable, Mapping
from decimal import Decimal

import attrs

from sunwell.core.model import ModelProtocol
from sunwell.errors import ConfigurationError, MissingKeyError, UnknownModelError, UnknownProviderError
from sunwell.models.catalog import ALIASES, parse_reference, preset_names
from sunwell.models.http_model import UNTUNED, Tuning
from sunwell.models.prices import PriceBook
from sunwell.models.providers import Environment, ModelPlugins, Recipe, Supply, checked_model


@attrs.frozen
class _Alias:
    target: str


@attrs.define(eq=False)
class ModelRegistry:
    """Models by name; thread-safe.

    Registering a name again, in any of the three ways, replaces its meaning; models that were returned
    before stay as they are.
    """

    _supply: Supply = attrs.field(factory=Environment)
    _plugins: ModelPlugins = attrs.field(factory=ModelPlugins)
    _entries: dict[str, ModelProtocol | Recipe | _Alias] = attrs.field(factory=dict, init=False)
    _supplied: dict[tuple[Hashable, str], Recipe] = attrs.field(factory=dict, init=False)
    # Makes three operations atomic: following a chain of names, checking a chain and adding to it, and
    # looking up and storing a recipe. No foreign code runs while it is held.
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False)

    def register(self, name: str, instance: ModelProtocol) -> None:
        """Register *instance* as *name*; raises :exc:`TypeError` if it is not a model."""
        self._enter(name, checked_model(instance, f"{name!r} cannot be registered as"))

    def register_factory(self, name: str, factory: Callable[[], ModelProtocol]) -> None:
        """Register as *name* the model that *factory* returns; it is called once, on first use.

        The factory may get other models from this registry. If it raises, all waiting callers get the
        error, and the next call tries again.
        """
        if not callable(factory):
            raise TypeError(f"the factory of {name!r} must be callable, got {factory!r}")
        self._enter(name, Recipe(name, factory))

    def alias(self, name: str, target: str) -> None:
        """Register *name* as another name for *target*, which is looked up at each use.

        The target is anything that :meth:`get` accepts, and may be registered later. Raises
        :exc:`~sunwell.errors.ConfigurationError` if the chain of names would lead back to *name*.
        """
        with self._lock:
            chain = self._chain(target)
            if name in chain:
                shown = " -> ".join((name, *chain))
                raise ConfigurationError(f"the alias {name!r} would point to itself: {shown}")
            self._entries[_checked_name(name)] = _Alias(target)

    def unregister(self, name: str) -> None:
        """Remove the registration of *name*, which then has its built-in meaning, if any.

        Does nothing if the name is not registered. Useful for tests that register in the process registry.
        """
        with self._lock:
            self._entries.pop(name, None)

    def get(self, name: str) -> ModelProtocol:
        """Return the model called *name*.

        In this order: a name registered here; a built-in alias; ``provider/model``; a bare model
        id that shows its provider; a plugin's model. Models of the middle three use the connection that
        the environment gives at that time; the same model is returned until the connection changes.

        Raises :exc:`~sunwell.errors.UnknownModelError`, which lists the known names,
        :exc:`~sunwell.errors.MissingKeyError` if the provider's key is missing, and
        :exc:`~sunwell.errors.PluginError` if the plugin cannot be used.
        """
        with self._lock:
            last = self._chain(name)[-1]
            entry = self._entries.get(last)
        if isinstance(entry, Recipe):
            return entry.model()
        if entry is None or isinstance(entry, _Alias):
            return self._from_supply(last)
        return entry

    def described(self, name: str) -> tuple[str, Tuning]:
        """Return the ``provider/id`` that *name* stands for, as far as it is known, and the settings for it.

        Nothing is created, so no key is needed.
        """
        with self._lock:
            last = self._chain(name)[-1]
            entry = self._entries.get(last)
        make = entry.make if isinstance(entry, Recipe) else None
        target, tuning = getattr(make, "target", last), getattr(make, "tuning", UNTUNED)
        return ALIASES.get(target, target), tuning

    def plugin_of(self, name: str) -> str | None:
        """Return the plugin whose code :meth:`get` would run for *name*; ``None`` if it would run none.

        Also ``None`` for a plugin that the caller has allowed by name. Nothing is imported.
        """
        with self._lock:
            last = self._chain(name)[-1]
            entry = self._entries.get(last)
        if entry is not None and not isinstance(entry, _Alias):
            return None
        plugin = last.partition("/")[0]
        reference = parse_reference(ALIASES.get(last, last))
        if self._plugins.plugins.allowed is not None or plugin not in self._plugins.names():
            return None
        try:
            is_supplied = reference is not None and self._supply.connection(reference.provider) is not None
        except (MissingKeyError, ConfigurationError):  # the provider is known, so no plugin is used
            is_supplied = True
        return None if is_supplied else plugin

    def known(self) -> tuple[str, ...]:
        """Return all registered and built-in names, sorted. Write other models as ``provider/model``."""
        with self._lock:
            return tuple(sorted({*self._entries, *ALIASES}))

    def _enter(self, name: str, entry: ModelProtocol | Recipe) -> None:
        with self._lock:
            self._entries[_checked_name(name)] = entry

    def _chain(self, name: str) -> list[str]:
        """Return *name* and its chain of aliases; the last element is not an alias of this registry."""
        chain = [name]
        while isinstance(entry := self._entries.get(chain[-1]), _Alias):
            chain.append(entry.target)
        return chain

    def _from_supply(self, name: str) -> ModelProtocol:
        reference = parse_reference(ALIASES.get(name, name))
        if reference is None:
            if (plugged := self._plugins.model(name)) is not None:
                return plugged
            known = tuple(sorted({*self.known(), *self._plugins.names()}))
            raise UnknownModelError(name, known, meant=_meant(name, known))
        provider, model_id, supply = reference.provider, reference.model_id, self._supply
        connection = supply.connection(provider)
        if connection is None:
            if (plugged := self._plugins.model(name)) is not None:
                return plugged
            variable = re.sub(r"\W", "_", provider).upper() + "_BASE_URL"
            near = _nearest(provider, preset_names())
            meant = f"{near}/{model_id}" if near else ""
            raise UnknownProviderError(name, self.known(), provider, variable, meant=meant)
        with self._lock:
            kept = self._supplied.get((connection, model_id))
            if kept is None:
                kept = Recipe(str(reference), lambda: supply.model(model_id, connection))
                self._supplied[connection, model_id] = kept
        return kept.model()


def _meant(name: str, known: Iterable[str]) -> str:
    """Return the name of the catalog that *name* was probably meant to be; empty if none is near."""
    ids = (target.partition("/")[2] for target in ALIASES.values())
    return _nearest(name, (*known, *ids))


def _nearest(name: str, known: Iterable[str]) -> str:
    from difflib import get_close_matches  # only an error needs it

    spelled = {one.lower(): one for one in known}
    found = get_close_matches(name[:100].lower(), list(spelled), 1, 0.65)
    return spelled[found[0]] if found else ""


_PROCESS_REGISTRY = ModelRegistry()


def get_registry() -> ModelRegistry:
    """Return the registry of this process."""
    return _PROCESS_REGISTRY


def resolve_model(reference: ModelProtocol | str, registry: ModelRegistry | None = None) -> ModelProtocol:
    """Return the model that *reference* means: a model is returned as it is, a string is looked up.

    The lookup is :meth:`ModelRegistry.get` of *registry*, by default the one of this process.
    Never returns ``None``: raises :exc:`~sunwell.errors.UnknownModelError` for an unknown name, and
    :exc:`TypeError` for a value that is neither a model nor a string.
    """
    if isinstance(reference, str):
        return (get_registry() if registry is None else registry).get(reference)
    return checked_model(reference, "expected a model or the name of a model, got")


def _checked_name(name: str) -> str:
    if not isinstance(name, str) or not name.strip():
        raise ConfigurationError(f"the name of a model must not be empty, got {name!r}")
    return name


@attrs.frozen
class ModelRow:
    """One built-in alias."""

    alias: str
    model_id: str
    provider: str
    key_variable: str
    """The environment variable that should hold the key."""
    has_key: bool
    input_usd: Decimal | None
    """US dollars per million tokens of uncached input, in the lowest tier; ``None``: unknown."""
    output_usd: Decimal | None
    """US dollars per million tokens of output, in the lowest tier; ``None``: unknown."""
    price_date: str
    """ISO day of the price; empty if it is unknown."""


def list_models(prices: PriceBook, environ: Mapping[str, str] | None = None) -> tuple[ModelRow, ...]:
    """Return a row for each built-in alias, in the order of the table.

    Keys are looked up in *environ*, by default the process's environment. Nothing is sent.
    """
    return tuple(_row(alias, target, prices, environ) for alias, target in ALIASES.items())


def _row(alias: str, target: str, prices: PriceBook, environ: Mapping[str, str] | None) -> ModelRow:
    from sunwell.models.connection import Connection

    reference = parse_reference(target)
    if reference is None:
        raise AssertionError(f"the alias table has no provider for {alias!r}")
    connection = Connection.from_environment(reference.provider, environ=environ)
    price = prices.price_of(reference.model_id, reference.provider)
    return ModelRow(
        alias=alias,
        model_id=reference.model_id,
        provider=reference.provider,
        key_variable=connection.variable,
        has_key=bool(connection.api_key),
        input_usd=price.rates.input_usd if price else None,
        output_usd=price.rates.output_usd if price else None,
        price_date=price.date if price else "",
    )
