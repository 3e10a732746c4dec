"""A time limit does what asyncio's own does, at any number of limits by one timer of the loop."""

import asyncio
import gc
import weakref
from collections.abc import Awaitable, Callable

import pytest

from sunwell.core.alarms import Within
from sunwell.testing import run_virtual

Limit = Callable[[float | None, Awaitable[object]], Awaitable[object]]


async def by_us(seconds: float | None, body: Awaitable[object]) -> object:
    limit = Within(seconds)
    try:
        with limit:
            return await body
    except TimeoutError:
        return f"late: {limit.expired()}"


async def over_us(seconds: float | None, body: Awaitable[object]) -> object:
    limit = Within(seconds)

    async def whole() -> object:
        return await body

    try:
        return await limit.over(whole())
    except TimeoutError:
        return f"late: {limit.expired()}"


async def by_asyncio(seconds: float | None, body: Awaitable[object]) -> object:
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            return await body
    except TimeoutError:
        return f"late: {limit.expired()}"


@pytest.mark.parametrize("limit", [by_us, over_us, by_asyncio])
@pytest.mark.parametrize(
    ("seconds", "needed", "said"),
    [
        (5.0, 1.0, "done"),
        (1.0, 5.0, "late: True"),
        (0.0, 5.0, "late: True"),
        (-1.0, 5.0, "late: True"),
        (None, 5.0, "done"),
        (0.0, None, "done"),
    ],
)
def test_a_body_ends_at_its_limit(limit: Limit, seconds, needed, said) -> None:
    """Not before it; a body that waits for nothing ends by itself, also without any time."""

    async def body() -> str:
        if needed is not None:
            await asyncio.sleep(needed)
        return "done"

    assert run_virtual(limit(seconds, body())) == said


@pytest.mark.parametrize("limit", [by_us, over_us, by_asyncio])
def test_of_two_limits_the_earlier_one_ends(limit: Limit) -> None:
    """Whichever is the inner one; the other goes on."""

    async def main() -> list[object]:
        async def inner(seconds: float) -> object:
            return await limit(seconds, asyncio.sleep(9.0, "done"))

        return [await limit(3.0, inner(2.0)), await limit(2.0, inner(3.0))]

    assert run_virtual(main()) == ["late: True", "late: True"]


@pytest.mark.parametrize("limit", [by_us, over_us, by_asyncio])
def test_a_cancellation_from_outside_is_none_of_the_limit(limit: Limit) -> None:
    """It passes, also if the time is up at the same moment."""

    async def main(both: bool) -> tuple[bool, float]:
        task = asyncio.ensure_future(limit(2.0, asyncio.sleep(9.0)))
        await asyncio.sleep(2.0 if both else 1.0)
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled(), asyncio.get_running_loop().time()

    assert run_virtual(main(False)) == (True, 1.0)
    assert run_virtual(main(True)) == (True, 2.0)


async def test_what_was_done_before_the_first_wait_takes_its_part_of_the_time() -> None:
    """A body that has used up its time when it begins to wait is not waited for."""
    loop = asyncio.get_running_loop()

    async def body(seconds: float) -> str:
        until = loop.time() + seconds
        while loop.time() < until:
            pass
        for _ in range(3):
            await asyncio.sleep(0)
        return "done"

    limit = Within(0.02)
    with pytest.raises(TimeoutError):
        await limit.over(body(0.03))
    assert limit.expired()
    assert await Within(60.0).over(body(0.0)) == "done"


async def test_a_body_that_goes_on_after_it_was_stopped_is_waited_for() -> None:
    """It may have something to put away, and that may take its time."""
    steps: list[str] = []

    async def body() -> str:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            steps.append("put away")
            raise
        return "done"

    with pytest.raises(TimeoutError):
        await Within(0.0).over(body())
    assert steps == ["put away"]


def test_each_of_many_limits_ends_its_own_body_in_time() -> None:
    """In whatever order they were set, and although most end before."""

    async def one(number: int) -> tuple[int, object, float]:
        clock = asyncio.get_running_loop()
        await asyncio.sleep(number % 7 * 0.1)
        begun, seconds = clock.time(), 1.0 + number * 37 % 100
        is_late = number % 3 == 0
        said = await by_us(seconds, asyncio.sleep(seconds + 5 if is_late else 0.5, "done"))
        return number, said, round(clock.time() - begun - (seconds if is_late else 0.5), 6)

    async def main() -> list[tuple[int, object, float]]:
        return await asyncio.gather(*map(one, range(300)))

    for number, said, over in run_virtual(main()):
        assert (said, over) == ("done" if number % 3 else "late: True", 0.0)


async def test_limits_that_end_leave_no_timer_and_no_context_behind() -> None:
    """A thousand calls with minutes of time leave one timer of the loop, and nothing of what they held."""
    loop = asyncio.get_running_loop()
    before = len(loop._scheduled)  # type: ignore[attr-defined]

    class Held:
        pass

    held = Held()
    seen = weakref.ref(held)

    async def call(_: Held) -> None:
        for _ in range(1_000):
            with Within(600.0):
                pass

    await asyncio.ensure_future(call(held))
    assert len(loop._scheduled) <= before + 1  # type: ignore[attr-defined]
    del held
    assert seen() is None


def test_a_loop_that_has_ended_is_not_kept() -> None:
    """Programs that start a loop for each request would grow."""

    async def main() -> "weakref.ref[asyncio.AbstractEventLoop]":
        with Within(600.0):
            await asyncio.sleep(0)
        return weakref.ref(asyncio.get_running_loop())

    loops = [asyncio.run(main()) for _ in range(3)]
    gc.collect()
    assert [loop() for loop in loops] == [None] * 3


def test_a_limit_outside_of_a_task_is_refused() -> None:
    """There would be nothing to end."""
    with pytest.raises(RuntimeError):
        Within(1.0).__enter__()
