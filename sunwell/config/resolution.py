"""From settings to what a run is made of: options, models by name, prices."""

from collections.abc import Mapping
from typing import Any

import attrs

from sunwell.config.mcp_settings import mcp_servers_of, mcp_source_of
from sunwell.config.schema import ROLES, Configuration, ContextEntry, ModelEntry, ProviderSettings, Role
from sunwell.config.shape import nearest
from sunwell.context.options import ContextChoice, RunOptions
from sunwell.core.model import ModelProtocol
from sunwell.core.price import Price, Rates
from sunwell.errors import ConfigurationError, UnknownModelError
from sunwell.models.catalog import ALIASES, PRESETS, Provider, parse_reference, preset, preset_names
from sunwell.models.http_model import UNTUNED, Tuning
from sunwell.models.prices import PriceBook
from sunwell.models.providers import ModelPlugins, Providers, provider_from_variables
from sunwell.models.quirks import ChatQuirks
from sunwell.models.registry import ModelRegistry
from sunwell.models.room import ModelLimits
from sunwell.plugins import Find, Plugins, installed
from sunwell.tools.mcp_tools import McpServers
from sunwell.tools.tool_plugins import ToolPlugins

_SAME_NAME = (
    "kind", "api", "base_url", "needs_key", "timeout_seconds", "first_byte_seconds", "stall_seconds",
    "connect_seconds", "requests_per_minute", "tokens_per_minute",
)  # fmt: skip


def providers_of(values: Configuration, environ: Mapping[str, str] | None = None) -> Providers:
    """Return the supply of models that *values* describe."""
    named = {name: provider_from(name, entry, environ) for name, entry in values.providers.items()}
    gateway = values.gateway
    if gateway is not None and gateway not in named:
        known = preset(gateway)
        if known is None:
            raise ConfigurationError(f"gateway: {unknown_provider(gateway, tuple(named))}")
        gateway = known.name
    return Providers(named, gateway, environ)


def provider_from(name: str, entry: ProviderSettings, environ: Mapping[str, str] | None = None) -> Provider:
    """Return the provider that *entry* describes, on top of its preset's data.

    The preset is the named one, else the one that is called *name*. At another address than the
    preset's own, the preset's key variable does not hold: an entry must name one. Where the entry
    names no address, ``NAME_BASE_URL`` in *environ* leads elsewhere, as it does without an entry.
    """
    start = _start(name, entry, environ)
    given = {key: value for key in _SAME_NAME if (value := getattr(entry, key)) is not None}
    own_address = entry.base_url is None or _same(entry.base_url, start.base_url) or name == "azure"
    if entry.api_key_env is not None:
        given["key_variable"] = entry.api_key_env
    elif not own_address:
        given["key_variable"] = None
        given.setdefault("needs_key", False)
    if entry.headers:
        given["headers"] = tuple(entry.headers.items())
    if entry.headers_env:
        given["header_variables"] = tuple(entry.headers_env.items())
    if entry.non_reasoning_models is not None:
        given["without_effort"] = entry.non_reasoning_models
    quirks = {key: value for key, value in attrs.asdict(entry.quirks).items() if value is not None}
    if quirks:
        given["quirks"] = attrs.evolve(start.quirks or ChatQuirks(), **quirks)
    vendor = start.vendor or (start.name if preset(start.name) else None)
    return attrs.evolve(start, name=name, vendor=vendor, **given)


def _start(name: str, entry: ProviderSettings, environ: Mapping[str, str] | None) -> Provider:
    known = preset(name if entry.preset is None else entry.preset)
    if known is None and entry.preset is not None:
        raise unknown_provider(entry.preset, ())
    if entry.base_url is None and (led := provider_from_variables(name, environ, like=known)):
        return led
    if known is not None:
        return known
    kind: Any = entry.kind or "openai"
    if entry.base_url is None:
        raise ConfigurationError(
            f"providers.{name} needs a base_url, or a preset: one of {', '.join(sorted(PRESETS))}"
        )
    return Provider(name, kind, entry.base_url, None, needs_key=entry.api_key_env is not None)


def _same(one: str, other: str | None) -> bool:
    return other is not None and one.rstrip("/") == other.rstrip("/")


def unknown_provider(name: str, named: tuple[str, ...]) -> ConfigurationError:
    """Return the error for a provider that nobody knows."""
    known = sorted({*named, *preset_names()})
    meant = nearest(name, known)
    advice = f"did you mean {meant}?" if meant else f"known: {', '.join(known)}"
    return ConfigurationError(f"unsupported provider: {name}; {advice}; any other needs a base_url")


def reference_of(values: Configuration, model: str, provider: str | None) -> str:
    """Return *model* as ``provider/id`` where *provider* is named, else as it stands.

    A provider goes by the name of its entry or preset, so ``grok`` is ``xai``. Raises
    :exc:`~sunwell.errors.ConfigurationError` where nobody knows *provider*.
    """
    if provider is None:
        return model
    name = provider
    if provider not in values.providers:
        known = preset(provider)
        if known is None:
            raise unknown_provider(provider, tuple(values.providers))
        name = known.name
    if model.startswith(f"{name}/"):
        return model
    target = ALIASES.get(model, "")
    return target if target.startswith(f"{name}/") else f"{name}/{model}"


@attrs.frozen
class Resolved:
    """What an :class:`~sunwell.agent.Agent` and a run are given."""

    options: RunOptions
    registry: ModelRegistry
    prices: PriceBook
    names: Mapping[str, str] = attrs.field(hash=False)
    """What each role that is set is called in ``registry``."""
    model_plugins: ModelPlugins
    tool_plugins: ToolPlugins
    mcp_servers: McpServers = McpServers()


def resolve(
    values: Configuration, environ: Mapping[str, str] | None = None, *, find: Find = installed
) -> Resolved:
    """Return options, registry and prices for *values*; keys are read from *environ* when asked for.

    Plugins, which *find* tells of, are not imported before something of theirs is asked for.
    Raises :exc:`~sunwell.errors.ConfigurationError` for what the settings say and cannot be.
    """
    supply = providers_of(values, environ)
    model_plugins = ModelPlugins(Plugins("sunwell.models", values.plugins, find))
    tool_plugins = ToolPlugins(Plugins("sunwell.tools", values.plugins, find), values.plugins or ())
    registry = ModelRegistry(supply, model_plugins)
    catalog = Catalog(values, supply, model_plugins)
    for name in values.models:
        registry.register_factory(name, catalog.maker(name, Role()))
    named = {role: _register(role, catalog, registry) for role in ROLES}
    names = {role: name for role, name in named.items() if name is not None}
    return Resolved(
        options=_options(values, names, environ),
        registry=registry,
        prices=PriceBook(catalog.prices(), limits=ModelLimits(catalog.windows())),
        names=names,
        model_plugins=model_plugins,
        tool_plugins=tool_plugins,
        mcp_servers=mcp_servers_of(values, environ),
    )


@attrs.frozen
class Catalog:
    """The models that the settings name, with what is set for each."""

    values: Configuration
    supply: Providers
    plugins: ModelPlugins

    def reference(self, role: str) -> str | None:
        """Return what *role* refers to; a role with settings but no model takes the parent's."""
        chosen: Role = getattr(self.values, role)
        if chosen == Role():
            return None
        model = chosen.model
        if model is None and role == "delegation_model":
            parent = self.values.model if self.values.model.model else self.values.smart_model
            if parent.model is None:
                return None
            whole = reference_of(self.values, parent.model, parent.provider)
            if chosen.provider is None:
                return whole
            model = whole.partition("/")[2] or whole
        return None if model is None else reference_of(self.values, model, chosen.provider)

    def maker(self, name: str, role: Role) -> "Maker":
        """Return what makes the model called *name* with the settings of *role* on top of its own."""
        entry, target = self._followed(name)
        return Maker(target, _tuning(role, entry), self.supply, self.plugins, tuple(self.values.models))

    def _followed(self, name: str) -> tuple[ModelEntry, str]:
        """Return what is set for *name* and for the names that it stands for, and the last of them."""
        entry, target, seen = ModelEntry(), name, list[str]()
        while target in self.values.models:
            seen.append(target)
            below = self.values.models[target]
            entry = _over(entry, below)
            after = reference_of(self.values, below.model, below.provider) if below.model else target
            if after == target:
                break
            if after in seen:
                shown = " -> ".join((*seen, after))
                raise ConfigurationError(f"models.{name} would stand for itself: {shown}")
            target = after
        return entry, target

    def prices(self) -> dict[str, Price]:
        """Return the user's own prices by ``provider/id``."""
        found: dict[str, Price] = {}
        for name, entry in self.values.models.items():
            price = _price(name, entry)
            if price is None:
                continue
            target = self.maker(name, Role()).target
            if found.setdefault(target, price) != price:
                raise ConfigurationError(f"{target} has two prices, one under the name {name!r}: keep one")
        return found

    def windows(self) -> dict[str, int]:
        """Return the context windows that were set, by ``provider/id``."""
        entries = self.values.models.items()
        return {self.maker(n, Role()).target: e.context_window for n, e in entries if e.context_window}


@attrs.frozen
class Maker:
    """Makes one model when it is first asked for."""

    target: str
    """``provider/id``, an alias, or a bare id."""
    tuning: Tuning
    supply: Providers
    plugins: ModelPlugins
    known: tuple[str, ...] = ()

    def __call__(self) -> ModelProtocol:
        """Return the model. Raises what looking its provider or its plugin up raises."""
        reference = parse_reference(ALIASES.get(self.target, self.target))
        route = None if reference is None else self.supply.connection(reference.provider)
        if reference is not None and route is not None:
            return route.model(reference.model_id, tuning=self.tuning)
        plugged = self.plugins.model(self.target)
        if plugged is None:
            if reference is not None:
                raise unknown_provider(reference.provider, tuple(self.supply.named))
            known = {*self.known, *ALIASES, *self.plugins.names()}
            raise UnknownModelError(self.target, tuple(sorted(known)))
        if attrs.evolve(self.tuning, context_window=None) != UNTUNED:
            raise ConfigurationError(
                f"{self.target} is a plugin's model: its effort, limits and time-outs are the plugin's own"
            )
        return plugged


def _register(role: str, catalog: Catalog, registry: ModelRegistry) -> str | None:
    """Enter the model of *role* under a name of its own where it has settings; return what it is called."""
    reference = catalog.reference(role)
    if reference is None:
        return None
    maker = catalog.maker(reference, getattr(catalog.values, role))
    plain = catalog.maker(reference, Role())
    if maker.tuning == plain.tuning:
        return reference
    name = f"{role}:{reference}"  # a name, not the model: a resumed run finds it again
    registry.register_factory(name, maker)
    return name


def _options(
    values: Configuration, names: Mapping[str, str], environ: Mapping[str, str] | None
) -> RunOptions:
    """Return the options of a run with the models by name, and what follows from naming them."""
    run = values.run
    orchestrates = run.orchestrate if "orchestrate" in values.chosen else "orchestrator" in names
    delegates = "delegation_model" in names and not orchestrates
    if "enable_delegation" in values.chosen:
        delegates = run.enable_delegation
    # Older files switch sub-calls on beside an orchestrator, which has tools of its own.
    leaves_out = orchestrates and "sub_calls_enabled" in values.chosen
    smart = names.get("smart_model")
    return attrs.evolve(
        run,
        context_sources=context_sources_of(values, environ),
        auto_context=run.auto_context or any(one.auto_context for one in values.context.values()),
        enable_delegation=delegates,
        orchestrate=orchestrates,
        delegation_tools=None if leaves_out else run.delegation_tools,
        model=names.get("model"),
        smart_model=names.get("orchestrator", smart) if orchestrates else smart,
        delegation_model=names.get("delegation_model"),
        second_model=names.get("second_model"),
        judge_model=names.get("judge_model"),
    )


def context_sources_of(
    values: Configuration, environ: Mapping[str, str] | None = None
) -> tuple[ContextChoice, ...]:
    """Return the sources of context that *values* describe: those of the option, then ``[context.NAME]``.

    *environ* has the keys of servers. Raises :exc:`~sunwell.errors.ConfigurationError` for an entry that is
    neither a folder nor a server.
    """
    found: list[ContextChoice] = list(values.run.context_sources)
    for name, entry in values.context.items():
        if is_folder(entry):
            of_servers = [key for key in _OF_SERVERS if getattr(entry, key) is not None]
            if entry.path is None or of_servers:
                what = f"{of_servers[0]} is for servers" if of_servers else "it needs a path"
                raise ConfigurationError(f"context.{name} is a folder: {what}")
            found.append(f"{name}={entry.path}")
        elif entry.path is not None:
            raise ConfigurationError(
                f"context.{name} is a server, which has no path: leave one of the two out"
            )
        else:
            found.append(mcp_source_of(name, values, environ))
    return tuple(found)


def is_folder(entry: ContextEntry) -> bool:
    """Whether *entry* names a folder."""
    return entry.kind == "folder" or (entry.kind is None and entry.path is not None)


_OF_SERVERS = (
    "server", "tool", "query_argument", "tokens_argument", "document_tool", "document_argument", "api_key",
    "api_key_env", "project_slug", "timeout_seconds",
)  # fmt: skip


def _tuning(role: Role, entry: ModelEntry) -> Tuning:
    merged: dict[str, Any] = {"context_window": entry.context_window}
    for name in ("max_output_tokens", "effort", "thinking_tokens", "timeout_seconds"):
        set_for_role = getattr(role, name)
        merged[name] = getattr(entry, name) if set_for_role is None else set_for_role
    tuning = Tuning(**merged)
    return UNTUNED if tuning == UNTUNED else tuning


def _over(entry: ModelEntry, below: ModelEntry) -> ModelEntry:
    """Return *entry* with what it leaves open taken from *below*."""
    given = {key: value for key, value in attrs.asdict(entry).items() if value is not None}
    return attrs.evolve(below, **given)


def _price(name: str, entry: ModelEntry) -> Price | None:
    rates = (entry.input_usd_per_million, entry.output_usd_per_million)
    others = (entry.cached_input_usd_per_million, entry.cache_write_usd_per_million)
    if rates == (None, None) and others == (None, None):
        return None
    if rates[0] is None or rates[1] is None:
        raise ConfigurationError(
            f"models.{name} has half a price: set input_usd_per_million and output_usd_per_million"
        )
    writes = entry.cache_write_usd_per_million
    made = Rates(rates[0], rates[1], entry.cached_input_usd_per_million, writes)
    return Price(made, context_window=entry.context_window, source="configuration")
