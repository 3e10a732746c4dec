"""The worst case of one attempt: all input at the dearest rate that it can meet, and all output."""

from decimal import Decimal

import pytest

from sunwell.core import Caching, Price, Rates, Request, user
from sunwell.core.price import Tier
from sunwell.gateway.booking import LEAST_OUTPUT_TOKENS, claim_for
from sunwell.models.room import DEFAULT_OUTPUT_TOKENS
from sunwell.testing import ScriptedModel

RATES = Rates(Decimal(1), Decimal(10), Decimal("0.1"), Decimal("1.25"), Decimal(2))
DEARER = Rates(Decimal(3), Decimal(30))


class Bounded(ScriptedModel):
    """A model that states its own bound on input: as many tokens as the message has bytes."""

    def input_bound_tokens(self, request: Request) -> int:
        return len(request.messages[0].text)


def claimed(price: Price | None, size: int = 1_000, *, closing: bool = False, **given: object):
    """Return the claim for a question of *size* bytes."""
    return claim_for(Bounded("haiku", []), Request([user("x" * size)], **given), price, closing=closing)


@pytest.mark.parametrize(
    ("caching", "input_usd"),
    [
        pytest.param(Caching(), "0.00125", id="usual-life"),
        pytest.param(Caching(prefix="1h"), "0.002", id="an-hour"),
        pytest.param(Caching(prefix=None, conversation=False), "0.00125", id="not-asked-for"),
    ],
)
def test_input_counts_at_the_rate_of_the_cache_write_that_may_happen(caching, input_usd) -> None:
    """Nobody knows beforehand what of it is read, written or neither; an unknown provider writes unasked."""
    claim = claimed(Price(RATES), max_output_tokens=100, caching=caching)
    assert (claim.input_tokens, claim.input_usd) == (1_000, Decimal(input_usd))
    assert (claim.max_output_tokens, claim.output_usd_per_token) == (100, Decimal("0.00001"))


@pytest.mark.parametrize("closing", [False, True], ids=["ordinary", "closing"])
@pytest.mark.parametrize(
    ("size", "input_usd", "output_usd"),
    [
        pytest.param(1_000, "0.00125", "0.00001", id="at-the-border"),
        pytest.param(1_001, "0.003003", "0.00003", id="past-it"),
    ],
)
def test_a_tier_counts_as_soon_as_the_bound_reaches_it(size, input_usd, output_usd, closing) -> None:
    """Input and output alike: the whole request would be billed at its rates."""
    claim = claimed(Price(RATES, (Tier(1_000, DEARER),)), size, closing=closing)
    assert claim.closing is closing
    assert (claim.input_usd, claim.output_usd_per_token) == (Decimal(input_usd), Decimal(output_usd))


def test_a_tier_that_is_cheaper_does_not_lower_the_bound() -> None:
    """The real input may stay below the border."""
    claim = claimed(Price(DEARER, (Tier(500, RATES),)))
    assert (claim.input_usd, claim.output_usd_per_token) == (Decimal("0.003"), Decimal("0.00003"))


def test_without_a_price_only_tokens_are_known() -> None:
    """Unknown is ``None``, never 0."""
    claim = claimed(None)
    assert (claim.input_usd, claim.output_usd_per_token, claim.input_tokens) == (None, None, 1_000)


@pytest.mark.parametrize(
    ("asked", "most", "least"),
    [
        pytest.param(None, DEFAULT_OUTPUT_TOKENS, LEAST_OUTPUT_TOKENS, id="nobody-chose"),
        pytest.param(2_000, 2_000, LEAST_OUTPUT_TOKENS, id="long"),
        pytest.param(LEAST_OUTPUT_TOKENS, LEAST_OUTPUT_TOKENS, LEAST_OUTPUT_TOKENS, id="at-the-least"),
        pytest.param(10, 10, 10, id="short"),
    ],
)
def test_an_answer_may_be_lowered_but_not_below_what_is_useful(asked, most, least) -> None:
    """Whoever asks for less than that gets just that."""
    claim = claimed(Price(RATES), max_output_tokens=asked)
    assert (claim.max_output_tokens, claim.least_output_tokens) == (most, least)
