"""Which way costs least to a passed result: chances from few outcomes, and what they change besides."""

import contextlib
import json
from decimal import Decimal

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sunwell.agent.policy.pass_chances import PRIORS, PassCount, pass_chances
from sunwell.agent.policy.task_kinds import KINDS, TaskClass, read_class
from sunwell.agent.policy.way_choice import (
    WayOffer,
    are_enough,
    choose_way,
    harm_of_lenses,
    offers_of,
    redone_share,
    sized_by_outcomes,
)
from sunwell.core.price import OutputEstimate
from sunwell.memory.outcomes import WAYS, KnownOutcomes, Way, WorkOutcome

NAMES: dict[Way, str] = {"direct": "opus", "cheap": "haiku", "delegated": "haiku"}
USD: dict[Way, Decimal] = {
    "direct": Decimal("0.10"),
    "cheap": Decimal("0.02"),
    "delegated": Decimal("0.05"),
}


def made(way: Way, passed: bool, kind: str = "fix", **more: object) -> WorkOutcome:
    """Return one outcome of a way."""
    outcome = WorkOutcome(kind, way, NAMES[way], "", passed, None, 1.0, way == "delegated")
    return attrs.evolve(outcome, **more)


def known(**counts: tuple[int, int]) -> KnownOutcomes:
    """Return so many tries of each way on one kind, and passes among them."""
    found = KnownOutcomes()
    for way in WAYS:
        tries, passes = counts.get(way, (0, 0))
        for number in range(tries):
            found.add(made(way, number < passes))
    return found


def test_without_outcomes_the_priors_hold() -> None:
    """A little nearer to one half: the level of a way in this world is not known either."""
    chances = pass_chances([], "fix", WAYS)
    assert {way: round(one.chance, 1) for way, one in chances.items()} == {
        "direct": 0.8,
        "cheap": 0.7,
        "delegated": 0.7,
    }
    assert all(one.chance < PRIORS[way] for way, one in chances.items())
    assert not are_enough(offers_of(KnownOutcomes(), "fix", NAMES, USD))


def test_an_outcome_says_most_of_its_way_on_its_kind_and_something_of_the_rest() -> None:
    """Its way on other kinds, and other ways on its kind."""
    none = pass_chances([], "fix", WAYS)
    failed = [PassCount("fix", "cheap", 4, 0)]
    here, there = pass_chances(failed, "fix", WAYS), pass_chances(failed, "docs", WAYS)
    assert here["cheap"].chance < there["cheap"].chance < none["cheap"].chance
    assert here["direct"].chance < none["direct"].chance == pytest.approx(there["direct"].chance)
    assert here["cheap"].doubt < none["cheap"].doubt


COUNTS = st.lists(
    st.builds(
        lambda kind, way, tries, passes: PassCount(kind, way, tries, min(tries, passes)),
        st.sampled_from(["fix", "docs", "tests", "data"]),
        st.sampled_from(WAYS),
        st.integers(0, 60),
        st.integers(0, 60),
    ),
    max_size=12,
    unique_by=lambda one: (one.kind, one.way),
)


@given(COUNTS, st.sampled_from(WAYS))
def test_a_chance_is_one_and_more_passes_make_none_smaller(counts: list[PassCount], way: Way) -> None:
    """For any counts; and the same counts give the same chances in any order."""
    before = pass_chances(counts, "fix", WAYS)
    assert all(0 < one.chance < 1 and 0 <= one.doubt < 0.5 for one in before.values())
    assert pass_chances(list(reversed(counts)), "fix", WAYS)[way].chance == pytest.approx(
        before[way].chance, abs=1e-6
    )
    rest = [one for one in counts if (one.kind, one.way) != ("fix", way)]
    mine = next((one for one in counts if (one.kind, one.way) == ("fix", way)), PassCount("fix", way, 0, 0))
    better = PassCount("fix", way, mine.tries + 3, mine.passes + 3)
    assert pass_chances([*rest, better], "fix", WAYS)[way].chance > before[way].chance - 1e-3


@given(
    st.lists(st.tuples(st.floats(0.001, 1), st.floats(0.02, 0.98), st.floats(0, 0.3)), min_size=3, max_size=3)
)
def test_the_way_that_is_taken_costs_at_most_a_tenth_more_than_the_best(
    figures: list[tuple[float, float, float]],
) -> None:
    """Without exploring, none costs less; what does not pass is done again the direct way."""
    offers = [
        WayOffer(way, Decimal(str(usd)), chance, doubt)
        for way, (usd, chance, doubt) in zip(WAYS, figures, strict=True)
    ]
    again = float(offers[0].usd) / offers[0].chance
    costs = {one.way: float(one.usd) + (1 - one.chance) * again for one in offers}
    best, tried = choose_way(offers, offers[0], explores=False), choose_way(offers, offers[0])
    assert costs[best.offer.way] == pytest.approx(min(costs.values()))
    assert costs[tried.offer.way] <= 1.1 * min(costs.values()) + 1e-9
    assert tried.explores == (tried.offer != best.offer)


def test_outcomes_move_the_choice() -> None:
    """A cheap model that passes does it alone; one that fails does not; a lens that helps pays for itself."""

    def way_after(**counts: tuple[int, int]) -> Way:
        offers = offers_of(known(**counts), "fix", NAMES, USD)
        assert are_enough(offers)
        return choose_way(offers, offers[0]).offer.way

    assert way_after(cheap=(20, 19)) == "cheap"
    assert way_after(cheap=(30, 0), delegated=(20, 0), direct=(30, 30)) == "direct"
    assert way_after(cheap=(20, 8), delegated=(20, 19), direct=(10, 10)) == "delegated"


def test_what_tries_really_cost_counts() -> None:
    """In multiples of what the cost model says of the output that they took."""
    dearer = KnownOutcomes()
    for _ in range(20):
        more = {"cost_usd": Decimal("0.06"), "quoted_usd": Decimal("0.02"), "output_tokens": 10}
        dearer.add(made("cheap", True, **more))
    offers = {one.way: one.usd for one in offers_of(dearer, "fix", NAMES, USD)}
    assert offers["cheap"] == pytest.approx(Decimal("0.05"), abs=Decimal("0.01"))
    assert offers["direct"] == USD["direct"]


@pytest.mark.parametrize(
    ("counts", "than"),
    [
        ({"delegated": (14, 4), "cheap": (15, 12)}, "cheap"),
        ({"delegated": (14, 4), "direct": (15, 14)}, "direct"),
        ({"delegated": (14, 4), "cheap": (7, 7)}, None),
        ({"delegated": (14, 8), "cheap": (15, 11)}, None),
        ({"delegated": (15, 12), "cheap": (14, 4)}, None),
    ],
)
def test_harm_is_said_only_where_it_is_no_chance(
    counts: dict[str, tuple[int, int]], than: str | None
) -> None:
    """Eight outcomes on each side, and a difference that chance makes in at most one case of twenty."""
    harm = harm_of_lenses(known(**counts), "fix", NAMES)
    assert (None if harm is None else harm.than) == than
    if harm is not None:
        assert "under a lens passed 4 of 14 checks" in harm.sentence


def test_the_output_of_a_kind_corrects_what_its_words_let_expect() -> None:
    """From four outcomes on; the range is theirs, and it says so."""
    by_words = OutputEstimate(1_000, 500, 2_000, ("counted",))
    found = KnownOutcomes()
    for _ in range(3):
        found.add(made("cheap", True, output_tokens=3_000, expected_tokens=1_000))
    assert sized_by_outcomes(by_words, found, "fix") == by_words
    for _ in range(12):
        found.add(made("cheap", False, output_tokens=3_000, expected_tokens=1_000))
    sized = sized_by_outcomes(by_words, found, "fix")
    assert 2_200 < sized.expected_tokens < 3_000
    assert sized.low_tokens < sized.expected_tokens < sized.high_tokens
    assert sized.counted[0] == "counted"
    assert "15 checked tasks of this kind (fix) wrote about" in sized.counted[1]
    assert sized_by_outcomes(by_words, found, "docs") == by_words


def test_the_share_that_is_done_again_is_assumed_until_there_are_outcomes() -> None:
    """The assumption weighs as much as ten of them."""
    assert redone_share(KnownOutcomes(), "fix", "haiku", Decimal("0.1")) == (Decimal("0.1"), 0)
    assert redone_share(known(delegated=(10, 5)), "fix", "haiku", Decimal("0.1")) == (Decimal("0.300"), 10)


WHOLE = {"kind": "fix", "parts": 2, "output_tokens": 900, "needs_judgement": True, "probability": 0.8}


def test_what_a_classifier_says_is_read() -> None:
    """Also in a fence; the more judgement it takes, the better is the dearer way."""
    found = read_class(f"```json\n{json.dumps(WHOLE)}\n```")
    assert found == TaskClass("fix", 2, 900, True, 0.8)
    assert found.output.expected_tokens == 900
    plain = attrs.evolve(found, needs_judgement=False)
    assert plain.chances["cheap"] > found.chances["cheap"]
    assert found.chances["cheap"] < found.chances["delegated"] < found.chances["direct"]
    assert found.sentence == "fix, 2 parts, about 900 tokens, needs judgement (80% sure)"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.text(max_size=60)
    | st.builds(
        lambda more: json.dumps({**WHOLE, **more}),
        st.fixed_dictionaries({}, optional=dict.fromkeys(WHOLE, JSON)),
    )
)
def test_any_answer_is_a_class_or_one_clause(text: str) -> None:
    """Nothing that a model says breaks a run."""
    with contextlib.suppress(ValueError):
        found = read_class(text)
        assert found.kind in KINDS
        assert 0 <= found.judgement <= 1
        assert found.output.low_tokens <= found.output.high_tokens
