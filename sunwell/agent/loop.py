"""The loop: a task goes in, the policy decides who works, and events come out until the last."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from functools import partial

import attrs
from attrs.validators import optional

from sunwell.agent.asking.ask_run import Asking
from sunwell.agent.batches.batch_run import run_batch, run_items
from sunwell.agent.batches.task_batch import Batch
from sunwell.agent.conversation.conversation import Assignment
from sunwell.agent.conversation.root_conversation import root_conversation
from sunwell.agent.ladder.run_ladder import RunLadder, checks_of_loop, confinement_of, workspace_of
from sunwell.agent.ladder.rungs import LadderModels
from sunwell.agent.lens.kept_lens import forget_failed_lens, found_for
from sunwell.agent.lens.lens_writer import (
    change_request,
    first_lens_request,
    input_tokens,
    may_scout,
    take_given_lens,
    write_run_lens,
)
from sunwell.agent.orchestration.handed_out_quote import (
    PromptParts,
    handed_out_sentence,
    hands_out,
    quote_handed_out,
    with_handed_out,
)
from sunwell.agent.orchestration.orchestration import Delegating, check_delegating
from sunwell.agent.orchestration.worker_checks import require_worker_checks
from sunwell.agent.policy.delegation import lens_misfit
from sunwell.agent.policy.task_kinds import kind_of
from sunwell.agent.run.decision import (
    Candidates,
    LensOutlook,
    PricedModel,
    decide,
    expected_output,
    may_choose,
    may_delegate,
)
from sunwell.agent.run.guidance import Guidance
from sunwell.agent.run.ladder_terms import LadderTerms
from sunwell.agent.run.least_cap import too_small_a_cap
from sunwell.agent.run.loop_config import DEFAULT_TURNS, LoopConfig
from sunwell.agent.run.run_context import Ending, EventStream, Run
from sunwell.agent.run.toolset import Toolset
from sunwell.agent.run.way_decision import Grounds, classify, decided_way
from sunwell.context.excerpts import Shown
from sunwell.core.message import History, user
from sunwell.core.model import ModelProtocol, Request
from sunwell.core.price import DelegationDecision, Quote
from sunwell.core.task import Budget, TaskResult
from sunwell.core.tool import Tool, ToolExecutor
from sunwell.errors import ConfigurationError, SunwellError
from sunwell.events import (
    DELEGATION_SKIPPED,
    DELEGATION_STARTED,
    MODEL_FELL_BACK,
    WARNED,
    DelegationSkipped,
    DelegationStarted,
    Event,
    ModelFellBack,
    Warned,
)
from sunwell.journal.layout import new_run_id
from sunwell.journal.memory import MemoryJournal
from sunwell.journal.records import Continued, Decided, Quoted, RunOpened
from sunwell.tools.staged_calls import while_asking

__all__ = ["AgentLoop", "LoopConfig"]


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
    second_model: ModelProtocol | None = attrs.field(default=None, validator=optional(_model))
    """Who tries before the smart model does, on the ladder; ``None``: nobody."""
    _running: dict[asyncio.Task[TaskResult], Run] = attrs.field(factory=dict, init=False)
    _begun: set[asyncio.Task[TaskResult]] = attrs.field(factory=set, init=False)
    """Those of them that have taken their first step."""

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
        self.check()
        if self.config.escalate and self._hands_out:
            require_worker_checks(self.executor)
        known = Toolset.of(tools, self.executor)
        checks = checks_of_loop(self.config, self.executor)
        run = Run(
            self,
            MemoryJournal(new_run_id()),
            self.config.ceilings,
            self.config,
            task=task,
            tools=known,
            guidance=Guidance.of(
                system_prompt, self.config, known.granted, checks=checks.told() if checks else ()
            ),
            context=context,
            given_lens=self.config.lens,
            checks=checks,
            ladder_terms=LadderTerms(workspace=workspace_of(self.executor)),
            confinement=confinement_of(self.executor, checks, tuple(known.granted)),
        )
        await run.journal.append(RunOpened(run.journal.run_id, task, time.time()))
        async with self.events_of(run) as events:
            async for event in events:
                yield event

    def check(
        self,
        batch: Batch | None = None,
        *,
        lens_only: bool = False,
        asks: bool = False,
        is_replay: bool = False,
    ) -> None:
        """Raise :exc:`~sunwell.errors.ConfigurationError` for settings that cannot be followed.

        They are those of a run that does *batch*, that ends with its lens, that *asks* about long contexts,
        or that does one task. A replay
        takes what the caller's own checks found from its record.
        """
        check_delegating(self.config, self._worker)
        given = self.config.lens is not None
        if given and (lens_only or self.config.split):
            what = "no lens is to be written" if lens_only else "only a lens that is written can split a task"
            raise ConfigurationError(f"a lens is given, and {what}: leave one of the two out")
        models = [self.model]
        if self.config.escalate:
            if not is_replay:
                self._check_ladder(batch, lens_only=lens_only)
            models += [self._worker, self._smart]
            models += [] if self.second_model is None else [self.second_model]
        if given:
            models.append(self._worker)
        if asks or self.config.enable_delegation or self.config.orchestrate or self.config.delegation_tools:
            models += [self._smart, self._worker]
        if lens_only:
            models.append(self._smart)
        elif batch is not None:
            models.append(self._worker)
        for model in models:
            if self.config.budget.usd is not None and self.config.prices.price(model) is None:
                raise ConfigurationError(
                    f"the price of {model.name} is unknown, so a cap in dollars cannot hold: give its price, "
                    "or cap tokens instead (--budget-tokens)"
                )

    def _check_ladder(self, batch: Batch | None, *, lens_only: bool) -> None:
        """Raise :exc:`~sunwell.errors.ConfigurationError` if there is nothing to climb for, or no way to."""
        config = self.config
        if lens_only:
            raise ConfigurationError("only a lens is written, so nothing can be checked: leave escalate out")
        if config.split:
            raise ConfigurationError(
                "escalate has the harness hand the work out, and split has a model do it: leave one out"
            )
        if self._hands_out and batch is None:
            if config.delegation_tools in ("rlm", "subagent"):
                raise ConfigurationError(
                    "escalate goes up when a check fails, and sub-calls have no checks: use the tools of "
                    "delegate (--delegation-tools delegate, or --orchestrate), or leave escalate out"
                )
            if config.fresh:
                raise ConfigurationError(
                    "fresh puts files back as they were before the run, so what other workers did in them "
                    "would be lost: leave it out"
                )
        elif not config.has_checks and (batch is None or not batch.checks):
            raise ConfigurationError(
                "escalate goes up when a check fails, and there is no check: name one (--check COMMAND, "
                "checks= in Python)"
            )
        self._ladder_models.rungs(config)

    @asynccontextmanager
    async def events_of(
        self, run: Run, batch: Batch | None = None, *, lens_only: bool = False
    ) -> AsyncIterator[EventStream]:
        """Carry *run* out while the body takes its events; if the body is left early, the run is stopped."""
        working = asyncio.create_task(self._to_the_end(run, batch, lens_only))
        self._running[working] = run
        working.add_done_callback(partial(self._ended, run.stream))
        try:
            yield run.stream
            await working  # a bug surfaces here
        finally:
            if not (working.done() or working in self._begun):
                await asyncio.sleep(0)  # a task that is cancelled before it begins has no end to tell
            await _stopped(working)
            if run.lookup is not None:
                await run.lookup.close()

    def _ended(self, stream: EventStream, working: asyncio.Task[TaskResult]) -> None:
        del self._running[working]
        self._begun.discard(working)
        stream.end()

    async def _to_the_end(self, run: Run, batch: Batch | None, lens_only: bool) -> TaskResult:
        """Carry *run* out and return its result; tell its end, whichever it is."""
        if (working := asyncio.current_task()) is not None:
            self._begun.add(working)
        try:
            return await self._result_of(run, batch, lens_only)
        except BaseException as error:
            run.tell_failure(error)
            raise

    async def _result_of(self, run: Run, batch: Batch | None, lens_only: bool) -> TaskResult:
        """Carry *run* out and return its result, however it ends; cancelling gives a result, too."""
        while_asking.set(partial(run.time_limits.pause, "approval"))
        unbegun: Ending | None = None
        try:
            async with run.time_limits.limit(run.seconds_to_the_end):
                ended = await self._ending_of(run, batch, lens_only)
            if (refusal := too_small_a_cap(run, ended)) is not None and not run.gateway.recorded_only:
                unbegun = ended
                raise refusal
        except asyncio.CancelledError:
            ended = run.composed_end("cancelled", "cancelled", "the run was stopped")
        except TimeoutError:
            if run.has_time:
                raise
            ended = run.composed_end("incomplete", "timeout", "the time limit was reached")
        except SunwellError as error:
            error.result = run.so_far(error)
            if isinstance(error, ConfigurationError):
                await run.close_unbegun(unbegun or Ending("cancelled", "cancelled", "", str(error)))
            raise
        return await run.finish(ended)

    async def _ending_of(self, run: Run, batch: Batch | None, lens_only: bool) -> Ending:
        if lens_only:
            return await self._write_lens(run)
        if batch is not None:
            return await run_batch(run, batch, self._worker, self._smart, self._ladder(run))
        ended = await self._do_task(run)
        climbs = self.config.escalate and not self._hands_out  # else its workers climb, each by itself
        if climbs:
            return ended
        ended = await self._ladder(run).verify(ended)
        await forget_failed_lens(run, [run.verification])
        return ended

    async def _do_task(self, run: Run) -> Ending:
        config = self.config
        if run.begun is not None:
            return await self._go_on(run, run.begun)
        if run.asked is not None:
            run.tell_start(self._smart)
            return await Asking(run, run.asked, self._smart, self._worker).to_the_end()
        run.tell_start(self._smart if config.orchestrate else self.model)
        if config.orchestrate:
            is_given = take_given_lens(run)
            run.quote = await self._quote(run)
            if not is_given and (ended := await self._lens_of_workers(run)):
                return ended
            given = Assignment.of(run, run.root.child("orchestrator"), self._smart, effort=config.effort)
            return await self._delegating(run).orchestrate(given)
        if config.escalate and not self._hands_out:
            take_given_lens(run)
            return await self._ladder(run).do_task()
        if not config.enable_delegation and run.given_lens is None:
            run.quote = await self._quote(run)
            return await self._do_directly(run, self.model)
        run.decision, run.quote = await self._decide(run)
        if not run.decision:
            run.tell(DELEGATION_SKIPPED, DelegationSkipped(run.task, run.decision.reason))
            if not run.decision.lens_fits and self.delegation_model is not None:
                run.not_delegated = run.decision.reason
            is_cheap = run.decision.without_lens == "delegation_model"
            return await self._do_directly(run, self._worker if is_cheap else self.model)
        return await self._run_with_delegation(run, run.decision.reason)

    async def _decide(self, run: Run) -> tuple[DelegationDecision, Quote | None]:
        """Return the recorded decision on the task of *run* and its quote, or make them and record them."""
        path = run.root.path
        recorded = run.journal.find(Decided, (path,))
        if recorded is not None:
            return recorded.decision, recorded.quote
        candidates = self._candidates()
        grounds = await self._grounds(run, candidates)
        usd_left, tokens_left = run.ledger.usd_left(path), run.ledger.tokens_left(path)
        output = grounds.output(run.task, self.config)  # once: the estimator may be the caller's own
        asked = None
        if run.given_lens is None and (
            may_delegate(run.task, output, self.config, candidates, tokens_left)
            or may_choose(self.config, candidates)
        ):
            # Only then is the workspace read, once: the lens is written from the same text.
            asked = await first_lens_request(
                run, self._smart, reader=self._worker, may_split=self.config.split
            )
        outlook, asked = await self._outlook(run, asked)
        decided = partial(
            decide,
            run.task,
            output,
            self.config,
            candidates,
            system=run.guidance.sections(),
            tools=run.tools.specs,
            tokens_left=tokens_left,
            usd_left=usd_left,
            redone=grounds.redone,
        )
        words, quote = decided(lens=outlook)
        least_usd, has_lens = None, asked is not None or outlook.kept is not None
        if has_lens and usd_left is not None and (words or may_choose(self.config, candidates)):
            least_usd = await self._lens_usd(run, asked, usd_left)
            words, quote = decided(lens=attrs.evolve(outlook, least_usd=least_usd))
        misfit = lens_misfit(tokens_left, quote, usd_left, least_usd)
        is_given = run.given_lens is not None
        decision = decided_way(words, quote, grounds, candidates, misfit=misfit, is_given=is_given)
        quote = with_handed_out(quote, decision, self._prompt_parts(run), self.config, candidates)
        await run.journal.append(Decided(path, decision, quote))
        self._warn_if_dearer(run, quote)
        return decision, quote

    async def _grounds(self, run: Run, candidates: Candidates) -> Grounds:
        """Return what the decision rests on besides words; a model is asked if the options say so."""
        kind = kind_of(run.task)
        grounds = Grounds.of(self.config, kind, await run.outcomes.of(kind), self.model, self._worker)
        asks = grounds.mode == "classifier" and may_choose(self.config, candidates)
        if not asks or run.given_lens is not None:
            return grounds
        grounds = grounds.with_class(await classify(run, self._worker))
        await run.outcomes.of(grounds.kind)
        return grounds

    async def _outlook(self, run: Run, whole: Request | None) -> tuple[LensOutlook, Request | None]:
        """Return what is known of the lens of *run*, and the request that is sent first for it, if any.

        *whole* is that for a whole lens; ``None``: nobody has looked at the workspace.
        """
        if whole is None:
            return LensOutlook(given=run.given_lens), None
        tokens, found = input_tokens(whole), found_for(run, run.root.child("lens"))
        if found.taken is not None:
            return LensOutlook(kept=found.taken.lens, input_tokens=tokens), None
        change = await change_request(run, self._smart, reader=self._worker)
        if change is not None:
            return LensOutlook(input_tokens=tokens, change_tokens=input_tokens(change)), change
        turns = self.config.scout_turns if may_scout(run) else 0
        return LensOutlook(input_tokens=tokens, scout_turns=turns), whole

    async def _quote(self, run: Run) -> Quote | None:
        """Return the recorded quote of a run that takes no decision, or make it and record it.

        ``None`` if no model hands work out, and if a run of an older version is played again.
        """
        recorded = run.journal.find(Quoted, (run.root.path,))
        if recorded is not None:
            return recorded.quote
        if not hands_out(self.config) or run.gateway.recorded_only:
            return None
        output = expected_output(run.task, self.config)
        quote = quote_handed_out(self._prompt_parts(run), output, self.config, self._candidates())
        await run.journal.append(Quoted(run.root.path, quote), durable=False)
        self._warn_if_dearer(run, quote)
        return quote

    def _warn_if_dearer(self, run: Run, quote: Quote) -> None:
        """Tell, before a model is asked, that handing the work out is expected to cost more than not to."""
        if (quote.times_smart_alone or 0) > 1:
            run.tell(WARNED, Warned(handed_out_sentence(quote)))

    def _candidates(self) -> Candidates:
        worker = self._child if self.config.orchestrate else self._worker
        models = (self._smart, self.model, worker)
        return Candidates(*[PricedModel.of(one, self.config.prices, self.config) for one in models])

    def _prompt_parts(self, run: Run) -> PromptParts:
        return PromptParts(run.task, run.guidance, run.tools.specs, run.given_lens)

    async def _lens_usd(self, run: Run, asked: Request | None, usd_left: Decimal) -> Decimal | None:
        """Return the dollars without which the lens and the first call of the work would be refused.

        *asked* is the first call for the lens; ``None``: it is there.
        """
        least_usd, span = run.gateway.least_usd, run.root.child("lens")
        lens_usd: Decimal | None = Decimal(0)
        if asked is not None:
            lens_usd = await least_usd(span, self._smart, asked, purpose="lens", usd_left=usd_left)
        given = Assignment.of(run, run.root.child("work"), self._worker)
        prompt = History([user(given.prompt)])
        work = Request(prompt, given.system, run.tools.specs, given.max_output_tokens)
        rest = usd_left - (lens_usd or 0)
        work_usd = await least_usd(given.span, self._worker, work, purpose="work", usd_left=rest)
        return None if lens_usd is None or work_usd is None else lens_usd + work_usd

    async def _run_with_delegation(self, run: Run, reason: str) -> Ending:
        """Have the delegation model do the task under a lens: the given one, or one that is written now."""
        smart, worker = self._smart, self._worker
        writes = smart.name if run.given_lens is None else ""
        run.tell(DELEGATION_STARTED, DelegationStarted(run.task, writes, worker.name, reason))
        if take_given_lens(run):
            return await self._under_lens(run, worker)
        written = await write_run_lens(run, smart, reader=worker, worker=worker, may_split=self.config.split)
        if written.lens is None:
            if written.outcome == "fail":
                return Ending("error", "lens_failed", "", f"no lens: {written.reason}")
            fell_back = ModelFellBack("delegation_model", worker.name, self.model.name, written.reason)
            run.tell(MODEL_FELL_BACK, fell_back)
            assert run.decision is not None
            reason = f"no lens: {written.reason}"
            run.decision = attrs.evolve(run.decision, delegate=False, reason=reason, without_lens="model")
            run.not_delegated = f"no lens: {written.reason}; {self.model.name} did the work"
            return await self._do_directly(run, self.model)
        if len(written.items) > 1:
            return await run_items(run, written.items, worker)
        return await self._under_lens(run, worker)

    async def _under_lens(self, run: Run, worker: ModelProtocol) -> Ending:
        """Have *worker*, and nobody dearer, do the task under the lens of *run*."""
        span = run.root.worker("work")
        run.gateway.pin(span, worker)
        return await self._work(run, Assignment.of(run, span, worker, lens=run.lens))

    async def _do_directly(self, run: Run, model: ModelProtocol) -> Ending:
        given = Assignment.of(run, run.root.child("direct"), model, effort=self.config.effort)
        return await self._work(run, given)

    async def _work(self, run: Run, given: Assignment) -> Ending:
        """Carry *given* out in one conversation, with tools that hand out work if there are any."""
        if self.config.delegation_tools is not None:
            return await self._delegating(run).work(given)
        if self.config.split:
            turns = self.config.budget.turns
            run.ledger.open(given.span.path, Budget(turns=DEFAULT_TURNS if turns is None else turns))
        work = root_conversation(run, given, run.tools)
        run.works.append(work)
        return await work.to_the_end()

    async def _go_on(self, run: Run, begun: Continued) -> Ending:
        """Go on with the conversation of another run, in the place that it had there."""
        models = {
            "model": self.model,
            "smart_model": self._smart,
            "delegation_model": self._worker,
            "second_model": self.second_model or self._smart,
        }
        model = models[begun.role]
        run.tell_start(model)
        take_given_lens(run)
        if begun.place == "orchestrator":
            given = Assignment.of(run, run.root.child("orchestrator"), model, effort=self.config.effort)
            return await self._delegating(run).orchestrate(given)
        return await (self._do_directly if begun.place == "direct" else self._under_lens)(run, model)

    async def _write_lens(self, run: Run) -> Ending:
        """Have the smart model write the lens of *run*, and end with it."""
        run.tell_start(self._smart)
        written = await write_run_lens(run, self._smart, reader=self._worker)
        if written.lens is None:
            return Ending("error", "lens_failed", "", f"no lens: {written.reason}")
        return Ending("ok", "end", written.lens.to_context())

    def _ladder(self, run: Run) -> RunLadder:
        return RunLadder(run, self._ladder_models, self.config.escalate)

    @property
    def _ladder_models(self) -> LadderModels:
        return LadderModels(self._worker, self._smart, self.second_model, self.model)

    async def _lens_of_workers(self, run: Run) -> Ending | None:
        """Have the lens written that the workers of an orchestrated run read, if delegation is on.

        Return the end of the run if it fails without one.
        """
        smart, worker = self._smart, self._child
        if not self.config.enable_delegation or smart.name == worker.name:
            return None
        written = await write_run_lens(run, smart, reader=worker, worker=worker)
        if written.lens is None and written.outcome == "fail":
            return Ending("error", "lens_failed", "", f"no lens: {written.reason}")
        if written.lens is None:
            run.tell(WARNED, Warned(f"the workers go on without a lens: {written.reason}"))
        return None

    def _delegating(self, run: Run) -> Delegating:
        models = LadderModels(self._child, self._smart, self.second_model, self.model)
        return Delegating(run, self._child, self.config.delegation_tools or "delegate", models, run.lens)

    @property
    def _hands_out(self) -> bool:
        """Whether a model starts workers, whose work may climb if it names a check for them."""
        return hands_out(self.config)

    def stop(self) -> None:
        """End all runs of this loop: no new call starts, and each yields its cancelled result."""
        for working, run in self._running.items():
            if working in self._begun:
                working.cancel()
            else:  # one that is cancelled before it begins has no result to yield
                run.is_stopping = True
                working.get_loop().call_soon(working.cancel)

    @property
    def _smart(self) -> ModelProtocol:
        return self.smart_model or self.model

    @property
    def _worker(self) -> ModelProtocol:
        return self.delegation_model or self.model

    @property
    def _child(self) -> ModelProtocol:
        """The model of workers that a model starts."""
        return self.delegation_model or (self._smart if self.config.orchestrate else self.model)


async def _stopped(working: asyncio.Task[TaskResult]) -> None:
    """Cancel *working* if need be, and wait until all that it started is booked."""
    if working.done():
        return
    working.cancel()
    await asyncio.wait([working])
    working.exception()  # taken note of: whoever stopped early does not want it
