"""Where a run's tools come from: the caller's own executor, or the workspace's toolbox and plugins.

Whichever it is, the run's options hold for it.
"""

import attrs

from sunwell.agent.orchestration.orchestration import tools_called
from sunwell.context.options import RunOptions
from sunwell.context.session import SessionContext
from sunwell.core.secrets import Secrets
from sunwell.core.tool import ToolExecutor
from sunwell.journal.protocol import Journal
from sunwell.tools.originals import Originals
from sunwell.tools.policy import Rules, under_rules
from sunwell.tools.tool_plugins import BUILT_IN, Plugged, ToolPlugins
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
        """Return who carries out the tool calls of the run in *journal*, under the rules of *session*.

        Raises :exc:`~sunwell.errors.ConfigurationError` for rules that the executor cannot be held to.
        """
        kept = Originals(journal.path.parent / "originals") if journal.path else None
        return self._ruled(session, secrets, kept)

    def preview(self, session: SessionContext) -> ToolExecutor:
        """Return who would carry out tool calls, before there is a journal; raises as above."""
        return self._ruled(session, Secrets(), None)

    def described(self, session: SessionContext) -> ToolExecutor:
        """Return whose tools the models of a recorded run are told of: it carries nothing out."""
        if self.executor is not None and not isinstance(self.executor, Toolbox):
            return self.executor
        options = attrs.evolve(session.options, approve=None, dry_run=False)
        return self.preview(attrs.evolve(session, options=options))

    def _ruled(self, session: SessionContext, secrets: Secrets, kept: Originals | None) -> ToolExecutor:
        options, workspace = session.options, Workspace(session.workspace)
        executor = self.executor
        if executor is None:
            executor = Toolbox(workspace, self.plugged(options).tools, secrets=secrets)
        rules = Rules(
            workspace,
            allow_shell=options.allow_shell,
            allow_python=options.allow_python,
            approve=options.approve,
            dry_run=options.dry_run,
            sandbox=options.sandbox,
            secrets=secrets,
            originals=kept,
        )
        return under_rules(executor, rules)

    def require_sandbox(self, session: SessionContext) -> None:
        """Raise :exc:`~sunwell.errors.ConfigurationError` if commands cannot run in a sandbox."""
        check = getattr(self.preview(session), "require_sandbox", None)
        if callable(check):
            check(self.names(session.options))

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
