"""Budgets and the one ledger that holds them: reserve, settle, keep, release."""

from sunwell.budget.ledger import TreeLedger
from sunwell.budget.protocol import Ledger
from sunwell.budget.tally import Call, Tally
from sunwell.budget.values import Amount, Budget, Claim, Reservation

__all__ = [
    "Amount",
    "Budget",
    "Call",
    "Claim",
    "Ledger",
    "Reservation",
    "Tally",
    "TreeLedger",
]
