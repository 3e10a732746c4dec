"""The limits of sub-calls: how many in a turn, and how many tokens and dollars all of them may take."""

from collections import Counter

import attrs

from sunwell.agent.run.run import Run
from sunwell.budget.ledger_protocol import Budget
from sunwell.context.options import SubCallLimits
from sunwell.core.span import Span
from sunwell.core.tool import Place
from sunwell.errors import SubCallBudgetExhausted, SubCallCostExceeded

SUB_CALLS = "sub-calls"
"""Name of the span below which all sub-calls of a run stand."""


@attrs.define(eq=False)
class SubCalls:
    """Holds the sub-calls of one run to their limits, with one account above all of them."""

    run: Run
    limits: SubCallLimits
    _made: Counter[tuple[str, int]] = attrs.field(factory=Counter, init=False)
    _opened: set[str] = attrs.field(factory=set, init=False)

    def parent_of(self, span: Span) -> Span:
        """Return the span under which the sub-calls of the work at *span* stand."""
        if span.depth > 0:
            return span
        parent = span.child(SUB_CALLS)
        if parent.path not in self._opened:
            self._opened.add(parent.path)
            budget = Budget(tokens=self.limits.max_total_tokens, usd=self.limits.max_cost_per_session)
            self.run.ledger.open(parent.path, budget)
        return parent

    def count(self, place: Place, number: int) -> None:
        """Take note that the turn of *place* makes *number* more."""
        self._made[place.span.path, place.turn] += number

    def check(self, place: Place, number: int) -> None:
        """Raise a :exc:`~sunwell.errors.ToolError` where *number* more are not allowed at *place*."""
        limits, made = self.limits, self._made[place.span.path, place.turn]
        if made + number > limits.max_sub_calls_per_turn:
            raise SubCallBudgetExhausted(
                f"a turn may make {limits.max_sub_calls_per_turn} sub-calls; this one has made {made} and "
                f"asks for {number} more: ask for fewer, or go on in your next turn"
            )
        used = self.run.ledger.used(self._account(place.span))
        tokens = used.settled_tokens + used.uncertain_tokens + used.reserved_tokens
        if limits.max_total_tokens is not None and tokens >= limits.max_total_tokens:
            raise SubCallBudgetExhausted(
                f"sub-calls have used {tokens:,} of {limits.max_total_tokens:,} tokens: answer with what "
                "is known"
            )
        usd = used.settled_usd + used.uncertain_usd + used.reserved_usd
        if limits.max_cost_per_session is not None and usd >= limits.max_cost_per_session:
            raise SubCallCostExceeded(
                f"sub-calls have cost ${usd:.4f} of ${limits.max_cost_per_session}: answer with what is known"
            )

    def _account(self, span: Span) -> str:
        if span.depth == 0:
            return self.parent_of(span).path
        return f"{span.path.partition(f'/{SUB_CALLS}/')[0]}/{SUB_CALLS}"
