"""What the rest of the house asks of a ledger."""

from decimal import Decimal
from typing import Protocol

from sunwell.budget.values import Amount, Budget, Claim, Reservation


class Ledger(Protocol):
    """One ledger for a whole tree of work. Accounts are named by span paths.

    A path without an account of its own draws on the nearest one above it. Whatever is booked on
    an account is booked on all accounts above it in the same step.
    """

    def open(self, path: str, budget: Budget) -> None:
        """Put a ceiling on *path* and all below it. Opening again with the same budget is fine."""
        ...

    async def reserve(self, path: str, claim: Claim) -> Reservation:
        """Hold room for one attempt, in one step over all accounts above *path*.

        Lowers the output to what fits, waits while something in flight could free enough, and
        raises :exc:`~sunwell.errors.BudgetExhausted` as soon as nothing could.
        """
        ...

    def settle(self, reservation: Reservation, tokens: int, usd: Decimal | None) -> None:
        """Book what the call really used. More than was reserved is booked in full."""
        ...

    def keep(self, reservation: Reservation) -> None:
        """Book the whole reservation as uncertain: the provider may have billed it."""
        ...

    def release(self, reservation: Reservation) -> None:
        """Give the room back: the provider certainly billed nothing."""
        ...

    def take_turn(self, path: str) -> None:
        """Count one turn, or raise :exc:`~sunwell.errors.BudgetExhausted`."""
        ...

    def hold_back(self, path: str, tokens: int, usd: Decimal | None) -> None:
        """Set the closing reserve of the account of *path*: only closing claims may use it."""
        ...

    def restore(self, path: str, amount: Amount) -> None:
        """Add what earlier processes of the same run used."""
        ...

    def used(self, path: str) -> Amount:
        """Return what the account of *path* has used so far."""
        ...

    def tokens_left(self, path: str) -> int | None:
        """Return the tokens that all ceilings above *path* still allow; ``None``: no ceiling."""
        ...

    def usd_left(self, path: str) -> Decimal | None:
        """Return the US dollars that all ceilings above *path* still allow; ``None``: no ceiling."""
        ...

    def seconds_left(self, path: str) -> float | None:
        """Return the time that all ceilings above *path* still allow; ``None``: no ceiling."""
        ...
