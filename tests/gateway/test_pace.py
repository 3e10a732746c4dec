"""A call that waits for its pace: told at once, not sent, and so neither on record nor booked."""

import asyncio

import pytest

from sunwell.budget import Budget
from sunwell.core import Span
from sunwell.events import ModelHeld, Warned
from sunwell.journal.records import Held
from sunwell.models.connection import Connection
from sunwell.models.rate_limits import Need, RateLimiter, Ticket, admitted
from sunwell.testing import ScriptedModel, run_virtual


class PacedModel(ScriptedModel):
    """A scripted model with the rate limit of a connection: one request a minute."""

    limiter: RateLimiter | None = None

    async def admit(self, request) -> Ticket:
        if self.limiter is None:
            self.limiter = RateLimiter.of(Connection("x", requests_per_minute=1), 0.0)
        return await self.limiter.enter(Need(10, request.max_output_tokens))

    async def complete(self, request):
        ticket = admitted.get()
        assert ticket is not None
        ticket.is_used = True
        ticket.heard(200, {})
        return await super().complete(request)


def test_a_call_that_waits_for_its_pace_is_told_at_once(open_door, price) -> None:
    """With the reason and the time, before it goes on; the wait is on record afterwards."""
    door = open_door(Budget(usd=1))
    model = PacedModel("haiku", ["Yes.", "No."], price)
    told_at = []

    async def main() -> None:
        await door.ask(model)
        second = asyncio.ensure_future(door.ask(model, span=Span("run/other")))
        await asyncio.sleep(0.01)
        told_at.extend(door.told(ModelHeld))
        await second

    run_virtual(main())
    [held] = told_at
    assert (held.span, held.model, held.reason) == ("run/other", "haiku", "requests_per_minute is used up")
    assert held.wait_seconds == pytest.approx(60)
    [warned] = door.told(Warned)
    assert "haiku: a request waits about 60.0 s before it is sent" in warned.message
    [record] = [record for record in door.records if isinstance(record, Held)]
    assert (record.reason, record.seconds) == ("rate", pytest.approx(60))


@pytest.mark.parametrize("stop", ["cancelled", "timed-out"])
def test_a_call_that_is_stopped_while_it_waits_for_its_pace_was_not_sent(open_door, price, stop) -> None:
    """No intent is on record, so that a killed process has none either, and nothing is booked or held."""
    door = open_door(Budget(usd=1))
    model = PacedModel("haiku", ["Yes.", "No."], price)

    async def main() -> None:
        await door.ask(model)
        before = list(door.kinds())
        waiting = asyncio.ensure_future(door.ask(model, span=Span("run/other")))
        await asyncio.sleep(5)
        assert door.kinds() == before
        if stop == "cancelled":
            waiting.cancel()
        with pytest.raises(asyncio.CancelledError if stop == "cancelled" else TimeoutError):
            await asyncio.wait_for(waiting, 1)
        assert door.kinds() == before

    run_virtual(main())
    used = door.used
    assert (used.reserved_usd, used.uncertain_usd, used.calls) == (0, 0, 1)
    assert model.limiter is not None
    assert model.limiter.in_flight == 0


def test_a_ticket_that_no_call_used_is_given_back(open_door, slow_journal, price) -> None:
    """Stopped after its wait, while the intent is written: the next request has the room."""
    door = open_door(Budget(usd=1), journal=slow_journal(2.0))
    model = PacedModel("haiku", ["Yes."], price)

    async def main() -> None:
        asking = asyncio.ensure_future(door.ask(model))
        await asyncio.sleep(3)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking

    run_virtual(main())
    assert model.limiter is not None
    assert model.limiter.in_flight == 0
    assert (door.used.uncertain_usd, door.used.calls) == (0, 0)
