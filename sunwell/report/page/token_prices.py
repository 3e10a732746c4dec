"""The sum of a call: its tokens by kind, each at the price that held as it was answered."""

import datetime
from collections.abc import Iterable
from decimal import Decimal

import attrs

from sunwell.core.model import Completion, Usage
from sunwell.core.price import Price, Rates
from sunwell.models.prices import PriceBook
from sunwell.report.page.page_data import SumLine

INPUT, CACHE_WRITE, CACHE_WRITE_1H = "input", "cache write", "cache write, 1 hour"
CACHE_READ, OUTPUT, OTHER = "cache read", "output", "other charge"
_PER_MILLION = Decimal(1_000_000)
_BATCH = Decimal("0.5")


@attrs.define(eq=False)
class TokenPrices:
    """Finds the prices by which booked costs were made; a cost that no price explains has no sum."""

    prices: PriceBook | None = None
    """``None``: the installed table, as of the day of each call."""
    _of_day: dict[datetime.date, PriceBook] = attrs.field(factory=dict, init=False)

    def price(self, model: str, provider: str, at: float) -> Price | None:
        """Return the price of *model* as of the day of *at*, in seconds since 1970; ``None``: unknown."""
        return self.book(at).price_of(model, provider or None)

    def rates(
        self, completion: Completion, asked: str, provider: str, at: float, usd: Decimal | None
    ) -> Rates | None:
        """Return the rates at which the tokens of *completion* come to exactly *usd*; ``None``: unknown.

        *asked* is the model that was asked: if another one answered, the dearer price was booked. *usd* is
        without what advisors cost.
        """
        usage = completion.usage
        if usage is None or usd is None:
            return None
        for model in dict.fromkeys((completion.model, asked)):
            price = self.price(model, provider, at) if model else None
            if price is not None:
                rates = _reduced(price.rates_for(usage.input_tokens), completion.is_batch)
                if rates.cost_usd(usage) == usd:
                    return rates
        return None

    def stated(
        self, completion: Completion, asked: str, provider: str, at: float, usd: Decimal | None
    ) -> tuple[Rates, SumLine] | None:
        """Return the rates of a call that its provider says was dearer, and the line for the difference.

        ``None`` if that is not why *usd*, with what advisors cost, is what was booked.
        """
        usage = completion.usage
        if usage is None or usd is None or completion.stated_cost_usd != usd or completion.consulted:
            return None
        price = self.price(completion.model or asked, provider, at)
        if price is None:
            return None
        rates = _reduced(price.rates_for(usage.input_tokens), completion.is_batch)
        more = usd - rates.cost_usd(usage)
        return (rates, SumLine(OTHER, 0, Decimal(0), more)) if more > 0 else None

    def book(self, at: float) -> PriceBook:
        """Return the prices of the day of *at*."""
        if self.prices is not None:
            return self.prices
        day = datetime.datetime.fromtimestamp(at, datetime.UTC).date()
        if day not in self._of_day:
            self._of_day[day] = PriceBook(on=day)
        return self._of_day[day]


def sum_lines(usage: Usage, rates: Rates) -> tuple[SumLine, ...]:
    """Return a line for each kind of tokens in *usage*; they add up to what :class:`Rates` make of it."""
    plain = rates.input_usd
    kinds = (
        (INPUT, usage.uncached_input_tokens, plain),
        (CACHE_WRITE, usage.cache_write_tokens, rates.cache_write_usd),
        (CACHE_WRITE_1H, usage.cache_write_1h_tokens, rates.cache_write_1h_usd),
        (CACHE_READ, usage.cache_read_tokens, rates.cache_read_usd),
        (OUTPUT, usage.output_tokens, rates.output_usd),
    )
    given = ((what, tokens, plain if rate is None else rate) for what, tokens, rate in kinds if tokens)
    return tuple(SumLine(what, tokens, rate, tokens * rate / _PER_MILLION) for what, tokens, rate in given)


def adds_up(lines: Iterable[SumLine], usd: Decimal | None) -> bool:
    """Whether *lines* come to exactly *usd*."""
    return usd is not None and sum((line.usd for line in lines), Decimal(0)) == usd


def _reduced(rates: Rates, is_batch: bool) -> Rates:
    """Return *rates*, which are half as high for what a provider answers as part of a batch."""
    if not is_batch:
        return rates

    def half(rate: Decimal | None) -> Decimal | None:
        return None if rate is None else rate * _BATCH

    return Rates(
        rates.input_usd * _BATCH,
        rates.output_usd * _BATCH,
        half(rates.cache_read_usd),
        half(rates.cache_write_usd),
        half(rates.cache_write_1h_usd),
    )
