"""Where a run's tools come from: the caller's own executor, or the workspace's toolbox and plugins.

Whichever it is, the run's options hold for it.
"""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from functools import cache
from pathlib import Path
from typing import Any

import attrs

from sunwell.agent.orchestration.orchestration import tools_called
from sunwell.agent.run.context_lookup import CONTEXT_QUERY
from sunwell.context.options import RunOptions
from sunwell.context.session import SessionContext
from sunwell.core.model import ToolSpec
from sunwell.core.secrets import Secrets
from sunwell.core.tool import Tool, ToolExecutor
from sunwell.errors import ConfigurationError, JournalError
from sunwell.journal.protocol import Journal
from sunwell.tools.described_tool import DescribedExecutor, DescribedTool, has_only_execute
from sunwell.tools.function_tool import require_distinct
from sunwell.tools.mcp_tools import McpServers
from sunwell.tools.originals import Originals
from sunwell.tools.policy import Rules, under_rules
from sunwell.tools.tool_plugins import BUILT_IN, Plugged, ToolPlugins
from sunwell.tools.toolbox import Toolbox
from sunwell.tools.workspace import Workspace

_RULES = ("allow_shell", "allow_python", "approve", "dry_run", "sandbox", "allow_network", "allow_write")
"""Options of a run that hold for whoever carries its tool calls out."""


@attrs.frozen
class Equipment:
    """What an agent has to make the tools of a run from."""

    executor: ToolExecutor | None = None
    """Who carries tool calls out in place of a toolbox; plugins are then the caller's own affair."""
    plugins: ToolPlugins = attrs.field(factory=ToolPlugins)
    tools: tuple[Tool, ...] = ()
    """The agent's own tools, which are added to a toolbox."""

    servers: McpServers | None = None
    """The MCP servers that a run starts."""
    served: tuple[Tool, ...] = ()
    """The tools of the servers that this run has started, or has recorded."""
    problems: tuple[str, ...] = ()
    """A sentence for each server, and each tool of one, that cannot be used."""
    server_secrets: Secrets | None = attrs.field(default=None, repr=False)

    def serving(self, workspace: Path) -> AbstractAsyncContextManager["Equipment"]:
        """Start the servers for a run in *workspace* and yield this with their tools; end them afterwards.

        Raises :exc:`~sunwell.errors.ConfigurationError` if the caller's own executor cannot have the tools.
        """
        if self.servers is None or not self.servers.tool_names:
            return nullcontext(self)
        return self._served_by(self.servers, workspace)

    @asynccontextmanager
    async def _served_by(self, servers: McpServers, workspace: Path) -> AsyncIterator["Equipment"]:
        if self.executor is not None and not isinstance(self.executor, Toolbox):
            raise ConfigurationError(
                f"MCP servers add their tools to a Toolbox, and the executor {type(self.executor).__name__} "
                "is none: leave the servers out, or use a Toolbox"
            )
        async with servers.served(Workspace(workspace).root) as found:
            yield attrs.evolve(
                self, served=found.tools, problems=found.problems, server_secrets=found.secrets
            )

    def recorded(self, settings: Mapping[str, Any]) -> "Equipment":
        """Return this with the tools of servers that *settings* of a run describe; nobody carries them out.

        Raises :exc:`~sunwell.errors.JournalError` for a description that is damaged.
        """
        try:
            told = settings.get("served_tools", ())
            specs = [ToolSpec(name, said, dict(json.loads(schema))) for name, said, schema in told]
        except (TypeError, ValueError, RecursionError):
            raise JournalError(
                "the settings in the journal are damaged: the tools of MCP servers cannot be read"
            ) from None
        return attrs.evolve(self, served=tuple(DescribedTool(spec) for spec in specs), problems=())

    @property
    def served_names(self) -> frozenset[str]:
        """The names of the tools of servers, whether or not these can be used."""
        granted = () if self.servers is None else self.servers.tool_names
        return frozenset((*granted, *(tool.spec.name for tool in self.served)))

    @property
    def own_plugins(self) -> ToolPlugins | None:
        """The plugins that tools come from; ``None`` if the caller's own executor has the tools."""
        return None if self.executor is not None else self.plugins

    def own_tools(self, options: RunOptions) -> tuple[Tool, ...]:
        """Return the caller's own tools of a run with *options*: the agent's, then those of the options.

        Raises :exc:`~sunwell.errors.ConfigurationError` if two have one name, or one has a name that
        other tools may have.
        """
        tools = (*self.tools, *options.own_tools)
        if not tools:
            return ()
        require_distinct(tool.spec.name for tool in tools)
        for tool in tools:
            if tool.spec.name in taken_names():
                raise ConfigurationError(
                    f"a tool of yours is called {tool.spec.name!r}, like one of Sunwell's: rename it"
                )
        return tools

    def playable(self, options: RunOptions, settings: Mapping[str, Any]) -> RunOptions:
        """Return the recorded *options* without the names of tools that the record cannot hold."""
        there = {tool.spec.name for tool in self.tools}
        gone = {name for name, _ in settings.get("own_tools", ())} - there
        kept = None if options.tools is None else tuple(one for one in options.tools if one not in gone)
        return attrs.evolve(options, tools=kept)

    def executor_for(
        self,
        session: SessionContext,
        journal: Journal | None,
        secrets: Secrets,
        workspace: Workspace | None = None,
    ) -> ToolExecutor:
        """Return who carries out the tool calls of the run in *journal*, under the rules of *session*.

        Without a journal, no originals are kept until :func:`~sunwell.tools.policy.keep_originals` says so.
        *workspace* is that of *session*, if it is known already.
        Raises :exc:`~sunwell.errors.ConfigurationError` for rules that the executor cannot be held to.
        """
        kept = Originals.of_run(journal.path) if journal and journal.path else None
        if self.server_secrets is not None:
            secrets.join(self.server_secrets)
        return self._ruled(session, secrets, kept, workspace)

    def preview(self, session: SessionContext, workspace: Workspace | None = None) -> ToolExecutor:
        """Return who would carry out tool calls, before there is a journal; raises as above."""
        return self._ruled(session, Secrets(), None, workspace)

    def described(self, session: SessionContext) -> ToolExecutor:
        """Return whose tools the models of a recorded run are told of: it carries nothing out."""
        if self.executor is not None and not isinstance(self.executor, Toolbox):
            own = self.own_tools(session.options)
            if own and has_only_execute(self.executor):
                return DescribedExecutor(self.executor, tuple(tool.spec for tool in own))
            self._require_carried_out(own)
            return self.executor
        options = attrs.evolve(session.options, approve=None, dry_run=False)
        return self.preview(attrs.evolve(session, options=options))

    def _ruled(
        self,
        session: SessionContext,
        secrets: Secrets,
        kept: Originals | None,
        workspace: Workspace | None,
    ) -> ToolExecutor:
        options, workspace = session.options, workspace or Workspace(session.workspace)
        executor, own = self.executor, self.own_tools(options)
        if own and executor is not None and has_only_execute(executor):
            executor, own = DescribedExecutor(executor, tuple(tool.spec for tool in own)), ()
        self._require_carried_out(own)
        rules: dict[str, Any] = {name: getattr(options, name) for name in _RULES}
        rules |= {"secrets": secrets, "originals": kept}
        if executor is None:
            tools = (*self.plugged(options).tools, *own, *self.served)
            return Toolbox(workspace.hiding(options.ignore), tools, **rules)
        if isinstance(executor, Toolbox) and (own or self.served):
            executor = executor.adding((*own, *self.served))
        return under_rules(executor, Rules(workspace, ignore=options.ignore, **rules))

    def _require_carried_out(self, own: tuple[Tool, ...]) -> None:
        for tool in own:
            if isinstance(tool, DescribedTool):
                raise ConfigurationError(
                    f"tools= describes {tool.spec.name}, and nobody carries it out: pass the function, or an "
                    "executor that has only execute"
                )
        if own and self.executor is not None and not isinstance(self.executor, Toolbox):
            raise ConfigurationError(
                f"tools= adds {own[0].spec.name} to a Toolbox, and the executor "
                f"{type(self.executor).__name__} is none: let the executor carry it out, or use a Toolbox"
            )

    def require_sandbox(self, session: SessionContext, executor: ToolExecutor | None = None) -> None:
        """Raise :exc:`~sunwell.errors.ConfigurationError` if commands cannot run in a sandbox.

        *executor* is the preview for *session*, if there is one already.
        """
        check = getattr(executor or self.preview(session), "require_sandbox", None)
        if callable(check):
            check(self.names(session.options))

    def plugged(self, options: RunOptions) -> Plugged:
        """Return what plugins add to a run with *options*."""
        if self.executor is not None:
            return Plugged()
        names = None if options.tools is None else options.tool_names
        if not self.plugins.offered and (names is None or BUILT_IN.issuperset(names)):
            return Plugged()
        own = {tool.spec.name for tool in self.own_tools(options)}
        return self.plugins.chosen(names, taken_names() | own | self.served_names)

    def names(self, options: RunOptions) -> tuple[str, ...] | None:
        """Return the tools that *options* name, without those of plugins and servers that are broken."""
        chosen = None if options.tools is None else options.tool_names
        if chosen is None:
            return None
        left_out = set(self.plugged(options).left_out)
        left_out |= self.served_names - {tool.spec.name for tool in self.served}
        if options.context_sources:  # it is no tool of the executor's
            left_out.add(CONTEXT_QUERY)
        return tuple(name for name in chosen if name not in left_out)


@cache
def taken_names() -> frozenset[str]:
    """Return the names that no plugin's tool may have."""
    handing_out = (tool for kind in ("delegate", "rlm", "subagent") for tool in tools_called(kind))
    return BUILT_IN | {tool.spec.name for tool in handing_out} | {"set_answer", "run_checks", CONTEXT_QUERY}
