"""Models of plugins: made when they are first asked for by name."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import attrs

from sunwell.core.model import ModelProtocol
from sunwell.errors import PluginError
from sunwell.models.aliases import ALIASES
from sunwell.models.once import Recipe
from sunwell.models.presets import preset
from sunwell.models.references import parse_reference
from sunwell.plugins import Plugins


@attrs.define(eq=False)
class ModelPlugins:
    """The models that installed packages offer, below all that is built in.

    A plugin is a model, a callable that returns one, or a mapping of names to such. The only model
    of a plugin goes by the plugin's own name, one of several by ``PLUGIN/NAME``.
    """

    plugins: Plugins = attrs.field(factory=lambda: Plugins("sunwell.models"))
    _recipes: dict[str, Recipe] = attrs.field(factory=dict, init=False)

    def names(self) -> tuple[str, ...]:
        """Return the names of the plugins; nothing is imported."""
        return self.plugins.names()

    def model(self, name: str) -> ModelProtocol | None:
        """Return the model called *name*, made once; ``None`` where no plugin goes by that name.

        Raises :exc:`~sunwell.errors.PluginError` where the plugin cannot give it.
        """
        if name.partition("/")[0] not in self.names():
            return None
        return self._recipes.setdefault(name, Recipe(name, partial(self._made, name))).model()

    def _made(self, name: str) -> ModelProtocol:
        plugin, _, inner = name.partition("/")
        value = self._chosen(plugin, inner)
        if isinstance(value, type) or not _is_model(value):
            if not callable(value):
                self.plugins.leave_out(plugin, f"it gives {type(value).__name__}, no model")
            try:
                value = value()
            except (Exception, SystemExit) as error:  # somebody else's code
                self.plugins.fail(plugin, error)
        if isinstance(value, type) or not _is_model(value):
            self.plugins.leave_out(plugin, f"it gives {type(value).__name__}, no model")
        made: ModelProtocol = value
        return made

    def _chosen(self, plugin: str, inner: str) -> Any:
        value = self.plugins.load(plugin)
        if not isinstance(value, Mapping):
            if inner:
                raise PluginError(f"the plugin {plugin} has one model, which is called {plugin}")
            return value
        if inner not in value:
            there = ", ".join(f"{plugin}/{name}" for name in list(value)[:20]) or "none"
            raise PluginError(f"the plugin {plugin} has no such model; it has: {there}")
        return value[inner]


def is_beyond_built_in(model: str) -> bool:
    """Whether *model* names nothing that is built in: neither an alias nor a model of a known provider."""
    reference = parse_reference(ALIASES.get(model, model))
    return reference is None or preset(reference.provider) is None


def _is_model(value: object) -> bool:
    try:
        return isinstance(value, ModelProtocol)
    except Exception:  # asking for its attributes runs somebody else's code
        return False
