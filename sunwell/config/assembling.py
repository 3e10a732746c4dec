"""Settings of several sources put together: each is checked, the higher rank wins."""

from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from sunwell.config.kinds import allowed, read_value
from sunwell.config.schema import Configuration
from sunwell.config.settings import Path, Setting
from sunwell.config.shape import fields_of, is_table, kind_at, named_table
from sunwell.config.wording import wrong_value

_ROLES = ("model", "smart_model", "delegation_model", "orchestrator")


def checked(setting: Setting) -> Setting:
    """Return *setting* with its value as the schema has it. Raises ConfigurationError."""
    kind = kind_at(setting.path)
    try:
        return attrs.evolve(setting, value=read_value(setting.value, kind))
    except (ValueError, ArithmeticError):
        raise wrong_value(setting.origin, setting.value, allowed(kind)) from None


def winners(settings: Iterable[Setting]) -> dict[Path, Setting]:
    """Return for each path the setting of the highest rank; of one rank the last counts.

    A provider belongs to the model that it was written with: where a higher source names another
    model for the role, the provider of a lower one does not hold.
    """
    chosen: dict[Path, Setting] = {}
    for setting in settings:
        held = chosen.get(setting.path)
        if held is None or setting.origin.rank >= held.origin.rank:
            chosen[setting.path] = setting
    entries = [("models", path[1]) for path in chosen if path[0] == "models"]
    for role in [*((name,) for name in _ROLES), *dict.fromkeys(entries)]:
        provider, model = chosen.get((*role, "provider")), chosen.get((*role, "model"))
        if provider and model and model.origin.rank > provider.origin.rank:
            del chosen[provider.path]
    return chosen


def assembled(chosen: Mapping[Path, Setting]) -> Configuration:
    """Return the configuration that *chosen* settings, all checked, make."""
    tree: dict[str, Any] = {}
    for path, setting in chosen.items():
        table = tree
        for name in path[:-1]:
            table = table.setdefault(name, {})
        table[path[-1]] = setting.value
    made: Configuration = _made(Configuration, tree)
    return made


def _made(kind: Any, tree: Mapping[str, Any]) -> Any:
    member = named_table(kind)
    if member is not None and is_table(member):
        return {name: _made(member, value) for name, value in tree.items()}
    if not is_table(kind):
        return tree
    kinds = fields_of(kind)
    return kind(**{name: _made(kinds[name], value) for name, value in tree.items()})
