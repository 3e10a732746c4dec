"""The ledger of a run: every ceiling of the tree, in one process."""

import itertools
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import attrs

from sunwell.budget.account import NO_RESERVE, Account, Parts, Want
from sunwell.budget.admission import judge, overtaken, standing_of, turns_used_up
from sunwell.budget.clock import Clock
from sunwell.budget.ledger_protocol import Amount, Budget, CeilingLeft, Claim, Reservation
from sunwell.budget.standing import Standing
from sunwell.budget.tally import Past, book, upwards
from sunwell.budget.wait_queue import Lines
from sunwell.errors import SunwellError

OnWarning = Callable[[str, Decimal, Decimal, str], None]
"""Told the limit, what is used of it, its ceiling and the path of the account."""


def _nobody(limit: str, used: Decimal, ceiling: Decimal, account: str) -> None:
    pass


@attrs.define(eq=False)
class _Held:
    """An open reservation, and what of a closing reserve it drew."""

    reservation: Reservation
    account: Account
    drawn: Parts
    reserve_number: int


class _NearestAccounts(dict[str, Account]):
    """The account that holds for each path: its own, or the nearest one above. Each call asks many times."""

    def __init__(self, opened: dict[str, Account], root: str) -> None:
        super().__init__()
        self._opened = opened
        self._root = root

    def __missing__(self, path: str) -> Account:
        at = path
        while at:
            if (account := self._opened.get(at)) is not None:
                self[path] = account
                return account
            at = at.rpartition("/")[0]
        raise RuntimeError(f"{path} is not in the tree of {self._root}")


@attrs.define(eq=False)
class TreeLedger:
    """Implements :class:`~sunwell.budget.ledger_protocol.Ledger` on one event loop.

    A step that books touches every account above the path without giving control away, so no two
    calls can share the same room. A settled reserve costs the same however many are open.

    **What an ordinary claim must leave.** At its own account and each one above: what is settled,
    uncertain and reserved; and the closing reserves of that account and of all below it, together
    a tenth of its ceiling at most.

    **What a closing claim may use.** The closing reserve of its account, which it uses up, and
    ordinary room; never what is kept for the closing call of an account above its own. Reserves
    that come to more than a tenth are a pool: who closes first, draws first.

    **Who waits.** A claim waits while reservations in flight could free room for more of its output
    than fits now. Each account serves in order of arrival; who waits at one account holds up only
    who shares it.

    **A bill above its reservation** is booked in full. It stops nothing unless it passes a ceiling:
    then that account has no room, and every claim on it and below it is refused, closing claims too.
    """

    root: str = "run"
    on_warning: OnWarning = _nobody
    """Called once per limit and account when four fifths are settled or uncertain."""
    clock: Clock = attrs.field(factory=Clock)
    _accounts: dict[str, Account] = attrs.field(factory=dict, init=False)
    _inner: set[str] = attrs.field(factory=set, init=False)
    _nearest: _NearestAccounts = attrs.field(init=False)
    """Those that were asked for since the latest account was opened."""
    _open: dict[int, _Held] = attrs.field(factory=dict, init=False)
    _lines: Lines = attrs.field(init=False)
    _past: Past = attrs.field(factory=Past, init=False)
    _numbers: Iterator[int] = attrs.field(factory=itertools.count, init=False)

    def __attrs_post_init__(self) -> None:
        account = Account(self.root)
        account.chain = (account,)
        self._accounts[self.root] = account
        self._nearest = _NearestAccounts(self._accounts, self.root)
        self._lines = Lines(self._judge, self._book, self.release, self.clock)

    def open(self, path: str, budget: Budget, *, new_tokens: int | None = None) -> None:
        """Put ceilings on *path* and all below it; see the protocol.

        Raises :exc:`RuntimeError` for a new account above one that is there already.
        """
        account = self._accounts.get(path)
        if account is None:
            account = self._add(path)
        self.clock.start(account)
        account.limit_to(budget)
        account.new_tokens.limit_to(new_tokens)
        self._lines.set_timers(account)
        self._lines.stir(account.chain)

    def close(self, path: str) -> None:
        """Give the closing reserve of the account at exactly *path* back."""
        account = self._accounts.get(path)
        if account is not None:
            self._set_reserve(account, NO_RESERVE, 0.0)

    async def reserve(self, path: str, claim: Claim) -> Reservation:
        """Hold room for one attempt; see the class for who gets what, and who waits."""
        account = self._nearest[path]
        output = claim.max_output_tokens
        usd = claim.most_usd(output)
        # Only if nobody waits: a claim that came later and fits would take the room that comes free for one
        # that is larger and came first, again and again.
        if not self._lines.waiting and self._has_room(account, claim, usd):
            return self._hold(account, claim, output, usd, next(self._numbers))
        want = self._want(account, claim)
        # No await from here to the booking: two tasks that saw the same room would both take it.
        verdict = self._judge(want)
        if isinstance(verdict, int):
            reservation = self._book(want, verdict)
            if claim.closing:
                # Another closing call of this account may wait for the reserve that this one has just
                # drawn. An answer does not give that back: it would wait for nothing.
                self._lines.judge_closing()
            return reservation
        if isinstance(verdict, Account):
            return await self._lines.wait(want, verdict)
        raise verdict

    def confirm(self, reservation: Reservation, claim: Claim) -> None:
        """Let a call begin that was held up after its reservation; see the protocol."""
        # Between reservation and intent the caller waits for the journal and the rate limit. Meanwhile
        # another call may have been billed above its bound, and what it used beyond it was promised to
        # this one.
        for account in self._nearest[reservation.account].chain:
            if limit := account.passed_limit():
                self.release(reservation)
                raise overtaken(reservation, account, limit)

    def settle(
        self, reservation: Reservation, tokens: int, usd: Decimal | None, new_tokens: int | None = None
    ) -> bool:
        """Book what the call used and say whether it passed the reservation; see the protocol."""
        held = self._end(reservation)
        new = tokens if new_tokens is None else new_tokens
        for account in held.account.chain:
            account.settle(reservation, tokens, usd, new)
        self._lines.stir(held.account.chain)
        self._warn(held.account.chain)
        return is_exceeded(reservation, tokens, usd)

    def keep(self, reservation: Reservation) -> None:
        """Book the whole reservation as uncertain: the provider may have billed it."""
        held = self._end(reservation)
        for account in held.account.chain:
            account.keep(reservation)
        self._lines.stir(held.account.chain)
        self._warn(held.account.chain)

    def release(self, reservation: Reservation) -> None:
        """Give the room back, and to the closing reserve what was drawn from it."""
        held = self._end(reservation)
        for account in held.account.chain:
            account.release(reservation)
        # The closing reserve may have been set anew, or given back by ``close``, while this call was in
        # flight. What the call drew belonged to the old one, and would be kept free for nobody.
        if held.drawn != NO_RESERVE and held.reserve_number == held.account.reserve_number:
            held.account.refill(held.drawn)
        self._lines.stir(held.account.chain)

    def take_turn(self, path: str) -> None:
        """Count one turn, or raise :exc:`~sunwell.errors.BudgetExhausted`."""
        chain = self._nearest[path].chain
        # All are checked before any is counted: a turn refused below must not count above.
        for account in chain:
            if account.turns.ceiling is not None and account.turns.room(later=False) < 1:
                raise turns_used_up(account)
        for account in chain:
            account.turns.add(1, 0)
        self._warn(chain)

    def hold_back(self, path: str, tokens: int, usd: Decimal | None, seconds: float = 0.0) -> None:
        """Set the closing reserve of the account of *path*; see the protocol."""
        calls = 1 if tokens or usd or seconds else 0
        self._set_reserve(self._nearest[path], (usd or Decimal(0), tokens, calls, tokens), seconds)

    def restore(self, path: str, amount: Amount) -> None:
        """Add what earlier processes of the same run used at *path*; see the protocol."""
        nearest = self._nearest[path]
        for account in nearest.chain:
            book(account, amount)
        if nearest.path == path:
            nearest.restored_seconds += amount.seconds
        self._past.add(path, amount)
        self._lines.stir(nearest.chain)

    def pause(self) -> None:
        """Let no time pass under any time limit; see the protocol."""
        self.clock.pause()

    def go_on(self) -> float:
        """End a pause and return what it has left out; see the protocol."""
        return self.clock.go_on()

    def used(self, path: str) -> Amount:
        """Return what the account of *path* has used; its seconds are those of its own clock."""
        account = self._nearest[path]
        return account.amount(self.clock.elapsed_seconds(account))

    def held_back(self, path: str) -> Amount:
        """Return, as reserved, what ordinary calls must leave for closing calls at the account of *path*."""
        account = self._nearest[path]
        return Amount(
            reserved_usd=account.usd.kept,
            reserved_tokens=account.tokens.kept,
            reserved_new_tokens=account.new_tokens.kept if account.new_tokens.ceiling is not None else 0,
            calls=account.calls.kept,
        )

    def standing(self, path: str, limit: str) -> Standing | None:
        """Return where the ceiling on *limit* stands that leaves least room at *path*; see the protocol."""
        found = []
        for account in self._nearest[path].chain:
            gauge = getattr(account, limit)
            if gauge.ceiling is not None:
                found.append(standing_of(limit, gauge, account.path))
        return found[0] if len(found) == 1 else min(found, key=lambda one: one.left, default=None)

    def kept_usd(self, path: str) -> Decimal:
        """Return what is kept of the account's ceiling in US dollars for closing calls; see the protocol."""
        usd = self._nearest[path].usd
        return usd.zero if usd.ceiling is None else max(usd.zero, min(usd.kept, usd.ceiling - usd.booked))

    def tokens_left(self, path: str) -> int | None:
        """Return the tokens that an ordinary claim may still take; ``None``: no ceiling."""
        left: int | None = self._least_room(path, "tokens")
        return left

    def new_tokens_left(self, path: str) -> int | None:
        """Return the output and new input that an ordinary claim may still take; ``None``: no ceiling."""
        left: int | None = self._least_room(path, "new_tokens")
        return left

    def usd_left(self, path: str) -> Decimal | None:
        """Return the US dollars that an ordinary claim may still take; ``None``: no ceiling."""
        left: Decimal | None = self._least_room(path, "usd")
        return left

    def seconds_left(self, path: str) -> float | None:
        """Return the time that all ceilings above *path* still allow; ``None``: no ceiling."""
        return self.clock.least_left_seconds(self._nearest[path].chain)

    def ceilings(self, path: str) -> tuple[CeilingLeft, ...]:
        """Return the ceilings in dollars or tokens that hold at *path*, from the top down."""
        return tuple(
            CeilingLeft(
                account.path,
                None if account.usd.ceiling is None else account.usd.room(later=True),
                None if account.tokens.ceiling is None else account.tokens.room(later=True),
            )
            for account in self._nearest[path].chain
            if account.usd.ceiling is not None or account.tokens.ceiling is not None
        )

    def _least_room(self, path: str, limit: str) -> Any:
        """Return what an ordinary claim may still take of *limit*; ``None``: no ceiling."""
        least = None
        for account in self._nearest[path].chain:
            gauge = getattr(account, limit)
            if gauge.ceiling is not None:
                room = max(gauge.room(later=False), gauge.zero)
                least = room if least is None or room < least else least
        return least

    def _add(self, path: str) -> Account:
        above = self._nearest[path]
        # The accounts below have their chains already, and would be booked past a new one above them.
        if path in self._inner:
            raise RuntimeError(f"accounts are opened from the top down, and there is one below {path}")
        account = Account(path)
        account.chain = (*above.chain, account)
        # A resume restores what the journal tells before any worker opens its account again.
        self._past.give(account)
        self._accounts[path] = account
        self._nearest.clear()
        self._inner.update(upwards(path))
        return account

    def _set_reserve(self, account: Account, reserve: Parts, seconds: float) -> None:
        account.reserve_number += 1
        account.set_closing_reserve(reserve)
        if account.closing_seconds != seconds:
            account.closing_seconds = seconds
            self._lines.set_timers(account)
        self._lines.stir(account.chain)

    def _has_room(self, account: Account, claim: Claim, usd: Decimal | None) -> bool:
        """Say whether an ordinary claim, which costs *usd* at most, fits in full, at every account."""
        if claim.closing or self.clock.out_of_time(account, closing=False):
            return False
        tokens = claim.input_tokens + claim.max_output_tokens
        new = claim.most_new_tokens(claim.max_output_tokens)
        for above in account.chain:  # noqa: SIM110 - each call passes here
            if not above.has_room(tokens, new, usd):
                return False
        return True

    def _want(self, account: Account, claim: Claim) -> Want:
        least = min(claim.least_output_tokens, claim.max_output_tokens)
        return Want(claim, account, next(self._numbers), least)

    def _judge(self, want: Want) -> int | Account | SunwellError:
        return judge(want, self.clock)

    def _book(self, want: Want, output_tokens: int) -> Reservation:
        usd = want.claim.most_usd(output_tokens)
        return self._hold(want.account, want.claim, output_tokens, usd, want.ticket)

    def _hold(
        self, account: Account, claim: Claim, output_tokens: int, usd: Decimal | None, number: int
    ) -> Reservation:
        tokens = claim.input_tokens + output_tokens
        new = claim.most_new_tokens(output_tokens)
        reservation = Reservation(number, account.path, tokens, usd, output_tokens, new)
        for one in account.chain:
            one.reserve(reservation)
        drawn = account.draw(reservation) if claim.closing else NO_RESERVE
        self._open[number] = _Held(reservation, account, drawn, account.reserve_number)
        return reservation

    def _end(self, reservation: Reservation) -> _Held:
        held = self._open.get(reservation.id)
        # Numbers start at 0 in every ledger, so a number alone may name a reservation of another one.
        if held is None or held.reservation is not reservation:
            raise RuntimeError(f"reservation {reservation.id} has ended already, or is not of this ledger")
        del self._open[reservation.id]
        return held

    def _warn(self, chain: tuple[Account, ...]) -> None:
        for account in chain:
            if account.watched:
                for limit, used, ceiling in account.crossed():
                    self.on_warning(limit, used, ceiling, account.path)
            if account.budget.seconds and (time := self.clock.crossed(account)) is not None:
                self.on_warning("seconds", *time, account.path)


def is_exceeded(reservation: Reservation, tokens: int, usd: Decimal | None) -> bool:
    """Say whether a bill is higher than its *reservation*, in tokens or in dollars."""
    if usd is not None and reservation.usd is not None and usd > reservation.usd:
        return True
    return tokens > reservation.tokens
