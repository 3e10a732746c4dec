"""The purse of a process: never more out than there is, in whatever order runs begin and end."""

import asyncio
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sunwell.errors import ConfigurationError
from sunwell.serve.process_purse import ProcessPurse
from sunwell.testing import run_virtual

CENTS = st.integers(1, 60).map(lambda cents: Decimal(cents) / 100)


@given(
    total=CENTS,
    runs=st.lists(st.tuples(CENTS, st.integers(0, 100), st.booleans(), st.integers(0, 5)), max_size=12),
)
def test_no_more_is_spent_or_out_than_there_is(
    total: Decimal, runs: list[tuple[Decimal, int, bool, int]]
) -> None:
    """Each run takes its cap, spends a part of it, or nobody knows how much; some are cancelled meanwhile."""
    purse = ProcessPurse(total)
    outcomes: list[str] = []

    async def run(wanted: Decimal, share: int, is_known: bool, seconds: int) -> None:
        try:
            async with purse.portion(wanted) as portion:
                assert 0 < portion.usd <= wanted
                assert purse.spent_usd + purse.out_usd <= total
                await asyncio.sleep(seconds)
                portion.spent_usd = portion.usd * share / 100 if is_known else None
            outcomes.append("ended")
        except ConfigurationError:
            assert purse.left_usd == 0
            outcomes.append("refused")

    async def main() -> None:
        async with asyncio.timeout(1_000):
            await asyncio.gather(*(run(*each) for each in runs))

    run_virtual(main())
    assert len(outcomes) == len(runs)
    assert purse.out_usd == 0
    assert purse.spent_usd <= total


async def test_a_run_waits_for_what_others_may_give_back() -> None:
    """In their order: a large one is not passed by small ones. One that is cancelled waits no more."""
    purse = ProcessPurse(Decimal(1))
    order: list[str] = []

    async def run(name: str, wanted: str) -> None:
        async with purse.portion(Decimal(wanted)):
            order.append(name)

    async with purse.portion(Decimal("0.5")) as first:
        large = asyncio.create_task(run("large", "0.8"))
        await asyncio.sleep(0)
        gone = asyncio.create_task(run("gone", "0.9"))
        small = asyncio.create_task(run("small", "0.1"))
        await asyncio.sleep(0)
        assert order == []
        gone.cancel()
        first.spent_usd = Decimal("0.2")
    await asyncio.gather(large, small)
    assert order == ["large", "small"]
    assert (purse.spent_usd, purse.left_usd) == (Decimal("0.2"), Decimal("0.8"))


async def test_when_nothing_is_left_it_says_what_can_be_done() -> None:
    """Less than is wanted is given if nobody can give anything back; nothing is refused."""
    purse = ProcessPurse(Decimal("0.3"))
    async with purse.portion(Decimal(1)) as portion:
        assert portion.usd == Decimal("0.3")
        portion.spent_usd = Decimal("0.4")  # a bill may be higher than its reservation
    assert purse.left_usd == 0
    with pytest.raises(
        ConfigurationError,
        match=r"nothing was spent: .*\(--total\) may spend \$0\.30 together, and that is used",
    ):
        async with purse.portion(Decimal("0.1")):
            raise AssertionError("nothing is left")
