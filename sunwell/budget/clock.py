"""Wall time under the ceilings in seconds."""

import asyncio
from decimal import Decimal

import attrs

from sunwell.budget.account import Account, Want

_RESOLUTION_SECONDS = 1e-6
_WARN_SHARE = 0.8


@attrs.define(eq=False)
class Clock:
    """The event loop's time, less that of the pauses. Where no loop runs any more, it stands still."""

    _latest: float = 0.0
    _paused_seconds: float = 0.0
    """Length of the pauses that are over."""
    _pauses: int = 0
    _paused_at: float = 0.0

    def time(self) -> float:
        """Return seconds since some fixed moment, without those of pauses."""
        return (self._paused_at if self._pauses else self._loop_time()) - self._paused_seconds

    def pause(self) -> None:
        """Stand still until :meth:`go_on` was called as often."""
        if not self._pauses:
            self._paused_at = self._loop_time()
        self._pauses += 1

    def go_on(self) -> float:
        """End a pause; return how long the clock stood still if it was the last, else 0."""
        self._pauses -= 1
        if self._pauses:
            return 0.0
        seconds = self._loop_time() - self._paused_at
        self._paused_seconds += seconds
        return seconds

    def _loop_time(self) -> float:
        try:  # noqa: SIM105 -- on the way of every reservation, and `suppress` takes longer
            self._latest = asyncio.get_running_loop().time()
        except RuntimeError:  # no loop runs
            pass
        return self._latest

    def start(self, account: Account) -> None:
        """Let the time of *account* run, if it does not yet."""
        if account.started_at is None:
            account.started_at = self.time()

    def elapsed_seconds(self, account: Account) -> float:
        """Return the time since *account* was opened, earlier processes included."""
        if account.started_at is None:
            return account.restored_seconds
        return account.restored_seconds + max(0.0, self.time() - account.started_at)

    def left_seconds(self, account: Account, kept: bool = False) -> float | None:
        """Return what *account* alone still allows; *kept*: without the time kept for closing."""
        ceiling = account.budget.seconds
        if ceiling is None:
            return None
        left = ceiling - self.elapsed_seconds(account)
        if kept:
            left -= account.closing_seconds
        return left if left > _RESOLUTION_SECONDS else 0.0

    def least_left_seconds(self, chain: tuple[Account, ...]) -> float | None:
        """Return the time that all accounts of *chain* still allow; ``None``: no ceiling."""
        least = None
        for account in chain:
            if account.budget.seconds is not None and (left := self.left_seconds(account)) is not None:
                least = left if least is None else min(least, left)
        return least

    def out_of_time(self, account: Account, closing: bool) -> Account | None:
        """Return the topmost account whose time is up for a claim, ordinary or *closing*, on *account*."""
        for above in account.chain:
            if above.budget.seconds is not None and not self.left_seconds(
                above, not closing or above is not account
            ):
                return above
        return None

    def crossed(self, account: Account) -> tuple[Decimal, Decimal] | None:
        """Return use and ceiling, once, where four fifths of the time are over."""
        ceiling = account.budget.seconds
        if not ceiling or account.warned_of_time:
            return None
        elapsed = self.elapsed_seconds(account)
        if elapsed < ceiling * _WARN_SHARE:
            return None
        account.warned_of_time = True
        return Decimal(str(round(elapsed, 3))), Decimal(str(ceiling))

    def wait_seconds(self, want: Want) -> float | None:
        """Return how long *want* may wait; ``None`` where no time limit holds."""
        own, closing = want.account, want.claim.closing
        left = [self.left_seconds(above, not closing or above is not own) for above in own.chain]
        return min((seconds for seconds in left if seconds is not None), default=None)
