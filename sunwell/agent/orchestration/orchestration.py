"""Work whose model hands out other work: its prompt, its status lines, its answer and its end."""

from functools import partial

import attrs

from sunwell.agent.batches.batch_run import dispatcher_for, recall_calls
from sunwell.agent.conversation.compaction import WorkProgress, status_line
from sunwell.agent.conversation.conversation import Assignment
from sunwell.agent.conversation.facts_seen import FactsAsked
from sunwell.agent.conversation.final_call import closing_seconds
from sunwell.agent.conversation.root_conversation import root_conversation
from sunwell.agent.ladder.run_ladder import RunLadder
from sunwell.agent.ladder.rungs import LadderModels
from sunwell.agent.orchestration.answer_tool import AnswerTool
from sunwell.agent.orchestration.delegate_tools import delegating_tools, inspecting_tool
from sunwell.agent.orchestration.orchestrator_place import orchestrator_place
from sunwell.agent.orchestration.reports import ANSWER_CHARACTERS, EXCERPT_CHARACTERS, excerpt, is_ours
from sunwell.agent.orchestration.spawner import BRIEF, Spawner, SubCallRoom
from sunwell.agent.orchestration.spawner_tool import SpawnerTool, SpawnerTools
from sunwell.agent.orchestration.sub_call_tools import rlm_tools, subagent_tools
from sunwell.agent.orchestration.worker_checks import WorkerChecks
from sunwell.agent.prompts import STATUS_BEGINS, TOLD_BEGINS, WORKERS_DELIVERED, WORKERS_LEFT_OUT
from sunwell.agent.run.composed_answer import quoted_reports
from sunwell.agent.run.loop_config import DEFAULT_TURNS, LoopConfig
from sunwell.agent.run.run_context import Ending, Run
from sunwell.agent.run.toolset import Toolset
from sunwell.agent.workers.worker_result import reported
from sunwell.context.options import DelegationTools
from sunwell.core.lens import EphemeralLens
from sunwell.core.markdown import shortened
from sunwell.core.model import ModelProtocol
from sunwell.core.span import Span
from sunwell.core.task import StopReason, TaskResult
from sunwell.core.threads import in_thread
from sunwell.errors import ConfigurationError, SubCallDepthExceeded
from sunwell.journal.records import Continued, Note
from sunwell.memory.scratchpad import Scratchpad, TaskIds

_STATUS = "status"
_DELIVERED = "delivered"
_LEAST_EXCERPT = 200


@attrs.define(eq=False)
class DelegationHooks:
    """The :class:`ConversationHooks` of the work at one span that starts workers."""

    spawner: Spawner
    span: Span
    most_turns: int
    answers: AnswerTool | None = None
    """Where the model declares its answer; ``None``: its last words are the answer."""

    async def remark(self, turn: int) -> str:
        """Return the status line of *turn*; it is written down before it is used."""
        key = (f"{self.span.path}/turn-{turn}", _STATUS)
        run, spawner = self.spawner.run, self.spawner
        noted = run.journal.find(Note, key)
        # A call that was answered was sent with what is on record. The first new one gets the figures of now.
        if noted is not None and (run.gateway.recorded_only or run.gateway.has_answer(self.span)):
            return str(noted.value)
        states = spawner.states(self.span)
        counts = (len(states.running), len(states.queued), len(states.ready))
        said = status_line(run.ledger, self.span.path, WorkProgress(turn, self.most_turns, *counts))
        await run.journal.append(Note(*key, said), durable=False)
        return said

    def declared(self) -> Ending | None:
        """Return the end where the model has set an answer that ends the run."""
        answer = self.answers.answer if self.answers else None
        return Ending("ok", "end", answer.content) if answer is not None and answer.ready else None

    async def wind_up(self, reason: StopReason, turn: int, most_bytes: int) -> str:
        """End the workers and return what they have delivered, in about *most_bytes*.

        Nobody new begins. Who is at work comes to an end of its own, since its calls are paid for:
        it meets the same limit at its next call. Where time is up, all are stopped at once.
        """
        key = (f"{self.span.path}/turn-{turn}", f"{_DELIVERED}-{reason}")
        run = self.spawner.run
        noted = run.journal.find(Note, key) if run.gateway.heed_refusals else None
        if noted is None:
            await self._end_workers(reason)
        said = str(noted.value) if noted else _delivered(self.spawner.results(self.span), most_bytes)
        if noted is None:
            await run.journal.append(Note(*key, said), durable=False)
        return said

    def partial(self) -> str:
        """Return the draft of the answer, else what the workers delivered; empty for nothing."""
        if draft := self.draft():
            return draft
        return quoted_reports(self.spawner.results(self.span))

    def draft(self) -> str:
        """Return the draft of the answer; empty if there is none."""
        draft = self.answers.answer if self.answers else None
        return draft.content if draft is not None and draft.content.strip() else ""

    async def _end_workers(self, reason: StopReason) -> None:
        spawner, ledger = self.spawner, self.spawner.run.ledger
        ids = spawner.own(self.span)
        if reason != "timeout":
            spawner.cancel_unbegun(self.span)
            left = ledger.seconds_left(self.span.path)
            spare = None if left is None else max(0.0, left - closing_seconds(left))
            await spawner.dispatcher.await_results(ids, spare)
        spawner.dispatcher.cancel(ids)
        await spawner.dispatcher.await_results(ids)


def _delivered(results: tuple[TaskResult, ...], most_bytes: int) -> str:
    """Return *results* as reports, each cut so that about *most_bytes* hold all of them."""
    told = [result for result in results if result.answer.strip() or result.success]
    if not told:
        return ""
    each = max(_LEAST_EXCERPT, most_bytes // len(told) - _LEAST_EXCERPT)
    parts: list[str] = [WORKERS_DELIVERED]
    room = most_bytes
    for result in told:
        size = max(1, len(result.answer.encode("utf-8", "replace")))
        most = len(result.answer) * min(each, size) // size
        shown = excerpt(result.answer, most, is_ours=is_ours(result))
        part = reported(attrs.evolve(result, answer=shown))
        room -= len(part.encode("utf-8", "replace"))
        if room < 0:
            parts.append(WORKERS_LEFT_OUT)
            break
        parts.append(part)
    return "\n\n".join(parts)


def tools_called(
    kind: DelegationTools, *, can_check: bool = True, can_query: bool = True
) -> tuple[SpawnerTool, ...]:
    """Return the delegation tools of one kind; never two kinds are offered at once.

    All have the tool that reads long results in full. Those of ``delegate`` show how to name a check only if
    one can run, and both kinds of workers' tools how to look something up only if there is a source.
    """
    if kind == "delegate":
        return delegating_tools(can_check=can_check, can_query=can_query)
    own = rlm_tools(can_query=can_query) if kind == "rlm" else subagent_tools()
    return (*own, inspecting_tool())


@attrs.frozen
class Delegating:
    """How one run's model hands out work: to whom, and with which tools."""

    run: Run
    worker: ModelProtocol
    """The one model of all workers, at any depth."""
    kind: DelegationTools
    models: LadderModels
    """Who works on each rung if the work of workers may climb."""
    lens: EphemeralLens | None = None

    async def orchestrate(self, given: Assignment) -> Ending:
        """Carry *given* out with a model that has no tools but those of delegation and ``set_answer``."""
        spawner = await self._spawner(given.span)
        config = self.run.config
        answers = AnswerTool(given.span, config.orchestrator_confidence_threshold)
        calls = SpawnerTools(spawner, (*self._tools(spawner), answers.tool()), answers.ends_before)
        tools = Toolset((), frozenset(), {}).joined(calls)
        given = attrs.evolve(
            given,
            system=self.run.guidance.orchestrator_sections(await _recorded_place(spawner), self.lens),
            purpose="orchestrate",
            most_turns=config.orchestrator_max_turns,
            facts=FactsAsked("announced"),
        )
        ended = await self._to_the_end(spawner, given, tools, answers)
        self.run.confidence = answers.answer.confidence if answers.answer else None
        return ended

    async def work(self, given: Assignment) -> Ending:
        """Carry *given* out with a model that may delegate besides what it does itself."""
        spawner = await self._spawner(given.span)
        turns = self.run.config.budget.turns
        given = attrs.evolve(given, most_turns=DEFAULT_TURNS if turns is None else None)
        may = spawner.dispatcher.may_start(given.span)
        return await self._to_the_end(spawner, given, spawner.deeper if may else spawner.leaf, None)

    async def _spawner(self, asking: Span) -> Spawner:
        run, config = self.run, self.run.config
        dispatcher = dispatcher_for(run, self.worker, self.lens, larger_task=_larger_task(run))
        limits = config.sub_call_limits
        counted = SubCallRoom(run, limits) if self.kind == "rlm" else None
        if counted is not None:
            dispatcher.max_depth = min(dispatcher.max_depth, limits.max_depth)
        pad = Scratchpad(run.journal.run_id, config.scratchpad_max_entries)
        names = [tool.spec.name for tool in tools_called(self.kind)]
        leaf = run.tools.without(names, SubCallDepthExceeded().sentence)
        unnamed = TaskIds(run.journal.run_id, 0)
        size = ANSWER_CHARACTERS if self.kind == "rlm" else EXCERPT_CHARACTERS
        spawner = Spawner(run, dispatcher, pad, unnamed, config, leaf, leaf, counted, size)
        if self.kind == "delegate":
            spawner.checks = WorkerChecks.of(run)
        spawner.deeper = run.tools.joined(SpawnerTools(spawner, self._tools(spawner)))
        if spawner.checks is not None:
            dispatcher.verifier = RunLadder(
                run, self.models, config.escalate, spawner.checks.suite(), pauses=False
            )
        await spawner.open(config.earlier)
        if brief := _brief_of(run.begun):
            spawner.write_brief(asking, brief)
        if run.resumed:
            recall_calls(run, spawner.ids.of)
        return spawner

    def _tools(self, spawner: Spawner) -> tuple[SpawnerTool, ...]:
        can_check = spawner.checks is not None and spawner.checks.can_run
        return tools_called(self.kind, can_check=can_check, can_query=self.run.lookup is not None)

    async def _to_the_end(
        self, spawner: Spawner, given: Assignment, tools: Toolset, answers: AnswerTool | None
    ) -> Ending:
        turns = given.most_turns or self.run.config.budget.turns or DEFAULT_TURNS
        hooks = DelegationHooks(spawner, given.span, turns, answers)
        work = root_conversation(self.run, given, tools, hooks)
        work.hand_over = partial(spawner.hand_over, given.span, can_set_answer=answers is not None)
        self.run.works.append(work)
        try:
            return await work.to_the_end()
        finally:
            await spawner.close()
            self.run.take(spawner.dispatcher.all_results())


def _brief_of(begun: Continued | None) -> str:
    """Return the brief of the run whose conversation goes on: its model was told that workers read it."""
    entries = () if begun is None else begun.entries
    return next((str(one["raw"]["output"]) for one in entries if one["key"] == BRIEF), "")


def _larger_task(run: Run) -> str:
    """Return the task that workers' tasks are parts of; for words that continue a run, its first, too."""
    if run.begun is None:
        return run.task
    first = run.begun.messages[0].text.partition(f"\n\n{STATUS_BEGINS}")[0]
    return f"{shortened(first.partition(TOLD_BEGINS)[0], _SHOWN_FIRST)} Then: {run.task}"


_SHOWN_FIRST = 140
_PLACE = "orchestrator-place"


async def _recorded_place(spawner: Spawner) -> str:
    """Return what the orchestrator is told of its run.

    It is taken once, when the run begins to delegate, and recorded: files and limits may change until the run
    is resumed, and the prompt must not.
    """
    run = spawner.run
    key = (run.root.path, _PLACE)
    noted = run.journal.find(Note, key)
    if noted is not None:
        return str(noted.value)
    mine = run.journal.run_id
    earlier = [entry for entry in spawner.scratchpad.entries() if entry.run_id != mine]
    workspace, secrets = run.ladder_terms.workspace, run.gateway.secrets
    # In a thread: a large workspace takes seconds to read, in which other work must go on.
    text = await in_thread(
        orchestrator_place, run.task, run.config, spawner.leaf, workspace, secrets, earlier
    )
    await run.journal.append(Note(*key, text), durable=False)
    return text


def check_delegating(config: LoopConfig, worker: ModelProtocol) -> None:
    """Raise :exc:`~sunwell.errors.ConfigurationError` where nothing could be handed out, or within no cap."""
    if config.orchestrate and config.max_depth < 1:
        raise ConfigurationError("an orchestrator needs workers: max_depth must be at least 1")
    if config.orchestrate and config.delegation_tools not in (None, "delegate"):
        raise ConfigurationError(
            f"an orchestrator has the tools of delegate and not those of {config.delegation_tools}: leave "
            "them out"
        )
    is_capped = config.delegation_tools == "rlm" and config.sub_calls_max_cost_per_session is not None
    if is_capped and config.prices.price(worker) is None:
        raise ConfigurationError(
            f"the price of {worker.name} is unknown, so sub_calls_max_cost_per_session cannot hold: give "
            "its price, or set the limit to None"
        )
