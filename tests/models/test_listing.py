"""What can be named out of the box, with price and key."""

from decimal import Decimal

from sunwell.models.catalog import ALIASES
from sunwell.models.prices import PriceBook
from sunwell.models.registry import ModelRow, list_models


def test_a_row_for_each_alias():
    """Each alias shows model, provider, key variable, price per million tokens and its date."""
    book = PriceBook()
    rows = list_models(book, {"OPENAI_API_KEY": "sk-1"})
    assert [row.alias for row in rows] == list(ALIASES)
    assert rows[-1] == ModelRow(
        "openai-cheap", "gpt-6-luna", "openai", "OPENAI_API_KEY", True,
        Decimal("0.1"), Decimal("0.5"), book.date,
    )  # fmt: skip


def test_a_key_that_is_missing_shows():
    """Without a key, or with an empty one, a row says so and nothing is raised."""
    rows = list_models(PriceBook(), {"ANTHROPIC_API_KEY": ""})
    assert [row.has_key for row in rows] == [False] * len(ALIASES)
