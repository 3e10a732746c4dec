"""Which calls are sent before the disk has their intents, and how much that may be."""

from decimal import Decimal

import attrs

from sunwell.budget.ledger_protocol import Ledger, Reservation
from sunwell.journal.protocol import Journal
from sunwell.journal.records import Intent, Leeway

_CALLS = 16
"""How many calls like the one that it is measured by a leeway is for: more than are sent in 20 ms by most."""
_SHARE = 10
"""A leeway is at most one part in so many of what each ceiling of the run leaves."""
_LOOKED_AT_EACH = 16
"""After so many calls, the leeway is held against what the ceilings leave by then."""


@attrs.frozen
class Unwritten:
    """What calls can cost at most whose intents the disk may not have."""

    calls: int
    tokens: int
    new_tokens: int
    usd: Decimal

    def __add__(self, other: "Unwritten") -> "Unwritten":
        return Unwritten(
            self.calls + other.calls,
            self.tokens + other.tokens,
            self.new_tokens + other.new_tokens,
            self.usd + other.usd,
        )

    def fits(self, most: "Unwritten | Leeway") -> bool:
        """Whether no part of it is more than that of *most*."""
        return (
            self.calls <= most.calls
            and self.tokens <= most.tokens
            and self.new_tokens <= most.new_tokens
            and self.usd <= most.usd
        )


_LIMITS = tuple(field.name for field in attrs.fields(Unwritten))
"""They are called as in the ledger and in a leeway."""
_NOTHING = Unwritten(0, 0, 0, Decimal(0))


@attrs.define(eq=False)
class Unsynced:
    """Writes the intents of a run, and makes as few of them as possible wait for the disk.

    The intent of a call is in the file before the call is sent, so that the end of the process loses
    nothing. What a loss of power may take is limited: a *leeway* on record says how much may be sent before
    its intents are durable. An intent that fits into it is durable soon; any other one is durable at once,
    and brings a larger leeway if the ceilings allow that. A run that is taken up after a loss of power
    counts the whole leeway as uncertain, see :class:`~sunwell.journal.power.PowerLosses`. So a leeway that
    has become large against what the ceilings leave is replaced by a smaller one.

    Every intent is durable at once if a ceiling below that of the run holds for its call, if its price is
    unknown, or if the system does not say when it was started.
    """

    journal: Journal
    ledger: Ledger
    _leeway: Leeway | None = attrs.field(default=None, init=False)
    """The one that is on record for good; ``None``: there is none, or another one is being written."""
    _is_changing: bool = attrs.field(default=False, init=False)
    _open: Unwritten = attrs.field(default=_NOTHING, init=False)
    """The calls that the disk may not have."""
    _latest: int = attrs.field(default=0, init=False)
    """How many records the journal had after the latest one of their intents."""
    _asked: int = attrs.field(default=0, init=False)

    async def append(self, intent: Intent, held: Reservation) -> None:
        """Write the *intent* of a call that holds *held*. Once this returns, the call may be sent."""
        journal, usd = self.journal, held.usd
        if not journal.boot or usd is None or held.account != intent.span.partition("/")[0]:
            await journal.append(intent)
            return
        call, leeway = Unwritten(1, held.tokens, held.new_tokens, usd), self._leeway
        self._asked += 1
        is_large = self._asked % _LOOKED_AT_EACH == 0 and self._is_large(held.account)
        if leeway is not None and not is_large:
            # What is open counts until the disk has the last of it.
            together = call if journal.synced >= self._latest else self._open + call
            if together.fits(leeway):
                self._open = together
                await journal.append(intent, durable="soon")
                self._latest = journal.count
                return
        most = None if self._is_changing else self._other(call, held.account, is_large=is_large)
        if most is None:
            await journal.append(intent)
            return
        # Until the other one is durable, everybody waits. What was sent under the earlier one stands before
        # the other one in the file, and nothing that is sent before it is durable stands behind it.
        self._leeway, self._is_changing = None, True
        made = Leeway(
            journal.boot,
            most.calls,
            most.tokens,
            most.new_tokens,
            most.usd,
            intent.purpose,
            intent.provider,
            intent.model,
        )
        try:
            await journal.append(made, durable=False)
            await journal.append(intent)
        finally:
            self._is_changing = False
        self._leeway = made

    def _other(self, call: Unwritten, account: str, *, is_large: bool) -> Unwritten | None:
        """Return what is to take the place of the leeway; ``None``: nothing, it is only used up for now.

        If it *is_large*, less takes its place, perhaps nothing; else more, if the ceilings allow that.
        """
        if self._leeway is not None and call.fits(self._leeway) and not is_large:
            return None
        most = self._most(call, account)
        return most if is_large or call.fits(most) else None

    def _most(self, call: Unwritten, account: str) -> Unwritten:
        """Return what may be unwritten if calls are like *call*."""
        shares = (self._share(account, limit) for limit in _LIMITS)
        wanted = (value * _CALLS for value in attrs.astuple(call))
        calls, tokens, new_tokens, usd = (
            most if share is None else min(most, share) for most, share in zip(wanted, shares, strict=True)
        )
        return Unwritten(int(calls), int(tokens), int(new_tokens), Decimal(usd))

    def _is_large(self, account: str) -> bool:
        """Whether the leeway is more than twice of what it may be by now."""
        leeway = self._leeway
        if leeway is None:
            return False
        for limit in _LIMITS:
            share = self._share(account, limit)
            if share is not None and getattr(leeway, limit) > 2 * share:
                return True
        return False

    def _share(self, account: str, limit: str) -> Decimal | None:
        """Return the part of what the ceiling on *limit* leaves; ``None``: there is no ceiling."""
        stands = self.ledger.standing(account, limit)
        return None if stands is None else stands.left / _SHARE
