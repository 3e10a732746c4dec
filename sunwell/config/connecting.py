"""Named providers out of the settings: a preset's data, with what the user's entry says put over it."""

from collections.abc import Mapping
from typing import Any

import attrs

from sunwell.config.schema import Configuration, ProviderSettings
from sunwell.config.shape import nearest
from sunwell.errors import ConfigurationError
from sunwell.models.catalog import PRESETS, Provider, preset, preset_names
from sunwell.models.openai_chat import ChatQuirks
from sunwell.models.providers import Providers, provider_from_variables

_SAME_NAME = (
    "kind", "api", "base_url", "needs_key", "timeout_seconds", "stall_seconds", "connect_seconds",
    "requests_per_minute", "tokens_per_minute",
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
    if entry.non_reasoning_models is not None:
        given["without_effort"] = entry.non_reasoning_models
    quirks = {key: value for key, value in attrs.asdict(entry.quirks).items() if value is not None}
    if quirks:
        given["quirks"] = attrs.evolve(start.quirks or ChatQuirks(), **quirks)
    return attrs.evolve(start, name=name, **given)


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
