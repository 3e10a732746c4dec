"""Models and tools that other packages offer: a broken one is named and left out, never fatal."""

from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal

import attrs

from sunwell.core.model import ModelProtocol
from sunwell.models.registry import ModelRegistry

Group = Literal["sunwell.models", "sunwell.tools"]


@attrs.frozen
class Plugin:
    """What one entry point gave, or why it gave nothing."""

    name: str
    group: Group
    value: Any = attrs.field(default=None, repr=False)
    problem: str = ""
    """Empty where the plugin could be loaded."""


def load_plugins(
    group: Group,
    allowed: tuple[str, ...] | None = None,
    *,
    find: Callable[..., Iterable[EntryPoint]] = entry_points,
) -> tuple[Plugin, ...]:
    """Return the installed plugins of *group* by name; ``allowed=None`` loads all, ``()`` none.

    A plugin of models is a callable that returns a model, or a mapping of names to such; a plugin of
    tools is a tool or several. Whatever loading it raises becomes its ``problem``.
    """
    found = sorted(find(group=group), key=lambda point: point.name)
    return tuple(_loaded(point, group) for point in found if allowed is None or point.name in allowed)


def register_models(plugins: Iterable[Plugin], registry: ModelRegistry) -> tuple[str, ...]:
    """Enter the models of *plugins* in *registry*; return a warning for each that was left out."""
    warnings = []
    for plugin in plugins:
        if plugin.problem:
            warnings.append(plugin.problem)
            continue
        for name, factory in _factories(plugin):
            if callable(factory):
                registry.register_factory(name, factory)
            elif isinstance(factory, ModelProtocol):
                registry.register(name, factory)
            else:
                warnings.append(
                    _left_out(plugin.group, plugin.name, f"it gives {type(factory).__name__}, no model")
                )
    return tuple(warnings)


def _factories(plugin: Plugin) -> Iterator[tuple[str, Any]]:
    if isinstance(plugin.value, dict):
        yield from ((str(name), value) for name, value in plugin.value.items())
    else:
        yield plugin.name, plugin.value


def _loaded(point: EntryPoint, group: Group) -> Plugin:
    try:
        return Plugin(point.name, group, point.load())
    except Exception as error:  # somebody else's code: whatever it raises, the run goes on without it
        said = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        return Plugin(point.name, group, problem=_left_out(group, point.name, said))


def _left_out(group: str, name: str, why: str) -> str:
    return f"the plugin {name} ({group}) is left out: {why}"
