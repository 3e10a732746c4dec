"""Who of those that wait can no longer be served, found without asking everybody."""

import heapq
from collections.abc import Iterator, Mapping
from decimal import Decimal

from sunwell.budget.account import Account, Want
from sunwell.budget.verdict import least_usd

_SPARE = 64


def enter(want: Want, waiting: Mapping[int, Want]) -> None:
    """Remember what *want* needs at least, at every account that it draws on."""
    for account in want.account.chain:
        for hopes, need in zip(account.hopes, _needs(want), strict=True):
            if need is None:
                continue
            if len(hopes) > 2 * len(waiting) + _SPARE:  # most of them left long ago
                hopes[:] = [old for old in hopes if old[1] in waiting]
                heapq.heapify(hopes)
            heapq.heappush(hopes, (-need, want.ticket, want))


def hopeless(account: Account, waiting: Mapping[int, Want]) -> Iterator[Want]:
    """Yield those who can no longer be served at *account*, most demanding first.

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


def _needs(want: Want) -> tuple[Decimal | None, int, int]:
    """Return the least need in dollars, tokens and calls, less what a closing claim has kept for it."""
    usd, tokens, calls = least_usd(want), want.claim.input_tokens + want.least, 1
    if not want.claim.closing:
        return usd, tokens, calls
    own = want.account
    return None if usd is None else usd - own.usd.own, tokens - own.tokens.own, calls - own.calls.own
