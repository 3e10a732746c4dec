"""What models cost, what a task is expected to cost, and the decision that follows."""

from collections.abc import Iterable
from decimal import Decimal
from itertools import pairwise
from typing import Any

import attrs

from sunwell.core.model import Usage

_PER_MILLION = Decimal(1_000_000)


def _rate(_: object, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    if value is not None and not (Decimal(value).is_finite() and value >= 0):
        raise ValueError(f"{attribute.name} cannot be {value}: a rate is zero or more dollars")


def _tiers(value: "Iterable[Tier]") -> "tuple[Tier, ...]":
    return tuple(value)


def _ascending(_: object, __: object, tiers: "tuple[Tier, ...]") -> None:
    bounds = [tier.above_input_tokens for tier in tiers]
    if any(lower >= upper for lower, upper in pairwise(bounds)):
        raise ValueError(f"tiers must ascend by above_input_tokens, got {bounds}")


@attrs.frozen
class Rates:
    """US dollars per million tokens; a cache rate of ``None`` means the input rate."""

    input_usd: Decimal = attrs.field(validator=_rate)
    output_usd: Decimal = attrs.field(validator=_rate)
    cache_read_usd: Decimal | None = attrs.field(default=None, validator=_rate)
    cache_write_usd: Decimal | None = attrs.field(default=None, validator=_rate)
    cache_write_1h_usd: Decimal | None = attrs.field(default=None, validator=_rate)

    def cost_usd(self, usage: Usage) -> Decimal:
        """Return the exact price of *usage* at these rates."""
        return self._usd(
            usage.input_tokens,
            usage.output_tokens,
            usage.cache_read_tokens,
            usage.cache_write_tokens,
            usage.cache_write_1h_tokens,
        )

    def _usd(self, input_: int, output: int, cache_read: int, cache_write: int, hour_write: int) -> Decimal:
        fallback = self.input_usd
        total = (
            max(0, input_ - cache_read - cache_write - hour_write) * self.input_usd
            + cache_read * _or(self.cache_read_usd, fallback)
            + cache_write * _or(self.cache_write_usd, fallback)
            + hour_write * _or(self.cache_write_1h_usd, fallback)
            + output * self.output_usd
        )
        return total / _PER_MILLION

    @property
    def dearest_input_usd(self) -> Decimal:
        """The highest rate that an input token can cost, cache writes included."""
        writes = (self.cache_write_usd, self.cache_write_1h_usd, self.cache_read_usd)
        return max([self.input_usd, *(rate for rate in writes if rate is not None)])


@attrs.frozen
class Tier:
    """Other rates for a *whole* request whose input is longer than ``above_input_tokens``."""

    above_input_tokens: int
    rates: Rates


@attrs.frozen
class Price:
    """The price of one model.

    ``source`` and ``date`` (ISO, of the table) say where the figures come from; every figure
    shown to a user carries the date.
    """

    rates: Rates
    tiers: tuple[Tier, ...] = attrs.field(default=(), converter=_tiers, validator=_ascending)
    """Ascending by ``above_input_tokens``."""
    context_window: int | None = None
    """Most tokens of input and output together; ``None`` where unknown."""
    source: str = ""
    date: str = ""

    def rates_for(self, input_tokens: int) -> Rates:
        """Return the rates of a request with so much input."""
        chosen = self.rates
        for tier in self.tiers:
            if input_tokens > tier.above_input_tokens:
                chosen = tier.rates
        return chosen

    def cost_usd(self, usage: Usage) -> Decimal:
        """Return what *usage*, of one request, costs: exact, not rounded."""
        return self.rates_for(usage.input_tokens).cost_usd(usage)

    def conversation_usd(self, turns: Iterable[tuple[int, int, int, int]]) -> Decimal:
        """Return what a conversation costs, each turn at the rates of its own length: exact, not rounded.

        A turn is its tokens of input, output, cache reads and cache writes, as in
        :class:`~sunwell.core.model.Usage`.
        """
        costs = (self.rates_for(turn[0])._usd(*turn, 0) for turn in turns)
        return sum(costs, Decimal(0))

    def worst_usd(self, requests: Iterable[tuple[int, int]]) -> Decimal:
        """Return the most that *requests* of so many tokens of input and output can cost.

        No more input is billed than the context window holds.
        """
        total = Decimal(0)
        for input_tokens, output_tokens in requests:
            bound = input_tokens if self.context_window is None else min(input_tokens, self.context_window)
            input_usd, output_usd = self.worst_rates(bound)
            total += (bound * input_usd + output_tokens * output_usd) / _PER_MILLION
        return total

    def worst_rates(self, input_tokens: int) -> tuple[Decimal, Decimal]:
        """Return the dearest (input, output) rates that at most *input_tokens* of input can meet."""
        reachable = [self.rates]
        reachable += [tier.rates for tier in self.tiers if input_tokens > tier.above_input_tokens]
        return (
            max(rates.dearest_input_usd for rates in reachable),
            max(rates.output_usd for rates in reachable),
        )


def _or(rate: Decimal | None, fallback: Decimal) -> Decimal:
    return fallback if rate is None else rate


@attrs.frozen
class Side:
    """One way to do a task, priced. All figures are estimates but ``worst_usd``.

    That is a bound under the limits that the quote's assumptions name.
    """

    name: str
    """``delegated``, ``direct``, or ``smart-low-effort``."""
    low_usd: Decimal | None
    expected_usd: Decimal | None
    """``None`` where a price is unknown."""
    worst_usd: Decimal | None


@attrs.frozen
class Quote:
    """Both ways to do a task, side by side, with what was assumed."""

    delegated: Side
    direct: Side
    alternatives: tuple[Side, ...] = ()
    lens_tokens: int = 0
    """Input and output of writing the lens, as far as it goes off the budget."""
    assumptions: tuple[str, ...] = ()
    price_date: str = ""

    @property
    def delegation_is_dearer(self) -> bool:
        """Whether delegating is known to cost at least what the cheapest other way costs."""
        ours = self.delegated.expected_usd
        others = [side.expected_usd for side in (self.direct, *self.alternatives)]
        known = [usd for usd in others if usd is not None]
        return ours is not None and bool(known) and ours >= min(known)


@attrs.frozen
class DelegationDecision:
    """Whether a task is delegated, and why. True in a condition when it is."""

    delegate: bool
    reason: str
    """One sentence for people; it stands in the event and in the output."""
    estimated_tokens: int
    threshold_tokens: int
    budget_remaining: int | None = None

    def __bool__(self) -> bool:
        return self.delegate
