"""A gateway with everything behind it in memory, and a journal that takes its time."""

import asyncio
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest

from sunwell.budget import Amount, Budget, Tally, TreeLedger
from sunwell.core import Completion, Price, Rates, Request, Span, user
from sunwell.events import BUDGET_WARNING, BudgetWarning, Event
from sunwell.gateway import Gateway
from sunwell.journal.memory import MemoryJournal
from sunwell.journal.protocol import Durability
from sunwell.journal.records import Key, Record
from sunwell.models.prices import PriceBook


@attrs.define(eq=False)
class SlowJournal:
    """A journal in memory whose appends last; a record is there before its append returns."""

    seconds: float
    inner: MemoryJournal = attrs.field(factory=lambda: MemoryJournal("slow"))
    run_id: str = "slow"
    path: Path | None = None

    @property
    def boot(self) -> str:
        return self.inner.boot

    async def append(self, record: Record, *, durable: Durability = True) -> None:
        await self.inner.append(record, durable=durable)
        await asyncio.sleep(self.seconds)

    async def reserve_space(self, size_bytes: int) -> None:
        await asyncio.sleep(self.seconds)

    def find(self, kind: type, key: Key) -> Any:
        return self.inner.find(kind, key)

    def has(self, kind: type[Record]) -> bool:
        return self.inner.has(kind)

    def records(self) -> Iterator[Record]:
        return self.inner.records()

    def close(self) -> None:
        self.inner.close()


_ENDS = ".!?;:,-_"


@attrs.define(eq=False)
class Door:
    """A gateway and all that it books on and writes to."""

    gateway: Gateway
    events: list[Event]
    span: Span = Span("run/work", 1)
    asked: int = 0

    @property
    def used(self) -> Amount:
        return self.gateway.ledger.used("run")

    @property
    def records(self) -> list[Record]:
        return list(self.gateway.journal.records())

    def kinds(self) -> list[str]:
        return [record.kind for record in self.records]

    def told(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    async def ask(self, model: Any, prompt: str | None = None, **given: Any) -> Completion:
        """Ask *model* one plain question; ``span`` and what is in *names* below go to the door.

        Unless it is given, the question differs from the one before, and is as long.
        """
        prompt = f"Say it{_ENDS[self.asked % len(_ENDS)]}" if prompt is None else prompt
        self.asked += 1
        names = ("closing", "stream", "purpose", "remember")
        options = {"purpose": "work"} | {name: given.pop(name) for name in names if name in given}
        span = given.pop("span", self.span)
        request = Request([user(prompt)], **({"max_output_tokens": 100} | given))
        return await self.gateway.ask(span, model, request, **options)


@pytest.fixture
def price() -> Price:
    """Return one dollar per million tokens in, ten out."""
    return Price(Rates(Decimal(1), Decimal(10)), source="test", date="2026-11-01")


@pytest.fixture
def open_door() -> Callable[..., Door]:
    """Return a function that opens a gateway under a budget, over a fresh journal or a given one."""

    def build(budget: Budget | None = None, *, journal: Any = None, **given: Any) -> Door:
        events: list[Event] = []

        def tell(_: object, event: Event) -> None:
            events.append(event)

        ledger = TreeLedger(on_warning=lambda *numbers: tell(BUDGET_WARNING, BudgetWarning(*numbers)))
        ledger.open("run", budget or Budget())
        prices = given.pop("prices", None) or PriceBook()
        made = MemoryJournal("run") if journal is None else journal
        return Door(Gateway(made, ledger, Tally(), prices, tell, **given), events)

    return build


@pytest.fixture
def slow_journal() -> Callable[..., SlowJournal]:
    """Return a function that makes a journal whose every append takes some seconds."""
    return SlowJournal
