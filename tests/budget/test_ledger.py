"""The ledger by example: who gets room, who waits, who is refused and with what figures."""

import asyncio
from decimal import Decimal

import pytest

from sunwell.budget import Amount, Budget, Claim, TreeLedger
from sunwell.errors import BudgetExhausted, ConfigurationError
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


async def started(*coroutines):
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    await asyncio.sleep(0)
    return tasks


@pytest.mark.parametrize(
    ("budget", "got"),
    [
        pytest.param({"tokens": 150}, 50, id="fits-exactly"),
        pytest.param({"tokens": 149}, 49, id="lowered-by-one"),
        pytest.param({"tokens": 110}, 10, id="lowered-to-the-least"),
        pytest.param({"tokens": 109}, "tokens", id="below-the-least"),
        pytest.param({"usd": "0.0020"}, 50, id="dollars-fit-exactly"),
        pytest.param({"usd": "0.0019"}, 45, id="dollars-lower-the-output"),
        pytest.param({"usd": "0.0012"}, 10, id="dollars-for-the-least"),
        pytest.param({"usd": "0.00119"}, "usd", id="dollars-below-the-least"),
        pytest.param({"calls": 1}, 50, id="one-call"),
        pytest.param({"calls": 0}, "calls", id="no-call"),
        pytest.param({"seconds": 0}, "seconds", id="no-time"),
        pytest.param({}, 50, id="no-ceiling"),
    ],
)
async def test_output_is_lowered_to_what_the_ceiling_allows_and_refused_below_the_least(budget, got):
    """A claim gets its output, less of it, or a refusal that names the limit."""
    claim = Claim(100, 50, 10, Decimal("0.001"), Decimal("0.00002"))
    assert await outcome(ledger_of(**budget), "run", claim) == got


async def test_a_refusal_carries_the_figures_and_the_account():
    """A refused caller learns what was needed, what is used, and whose ceiling it was."""
    ledger = ledger_of(tokens=1000)
    ledger.open("run/a", Budget(tokens=100))
    held = await ledger.reserve("run/a/x", Claim(40, 20))
    ledger.settle(held, 30, None)
    with pytest.raises(BudgetExhausted) as refused:
        await ledger.reserve("run/a/y", Claim(80, 20, 5))
    error = refused.value
    assert (error.limit, error.needed, error.used, error.ceiling, error.account) == (
        "tokens",
        85,
        30,
        100,
        "run/a",
    )


async def test_a_dollar_ceiling_refuses_an_unpriced_claim():
    """Where dollars are limited, a call without a price is a mistake in the settings, not a free call."""
    with pytest.raises(ConfigurationError, match="price is unknown"):
        await ledger_of(usd=1).reserve("run", Claim(1, 1))


async def test_a_call_between_an_account_and_its_neighbour_of_like_name_stays_apart():
    """run/ab does not draw on run/a."""
    ledger = ledger_of()
    ledger.open("run/a", Budget(tokens=10))
    await ledger.reserve("run/ab", Claim(50, 50))
    assert (ledger.used("run/a").reserved_tokens, ledger.used("run").reserved_tokens) == (0, 100)


async def test_room_comes_back_exactly():
    """After release nothing is booked; after keep all is, as uncertain; after settle what was billed."""
    ledger = ledger_of(usd=1, tokens=1000)
    claim = Claim(100, 100, 1, Decimal("0.1"), Decimal("0.001"))
    released, kept, settled = [await ledger.reserve("run", claim) for _ in range(3)]
    ledger.release(released)
    ledger.keep(kept)
    assert ledger.settle(settled, 150, Decimal("0.12")) is False
    used = ledger.used("run")
    assert (used.settled_usd, used.uncertain_usd, used.reserved_usd) == (Decimal("0.12"), Decimal("0.2"), 0)
    assert (used.settled_tokens, used.uncertain_tokens, used.reserved_tokens, used.calls) == (150, 200, 0, 2)
    assert (ledger.tokens_left("run"), ledger.usd_left("run")) == (650, Decimal("0.68"))


@pytest.mark.parametrize("again", ["settle", "keep", "release"])
async def test_a_reservation_ends_once(again):
    """Ending a reservation twice is a bug and says so."""
    ledger = ledger_of(tokens=100)
    held = await ledger.reserve("run", Claim(10, 10))
    ledger.keep(held)
    with pytest.raises(RuntimeError, match="ended already"):
        ledger.settle(held, 1, None) if again == "settle" else getattr(ledger, again)(held)


async def test_usage_without_a_price_keeps_the_reserved_dollars():
    """Known tokens and an unknown price: tokens are settled, dollars stay booked at their bound."""
    ledger = ledger_of(usd=1)
    held = await ledger.reserve("run", Claim(10, 10, 1, Decimal("0.1"), Decimal("0.01")))
    ledger.settle(held, 12, None)
    used = ledger.used("run")
    assert (used.settled_tokens, used.settled_usd, used.uncertain_usd) == (12, 0, Decimal("0.2"))


@pytest.mark.parametrize(
    ("billed", "got"), [(801, 49), (849, 1), (850, "tokens")], ids=["by-one", "least-left", "none-left"]
)
async def test_a_bill_above_its_reservation_inside_the_ceiling_is_told_and_booked_in_full(billed, got):
    """Who waits is judged anew by what is left; the closing call has its room."""
    ledger = ledger_of(tokens=1000)
    ledger.hold_back("run", 100, None)
    held = await ledger.reserve("run", Claim(700, 100))
    (waiting,) = await started(outcome(ledger, "run", Claim(50, 100)))
    assert ledger.settle(held, billed, None) is True
    assert await waiting == got
    assert await outcome(ledger, "run", Claim(50, 50, closing=True)) == 50
    assert ledger.used("run").settled_tokens == billed


@pytest.mark.parametrize("closing", [False, True])
@pytest.mark.parametrize(
    "over", [Amount(settled_tokens=101), Amount(settled_usd=Decimal(2)), Amount(calls=4)]
)
async def test_a_passed_ceiling_stops_every_call_until_it_is_raised(over, closing):
    """Passed now or in an earlier process: no closing call either, be it free of cost."""
    ledger = ledger_of(tokens=100, usd=1, calls=3)
    ledger.hold_back("run", 10, Decimal("0.1"))
    ledger.restore("run", over)
    claim = Claim(0, 1, 0, Decimal(0), Decimal(0), closing)
    with pytest.raises(BudgetExhausted, match=r"of (100 tokens|\$1|3 calls) is exceeded"):
        await ledger.reserve("run", claim)
    ledger.open("run", Budget(tokens=1000, usd=10, calls=30))
    assert await outcome(ledger, "run", claim) == 1


async def test_without_a_ceiling_a_bill_above_its_bound_stops_nothing():
    """Where nothing was promised, nothing is stopped."""
    ledger = ledger_of(seconds=100)
    assert ledger.settle(await ledger.reserve("run", Claim(1, 1)), 50, None) is True
    assert await outcome(ledger, "run", Claim(1, 1)) == 1


async def test_a_claim_waits_for_its_whole_limit_as_long_as_calls_in_flight_could_free_more():
    """Three quarters of it would fit at once; it is cut only when the last call in flight has ended."""
    ledger = ledger_of(tokens=150)
    first, second = await ledger.reserve("run", Claim(40, 10)), await ledger.reserve("run", Claim(40, 10))
    (asked,) = await started(outcome(ledger, "run", Claim(10, 50)))
    ledger.settle(first, 45, None)
    await asyncio.sleep(0)
    assert not asked.done()
    ledger.settle(second, 49, None)
    assert await asked == 46


async def test_a_claim_does_not_wait_for_others_if_its_own_ceiling_allows_no_more():
    """What a neighbour could free would be of no use."""
    ledger = ledger_of(tokens=150)
    ledger.open("run/a", Budget(tokens=30))
    await ledger.reserve("run", Claim(100, 20))
    assert await outcome(ledger, "run/a", Claim(10, 50)) == 20


async def test_a_small_claim_does_not_overtake_a_large_one_that_waits():
    """Order of arrival holds at the account that lacks room; a neighbour that shares none of it passes."""
    ledger = ledger_of()
    ledger.open("run/a", Budget(tokens=100))
    first = await ledger.reserve("run/a", Claim(50, 10))
    large, small = await started(
        outcome(ledger, "run/a", Claim(90, 10, 10)), outcome(ledger, "run/a", Claim(5, 5))
    )
    assert (large.done(), small.done(), await outcome(ledger, "run/b", Claim(5, 5))) == (False, False, 5)
    ledger.release(first)
    assert (await large, small.done()) == (10, False)


async def test_a_waiter_is_refused_as_soon_as_nothing_in_flight_can_free_enough():
    """The last settlement that could have helped ends the wait."""
    ledger = ledger_of(tokens=100)
    first, second = [await ledger.reserve("run", Claim(40, 10)) for _ in range(2)]
    (waiting,) = await started(outcome(ledger, "run", Claim(60, 10, 10)))
    ledger.settle(first, 20, None)
    await asyncio.sleep(0)
    assert not waiting.done()
    ledger.settle(second, 31, None)
    assert await waiting == "tokens"


@pytest.mark.parametrize(("in_flight", "got"), [(5, 5), (0, 5)], ids=["freed-late", "nothing-in-flight"])
async def test_a_call_cut_short_waits_while_more_could_come_free(in_flight, got):
    """Less than the whole output is taken only if nothing in flight could free more."""
    ledger = ledger_of(tokens=100)
    ledger.settle(await ledger.reserve("run", Claim(90 - in_flight, 10)), 85 - in_flight, None)
    held = await ledger.reserve("run", Claim(in_flight, 0)) if in_flight else None
    (asked,) = await started(outcome(ledger, "run", Claim(10, 40)))
    if held is not None:
        assert not asked.done()
        ledger.settle(held, in_flight, None)
    assert await asked == got


async def test_a_released_call_frees_the_calls_limit():
    """Calls are limited in number too, and a call that was certainly not billed does not count."""
    ledger = ledger_of(calls=1)
    held = await ledger.reserve("run", Claim(1, 1))
    (waiting,) = await started(outcome(ledger, "run", Claim(1, 1)))
    ledger.release(held)
    assert await waiting == 1
    assert ledger.used("run").calls == 1


async def test_cancelling_a_waiter_lets_the_next_one_through():
    """No wake-up is lost with a waiter that leaves, not even in the step in which it is granted."""
    ledger = ledger_of(tokens=100)
    first = await ledger.reserve("run", Claim(70, 10))
    large, small = await started(outcome(ledger, "run", Claim(90, 10)), outcome(ledger, "run", Claim(10, 10)))
    large.cancel()
    assert await small == 10
    (late,) = await started(outcome(ledger, "run", Claim(60, 10)))
    ledger.release(first)
    late.cancel()
    await asyncio.gather(late, return_exceptions=True)
    assert ledger.tokens_left("run") == 80


def test_time_ends_a_wait_and_pauses_do_not_count():
    """A waiter is refused when its time is up, later by the pauses; where they overlap, by both once."""

    async def main():
        loop = asyncio.get_running_loop()
        ledger = ledger_of(tokens=10, seconds=60)
        await ledger.reserve("run", Claim(5, 5))
        (waiting,) = await started(outcome(ledger, "run", Claim(5, 5)))
        await asyncio.sleep(30)
        ledger.pause()
        await asyncio.sleep(15)
        ledger.pause()
        assert ledger.seconds_left("run") == 30
        await asyncio.sleep(3)
        assert ledger.go_on() == 0
        await asyncio.sleep(2)
        assert ledger.go_on() == 20
        assert await waiting == "seconds"
        return loop.time(), ledger.seconds_left("run"), await outcome(ledger, "run", Claim(0, 0))

    assert run_virtual(main()) == (80.0, 0.0, "seconds")


async def test_turns_are_counted_on_all_accounts_above_and_refused_at_the_ceiling():
    """A turn of a worker is a turn of the run."""
    ledger = ledger_of(turns=2)
    ledger.open("run/a", Budget(turns=1))
    ledger.take_turn("run/a")
    with pytest.raises(BudgetExhausted, match="budget of 1 turn of run/a is used up"):
        ledger.take_turn("run/a/deep")
    ledger.take_turn("run")
    assert (ledger.used("run").turns, ledger.used("run/a").turns) == (2, 1)


async def test_a_resumed_run_starts_from_what_was_used():
    """What was restored counts for every account above, opened before or after; seconds at their own path."""
    ledger = ledger_of(usd=10)
    past = Amount(Decimal(1), Decimal(2), Decimal(3), 10, 20, 30, calls=4, turns=5, seconds=6)
    ledger.restore("run/a/b", past)
    ledger.open("run/a", Budget())
    ledger.open("run/a/b", Budget(seconds=10))
    for path, seconds in (("run", 0), ("run/a", 0), ("run/a/b", 6)):
        used = ledger.used(path)
        assert (used.settled_usd, used.uncertain_usd, used.reserved_usd) == (1, 5, 0)
        assert (used.settled_tokens, used.uncertain_tokens, used.calls, used.turns) == (10, 50, 4, 5)
        assert int(used.seconds) == seconds
    ledger.open("run", Budget(usd=7))
    assert ledger.usd_left("run/a/b") == 1


async def test_a_raised_ceiling_lets_those_who_wait_through():
    """Opening again replaces the ceiling and keeps the bookings."""
    ledger = ledger_of(tokens=20)
    await ledger.reserve("run", Claim(10, 10))
    (waiting,) = await started(outcome(ledger, "run", Claim(10, 10)))
    ledger.open("run", Budget(tokens=40))
    assert (await waiting, ledger.tokens_left("run")) == (10, 0)


async def test_four_fifths_of_a_limit_warn_once():
    """One warning per limit and account, at four fifths and not before."""
    heard = []
    ledger = TreeLedger(on_warning=lambda *fact: heard.append(fact))
    ledger.open("run", Budget(tokens=100, turns=5))
    for tokens in (79, 1, 5):
        ledger.settle(await ledger.reserve("run", Claim(tokens, 0)), tokens, None)
    assert heard == [("tokens", 80, 100, "run")]
    for _ in range(5):
        ledger.take_turn("run")
    assert heard[1:] == [("turns", 4, 5, "run")]


def test_four_fifths_of_the_time_and_of_the_money_warn_once():
    """At the first booking from then on, with what is used and the ceiling, in seconds and in dollars."""

    async def main():
        heard = []
        ledger = TreeLedger(on_warning=lambda *fact: heard.append(fact))
        ledger.open("run", Budget(usd="0.7", seconds=100))
        for seconds, usd, told in (
            (79, "0.55", 0),
            (0.5, "0.0099", 0),
            (0.5, "0.0001", 2),
            (10, "0.04", 2),
        ):
            await asyncio.sleep(seconds)
            price = Decimal(usd)
            ledger.settle(await ledger.reserve("run", Claim(1, 1, 1, price, Decimal(0))), 2, price)
            assert len(heard) == told
        return heard

    heard = run_virtual(main())
    assert heard == [
        ("usd", Decimal("0.56"), Decimal("0.7"), "run"),
        ("seconds", Decimal(80), Decimal(100), "run"),
    ]


async def test_accounts_are_opened_from_the_top_down():
    """A new account above one that has bookings already could not know its share."""
    ledger = ledger_of()
    ledger.open("run/a/b", Budget())
    with pytest.raises(RuntimeError, match="top down"):
        ledger.open("run/a", Budget())
    with pytest.raises(RuntimeError, match="not in the tree"):
        ledger.used("walk")


@pytest.mark.parametrize("closing", [False, True])
async def test_a_call_that_was_held_up_does_not_begin_if_its_room_was_used_by_another(closing):
    """What is only reserved is given back, one by one, until the ceiling holds what is booked."""
    ledger = ledger_of(tokens=1000)
    ledger.open("run/a", Budget())
    claim = Claim(100, 100, closing=closing)
    first, second, third, fourth = [await ledger.reserve("run/a", claim) for _ in range(4)]
    assert ledger.settle(first, 400, None)  # 1000 with what is reserved
    ledger.confirm(second, claim)
    assert ledger.settle(second, 401, None)  # 1201
    with pytest.raises(BudgetExhausted) as refused:
        ledger.confirm(third, claim)
    error = refused.value
    assert (error.limit, error.needed, error.used, error.account) == ("tokens", 200, 1001, "run")
    with pytest.raises(BudgetExhausted):
        ledger.confirm(fourth, claim)
    assert (ledger.used("run").reserved_tokens, ledger.tokens_left("run")) == (0, 199)
