"""Closing reserves: who must leave them free, who may use them, and that a crowd of them locks up nothing."""

import asyncio

import pytest

from sunwell.budget import Amount, Budget, Claim, TreeLedger
from sunwell.errors import BudgetExhausted
from sunwell.testing import run_virtual


def ledger_of(**budget):
    ledger = TreeLedger()
    ledger.open("run", Budget(**budget))
    return ledger


async def outcome(ledger, path, claim):
    try:
        return (await ledger.reserve(path, claim)).max_output_tokens
    except BudgetExhausted as error:
        return error.limit


async def spent(ledger, path, claim):
    """Book the whole claim, and return its output or the limit that refused it."""
    try:
        held = await ledger.reserve(path, claim)
    except BudgetExhausted as error:
        return error.limit
    ledger.keep(held)
    return held.max_output_tokens


async def test_only_a_closing_claim_uses_the_closing_reserve():
    """Ordinary claims leave it free; the closing call draws on it, and a released one puts it back."""
    ledger = ledger_of(tokens=100, calls=2)
    ledger.hold_back("run", 30, None)
    assert ledger.settle(await ledger.reserve("run", Claim(60, 10)), 70, None) is False
    assert await outcome(ledger, "run", Claim(1, 1)) == "calls"
    closing = await ledger.reserve("run", Claim(20, 10, closing=True))
    ledger.release(closing)
    assert ledger.held_back("run") == Amount(reserved_tokens=30, calls=1)
    assert await outcome(ledger, "run", Claim(20, 20, closing=True)) == 10


async def test_a_childs_reserve_is_safe_from_its_siblings_until_the_child_is_closed():
    """The shared ceiling above keeps what a child needs to close; the child never takes its parent's."""
    ledger = ledger_of(tokens=100)
    ledger.hold_back("run", 10, None)
    for path in ("run/a", "run/b"):
        ledger.open(path, Budget(tokens=100))
    ledger.hold_back("run/b", 20, None)
    assert await outcome(ledger, "run/a", Claim(60, 40)) == 10
    assert await outcome(ledger, "run/b", Claim(10, 40, closing=True)) == 10
    assert ledger.tokens_left("run/a") == 0
    ledger.close("run/b")
    assert await outcome(ledger, "run", Claim(5, 5, closing=True)) == 5


async def test_a_crowd_of_reserves_does_not_lock_up_the_ceiling_that_it_shares():
    """A hundred workers with a reserve each leave 95 % of the shared ceiling to ordinary calls."""
    ledger = ledger_of(tokens=1000)
    for number in range(100):
        ledger.open(f"run/{number}", Budget(tokens=1000))
        ledger.hold_back(f"run/{number}", 20, None)
    got = 10
    while got == 10:
        got = await spent(ledger, "run/7", Claim(20, 10, 10))
    assert 950 <= ledger.used("run").uncertain_tokens <= 980


@pytest.mark.parametrize(("used", "left"), [(950, 30), (951, 9)], ids=["a-twentieth", "less"])
async def test_the_last_twentieth_is_for_all_reserves_and_the_rest_for_the_largest(used, left):
    """Ordinary claims leave the largest reserve below; in the last twentieth they leave every one."""
    ledger = ledger_of(tokens=1000)
    for path in ("run/a", "run/b"):
        ledger.open(path, Budget())
        ledger.hold_back(path, 20, None)
    ledger.restore("run", Amount(settled_tokens=used))
    assert ledger.tokens_left("run/a") == left


async def test_workers_that_close_never_take_what_the_run_needs_to_close():
    """Where the reserves of two workers do not both fit, the second is refused and the run still closes."""
    ledger = ledger_of(tokens=100)
    ledger.hold_back("run", 10, None)
    for path in ("run/a", "run/b"):
        ledger.open(path, Budget())
        ledger.hold_back(path, 20, None)
    ledger.restore("run", Amount(settled_tokens=70))
    assert await spent(ledger, "run/a", Claim(10, 10, 10, closing=True)) == 10
    assert await spent(ledger, "run/b", Claim(5, 5, closing=True)) == "tokens"
    assert await spent(ledger, "run", Claim(5, 5, closing=True)) == 5


@pytest.mark.parametrize("closing", [True, False])
async def test_who_waits_below_is_refused_when_the_ceiling_above_is_passed(closing):
    """A claim waits for its own worker; then what an earlier process used takes all hope from it."""
    ledger = ledger_of(tokens=120)
    ledger.open("run/a", Budget(tokens=60))
    await ledger.reserve("run/a", Claim(40, 20))
    waiting = asyncio.create_task(outcome(ledger, "run/a", Claim(10, 10, 10, closing=closing)))
    await asyncio.sleep(0)
    assert not waiting.done()
    ledger.restore("run", Amount(settled_tokens=101))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert waiting.done()
    assert waiting.result() == "tokens"


async def test_who_counted_on_a_reserve_is_refused_when_another_closing_call_has_used_it():
    """Of two closing claims of one worker the larger waits; once the reserve is drawn, it has no hope."""
    ledger = ledger_of(tokens=100)
    for path, kept in (("run/a", 40), ("run/b", 30)):
        ledger.open(path, Budget())
        ledger.hold_back(path, kept, None)
    ledger.restore("run", Amount(settled_tokens=25))
    await ledger.reserve("run", Claim(5, 5))
    larger = asyncio.create_task(outcome(ledger, "run/a", Claim(60, 10, 10, closing=True)))
    await asyncio.sleep(0)
    assert not larger.done()
    assert await outcome(ledger, "run/a", Claim(30, 10, 10, closing=True)) == 10
    assert await larger == "tokens"


async def test_a_released_closing_call_does_not_swell_a_newer_reserve():
    """What was drawn goes back only to the reserve that it came from."""
    ledger = ledger_of(tokens=100)
    ledger.hold_back("run", 30, None)
    closing = await ledger.reserve("run", Claim(10, 10, closing=True))
    ledger.hold_back("run", 30, None)
    ledger.release(closing)
    assert ledger.held_back("run") == Amount(reserved_tokens=30, calls=1)


async def test_who_stands_behind_a_claim_that_a_passed_bound_refuses_is_served():
    """No ordinary call follows a bill above its bound; a closing call that stood behind one does."""
    ledger = ledger_of(tokens=300)
    ledger.open("run/a", Budget(tokens=100))
    first, _ = [await ledger.reserve("run/a", Claim(20, 10)) for _ in range(2)]
    elsewhere = await ledger.reserve("run", Claim(5, 5))
    large = asyncio.create_task(outcome(ledger, "run/a", Claim(60, 30, 30)))
    closing = asyncio.create_task(outcome(ledger, "run/a", Claim(40, 10, 10, closing=True)))
    await asyncio.sleep(0)
    ledger.release(first)
    assert ledger.settle(elsewhere, 11, None) is True
    assert await large == "tokens"
    await asyncio.sleep(0)
    assert closing.done()
    assert closing.result() == 10


def test_time_is_kept_for_the_closing_call():
    """Ordinary calls end before the time kept for closing; the closing call has it."""

    async def main():
        ledger = ledger_of(seconds=60)
        ledger.hold_back("run", 0, None, 10)
        await asyncio.sleep(50)
        return [await outcome(ledger, "run", Claim(1, 1, closing=closing)) for closing in (False, True)]

    assert run_virtual(main()) == ["seconds", 1]
