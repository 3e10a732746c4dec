"""Those who wait for room: joining, leaving, and who is next."""

import asyncio
import heapq
from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Iterator, Mapping

import attrs

from sunwell.budget.account import Account, Want
from sunwell.budget.admission import least_usd
from sunwell.budget.clock import Clock
from sunwell.budget.ledger_protocol import Reservation
from sunwell.errors import SunwellError

_SPARE = 64


def enter(want: Want, waiting: Mapping[int, Want]) -> None:
    """Remember what *want* needs at least, at every account that it draws on.

    Ordinary claims meet the same room at an account, so the most demanding is hopeless first.
    Closing claims each have a room of their own: :meth:`Lines.judge_closing` looks at each of them.
    """
    if want.claim.closing:
        return
    claim, least = want.claim, want.least
    needs = (least_usd(want), claim.input_tokens + least, 1, claim.most_new_tokens(least))
    for account in want.account.chain:
        for hopes, need in zip(account.hopes, needs, strict=True):
            if need is None:
                continue
            # Who leaves stays in the heap until it comes to the top. A claim that needs little may never
            # get there, and would stay for the whole run.
            if len(hopes) > 2 * len(waiting) + _SPARE:
                hopes[:] = [old for old in hopes if old[1] in waiting]
                heapq.heapify(hopes)
            heapq.heappush(hopes, (-need, want.ticket, want))


def hopeless(account: Account, waiting: Mapping[int, Want]) -> Iterator[Want]:
    """Yield the ordinary claims that can no longer be served at *account*, most demanding first.

    Each must be taken out of *waiting* before the next is asked for.
    """
    for hopes in account.hopes:
        while hopes:
            want = hopes[0][2]
            if want.ticket in waiting:
                if account.fits(want, later=True) >= want.least:
                    break
                yield want
            heapq.heappop(hopes)


Verdict = int | Account | SunwellError

_LOOKED_AGAIN_SECONDS = 0.05


def _ticket(want: Want) -> int:
    return want.ticket


@attrs.define(eq=False)
class Lines:
    """The lines of all accounts. Each claim waits in one line at a time, in order of arrival."""

    judge: Callable[[Want], Verdict]
    book: Callable[[Want, int], Reservation]
    release: Callable[[Reservation], None]
    clock: Clock
    waiting: dict[int, Want] = attrs.field(factory=dict, init=False)
    """All who wait, by ticket."""
    closing: dict[int, Want] = attrs.field(factory=dict, init=False)
    """Those of them who wait to make a closing call: few, and soon served."""

    async def wait(self, want: Want, account: Account) -> Reservation:
        """Wait at *account* until *want* is granted or refused. Cancelling takes it out of line."""
        want.answer = asyncio.get_running_loop().create_future()
        self.waiting[want.ticket] = want
        if want.claim.closing:
            self.closing[want.ticket] = want
        self._stand(want, account)
        enter(want, self.waiting)
        self._set_timer(want)
        try:
            return await want.answer
        except asyncio.CancelledError:
            self._withdraw(want, want.answer)
            raise

    def stir(self, chain: Iterable[Account]) -> None:
        """Look again at those who wait, after room changed on the accounts of *chain*."""
        if not self.waiting:
            return
        to_serve = list(chain)
        # First: the head of a line that nothing can serve any more would hold up all behind it for ever.
        for account in chain:
            for want in hopeless(account, self.waiting):
                to_serve += self._conclude(want, self.judge(want))
        for account in to_serve:
            self._serve(account)
        self.judge_closing()  # serving the lines may have used the ordinary room that they counted on

    def judge_closing(self) -> None:
        """Look again at the waiting closing claims.

        One is refused if nothing could serve it any more, and granted if nothing could free more for it.
        """
        for want in list(self.closing.values()):
            if want.ticket not in self.waiting:
                continue  # granted or refused since, when another one was
            verdict = self.judge(want)
            if not isinstance(verdict, Account):
                for account in self._conclude(want, verdict):
                    self._serve(account)

    def set_timers(self, account: Account) -> None:
        """Reset the timers of those who draw on *account*: its ceiling changed."""
        for want in self.waiting.values():
            if account in want.account.chain:
                self._set_timer(want)

    def _serve(self, account: Account) -> None:
        while account.line:
            want = account.line[0]
            verdict = self.judge(want)
            if verdict is account:
                return
            if isinstance(verdict, Account):
                self._stand(want, verdict)
            else:
                self._conclude(want, verdict)

    def _conclude(self, want: Want, verdict: Verdict) -> list[Account]:
        """Grant or refuse, and return the accounts whose lines moved up."""
        moved = self._leave(want)
        assert want.answer is not None
        if want.answer.done():
            return moved  # cancelled earlier in this step: its task runs later and takes no reservation
        if isinstance(verdict, int):
            want.answer.set_result(self.book(want, verdict))
            if want.claim.closing:
                self.judge_closing()  # another closing call of the account may have counted on its reserve
        elif isinstance(verdict, SunwellError):
            want.answer.set_exception(verdict)
        return moved

    def _withdraw(self, want: Want, answer: "asyncio.Future[Reservation]") -> None:
        if want.ticket in self.waiting:
            for account in self._leave(want):
                self._serve(account)
        elif not answer.cancelled() and answer.exception() is None:
            # A settlement granted it, then somebody cancelled its task before that ran. The caller gets the
            # cancellation and never sees the reservation, so nobody else would end it.
            self.release(answer.result())

    def _stand(self, want: Want, account: Account) -> None:
        self._step_out(want)
        want.waits_at = account
        insort(account.line, want, key=_ticket)

    def _leave(self, want: Want) -> list[Account]:
        del self.waiting[want.ticket]
        self.closing.pop(want.ticket, None)
        if want.timer is not None:
            want.timer.cancel()
        return self._step_out(want)

    def _step_out(self, want: Want) -> list[Account]:
        account, want.waits_at = want.waits_at, None
        if account is None:
            return []
        del account.line[bisect_left(account.line, want.ticket, key=_ticket)]
        return [account]

    def _set_timer(self, want: Want, least_seconds: float = 0.0) -> None:
        if want.timer is not None:
            want.timer.cancel()
        seconds = self.clock.wait_seconds(want)
        if seconds is not None:
            want.timer = asyncio.get_running_loop().call_later(
                max(seconds, least_seconds), self._time_up, want
            )

    def _time_up(self, want: Want) -> None:
        if self.clock.out_of_time(want.account, want.claim.closing) is None:
            # Somebody was asked for approval after the timer was set: the budget's clock stood still, and the
            # event loop's did not. During a pause nothing says when it ends, so look again at intervals.
            self._set_timer(want, _LOOKED_AGAIN_SECONDS)
            return
        for account in self._conclude(want, self.judge(want)):
            self._serve(account)
