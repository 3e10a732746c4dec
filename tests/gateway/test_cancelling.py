"""Cancelled in any phase: what was answered is booked and written down, and nothing stays held."""

import asyncio
from decimal import Decimal

import pytest

from sunwell.budget import Budget
from sunwell.core import Span, Usage
from sunwell.errors import JournalError
from sunwell.testing import ScriptedModel, completion, run_virtual

WRITE_SECONDS = 2.0
ASK_SECONDS = 10.0
"""An ask goes: room on disk until 2, intent until 4, the model until 14, the answer until 16."""


async def cancelled_after(seconds: float, asking) -> None:
    """Cancel *asking* once *seconds* have passed; it must say that it was cancelled."""
    task = asyncio.ensure_future(asking)
    await asyncio.sleep(seconds)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


PHASES = [
    pytest.param(1, [], 0, 0, id="before-the-intent"),
    pytest.param(3, ["intent", "failure"], 0, 0, id="while-the-intent-is-written"),
    pytest.param(9, ["intent", "failure"], 1, 0, id="while-asked"),
    pytest.param(15, ["intent", "answer"], 0, 1, id="while-the-answer-is-written"),
]


@pytest.mark.parametrize(("seconds", "kinds", "uncertain_calls", "calls"), PHASES)
def test_each_phase_leaves_true_books(
    open_door, slow_journal, price, seconds, kinds, uncertain_calls, calls
) -> None:
    """Given back before it was sent, uncertain while it was asked, settled once it was answered."""
    door = open_door(Budget(usd=1), journal=slow_journal(WRITE_SECONDS))
    said = completion("Yes.", usage=Usage(200, 30))
    model = ScriptedModel("haiku", [said], price, seconds=ASK_SECONDS)
    run_virtual(cancelled_after(seconds, door.ask(model)))
    assert door.kinds() == kinds
    used, bill = door.used, door.gateway.tally.bill()
    reserved = door.records[0].reserved_usd if kinds else 0
    assert used.reserved_usd == 0
    assert used.uncertain_usd == reserved * uncertain_calls
    assert used.settled_usd == Decimal("0.0005") * calls
    assert used.calls == uncertain_calls + calls == len(model.calls)
    assert (bill.calls, bill.uncertain_usd) == (calls, used.uncertain_usd)
    if kinds[-1:] == ["failure"]:
        failure = door.records[-1]
        assert (failure.error, failure.may_be_billed) == ("CancelledError", uncertain_calls == 1)


def test_cancelled_while_it_waits_for_room_leaves_nothing(open_door, price) -> None:
    """Who waits in line and is cancelled was never anywhere."""
    door = open_door(Budget(usd="0.0025"))
    model = ScriptedModel("haiku", ["Yes."], price, seconds=50)

    async def main() -> None:
        first = asyncio.ensure_future(door.ask(model))
        await asyncio.sleep(1)
        await cancelled_after(5, door.ask(model, span=Span("run/other")))
        await first

    run_virtual(main())
    assert door.kinds() == ["intent", "answer"]
    assert door.used.calls == 1


def test_cancelled_between_two_attempts_keeps_only_what_may_be_billed(open_door, price) -> None:
    """The wait for the next attempt holds nothing."""
    from sunwell.errors import RateLimited

    door = open_door(Budget(usd=1))
    model = ScriptedModel("haiku", [RateLimited("haiku", "later", retry=True, retry_after_seconds=30)], price)
    run_virtual(cancelled_after(10, door.ask(model)))
    assert door.kinds() == ["intent", "failure"]
    used = door.used
    assert (used.reserved_usd, used.uncertain_usd, used.calls) == (0, 0, 0)


def test_cancelled_again_and_again_the_answer_is_still_written(open_door, slow_journal, price) -> None:
    """No number of cancellations breaks off the writing of what was paid for."""
    door = open_door(Budget(usd=1), journal=slow_journal(WRITE_SECONDS))
    model = ScriptedModel("haiku", [completion("Yes.", usage=Usage(200, 30))], price, seconds=ASK_SECONDS)

    async def main() -> None:
        task = asyncio.ensure_future(door.ask(model))
        await asyncio.sleep(14.5)
        for _ in range(5):
            task.cancel()
            await asyncio.sleep(0.1)
        assert not task.done()
        with pytest.raises(asyncio.CancelledError):
            await task

    run_virtual(main())
    assert door.kinds() == ["intent", "answer"]
    assert door.used.settled_usd == Decimal("0.0005")


def test_a_time_limit_cancels_like_anybody(open_door, slow_journal, price) -> None:
    """A time-out in mid-call leaves the call uncertain, and the place in the span used."""
    door = open_door(Budget(usd=1), journal=slow_journal(WRITE_SECONDS))
    model = ScriptedModel("haiku", ["late", "Yes."], price, seconds=ASK_SECONDS)

    async def main() -> str:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(8):
                await door.ask(model)
        return (await door.ask(model)).text

    assert run_virtual(main()) == "Yes."
    assert [record.number for record in door.records] == [0, 0, 1, 1]


class FullDisk:
    """A journal that takes intents and refuses one kind of record."""

    def __init__(self, inner, refused: str) -> None:
        self.inner, self.refused = inner, refused
        self.run_id, self.find, self.records = inner.run_id, inner.find, inner.records
        self.boot = inner.boot
        self.reserve_space, self.has = inner.reserve_space, inner.has

    async def append(self, record, *, durable=True) -> None:
        if record.kind == self.refused:
            raise JournalError("the disk is full")
        await self.inner.append(record, durable=durable)


@pytest.mark.parametrize(
    ("refused", "asked", "uncertain"),
    [pytest.param("intent", 0, 0, id="intent"), pytest.param("answer", 1, 1, id="answer")],
)
def test_what_cannot_be_written_is_not_asked_or_counts_in_full(
    open_door, slow_journal, price, refused, asked, uncertain
) -> None:
    """Without its intent nothing is sent; an answer that is not on record is not handed out."""
    door = open_door(Budget(usd=1), journal=FullDisk(slow_journal(0).inner, refused))
    model = ScriptedModel("haiku", ["Yes."], price)
    with pytest.raises(JournalError, match="full"):
        run_virtual(door.ask(model))
    assert len(model.calls) == asked
    assert door.used.reserved_usd == 0
    assert (door.used.uncertain_usd > 0) == bool(uncertain)
