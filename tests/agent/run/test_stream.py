"""The stream tells the run whether anybody still listens."""

import asyncio

from sunwell.agent.run.run_context import EventStream
from sunwell.events import Warned
from sunwell.testing import run_virtual


def test_a_run_is_held_until_its_consumer_asks_for_more() -> None:
    """No step starts while an event lies unread."""

    async def main() -> None:
        stream = EventStream()
        steps: list[str] = []

        async def work() -> None:
            stream.put(Warned("one"))
            began = asyncio.get_running_loop().time()
            await stream.hold()
            steps.append(f"after one, {asyncio.get_running_loop().time() - began:.0f} seconds later")
            stream.end()

        working = asyncio.create_task(work())
        assert await anext(stream) == Warned("one")
        await asyncio.sleep(60)
        assert steps == []
        assert await anext(stream, None) is None
        await working
        assert steps == ["after one, 60 seconds later"]

    run_virtual(main())


def test_who_wants_only_the_end_holds_nothing_up() -> None:
    """There is nothing to take before it, so nobody has to wait until it is asked for."""
    stream = EventStream()
    assert not stream.is_wanted
    stream.skip_to_the_end()
    stream.put(Warned("one"))
    assert (stream.is_wanted, stream.takes_all) == (True, False)
