"""Work whose model hands out other work: with its own tools beside, or as an orchestrator without any."""

import asyncio

import attrs

from sunwell.agent.batches.batch_run import dispatcher_for
from sunwell.agent.delegation.answer_tool import AnswerTool
from sunwell.agent.delegation.conductor import Conductor
from sunwell.agent.delegation.desk import Desk
from sunwell.agent.delegation.desk_tool import DeskTool, DeskTools
from sunwell.agent.delegation.orchestrator_prompt import ORCHESTRATOR_PROMPT
from sunwell.agent.delegation.rlm_tools import rlm_tools
from sunwell.agent.delegation.sub_calls import SubCalls
from sunwell.agent.delegation.subagent_tool import subagent_tools
from sunwell.agent.delegation.tools import delegating_tools
from sunwell.agent.run.loop_config import DEFAULT_TURNS, LoopConfig
from sunwell.agent.work.ended import Ended
from sunwell.agent.work.execution import Execution
from sunwell.agent.work.toolset import Toolset
from sunwell.agent.work.work import Assignment, Work
from sunwell.context.options import DelegationTools
from sunwell.core.lens import EphemeralLens
from sunwell.core.model import ModelProtocol
from sunwell.errors import ConfigurationError, SubCallDepthExceeded
from sunwell.journal.records import ToolFinished, WorkerOpened
from sunwell.memory.scratchpad import Scratchpad, TaskIds

_TOOLS = {"delegate": delegating_tools, "rlm": rlm_tools, "subagent": subagent_tools}


def tools_called(kind: DelegationTools) -> tuple[DeskTool, ...]:
    """Return the delegation tools of one kind; never two kinds are offered at once."""
    return _TOOLS[kind]()


@attrs.frozen
class Delegating:
    """How one run's model hands out work: to whom, and with which tools."""

    execution: Execution
    worker: ModelProtocol
    """The one model of all workers, at any depth."""
    kind: DelegationTools
    lens: EphemeralLens | None = None

    async def orchestrate(self, given: Assignment) -> Ended:
        """Carry *given* out with a model that has no tools but those of delegation and ``set_answer``."""
        desk = await self._desk()
        settings = desk.settings
        answers = AnswerTool(given.span, settings.confidence_threshold)
        tools = Toolset((), frozenset(), {}).joined(
            DeskTools(desk, (*tools_called(self.kind), answers.tool()))
        )
        given = attrs.evolve(
            given,
            system=(*given.system, ORCHESTRATOR_PROMPT),
            purpose="orchestrate",
            most_turns=settings.max_iterations,
        )
        ended = await self._to_the_end(desk, given, tools, answers)
        self.execution.confidence = answers.answer.confidence if answers.answer else None
        return ended

    async def work(self, given: Assignment) -> Ended:
        """Carry *given* out with a model that may delegate besides what it does itself."""
        desk = await self._desk()
        turns = self.execution.config.budget.turns
        given = attrs.evolve(given, most_turns=DEFAULT_TURNS if turns is None else None)
        may = desk.dispatcher.may_start(given.span)
        return await self._to_the_end(desk, given, desk.deeper if may else desk.leaf, None)

    async def _desk(self) -> Desk:
        execution = self.execution
        config, run = execution.config, execution.run
        dispatcher = dispatcher_for(execution, self.worker, self.lens)
        limits = config.orchestration.sub_calls
        counted = SubCalls(run, limits) if self.kind == "rlm" else None
        if counted is not None:
            dispatcher.max_depth = min(dispatcher.max_depth, limits.max_depth)
        pad = Scratchpad(run.journal.run_id, config.orchestration.max_entries)
        names = [tool.spec.name for tool in tools_called(self.kind)]
        leaf = execution.tools.without(names, SubCallDepthExceeded().sentence)
        unnamed = TaskIds(run.journal.run_id, 0)
        desk = Desk(run, dispatcher, pad, unnamed, config.orchestration, leaf, leaf, counted)
        desk.deeper = execution.tools.joined(DeskTools(desk, tools_called(self.kind)))
        await desk.open(config.earlier)
        if execution.resumed:
            self._recall_calls(desk)
        return desk

    def _recall_calls(self, desk: Desk) -> None:
        """Tell the tools what workers read and changed before this process took the run up."""
        workers: set[str] = set()
        for record in self.execution.run.journal.records():
            match record:
                case WorkerOpened():
                    workers.add(record.span)
                case ToolFinished() if record.span in workers:
                    self.execution.tools.note(desk.ids.of(record.span), record.result)

    async def _to_the_end(
        self, desk: Desk, given: Assignment, tools: Toolset, answers: AnswerTool | None
    ) -> Ended:
        turns = given.most_turns or self.execution.config.budget.turns or DEFAULT_TURNS
        conductor = Conductor(desk, given.span, turns, answers)
        work = Work(self.execution.run, given, tools, conductor)
        try:
            return await self.execution.carry_out(work)
        except asyncio.CancelledError:
            work.last_text = work.partial()
            raise
        finally:
            await desk.close()
            self.execution.take(desk.dispatcher.all_results())


def check_delegating(config: LoopConfig, worker: ModelProtocol) -> None:
    """Raise :exc:`~sunwell.errors.ConfigurationError` where nothing could be handed out, or within no cap."""
    if config.orchestrate and config.max_depth < 1:
        raise ConfigurationError("an orchestrator needs workers: max_depth must be at least 1")
    if config.orchestrate and config.delegation_tools not in (None, "delegate"):
        raise ConfigurationError(
            f"an orchestrator has the tools of delegate and not those of {config.delegation_tools}: leave "
            "them out"
        )
    limits = config.orchestration.sub_calls
    is_capped = config.delegation_tools == "rlm" and limits.max_cost_per_session is not None
    if is_capped and config.prices.price(worker) is None:
        raise ConfigurationError(
            f"the price of {worker.name} is unknown, so max_cost_per_session of sub-calls cannot hold: give "
            "its price, or set the limit to None"
        )
