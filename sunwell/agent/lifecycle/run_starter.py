"""Starts the runs of an agent: new ones, and recorded ones that go on, are played again or are forked.

What only recorded runs need is imported where they start: no new run has to wait for it.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import attrs

from sunwell.agent.batches.results_file import ResultsFile
from sunwell.agent.batches.task_batch import Batch
from sunwell.agent.lifecycle.authority import CallerTerms, require_own_models
from sunwell.agent.lifecycle.continuation import earlier_entries
from sunwell.agent.lifecycle.equipment import Equipment
from sunwell.agent.lifecycle.model_roles import Choices, Roles, resolve_roles
from sunwell.agent.lifecycle.open_run import RunStart, learn_keys, open_new, reopen
from sunwell.agent.loop import AgentLoop
from sunwell.agent.orchestration.worker_checks import require_worker_checks
from sunwell.agent.policy.cache_planner import CacheLessons
from sunwell.agent.run.asked_contexts import AskedContexts, GivenAgain
from sunwell.agent.run.context_lookup import with_context_query
from sunwell.agent.run.loop_config import LoopConfig
from sunwell.agent.run.run_context import EventStream, came_to_its_end
from sunwell.agent.run.toolset import Toolset
from sunwell.context.options import RunOptions
from sunwell.context.session import SessionContext
from sunwell.errors import ConfigurationError
from sunwell.gateway.retry import RetryPolicy
from sunwell.journal.places import Journals
from sunwell.journal.records import Continued, RunOpened
from sunwell.memory.scratchpad import left_by
from sunwell.models.prices import PriceBook
from sunwell.models.registry import ModelRegistry
from sunwell.tools.tool_plugins import unknown_tool


@attrs.frozen
class RunStarter:
    """Starts runs with what an agent was given. Each run ends when the body that takes its events does."""

    models: Choices
    """What the agent itself names."""
    equipment: Equipment
    registry: ModelRegistry
    prices: PriceBook
    journals: Journals
    retry: RetryPolicy
    lessons: CacheLessons = attrs.field(factory=CacheLessons)
    """What the caches of providers have shown in the runs of this agent."""
    loops: list[AgentLoop] = attrs.field(factory=list)
    """The loops that are at work."""

    @asynccontextmanager
    async def new(
        self,
        session: SessionContext,
        recall: Callable[[str], str] | None = None,
        *,
        batch: Batch | None = None,
        lens_only: bool = False,
        asked: AskedContexts | None = None,
    ) -> AsyncIterator[EventStream]:
        """Start a run of *session*; what speaks against it is found before anything is written."""
        if not isinstance(session, SessionContext):
            raise TypeError(f"a session is wanted, SessionContext.build(workspace, goal), got {session!r}")
        roles = self._roles(session.options)
        loop = self._loop(session.options, roles)
        loop.check(batch, lens_only=lens_only, asks=asked is not None)  # before there is a journal
        recalled = recall(session.goal) if recall is not None else ""
        async with self.equipment.serving(session.workspace) as equipment:
            self._require_named(session, batch, equipment)
            start = open_new(
                self.journals, session, roles, recalled, equipment, batch, lens_only=lens_only, asked=asked
            )
            async with self._events(start, session, roles, loop) as events:
                yield events

    def _require_named(self, session: SessionContext, batch: Batch | None, equipment: Equipment) -> None:
        """Refuse what the caller names and a run could not use: earlier runs, a results file, tools of tasks.

        A run that is refused leaves no journal behind.
        """
        left_by(self.journals, session.workspace, session.options.earlier_runs)
        options = session.options
        if options.escalate and (options.orchestrate or options.delegation_tools) and batch is None:
            require_worker_checks(equipment.preview(session), equipment.names(options))
        if batch is None:
            return
        if batch.results is not None:
            ResultsFile.require_new(batch.results)
        named = {name for task in batch.tasks for name in task.tools or ()}
        if not named:
            return
        tools = Toolset.of(equipment.names(options), equipment.preview(session))
        tools = with_context_query(tools, options)
        has_checks = options.has_checks or bool(batch.checks)
        for number, task in enumerate(batch.tasks, 1):
            for name in task.tools or ():
                if name not in tools.granted and not (name == "run_checks" and has_checks):
                    raise ConfigurationError(f"task {number}: {unknown_tool(name, tuple(tools.granted))}")

    @asynccontextmanager
    async def resumed(
        self,
        workspace: Path,
        run_id: str,
        terms: CallerTerms,
        again: GivenAgain | None = None,
    ) -> AsyncIterator[EventStream]:
        """Go on with a recorded run on *terms*; one that is finished is only played again.

        *again* is what its caller gives again of a question.
        """
        from sunwell.agent.lifecycle.replay_run import played_again, recorded_roles

        async with self._serving_again(workspace, run_id) as equipment:
            start, session = reopen(self.journals, workspace, run_id, terms, equipment, again)
            try:
                if start.is_finished:  # nobody is asked any more, so it does not matter what has changed
                    start, roles = played_again(start, accept_changes=True), recorded_roles(start)
                else:
                    roles = self._roles_again(session.options, terms=terms)
                    learn_keys(start.secrets, roles)
                    await start.check(session, roles)
                    start = await self._continued_again(start, workspace, terms)
            except BaseException:
                start.journal.close()
                raise
            async with self._events(start, session, roles) as events:
                yield events

    @asynccontextmanager
    async def _serving_again(self, workspace: Path, run_id: str) -> AsyncIterator[Equipment]:
        """Start the servers for a recorded run, unless it is only played again."""
        has_servers = self.equipment.servers is not None
        if has_servers and came_to_its_end(self.journals.read(workspace, run_id).records()):
            yield self.equipment
            return
        async with self.equipment.serving(workspace) as equipment:
            yield equipment

    @asynccontextmanager
    async def replayed(
        self, workspace: Path, run_id: str, *, accept_changes: bool
    ) -> AsyncIterator[EventStream]:
        """Play a recorded run again from its journal alone."""
        from sunwell.agent.lifecycle.replay_run import open_replay, recorded_roles

        start, session = open_replay(self.journals, workspace, run_id, self.equipment)
        start = attrs.evolve(start, accept_changes=accept_changes)
        roles = recorded_roles(start)
        await start.check(session, roles)
        async with self._events(start, session, roles) as events:
            yield events

    @asynccontextmanager
    async def forked(
        self,
        workspace: Path,
        run_id: str,
        at: str,
        terms: CallerTerms,
        again: GivenAgain | None = None,
    ) -> AsyncIterator[EventStream]:
        """Start a run that goes on from the place *at* of a recorded one."""
        from sunwell.agent.lifecycle.fork_run import Cut, Fork, open_fork

        fork = Fork(workspace, run_id, Cut.of(at), terms, again)
        resolve = partial(self._roles_again, terms=terms)
        async with self.equipment.serving(workspace) as equipment:
            start, session, roles = await open_fork(self.journals, fork, equipment, resolve)
            async with self._events(start, session, roles) as events:
                yield events

    @asynccontextmanager
    async def continued(
        self, workspace: Path, run_id: str, words: str, terms: CallerTerms
    ) -> AsyncIterator[EventStream]:
        """Start a run that goes on with the conversation of a recorded one: the user says *words* in it."""
        from sunwell.agent.lifecycle.continue_run import NextQuestion, open_continued

        asked = NextQuestion(workspace, run_id, words, terms)
        made: list[AgentLoop] = []

        def resolve(options: RunOptions) -> Roles:
            roles = self._roles_again(options, terms=terms)
            loop = self._loop(options, roles)
            loop.check()  # before there is a journal
            made.append(loop)
            return roles

        async with self.equipment.serving(workspace) as equipment:
            start, session, roles = await open_continued(self.journals, asked, equipment, resolve)
            async with self._events(start, session, roles, made[-1]) as events:
                yield events

    async def _continued_again(self, start: RunStart, workspace: Path, terms: CallerTerms) -> RunStart:
        """Return *start* with the conversation that it goes on with if it ended before that was recorded."""
        continues = (start.settings or {}).get("continues")
        if continues is None or start.journal.find(Continued, ()) is not None:
            return start
        from sunwell.agent.lifecycle.continue_run import NextQuestion, earlier_conversation

        opened = start.journal.find(RunOpened, ())
        assert opened is not None
        asked = NextQuestion(workspace, continues["run_id"], opened.task, terms)
        continuation = await earlier_conversation(self.journals, asked, start.equipment)
        return attrs.evolve(start, continuation=continuation)

    @asynccontextmanager
    async def _events(
        self, start: RunStart, session: SessionContext, roles: Roles, checked: AgentLoop | None = None
    ) -> AsyncIterator[EventStream]:
        """Begin the run and let its loop carry it out; the journal is closed at the end."""
        loop = checked or self._loop(session.options, roles)
        self.loops.append(loop)
        try:
            if checked is None:
                asks = start.asked is not None
                loop.check(start.batch, lens_only=start.lens_only, asks=asks, is_replay=start.recorded_only)
            named = session.options.earlier_runs
            if named and start.settings is None:  # a run that is taken up has it in its own journal
                earlier = left_by(self.journals, session.workspace, named)
                loop.config = attrs.evolve(loop.config, earlier=earlier)
            run = await start.begin(loop, loop.config, session, roles)
            if run.begun is not None:
                run.config = attrs.evolve(run.config, earlier=earlier_entries(run.begun))
            async with loop.events_of(run, start.batch, lens_only=start.lens_only) as events:
                yield events
        finally:
            self.loops.remove(loop)
            start.journal.close()

    def _loop(self, options: RunOptions, roles: Roles) -> AgentLoop:
        config = LoopConfig.of(options, prices=self.prices, retry=self.retry, lessons=self.lessons)
        return AgentLoop(
            model=roles.own,
            config=config,
            smart_model=roles.smart,
            delegation_model=roles.worker,
            second_model=roles.second,
        )

    def _roles(self, options: RunOptions) -> Roles:
        roles = resolve_roles(self.models, Choices.of(options), self.registry, options.fallback)
        if roles.fell_back is None or roles.smart is None or not options.orchestrate:
            return roles
        # The parent of an orchestrator's workers is the smart model, not the loop's own.
        return attrs.evolve(roles, fell_back=attrs.evolve(roles.fell_back, used=roles.smart.name))

    def _roles_again(self, options: RunOptions, *, terms: CallerTerms) -> Roles:
        """Return the models of a recorded run that goes on; its record alone starts no plugin."""
        require_own_models(options, self.models, terms, self.registry)
        return self._roles(options)
