"""Slots: never too many, never too few, nobody forgotten."""

import asyncio
import random

import pytest

from sunwell.agent.workers.slots import Seat, Slots
from sunwell.testing import run_virtual


async def _schedule(seed: int) -> tuple[int, int]:
    """Run one random schedule; return how many workers ended and how many were cancelled by us.

    Workers take slots, sleep, wait for children of their own without a slot, and some are cancelled
    at random moments. At every step the number at work is held against the limit, and no slot is
    free while somebody waits.
    """
    chance = random.Random(seed)
    limit, count = chance.randint(1, 4), chance.randint(2, 12)
    slots, at_work, ended = Slots(limit), 0, 0

    def check() -> None:
        assert at_work <= slots.taken <= limit
        assert slots.taken == limit or not slots.waiting

    async def worker(depth: int) -> None:
        nonlocal at_work, ended
        seat = Seat(slots)
        try:
            await seat.sit()
            at_work += 1
            check()
            try:
                await asyncio.sleep(chance.choice((0, 0, 1, 2)))
                if depth and chance.random() < 0.6:
                    at_work -= 1
                    try:
                        async with seat.given_up():
                            children = [
                                asyncio.create_task(worker(depth - 1)) for _ in range(chance.randint(1, 3))
                            ]
                            await asyncio.wait(children)
                    finally:
                        at_work += 1
                    check()
                    await asyncio.sleep(chance.choice((0, 1)))
            finally:
                at_work -= 1
        finally:
            seat.leave()
            check()
            ended += 1

    tasks = [asyncio.create_task(worker(2)) for _ in range(count)]
    cancelled = 0
    for task in tasks:
        if chance.random() < 0.2:
            await asyncio.sleep(chance.choice((0, 0, 1)))
            cancelled += task.cancel()
    async with asyncio.timeout(1_000):
        await asyncio.wait(tasks)
        if orphans := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(orphans)  # children of workers that were cancelled go on alone
        if orphans := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(orphans)
    for task in tasks:
        if not task.cancelled():
            task.result()
    assert (slots.taken, slots.waiting) == (0, 0)
    return ended, cancelled


async def play(count: int) -> tuple[int, int]:
    """Play so many schedules; return how many workers ended and how many of them were cancelled."""
    ended = cancelled = 0
    for seed in range(count):
        one = await _schedule(seed)
        ended, cancelled = ended + one[0], cancelled + one[1]
    return ended, cancelled


def test_no_wake_up_is_lost_in_random_schedules() -> None:
    """Slots taken, given up for children, cancelled: all end, none is left taken, no limit is passed.

    This file as a program plays ten thousand.
    """
    ended, cancelled = run_virtual(play(2_500))
    assert ended > 25_000
    assert cancelled > 1_250


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_slots_go_to_who_came_first(limit: int) -> None:
    """Who waits is served in order of arrival, also where a slot is given up and taken again."""
    order: list[int] = []

    async def main() -> None:
        slots = Slots(limit)

        async def one(number: int) -> None:
            await slots.take()
            order.append(number)
            await asyncio.sleep(1)
            slots.give()

        async with asyncio.TaskGroup() as group:
            for number in range(20):
                group.create_task(one(number))

    run_virtual(main())
    assert order == list(range(20))


def test_a_slot_handed_to_somebody_who_is_cancelled_goes_on() -> None:
    """Handed over and cancelled in the same step: the slot is not lost."""

    async def main() -> int:
        slots = Slots(1)
        await slots.take()
        second = asyncio.create_task(slots.take())
        third = asyncio.create_task(slots.take())
        await asyncio.sleep(0)
        slots.give()
        second.cancel()
        await asyncio.wait([second])
        assert second.cancelled()
        await third
        return slots.taken

    assert run_virtual(main()) == 1


if __name__ == "__main__":
    print(run_virtual(play(10_000)))
