"""The test of a lens: what pairs decide, when, and that neither their order nor that of a file matters."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sunwell.agent.policy.lens_trial import GROUP, MOST_PAIRS, LensPair, LensTrial, paired_places

BETTER, WORSE = LensPair(True, False), LensPair(False, True)
BOTH, NEITHER, UNKNOWN = LensPair(True, True), LensPair(False, False), LensPair(None, True)
DEAR = LensPair(True, True, Decimal(3), Decimal(2))
PAIRS = st.sampled_from([BETTER, WORSE, BOTH, NEITHER, UNKNOWN, LensPair(False, None), DEAR])


def trial(*pairs: LensPair) -> LensTrial:
    """Return the trial of *pairs*."""
    return LensTrial().plus(pairs)


@pytest.mark.parametrize(
    ("pairs", "finding"),
    [
        pytest.param([WORSE] * 3 + [BOTH], "harms", id="three-of-four"),
        pytest.param([BETTER] * 3 + [NEITHER], "helps", id="three-of-four-better"),
        pytest.param([WORSE] * 2 + [BOTH] * 2, None, id="two-of-four-may-be-chance"),
        pytest.param([WORSE] * 2 + [BOTH] * 6, "harms", id="two-of-eight"),
        pytest.param([WORSE] * 4, "harms", id="four-of-four"),
        pytest.param([WORSE] * 3, None, id="not-between-looks"),
        pytest.param([BOTH] * 8 + [WORSE, WORSE, BOTH], None, id="not-between-later-looks"),
        pytest.param([BETTER, WORSE] * 10, "no gain", id="as-many-worse"),
        pytest.param([BETTER] + [BOTH] * 19, "no harm", id="one-better"),
        pytest.param([WORSE] + [BOTH] * 19, "no gain", id="one-worse"),
        pytest.param([BOTH] * 18 + [WORSE] * 2, "harms", id="at-the-last-pair"),
        pytest.param([BOTH] * 18 + [BETTER] * 2, "helps", id="at-the-last-pair-better"),
        pytest.param([UNKNOWN] * 4, None, id="nothing-known-yet"),
        pytest.param([UNKNOWN] * 8, "undecided", id="nothing-known"),
        pytest.param([UNKNOWN] * 7 + [BOTH], None, id="one-known"),
        pytest.param([UNKNOWN] * 19 + [BOTH], "undecided", id="one-known-of-all"),
        pytest.param([BOTH] * 9 + [UNKNOWN] * 11, "undecided", id="nine-known-of-all"),
        pytest.param([BOTH] * 10 + [UNKNOWN] * 10, "no gain", id="half-known"),
        pytest.param([UNKNOWN] * 6 + [WORSE] * 2, None, id="two-of-two-known-may-be-chance"),
        pytest.param([UNKNOWN] * 5 + [WORSE] * 3, "harms", id="three-of-three-known"),
        pytest.param([UNKNOWN] * 3 + [BOTH] * 3 + [WORSE] * 2, "harms", id="two-of-five-known"),
    ],
)
def test_pairs_decide(pairs: list[LensPair], finding: str | None) -> None:
    """Only those of which one run passed and the other did not, and only at a look."""
    assert trial(*pairs).finding == finding


@pytest.mark.parametrize(
    ("pairs", "is_withheld"),
    [
        pytest.param([DEAR] * 20, True, id="costs-more-without-a-gain"),
        pytest.param([BOTH] * 20, False, id="costs-the-same"),
        pytest.param([LensPair(True, True, Decimal(1), Decimal(2))] * 20, False, id="costs-less"),
        pytest.param([DEAR] * 19 + [BETTER], False, id="costs-more-and-one-is-better"),
        pytest.param([WORSE] * 4, True, id="harms"),
        pytest.param([LensPair(False, True, Decimal(1), Decimal(9))] * 4, True, id="harms-for-less"),
        pytest.param([BETTER] * 4, False, id="helps"),
        pytest.param([DEAR] * 8, False, id="undecided"),
        pytest.param([LensPair(None, True, Decimal(9), Decimal(1))] * 20, False, id="cost-of-broken-runs"),
        pytest.param([UNKNOWN] * 7 + [DEAR] + [UNKNOWN] * 12, False, id="costs-more-in-the-one-known"),
    ],
)
def test_a_lens_is_withheld_that_harms_or_costs_more_without_a_gain(
    pairs: list[LensPair], is_withheld: bool
) -> None:
    """What runs used that broke off says nothing of what they would have cost."""
    assert trial(*pairs).is_withheld is is_withheld


@pytest.mark.parametrize(
    ("pairs", "finding", "is_withheld"),
    [
        ([UNKNOWN] * 12, None, False),
        ([UNKNOWN] * 20, "no gain", False),
        ([UNKNOWN] * 7 + [DEAR] + [UNKNOWN] * 12, "no gain", True),
        ([UNKNOWN] * 6 + [WORSE] * 2, "harms", True),
    ],
)
def test_a_run_that_began_by_the_older_rule_goes_on_by_it(
    pairs: list[LensPair], finding: str | None, is_withheld: bool
) -> None:
    """An unknown pair counts as an equal one there: what it has acted on stays."""
    found = LensTrial(counts_unknown=True).plus(pairs)
    assert (found.finding, found.is_withheld) == (finding, is_withheld)


@given(st.lists(PAIRS, max_size=MOST_PAIRS), st.randoms())
def test_the_order_within_a_group_changes_nothing(pairs: list[LensPair], chance) -> None:
    """Runs of a group go on side by side, and any of them may end first."""
    shuffled = []
    for start in range(0, len(pairs), GROUP):
        group = pairs[start : start + GROUP]
        if len(group) == GROUP:  # a group that is not complete is not looked at
            chance.shuffle(group)
        shuffled += group
    one, other = trial(*pairs), trial(*shuffled)
    assert (one.finding, one.is_withheld) == (other.finding, other.is_withheld)


@given(st.lists(PAIRS, max_size=MOST_PAIRS), PAIRS)
def test_a_finding_stays(pairs: list[LensPair], more: LensPair) -> None:
    """Pairs that come after it change nothing, and there is one after the last pair."""
    before = trial(*pairs).finding
    if before is not None:
        assert trial(*pairs, more).finding == before
    assert (trial(*pairs, *[BOTH] * (MOST_PAIRS - len(pairs))).finding) is not None


@given(st.lists(PAIRS, max_size=MOST_PAIRS))
def test_the_mirror_of_a_harm_is_a_help(pairs: list[LensPair]) -> None:
    """No bound favours one of the two, but that no gain is none."""
    mirrored = trial(*(LensPair(pair.without, pair.with_lens) for pair in pairs))
    names = {"helps": "harms", "harms": "helps", "undecided": "undecided", None: None}
    found = trial(*pairs).finding
    if found in names:
        assert mirrored.finding == names[found]
    else:
        assert {found, mirrored.finding} <= {"no harm", "no gain"}


@given(st.lists(PAIRS, max_size=MOST_PAIRS))
def test_counts_add_up(pairs: list[LensPair]) -> None:
    """Each pair is better, worse, unknown or alike."""
    found = trial(*pairs)
    alike = sum(pair.is_known and pair.with_lens == pair.without for pair in pairs)
    assert found.better + found.worse + found.unknown + alike == len(pairs)


@given(st.lists(st.text(max_size=5), unique=True, min_size=1, max_size=60), st.randoms())
def test_the_same_items_are_paired_in_the_same_order_however_a_file_is_sorted(
    items: list[str], chance
) -> None:
    """And no item twice."""
    places = paired_places(items)
    assert len(set(places)) == len(places) == min(len(items), MOST_PAIRS)
    sorted_otherwise = list(items)
    chance.shuffle(sorted_otherwise)
    others = paired_places(sorted_otherwise)
    assert [items[place] for place in places] == [sorted_otherwise[place] for place in others]


def test_equal_items_are_paired_in_their_own_order() -> None:
    """Each of them is an item."""
    assert paired_places(["same"] * 30) == tuple(range(MOST_PAIRS))
