"""Bills: every call once, at its own price, for any part of the tree."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sunwell.budget import BilledCall, Tally
from sunwell.core.model import Usage
from sunwell.core.task import Total

spans = st.sampled_from(["run", "run/a", "run/a/b", "run/ab", "run/a%2Fb", "run/c/d/e"])
calls = st.builds(
    BilledCall,
    spans,
    st.integers(0, 3),
    st.sampled_from(["work", "lens", "check"]),
    st.sampled_from(["anthropic", "openai"]),
    st.sampled_from(["opus", "haiku", "luna"]),
)
amounts = st.tuples(calls, st.integers(0, 99), st.none() | st.decimals(0, 5, places=4), st.booleans())


def tally_of(entries):
    tally = Tally("2026-11")
    for call, tokens, usd, certain in entries:
        if certain:
            tally.add(call, Usage(tokens, 1), usd)
        else:
            tally.add_uncertain(call, tokens, usd)
    return tally


def sum_of(prices):
    return None if None in prices else sum(prices, Decimal(0))


@settings(max_examples=80, deadline=None)
@given(st.lists(amounts, max_size=25), spans)
def test_a_bill_is_the_sum_of_the_calls_at_and_below_its_span(entries, prefix):
    """Figures by model, provider, depth and purpose all add up to the same calls."""
    bill = tally_of(entries).bill(prefix)
    inside = [one for one in entries if one[0].span == prefix or one[0].span.startswith(prefix + "/")]
    answered = [one for one in inside if one[3]]
    uncertain = [one for one in inside if not one[3]]
    assert bill.calls == len(answered)
    assert bill.usage.input_tokens == sum(one[1] for one in answered)
    assert bill.cost_usd == sum_of([one[2] for one in answered])
    assert bill.uncertain_usd == sum_of([one[2] for one in uncertain])
    assert sum(line.uncertain_tokens for line in bill.models) == sum(one[1] for one in uncertain)
    for by in ("model", "provider", "depth", "purpose"):
        split = bill.split(by)
        assert [name for name, _ in split] == sorted({getattr(one[0], by) for one in inside})
        total = sum((total for _, total in split), Total())
        assert (total.calls, total.usage, total.cost_usd) == (bill.calls, bill.usage, bill.cost_usd)
        assert (total.uncertain_calls, total.uncertain_usd) == (len(uncertain), bill.uncertain_usd)


def test_a_bill_lists_models_by_name_and_splits_by_purpose():
    """One line for each model and provider; an unknown price is unknown and not zero."""
    tally = Tally("2026-11")
    tally.add(BilledCall("run", 0, "lens", "anthropic", "opus"), Usage(100, 10), Decimal(35))
    tally.add(BilledCall("run/w", 1, "work", "anthropic", "haiku"), Usage(50, 5), Decimal(4))
    tally.add(BilledCall("run/w/x", 2, "work", "anthropic", "haiku"), Usage(50, 5), Decimal(3))
    tally.add(BilledCall("run/v", 1, "check", "local", "gemma"), Usage(1, 1), None)
    tally.add_uncertain(BilledCall("run/v", 1, "work", "anthropic", "haiku"), 70, Decimal("0.5"))
    bill = tally.bill()
    assert [(line.model, line.provider, line.calls, line.cost_usd) for line in bill.models] == [
        ("gemma", "local", 1, None),
        ("haiku", "anthropic", 2, 7),
        ("opus", "anthropic", 1, 35),
    ]
    assert bill.by_purpose == (("check", None), ("lens", 35), ("work", 7))
    assert (bill.models[1].uncertain_calls, bill.models[1].uncertain_tokens) == (1, 70)
    assert (bill.cost_usd, bill.uncertain_usd, bill.price_date) == (None, Decimal("0.5"), "2026-11")
    assert [(depth, total.cost_usd) for depth, total in bill.split("depth")] == [(0, 35), (1, None), (2, 3)]


@pytest.mark.parametrize(
    ("prefix", "calls"),
    [("run", 3), ("run/a", 2), ("run/a/b", 1), ("run/ab", 1), ("run/x", 0)],
    ids=["all", "part", "leaf", "like-named", "empty"],
)
def test_a_part_is_billed_with_all_below_it_and_nothing_beside_it(prefix, calls):
    """run/a includes run/a/b, and not run/ab."""
    tally = Tally()
    for span in ("run/a", "run/a/b", "run/ab"):
        tally.add(BilledCall(span, 1, "work", "p", "m"), Usage(1, 1), Decimal(1))
    assert tally.bill(prefix).calls == calls
