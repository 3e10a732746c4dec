"""Where a run's tools come from: the caller's own executor, or the workspace's toolbox and plugins."""

import attrs

from sunwell.agent.delegation.delegating import tools_called
from sunwell.context.options import RunOptions
from sunwell.context.session import SessionContext
from sunwell.core.secrets import Secrets
from sunwell.core.tool import ToolExecutor
from sunwell.journal.protocol import Journal
from sunwell.tools.naming import BUILT_IN
from sunwell.tools.originals import Originals
from sunwell.tools.plugged import Plugged, ToolPlugins
from sunwell.tools.toolbox import Toolbox
from sunwell.tools.workspace import Workspace


@attrs.frozen
class Equipment:
    """What an agent has to make the tools of a run from."""

    executor: ToolExecutor | None = None
    """Who carries tool calls out in place of a toolbox; plugins are then the caller's own affair."""
    plugins: ToolPlugins = attrs.field(factory=ToolPlugins)

    @property
    def own_plugins(self) -> ToolPlugins | None:
        """The plugins that tools come from; ``None`` if the caller's own executor has the tools."""
        return None if self.executor is not None else self.plugins

    def executor_for(self, session: SessionContext, journal: Journal, secrets: Secrets) -> ToolExecutor:
        """Return who carries out the tool calls of the run in *journal*."""
        if self.executor is not None:
            return self.executor
        options = session.options
        return Toolbox(
            Workspace(session.workspace),
            self.plugged(options).tools,
            allow_shell=options.allow_shell,
            allow_python=options.allow_python,
            approve=options.approve,
            dry_run=options.dry_run,
            secrets=secrets,
            originals=Originals(journal.path.parent / "originals") if journal.path else None,
        )

    def preview(self, session: SessionContext) -> ToolExecutor:
        """Return who would carry out tool calls, before there is a journal."""
        if self.executor is not None:
            return self.executor
        options = session.options
        return Toolbox(
            session.workspace,
            self.plugged(options).tools,
            allow_shell=options.allow_shell,
            allow_python=options.allow_python,
        )

    def plugged(self, options: RunOptions) -> Plugged:
        """Return what plugins add to a run with *options*."""
        return Plugged() if self.executor is not None else self.plugins.chosen(options.tools, taken_names())

    def names(self, options: RunOptions) -> tuple[str, ...] | None:
        """Return the tools that *options* name, without those of plugins that are broken."""
        if options.tools is None:
            return None
        left_out = self.plugged(options).left_out
        return tuple(name for name in options.tools if name not in left_out)


def taken_names() -> frozenset[str]:
    """Return the names that no plugin's tool may have."""
    handing_out = (tool for kind in ("delegate", "rlm", "subagent") for tool in tools_called(kind))
    return BUILT_IN | {tool.spec.name for tool in handing_out} | {"set_answer"}
