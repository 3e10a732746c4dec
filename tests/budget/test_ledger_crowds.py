"""Many workers at once on a virtual clock: the cap holds, it can be spent, and nobody waits for ever."""

import asyncio
import random
from decimal import Decimal

import pytest

from sunwell.budget import Budget, Claim, TreeLedger
from sunwell.errors import BudgetExhausted
from sunwell.testing import run_virtual

CAP_USD = Decimal("1.00")
RATE_USD = Decimal("0.00001")


def claim_of(chance, closing=False):
    given = chance.randint(200, 2000)
    return Claim(given, chance.randint(100, 1500), 50, given * RATE_USD, RATE_USD, closing)


async def call(ledger, path, chance, claim):
    """Reserve, take some time, and settle, keep, release or be cut off; return what was billed."""
    held = await ledger.reserve(path, claim)
    end = chance.random()
    try:
        await asyncio.sleep(chance.random() * 10)
    except asyncio.CancelledError:
        ledger.keep(held)
        raise
    if end < 0.1:
        ledger.release(held)
    elif end < 0.2:
        ledger.keep(held)
    else:
        share = Decimal(chance.randint(10, 100)) / 100
        ledger.settle(held, int(held.tokens * share), held.usd * share)


async def work(ledger, path, chance, depth):
    """Ask until refused, hand parts to workers of one's own, and close."""
    ledger.open(path, Budget(tokens=chance.choice([None, 20_000, 200_000])))
    ledger.hold_back(path, 1000, 1000 * RATE_USD)
    try:
        while True:
            await call(ledger, path, chance, claim_of(chance))
            if depth < 3 and chance.random() < 0.3:
                async with asyncio.TaskGroup() as group:
                    for number in range(chance.randint(1, 3)):
                        group.create_task(
                            work(ledger, f"{path}/{chance.random()}-{number}", chance, depth + 1)
                        )
    except BudgetExhausted:
        pass
    try:
        await call(ledger, path, chance, Claim(600, 400, 50, 600 * RATE_USD, RATE_USD, closing=True))
    except BudgetExhausted:
        pass
    finally:
        ledger.close(path)


@pytest.mark.parametrize(("workers", "seed"), [(1, 1), (7, 2), (60, 3), (300, 4), (1000, 5)])
def test_the_cap_holds_and_at_least_95_percent_of_it_can_be_used(workers, seed):
    """However many ask at once, bills stay below the cap and no worker is left waiting."""

    async def main():
        chance = random.Random(seed)
        ledger = TreeLedger()
        ledger.open("run", Budget(usd=CAP_USD))
        ledger.hold_back("run", 1000, 1000 * RATE_USD)
        async with asyncio.TaskGroup() as group:
            for number in range(workers):
                group.create_task(work(ledger, f"run/{number}", chance, 1))
        return ledger.used("run"), ledger.held_back("run")

    used, held = run_virtual(main())
    booked = used.settled_usd + used.uncertain_usd
    assert used.reserved_usd == 0
    assert held.reserved_usd == 1000 * RATE_USD
    assert CAP_USD * 95 / 100 <= booked <= CAP_USD


@pytest.mark.parametrize("seed", range(6))
def test_cancelling_at_random_loses_no_room_and_no_wake_up(seed):
    """Waiters and callers that are cancelled at any moment leave the ledger exact and the others served."""

    async def main():
        chance = random.Random(seed)
        ledger = TreeLedger()
        ledger.open("run", Budget(usd=CAP_USD / 10, calls=400))
        ledger.open("run/a", Budget(usd=CAP_USD / 20))

        async def one():
            try:
                await call(ledger, chance.choice(["run", "run/a", "run/a/b"]), chance, claim_of(chance))
            except BudgetExhausted:
                return

        tasks = []
        for _ in range(300):
            tasks.append(asyncio.create_task(one()))
            await asyncio.sleep(chance.choice([0, 0, 0.1, 1]))
            if chance.random() < 0.4:
                chance.choice(tasks).cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return ledger.used("run"), ledger.used("run/a")

    run, below = run_virtual(main())
    assert (run.reserved_usd, run.reserved_tokens, below.reserved_usd) == (0, 0, 0)
    assert run.settled_usd + run.uncertain_usd <= CAP_USD / 10
    assert below.settled_usd + below.uncertain_usd <= CAP_USD / 20
