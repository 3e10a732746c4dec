"""Who waits for the disk before a call is sent, on a disk that takes its time."""

import asyncio
import contextlib
import itertools
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import attrs
import pytest

from sunwell.budget import Budget
from sunwell.core import Price, Rates
from sunwell.errors import BudgetExhausted
from sunwell.journal.memory import MemoryJournal
from sunwell.journal.protocol import Durability
from sunwell.journal.records import Leeway, Record
from sunwell.testing import ScriptedModel, run_virtual

SYNC_SECONDS = 0.5
CHEAP = Price(Rates(Decimal(1), Decimal(10)), source="test", date="2026-11-01")
DEAR = Price(Rates(Decimal(1000), Decimal(10_000)), source="test", date="2026-11-01")


@attrs.define(eq=False)
class SlowDisk(MemoryJournal):
    """A journal whose durable records take half a second, and the others as long, but nobody waits."""

    synced: int = 0
    keeps_up: bool = False
    """Whether the others are durable at once."""

    @property
    def boot(self) -> str:
        return "first"

    async def append(self, record: Record, *, durable: Durability = True) -> None:
        await super().append(record)
        if durable is True:
            written = self.count
            await asyncio.sleep(SYNC_SECONDS)
            self.synced = max(self.synced, written)
        elif self.keeps_up:
            self.synced = self.count

    def leeways(self) -> list[Leeway]:
        return [record for record in self.records() if isinstance(record, Leeway)]


@pytest.fixture
def disk() -> SlowDisk:
    return SlowDisk("slow")


def asked_at(
    open_door: Any, disk: SlowDisk, ask: Callable[[Any, Any], Any], budget: Budget | None = None
) -> list[float]:
    """Return when each call was sent of those that *ask* makes with a door and a model maker."""
    times: list[float] = []

    def model(price: Price = CHEAP) -> ScriptedModel:
        def say(_: object) -> str:
            times.append(asyncio.get_running_loop().time() - began)
            return "Yes."

        return ScriptedModel("haiku", [say], price)

    async def main() -> None:
        nonlocal began
        began = asyncio.get_running_loop().time()
        await ask(open_door(budget, journal=disk), model)

    began = 0.0
    run_virtual(main())
    return times


def test_nobody_uses_a_leeway_before_the_disk_has_it(open_door: Any, disk: SlowDisk) -> None:
    """Of three that come at once each waits; the next one does not."""

    async def ask(door: Any, model: Any) -> None:
        await asyncio.gather(*(door.ask(model()) for _ in range(3)))
        await door.ask(model())

    assert asked_at(open_door, disk, ask) == [SYNC_SECONDS] * 4
    assert len(disk.leeways()) == 1


def test_while_another_one_is_written_everybody_waits(open_door: Any, disk: SlowDisk) -> None:
    """What is sent under the earlier one would stand behind the new one in the file."""

    async def ask(door: Any, model: Any) -> None:
        await door.ask(model())
        large = (door.ask(model(), max_output_tokens=5000 * many) for many in (1, 2, 3))
        await asyncio.gather(*large, door.ask(model()))
        await door.ask(model(), max_output_tokens=5000)

    assert asked_at(open_door, disk, ask) == [SYNC_SECONDS] + [2 * SYNC_SECONDS] * 5
    assert len(disk.leeways()) == 2


def test_a_leeway_fits_the_calls_of_today(open_door: Any, disk: SlowDisk) -> None:
    """A call that the present one is too small for brings one that is measured by it."""

    async def ask(door: Any, model: Any) -> None:
        await door.ask(model(), "x" * 20_000)
        await door.ask(model(DEAR))
        await door.ask(model(DEAR))

    assert asked_at(open_door, disk, ask) == [SYNC_SECONDS, 2 * SYNC_SECONDS, 2 * SYNC_SECONDS]
    wide, dear = disk.leeways()
    assert (dear.usd > wide.usd, dear.tokens < wide.tokens) == (True, True)


def test_a_leeway_shrinks_with_what_the_ceiling_leaves(open_door: Any, disk: SlowDisk) -> None:
    """Else a loss of power near the end would leave no room for a closing call."""
    cap = Decimal("0.00006") * 1000

    async def ask(door: Any, model: Any) -> None:
        with contextlib.suppress(BudgetExhausted):
            while True:
                await door.ask(model())
                left.append(door.gateway.ledger.usd_left("run"))
                open_usd.append(disk.leeways()[-1].usd)

    disk.keeps_up = True
    left: list[Decimal] = []
    open_usd: list[Decimal] = []
    asked_at(open_door, disk, ask, Budget(usd=cap))
    assert len(left) > 900
    given = [each.usd for each in disk.leeways()]
    assert 2 < len(given) < 12
    assert all(later < earlier for earlier, later in itertools.pairwise(given))
    assert all(usd < usd_left for usd, usd_left in zip(open_usd, left, strict=True))


def test_no_more_calls_than_the_leeway_says(open_door: Any, disk: SlowDisk) -> None:
    """However small they are: after a large one, the seventeenth small one in a row waits."""

    async def ask(door: Any, model: Any) -> None:
        await door.ask(model(), max_output_tokens=5000)
        for _ in range(17):
            await door.ask(model())

    assert asked_at(open_door, disk, ask) == [SYNC_SECONDS] * 17 + [2 * SYNC_SECONDS]
    assert disk.leeways()[0].calls == 16
