"""What is kept for the closing call is enough for it, wherever a price changes."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sunwell.agent.conversation.final_call import bare_tokens, closing_reserve, fitting_request, shown_sizes
from sunwell.core import History, Price, Rates, Request, user
from sunwell.core.message import Message, Text
from sunwell.core.price import Tier
from sunwell.gateway.booking import claim_for
from sunwell.testing import ScriptedModel

RATES = Rates(Decimal(1), Decimal(10), Decimal("0.1"), Decimal("1.25"), Decimal(2))
DEARER = Rates(Decimal(5), Decimal(50))
MODEL = ScriptedModel("haiku", [])


def request_of(system: int, turns: int, size: int) -> Request:
    """Return a request with a system prompt of so many bytes, after so many turns of *size* bytes."""
    said = [Message("assistant" if turn % 2 else "user", (Text("w" * size),)) for turn in range(1, turns)]
    return Request(History([user("Go on."), *said]), ("s" * system,))


@pytest.mark.parametrize("reason", ["budget_usd", "turns", "timeout"])
@given(
    system=st.integers(0, 30_000),
    turns=st.integers(1, 12),
    size=st.integers(1, 4_000),
    border=st.integers(500, 60_000),
)
def test_the_reserve_pays_for_the_closing_call(reason, system, turns, size, border) -> None:
    """Also where the bare call is below the border of a tier, and the one with its conversation above."""
    price = Price(RATES, (Tier(border, DEARER),))
    request = request_of(system, turns, size)
    reserve = closing_reserve(bare_tokens(MODEL, request), request.messages.size_bytes, price)
    shown_bytes = shown_sizes(request.messages.size_bytes, None)[0]
    closing = claim_for(MODEL, fitting_request(MODEL, request, reason, shown_bytes), price, closing=True)
    assert closing.input_usd is not None
    assert closing.output_usd_per_token is not None
    assert closing.input_tokens + closing.max_output_tokens <= reserve.tokens
    most_usd = closing.input_usd + closing.max_output_tokens * closing.output_usd_per_token
    assert most_usd <= reserve.usd


def test_without_a_price_only_tokens_are_kept() -> None:
    """Unknown is ``None``, never 0."""
    request = request_of(100, 3, 100)
    reserve = closing_reserve(bare_tokens(MODEL, request), request.messages.size_bytes, None)
    assert (reserve.usd, reserve.tokens > 1_024) == (None, True)
