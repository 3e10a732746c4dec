"""Prices of models: the caller's own prices first, then the installed table. ``None`` is unknown."""

import datetime
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from functools import cache, lru_cache
from typing import Any
from urllib.parse import urlsplit

import attrs

from sunwell.core.model import Completion, ModelProtocol, Usage
from sunwell.core.price import Price, Rates, Tier
from sunwell.models.catalog import (
    is_alias_of,
    is_same_model,
    parse_reference,
    preset,
    spelled_alike,
    undated,
    vendor_of,
)
from sunwell.models.connection import Connection
from sunwell.models.room import ModelLimits, Room, lens_output_tokens

_CLOUDS = {"vertex": "google", "bedrock": "aws"}
"""Ids in the table of clouds that are no presets: each customer has an address of its own."""
_RATE_KEYS = {
    "input_mtok": "input_usd",
    "output_mtok": "output_usd",
    "cache_read_mtok": "cache_read_usd",
    "cache_write_mtok": "cache_write_usd",
    "cache_write_1h_mtok": "cache_write_1h_usd",
}
# A text request is billed for these in addition to or instead of tokens, which `Rates` cannot express.
_INEXPRESSIBLE_KEYS = (
    "requests_kcount",
    "input_mchars",
    "input_text_messages_kcount",
    "output_reasoning_mtok",
    "output_citation_mtok",
)
_CHECKED_ON = re.compile(r"(?:verified|checked|as of)(?: on)? (20\d\d-\d\d-\d\d)")
_HOUR_WRITE_FACTOR = 2  # Anthropic's price list: a write for an hour costs twice the base input price


@attrs.define(eq=False)
class PriceTable:
    """The prices of one installed version of ``genai-prices``, found by exact id only.

    The package itself matches by prefix, so it has a price for models that do not exist. Here an id
    must be one of the ids in the table, with or without a date at the end, and with ``-`` or ``.`` in
    version numbers.
    """

    version: str
    date: str
    """Latest ISO day on which one of the table's prices was checked, as the table says."""
    _providers: dict[str, Any]
    _ids: dict[str, dict[str, Any]] = attrs.field(factory=dict, init=False)

    def price(self, provider: str, model_id: str, on: datetime.date) -> Price | None:
        """Return the price of a model on a day (UTC), or ``None`` if the table does not have it.

        If a price depends on the hour, the most expensive hour is used, as an upper bound of the bill.
        """
        known = preset(provider)
        names = known.price_ids or (known.name,) if known else (_CLOUDS.get(provider, provider),)
        maker, _, rest = model_id.partition("/")
        if known is not None and rest and preset(maker) is known:  # Vertex writes google/gemini-2.5-flash
            model_id = rest
        model = next(filter(None, (self._find(name, model_id) for name in names)), None)
        if model is None:
            return None
        hours = [_entries(prices) for prices in _in_force(model.prices, on)]
        rated = [entries for entries in hours if entries is not None]
        if not rated or len(rated) < len(hours):
            return None
        notes = [f"genai-prices {self.version}"]
        if len(rated) > 1:
            notes.append("at the most expensive hour of the day")
        doubles = "claude" in model.id and any(_lacks_hour_writes(entries) for entries in rated)
        if doubles:
            notes.append("1-hour cache writes at twice the input price, as in Anthropic's price list")
        made = [_rated(entries, doubles) for entries in rated]
        rates, tiers = max(made, key=lambda price: (price[0].output_usd, price[0].input_usd))
        return Price(rates, tiers, model.context_window, ", ".join(notes), self.date)

    def _find(self, provider: str, model_id: str) -> Any | None:
        entry = self._providers.get(provider)
        if entry is None:
            return None
        # A cloud that sells models of other makers at their prices lists those makers.
        for seller in (provider, *(entry.fallback_model_providers or ())):
            ids = self._ids_of(seller)
            spelled = spelled_alike(model_id)
            found = ids.get(spelled) or ids.get(undated(spelled))
            if found is not None:
                return found
        return None

    def _ids_of(self, provider: str) -> dict[str, Any]:
        if provider not in self._ids:
            self._ids[provider] = _exact_ids(self._providers[provider])
        return self._ids[provider]


@cache
def price_table() -> PriceTable:
    """Return the table of the installed package; the first call takes about 0.25 s to read it."""
    from genai_prices import __version__
    from genai_prices.data_snapshot import get_snapshot

    providers = get_snapshot().providers
    return PriceTable(__version__, _newest_check(providers), {entry.id: entry for entry in providers})


@lru_cache(1_024)  # one look-up takes as long as a tenth of a call; books are made for each agent
def _price_in_table(provider: str, model_id: str, on: datetime.date) -> Price | None:
    return price_table().price(provider, model_id, on)


def _newest_check(providers: Iterable[Any]) -> str:
    comments = [
        entry.price_comments or "" for provider in providers for entry in (provider, *provider.models)
    ]
    return max((day for text in comments for day in _CHECKED_ON.findall(text)), default="")


def _exact_ids(provider: Any) -> dict[str, Any]:
    """Return the models of *provider* by each of their ids, in one spelling.

    An id counts only if the package itself finds the same model by it: some entries are headings for a
    region or a family, which no request can name.
    """
    named = [(model_id, model) for model in provider.models for model_id in (model.id, *_named(model.match))]
    own = [(model_id, model) for model_id, model in named if provider.find_model(model_id) is model]
    # The first that has an id keeps it.
    return {spelled_alike(model_id): model for model_id, model in reversed(own)}


def _named(clause: Any) -> Iterator[str]:
    for part in getattr(clause, "or_", ()):
        yield from _named(part)
    for kind in ("equals", "starts_with"):
        text = getattr(clause, kind, None)
        if text:
            yield text


def _in_force(prices: Any, on: datetime.date) -> Iterator[Any]:
    """Yield the entries that can apply at some hour of the day; later entries override earlier ones."""
    if not isinstance(prices, list):
        yield prices
        return
    for entry in reversed(prices):
        starts = getattr(entry.constraint, "start_date", None)
        hourly = hasattr(entry.constraint, "start_time")
        if hourly or starts is None or on >= starts:
            yield entry.prices
        if not hourly and (starts is None or on >= starts):
            return
    if prices:
        yield prices[0].prices


def _entries(prices: Any) -> dict[str, Any] | None:
    """Return the table's entry for each rate; ``None`` if the price does not depend on tokens alone."""
    named = vars(prices)
    if any(named.get(key) is not None for key in _INEXPRESSIBLE_KEYS):
        return None
    entries = {field: named[key] for key, field in _RATE_KEYS.items() if named.get(key) is not None}
    return entries if entries.keys() >= {"input_usd", "output_usd"} else None


def _lacks_hour_writes(entries: dict[str, Any]) -> bool:
    return "cache_write_usd" in entries and "cache_write_1h_usd" not in entries


def _rated(entries: dict[str, Any], doubles: bool) -> tuple[Rates, tuple[Tier, ...]]:
    starts = sorted({step.start for entry in entries.values() for step in getattr(entry, "tiers", ())})
    tiers = tuple(Tier(start, _rates(entries, doubles, start + 1)) for start in starts)
    return _rates(entries, doubles, 0), tiers


def _rates(entries: dict[str, Any], doubles: bool, input_tokens: int) -> Rates:
    usd = {field: _at(entry, input_tokens) for field, entry in entries.items()}
    if doubles and _lacks_hour_writes(entries):
        usd["cache_write_1h_usd"] = _HOUR_WRITE_FACTOR * usd["input_usd"]
    return Rates(**usd)


def _at(entry: Any, input_tokens: int) -> Decimal:
    """Return the rate of an entry, a number or steps, for a request with this much input."""
    if isinstance(entry, Decimal):
        return entry
    reached = [step.price for step in entry.tiers if input_tokens > step.start]
    return Decimal(reached[-1] if reached else entry.base)


_PER_MILLION = Decimal(1_000_000)
_BATCH_FACTOR = Decimal("0.5")  # Anthropic and OpenAI: batches cost half of all rates (2026-11-21)


def provider_and_id(model: ModelProtocol) -> tuple[str | None, str]:
    """Return the provider of *model*, ``None`` if unknown, and the model's id there.

    Adapters have ``model_id`` and ``provider``, or a ``connection`` that has ``provider``; any other
    model has only a name.
    """
    model_id = getattr(model, "model_id", None)
    provider = getattr(model, "provider", None)
    if provider is None:
        provider = getattr(getattr(model, "connection", None), "provider", None)
    return provider, model.name if model_id is None else str(model_id)


def known_as(model: ModelProtocol) -> str:
    """Return under which name later runs know *model*: with its host, if that is not the provider's own.

    A model of the same name at another address, such as a simulator's, is another model.
    """
    address = getattr(getattr(model, "connection", None), "base_url", None)
    host = urlsplit(address).netloc.rpartition("@")[2] if isinstance(address, str) else ""
    return f"{model.name}@{host}" if host else model.name


def _own(value: Mapping[str, Price]) -> dict[str, Price]:
    for name, price in value.items():
        if not isinstance(price, Price):
            raise TypeError(f"the price of {name!r} must be a Price, got {price!r}")
    return {spelled_alike(name): price for name, price in value.items()}


@attrs.frozen
class Priced:
    """An answer with its cost."""

    completion: Completion
    """The answer, with the cost of each advisor in it."""
    cost_usd: Decimal | None
    note: str = ""
    """What the user should know about the model that answered; empty if nothing."""


@attrs.frozen(eq=False)
class _Terms:
    """The price of a model and the room of a request to it, and all that both were found by."""

    found_by: tuple[object, ...]
    price: Price | None
    """Without a window that was set or learned."""
    priced: Price | None
    """With it."""
    room: Room


@attrs.define(eq=False)
class PriceBook:
    """Prices by model.

    A price is exact or ``None``: a model that is in no table has no price. It never gets the price of a
    model with a similar name.
    """

    _own: dict[str, Price] = attrs.field(factory=dict, converter=_own)
    """The caller's prices by a model's name, its id or ``provider/id``; they override all others."""
    _on: datetime.date | None = attrs.field(default=None, kw_only=True)
    """The day (UTC) whose prices apply; ``None``: the day of each lookup."""
    limits: ModelLimits = attrs.field(factory=ModelLimits, kw_only=True)
    """Context windows that were set or learned; they override those of prices."""
    _terms: dict[tuple[int, int | None], _Terms] = attrs.field(factory=dict, init=False, repr=False)
    """By the number of the model's object and the limit that a request sets: each call asks several times."""

    def __getstate__(self) -> tuple[Any, ...]:
        return self._own, self._on, self.limits  # what was found of models is found again where it arrives

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self._own, self._on, self.limits = state
        self._terms = {}

    @property
    def date(self) -> str:
        """Latest ISO day on which one of the installed table's prices was checked, as the table says.

        The caller's own prices have their own dates.
        """

        return price_table().date

    def price(self, model: ModelProtocol) -> Price | None:
        """Return the price of *model*, or ``None`` if it is unknown.

        In this order: the caller's price by the model's name, by ``provider/id`` or by id; the
        model's own ``price``; the installed table's, by the model's provider and id, or by its name if
        it has none. Its window is the one that was set for the model or learned, if there is one.
        """
        return self._terms_of(model, None).priced

    def window_tokens(self, model: ModelProtocol) -> int | None:
        """Return the context window of *model*; ``None`` if it is unknown.

        In this order: what the provider said when it refused a request, what was set, and what the
        model's price says.
        """
        known = self.limits.window_tokens(model)
        if known is not None:
            return known
        price = self._price(model, *provider_and_id(model))
        return None if price is None else price.context_window

    def room(self, model: ModelProtocol, max_output_tokens: int | None = None) -> Room:
        """Return the room of a request to *model*, as every path computes it.

        *max_output_tokens* is the limit that the request sets; ``None``: see :meth:`ModelLimits.room
        <sunwell.models.room.ModelLimits.room>`.
        """
        return self._terms_of(model, max_output_tokens).room

    def price_and_room(
        self, model: ModelProtocol, max_output_tokens: int | None = None
    ) -> tuple[Price | None, Room]:
        """Return what :meth:`price` and :meth:`room` return, with one look at the tables."""
        terms = self._terms_of(model, max_output_tokens)
        return terms.priced, terms.room

    def _terms_of(self, model: ModelProtocol, max_output_tokens: int | None) -> _Terms:
        """Return price and room, those that are known already if nothing has changed that they rest on."""
        found_by = (
            model,  # kept with what was found by it, so that no other object gets its number
            model.name,
            getattr(model, "model_id", None),
            getattr(model, "provider", None),
            getattr(model, "connection", None),
            getattr(model, "price", None),
            getattr(model, "context_window", None),
            getattr(model, "max_output_tokens", None),
            getattr(model, "thinking_tokens", None),
            self._on or int(time.time() // _DAY_SECONDS),
            self.limits,
            self.limits.learned,
        )
        key = (id(model), max_output_tokens)
        known = self._terms.get(key)
        if known is None or known.found_by != found_by:
            if len(self._terms) >= _MOST_TERMS:
                self._terms.clear()
            known = self._terms[key] = self._found(model, max_output_tokens, found_by)
        return known

    def _found(
        self, model: ModelProtocol, max_output_tokens: int | None, found_by: tuple[object, ...]
    ) -> _Terms:
        price = self._price(model, *provider_and_id(model))
        known = self.limits.window_tokens(model)
        window = known if known is not None or price is None else price.context_window
        room = self.limits.room(model, window, max_output_tokens)
        return _Terms(found_by, price, _with_window(price, known), room)

    @property
    def _day(self) -> datetime.date:
        return self._on or _day(int(time.time() // _DAY_SECONDS))

    def lens_room(self, model: ModelProtocol, max_lens_tokens: int) -> Room:
        """Return the room of a request in which *model* writes a lens of at most *max_lens_tokens*."""
        window = self.window_tokens(model)
        return self.limits.room(model, window, lens_output_tokens(model, max_lens_tokens, window))

    def _price(self, model: ModelProtocol, provider: str | None, model_id: str) -> Price | None:
        provider, model_id = _placed(provider, model_id)
        if self._own:
            own = self._own.get(spelled_alike(model.name)) or self._own_price(provider, model_id)
            if own is not None:
                return own
        stated = getattr(model, "price", None)
        if isinstance(stated, Price):
            return stated
        return self._table_price(self._vendor(model, provider), model_id)

    @staticmethod
    def _vendor(model: ModelProtocol, provider: str | None) -> str | None:
        """Return the name under which the installed table knows the provider of *model*."""
        connection = getattr(model, "connection", None)
        known = vendor_of(connection) if isinstance(connection, Connection) else None
        return known.name if known else provider

    def price_of(self, model_id: str, provider: str | None = None) -> Price | None:
        """Return the price of the model with this id, or ``None`` if it is unknown.

        The caller's prices come first, by ``provider/id`` or id, then the installed table's. Without
        *provider*, the id must show the provider: ``openai/gpt-6-luna``, or ``gpt-6-luna``.
        """
        provider, model_id = _placed(provider, model_id)
        return self._own_price(provider, model_id) or self._table_price(provider, model_id)

    def priced(self, model: ModelProtocol, completion: Completion) -> Priced:
        """Return the cost of an answer of *model*, and the answer with the cost of each advisor in it.

        Every model that took part is priced separately; a batch costs half. If a different model answered
        than *model*, the answer costs what the more expensive of the two would cost; a date at the end of an
        id is no difference. If the provider states a cost, the higher of the stated and the computed cost
        counts. The cost is ``None`` if the usage is unknown, or if a price is unknown and no cost is stated.
        """
        usage = completion.usage
        if usage is None:
            return Priced(completion, None)
        is_alone = not (completion.consulted or completion.is_batch)
        if is_alone and completion.model == getattr(model, "model_id", None):  # nearly always
            price = self._terms_of(model, None).price
            priced = Priced(completion, None if price is None else price.cost_usd(usage))
        else:
            priced = self._computed(model, completion, usage)
        if completion.stated_cost_usd is None:
            return priced
        known = [usd for usd in (priced.cost_usd, completion.stated_cost_usd) if usd is not None]
        return Priced(priced.completion, max(known, default=None), priced.note)

    def _computed(self, model: ModelProtocol, completion: Completion, usage: Usage) -> Priced:
        provider, model_id = provider_and_id(model)
        answer_usd, note = self._cost_of_answer(model, provider, model_id, completion.model, usage)
        if answer_usd is None:
            return Priced(completion, None, note)
        factor = _BATCH_FACTOR if completion.is_batch else Decimal(1)
        cost_usd = answer_usd * factor
        priced = []
        for one in completion.consulted:
            price = self.price_of(one.model, provider)
            if price is None:
                return Priced(completion, None, note)
            part_usd = price.cost_usd(one.usage) * factor
            priced.append(attrs.evolve(one, cost_usd=part_usd))
            cost_usd += part_usd
        if priced:
            completion = attrs.evolve(completion, consulted=tuple(priced))
        return Priced(completion, cost_usd, note)

    def _cost_of_answer(
        self, model: ModelProtocol, provider: str | None, model_id: str, answered: str, usage: Usage
    ) -> tuple[Decimal | None, str]:
        """Return the cost, and what is to be told about the model that answered."""
        asked = self._terms_of(model, None).price
        asked_usd = None if asked is None else asked.cost_usd(usage)
        if answered == model_id or is_same_model(model_id, answered) or is_same_model(model.name, answered):
            return asked_usd, ""
        other = self.price_of(answered, self._vendor(model, provider))
        if other is None and is_alias_of(model_id, answered):
            return asked_usd, ""
        if other is None:
            is_own = self._own_price(provider, model_id) is not None
            note = f"{model.name} was called, and {answered} answered, whose price is unknown"
            if is_own:
                return asked_usd, f"{note}; the price set for {model.name} is booked"
            return None, "" if asked_usd is None else note
        other_usd = other.cost_usd(usage)
        if asked_usd is None or asked_usd == other_usd or is_alias_of(model_id, answered):
            return max(other_usd, asked_usd or other_usd), ""
        word = "more expensive" if other_usd > asked_usd else "cheaper"
        return (
            max(other_usd, asked_usd),
            f"{model.name} was called, and {answered} answered, which is {word}; the higher price is booked",
        )

    def _own_price(self, provider: str | None, model_id: str) -> Price | None:
        if not self._own:
            return None
        for spelled in (spelled_alike(model_id), undated(spelled_alike(model_id))):
            found = self._own.get(f"{provider}/{spelled}") or self._own.get(spelled)
            if found is not None:
                return found
        return None

    def _table_price(self, provider: str | None, model_id: str) -> Price | None:
        if provider is None:
            return None
        return _price_in_table(provider, model_id, self._day)


_DAY_SECONDS = 86_400
_MOST_TERMS = 256


@lru_cache(2)
def _day(since_1970: int) -> datetime.date:
    return datetime.date(1970, 1, 1) + datetime.timedelta(days=since_1970)


def _with_window(price: Price | None, window_tokens: int | None) -> Price | None:
    if price is None or window_tokens is None or window_tokens == price.context_window:
        return price
    return attrs.evolve(price, context_window=window_tokens)


def _placed(provider: str | None, model_id: str) -> tuple[str | None, str]:
    """Return provider and id; without a given provider, the provider that the id shows."""
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
    """Return a price from figures in US dollars per token, as configurations write them.

    A float means the decimal number as written: ``0.00005`` is exactly 50 dollars per million.
    """
    rates = Rates(
        _per_million(input_usd),
        _per_million(output_usd),
        None if cached_input_usd is None else _per_million(cached_input_usd),
    )
    return Price(rates, context_window=context_window, source=source)


def _per_million(usd: Decimal | float | str) -> Decimal:
    return Decimal(str(usd)) * _PER_MILLION
