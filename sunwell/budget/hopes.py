"""Who of those that wait can no longer be served, found without asking everybody."""

import heapq
from collections.abc import Iterator, Mapping

from sunwell.budget.account import Account, Want
from sunwell.budget.verdict import least_usd

_SPARE = 64


def enter(want: Want, waiting: Mapping[int, Want]) -> None:
    """Remember what *want* needs at least, at every account that it draws on.

    Ordinary claims meet the same room at an account, so the most demanding is hopeless first.
    Closing claims each have a room of their own: :func:`cannot_close` looks at each of them.
    """
    if want.claim.closing:
        return
    needs = (least_usd(want), want.claim.input_tokens + want.least, 1)
    for account in want.account.chain:
        for hopes, need in zip(account.hopes, needs, strict=True):
            if need is None:
                continue
            if len(hopes) > 2 * len(waiting) + _SPARE:  # most of them left long ago
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


def cannot_close(closing: Mapping[int, Want]) -> list[Want]:
    """Return those of the waiting *closing* claims that can no longer be served."""
    return [
        want
        for want in closing.values()
        if any(account.fits(want, later=True) < want.least for account in want.account.chain)
    ]
