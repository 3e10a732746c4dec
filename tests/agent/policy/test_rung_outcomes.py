"""What is known of each rung: the nearest outcomes first, and a prior from those further off."""

from decimal import Decimal

import pytest

from sunwell.agent.policy.ladder import Attempt, Rung, next_step
from sunwell.agent.policy.rung_outcomes import DEFAULT_PRIORS, after_of, rungs_with
from sunwell.memory.outcomes import KnownOutcomes, WorkOutcome

LADDER = (
    Rung("cheap", "haiku", Decimal("0.01"), prior=DEFAULT_PRIORS["cheap"]),
    Rung("cheap_again", "haiku", Decimal("0.01"), prior=DEFAULT_PRIORS["cheap_again"]),
    Rung("smart", "opus", Decimal("0.20"), prior=DEFAULT_PRIORS["smart"]),
)
FAILED = [Attempt("cheap", False, Decimal("0.01"))]


def known_of(*tries: tuple[str, str, str, bool | None], times: int = 1) -> KnownOutcomes:
    """Return outcomes, each as kind, rung, what failed before and whether it passed, so many times."""
    models = {rung.name: rung.model for rung in LADDER}
    known = KnownOutcomes()
    for kind, rung, after, passed in tries * times:
        known.add(WorkOutcome(kind, rung, models[rung], after, passed, None, 0.0))
    return known


def by_name(known: KnownOutcomes, kind: str, attempts: list[Attempt]) -> dict[str, Rung]:
    """Return the rungs as they are known, by name."""
    return {rung.name: rung for rung in rungs_with(known, kind, LADDER, attempts)}


def test_what_failed_before_is_one_text_with_models() -> None:
    """An undecided attempt has not failed."""
    unsure = Attempt("cheap_again", None, Decimal("0.01"))
    assert after_of(LADDER, []) == ""
    assert after_of(LADDER, [*FAILED, unsure]) == "cheap:haiku"
    again = Attempt("cheap_again", False, Decimal("0.01"))
    assert after_of(LADDER, [*FAILED, again]) == "cheap:haiku,cheap_again:haiku"


def test_outcomes_count_after_exactly_the_same_failures() -> None:
    """What the smart rung solves first says little about what it solves of what the cheap one failed."""
    known = known_of(("fix", "smart", "", True), ("fix", "smart", "cheap:haiku", False), times=3)
    first = by_name(known, "fix", [])["smart"]
    then = by_name(known, "fix", FAILED)["smart"]
    assert (first.tries, first.passes) == (3, 3)
    assert (then.tries, then.passes) == (3, 0)
    cheap = known_of(("fix", "cheap", "", False))
    assert by_name(cheap, "fix", FAILED)["cheap"].tries == 1


def test_without_outcomes_a_rung_has_its_own_prior() -> None:
    """The values of the caller stay as they are, but for the rung that repeats another."""
    assert rungs_with(KnownOutcomes(), "fix", LADDER, []) == (LADDER[0], LADDER[2])
    assert rungs_with(KnownOutcomes(), "fix", LADDER, FAILED) == LADDER


def test_rungs_that_need_an_earlier_one_are_offered_after_it() -> None:
    """A conversation goes on only if there was one, and a diagnosis needs a failure of any rung."""
    rungs = (LADDER[0], LADDER[1], Rung("lens", "haiku", Decimal("0.05")), LADDER[2])
    second = [Attempt("second", False, Decimal("0.02"))]
    offered = [
        [rung.name for rung in rungs_with(KnownOutcomes(), "fix", rungs, attempts)]
        for attempts in ([], second, FAILED)
    ]
    assert offered == [
        ["cheap", "smart"],
        ["cheap", "lens", "smart"],
        ["cheap", "cheap_again", "lens", "smart"],
    ]


def test_other_kinds_move_the_prior_but_not_of_the_last_rung() -> None:
    """A worker that fails everywhere is not hoped in again for each kind; giving up needs the kind's own."""
    known = known_of(("docs", "cheap", "", False), ("docs", "smart", "cheap:haiku", False), times=10)
    found = by_name(known, "fix", [])
    assert found["cheap"].prior == pytest.approx(2 * DEFAULT_PRIORS["cheap"] / 12)
    assert found["smart"].prior == DEFAULT_PRIORS["smart"]


def test_outcomes_after_other_failures_move_the_prior_of_every_rung() -> None:
    """What the smart rung never solves after a failure, it does not solve first either."""
    known = known_of(("fix", "smart", "cheap:haiku", False), times=20)
    assert by_name(known, "fix", [])["smart"].prior == pytest.approx(10 * DEFAULT_PRIORS["smart"] / 30)


def test_failures_here_and_there_do_not_multiply() -> None:
    """The smart rung is not given up after nine failures because five of them came after another rung."""
    known = known_of(("fix", "smart", "cheap:haiku", False), times=5)
    for _ in range(4):
        known.add(WorkOutcome("fix", "smart", "opus", "", False, None, 0.0))
    cheap, smart = rungs_with(known, "fix", LADDER, [])
    assert next_step([smart], [Attempt("cheap", False, cheap.cost_usd)]).rung == smart


def test_a_useless_worker_is_noticed_within_one_price_of_the_smart_rung() -> None:
    """Its tries cost less than two smart ones before the ladder begins with the smart rung."""
    known = KnownOutcomes()
    spent = Decimal(0)
    while True:
        step = next_step(rungs_with(known, "fix", LADDER, []), [], left_usd=None, worth_usd=None)
        assert step.rung is not None
        if step.rung.name == "smart":
            break
        known.add(WorkOutcome("fix", "cheap", "haiku", "", False, None, 0.0))
        spent += Decimal("0.01")
    assert spent < 2 * Decimal("0.20")
