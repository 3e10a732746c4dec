"""Prices out of the table that the package ``genai-prices`` carries; nothing is fetched."""

import datetime
import re
from collections.abc import Iterable, Iterator
from decimal import Decimal
from functools import cache
from typing import Any

import attrs

from sunwell.core.price import Price, Rates, Tier
from sunwell.models.references import spelled_alike, undated

_OTHER_IDS = {"xai": "x-ai", "gemini": "google", "vertex": "google", "bedrock": "aws"}
_RATE_KEYS = {
    "input_mtok": "input_usd",
    "output_mtok": "output_usd",
    "cache_read_mtok": "cache_read_usd",
    "cache_write_mtok": "cache_write_usd",
    "cache_write_1h_mtok": "cache_write_1h_usd",
}
# A text request is billed for these besides its tokens, or instead, and `Rates` cannot say so.
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

    The package itself matches by prefix, so that it has a price for models that do not exist. Here
    an id counts when it is one of the ids that the table names, with or without a date at its
    end, and with ``-`` for ``.`` in version numbers.
    """

    version: str
    date: str
    """Newest ISO day on which the table says that one of its prices was checked."""
    _providers: dict[str, Any]
    _ids: dict[str, dict[str, Any]] = attrs.field(factory=dict, init=False)

    def price(self, provider: str, model_id: str, on: datetime.date) -> Price | None:
        """Return the price of a model on a day (UTC), or ``None`` where the table does not know it.

        Where a price depends on the hour the dearest hour holds, so that it bounds the bill.
        """
        model = self._find(_OTHER_IDS.get(provider, provider), model_id)
        if model is None:
            return None
        hours = [_entries(prices) for prices in _in_force(model.prices, on)]
        rated = [entries for entries in hours if entries is not None]
        if not rated or len(rated) < len(hours):
            return None
        notes = [f"genai-prices {self.version}"]
        if len(rated) > 1:
            notes.append("at the dearest hour of the day")
        doubles = "claude" in model.id and any(_lacks_hour_writes(entries) for entries in rated)
        if doubles:
            notes.append("cache writes for an hour at twice the input price, as Anthropic lists them")
        made = [_rated(entries, doubles) for entries in rated]
        rates, tiers = max(made, key=lambda price: (price[0].output_usd, price[0].input_usd))
        return Price(rates, tiers, model.context_window, ", ".join(notes), self.date)

    def _find(self, provider: str, model_id: str) -> Any | None:
        entry = self._providers.get(provider)
        if entry is None:
            return None
        # A cloud that sells other makers' models at their prices names those makers.
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
    """Return the table of the installed package; reading it takes a quarter of a second, once."""
    from genai_prices import __version__
    from genai_prices.data_snapshot import get_snapshot

    providers = get_snapshot().providers
    return PriceTable(__version__, _newest_check(providers), {entry.id: entry for entry in providers})


def _newest_check(providers: Iterable[Any]) -> str:
    comments = [
        entry.price_comments or "" for provider in providers for entry in (provider, *provider.models)
    ]
    return max((day for text in comments for day in _CHECKED_ON.findall(text)), default="")


def _exact_ids(provider: Any) -> dict[str, Any]:
    """Return the models of *provider* by each id that names them, spelled alike.

    An id counts only where the package itself finds the same model by it: some entries are
    headings for a region or a family, and no request can name them.
    """
    found: dict[str, Any] = {}
    for model in provider.models:
        for model_id in (model.id, *_named(model.match)):
            if provider.find_model(model_id) is model:
                found.setdefault(spelled_alike(model_id), model)
    return found


def _named(clause: Any) -> Iterator[str]:
    for part in getattr(clause, "or_", ()):
        yield from _named(part)
    for kind in ("equals", "starts_with"):
        text = getattr(clause, kind, None)
        if text:
            yield text


def _in_force(prices: Any, on: datetime.date) -> Iterator[Any]:
    """Yield the entries that can hold at some hour of the day; later entries go before earlier ones."""
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
    """Return the table's entry for each rate, ``None`` where tokens alone do not make the price."""
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
    """Return the rate in an entry, a number or steps, for a request with so much input."""
    if isinstance(entry, Decimal):
        return entry
    reached = [step.price for step in entry.tiers if input_tokens > step.start]
    return Decimal(reached[-1] if reached else entry.base)
