"""Writing and checking stay apart, in any order and with any cancellations, and nobody waits for ever."""

import asyncio
import random
from contextlib import suppress

import attrs
from hypothesis import given
from hypothesis import strategies as st

from sunwell.agent.run.quiet import Quiet
from sunwell.testing import run_virtual

SECONDS = st.integers(0, 6)


@attrs.define(eq=False)
class Seen:
    """Who is inside, and how often anybody was."""

    writers: int = 0
    checks: int = 0

    def require_apart(self) -> None:
        """Fail if a check is not alone."""
        assert self.checks <= 1
        assert not (self.checks and self.writers)


async def visit(quiet: Quiet, seen: Seen, checks: bool, comes: int, stays: int) -> None:
    """Come after so many seconds, and stay inside for so many."""
    await asyncio.sleep(comes)
    async with quiet.checking() if checks else quiet.writing():
        kind = "checks" if checks else "writers"
        setattr(seen, kind, getattr(seen, kind) + 1)
        seen.require_apart()
        try:
            await asyncio.sleep(stays)
            seen.require_apart()
        finally:
            setattr(seen, kind, getattr(seen, kind) - 1)


VISITS = st.lists(st.tuples(st.booleans(), SECONDS, SECONDS, st.none() | SECONDS), min_size=1, max_size=12)


@given(VISITS)
def test_a_check_is_alone_and_everybody_gets_in(visits: list[tuple[bool, int, int, int | None]]) -> None:
    """Visitors are cancelled while they wait, while they are inside, or never. The virtual loop raises if all
    wait: no wake-up is lost. At the end, both doors are open."""

    async def main() -> None:
        quiet, seen = Quiet(), Seen()
        tasks = [asyncio.create_task(visit(quiet, seen, *one[:3])) for one in visits]
        loop = asyncio.get_running_loop()
        for task, (_, _, _, cancelled_after) in zip(tasks, visits, strict=True):
            if cancelled_after is not None:
                loop.call_later(cancelled_after, task.cancel)
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        for end, (_, _, _, cancelled_after) in zip(ends, visits, strict=True):
            assert end is None or (isinstance(end, asyncio.CancelledError) and cancelled_after is not None)
        assert (seen.writers, seen.checks) == (0, 0)
        async with asyncio.timeout(1), quiet.checking():
            pass
        async with asyncio.timeout(1), quiet.writing(), quiet.writing():
            pass

    run_virtual(main())


def test_any_interleaving_of_steps_keeps_them_apart() -> None:
    """Bodies that give way so many times in place of sleeping, with cancellations in any of these steps."""

    async def steps(quiet: Quiet, seen: Seen, chance: random.Random) -> None:
        for _ in range(6):
            checks = chance.random() < 0.3
            async with quiet.checking() if checks else quiet.writing():
                kind = "checks" if checks else "writers"
                setattr(seen, kind, getattr(seen, kind) + 1)
                try:
                    for _ in range(chance.randrange(4)):
                        seen.require_apart()
                        await asyncio.sleep(0)
                finally:
                    setattr(seen, kind, getattr(seen, kind) - 1)

    async def main(seed: int) -> None:
        chance, quiet, seen = random.Random(seed), Quiet(), Seen()
        tasks = [asyncio.create_task(steps(quiet, seen, random.Random(f"{seed} {n}"))) for n in range(6)]
        for _ in range(chance.randrange(30)):
            await asyncio.sleep(0)
        for task in chance.sample(tasks, 3):
            task.cancel()
            await asyncio.sleep(0)
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task
        async with quiet.checking():
            pass

    for seed in range(300):
        run_virtual(main(seed))


def test_a_check_does_not_wait_behind_writers_that_keep_coming() -> None:
    """Once it waits, new writers wait behind it; those that are inside finish first."""

    async def main() -> list[str]:
        quiet, order = Quiet(), []

        async def write(number: int) -> None:
            await asyncio.sleep(number)
            async with quiet.writing():
                order.append(f"write {number}")
                await asyncio.sleep(3)

        async def check() -> None:
            await asyncio.sleep(1.5)
            async with quiet.checking():
                order.append("check")
                await asyncio.sleep(3)

        await asyncio.gather(check(), *(write(number) for number in range(6)))
        return order

    order = run_virtual(main())
    assert order[:3] == ["write 0", "write 1", "check"]
    assert sorted(order[3:]) == [f"write {number}" for number in range(2, 6)]
