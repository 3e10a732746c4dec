"""Closing reserves: who must leave them free, who may use them, and that a crowd of them locks up nothing."""

import asyncio
from decimal import Decimal

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
    ledger = ledger_of(tokens=300, calls=2)
    ledger.hold_back("run", 30, None)
    assert ledger.settle(await ledger.reserve("run", Claim(200, 70)), 270, None) is False
    assert await outcome(ledger, "run", Claim(1, 1)) == "calls"
    closing = await ledger.reserve("run", Claim(20, 10, closing=True))
    ledger.release(closing)
    assert ledger.held_back("run") == Amount(reserved_tokens=30, calls=1)
    assert await outcome(ledger, "run", Claim(20, 20, closing=True)) == 10


async def test_a_childs_reserve_is_safe_from_its_siblings_until_the_child_is_closed():
    """The shared ceiling above keeps what a child needs to close; the child never takes its parent's."""
    ledger = ledger_of(tokens=300)
    ledger.hold_back("run", 10, None)
    for path in ("run/a", "run/b"):
        ledger.open(path, Budget(tokens=300))
    ledger.hold_back("run/b", 20, None)
    assert await spent(ledger, "run/a", Claim(260, 40)) == 10
    assert await outcome(ledger, "run/b", Claim(10, 40, closing=True)) == 10
    assert ledger.tokens_left("run/a") == 0
    ledger.close("run/b")
    assert await outcome(ledger, "run", Claim(5, 5, closing=True)) == 5


async def test_a_crowd_of_reserves_does_not_lock_up_the_ceiling_that_it_shares():
    """A hundred workers' reserves, twice the ceiling, keep a tenth of it, and closing calls use that up."""
    ledger = ledger_of(tokens=1000)
    for number in range(100):
        ledger.open(f"run/{number}", Budget(tokens=1000))
        ledger.hold_back(f"run/{number}", 20, None)
    got = 10
    while got == 10:
        got = await spent(ledger, "run/7", Claim(20, 10, 10))
    assert ledger.used("run").uncertain_tokens == 900
    closing = Claim(10, 10, 10, closing=True)
    assert [await spent(ledger, f"run/{number}", closing) for number in range(6)] == [10] * 5 + ["tokens"]
    assert ledger.used("run").uncertain_tokens == 1000


@pytest.mark.parametrize(
    ("ceiling", "reserves", "left"),
    [
        pytest.param({"tokens": 1000}, (20, 20), 960, id="all-of-them"),
        pytest.param({"tokens": 1000}, (20, 20, 80), 900, id="a-tenth"),
        pytest.param({"tokens": 19}, (20,), 18, id="a-tenth-rounded-down"),
        pytest.param({"usd": "0.5"}, (10, 10), Decimal("0.48"), id="all-of-them-in-dollars"),
        pytest.param({"usd": "0.5"}, (80,), Decimal("0.45"), id="a-tenth-in-dollars"),
    ],
)
@pytest.mark.parametrize("path", ["run", "run/0"])
async def test_all_reserves_together_keep_a_tenth_of_a_ceiling_at_most(path, ceiling, reserves, left):
    """Of the ceiling that they share and of their own: an ordinary call may take all else."""
    ledger = ledger_of(**ceiling) if path == "run" else ledger_of()
    if path != "run":
        ledger.open(path, Budget(**ceiling))
    for number, kept in enumerate(reserves):
        below = f"{path}/{number}"
        ledger.open(below, Budget())
        ledger.hold_back(below, kept, kept * Decimal("0.001"))
    got = ledger.tokens_left("run/0/0") if "tokens" in ceiling else ledger.usd_left("run/0/0")
    assert got == left if path == "run/0" or "tokens" not in ceiling else ledger.tokens_left("run") == left


@pytest.mark.parametrize(
    ("ceiling", "workers", "ordinary"), [(1, 1, 1), (2, 1, 1), (3, 1, 2), (9, 5, 8), (30, 2, 28), (30, 9, 27)]
)
async def test_of_few_calls_one_is_kept_unless_it_is_the_only_one(ceiling, workers, ordinary):
    """A tenth of the calls, at least one of two or more; a single call does the work itself."""
    ledger = ledger_of(calls=ceiling)
    for number in range(workers):
        ledger.open(f"run/{number}", Budget())
        ledger.hold_back(f"run/{number}", 1, None)
    got = [await spent(ledger, "run/0", Claim(1, 1)) for _ in range(ordinary + 1)]
    assert got == [1] * ordinary + ["calls"]
    kept = [await spent(ledger, "run/0", Claim(1, 1, closing=True)) for _ in range(2)]
    assert kept.count(1) == min(ceiling - ordinary, 1)


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
    ledger = ledger_of(tokens=300)
    ledger.hold_back("run", 30, None)
    closing = await ledger.reserve("run", Claim(10, 10, closing=True))
    ledger.hold_back("run", 30, None)
    ledger.release(closing)
    assert ledger.held_back("run") == Amount(reserved_tokens=30, calls=1)


async def test_a_passed_ceiling_refuses_all_who_wait_below_it_and_nobody_else():
    """Closing calls, too: there is no room left that could be theirs. A neighbour goes on."""
    ledger = ledger_of(tokens=300)
    ledger.open("run/a", Budget(tokens=100))
    ledger.hold_back("run/a", 10, None)
    held = await ledger.reserve("run/a", Claim(40, 40))
    waiting = [
        asyncio.create_task(outcome(ledger, "run/a", claim))
        for claim in (Claim(60, 30, 30), Claim(60, 10, 10, closing=True))
    ]
    await asyncio.sleep(0)
    assert not any(task.done() for task in waiting)
    assert ledger.settle(held, 101, None) is True
    assert await asyncio.gather(*waiting) == ["tokens", "tokens"]
    assert await outcome(ledger, "run/a", Claim(0, 1, closing=True)) == "tokens"
    assert await outcome(ledger, "run/b", Claim(100, 90)) == 89


def test_time_is_kept_for_the_closing_call():
    """Ordinary calls end before the time kept for closing; the closing call has it."""

    async def main():
        ledger = ledger_of(seconds=60)
        ledger.hold_back("run", 0, None, 10)
        await asyncio.sleep(50)
        return [await outcome(ledger, "run", Claim(1, 1, closing=closing)) for closing in (False, True)]

    assert run_virtual(main()) == ["seconds", 1]


async def test_the_dollars_kept_are_those_that_the_ceiling_has_free():
    """A tenth of it at most, and never more than calls have left; they count up to what is shown as kept."""
    ledger = ledger_of(usd=Decimal("1.00"))
    assert TreeLedger().kept_usd("run") == ledger.kept_usd("run") == 0
    ledger.hold_back("run/a", 0, Decimal("0.03"))
    assert ledger.kept_usd("run/a") == Decimal("0.03")
    ledger.hold_back("run", 0, Decimal("0.30"))
    assert ledger.kept_usd("run") == Decimal("0.10")
    held = await ledger.reserve("run", Claim(1, 1, 1, Decimal("0.40"), Decimal("0.10")))
    standing = ledger.standing("run", "usd")
    assert standing is not None
    assert ledger.kept_usd("run") == standing.reserved - standing.in_flight == Decimal("0.10")
    ledger.settle(held, 2, Decimal("0.95"))
    assert ledger.kept_usd("run") == Decimal("0.05")
    ledger.restore("run", Amount(settled_usd=Decimal("0.50")))
    assert ledger.kept_usd("run") == 0
