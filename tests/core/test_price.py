"""What usage costs: exact, at the rates of the tier that the whole request falls into."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sunwell.core import Price, Rates, Tier, Usage

LOW = Rates(Decimal("0.10"), Decimal("0.50"), Decimal("0.01"), Decimal("0.125"), Decimal("0.20"))
MIDDLE = Rates(Decimal("0.50"), Decimal("2.50"), Decimal("0.05"), Decimal("0.625"), Decimal(1))
HIGH = Rates(Decimal("0.40"), Decimal(5))
PRICE = Price(LOW, (Tier(100_000, MIDDLE), Tier(200_000, HIGH)))


@pytest.mark.parametrize(
    ("usage", "usd"),
    [
        pytest.param(Usage(), "0", id="nothing"),
        pytest.param(Usage(1_000_000, 0), "4", id="input"),
        pytest.param(Usage(0, 1_000_000), "20", id="output"),
        pytest.param(Usage(1_000_000, 0, cache_read_tokens=1_000_000), "0.20", id="all-read"),
        pytest.param(Usage(1_000_000, 0, cache_write_tokens=1_000_000), "5", id="all-written"),
        pytest.param(Usage(1_000_000, 0, cache_write_1h_tokens=1_000_000), "8", id="written-for-an-hour"),
        pytest.param(Usage(10, 1, 2, 3, 4, reasoning_tokens=1), "0.0000714", id="mixed"),
        pytest.param(Usage(1, 0), "0.000004", id="one-token"),
    ],
)
def test_each_kind_of_token_has_its_rate(usage, usd):
    """Uncached input, cache reads, both kinds of cache writes and output each cost their own rate."""
    opus = Price(Rates(Decimal(4), Decimal(20), Decimal("0.20"), Decimal(5), Decimal(8)))
    assert opus.cost_usd(usage) == Decimal(usd)


def test_a_cache_rate_that_is_not_there():
    """Without a rate of their own, cached tokens cost what input costs."""
    plain = Price(Rates(Decimal(4), Decimal(20)))
    assert plain.cost_usd(Usage(9, 0, 2, 3, 4)) == plain.cost_usd(Usage(9, 0))


@pytest.mark.parametrize(
    ("input_tokens", "rates"),
    [
        (0, LOW), (100_000, LOW), (100_001, MIDDLE), (200_000, MIDDLE), (200_001, HIGH), (10**9, HIGH),
    ],
)  # fmt: skip
def test_a_tier_holds_for_the_whole_request(input_tokens, rates):
    """Just above a bound, every token of the request costs the tier's rate; at the bound none does."""
    usage = Usage(input_tokens, 1_000)
    assert PRICE.rates_for(input_tokens) is rates
    assert PRICE.cost_usd(usage) == rates.cost_usd(usage)


def test_cached_input_counts_for_the_tier():
    """What was read from a cache is input too when the tier is chosen."""
    assert PRICE.cost_usd(Usage(100_001, 0, cache_read_tokens=100_001)) == Decimal("0.00500005")
    assert PRICE.cost_usd(Usage(100_000, 0, cache_read_tokens=100_000)) == Decimal("0.001")


@pytest.mark.parametrize(
    ("written", "worst"),
    [
        pytest.param("1h", "0.20", id="an-hour"),
        pytest.param("5m", "0.125", id="usual-life"),
        pytest.param(None, "0.10", id="nothing"),
    ],
)
def test_the_worst_input_rate_is_that_of_the_cache_write_that_may_happen(written, worst):
    """A write that a request cannot cause costs nothing."""
    assert PRICE.worst_rates(0, written=written) == (Decimal(worst), Decimal("0.50"))


@pytest.mark.parametrize(
    ("input_tokens", "worst"),
    [
        (0, ("0.20", "0.50")),
        (100_000, ("0.20", "0.50")),
        (100_001, ("1", "2.50")),
        (200_000, ("1", "2.50")),
        (200_001, ("1", "5")),
    ],
)
def test_the_worst_rates_cover_shorter_requests_too(input_tokens, worst):
    """A bound on the input may be too long: the dearest of all tiers up to it holds, writes included."""
    assert PRICE.worst_rates(input_tokens) == tuple(map(Decimal, worst))


@pytest.mark.parametrize("wrong", ["-0.01", "NaN", "Infinity"])
@pytest.mark.parametrize("field", ["input_usd", "output_usd", "cache_read_usd", "cache_write_1h_usd"])
def test_a_rate_is_zero_or_more(field, wrong):
    """A rate that is negative or no number is refused: it would let a budget be overspent."""
    rates = {"input_usd": Decimal(1), "output_usd": Decimal(1), field: Decimal(wrong)}
    with pytest.raises(ValueError, match=f"{field} must be 0 or more dollars, got {wrong}"):
        Rates(**rates)


@pytest.mark.parametrize("bounds", [(200_000, 100_000), (5, 5)], ids=["falling", "twice-the-same"])
def test_tiers_ascend(bounds):
    """Tiers out of order would give the wrong rates, so they are refused."""
    with pytest.raises(ValueError, match="tiers must be sorted"):
        Price(LOW, tuple(Tier(bound, HIGH) for bound in bounds))


counts = st.integers(0, 10_000_000)
money = st.decimals(0, 1_000, places=4)
rates = st.builds(Rates, money, money, st.none() | money, st.none() | money, st.none() | money)


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    plain, read, written, hour, out = (draw(counts) for _ in range(5))
    return Usage(plain + read + written + hour, out, read, written, hour)


@given(rates, usages(), usages())
def test_cost_adds_up(rates, one, other):
    """At the same rates, usage of two requests costs the sum of both, to the last digit."""
    assert rates.cost_usd(one + other) == rates.cost_usd(one) + rates.cost_usd(other)


@given(rates, rates, usages(), counts, counts)
def test_the_worst_rates_bound_every_bill(low, high, usage, bound, slack):
    """No usage within a bound on the input costs more than the worst rates of that bound say."""
    price = Price(low, (Tier(bound, high),))
    input_usd, output_usd = price.worst_rates(usage.input_tokens + slack)
    worst = (usage.input_tokens * input_usd + usage.output_tokens * output_usd) / 1_000_000
    assert 0 <= price.cost_usd(usage) <= worst


@given(rates, usages(), st.sampled_from([None, "5m", "1h"]))
def test_the_worst_rates_bound_every_bill_with_the_writes_that_they_allow(low, usage, written):
    """Without a cache write, or with one of the usual life, the rates of the others do not matter."""
    hour = usage.cache_write_1h_tokens if written == "1h" else 0
    short = usage.cache_write_tokens if written else 0
    left_out = usage.cache_write_1h_tokens - hour + usage.cache_write_tokens - short
    possible = Usage(usage.input_tokens - left_out, usage.output_tokens, usage.cache_read_tokens, short, hour)
    price = Price(low)
    input_usd, output_usd = price.worst_rates(possible.input_tokens, written=written)
    worst = (possible.input_tokens * input_usd + possible.output_tokens * output_usd) / 1_000_000
    assert price.cost_usd(possible) <= worst
