"""What plugins there are, which of them the settings use, and whether those can be used."""

from collections.abc import Iterator

import attrs

from sunwell.config.resolving import Resolved
from sunwell.config.schema import Configuration
from sunwell.errors import PluginError
from sunwell.models.providers import is_beyond_built_in
from sunwell.plugins import Group
from sunwell.tools.tool_plugins import BUILT_IN, ToolPlugins


@attrs.frozen
class PluginRow:
    """One installed plugin."""

    name: str
    group: Group
    package: str
    """The package that offers it, with its version; empty where it does not say."""
    offers: tuple[str, ...] = ()
    """Names of its tools, where it was loaded."""
    is_used: bool = False
    """Whether the settings name it. What they do not name is not imported."""
    problem: str = ""

    @property
    def state(self) -> str:
        """What is to be said of it, in a few words."""
        if self.problem:
            return self.problem
        if not self.is_used:
            return "not used here"
        return f"gives {', '.join(self.offers)}" if self.offers else "can be used"


def plugin_rows(resolved: Resolved, values: Configuration) -> tuple[PluginRow, ...]:
    """Return a row for each plugin that *values* allow; only those that they name are loaded."""
    models, tools = resolved.model_plugins, resolved.tool_plugins
    named = {name: name.partition("/")[0] for name in (*resolved.names.values(), *_targets(values))}
    rows = []
    for plugin in models.names():
        problem = ""
        used = [name for name, of in named.items() if of == plugin and is_beyond_built_in(name)]
        for name in used:
            try:
                models.model(name)
            except PluginError as error:
                problem = error.sentence
        row = PluginRow(plugin, "sunwell.models", models.plugins.package(plugin))
        rows.append(attrs.evolve(row, is_used=bool(used), problem=problem))
    return (*rows, *_tool_rows(tools, values))


def _tool_rows(tools: ToolPlugins, values: Configuration) -> Iterator[PluginRow]:
    there, named = tools.plugins.names(), set(values.tools or ()) - BUILT_IN
    offered = set() if values.tools is not None else set(values.plugins or ())
    searches_all = bool(named - set(there))  # so does a run, for a tool that is called unlike its plugin
    for plugin in there:
        row = PluginRow(plugin, "sunwell.tools", tools.plugins.package(plugin))
        if searches_all or plugin in named | offered:
            try:
                offers = tuple(tool.spec.name for tool in tools.tools_of(plugin))
                used = plugin in offered or bool(named & set(offers))
                row = attrs.evolve(row, offers=offers, is_used=used)
            except PluginError as error:
                row = attrs.evolve(row, is_used=True, problem=error.sentence)
        yield row


def not_installed(resolved: Resolved) -> tuple[str, ...]:
    """Return a sentence for each plugin that the settings allow by name and that is not there."""
    allowed = resolved.tool_plugins.offered
    if not allowed:
        return ()
    there = {*resolved.model_plugins.names(), *resolved.tool_plugins.plugins.names()}
    return tuple(f"plugins: {name} is not installed" for name in allowed if name not in there)


def _targets(values: Configuration) -> tuple[str, ...]:
    return tuple(entry.model for entry in values.models.values() if entry.model)
