"""What a model costs: the caller's own prices first, then the installed table. Unknown is ``None``."""

import datetime
from collections.abc import Mapping
from decimal import Decimal

import attrs

from sunwell.core.model import Completion, ModelProtocol
from sunwell.core.price import Price, Rates
from sunwell.models.references import (
    is_same_model,
    parse_reference,
    provider_and_id,
    spelled_alike,
    undated,
)

_PER_MILLION = Decimal(1_000_000)
_BATCH_FACTOR = Decimal("0.5")  # Anthropic and OpenAI list batches at half of all rates (2026-11-21)


def _own(value: Mapping[str, Price]) -> dict[str, Price]:
    for name, price in value.items():
        if not isinstance(price, Price):
            raise TypeError(f"the price of {name!r} must be a Price, got {price!r}")
    return {spelled_alike(name): price for name, price in value.items()}


@attrs.define(eq=False)
class PriceBook:
    """Prices by model, looked up once each and then kept.

    A price is exact or ``None``: a model that no table names has no price, and never the price of
    one that is called nearly the same.
    """

    _own: dict[str, Price] = attrs.field(factory=dict, converter=_own)
    """The caller's prices by a model's name, its id or ``provider/id``; they go before all others."""
    _on: datetime.date | None = attrs.field(default=None, kw_only=True)
    """The day (UTC) whose prices hold; ``None`` is the day of each look-up."""
    _kept: dict[tuple[str, str, datetime.date], Price | None] = attrs.field(factory=dict, init=False)

    @property
    def date(self) -> str:
        """Newest ISO day on which the installed table says that one of its prices was checked.

        The caller's own prices carry their own dates.
        """
        from sunwell.models.price_source import price_table

        return price_table().date

    def price(self, model: ModelProtocol) -> Price | None:
        """Return what *model* costs, or ``None`` where nobody knows.

        In this order: the caller's price by the model's name, by ``provider/id`` or by id; the
        model's own ``price``; the installed table's, by provider and id where the model says them
        and by its name where it does not.
        """
        provider, model_id = _placed(*provider_and_id(model))
        own = self._own.get(spelled_alike(model.name)) or self._own_price(provider, model_id)
        if own is not None:
            return own
        stated = getattr(model, "price", None)
        if isinstance(stated, Price):
            return stated
        return self._table_price(provider, model_id)

    def price_of(self, model_id: str, provider: str | None = None) -> Price | None:
        """Return what the model with an id costs, or ``None`` where nobody knows.

        The caller's prices come first, by ``provider/id`` or id, then the installed table's. Without
        a *provider* the id must tell whose it is: ``openai/gpt-6-luna``, or ``gpt-6-luna``.
        """
        provider, model_id = _placed(provider, model_id)
        return self._own_price(provider, model_id) or self._table_price(provider, model_id)

    def price_of_answer(self, model: ModelProtocol, answered: str) -> Price | None:
        """Return the price of the model that answered when *model* was asked.

        Where *answered* is the model that was asked, by name, id or id with a date, this is
        :meth:`price`; where another one answered it is the price of that one, or ``None``.
        """
        provider, model_id = provider_and_id(model)
        if is_same_model(model_id, answered) or is_same_model(model.name, answered):
            return self.price(model)
        return self.price_of(answered, provider)

    def priced(self, model: ModelProtocol, completion: Completion) -> tuple[Completion, Decimal | None]:
        """Return the cost of an answer of *model*, and the answer with the cost of each advisor in it.

        Every model that took part is priced by itself; a batch costs half. If the provider states a
        cost, the dearer of the stated and the computed one counts. The cost is ``None`` if the usage is
        unknown, or if a price is unknown and no cost is stated.
        """
        if completion.usage is None:
            return completion, None
        completion, computed_usd = self._computed(model, completion)
        known = [usd for usd in (computed_usd, completion.stated_cost_usd) if usd is not None]
        return completion, max(known, default=None)

    def _computed(self, model: ModelProtocol, completion: Completion) -> tuple[Completion, Decimal | None]:
        own = self.price_of_answer(model, completion.model)
        if completion.usage is None or own is None:
            return completion, None
        factor = _BATCH_FACTOR if completion.is_batch else Decimal(1)
        cost_usd, provider = own.cost_usd(completion.usage) * factor, provider_and_id(model)[0]
        priced = []
        for one in completion.consulted:
            price = self.price_of(one.model, provider)
            if price is None:
                return completion, None
            part_usd = price.cost_usd(one.usage) * factor
            priced.append(attrs.evolve(one, cost_usd=part_usd))
            cost_usd += part_usd
        return (attrs.evolve(completion, consulted=tuple(priced)) if priced else completion), cost_usd

    def _own_price(self, provider: str | None, model_id: str) -> Price | None:
        for spelled in (spelled_alike(model_id), undated(spelled_alike(model_id))):
            found = self._own.get(f"{provider}/{spelled}") or self._own.get(spelled)
            if found is not None:
                return found
        return None

    def _table_price(self, provider: str | None, model_id: str) -> Price | None:
        if provider is None:
            return None
        day = self._on or datetime.datetime.now(datetime.UTC).date()
        key = (provider, model_id, day)
        if key not in self._kept:
            from sunwell.models.price_source import price_table

            self._kept[key] = price_table().price(provider, model_id, day)
        return self._kept[key]


def _placed(provider: str | None, model_id: str) -> tuple[str | None, str]:
    """Return provider and id, told by the id where no provider is given."""
    if provider is not None:
        return provider.lower(), model_id
    reference = parse_reference(model_id)
    return (reference.provider, reference.model_id) if reference else (None, model_id)


def price_per_token(
    input_usd: Decimal | float | str,
    output_usd: Decimal | float | str,
    *,
    cached_input_usd: Decimal | float | str | None = None,
    context_window: int | None = None,
    source: str = "",
) -> Price:
    """Return a price from figures in US dollars for one token, as configurations write them.

    A float means the number that it is written as: ``0.00005`` is exactly 50 dollars per million.
    """
    rates = Rates(
        _per_million(input_usd),
        _per_million(output_usd),
        None if cached_input_usd is None else _per_million(cached_input_usd),
    )
    return Price(rates, context_window=context_window, source=source)


def _per_million(usd: Decimal | float | str) -> Decimal:
    return Decimal(str(usd)) * _PER_MILLION
