"""Names of tools, and the tools that plugins add."""

import difflib
import re
from collections.abc import Iterable, Iterator

import attrs

from sunwell.core.model import ToolSpec
from sunwell.core.tool import Tool
from sunwell.errors import PluginError
from sunwell.plugins import Plugins
from sunwell.tools.wording import nearest, on_one_line

BUILT_IN = frozenset(
    {"list_files", "read_file", "search_files", "write_file", "edit_file", "execute_python", "run_command"}
)
"""The tools that every workspace has; the last two only if they are allowed."""


def unknown_tool(name: str, known: tuple[str, ...]) -> str:
    """Return an error sentence that lists the available tools, the most similar first."""
    shown = on_one_line(name)[:100]
    if not known:
        return f"there is no tool {shown!r}, and no other tool either"
    alike = sorted(known, key=lambda one: -difflib.SequenceMatcher(None, name[:100], one).ratio())
    meant = nearest(name, known)
    hint = f"; did you mean {meant}? There are" if meant else "; there are"
    return f"there is no tool {shown!r}{hint}: {', '.join(alike)}"


_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


@attrs.frozen
class Plugged:
    """The plugin tools of one run."""

    tools: tuple[Tool, ...] = ()
    problems: tuple[str, ...] = ()
    """A sentence for each plugin and tool that is left out."""
    left_out: frozenset[str] = frozenset()
    """Requested names that belong to broken plugins."""


@attrs.define(eq=False)
class ToolPlugins:
    """The tools that installed packages offer; a run has those that its caller or user names.

    A plugin is a tool, several tools, or a callable that returns either. ``offered`` names the plugins
    whose tools a run gets if it does not choose its tools.
    """

    plugins: Plugins = attrs.field(factory=lambda: Plugins("sunwell.tools"))
    offered: tuple[str, ...] = ()
    _tools: dict[str, tuple[Tool, ...] | PluginError] = attrs.field(factory=dict, init=False)

    def chosen(self, names: Iterable[str] | None, taken: frozenset[str]) -> Plugged:
        """Return the tools for a run that chose *names*; ``None``: it did not choose.

        Names in *taken* are in use already. Any other name is searched in the plugin of that name, then
        in the others. Problems of a plugin are returned, not raised.
        """
        if names is None:
            return self._all_offered(taken)
        wanted = [name for name in dict.fromkeys(names) if name not in taken]
        return self._named(wanted) if wanted else Plugged()

    def tools_of(self, plugin: str) -> tuple[Tool, ...]:
        """Return the tools of *plugin*. Raises :exc:`~sunwell.errors.PluginError` if it has none."""
        if plugin not in self._tools:
            try:
                self._tools[plugin] = tuple(self._checked(plugin))
            except PluginError as error:
                self._tools[plugin] = error
        found = self._tools[plugin]
        if isinstance(found, PluginError):
            raise PluginError(found.sentence)
        return found

    def _all_offered(self, taken: frozenset[str]) -> Plugged:
        tools: dict[str, Tool] = {}
        problems: list[str] = []
        there = self.plugins.names() if self.offered else ()
        for plugin in (one for one in dict.fromkeys(self.offered) if one in there):
            try:
                for tool in self.tools_of(plugin):
                    name = tool.spec.name
                    if name in taken or name in tools:
                        said = f"the tool {name} of the plugin {plugin} is left out: the name is taken"
                        problems.append(said)
                    else:
                        tools[name] = tool
            except PluginError as error:
                problems.append(error.sentence)
        return Plugged(tuple(tools.values()), tuple(problems))

    def _named(self, wanted: list[str]) -> Plugged:
        tools: list[Tool] = []
        problems: dict[str, None] = {}
        left_out: set[str] = set()
        there = self.plugins.names()
        for name in wanted:
            failed: list[str] = []
            for plugin in sorted(there, key=lambda one: (one != name, one not in self.offered)):
                try:
                    found = next((tool for tool in self.tools_of(plugin) if tool.spec.name == name), None)
                except PluginError as error:
                    failed.append(error.sentence)
                    found = None
                if found is not None:
                    tools.append(found)
                    break
            else:
                problems |= dict.fromkeys(failed)
                if failed:  # it is unknown whether one of these has it
                    problems[f"the tool {name} is left out: no plugin that can be loaded has it"] = None
                    left_out.add(name)
        return Plugged(tuple(tools), tuple(problems), frozenset(left_out))

    def _checked(self, plugin: str) -> Iterator[Tool]:
        value = self.plugins.load(plugin)
        try:
            if isinstance(value, type) or (callable(value) and not isinstance(value, Tool)):
                value = value()
            several = [value] if isinstance(value, Tool) else list(value)
            names = [_name_of(tool) for tool in several]
        except (Exception, SystemExit) as error:  # foreign code, and any value that it returns
            self.plugins.fail(plugin, error)
        if not names or "" in names:
            self.plugins.leave_out(plugin, "it returns no tool: decorate a function with @tool")
        if len(set(names)) < len(names):
            self.plugins.leave_out(plugin, "two of its tools have the same name")
        yield from several


def _name_of(tool: object) -> str:
    """Return the name of *tool*; empty if it is not a valid tool."""
    if isinstance(tool, type) or not isinstance(tool, Tool) or not isinstance(tool.spec, ToolSpec):
        return ""
    return tool.spec.name if _NAME.fullmatch(tool.spec.name) else ""
