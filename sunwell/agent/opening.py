"""A run is opened: journal, toolbox and settings, for a new run or one that is taken up again."""

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

import attrs

from sunwell.agent.loop import AgentLoop
from sunwell.agent.loop_config import LoopConfig
from sunwell.agent.restoring import restore
from sunwell.agent.roles import Roles
from sunwell.agent.run import Run
from sunwell.agent.settings import options_from, settings_of
from sunwell.agent.toolset import Toolset
from sunwell.budget.values import Budget
from sunwell.context.gathering import gather
from sunwell.context.options import RunOptions
from sunwell.context.session import SessionContext
from sunwell.core.secrets import Secrets
from sunwell.core.tool import ToolExecutor
from sunwell.errors import JournalError
from sunwell.events import WARNED, Event, Warned
from sunwell.gateway.retry import RetryPolicy
from sunwell.journal.layout import new_run_id
from sunwell.journal.places import Journals
from sunwell.journal.protocol import Journal
from sunwell.journal.records import RunOpened, RunResumed
from sunwell.models.prices import PriceBook
from sunwell.tools.environment import secrets_from_environment
from sunwell.tools.originals import Originals
from sunwell.tools.toolbox import Toolbox
from sunwell.tools.workspace import Workspace

_CONTEXT_TOKENS = 12_000
"""Most of the workspace that the smart model is shown for a lens."""


@attrs.frozen
class Opened:
    """A run whose journal is open, and what it needs to begin or go on."""

    journal: Journal
    executor: ToolExecutor
    secrets: Secrets
    recalled: str = ""
    recorded: RunOpened | None = None
    """The first record of a run that is taken up again; ``None`` for a new one."""
    heed_refusals: bool = True
    accept_changes: bool = False

    def check_models(self, roles: Roles, accept_changes: bool) -> None:
        """Raise :exc:`~sunwell.errors.JournalError` where a model is not the recorded one."""
        if self.recorded is None or accept_changes:
            return
        recorded = self.recorded.settings["models"]
        now = settings_of(RunOptions(), roles, "")["models"]
        for role, name in recorded.items():
            if now[role] != name:
                raise JournalError(
                    f"{role} was {name or 'not named'} and is {now[role] or 'not named'} now: name the same "
                    "model, or take the run up with --accept-changes"
                )

    def loop_config(self, options: RunOptions, prices: PriceBook, retry: RetryPolicy) -> LoopConfig:
        """Return the loop's settings for *options*."""
        return LoopConfig(
            enable_delegation=options.enable_delegation,
            delegation_threshold_tokens=options.delegation_threshold_tokens,
            budget=options.budget,
            max_output_tokens=options.max_output_tokens,
            effort=options.effort,
            on_lens_failure=options.on_lens_failure,
            stream=options.stream,
            prices=prices,
            retry=retry,
        )

    async def events(
        self, loop: AgentLoop, session: SessionContext, roles: Roles
    ) -> AsyncGenerator[Event, None]:
        """Write the first record, or book what was spent before, and yield the events of the run."""
        config = loop.config
        run = Run.begin(
            loop,
            self.journal,
            config.ceilings,
            prices=config.prices,
            retry=config.retry,
            accept_changes=self.accept_changes,
        )
        run.gateway.heed_refusals = self.heed_refusals
        task = self.secrets.redact(session.goal)
        if self.recorded is None:
            settings = settings_of(session.options, roles, self.secrets.redact(self.recalled))
            opened = RunOpened(self.journal.run_id, task, time.time(), str(session.workspace), settings)
            await self.journal.append(opened)
        else:
            settings = dict(self.recorded.settings)
            restore(run)
            await self.journal.append(RunResumed(time.time()))
        for warning in roles.warnings:
            run.tell(WARNED, Warned(warning))
        tools = Toolset.of(session.options.tools, self.executor)
        prompt = session.options.system_prompt
        events = loop.events(
            run,
            _with_recalled(task, settings["recalled"]),
            tools,
            self.secrets.redact(prompt) if prompt else None,
            context=lambda: gather(
                session.workspace, task, limit_tokens=_CONTEXT_TOKENS, secrets=self.secrets
            ),
            resumed=self.recorded is not None,
        )
        async with aclosing(events) as told:
            async for event in told:
                yield event


def open_new(
    journals: Journals, session: SessionContext, roles: Roles, recalled: str, executor: ToolExecutor | None
) -> Opened:
    """Make the journal of a new run in the session's workspace."""
    secrets = _secrets(roles)
    journal = journals.create(session.workspace, new_run_id())
    return Opened(journal, executor or _toolbox(session, journal, secrets), secrets, recalled)


def reopen(
    journals: Journals,
    workspace: Path,
    run_id: str,
    options: RunOptions | None,
    budget: Budget | None,
    executor: ToolExecutor | None,
) -> tuple[Opened, SessionContext]:
    """Open the journal of a run for going on, and return it with the session that it recorded."""
    journal = journals.open(workspace, run_id)
    try:
        recorded = journal.find(RunOpened, ())
        if recorded is None:
            raise JournalError(f"{journal.path} does not begin with a run: it cannot be taken up")
        chosen = options or options_from(recorded.settings)
        if budget is not None:
            chosen = attrs.evolve(chosen, budget=budget)
        session = SessionContext.build(workspace, recorded.task, chosen)
        secrets = secrets_from_environment()
        tools = executor or _toolbox(session, journal, secrets)
        opened = Opened(
            journal, tools, secrets, recorded=recorded, heed_refusals=budget is None and options is None
        )
        return opened, session
    except BaseException:
        journal.close()
        raise


def _toolbox(session: SessionContext, journal: Journal, secrets: Secrets) -> Toolbox:
    options = session.options
    return Toolbox(
        Workspace(session.workspace),
        allow_shell=options.allow_shell,
        approve=options.approve,
        dry_run=options.dry_run,
        secrets=secrets,
        originals=Originals(journal.path.parent / "originals") if journal.path else None,
    )


def _secrets(roles: Roles) -> Secrets:
    secrets = secrets_from_environment()
    for model in (roles.own, roles.smart, roles.worker):
        key = getattr(getattr(model, "connection", None), "api_key", None)
        if isinstance(key, str):
            secrets.add(key, "API key")
    return secrets


def _with_recalled(task: str, recalled: str) -> str:
    if not recalled.strip():
        return task
    return f"{task}\n\nKnown from before:\n{recalled}"
