"""An account: ceilings on one part of the tree, and what is booked under them."""

import asyncio
from decimal import Decimal
from typing import Generic, TypeVar

import attrs

from sunwell.budget.ledger_protocol import Amount, Budget, Claim, Reservation

N = TypeVar("N", int, Decimal)

_KEPT_SHARE = 10


@attrs.define(eq=False, init=False)
class Gauge(Generic[N]):
    """Bookings under one ceiling. All amounts are in the unit of ``zero``: US dollars or a count.

    ``own`` is the closing reserve of this account, ``below`` the sum of the reserves of the accounts
    below. Ordinary claims leave all of them, but never more than a tenth of the ceiling, ``most_kept``:
    so a crowd of workers, each with a reserve, cannot lock up a ceiling that they share.
    """

    zero: N
    ceiling: N | None
    four_fifths: N
    """Of the ceiling, rounded up."""
    spent: N
    """Settled and uncertain together."""
    reserved: N
    uncertain: N
    own: N
    below: N
    most_kept: N
    """A tenth of the ceiling, rounded down; of counts at least one, if the ceiling is two or more."""

    def __init__(self, zero: N) -> None:
        self.zero = zero
        self.ceiling = None
        self.four_fifths = self.spent = self.reserved = self.uncertain = zero
        self.own = self.below = self.most_kept = zero

    @property
    def settled(self) -> N:
        """What was billed for certain."""
        return self.spent - self.uncertain

    @property
    def booked(self) -> N:
        """Settled, uncertain and reserved together."""
        return self.spent + self.reserved

    def limit_to(self, ceiling: N | None) -> None:
        """Replace the ceiling; the bookings stay."""
        self.ceiling = ceiling
        if ceiling is not None:
            exact = ceiling * 4
            self.four_fifths = exact / 5 if isinstance(exact, Decimal) else -(-exact // 5)
            if isinstance(ceiling, Decimal):
                self.most_kept = ceiling / _KEPT_SHARE
            else:
                # A tenth of few calls is less than one, and without one no work could close.
                self.most_kept = max(1, ceiling // _KEPT_SHARE) if ceiling > 1 else 0

    @property
    def kept(self) -> N:
        """What ordinary claims must leave for closing claims."""
        reserves = self.own + self.below
        return reserves if self.ceiling is None else min(reserves, self.most_kept)

    @property
    def is_passed(self) -> bool:
        """Whether more than the ceiling is booked."""
        return self.ceiling is not None and self.spent + self.reserved > self.ceiling

    def room(self, later: bool) -> N:
        """Return what an ordinary claim may take; *later*: if all that is reserved came back.

        Below zero if closing calls have used part of what is kept. Only if there is a ceiling.
        """
        assert self.ceiling is not None
        free = self.ceiling - self.spent
        if not later:
            free -= self.reserved
        return free - min(self.own + self.below, self.most_kept)

    def closing_room(self, later: bool, reserve: N, own: bool) -> N:
        """Return what a closing claim with this *reserve* may take: it, and the ordinary room.

        What is kept for the closing call of an account above the claim's *own* stays free.
        """
        assert self.ceiling is not None
        free = self.ceiling - self.spent
        if not later:
            free -= self.reserved
        most = free if own else free - min(self.own, self.most_kept)
        return min(most, max(self.zero, self.room(later)) + reserve)

    def keep(self, amount: N) -> None:
        """Book the *amount* that was held as uncertain."""
        self.reserved -= amount
        self.spent += amount
        self.uncertain += amount

    def add(self, settled: N, uncertain: N) -> None:
        """Book what no reservation was made for."""
        self.spent += settled + uncertain
        self.uncertain += uncertain


Hopes = list[tuple[Decimal | int, int, "Want"]]
"""A heap of those who wait, the most demanding first: (less its least need, ticket, want)."""

Parts = tuple[Decimal, int, int, int]
"""Of a closing reserve: dollars, tokens, calls, new tokens."""

_NO_USD = Decimal(0)
NO_RESERVE: Parts = (_NO_USD, 0, 0, 0)


@attrs.define(eq=False)
class Want:
    """A claim on an account, and its place in line while it waits."""

    claim: Claim
    account: "Account"
    ticket: int
    """Order of arrival."""
    least: int
    """Output below which the call is refused."""
    answer: "asyncio.Future[Reservation] | None" = None
    waits_at: "Account | None" = None
    timer: asyncio.TimerHandle | None = None


@attrs.define(eq=False)
class Account:
    """Ceilings on a path. ``chain`` runs from the root to this account, itself included."""

    path: str
    budget: Budget = Budget()
    usd: Gauge[Decimal] = attrs.field(factory=lambda: Gauge(_NO_USD))
    tokens: Gauge[int] = attrs.field(factory=lambda: Gauge(0))
    calls: Gauge[int] = attrs.field(factory=lambda: Gauge(0))
    turns: Gauge[int] = attrs.field(factory=lambda: Gauge(0))
    new_tokens: Gauge[int] = attrs.field(factory=lambda: Gauge(0))
    """Output, and input that no earlier call was counted for."""
    chain: tuple["Account", ...] = ()
    closing_seconds: float = 0.0
    reserve_number: int = 0
    """How often the closing reserve was set: a released closing call refills only the one it drew on."""
    started_at: float | None = None
    restored_seconds: float = 0.0
    warned_of_time: bool = False
    watched: list[tuple[str, Gauge[Decimal] | Gauge[int]]] = attrs.field(factory=list)
    """Limits that have a ceiling and have not warned yet."""
    line: list[Want] = attrs.field(factory=list)
    """Those who wait for room here, in order of arrival."""
    hopes: tuple[Hopes, Hopes, Hopes, Hopes] = attrs.field(factory=lambda: ([], [], [], []))
    """All who wait for anything and draw on this account, by dollars, tokens, calls, new tokens."""

    def limit_to(self, budget: Budget) -> None:
        """Replace the ceilings. One that changed may warn again."""
        before, self.budget = self.budget, budget
        for limit in ("usd", "tokens", "calls", "turns"):
            gauge, ceiling = getattr(self, limit), getattr(budget, limit)
            if ceiling != getattr(before, limit):
                self.watched = [one for one in self.watched if one[0] != limit]
                if ceiling:
                    self.watched.append((limit, gauge))
            gauge.limit_to(ceiling)
        if budget.seconds != before.seconds:
            self.warned_of_time = False

    def fits(self, want: Want, later: bool) -> int:
        """Return the output tokens that this account allows: all that is wanted, or less.

        Below zero if not even a call without output fits. *later*: as if everything in
        flight had come back.
        """
        claim, own = want.claim, want.account
        most = claim.max_output_tokens
        if self.calls.ceiling is not None and _room(self.calls, own.calls, claim, later) < 1:
            return -1
        if self.tokens.ceiling is not None:
            most = min(most, _room(self.tokens, own.tokens, claim, later) - claim.input_tokens)
        if self.new_tokens.ceiling is not None:
            room = _room(self.new_tokens, own.new_tokens, claim, later)
            most = min(most, room - claim.most_new_tokens(0))
        if self.usd.ceiling is not None and most >= 0:
            if claim.input_usd is None or claim.output_usd_per_token is None:
                return -1
            left = _room(self.usd, own.usd, claim, later) - claim.input_usd
            if left < 0:
                return -1
            if claim.output_usd_per_token * most > left:
                most = int(left // claim.output_usd_per_token)
        return most

    def has_room(self, tokens: int, new_tokens: int, usd: Decimal | None) -> bool:
        """Say whether an ordinary call of this size fits."""
        if self.usd.ceiling is not None and (usd is None or self.usd.room(later=False) < usd):
            return False
        if self.tokens.ceiling is not None and self.tokens.room(later=False) < tokens:
            return False
        if self.new_tokens.ceiling is not None and self.new_tokens.room(later=False) < new_tokens:
            return False
        return self.calls.ceiling is None or self.calls.room(later=False) >= 1

    def passed_limit(self) -> str:
        """Return the limit of which more is booked than its ceiling, or an empty string."""
        for limit, gauge in (
            ("usd", self.usd),
            ("tokens", self.tokens),
            ("calls", self.calls),
            ("new_tokens", self.new_tokens),
        ):
            if gauge.ceiling is not None and gauge.is_passed:
                return limit
        return ""

    def reserve(self, held: Reservation) -> None:
        """Hold room for one call."""
        self.calls.reserved += 1
        self.tokens.reserved += held.tokens
        self.new_tokens.reserved += held.new_tokens
        if held.usd is not None:
            self.usd.reserved += held.usd

    def settle(self, held: Reservation, tokens: int, usd: Decimal | None, new_tokens: int) -> None:
        """Book one call; dollars that stay unknown are booked as they were held, as uncertain."""
        self.calls.reserved -= 1
        self.calls.spent += 1
        self.tokens.reserved -= held.tokens
        self.tokens.spent += tokens
        self.new_tokens.reserved -= held.new_tokens
        self.new_tokens.spent += new_tokens
        if usd is not None:  # also without a price before: a provider may state the cost with its answer
            self.usd.reserved -= held.usd or _NO_USD
            self.usd.spent += usd
        elif held.usd is not None:
            self.usd.keep(held.usd)

    def release(self, held: Reservation) -> None:
        """Give the room of one call back."""
        self.calls.reserved -= 1
        self.tokens.reserved -= held.tokens
        self.new_tokens.reserved -= held.new_tokens
        if held.usd is not None:
            self.usd.reserved -= held.usd

    def keep(self, held: Reservation) -> None:
        """Book the room of one call as uncertain."""
        self.calls.keep(1)
        self.tokens.keep(held.tokens)
        self.new_tokens.keep(held.new_tokens)
        if held.usd is not None:
            self.usd.keep(held.usd)

    def set_closing_reserve(self, reserve: Parts) -> None:
        """Set what is kept for the closing call, here and in the accounts above."""
        usd, tokens, calls, new_tokens = reserve
        for above in self.chain[:-1]:
            above.usd.below += usd - self.usd.own
            above.tokens.below += tokens - self.tokens.own
            above.calls.below += calls - self.calls.own
            above.new_tokens.below += new_tokens - self.new_tokens.own
        self.usd.own, self.tokens.own, self.calls.own = usd, tokens, calls
        self.new_tokens.own = new_tokens

    def draw(self, held: Reservation) -> Parts:
        """Use up the closing reserve for a closing call, as far as it reaches, and return what it gave."""
        usd = min(self.usd.own, held.usd or _NO_USD)
        tokens, calls = min(self.tokens.own, held.tokens), min(self.calls.own, 1)
        new = min(self.new_tokens.own, held.new_tokens)
        left = (self.usd.own - usd, self.tokens.own - tokens, self.calls.own - calls)
        self.set_closing_reserve((*left, self.new_tokens.own - new))
        return usd, tokens, calls, new

    def refill(self, drawn: Parts) -> None:
        """Give back to the closing reserve what :meth:`draw` returned."""
        usd, tokens, calls, new = drawn
        whole = (self.usd.own + usd, self.tokens.own + tokens, self.calls.own + calls)
        self.set_closing_reserve((*whole, self.new_tokens.own + new))

    def crossed(self) -> list[tuple[str, Decimal, Decimal]]:
        """Return, once each, the limits of which four fifths are used, with the use and the ceiling."""
        for _, gauge in self.watched:
            if gauge.spent >= gauge.four_fifths:
                break
        else:
            return []
        crossed = [one for one in self.watched if one[1].spent >= one[1].four_fifths]
        self.watched = [one for one in self.watched if one not in crossed]
        return [(limit, Decimal(gauge.spent), Decimal(gauge.ceiling or 0)) for limit, gauge in crossed]

    def amount(self, seconds: float) -> Amount:
        """Return all that is booked; new tokens only if they have a ceiling here."""
        new = self.new_tokens if self.new_tokens.ceiling is not None else Gauge(0)
        return Amount(
            settled_usd=self.usd.settled,
            uncertain_usd=self.usd.uncertain,
            reserved_usd=self.usd.reserved,
            settled_tokens=self.tokens.settled,
            uncertain_tokens=self.tokens.uncertain,
            reserved_tokens=self.tokens.reserved,
            settled_new_tokens=new.settled,
            uncertain_new_tokens=new.uncertain,
            reserved_new_tokens=new.reserved,
            calls=self.calls.booked,
            turns=self.turns.booked,
            seconds=seconds,
        )


def _room(gauge: Gauge[N], own: Gauge[N], claim: Claim, later: bool) -> N:
    if claim.closing:
        return gauge.closing_room(later, own.own, own is gauge)
    return gauge.room(later)
