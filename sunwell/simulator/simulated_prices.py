"""Prices of simulated models: a separate table, independent of all that Sunwell uses to compute costs."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Literal

import attrs

PRICE_DATE = "2026-11-21"
"""Day on which the figures of :data:`PRICES` were recorded."""

CacheRule = Literal["blocks", "messages", "none"]
"""``blocks``: breakpoints on blocks, with a look-back of 20 (Anthropic). ``messages``: explicit
breakpoints and ends of messages, without look-back (OpenAI since gpt-5.6). ``none``: no cache."""


def _usd(value: Decimal | str | int) -> Decimal:
    if isinstance(value, float):  # 0.1 would silently become 0.1000000000000000055
        raise TypeError(f"a rate must be a Decimal, a string or an int, got the float {value!r}")
    return Decimal(value)


def _usd_or_none(value: Decimal | str | int | None) -> Decimal | None:
    return None if value is None else _usd(value)


@attrs.frozen
class ModelRates:
    """US dollars per million tokens. A cache rate of ``None`` means the input rate."""

    input_usd: Decimal = attrs.field(converter=_usd)
    output_usd: Decimal = attrs.field(converter=_usd)
    read_usd: Decimal | None = attrs.field(default=None, converter=_usd_or_none)
    write_usd: Decimal | None = attrs.field(default=None, converter=_usd_or_none)
    write_1h_usd: Decimal | None = attrs.field(default=None, converter=_usd_or_none)


@attrs.frozen
class ModelPrice:
    """Everything that determines the cost of a call of one model."""

    rates: ModelRates
    tiers: tuple[tuple[int, ModelRates], ...] = ()
    """Pairs (limit, rates), ascending: they apply to a whole request with more input than the limit."""
    cache_rule: CacheRule = "none"
    least_prefix_tokens: int = 1024
    """A shorter prefix is never cached."""
    context_window: int | None = None

    def rates_for(self, input_tokens: int) -> ModelRates:
        """Return the rates of a request with *input_tokens*, including cached ones."""
        chosen = self.rates
        for border, rates in self.tiers:
            if input_tokens > border:
                chosen = rates
        return chosen


PRICES: Mapping[str, ModelPrice] = {
    "claude-fable-5-2": ModelPrice(ModelRates(8, 40, "0.20", 10, 16), (), "blocks", 512, 1_000_000),
    "claude-opus-5-5": ModelPrice(ModelRates(4, 20, "0.20", 5, 8), (), "blocks", 512, 1_000_000),
    "claude-sonnet-5-5": ModelPrice(ModelRates(2, 10, "0.10", "2.50", 4), (), "blocks", 512, 1_000_000),
    "claude-haiku-5-5": ModelPrice(
        ModelRates("0.10", "0.50", "0.01", "0.125", "0.20"),
        ((100_000, ModelRates("0.50", "2.50", "0.05", "0.625", 1)),),
        "blocks",
        512,
        1_000_000,
    ),
    "gpt-6.1-sol": ModelPrice(
        ModelRates(2, 10, "0.10", "2.50"),
        ((272_000, ModelRates(4, 15, "0.20", 5)),),
        "messages",
        1024,
        1_050_000,
    ),
    "gpt-6-luna": ModelPrice(
        ModelRates("0.10", "0.50", "0.01", "0.125"),
        ((272_000, ModelRates("0.20", "0.75", "0.02", "0.25")),),
        "messages",
        1024,
        1_050_000,
    ),
}
"""The built-in table, as of :data:`PRICE_DATE`."""
