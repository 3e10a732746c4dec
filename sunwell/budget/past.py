"""What earlier processes of the same run used, by path."""

from collections.abc import Iterator

import attrs

from sunwell.budget.account import Account
from sunwell.budget.values import Amount


@attrs.define(eq=False)
class Past:
    """Amounts at every path and, summed, at every path above it; seconds at their own path alone."""

    _sums: dict[str, Amount] = attrs.field(factory=dict)
    _seconds: dict[str, float] = attrs.field(factory=dict)

    def add(self, path: str, amount: Amount) -> None:
        """Remember *amount* for the accounts that will be opened at *path* or above it."""
        for at in upwards(path):
            self._sums[at] = _sum(self._sums.get(at, Amount()), amount)
        self._seconds[path] = self._seconds.get(path, 0.0) + amount.seconds

    def give(self, account: Account) -> None:
        """Book on a new account what was restored at or below its path."""
        book(account, self._sums.get(account.path, Amount()))
        account.restored_seconds = self._seconds.get(account.path, 0.0)


def upwards(path: str) -> Iterator[str]:
    """Yield *path* and every path above it."""
    while path:
        yield path
        path = path.rpartition("/")[0]


def book(account: Account, amount: Amount) -> None:
    """Book everything but seconds; what was reserved is uncertain now."""
    account.usd.add(amount.settled_usd, amount.uncertain_usd + amount.reserved_usd)
    account.tokens.add(amount.settled_tokens, amount.uncertain_tokens + amount.reserved_tokens)
    account.calls.add(amount.calls, 0)
    account.turns.add(amount.turns, 0)


def _sum(one: Amount, other: Amount) -> Amount:
    return Amount(
        settled_usd=one.settled_usd + other.settled_usd,
        uncertain_usd=one.uncertain_usd + other.uncertain_usd,
        reserved_usd=one.reserved_usd + other.reserved_usd,
        settled_tokens=one.settled_tokens + other.settled_tokens,
        uncertain_tokens=one.uncertain_tokens + other.uncertain_tokens,
        reserved_tokens=one.reserved_tokens + other.reserved_tokens,
        calls=one.calls + other.calls,
        turns=one.turns + other.turns,
    )
