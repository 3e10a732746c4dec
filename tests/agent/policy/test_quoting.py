"""What a task would cost either way, checked against sums done by hand."""

from decimal import Decimal

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sunwell.agent.policy.cost_model import Prices, Shape, quote
from sunwell.core.price import OutputEstimate, Price, Rates, Tier

D = Decimal
SMART = Price(Rates(D(10), D(50)), date="2026-11-01")
CHEAP = Price(Rates(D(1), D(5)), date="2026-10-01")
CACHED = Price(Rates(D(10), D(50), cache_read_usd=D(1), cache_write_usd=D(20)))
PLAIN = Shape(
    prompt_tokens=1_000,
    lens_input_tokens=3_000,
    lens_output_tokens=500,
    result_tokens=100,
    turns=2,
    redone_share=D(0),
    reasoning_share=D(0),
)
PAIR = Prices(SMART, SMART, CHEAP)
MILLION = D(1_000_000)


def test_the_direct_way_reads_its_history_again_in_every_turn():
    """Two turns of 200 tokens: 1,000 of input, then 1,000 + 200 + 100, and 400 of output."""
    assert quote(400, PAIR, PLAIN).direct.expected_usd == (2_300 * D(10) + 400 * D(50)) / MILLION


def test_the_delegated_way_is_the_lens_and_a_worker_that_reads_it_in_every_turn():
    """The lens is written at the smart price, and its 500 tokens stand in each prompt of the worker."""
    lens = 3_000 * D(10) + 500 * D(50)
    worker = (2_300 + 2 * 500) * D(1) + 400 * D(5)
    assert quote(400, PAIR, PLAIN).delegated.expected_usd == (lens + worker) / MILLION


def test_what_is_redone_is_paid_the_direct_way():
    """A tenth redone adds a tenth of the direct way, and nothing to the low figure."""
    redone = attrs.evolve(PLAIN, redone_share=D("0.1"))
    without, made = quote(400, PAIR, PLAIN), quote(400, PAIR, redone)
    assert made.delegated.expected_usd == without.delegated.expected_usd + D("0.1") * made.direct.expected_usd
    assert made.delegated.low_usd == without.delegated.low_usd


def test_history_is_read_from_a_cache_that_has_a_price():
    """The first turn writes its prompt to the cache, the second reads it and writes what is new."""
    shape = attrs.evolve(PLAIN, least_cacheable_tokens=1_000)
    made = quote(400, Prices(CACHED, CACHED, CHEAP), shape)
    written, read = 1_000 + 300, 1_000
    assert made.direct.expected_usd == (written * D(20) + read * D(1) + 400 * D(50)) / MILLION


def test_a_prompt_too_short_for_the_cache_costs_the_input_rate():
    """Below the least cacheable length nothing is written or read."""
    shape = attrs.evolve(PLAIN, least_cacheable_tokens=1_301)
    assert quote(400, Prices(CACHED, CACHED, CHEAP), shape).direct.expected_usd == D("0.043")


def test_siblings_read_the_prefix_that_the_first_worker_wrote():
    """Three workers of one turn each: one writes prompt and lens to the cache, two read them."""
    cheap = Price(Rates(D(1), D(5), cache_read_usd=D("0.1"), cache_write_usd=D(2)))
    shape = attrs.evolve(PLAIN, workers=3, turns=3)
    lens = 3_000 * D(10) + 500 * D(50)
    work = 1_500 * D(2) + 2 * 1_500 * D("0.1") + 3 * 100 * D(5)
    assert quote(300, Prices(SMART, SMART, cheap), shape).delegated.expected_usd == (lens + work) / MILLION


def test_a_tier_prices_each_turn_by_its_own_length():
    """Only the turn whose input passes the tier's limit costs the tier's rate."""
    tiered = Price(Rates(D(10), D(50)), (Tier(1_200, Rates(D(20), D(50))),))
    made = quote(400, Prices(tiered, tiered, CHEAP), PLAIN)
    assert made.direct.expected_usd == (1_000 * D(10) + 1_300 * D(20) + 400 * D(50)) / MILLION


def test_the_smart_model_alone_at_low_effort_does_without_reasoning():
    """Reasoning adds its share to the direct way, not to the low-effort one."""
    made = quote(400, PAIR, attrs.evolve(PLAIN, reasoning_share=D("0.5")))
    (alternative,) = made.alternatives
    assert alternative.name == "smart-low-effort"
    assert alternative.expected_usd == (2_300 * D(10) + 400 * D(50)) / MILLION
    assert made.direct.expected_usd == (2_400 * D(10) + 600 * D(50)) / MILLION


def test_the_worst_case_is_every_turn_full_and_nothing_cached():
    """Two turns of 50 tokens with results of 10: 1,000 and 1,060 of input at the dearest rate."""
    shape = attrs.evolve(PLAIN, max_turns=2, max_output_tokens=50, max_result_tokens=10)
    made = quote(400, Prices(CACHED, CACHED, CHEAP), shape)
    assert made.direct.worst_usd == (2_060 * D(20) + 100 * D(50)) / MILLION


def test_the_worst_case_knows_the_context_window():
    """No call reads more than the model can hold."""
    small = attrs.evolve(SMART, context_window=1_030)
    shape = attrs.evolve(PLAIN, max_turns=2, max_output_tokens=50, max_result_tokens=10)
    assert (
        quote(400, Prices(small, small, CHEAP), shape).direct.worst_usd
        == ((1_000 + 1_030) * D(10) + 100 * D(50)) / MILLION
    )


@pytest.mark.parametrize(
    ("prices", "known"),
    [
        pytest.param(
            Prices(SMART, SMART, CHEAP), {"delegated", "direct", "smart-low-effort", "cheap"}, id="all"
        ),
        pytest.param(Prices(None, SMART, CHEAP), {"direct", "cheap"}, id="no-smart"),
        pytest.param(Prices(SMART, None, CHEAP), {"smart-low-effort", "cheap"}, id="no-own"),
        pytest.param(Prices(SMART, SMART, None), {"direct", "smart-low-effort"}, id="no-delegation"),
        pytest.param(Prices(None, None, None), set(), id="none"),
    ],
)
def test_an_unknown_price_is_unknown_and_not_zero(prices: Prices, known: set[str]):
    """A side that needs a price nobody knows has no figure, and the quote says which price is missing."""
    made = quote(5_000, prices)
    assert made.cheap is not None
    sides = (made.delegated, made.direct, *made.alternatives, made.cheap)
    assert {side.name for side in sides if side.expected_usd is not None} == known
    missing = sum(1 for price in attrs.astuple(prices, recurse=False) if price is None)
    assert sum("price of the" in sentence for sentence in made.assumptions) == missing


def test_a_quote_carries_the_date_of_the_oldest_price():
    """Figures are as old as the oldest of the prices in them."""
    assert quote(5_000, PAIR).price_date == "2026-10-01"


def test_the_lens_goes_off_the_budget_with_input_and_output():
    """What the lens takes of a token budget is all that the smart model reads and writes for it."""
    assert quote(400, PAIR, PLAIN).lens_tokens == 3_500


def test_assumptions_are_sentences_with_the_figures():
    """Whoever reads the quote can see what it rests on."""
    made = quote(400, PAIR, PLAIN)
    assert made.assumptions[0] == (
        "The task takes 400 tokens of output (200 to 800) in 2 turns, and 0% more for reasoning."
    )
    assert all(sentence.endswith(".") for sentence in made.assumptions)


def test_delegation_pays_for_the_rfcs_example_and_not_for_a_typo():
    """At a price gap of ten to one 15,000 tokens are worth a lens, and 100 are not."""
    assert not quote(15_000, PAIR).delegation_is_dearer
    assert quote(100, PAIR).delegation_is_dearer


def test_low_and_high_are_the_ends_of_the_range():
    """Low: 400 tokens in one turn; high: 4,000 in as many turns as are set. Expected does not move."""
    made = quote(OutputEstimate(1_000, 400, 4_000), PAIR, PLAIN).direct
    assert made.low_usd == (1_000 * D(10) + 400 * D(50)) / MILLION
    assert made.expected_usd == ((2_000 + 500 + 100) * D(10) + 1_000 * D(50)) / MILLION
    assert made.high_usd == ((2_000 + 2_000 + 100) * D(10) + 4_000 * D(50)) / MILLION


def test_a_number_without_a_range_gets_one_from_half_to_twice():
    """The quote says that this range is assumed, and its figures are those of that range."""
    made = quote(1_000, PAIR)
    assert made.output == OutputEstimate.around(1_000)
    assert (made.output.low_tokens, made.output.high_tokens) == (500, 2_000)
    assert made.output.unknown == ("no range is given: from half to twice the number is assumed",)


def test_a_wider_range_moves_the_ends_and_neither_expected_nor_worst():
    """Worst is a bound under the limits of the run; it does not depend on an estimate."""
    narrow = quote(OutputEstimate(5_000, 4_000, 6_000), PAIR)
    wide = quote(OutputEstimate(5_000, 1_000, 25_000), PAIR)
    for one, other in ((narrow.delegated, wide.delegated), (narrow.direct, wide.direct)):
        assert other.low_usd < one.low_usd
        assert (other.expected_usd, other.worst_usd) == (one.expected_usd, one.worst_usd)
        assert other.high_usd > one.high_usd


@st.composite
def ranges(draw: st.DrawFn) -> OutputEstimate:
    low, expected, high = sorted(draw(st.lists(st.integers(0, 5_000_000), min_size=3, max_size=3)))
    return OutputEstimate(expected, low, high)


TIERED = Price(Rates(D(1), D(5), D("0.1"), D(2)), (Tier(20_000, Rates(D(9), D(50), D(4), D(20))),))


@given(
    output=st.integers(0, 5_000_000) | ranges(),
    turns=st.integers(1, 60) | st.none(),
    workers=st.integers(1, 20),
    prices=st.sampled_from([PAIR, Prices(TIERED, TIERED, TIERED)]),
)
def test_low_expected_high_and_worst_are_in_order(output, turns: int | None, workers: int, prices: Prices):
    """On every side low is at most expected, that at most high, and that at most the worst."""
    made = quote(output, prices, Shape(turns=turns, workers=workers))
    for side in (made.delegated, made.direct, *made.alternatives, made.cheap):
        assert 0 <= side.low_usd <= side.expected_usd <= side.high_usd <= side.worst_usd


def test_a_negative_estimate_is_an_error():
    """A negative number of tokens is a mistake of the caller."""
    with pytest.raises(ValueError, match="negative"):
        quote(-1, PAIR)


@pytest.mark.parametrize("wrong", [{"turns": 0}, {"workers": 0}, {"prompt_tokens": -1}, {"max_turns": 0}])
def test_an_impossible_shape_is_an_error(wrong: dict[str, int]):
    """Work has at least one worker and one turn."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Shape(**wrong)
