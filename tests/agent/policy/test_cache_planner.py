"""The planner by itself: numbers in, the cheapest way out, on both sides of every boundary."""

from decimal import Decimal
from typing import Any

import pytest

from sunwell.agent.policy.cache_planner import USD_PER_WAITING_SECOND, Siblings, end_pays, plan
from sunwell.core import Price, Rates

PRICE = Price(Rates(Decimal(1), Decimal(5), Decimal("0.1"), Decimal("1.25"), Decimal(2)))
DEAR = Price(Rates(Decimal(5), Decimal(25), Decimal("0.5"), Decimal("6.25"), Decimal(10)))
FREE = Price(Rates(Decimal(0), Decimal(0)))
USUAL: dict[str, Any] = {"workers": 10, "prefix_tokens": 2_000, "least_cacheable_tokens": 512, "price": PRICE}


@pytest.mark.parametrize(
    ("given", "choice"),
    [
        pytest.param({}, "after-first", id="usual"),
        pytest.param({"workers": 1}, "uncached", id="one-call"),
        pytest.param({"workers": 1, "calls_per_worker": 2}, "at-once", id="one-worker-with-turns"),
        pytest.param({"workers": 2}, "after-first", id="two"),
        pytest.param({"at_once": 1}, "at-once", id="one-slot-needs-no-gate"),
        pytest.param({"prefix_tokens": 0}, "uncached", id="no-prefix"),
        pytest.param({"prefix_tokens": 365}, "uncached", id="surely-too-short"),
        pytest.param({"prefix_tokens": 366}, "after-first", id="perhaps-long-enough"),
        pytest.param({"prefix_tokens": 511, "is_estimated": False}, "uncached", id="counted-too-short"),
        pytest.param({"prefix_tokens": 512, "is_estimated": False}, "after-first", id="counted-long-enough"),
        pytest.param({"prefix_tokens": 300, "may_pad": True}, "padded", id="padding-pays"),
        pytest.param({"prefix_tokens": 40, "may_pad": True}, "uncached", id="padding-does-not-pay"),
        pytest.param({"longest_hold_seconds": 2.0}, "after-first", id="hold-within-the-limit"),
        pytest.param({"longest_hold_seconds": 1.9}, "at-once", id="hold-beyond-the-limit"),
        pytest.param(
            {"first_heard_seconds": 30.0, "longest_hold_seconds": 5.0}, "pre-warm", id="heard-of-too-late"
        ),
        pytest.param({"call_seconds": 299.0}, "after-first", id="read-in-time"),
        pytest.param({"call_seconds": 302.0}, "after-first-1h", id="read-too-late-for-the-short-life"),
        pytest.param({"call_seconds": 302.0, "at_once": 10}, "after-first", id="none-begins-later"),
        pytest.param({"call_seconds": 1_799.0, "life_seconds": 1_800.0}, "after-first", id="a-longer-life"),
        pytest.param({"call_seconds": 3_602.0, "at_once": 1}, "uncached", id="read-too-late-for-any"),
        pytest.param(
            {"call_seconds": 302.0, "workers": 100, "has_long_life": False},
            "after-first",
            id="no-long-life-on-offer",
        ),
        pytest.param({"is_warm": True}, "at-once", id="in-the-cache-already"),
        pytest.param({"is_warm": True, "workers": 1}, "at-once", id="one-call-that-can-read"),
        pytest.param({"prefix_tokens": 400, "may_pad": True}, "padded", id="rather-padded-than-doubtful"),
        pytest.param({"price": None}, "after-first", id="price-unknown"),
        pytest.param({"first_answer_seconds": 13.5}, "after-first", id="the-wait-is-worth-it"),
        pytest.param({"first_answer_seconds": 14.0}, "at-once", id="the-wait-is-not-worth-it"),
        pytest.param({"first_answer_seconds": 14.0, "price": None}, "at-once", id="not-at-an-assumed-price"),
        pytest.param({"first_answer_seconds": 14.0, "price": DEAR}, "after-first", id="at-a-dearer-price"),
        pytest.param({"first_answer_seconds": 1.0, "price": FREE}, "uncached", id="for-nothing-nobody-waits"),
        pytest.param({"workers": 100, "at_once": 5, "first_answer_seconds": 18.0}, "after-first", id="many"),
        pytest.param({"workers": 100, "at_once": 5, "first_answer_seconds": 19.0}, "at-once", id="too-long"),
        pytest.param(
            {"workers": 101, "at_once": 5, "first_answer_seconds": 19.0}, "after-first", id="nobody-late"
        ),
    ],
)
def test_the_cheapest_way_is_chosen(given: dict[str, Any], choice: str) -> None:
    """Of equally cheap ways the one that holds up least; beyond the longest hold, the next cheapest."""
    made = plan(Siblings(**USUAL | given))
    assert made.choice == choice
    assert made.choice in {way.choice for way in made.ways}
    assert made.ways[0].weighed_usd == min(way.weighed_usd for way in made.ways)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        pytest.param({}, "the cheapest at $0.004300 for the shared prefix: waiting 2 s saves $0.0069; "),
        pytest.param(
            {"workers": 2, "prefix_tokens": 200, "least_cacheable_tokens": 200, "first_answer_seconds": 16.0,
             "calls_per_worker": 6},
            "at-once is chosen at $0.000700 for the shared prefix: waiting 16 s would save only $0.0002",
        ),
        pytest.param({"at_once": 1}, "at-once is the cheapest at $0.004300 for the shared prefix; "),
        pytest.param(
            {"first_answer_seconds": 99.0, "price": None},
            "waiting 99 s would save only $0.0069 at an assumed $1 per million tokens",
        ),
        pytest.param({"price": PRICE, "prefix_tokens": 0}, "there is no prefix to share"),
    ],
    ids=["worth-it", "not-worth-it", "nobody-waits", "price-assumed", "nothing-shared"],
)  # fmt: skip
def test_the_reason_says_what_waiting_saves(given: dict[str, Any], words: str) -> None:
    """In seconds and dollars, whether it is done or not; nothing where nobody is late."""
    assert words in plan(Siblings(**USUAL | given)).reason


@pytest.mark.parametrize("seconds", [0.5, 2.0, 5.0])
@pytest.mark.parametrize("workers", [2, 5, 6, 99, 100, 101])
def test_siblings_are_late_once_however_many_there_are(workers: int, seconds: float) -> None:
    """By the hold; or not at all, if the first one's slot does the last sibling anyway."""
    made = plan(Siblings(**USUAL | {"workers": workers, "at_once": 5, "first_answer_seconds": seconds}))
    late = {way.choice: way.late_seconds for way in made.ways}
    assert late["after-first"] == (0.0 if workers % 5 == 1 else seconds)
    assert (late["at-once"], late["pre-warm"]) == (0.0, seconds)
    weighed = {way.choice: way.weighed_usd - way.input_usd for way in made.ways}
    assert weighed["pre-warm"] == Decimal(str(seconds)) * USD_PER_WAITING_SECOND


def test_a_way_that_is_asked_for_is_taken_however_long_it_takes() -> None:
    """The time is weighed only where the planner chooses."""
    assert plan(Siblings(**USUAL | {"first_answer_seconds": 99.0}), "after-first").choice == "after-first"


def test_figures_are_those_of_the_formula() -> None:
    """One write and nine reads of 2,000 tokens; without a price no amount is told."""
    made = plan(Siblings(**USUAL))
    assert made.input_usd == Decimal(2_000) * (Decimal("1.25") + 9 * Decimal("0.1")) / 1_000_000
    assert made.waits
    assert plan(Siblings(**USUAL | {"price": None})).input_usd is None
    assert plan(Siblings(**USUAL | {"prefix_tokens": 300, "may_pad": True})).pad_tokens == 265


@pytest.mark.parametrize(
    ("finished", "done", "pays"),
    [
        pytest.param((), 0, True, id="nothing-known"),
        pytest.param((1, 1, 1), 0, False, id="one-turn"),
        pytest.param((5, 6, 7), 0, True, id="many-turns"),
        pytest.param((5, 5, 5), 4, False, id="last-turn"),
        pytest.param((5, 5, 5), 9, True, id="longer-than-any"),
        pytest.param((1, 1, 1, 2), 0, False, id="too-seldom"),
        pytest.param((1, 1, 2), 0, True, id="often-enough"),
    ],
)
def test_the_end_of_a_conversation_is_written_if_a_further_turn_is_likely(finished, done, pays) -> None:
    """A write costs a quarter more and a read saves nine tenths: more than one in four must go on."""
    assert end_pays(finished, done) is pays
