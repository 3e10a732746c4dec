"""Budgets and the one ledger that holds them: reserve, settle, keep, release."""

from sunwell.budget.ledger import TreeLedger
from sunwell.budget.ledger_protocol import Amount, Budget, Claim, Ledger, Reservation
from sunwell.budget.tally import BilledCall, Tally

__all__ = [
    "Amount",
    "BilledCall",
    "Budget",
    "Claim",
    "Ledger",
    "Reservation",
    "Tally",
    "TreeLedger",
]
