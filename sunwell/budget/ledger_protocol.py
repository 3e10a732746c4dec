"""What a ledger is asked, and the values that it is asked with."""

from decimal import Decimal
from typing import Protocol

import attrs

from sunwell.budget.standing import Standing
from sunwell.core.task import Budget

__all__ = ["Amount", "Budget", "Claim", "Reservation"]


@attrs.frozen
class Claim:
    """The worst case of one attempt of a call."""

    input_tokens: int
    """Bound on what the provider can bill as input."""
    max_output_tokens: int
    least_output_tokens: int = 1
    """If only less output than this can ever fit, the call is useless and is refused."""
    input_usd: Decimal | None = None
    """Price of the whole input at the dearest rate that can apply; ``None``: price unknown."""
    output_usd_per_token: Decimal | None = None
    closing: bool = False
    """Whether the call may use the closing reserve."""
    new_input_tokens: int | None = None
    """Part of the input bound that no earlier call was counted for; ``None``: all of it."""

    def most_new_tokens(self, output_tokens: int) -> int:
        """Return the new input and the output of the attempt at most, with so much output."""
        new = self.input_tokens if self.new_input_tokens is None else self.new_input_tokens
        return new + output_tokens

    def most_usd(self, output_tokens: int) -> Decimal | None:
        """Return what the attempt costs at most with so much output; ``None`` where a price is unknown."""
        if self.input_usd is None or self.output_usd_per_token is None:
            return None
        return self.input_usd + self.output_usd_per_token * output_tokens


@attrs.frozen
class Reservation:
    """Room that one attempt holds until it is settled, kept or released."""

    id: int
    account: str
    tokens: int
    usd: Decimal | None
    max_output_tokens: int
    """What the claim asked for, or less where the ceilings allow only less."""
    new_tokens: int = 0
    """Part of ``tokens`` that counts under a ceiling of new tokens: the output, and input that is new."""


@attrs.frozen
class Amount:
    """What of an account is used: settled, uncertain and reserved, apart."""

    settled_usd: Decimal = Decimal(0)
    uncertain_usd: Decimal = Decimal(0)
    reserved_usd: Decimal = Decimal(0)
    settled_tokens: int = 0
    uncertain_tokens: int = 0
    reserved_tokens: int = 0
    settled_new_tokens: int = 0
    """Of these tokens, the output and the input that was not counted before; 0 if they have no ceiling."""
    uncertain_new_tokens: int = 0
    reserved_new_tokens: int = 0
    calls: int = 0
    turns: int = 0
    seconds: float = 0.0


@attrs.frozen
class CeilingLeft:
    """What one account leaves to ordinary calls below it, if nothing of what is in flight were billed."""

    account: str
    usd: Decimal | None
    """``None``: no ceiling in US dollars."""
    tokens: int | None


class Ledger(Protocol):
    """One ledger for a whole tree of work. Accounts are named by span paths.

    A path without an account of its own draws on the nearest one above it. Whatever is booked on
    an account is booked on all accounts above it in the same step.
    """

    def open(self, path: str, budget: Budget, *, new_tokens: int | None = None) -> None:
        """Put a ceiling on *path* and all below it.

        *new_tokens* is a ceiling on output and new input: input that was counted once, such as the
        beginning of a conversation that is read again at each turn, does not count again.
        Opening again replaces the ceilings and keeps the bookings. A new account begins with what
        was restored at or below it, and its clock starts. Accounts are opened from the top down.
        """
        ...

    def close(self, path: str) -> None:
        """Give the closing reserve of the account at *path* back. Bookings and ceilings stay."""
        ...

    async def reserve(self, path: str, claim: Claim) -> Reservation:
        """Hold room for one attempt, in one step over all accounts above *path*.

        Grants the whole output, and waits for it while calls in flight could free room for more than
        what fits now. If none can, it grants the largest output that fits, or raises
        :exc:`~sunwell.errors.BudgetExhausted` if that is below the claim's least. A claim without a
        price under a ceiling in US dollars is a :exc:`~sunwell.errors.ConfigurationError`.
        """
        ...

    def confirm(self, reservation: Reservation, claim: Claim) -> None:
        """Say that the call of *reservation* begins now.

        Releases it and raises :exc:`~sunwell.errors.BudgetExhausted` if by now more than a ceiling above
        it is settled, uncertain and reserved, because a bill was higher than its reservation: what is
        only reserved is no call in flight yet.
        """
        ...

    def settle(
        self, reservation: Reservation, tokens: int, usd: Decimal | None, new_tokens: int | None = None
    ) -> bool:
        """Book what the call really used, and say whether it was more than was reserved.

        *new_tokens* is the part of *tokens* that was output or new input; ``None``: all of it.

        More is booked in full. If a ceiling is passed with it, no call under that ceiling follows, not
        even a closing call. ``usd=None`` (usage known, price not) keeps the reserved dollars booked as
        uncertain.
        """
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

    def hold_back(self, path: str, tokens: int, usd: Decimal | None, seconds: float = 0.0) -> None:
        """Set the closing reserve of the account of *path*: only closing claims may use it.

        One call is kept with it. All reserves at and below an account together keep at most a tenth
        of its ceiling; of calls, at least one if the ceiling is two or more. Zeros take the reserve
        away, as :meth:`close` does.
        """
        ...

    def restore(self, path: str, amount: Amount) -> None:
        """Add what earlier processes of the same run used at *path*.

        Reserved counts as uncertain. Seconds count for an account at exactly *path*; all else for
        the accounts above as well, those opened later included.
        """
        ...

    def pause(self) -> None:
        """Let no time pass under any time limit until :meth:`go_on`: the run waits for a person.

        Pauses may overlap: time goes on once each has ended.
        """
        ...

    def go_on(self) -> float:
        """End a pause. Return the seconds that were left out if it was the last, else 0."""
        ...

    def used(self, path: str) -> Amount:
        """Return what the account of *path* has used so far."""
        ...

    def standing(self, path: str, limit: str) -> Standing | None:
        """Return where the ceiling on *limit* stands that leaves least room at *path*; ``None``: no ceiling.

        *limit* is ``usd``, ``tokens``, ``new_tokens``, ``calls`` or ``turns``.
        """
        ...

    def kept_usd(self, path: str) -> Decimal:
        """Return what is kept of the ceiling in US dollars at *path* for closing calls; 0 without a ceiling.

        No more is kept than is free.
        """
        ...

    def tokens_left(self, path: str) -> int | None:
        """Return the tokens that an ordinary claim may still take; ``None``: no ceiling above *path*.

        What is reserved or held back counts as gone.
        """
        ...

    def new_tokens_left(self, path: str) -> int | None:
        """Return the output and new input that an ordinary claim may still take; ``None``: no ceiling."""
        ...

    def usd_left(self, path: str) -> Decimal | None:
        """Return the US dollars that an ordinary claim may still take; ``None``: no ceiling."""
        ...

    def seconds_left(self, path: str) -> float | None:
        """Return the time that all ceilings above *path* still allow; ``None``: no ceiling."""
        ...

    def ceilings(self, path: str) -> tuple[CeilingLeft, ...]:
        """Return the ceilings in dollars or tokens that hold at *path*, from the top down."""
        ...
