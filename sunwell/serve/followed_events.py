"""Follows the events of a run that was paid for out of a purse."""

from collections.abc import Callable
from contextlib import aclosing
from decimal import Decimal

from sunwell.agent.agent import Agent
from sunwell.agent.run.run_context import RunEvents
from sunwell.errors import SunwellError
from sunwell.events import Event, ModelCallStarted, RunStarted
from sunwell.serve.process_purse import Portion


async def followed(
    agent: Agent, events: RunEvents, portion: Portion, tell: Callable[[Event], None]
) -> tuple[RunStarted, str]:
    """Give each of *events* to *tell*, and return the first one of the run and what went wrong.

    That is empty if nothing did besides what the journal says. From the first call of a model on, all of
    *portion* counts as spent until somebody reads the journal. Raises a
    :exc:`~sunwell.errors.SunwellError` if no model was called.
    """
    begun: RunStarted | None = None
    has_called = False
    try:
        async with agent, aclosing(events) as stream:
            async for event in stream:
                if isinstance(event, RunStarted):
                    begun = event
                elif isinstance(event, ModelCallStarted):
                    has_called, portion.spent_usd = True, None
                tell(event)
    except SunwellError as failed:
        if begun is None or not has_called:
            portion.spent_usd = Decimal(0)
            raise
        return begun, str(failed)
    assert begun is not None
    return begun, ""
