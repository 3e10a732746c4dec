"""The loop: a task goes in, the policy decides who works, and events come out until the last."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing

import attrs
from attrs.validators import optional

from sunwell.agent.batches.batch_run import BatchRun, LensRun, run_items
from sunwell.agent.batches.task_batch import Batch
from sunwell.agent.conversation.conversation import Ending
from sunwell.agent.conversation.execution import Execution
from sunwell.agent.conversation.toolset import Toolset
from sunwell.agent.lens.lens_writer import write_run_lens
from sunwell.agent.orchestration.orchestration import Delegating, check_delegating
from sunwell.agent.policy.cost_model import Prices, Shape, quote
from sunwell.agent.policy.delegation import should_use_delegation
from sunwell.agent.policy.estimator import estimate_output_tokens
from sunwell.agent.run.loop_config import DEFAULT_TURNS, LoopConfig
from sunwell.agent.run.run_context import Run
from sunwell.context.excerpts import Shown
from sunwell.core.model import ModelProtocol
from sunwell.core.price import DelegationDecision, Quote
from sunwell.core.task import TaskResult
from sunwell.core.tool import Tool, ToolExecutor
from sunwell.errors import ConfigurationError
from sunwell.events import (
    DELEGATION_SKIPPED,
    DELEGATION_STARTED,
    MODEL_FELL_BACK,
    RUN_STARTED,
    DelegationSkipped,
    DelegationStarted,
    Event,
    ModelFellBack,
)
from sunwell.gateway.booking import DEFAULT_OUTPUT_TOKENS
from sunwell.journal.layout import new_run_id
from sunwell.journal.memory import MemoryJournal
from sunwell.journal.records import Decided, RunOpened
from sunwell.models.tokens import estimate_tokens

__all__ = ["AgentLoop", "LoopConfig"]


async def decide(
    execution: Execution, own: ModelProtocol, smart: ModelProtocol, worker: ModelProtocol
) -> DelegationDecision:
    """Return the journalled decision for the task of *execution*, or make and journal it."""
    run, config = execution.run, execution.config
    path = run.root.path
    recorded = run.journal.find(Decided, (path,))
    if recorded is not None:
        return recorded.decision
    estimated = (config.estimator or estimate_output_tokens)(execution.task)
    left = run.ledger.tokens_left(path)
    if worker is smart or worker.name == smart.name:
        decision = DelegationDecision(
            False,
            f"{worker.name} would both write the lens and do the work: name a cheaper delegation model",
            estimated,
            config.delegation_threshold_tokens,
            left,
        )
    else:
        decision = should_use_delegation(
            execution.task,
            estimated,
            left,
            threshold_tokens=config.delegation_threshold_tokens,
            quote=_quote(execution, estimated, (smart, own, worker)),
        )
    await run.journal.append(Decided(path, decision))
    return decision


def _quote(execution: Execution, estimated_tokens: int, models: tuple[ModelProtocol, ...]) -> Quote:
    config, prices = execution.config, execution.config.prices
    smart, own, worker = (prices.price(model) for model in models)
    prompt = [execution.task, execution.system_prompt or ""]
    for spec in execution.tools.specs:
        prompt += (spec.description, spec.schema_text)
    shape = Shape(
        prompt_tokens=estimate_tokens("\n".join(prompt)),
        max_lens_tokens=config.max_lens_tokens,
        max_turns=config.ceilings.turns or DEFAULT_TURNS,
        max_output_tokens=config.max_output_tokens or DEFAULT_OUTPUT_TOKENS,
    )
    return quote(estimated_tokens, Prices(smart, own, worker), shape)


def _model(_: object, attribute: "attrs.Attribute[ModelProtocol]", value: object) -> None:
    if isinstance(value, str):
        raise TypeError(f"{attribute.name} takes a model, not a name: resolve_model({value!r}) gives it")


@attrs.define(eq=False)
class AgentLoop:
    """Runs tasks with a model and tools, and delegates where the policy says so.

    A loop keeps nothing of a task: one loop may run several at once. By itself it has each run in
    memory and writes no journal file; :class:`~sunwell.agent.Agent` does.
    """

    model: ModelProtocol = attrs.field(validator=_model)
    executor: ToolExecutor | None = None
    config: LoopConfig = attrs.field(factory=LoopConfig)
    smart_model: ModelProtocol | None = attrs.field(default=None, validator=optional(_model))
    """Who writes the lens; ``None``: ``model``."""
    delegation_model: ModelProtocol | None = attrs.field(default=None, validator=optional(_model))
    """Who works under the lens; ``None``: ``model``."""
    _running: set[asyncio.Task[TaskResult]] = attrs.field(factory=set, init=False)

    async def run(
        self,
        task: str,
        tools: Sequence[Tool | str] | None = None,
        system_prompt: str | None = None,
        *,
        context: str | Callable[[], str | Shown] = "",
    ) -> AsyncGenerator[Event, None]:
        """Yield the events of the run; the last is :class:`~sunwell.events.RunFinished`.

        Args:
            task: What is to be done, in words.
            tools: Tools, or names of the executor's; ``None``: all that the executor offers.
            system_prompt: The caller's instructions; they stand before a lens.
            context: What the smart model is shown besides the task when it writes a lens; a
                function is called only where a lens is asked for.

        Raises :exc:`~sunwell.errors.ConfigurationError` before anything is asked. A caller that
        may stop early uses :func:`contextlib.aclosing`.
        """
        if not task.strip():
            raise ConfigurationError("the task is empty: say in a sentence what is to be done")
        journal = MemoryJournal(new_run_id())
        run = Run.begin(
            self, journal, self.config.ceilings, prices=self.config.prices, retry=self.config.retry
        )
        toolset = Toolset.of(tools, self.executor)
        await journal.append(RunOpened(journal.run_id, task, time.time()))
        execution = Execution(run, task, toolset, system_prompt, context, self.config)
        async with aclosing(self.follow(execution, self._execute)) as events:
            async for event in events:
                yield event

    async def follow(
        self, execution: Execution, execute: Callable[[Execution], Awaitable[Ending]]
    ) -> AsyncGenerator[Event, None]:
        """Yield the events of *execution* while *execute* carries it out; see :meth:`run`."""
        self.check()
        run = execution.run
        working = asyncio.create_task(execution.to_the_end(execute))
        self._running.add(working)
        working.add_done_callback(self._running.discard)
        working.add_done_callback(lambda _: run.stream.end())
        try:
            while (event := await run.stream.next()) is not None:
                yield event
            await working  # a bug surfaces here
        finally:
            await _stopped(working)

    def way(
        self, batch: Batch | None = None, *, lens_only: bool = False
    ) -> Callable[[Execution], Awaitable[Ending]]:
        """Return how this loop carries a run out.

        Its workers do *batch*; or it writes the lens for its task and no more; or it decides who
        does the task.
        """
        if lens_only:
            self._check_price(self._smart)
            return LensRun(self._smart)
        if batch is None:
            return self._execute
        self._check_price(self._worker)
        return BatchRun(batch, self._worker, self._smart)

    def stop(self) -> None:
        """End all runs of this loop: no new call starts, and each yields its cancelled result."""
        for working in self._running:
            working.cancel()

    async def _execute(self, execution: Execution) -> Ending:
        run = execution.run
        run.tell(RUN_STARTED, execution.started(self._smart if self.config.orchestrate else self.model))
        if self.config.orchestrate:
            return await self._orchestrate(execution)
        if not self.config.enable_delegation:
            return await self._run_directly(execution)
        decision = await decide(execution, self.model, self._smart, self._worker)
        execution.decision = decision
        if not decision:
            run.tell(DELEGATION_SKIPPED, DelegationSkipped(execution.task, decision.reason))
            return await self._run_directly(execution)
        return await self._run_with_delegation(execution, decision)

    async def _run_directly(self, execution: Execution) -> Ending:
        span = execution.run.root.child("direct")
        if self.config.delegation_tools is None:
            return await execution.work(span, self.model, effort=self.config.effort)
        given = execution.assignment(span, self.model, effort=self.config.effort)
        return await self._delegating(execution).work(given)

    async def _orchestrate(self, execution: Execution) -> Ending:
        span, smart = execution.run.root.child("orchestrator"), self._smart
        given = execution.assignment(span, smart, effort=self.config.effort)
        return await self._delegating(execution).orchestrate(given)

    def _delegating(self, execution: Execution) -> Delegating:
        kind = self.config.delegation_tools or "delegate"
        worker = self.delegation_model or (self._smart if self.config.orchestrate else self.model)
        return Delegating(execution, worker, kind, execution.lens)

    async def _run_with_delegation(self, execution: Execution, decision: DelegationDecision) -> Ending:
        run, smart, worker = execution.run, self._smart, self._worker
        started = DelegationStarted(execution.task, smart.name, worker.name, decision.reason)
        run.tell(DELEGATION_STARTED, started)
        written = await write_run_lens(execution, smart, may_split=self.config.split)
        execution.lens = written.lens
        if written.lens is None:
            if written.outcome == "fail":
                return Ending("error", "lens_failed", "", f"no lens: {written.reason}")
            fell_back = ModelFellBack("delegation_model", worker.name, self.model.name, written.reason)
            run.tell(MODEL_FELL_BACK, fell_back)
            return await self._run_directly(execution)
        if len(written.items) > 1:
            return await run_items(execution, written.items, worker)
        span = run.root.worker("work")
        run.gateway.pin(span, worker)
        if self.config.delegation_tools is None:
            return await execution.work(span, worker, lens=written.lens)
        given = execution.assignment(span, worker, lens=written.lens)
        return await self._delegating(execution).work(given)

    @property
    def _smart(self) -> ModelProtocol:
        return self.smart_model or self.model

    @property
    def _worker(self) -> ModelProtocol:
        return self.delegation_model or self.model

    def check(self) -> None:
        """Raise :exc:`~sunwell.errors.ConfigurationError` for settings that cannot be followed."""
        check_delegating(self.config, self._worker)
        models = [self.model]
        if self.config.enable_delegation or self.config.orchestrate or self.config.delegation_tools:
            models += [self._smart, self._worker]
        for model in models:
            self._check_price(model)

    def _check_price(self, model: ModelProtocol) -> None:
        if self.config.budget.usd is not None and self.config.prices.price(model) is None:
            raise ConfigurationError(
                f"the price of {model.name} is unknown, so a cap in dollars cannot hold: give its price, "
                "or cap tokens instead (--budget-tokens)"
            )


async def _stopped(working: asyncio.Task[TaskResult]) -> None:
    """Cancel *working* if need be, and wait until all that it started is booked."""
    if working.done():
        return
    working.cancel()
    await asyncio.wait([working])
    working.exception()  # taken note of: whoever stopped early does not want it
