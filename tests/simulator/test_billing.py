"""What a call costs, and what stands in the bill."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sunwell.errors import ConfigurationError
from sunwell.simulator import PRICES, Billing, ManualClock, ModelPrice, ModelRates, Prompt, piece

HAIKU = "claude-haiku-5-5"


def plain(tokens: int) -> Prompt:
    return Prompt((piece(tokens, "text"),))


@pytest.mark.parametrize(
    ("model", "tokens", "usd"),
    [
        pytest.param("claude-fable-5-2", 1_000, "0.048", id="fable"),
        pytest.param("claude-opus-5-5", 1_000, "0.024", id="opus"),
        pytest.param("claude-sonnet-5-5", 1_000, "0.012", id="sonnet"),
        pytest.param(HAIKU, 100_000, "0.0105", id="haiku-at-the-border"),
        pytest.param(HAIKU, 100_001, "0.0525005", id="haiku-above-the-border"),
        pytest.param("gpt-6.1-sol", 272_000, "0.69", id="sol-at-the-border"),
        pytest.param("gpt-6.1-sol", 272_001, "1.375005", id="sol-above-the-border"),
        pytest.param("gpt-6-luna", 272_000, "0.0345", id="luna-at-the-border"),
        pytest.param("gpt-6-luna", 272_001, "0.06875025", id="luna-above-the-border"),
    ],
)
def test_prices_on_both_sides_of_each_border(model, tokens, usd):
    """Above its border a tier holds for the whole request, output and cache writes included.

    1,000 tokens of output each; the input is written to the cache where that happens by itself.
    """
    bill = Billing()
    call = bill.begin("k", model, plain(tokens))
    call.generate(1_000)
    assert (call.usd, bill.total_usd()) == (Decimal(usd), Decimal(usd))


@pytest.mark.parametrize(
    ("mark", "first", "second"),
    [
        pytest.param(None, "0.0020", "0.0020", id="uncached"),
        pytest.param("5m", "0.0025", "0.0001", id="five-minutes"),
        pytest.param("1h", "0.0040", "0.0001", id="an-hour"),
    ],
)
def test_each_rate_of_the_cache(mark, first, second):
    """1,000 tokens on Sonnet at the rates for input, writes of both lives, and reads."""
    bill = Billing()
    calls = []
    for _ in range(2):
        calls.append(bill.begin("k", "claude-sonnet-5-5", Prompt((piece(1_000, "lens", mark=mark),))))
        calls[-1].begin_answer()
    assert [call.usd for call in calls] == [Decimal(first), Decimal(second)]


def test_hidden_input_is_billed_and_counts_towards_the_tier():
    """What a provider adds to a prompt is plain input, and can push a request over the border."""
    bill = Billing()
    call = bill.begin("k", HAIKU, plain(100_000), hidden_input_tokens=1)
    assert (call.split.input_tokens, call.usd) == (100_001, Decimal("0.0500005"))


def test_input_is_owed_at_once_and_output_as_it_is_generated():
    """A call that is cut owes its input and the output generated so far, no more."""
    bill = Billing()
    call = bill.begin("k", "claude-opus-5-5", plain(1_000))
    seen = [bill.total_usd()]
    call.generate(10)
    call.generate(30)
    call.generate(20)
    seen.append(bill.total_usd())
    call.end("cancelled")
    assert seen == [Decimal("0.004"), Decimal("0.0046")]
    (entry,) = bill.entries()
    assert (entry.output_tokens, entry.why, entry.usd) == (30, "cancelled", Decimal("0.0046"))


def test_nothing_is_generated_after_the_end():
    """A closed line of the bill does not grow, and its first end counts."""
    call = Billing().begin("k", HAIKU, plain(1))
    call.end("cut")
    call.end("answered")
    assert call.why == "cut"
    with pytest.raises(ValueError, match="has ended"):
        call.generate(1)


def test_a_model_without_a_price_is_refused():
    """An unknown price is not zero."""
    with pytest.raises(ConfigurationError, match="no price for 'nameless'"):
        Billing().begin("k", "nameless", plain(1))


def test_rates_are_exact():
    """A float is no rate: it would not be what it says."""
    with pytest.raises(TypeError, match="float"):
        ModelRates(0.1, 1)


def test_the_built_in_table_has_a_whole_set_of_rates():
    """Every model of the table has a cache and rates for reading and writing it."""
    for price in PRICES.values():
        for rates in (price.rates, *(tier for _, tier in price.tiers)):
            assert price.cache_rule != "none"
            assert rates.read_usd < rates.input_usd < rates.write_usd


@pytest.mark.parametrize(
    ("model", "tokens", "written"),
    [
        pytest.param("claude-opus-5-5", 511, 0, id="claude-below"),
        pytest.param("claude-opus-5-5", 512, 512, id="claude-at"),
        pytest.param("gpt-6-luna", 1023, 0, id="gpt-below"),
        pytest.param("gpt-6-luna", 1024, 1024, id="gpt-at"),
    ],
)
def test_the_least_prefix_of_the_built_in_models(model, tokens, written):
    """The least that is cached is 512 tokens on the Claude models and 1,024 on the GPT models."""
    prompt = Prompt((piece(tokens, "lens", mark="5m"),))
    assert Billing().begin("k", model, prompt).split.write_tokens == written


def test_accounts_and_models_are_apart():
    """The bill can be read by key and by model, and lists calls in the order of arrival."""
    clock = ManualClock(5.0)
    bill = Billing(clock=clock)
    for key, model in (("a", HAIKU), ("b", HAIKU), ("a", "claude-opus-5-5")):
        bill.begin(key, model, plain(1_000))
        clock.advance(1)
    got = [bill.total_usd("a"), bill.total_usd("a", HAIKU), bill.total_usd(model=HAIKU), bill.total_usd("c")]
    assert got == [Decimal("0.0041"), Decimal("0.0001"), Decimal("0.0002"), Decimal(0)]
    assert [(e.key, e.time, e.why) for e in bill.entries()] == [
        ("a", 5, "open"),
        ("b", 6, "open"),
        ("a", 7, "open"),
    ]
    assert bill.by_model("b")[HAIKU].calls == 1


RATE = st.decimals(min_value=0, max_value=100, places=4)
RATES = st.builds(ModelRates, RATE, RATE, st.none() | RATE, st.none() | RATE, st.none() | RATE)


@settings(max_examples=100, deadline=None)
@given(
    RATES,
    RATES,
    st.lists(
        st.tuples(
            st.sampled_from("ab"),
            st.integers(0, 400),
            st.sampled_from([None, "5m", "1h"]),
            st.integers(0, 99),
        ),
        max_size=8,
    ),
)
def test_the_total_is_the_sum_of_the_lines_at_their_own_rates(low, high, calls):
    """Whatever the rates, the running total is the exact sum over lines, each at one tier's rates."""
    bill = Billing({"m": ModelPrice(low, ((200, high),), "blocks", 50)}, ManualClock())
    expected = Decimal(0)
    for key, tokens, mark, output in calls:
        call = bill.begin(key, "m", Prompt((piece(tokens, "x" * (tokens % 3), mark=mark), piece(3, "tail"))))
        call.begin_answer()
        call.generate(output)
        call.end()
        rates, split = (high if tokens + 3 > 200 else low), call.split
        read, write, hour = (
            rates.input_usd if rate is None else rate
            for rate in (rates.read_usd, rates.write_usd, rates.write_1h_usd)
        )
        millionths = split.uncached_tokens * rates.input_usd + output * rates.output_usd
        millionths += split.read_tokens * read + split.write_tokens * write + split.write_1h_tokens * hour
        expected += millionths / 1_000_000
    assert bill.total_usd() == expected == sum((e.usd for e in bill.entries()), Decimal(0))
    assert sum((t.usd for t in bill.by_model().values()), Decimal(0)) == expected
