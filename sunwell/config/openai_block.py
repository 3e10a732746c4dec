"""The block ``openai:`` under a model, as one of the seeds writes it, turned into a named provider."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from sunwell.config.kinds import read_value
from sunwell.config.settings import Origin, Path, Setting
from sunwell.config.wording import not_a_table, unknown_key, wrong_value
from sunwell.models.catalog import preset, preset_names

_PER_MILLION = Decimal(1_000_000)
_RATES = {
    "input": "input_usd_per_million",
    "cached_input": "cached_input_usd_per_million",
    "output": "output_usd_per_million",
}
_LISTS = {"reasoning": "reasoning_models", "non_reasoning": "non_reasoning_models"}
_KNOWN = ("preset", "base_url", "models", "pricing", "api_key_env")

BLOCKS: Mapping[Path, str] = {
    ("openai",): "model",
    ("subagent", "openai"): "delegation_model",
    ("rlm", "subagent", "openai"): "delegation_model",
    ("orchestrator", "openai"): "orchestrator",
    ("rlm", "orchestrator", "openai"): "orchestrator",
}
"""Where such a block may stand, and the role that it belongs to."""


class OpenAIBlock:
    """One block, with the means to say where each of its keys stands."""

    def __init__(self, role: str, block: Mapping[str, Any], path: Path, origin_of: Any) -> None:
        self.role, self.block, self.path = role, block, path
        self._origin_of = origin_of
        self.name = self._provider_name()

    def settings(self) -> Iterator[Setting]:
        """Yield the settings that the block means; raises ConfigurationError for what it cannot mean."""
        for key in self.block:
            if key not in _KNOWN:
                raise unknown_key(self._origin(key), key, _KNOWN)
        yield Setting((self.role, "provider"), self.name, self._origin("preset"))
        named = {"preset": "preset", "base_url": "base_url", "api_key_env": "api_key_env"}
        own_entry = preset(self.name) is None
        for key, target in named.items():
            if key in self.block and (own_entry or key == "api_key_env"):
                yield Setting(("providers", self.name, target), self.block[key], self._origin(key))
        if own_entry:
            yield Setting(("providers", self.name, "kind"), "openai", self._origin("base_url"))
        yield from self._models()
        yield from self._prices()

    def _provider_name(self) -> str:
        """A preset at its own address goes by its name; anything else is a provider of its own."""
        wanted, url = self.block.get("preset"), self.block.get("base_url")
        known = None
        if wanted is not None:
            known = preset(wanted) if isinstance(wanted, str) else None
            if known is None:
                raise wrong_value(self._origin("preset"), wanted, "one of " + ", ".join(preset_names()))
        if known is not None and url in (None, known.base_url, f"{known.base_url}/"):
            return known.name
        if url is None:
            return "openai"
        return f"{self.role}-openai".replace("_", "-")

    def _models(self) -> Iterator[Setting]:
        models = self._table(self.block.get("models"), "models")
        for key, names in models.items():
            if key not in _LISTS:
                raise unknown_key(self._origin("models", key), key, _LISTS)
            yield Setting(("providers", self.name, _LISTS[key]), names, self._origin("models", key))

    def _prices(self) -> Iterator[Setting]:
        """Prices stand here in dollars for one token, elsewhere for a million."""
        for model, figures in self._table(self.block.get("pricing"), "pricing").items():
            entry = ("models", f"{self.name}/{model}")
            for key, figure in self._table(figures, "pricing", model).items():
                origin = self._origin("pricing", model, key)
                if key == "context_window":
                    yield Setting((*entry, key), figure, origin)
                elif key in _RATES:
                    try:
                        rate = read_value(figure, Decimal) * _PER_MILLION
                    except ValueError:
                        raise wrong_value(origin, figure, "US dollars for one token") from None
                    yield Setting((*entry, _RATES[key]), rate, origin)
                else:
                    raise unknown_key(origin, key, (*_RATES, "context_window"))

    def _table(self, value: Any, *keys: str) -> Mapping[str, Any]:
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            raise not_a_table(self._origin(*keys), value)
        return value

    def _origin(self, *keys: str) -> Origin:
        return self._origin_of((*self.path, *keys))  # type: ignore[no-any-return]
