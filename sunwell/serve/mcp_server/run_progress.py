"""A run as a client's call follows it: lines of progress, what needs approval, and what the end needs."""

from contextlib import aclosing
from typing import Any

import attrs

from sunwell.agent.agent import Agent
from sunwell.agent.run.run_context import RunEvents
from sunwell.context.options import Approve
from sunwell.core.markdown import fenced
from sunwell.core.task import TaskResult
from sunwell.core.tool import Proposal
from sunwell.events import (
    BatchPlanned,
    CheckFinished,
    DelegationSkipped,
    DelegationStarted,
    EphemeralLensCreated,
    Event,
    LensFailed,
    ModelCallFinished,
    ModelCallStarted,
    ModelFellBack,
    ModelRetried,
    RunFinished,
    RunStarted,
    ToolCallFinished,
    Warned,
    WorkerFinished,
)
from sunwell.report.figures import dollars, one_line
from sunwell.serve.mcp_server.held_call import HeldCall
from sunwell.serve.mcp_server.process_purse import Portion
from sunwell.tools.wording import exact_lines

_LONGEST_LINE = 300
_MOST_SHOWN = 20_000


@attrs.define(eq=False)
class FollowedEvents:
    """What the events of a run have told."""

    begun: RunStarted | None = None
    has_called: bool = False
    result: TaskResult | None = None


async def follow(
    call: HeldCall[Any], agent: Agent, events: RunEvents, portion: Portion, seen: FollowedEvents
) -> None:
    """Read *events* to their end.

    *call* is told of progress and how its run is stopped; *portion* gets ``None`` for what is spent once a
    model is asked, until somebody reads the journal; *seen* gets what is needed at the end.
    """
    async with aclosing(events) as stream:
        async for event in stream:
            match event:
                case RunStarted():
                    seen.begun, call.stop_with = event, agent.stop
                case ModelCallStarted():
                    seen.has_called = True
                    portion.spent_usd = None  # until the journal says what it was
                case RunFinished():
                    seen.result = event.result
            if line := one_line(_line_of(event), _LONGEST_LINE):
                call.tell(line)


def approving(call: HeldCall[Any]) -> Approve:
    """Return what has a person approve each write and command, through the client of *call*."""

    async def approve(proposal: Proposal) -> bool:
        lines = exact_lines(proposal.details, is_diff=bool(proposal.path))
        if sum(map(len, lines)) > _MOST_SHOWN:  # what nobody can read whole, nobody can approve
            call.tell(f"refused, since it is too long to be shown: {proposal.summary}")
            return False
        about = [proposal.asked_by and f"Asked by: {proposal.asked_by}", proposal.conditions]
        about.append(proposal.reason and f"Asked because {proposal.reason}")
        told = "\n".join([f"{proposal.summary}?", *filter(None, about), fenced("\n".join(lines))])
        return await call.ask(told)

    return approve


def _line_of(event: Event) -> str:
    match event:
        case RunStarted():
            begun = "goes on" if event.resumed else "begins"
            return f"run {event.run_id} {begun}; report finds it by this id"
        case DelegationStarted():
            return f"{event.smart_model} writes a lens for {event.delegation_model}: {event.reason}"
        case DelegationSkipped():
            return f"not delegated: {event.reason}"
        case EphemeralLensCreated():
            return f"a lens with {event.heuristics_count} heuristics is there ({dollars(event.cost_usd)})"
        case LensFailed():
            return f"no lens: {event.reason}"
        case BatchPlanned():
            return f"{event.workers} workers: {event.choice}"
        case _:
            return _step(event)


def _step(event: Event) -> str:
    match event:
        case ModelCallStarted():
            return f"{event.model} is asked ({event.purpose})"
        case ModelCallFinished():
            return f"{event.model} has answered ({dollars(event.cost_usd)})"
        case ModelRetried():
            return f"{event.model} is asked again in {event.wait_seconds:.0f} s: {event.error}"
        case ModelFellBack():
            return f"{event.used} in place of {event.wanted}: {event.reason}"
        case ToolCallFinished():
            return f"{event.tool}{' failed' if event.is_error else ''} {', '.join(event.changed)}".rstrip()
        case WorkerFinished():
            return f"task {event.result.task_id}: {event.result.status}"
        case CheckFinished():
            said = {True: "passed", False: "failed", None: "could not tell"}[event.passed]
            return f"check {said}: {', '.join(event.by)}"
        case Warned():
            return f"warning: {event.message}"
    return ""
