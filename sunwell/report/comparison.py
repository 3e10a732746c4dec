"""The bill of a delegated run beside what the smart model alone would have taken: an estimate."""

from decimal import Decimal

import attrs

from sunwell.core.task import BillLine, TaskResult, Total
from sunwell.models.prices import PriceBook

BASIS = (
    "an estimate, nothing that was measured: the tokens that the work took, lens calls left out, at the "
    "smart model's price in its lowest tier; alone it might have taken more of them, or fewer"
)


@attrs.frozen
class Comparison:
    """What a delegated run cost beside the estimate for the smart model alone."""

    smart_model: str
    actual_usd: Decimal | None
    """What the run cost, the lens included; ``None`` where a price is unknown."""
    estimated_usd: Decimal | None
    """What the work's own tokens cost at the smart model's price; ``None`` where it is unknown."""
    basis: str = BASIS

    @property
    def saved_usd(self) -> Decimal | None:
        """The difference; negative where delegating was the dearer way."""
        if self.estimated_usd is None or self.actual_usd is None:
            return None
        return self.estimated_usd - self.actual_usd

    @property
    def saved_share(self) -> Decimal | None:
        """The difference as a share of the estimate; negative where delegating was the dearer way."""
        if self.saved_usd is None or not self.estimated_usd:
            return None
        return self.saved_usd / self.estimated_usd


def compare_with_smart_model(result: TaskResult, prices: PriceBook | None = None) -> Comparison | None:
    """Return the comparison for a run that was delegated, ``None`` for any other.

    Calls whose usage never came are left out on both sides.
    """
    lens = [line for line in result.bill.lines if line.purpose == "lens"]
    if not result.decision or not lens:
        return None
    work: Total = sum((line.total for line in result.bill.lines if line.purpose != "lens"), Total())
    if not work.calls:
        return None
    smart = _answered(lens)
    price = (prices or PriceBook()).price_of(smart.model, smart.provider or None)
    estimated = None if price is None else price.rates.cost_usd(work.usage)
    return Comparison(smart.model, result.bill.cost_usd, estimated)


def _answered(lines: list[BillLine]) -> BillLine:
    """Return the line of the model that wrote the lens: answered calls go before cut ones."""
    return max(lines, key=lambda line: line.total.calls)
