"""What a user can name out of the box, with what it costs and whether its key is there."""

from collections.abc import Mapping
from decimal import Decimal

import attrs

from sunwell.models.aliases import ALIASES
from sunwell.models.prices import PriceBook
from sunwell.models.references import parse_reference


@attrs.frozen
class ModelRow:
    """One built-in alias."""

    alias: str
    model_id: str
    provider: str
    key_variable: str
    """The environment variable in which the key is expected."""
    has_key: bool
    input_usd: Decimal | None
    """US dollars per million tokens of input that no cache holds, in the lowest tier; ``None``: unknown."""
    output_usd: Decimal | None
    """US dollars per million tokens of output, in the lowest tier; ``None``: unknown."""
    price_date: str
    """ISO day of the price; empty where it is unknown."""


def list_models(prices: PriceBook, environ: Mapping[str, str] | None = None) -> tuple[ModelRow, ...]:
    """Return a row for each built-in alias, in the order of the table.

    *environ* is where keys are looked for, by default the process's environment. Nothing is sent.
    """
    return tuple(_row(alias, target, prices, environ) for alias, target in ALIASES.items())


def _row(alias: str, target: str, prices: PriceBook, environ: Mapping[str, str] | None) -> ModelRow:
    from sunwell.models.connection import Connection

    reference = parse_reference(target)
    if reference is None:
        raise AssertionError(f"the alias table names no provider for {alias!r}")
    connection = Connection.from_environment(reference.provider, environ=environ)
    price = prices.price_of(reference.model_id, reference.provider)
    return ModelRow(
        alias=alias,
        model_id=reference.model_id,
        provider=reference.provider,
        key_variable=connection.variable,
        has_key=bool(connection.api_key),
        input_usd=price.rates.input_usd if price else None,
        output_usd=price.rates.output_usd if price else None,
        price_date=price.date if price else "",
    )
