"""The agent: a session in, events out, with a journal on disk."""

from __future__ import annotations  # the types are not imported

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self
from weakref import WeakSet

import attrs

from sunwell.agent import lazy_imports as lazy

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from types import TracebackType

    from sunwell.agent.batches.task_batch import BatchResult
    from sunwell.agent.lifecycle.equipment import Equipment
    from sunwell.agent.lifecycle.run_starter import RunStarter
    from sunwell.agent.loop import AgentLoop
    from sunwell.agent.policy.cache_planner import CacheLessons
    from sunwell.agent.run.asked_contexts import Confirm, Sources
    from sunwell.agent.run.run_context import EventStream, RunEvents
    from sunwell.budget.ledger_protocol import Budget
    from sunwell.context.options import ModelReference, RunOptions
    from sunwell.context.session import SessionContext
    from sunwell.core.lens import EphemeralLens
    from sunwell.core.task import Task, TaskResult
    from sunwell.core.tool import Tool, ToolExecutor
    from sunwell.gateway.retry import RetryPolicy
    from sunwell.journal.places import Journals
    from sunwell.models.prices import PriceBook
    from sunwell.models.registry import ModelRegistry
    from sunwell.tools.mcp_client import McpServer
    from sunwell.tools.tool_plugins import ToolPlugins


class Memory(Protocol):
    """What an agent may know from before."""

    def recall(self, goal: str) -> str:
        """Return what is worth knowing for *goal*, as text for the model; empty for nothing."""
        ...


def _as_tools(tools: Iterable[Tool | Callable[..., Any]]) -> tuple[Tool, ...]:
    return () if tools == () else lazy.as_tools(tools)


@attrs.define(eq=False)
class Agent:
    """Works on sessions: resolves the models, opens a journal, and runs the loop.

    Models given here come before those in the session's options; names are looked up in
    ``registry``, which is the process's own unless given.

    :meth:`run`, :meth:`resume`, :meth:`continue_run`, :meth:`replay`, :meth:`fork` and :meth:`batch_events`
    return :class:`~sunwell.RunEvents`: ``async for event in agent.run(session)`` gives the events,
    ``await agent.run(session)`` the result. What they raise is raised there, not at the call.

    ``async with Agent(...) as agent:`` is optional. Leaving it stops the runs that are still going, waits
    until each is booked, and closes the connections to providers that nobody else uses.
    """

    model: ModelReference | None = None
    """The loop's own model."""
    smart_model: ModelReference | None = None
    """Who writes the lens."""
    delegation_model: ModelReference | None = None
    """Who works under the lens."""
    tool_executor: ToolExecutor | None = None
    """Who carries tool calls out; ``None``: the toolbox of the session's workspace."""
    registry: ModelRegistry | None = None
    prices: PriceBook = attrs.field(factory=lambda: lazy.PriceBook())
    journals: Journals = attrs.field(factory=lambda: lazy.JournalFiles())
    """Where the record of each run is kept."""
    retry: RetryPolicy = attrs.field(factory=lambda: lazy.RetryPolicy())
    """When a failed call is made again."""
    tool_plugins: ToolPlugins = attrs.field(factory=lambda: lazy.ToolPlugins())
    """Tools that installed packages offer: loaded where a run's options name them."""
    tools: Sequence[Tool | Callable[..., Any]] = attrs.field(default=(), converter=_as_tools, kw_only=True)
    """Tools of your own, plain typed functions among them; added to the toolbox of the session's workspace,
    or to ``tool_executor`` if it is a :class:`~sunwell.tools.toolbox.Toolbox`."""
    mcp_servers: Sequence[McpServer] = attrs.field(default=(), kw_only=True)
    """MCP servers, whose granted tools are added to the toolbox; each run starts them, and ends them."""
    second_model: ModelReference | None = attrs.field(default=None, kw_only=True)
    """Who tries before the smart model does, on the ladder."""
    judge_model: ModelReference | None = attrs.field(default=None, kw_only=True)
    """Who judges by a rubric."""
    _lessons: CacheLessons = attrs.field(factory=lambda: lazy.CacheLessons(), init=False)
    """What the caches of providers have shown in the runs of this agent."""
    _loops: list[AgentLoop] = attrs.field(factory=list, init=False)
    _started: WeakSet[RunEvents] = attrs.field(factory=WeakSet, init=False)
    """The runs that somebody has begun to read."""
    _going: set[asyncio.Future[None]] = attrs.field(factory=set, init=False)
    """One for each run that has begun; done once its journal is closed."""

    async def __aenter__(self) -> Self:
        lazy.keep_clients()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._end_runs()
        finally:
            await lazy.release_clients()

    def run(self, session: SessionContext, memory: Memory | None = None) -> RunEvents:
        """Return the events of a new run; the last is :class:`~sunwell.events.RunFinished`.

        Raises before anything is spent: :exc:`~sunwell.errors.UnknownModelError`,
        :exc:`~sunwell.errors.MissingKeyError`, :exc:`~sunwell.errors.ConfigurationError`,
        :exc:`~sunwell.errors.JournalError`. A caller that may stop early uses ``async with``, see
        :class:`~sunwell.RunEvents`.
        """
        recall = None if memory is None else memory.recall
        return self._events(lambda: self._runs().new(session, recall))

    def ask(
        self,
        question: str,
        contexts: Sources,
        *,
        workspace: str | Path = ".",
        options: RunOptions | None = None,
        confirm: Confirm | None = None,
    ) -> RunEvents:
        """Return the events of a run that answers *question* about *contexts*, however long they are.

        The smart model answers in one call if that is expected to cost less. Otherwise it looks into the
        contexts with scripts, at most ``options.max_explore`` of them, and at most
        ``options.max_commit_cycles`` that ask the delegation model about parts. The result has the decision
        with both prices, and the answer says which share of the contexts was read. The run has no other
        tools. It is taken up again with :meth:`resume`.

        Args:
            contexts: A path, a glob, a :class:`~sunwell.context.long_context.LongContext`, or several of
                them, also by name; the first is the one that scripts call ``context``.
            workspace: Where the journal is kept, and where relative paths begin.
            confirm: Asked before each fan-out, with what it is in words and its dollars at most (``None``:
                unknown); ``False`` refuses it. It is not recorded.

        Raises what :meth:`run` raises, before anything is spent.
        """

        def begin() -> AbstractAsyncContextManager[EventStream]:
            asked = lazy.AskedContexts.of(contexts, workspace, confirm)
            chosen = attrs.evolve(options or lazy.RunOptions(), tools=())
            session = lazy.SessionContext.build(workspace, question, options=chosen)
            return self._runs().new(session, asked=asked)

        return self._events(begin)

    def resume(
        self,
        run_id: str,
        *,
        workspace: str | Path = ".",
        options: RunOptions | None = None,
        given: Mapping[str, Any] | None = None,
        budget: Budget | None = None,
        ceilings: Budget | None = None,
        results: str | Path | None = None,
        contexts: Sources | None = None,
        confirm: Confirm | None = None,
        accept_changes: bool = False,
        allow_checks: bool = False,
    ) -> RunEvents:
        """Return the events of a run taken up again: no answered call is asked a second time.

        A run that had come to its proper end gives the same result again, without a model, a check or
        a word in the journal. One that met a limit ends the same until *budget* leaves more room. One that
        failed, was stopped or was killed goes on where it stood.

        Args:
            run_id: The run's id, or a beginning of it that fits only one run of the workspace.
            workspace: The folder in which the run was started.
            options: Choices in place of all recorded ones; their budget may only narrow the recorded one.
            given: Single options by name in place of the recorded ones: ``{"allow_shell": True}``. The
                record grants no shell, no Python and no plugin: what the run had must be given again.
            budget: Ceilings in place of the recorded ones, each kind by itself; what was spent still counts.
            ceilings: The caller's usual ceilings: the lower of these and the recorded ones hold.
            results: The results file of a batch, if it is not in the workspace or should be another.
            contexts: The contexts of :meth:`ask` again, by name; needed for those that are not files of the
                workspace.
            confirm: That of :meth:`ask` again; needed if the run had one.
            accept_changes: Keep recorded answers although their question, or a file that the run
                had seen, has changed since.
            allow_checks: Run the commands that the record names as checks, those of tasks among them.

        Raises :exc:`~sunwell.errors.JournalError` where the run cannot be found, read or continued; its
        sentence names what has changed. Raises :exc:`~sunwell.errors.ConfigurationError` for what must be
        given again.
        """

        def begin() -> AbstractAsyncContextManager[EventStream]:
            terms = lazy.CallerTerms.of(
                options,
                given,
                budget,
                ceilings,
                results,
                accept_changes=accept_changes,
                allow_checks=allow_checks,
            )
            again = lazy.GivenAgain(contexts, confirm)
            return self._runs().resumed(Path(workspace), run_id, terms, again)

        return self._events(begin)

    def replay(self, run_id: str, *, workspace: str | Path = ".", accept_changes: bool = False) -> RunEvents:
        """Return the events of a run played again from its journal alone, to where its record ends.

        No model is asked, no key is needed, nothing in the workspace is read or written and nothing
        is added to the journal; a run that goes on elsewhere may be played, too. The code of today
        asks the questions, and each must be the recorded one, unless *accept_changes*. Where the record ends
        before the run did, the result is ``cancelled`` and its error says at which call.

        Raises :exc:`~sunwell.errors.JournalError` where the run cannot be found or read, or where
        the code asks something else than what was answered.
        """
        return self._events(
            lambda: self._runs().replayed(Path(workspace), run_id, accept_changes=accept_changes)
        )

    def fork(
        self,
        run_id: str,
        at: str,
        *,
        workspace: str | Path = ".",
        options: RunOptions | None = None,
        given: Mapping[str, Any] | None = None,
        budget: Budget | None = None,
        ceilings: Budget | None = None,
        results: str | Path | None = None,
        contexts: Sources | None = None,
        confirm: Confirm | None = None,
        accept_changes: bool = False,
        allow_checks: bool = False,
    ) -> RunEvents:
        """Return the events of a new run that goes on from a place in another one, with something changed.

        What came before the place is copied, is not asked again, and counts as the other run's cost.
        The agent's models, *options*, *given*, *budget* and *ceilings* hold from there on, as in
        :meth:`resume`; a batch has a results file only if *results* names one. Files are the caller's: where
        they are not as they were at that place, nothing is begun.

        Args:
            run_id: The other run's id, or a beginning of it; it is only read.
            at: ``SPAN`` to begin the span anew, or ``SPAN:CALL`` to keep its calls before that one;
                spans and the numbers of their calls, from 0, stand in the journal.
            contexts: As in :meth:`resume`, and so is *confirm*.
            accept_changes: Go on with the files as they are.
            allow_checks: As in :meth:`resume`.

        Raises :exc:`~sunwell.errors.JournalError` where there is no such run or place, and where
        files differ, naming them; and what :meth:`run` raises.
        """

        def begin() -> AbstractAsyncContextManager[EventStream]:
            terms = lazy.CallerTerms.of(
                options,
                given,
                budget,
                ceilings,
                results,
                accept_changes=accept_changes,
                allow_checks=allow_checks,
            )
            again = lazy.GivenAgain(contexts, confirm)
            return self._runs().forked(Path(workspace), run_id, at, terms, again)

        return self._events(begin)

    def continue_run(
        self,
        run_id: str,
        words: str,
        *,
        workspace: str | Path = ".",
        options: RunOptions | None = None,
        given: Mapping[str, Any] | None = None,
        budget: Budget | None = None,
        ceilings: Budget | None = None,
        accept_changes: bool = False,
        allow_checks: bool = False,
    ) -> RunEvents:
        """Return the events of a new run that goes on with the conversation of an ended one.

        Its conversation begins with all of the other one, byte for byte as it was sent; then come *words*.
        The new run has its own journal, limits and bill; the other run is only read, however it ended.

        Args:
            run_id: The other run's id, or a beginning of it, or ``last``.
            words: What the user says next.
            options: As in :meth:`resume`, and so are *given*, *budget*, *ceilings* and *allow_checks*.
            accept_changes: Go on although files that the run had seen have changed; the model is told which.

        Raises :exc:`~sunwell.errors.JournalError` where the run cannot be found or read, or files have
        changed; :exc:`~sunwell.errors.ConfigurationError` if it is still running, or has no conversation of
        its own, as a batch; and what :meth:`run` raises.
        """

        def begin() -> AbstractAsyncContextManager[EventStream]:
            terms = lazy.CallerTerms.of(
                options,
                given,
                budget,
                ceilings,
                None,
                accept_changes=accept_changes,
                allow_checks=allow_checks,
            )
            return self._runs().continued(Path(workspace), run_id, words, terms)

        return self._events(begin)

    async def result(self, session: SessionContext, memory: Memory | None = None) -> TaskResult:
        """Run *session* to its end and return the result: the coroutine for ``await agent.run(session)``."""
        return await self.run(session, memory)

    def batch_events(
        self,
        tasks: Iterable[Task | str],
        *,
        lens: EphemeralLens | None = None,
        workspace: str | Path = ".",
        options: RunOptions | None = None,
        results: str | Path | None = None,
    ) -> RunEvents:
        """Return the events of a run in which each of *tasks* is done by a worker of its own.

        The workers run on the delegation model, else on the loop's own, at most
        ``options.max_concurrent`` at once. The last event is :class:`~sunwell.events.RunFinished`,
        whose result holds theirs in the order of *tasks*; each is told as soon as it is there. The
        run is taken up again with :meth:`resume` like any other.

        Args:
            lens: What all workers read; the same as ``options.lens``. Without one, and with delegation on,
                the smart model writes one for all of them first.
            results: A JSON Lines file that holds every result as soon as there is one.

        Raises what :meth:`run` raises, before anything is spent.
        """

        def begin() -> AbstractAsyncContextManager[EventStream]:
            batch = lazy.Batch(tasks, None, None if results is None else Path(results).absolute())
            chosen = options or lazy.RunOptions()
            if lens is not None:
                if chosen.lens not in (None, lens):
                    raise lazy.ConfigurationError("two lenses are given: leave out lens= or options.lens")
                chosen = attrs.evolve(chosen, lens=lens)
            session = lazy.SessionContext.build(workspace, batch.title, options=chosen)
            return self._runs().new(session, batch=batch)

        return self._events(begin)

    async def batch(
        self,
        tasks: Iterable[Task | str],
        *,
        lens: EphemeralLens | None = None,
        workspace: str | Path = ".",
        options: RunOptions | None = None,
        results: str | Path | None = None,
    ) -> BatchResult:
        """Return the results of *tasks* in their order; see :meth:`batch_events`.

        A task that fails is a result like any other and costs the others nothing.
        """
        events = self.batch_events(tasks, lens=lens, workspace=workspace, options=options, results=results)
        return lazy.BatchResult(await events)

    async def batch_results(
        self,
        tasks: Iterable[Task | str],
        *,
        lens: EphemeralLens | None = None,
        workspace: str | Path = ".",
        options: RunOptions | None = None,
        results: str | Path | None = None,
    ) -> AsyncGenerator[TaskResult, None]:
        """Yield the result of each of *tasks* as soon as it is there; see :meth:`batch_events`."""
        events = self.batch_events(tasks, lens=lens, workspace=workspace, options=options, results=results)
        async with events:
            async for event in events:
                if isinstance(event, lazy.WorkerFinished) and event.result.task_id.count("/") == 0:
                    yield event.result

    def lens_events(self, session: SessionContext) -> RunEvents:
        """Return the events of a run in which the smart model writes a lens for *session*'s goal.

        The result has the lens, and what was left out of it. Raises what :meth:`run` raises.
        """
        return self._events(lambda: self._runs().new(session, lens_only=True))

    async def lens(self, session: SessionContext) -> EphemeralLens:
        """Have the smart model write a lens for *session*'s goal, and return it; a run of its own.

        Raises :exc:`~sunwell.errors.LensError` where none came of it, and what :meth:`run` raises.
        """
        result = await self.lens_events(session)
        if result.lens is None:
            raise lazy.LensError(result.error)
        return result.lens

    @property
    def equipment(self) -> Equipment:
        """What the tools of this agent's runs are made from."""
        servers = lazy.McpServers(tuple(self.mcp_servers)) if self.mcp_servers else None
        return lazy.Equipment(self.tool_executor, self.tool_plugins, _as_tools(self.tools), servers)

    def stop(self) -> None:
        """End all runs of this agent: no new call starts, and each yields its cancelled result."""
        for loop in self._loops:
            loop.stop()

    def _runs(self) -> RunStarter:
        return lazy.RunStarter(
            lazy.Choices(
                self.model, self.smart_model, self.delegation_model, self.second_model, self.judge_model
            ),
            self.equipment,
            self.registry or lazy.get_registry(),
            self.prices,
            self.journals,
            self.retry,
            self._lessons,
            self._loops,
        )

    def _events(self, begin: Callable[[], AbstractAsyncContextManager[EventStream]]) -> RunEvents:
        """Return the events of the run that *begin* starts once the first of them is asked for."""
        return lazy.RunEvents(begin, self._started, self._going)

    async def _end_runs(self) -> None:
        """Stop the runs that are still going and wait until each is booked and its journal is closed.

        Who still reads one of them gets its events to the last. Raises the first error of a run.
        """
        self.stop()
        reading = [events.drain(self.stop) for events in list(self._started)]
        read = await asyncio.gather(*reading, return_exceptions=True)
        # A stream that was dropped in the middle is not among them: the event loop is closing it.
        here = asyncio.get_running_loop()
        if going := [one for one in self._going if one.get_loop() is here]:
            await asyncio.wait(going)
        for ended in read:
            if isinstance(ended, BaseException):
                raise ended


async def run(task: str, workspace: str | Path = ".", **given: Any) -> TaskResult:
    """Run *task* in the folder *workspace* and return the result.

    ``given`` are fields of :class:`~sunwell.agent.request.RunOptions` and of :class:`Agent`; ``tools`` are
    those of the options. Raises what :meth:`Agent.run <sunwell.agent.Agent.run>` raises, and
    :exc:`~sunwell.errors.ConfigurationError` for any other keyword.
    """
    agent, options = _agent_and_options(given)
    return await agent.result(lazy.SessionContext.build(workspace, task, options=options))


def run_sync(task: str, workspace: str | Path = ".", **given: Any) -> TaskResult:
    """Do what :func:`run` does, without an event loop of the caller's.

    Raises :exc:`RuntimeError` inside a running event loop: there, ``await sunwell.run(task, ...)``.
    """
    if _loop_is_running():
        raise RuntimeError(
            "run_sync cannot wait inside a running event loop (a notebook has one): "
            "await sunwell.run(task, ...) there, with the same arguments"
        )
    return asyncio.run(run(task, workspace, **given))


def _agent_and_options(given: Mapping[str, Any]) -> tuple[Agent, RunOptions]:
    """Return an agent and the options of a run; what both could have is the options'."""
    of_run = {field.name for field in attrs.fields(lazy.RunOptions)}
    of_agent = {field.name for field in attrs.fields(Agent) if field.init} - of_run
    known = sorted({*of_run, *of_agent, "workspace"})
    for name in given:
        if name not in known:
            from sunwell.context.options import suggested_option

            advice = suggested_option(name, known)
            raise lazy.ConfigurationError(f"a run has no argument {name!r}; {advice}")
    options = lazy.RunOptions(**{name: value for name, value in given.items() if name in of_run})
    return Agent(**{name: value for name, value in given.items() if name in of_agent}), options


def _loop_is_running() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
