"""One run while it goes on: its journal, ledger and door, and how it tells of itself."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Self

import attrs
from blinker import NamedSignal

from sunwell.agent.run.deadlines import TimeLimits
from sunwell.agent.run.files_seen import FilesSeen
from sunwell.budget.ledger import TreeLedger
from sunwell.budget.ledger_protocol import Budget, Ledger
from sunwell.budget.tally import Tally
from sunwell.core.span import Span
from sunwell.events import BUDGET_WARNING, BudgetWarning, Event, emit
from sunwell.gateway.gateway import Gateway
from sunwell.gateway.retry import RetryPolicy
from sunwell.journal.protocol import Journal
from sunwell.models.prices import PriceBook


@attrs.define(eq=False)
class EventStream:
    """A queue with one consumer, which also tells the run whether anybody still listens."""

    _events: deque[Event] = attrs.field(factory=deque, init=False)
    _arrived: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    _wanted: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    _ended: bool = attrs.field(default=False, init=False)

    def put(self, event: Event) -> None:
        """Add *event*; never waits."""
        self._events.append(event)
        self._wanted.clear()
        self._arrived.set()

    def end(self) -> None:
        """Let the consumer go once it has taken all there is."""
        self._ended = True
        self._arrived.set()

    @property
    def is_wanted(self) -> bool:
        """Whether the consumer has taken every event and asks for more."""
        return self._wanted.is_set()

    async def hold(self) -> None:
        """Wait until the consumer has taken every event and asks for more.

        A consumer that stopped asking must not be charged for further calls.
        """
        await self._wanted.wait()

    async def next(self) -> Event | None:
        """Return the next event, ``None`` at the end."""
        while not self._events:
            if self._ended:
                return None
            self._arrived.clear()
            self._wanted.set()
            await self._arrived.wait()
        return self._events.popleft()


@attrs.define(eq=False)
class Run:
    """What every part of one run shares."""

    journal: Journal
    ledger: Ledger
    tally: Tally
    gateway: Gateway
    stream: EventStream
    files: FilesSeen
    sender: object
    """Sender of the signals: the loop or the agent that the caller made."""
    root: Span = Span()
    time_limits: TimeLimits = attrs.field(kw_only=True)
    _watchers: list[Callable[[Event], None]] = attrs.field(factory=list, kw_only=True)

    @classmethod
    def begin(
        cls,
        sender: object,
        journal: Journal,
        budget: Budget,
        *,
        prices: PriceBook | None = None,
        retry: RetryPolicy | None = None,
        accept_changes: bool = False,
    ) -> Self:
        """Open ledger and gateway of a run whose journal is open."""
        stream = EventStream()
        watchers: list[Callable[[Event], None]] = []

        def tell(signal: NamedSignal, event: Event) -> None:
            emit(signal, sender, event)
            stream.put(event)
            for watch in tuple(watchers):
                watch(event)

        prices = prices or PriceBook()
        tally = Tally(prices.date)
        ledger = TreeLedger(on_warning=lambda *numbers: tell(BUDGET_WARNING, BudgetWarning(*numbers)))
        root = Span()
        ledger.open(root.path, budget)

        limits = TimeLimits(ledger, journal)

        async def hold() -> None:
            if not stream.is_wanted:
                async with limits.pause("reader"):
                    await stream.hold()

        gateway = Gateway(
            journal,
            ledger,
            tally,
            prices,
            tell,
            retry or RetryPolicy(),
            hold,
            accept_changes,
        )
        return cls(
            journal,
            ledger,
            tally,
            gateway,
            stream,
            FilesSeen(),
            sender,
            root,
            time_limits=limits,
            watchers=watchers,
        )

    def watch(self, see: Callable[[Event], None]) -> None:
        """Have *see* told of every event; for parts of the run itself, whose bugs must surface."""
        self._watchers.append(see)

    def unwatch(self, see: Callable[[Event], None]) -> None:
        """Tell *see* no more."""
        if see in self._watchers:
            self._watchers.remove(see)

    def tell(self, signal: NamedSignal, event: Event) -> None:
        """Send *event* to the receivers of *signal* and to whoever iterates over the run."""
        self.gateway.emit(signal, event)
