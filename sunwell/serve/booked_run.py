"""Follows a run to its end, and books what it has spent in the purse that paid for it."""

from collections.abc import Callable
from contextlib import aclosing
from decimal import Decimal
from pathlib import Path

from sunwell.agent.agent import Agent
from sunwell.agent.run.run_context import RunEvents
from sunwell.core.threads import in_thread
from sunwell.errors import SunwellError
from sunwell.events import Event, ModelCallStarted, RunStarted
from sunwell.journal.layout import RunFile
from sunwell.serve.process_purse import Portion
from sunwell.serve.served_record import ServedRecord


async def booked(
    agent: Agent,
    events: RunEvents,
    portion: Portion,
    tell: Callable[[Event], None],
    spent_before_usd: Decimal = Decimal(0),
) -> tuple[ServedRecord, str]:
    """Give each of *events* to *tell*; return the run, and what went wrong besides what its journal says.

    That is empty if nothing did. What it has cost, less what it had cost before, is spent of *portion*; from
    the first call of a model on, all of it is, until the journal was read. Raises a
    :exc:`~sunwell.errors.SunwellError` if no model was called.
    """
    begun: RunStarted | None = None
    error, has_called = "", False
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
        error = str(failed)
    assert begun is not None
    read = await in_thread(ServedRecord.read, RunFile(begun.run_id, Path(begun.journal or "")))
    spent = read.most_spent_usd
    portion.spent_usd = None if spent is None else max(Decimal(0), spent - spent_before_usd)
    return read, error
