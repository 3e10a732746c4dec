"""One ledger for the agents of a host: their requests, and the runs that they delegate."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import attrs
from pydantic_ai.exceptions import UsageLimitExceeded

from sunwell.budget.ledger import TreeLedger
from sunwell.budget.ledger_protocol import Amount, Budget, Claim, Reservation
from sunwell.errors import BudgetExhausted, ConfigurationError
from sunwell.models.prices import PriceBook
from sunwell.report.figures import dollars
from sunwell.serve.process_purse import Portion

_ROOT = "host"


class SharedBudgetExhausted(BudgetExhausted, UsageLimitExceeded):
    """What is left of a shared budget does not hold the next request or run; nothing was sent for it.

    It is a :exc:`~sunwell.errors.BudgetExhausted`, and pydantic-ai's ``UsageLimitExceeded``.
    """

    @property
    def message(self) -> str:  # type: ignore[override]  # the sentence is made when it is asked for
        """The sentence, where pydantic-ai looks for it."""
        return str(self)


@attrs.define(eq=False)
class SharedBooking:
    """What is held of a shared budget for one request, until it is settled, kept or released once."""

    _budget: "SharedBudget"
    _reservation: Reservation
    look: Callable[[], None] | None = None
    """Settles it if what was used is known by now, for an answer that arrives piece by piece."""
    is_open: bool = attrs.field(default=True, init=False)

    def settle(self, tokens: int, usd: Decimal | None) -> None:
        """Book what was used; a cost of ``None`` stays booked at its upper bound, as uncertain."""
        self._end(lambda ledger: ledger.settle(self._reservation, tokens, usd))

    def keep(self) -> None:
        """Book the upper bound as uncertain: it may have been billed."""
        self._end(lambda ledger: ledger.keep(self._reservation))

    def release(self) -> None:
        """Give all of it back: nothing was billed."""
        self._end(lambda ledger: ledger.release(self._reservation))

    def _end(self, book: Callable[[TreeLedger], object]) -> None:
        if self.is_open:
            self.is_open = False
            self._budget._forget(self, book)


def _dollars(value: Any) -> Decimal:
    usd = Budget(usd=value).usd
    if not usd:
        raise ConfigurationError("a shared budget needs a number of dollars above 0: SharedBudget(usd=1)")
    return usd


@attrs.define(eq=False)
class SharedBudget:
    """US dollars that several agents of a host, and the runs that they delegate, may spend together.

    Before each request its worst case is held; afterwards what it cost is booked, and what is not known
    stays booked at its upper bound. So what is spent, what may have been billed, and what requests in flight
    may still cost are together never above ``usd``, however many there are, as long as nobody bills more
    than the bound; if that happens, it is booked in full. A request waits while others hold what it needs,
    in order of arrival.

    It counts for this process, in one event loop at a time. Raises
    :exc:`~sunwell.errors.ConfigurationError` if ``usd`` is not above 0.
    """

    usd: Decimal = attrs.field(converter=_dollars)
    prices: PriceBook = attrs.field(factory=PriceBook, kw_only=True)
    """What the models cost."""
    _ledger: TreeLedger = attrs.field(factory=lambda: TreeLedger(_ROOT), init=False)
    _bookings: "set[SharedBooking]" = attrs.field(factory=set, init=False)
    _loop: asyncio.AbstractEventLoop | None = attrs.field(default=None, init=False)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False)
    _users: int = attrs.field(default=0, init=False)
    """Requests and runs that hold something or wait for it."""

    def __attrs_post_init__(self) -> None:
        self._ledger.open(_ROOT, Budget(usd=self.usd))

    @property
    def used(self) -> Amount:
        """What is booked: settled, uncertain and held, apart. A delegated run counts as one call."""
        return self._ledger.used(_ROOT)

    @property
    def total_usd(self) -> Decimal:
        """The same as ``usd``."""
        return self.usd

    @property
    def spent_usd(self) -> Decimal:
        """What was billed, and what may have been billed at most."""
        return self.used.settled_usd + self.used.uncertain_usd

    @property
    def out_usd(self) -> Decimal:
        """What requests in flight and runs that go on hold."""
        return self.used.reserved_usd

    @property
    def left_usd(self) -> Decimal:
        """What nobody has spent or holds."""
        return self._ledger.usd_left(_ROOT) or Decimal(0)

    @property
    def waiting(self) -> int:
        """How many requests and runs wait for room."""
        return self._users - len(self._bookings)

    async def hold(self, claim: Claim, what: str) -> SharedBooking:
        """Hold *claim* in full, and return its booking, which must be ended. The error names *what*.

        Waits while others hold what it needs. Raises :exc:`SharedBudgetExhausted` if it would not fit even
        if they used nothing, and :exc:`~sunwell.errors.ConfigurationError` in a second event loop.
        """
        self._enter()
        try:
            for booking in list(self._bookings):  # whose answer is there, though nobody has ended it yet
                if booking.look is not None:
                    booking.look()
            made = SharedBooking(self, await self._ledger.reserve(_ROOT, claim))
        except BudgetExhausted as error:
            self._users -= 1
            raise self._refusal(error, what) from None
        except BaseException:
            self._users -= 1
            raise
        self._bookings.add(made)
        return made

    @asynccontextmanager
    async def portion(self, wanted_usd: Decimal) -> AsyncIterator[Portion]:
        """Hold *wanted_usd* for a run while the body runs, or what is left if that is less.

        Waits while others may give back what is missing. What the portion says at the end was spent is
        booked; if it does not say, all of it is, as uncertain. Raises :exc:`SharedBudgetExhausted` if
        nothing is left.
        """
        booking, usd = await self._hold_most(wanted_usd)
        told = ""
        if usd < wanted_usd:
            told = (
                f"only {dollars(usd)} was left of the shared budget of {dollars(self.usd)}, so the cap of "
                "this run was lower"
            )
        taken = Portion(usd, told=told)
        try:
            yield taken
        finally:
            if taken.spent_usd is None:
                booking.keep()
            else:
                booking.settle(0, taken.spent_usd)

    async def _hold_most(self, wanted_usd: Decimal) -> tuple[SharedBooking, Decimal]:
        usd = wanted_usd
        while True:
            try:
                return await self.hold(Claim(0, 0, 0, usd, Decimal(0)), "a delegated run"), usd
            except SharedBudgetExhausted:
                # Never will so much be free. If nobody in flight uses anything, this is.
                most = self.usd - self.spent_usd
                if most <= 0 or most >= usd:
                    raise
                usd = most

    def _enter(self) -> None:
        loop = asyncio.get_running_loop()
        with self._lock:
            if self._users and self._loop is not loop:
                raise ConfigurationError(
                    "not sent: this shared budget is in use in another event loop; run its agents in one "
                    "loop, or give each loop a budget of its own"
                )
            self._loop = loop
            self._users += 1

    def _forget(self, booking: SharedBooking, book: Callable[[TreeLedger], object]) -> None:
        self._bookings.discard(booking)
        self._users -= 1
        book(self._ledger)

    def _refusal(self, error: BudgetExhausted, what: str) -> SharedBudgetExhausted:
        used = self.used
        held = f", {dollars(used.reserved_usd)} is held by others" if used.reserved_usd else ""
        unsure = f" or may have been ({dollars(used.uncertain_usd)})" if used.uncertain_usd else ""
        detail = (
            f"not sent, and nothing was spent: {what} may cost up to {dollars(error.needed)}, and of the "
            f"shared budget of {dollars(self.usd)}, {dollars(self.spent_usd)} was spent{unsure}{held}; raise "
            "the budget, or ask for less (max_tokens, a shorter prompt)"
        )
        return SharedBudgetExhausted("usd", error.needed, error.used, error.ceiling, _ROOT, detail)
