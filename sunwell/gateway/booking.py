"""What an attempt of a call holds of the budget, and how it is written down when it is over."""

import asyncio
import time
from collections.abc import Coroutine
from decimal import Decimal
from typing import Any

import attrs

from sunwell.budget.protocol import Ledger
from sunwell.budget.tally import Tally
from sunwell.budget.values import Reservation
from sunwell.core.model import Completion
from sunwell.errors import BudgetExhausted, ModelError
from sunwell.events import BOUND_EXCEEDED, BUDGET_REFUSED, BoundExceeded, BudgetRefused, Emit
from sunwell.gateway.attempt import claim_for
from sunwell.gateway.call import Call
from sunwell.gateway.soundness import answer_in
from sunwell.journal.protocol import Journal
from sunwell.journal.records import Answer, Failure, Refused
from sunwell.journal.waits import Held, HoldReason
from sunwell.models.prices import PriceBook

_RECORD_BYTES = 4096
_NOTICED_SECONDS = 0.01
_BYTES_PER_TOKEN = 12  # a token of code is four bytes or so; what JSON escapes takes more


@attrs.define(eq=False)
class Booking:
    """Keeps journal, ledger and tally in step for every attempt."""

    journal: Journal
    ledger: Ledger
    tally: Tally
    prices: PriceBook
    emit: Emit

    async def begin(self, call: Call, attempt: int) -> Reservation:
        """Reserve the worst case of the attempt and write the intent down, durably.

        Raises :exc:`~sunwell.errors.BudgetExhausted` where there is no room; that is written, too.
        """
        claim = claim_for(call.model, call.request, self.prices.price(call.model), closing=call.closing)
        clock = asyncio.get_running_loop()
        asked = clock.time()
        try:
            reservation = await self.ledger.reserve(call.span.path, claim)
            await self._prepare(call, reservation, clock.time() - asked)
            self.ledger.confirm(reservation, claim)
        except BudgetExhausted as error:
            numbers = (error.limit, error.needed, error.used, error.ceiling, error.account)
            await self.journal.append(Refused(call.span.path, call.number, *numbers, error.detail))
            self.emit(BUDGET_REFUSED, BudgetRefused(*numbers))
            raise
        await self._intend(call, attempt, reservation)
        return reservation

    async def _prepare(self, call: Call, reservation: Reservation, held_seconds: float) -> None:
        try:
            await self.held(call, "ledger", held_seconds)
            await self.journal.reserve_space(_answer_bytes(reservation))
        except BaseException:
            self.ledger.release(reservation)
            raise

    async def held(self, call: Call, reason: HoldReason, seconds: float) -> None:
        """Write down that the call was held up, where that took any time to speak of."""
        if seconds >= _NOTICED_SECONDS:
            held = Held(call.span.path, reason, seconds, time.time())
            await self.journal.append(held, durable=False)  # the intent follows, and is synced

    async def _intend(self, call: Call, attempt: int, reservation: Reservation) -> None:
        try:
            await self.journal.append(call.intent(attempt, reservation))
        except asyncio.CancelledError as error:
            # The intent may be on record by now. Nothing was sent: a resume must not count it as billed.
            unsent = call.failure(attempt, error, may_be_billed=False, final=False)
            await _unbroken(self._fail(call, reservation, unsent))
            raise
        except BaseException:
            self.ledger.release(reservation)
            raise

    async def answered(
        self, call: Call, attempt: int, reservation: Reservation, completion: Completion, seconds: float
    ) -> Answer:
        """Write the answer down and settle, whatever happens to us meanwhile."""
        completion, cost_usd = self.prices.priced(call.model, completion)
        answer = Answer(
            span=call.span.path,
            number=call.number,
            attempt=attempt,
            purpose=call.purpose,
            depth=call.span.depth,
            digest=call.digest,
            completion=completion,
            cost_usd=cost_usd,
            duration_seconds=seconds,
            at=time.time(),
        )
        await _unbroken(self._settle(call, reservation, answer))
        return answer

    async def failed(
        self, call: Call, attempt: int, reservation: Reservation, error: BaseException, *, final: bool
    ) -> None:
        """Write the failure down and book what came with it, or give back or keep what was reserved."""
        # A call that was cut off by us, or broke in a way nobody foresaw, may have been billed.
        may_be_billed = error.may_be_billed if isinstance(error, ModelError) else True
        completion, cost_usd = answer_in(error, call.model.name), None
        if completion is not None:
            completion, cost_usd = self.prices.priced(call.model, completion)
        failure = call.failure(
            attempt,
            error,
            may_be_billed=may_be_billed,
            final=final,
            completion=completion,
            cost_usd=cost_usd,
        )
        await _unbroken(self._fail(call, reservation, failure))

    async def _settle(self, call: Call, reservation: Reservation, answer: Answer) -> None:
        try:
            await self.journal.append(answer)
        except BaseException:
            self._keep(call, reservation)
            raise
        self._book(call, reservation, answer.completion, answer.cost_usd)

    def _book(
        self, call: Call, reservation: Reservation, completion: Completion, cost_usd: Decimal | None
    ) -> None:
        billed = completion.billed_tokens
        if billed is None:  # and nobody said how much
            self._keep(call, reservation, completion.stated_cost_usd)
            return
        passed = self.ledger.settle(reservation, billed, cost_usd)
        self.tally.add_answer(call.entry(completion.model), completion, cost_usd)
        if passed:
            self._tell_excess(call, reservation, billed, cost_usd)

    def _tell_excess(
        self, call: Call, reservation: Reservation, billed: int, cost_usd: Decimal | None
    ) -> None:
        excess = BoundExceeded(call.model.name, reservation.tokens, billed, reservation.usd, cost_usd)
        self.emit(BOUND_EXCEEDED, excess)

    async def _fail(self, call: Call, reservation: Reservation, failure: Failure) -> None:
        if failure.completion is not None:
            self._book(call, reservation, failure.completion, failure.cost_usd)
        elif failure.may_be_billed:
            self._keep(call, reservation)
        else:
            self.ledger.release(reservation)
        await self.journal.append(failure)

    def _keep(self, call: Call, reservation: Reservation, stated_usd: Decimal | None = None) -> None:
        tokens, usd = reservation.tokens, reservation.usd
        if stated_usd is not None and (usd is None or stated_usd > usd):  # the provider charges more
            if self.ledger.settle(reservation, tokens, stated_usd):
                self._tell_excess(call, reservation, tokens, stated_usd)
            usd = stated_usd
        else:
            self.ledger.keep(reservation)
        self.tally.add_uncertain(call.entry(call.model.name), tokens, usd)


def _answer_bytes(reservation: Reservation) -> int:
    """Return what the record of the longest answer may take on disk, escapes included."""
    return _RECORD_BYTES + _BYTES_PER_TOKEN * reservation.max_output_tokens


async def _unbroken(booking: Coroutine[Any, Any, None]) -> None:
    """Finish *booking* although we may be cancelled meanwhile: what was paid must be written down."""
    task = asyncio.ensure_future(booking)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            cancelled = error
        except Exception:
            break
    task.result()
    if cancelled is not None:
        raise cancelled
