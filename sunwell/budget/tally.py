"""What each call of a run cost, added up for the whole and for every part of it."""

from decimal import Decimal

import attrs

from sunwell.budget.past import upwards
from sunwell.core.model import Completion, Purpose
from sunwell.core.task import Bill, BillLine, ModelBill, Total
from sunwell.core.usage import Usage


@attrs.frozen
class Call:
    """Where a call happened, what for, and which model answered."""

    span: str
    """Path of the span in which the call was made."""
    depth: int
    """Nesting of workers: the root is 0."""
    purpose: Purpose
    provider: str
    model: str
    """The model that is priced: the one that answered, or was asked where no answer came."""


@attrs.define(eq=False)
class Tally:
    """Adds up calls by where they happened. A parent's bill includes every descendant's.

    A resumed run adds the calls of earlier processes again, from its journal.
    """

    price_date: str = ""
    """ISO date of the price table; every bill carries it."""
    _totals: dict[Call, Total] = attrs.field(factory=dict, init=False)
    _below: dict[str, list[Call]] = attrs.field(factory=dict, init=False)
    """The calls at and below each span: a worker's bill takes no look at its siblings."""

    def add(self, call: Call, usage: Usage, cost_usd: Decimal | None) -> None:
        """Add an answered call; ``cost_usd=None`` where the price is unknown, never 0."""
        self._note(call, Total(calls=1, usage=usage, cost_usd=cost_usd))

    def add_answer(self, call: Call, completion: Completion, cost_usd: Decimal | None) -> None:
        """Add an answer that came to *cost_usd* in all; each advisor in it stands in a line of its own."""
        for one in completion.consulted:
            self._note(
                attrs.evolve(call, model=one.model), Total(calls=0, usage=one.usage, cost_usd=one.cost_usd)
            )
            if cost_usd is not None and one.cost_usd is not None:
                cost_usd -= one.cost_usd
        assert completion.usage is not None
        self.add(call, completion.usage, cost_usd)

    def add_uncertain(self, call: Call, reserved_tokens: int, reserved_usd: Decimal | None) -> None:
        """Add an attempt whose usage never came, at its upper bound; it stands apart in every bill."""
        self._note(
            call, Total(uncertain_calls=1, uncertain_tokens=reserved_tokens, uncertain_usd=reserved_usd)
        )

    def bill(self, prefix: str = "run") -> Bill:
        """Return what the span *prefix* and everything below it came to.

        Models are sorted by name, then provider; a model that two providers serve has two lines.
        """
        lines: dict[tuple[str, str, int, str], Total] = {}
        models: dict[tuple[str, str], Total] = {}
        for call in self._below.get(prefix, ()):
            total = self._totals[call]
            model = (call.model, call.provider)
            models[model] = models.get(model, Total()) + total
            line = (*model, call.depth, call.purpose)
            lines[line] = lines.get(line, Total()) + total
        bill = Bill(
            models=tuple(_model_bill(*model, models[model]) for model in sorted(models)),
            lines=tuple(BillLine(*line, lines[line]) for line in sorted(lines)),
            price_date=self.price_date,
        )
        purposes = tuple((str(purpose), total.cost_usd) for purpose, total in bill.split("purpose"))
        return attrs.evolve(bill, by_purpose=purposes)

    def _note(self, call: Call, total: Total) -> None:
        so_far = self._totals.get(call)
        self._totals[call] = total if so_far is None else so_far + total
        if so_far is None:
            for path in upwards(call.span):
                self._below.setdefault(path, []).append(call)


def _model_bill(model: str, provider: str, total: Total) -> ModelBill:
    return ModelBill(
        model=model,
        calls=total.calls,
        usage=total.usage,
        cost_usd=total.cost_usd,
        uncertain_usd=total.uncertain_usd,
        uncertain_calls=total.uncertain_calls,
        provider=provider,
        uncertain_tokens=total.uncertain_tokens,
    )
