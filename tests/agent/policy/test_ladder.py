"""The ladder: which rung comes next, when it stops, and what never changes either."""

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sunwell.agent.policy.ladder import Attempt, Rung, next_step

CHEAP = Rung("cheap", "haiku", Decimal("0.01"))
AGAIN = Rung("cheap_again", "haiku", Decimal("0.01"), prior=0.15)
SMART = Rung("smart", "opus", Decimal("0.20"))
LADDER = (CHEAP, AGAIN, SMART)


def failed(*rungs: Rung) -> list[Attempt]:
    """Return attempts at *rungs* that all failed at their price."""
    return [Attempt(rung.name, False, rung.cost_usd) for rung in rungs]


def climb(rungs: Sequence[Rung], **terms: Any) -> list[str]:
    """Return the names of the rungs that a task goes through if everything fails."""
    attempts: list[Attempt] = []
    while (step := next_step(rungs, attempts, **terms)).rung is not None:
        attempts += failed(step.rung)
    return [attempt.rung for attempt in attempts]


def with_outcomes(rung: Rung, passes: int, tries: int) -> Rung:
    """Return *rung* with that many outcomes."""
    return attrs.evolve(rung, tries=tries, passes=passes)


def test_what_costs_least_for_each_pass_comes_first() -> None:
    """Price divided by chance decides, not price alone and not the order given."""
    assert climb(LADDER) == ["cheap", "cheap_again", "smart"]
    assert climb(tuple(reversed(LADDER))) == ["cheap", "cheap_again", "smart"]
    second = Rung("second", "luna", Decimal("0.02"), tries=10, passes=9)
    bad = with_outcomes(CHEAP, 1, 10)
    assert climb((bad, second, SMART))[0] == "second"


def test_a_worker_that_does_not_pay_is_passed_over() -> None:
    """If its passes save less than it costs, the smart rung comes first, and nothing after it."""
    useless = Rung("cheap", "haiku", Decimal("0.10"), tries=10, passes=1)
    assert climb((useless, SMART)) == ["smart"]
    assert climb((with_outcomes(useless, 6, 10), SMART)) == ["cheap", "smart"]


def test_after_the_smart_rung_a_rung_must_keep_the_bill_within_its_price() -> None:
    """A task that the smart rung failed is given up if another try would make it dearer than that alone."""
    step = next_step((CHEAP, SMART), failed(SMART), left_usd=None, worth_usd=None)
    assert step.rung is None
    assert step.reason.startswith("gave up: smart failed, and cheap would cost more than it would gain")
    early = [Attempt("smart", False, Decimal("0.15"))]
    assert next_step((CHEAP, SMART), early, left_usd=None, worth_usd=None).rung == CHEAP


def test_models_of_which_none_is_the_smart_one_are_all_tried() -> None:
    """Three cheap models of different families are there for each other, whatever they cost."""
    three = [Rung(name, name, cost) for name, cost in (("a", "0.03"), ("b", "0.05"), ("c", "0.10"))]
    poor = [with_outcomes(rung, 1, 10) for rung in three]
    assert climb(three) == climb(poor) == ["a", "b", "c"]


def test_a_rung_of_about_the_price_of_the_smart_one_is_its_equal() -> None:
    """Above half of that price, it need not save anything to be tried."""
    second = Rung("second", "luna", Decimal("0.11"), tries=10, passes=1)
    assert climb((SMART, second)) == ["smart", "second"]
    assert climb((SMART, attrs.evolve(second, cost_usd=Decimal("0.10")))) == ["smart"]


def test_a_pass_ends_it() -> None:
    """Nothing is tried after a result passed, whatever is left."""
    step = next_step(LADDER, [Attempt("cheap", True, Decimal("0.01"))], left_usd=None, worth_usd=None)
    assert (step.rung, step.reason) == (None, "cheap passed")


def test_no_room_is_named() -> None:
    """If no untried rung fits, the reason says what the cheapest costs and what is left."""
    step = next_step(LADDER, failed(CHEAP), left_usd=Decimal("0.005"), worth_usd=None)
    assert step.rung is None
    assert step.reason == "no room: cheap_again costs about $0.0100, and $0.0050 is left"
    assert climb(LADDER, left_usd=Decimal("0.05")) == ["cheap", "cheap_again"]


def test_a_task_is_given_up_if_a_pass_costs_more_than_it_is_worth() -> None:
    """By default a pass is worth ten times the smart rung: at a chance below a tenth it is given up."""
    after_cheap = failed(CHEAP)
    assert next_step((CHEAP, with_outcomes(SMART, 0, 8)), after_cheap).rung is not None
    step = next_step((CHEAP, with_outcomes(SMART, 0, 9)), after_cheap)
    assert step.rung is None
    assert step.reason == (
        "gave up: smart: about $0.2000 at a 9% chance (0 of 9 passed), $2.2000 for each pass, "
        "and a pass is worth $2.0000"
    )
    assert next_step((CHEAP, with_outcomes(SMART, 0, 9)), after_cheap, worth_usd=Decimal(3)).rung is not None
    assert climb(LADDER, worth_usd=Decimal("0.1")) == ["cheap", "cheap_again"]


def test_a_first_attempt_is_made_unless_the_user_said_what_it_is_worth() -> None:
    """Outcomes alone never refuse a task, or nothing could be learned any more; a user's figure may."""
    hopeless = (with_outcomes(CHEAP, 0, 500), with_outcomes(SMART, 0, 500))
    assert climb(hopeless) == ["cheap"]
    assert climb(hopeless, worth_usd=Decimal("0.01")) == []


def test_more_worth_makes_more_rungs_pay() -> None:
    """If a pass is worth thirty times the smart rung, a rung may cost three times what it saves."""
    poor = Rung("cheap", "haiku", Decimal("0.09"), tries=8, passes=2)
    sure = with_outcomes(SMART, 1, 6)
    assert climb((poor, sure)) == ["smart"]
    assert climb((poor, sure), worth_usd=Decimal(6)) == ["cheap", "smart"]


def test_a_check_that_passes_wrong_results_lets_less_come_before_the_smart_rung() -> None:
    """The cheap rung comes first only while few of its wrong results would stand in place of right ones."""
    good, smart = with_outcomes(CHEAP, 94, 100), with_outcomes(SMART, 95, 100)
    assert climb((good, smart), passes_wrong=0.05) == ["cheap", "smart"]
    assert climb((good, smart), passes_wrong=0.3) == ["smart"]
    assert climb((with_outcomes(CHEAP, 40, 100), smart)) == ["cheap", "smart"]
    assert climb((with_outcomes(CHEAP, 40, 100), smart), passes_wrong=0.05) == ["smart"]
    step = next_step((good, smart), [], passes_wrong=0.05)
    assert step.rung is good
    assert step.reason == (
        "cheap: about $0.0100 at a 93% chance (94 of 100 passed, and the check passes 5% of wrong results), "
        "$0.0108 for each pass"
    )


def test_a_kind_that_passes_no_more_than_the_check_passes_wrongly_is_given_up() -> None:
    """With 30 of 100 of a check that passes 30 % of wrong results, nobody solves it: cheap tries once."""
    rungs = (with_outcomes(CHEAP, 30, 100), with_outcomes(SMART, 30, 100))
    assert climb(rungs) == ["cheap", "smart"]
    assert climb(rungs, passes_wrong=0.3) == ["cheap"]


def test_a_check_that_passes_everything_tells_nothing() -> None:
    """Its passes say nothing about who solves what, so the smart rung does the work."""
    rungs = (with_outcomes(CHEAP, 90, 100), with_outcomes(SMART, 95, 100))
    assert climb(rungs, passes_wrong=1) == ["smart"]
    with pytest.raises(ValueError, match="passes_wrong must be from 0 to 1"):
        next_step(rungs, [], passes_wrong=1.1)


def test_rungs_without_a_price_come_in_the_order_given() -> None:
    """Nothing can be compared then; a known price must still fit."""
    unpriced = (Rung("cheap", "local", None), AGAIN, SMART)
    assert climb(unpriced) == ["cheap", "cheap_again", "smart"]
    assert climb(unpriced, left_usd=Decimal("0.1")) == ["cheap", "cheap_again"]
    reason = next_step(unpriced, []).reason
    assert reason == "cheap is next in order: not every price is known"


def test_a_check_that_cannot_tell_sends_a_task_up_once() -> None:
    """One such answer may be chance; after two in a row, more money would tell no more."""
    unsure = [Attempt("cheap", None, Decimal("0.01"))]
    assert next_step(LADDER, unsure).rung == AGAIN
    step = next_step(LADDER, [*unsure, Attempt("cheap_again", None, Decimal("0.01"))])
    assert (step.rung, step.reason) == (None, "gave up: the check could not tell, twice in a row")
    between = [*unsure, *failed(AGAIN)]
    assert next_step(LADDER, between).rung == SMART


@pytest.mark.parametrize("number", [float, str, int])
def test_amounts_may_be_any_number(number: Any) -> None:
    """A cost as a float or an int is the amount that it is written as."""
    rungs = (Rung("cheap", "a", number(1)), Rung("smart", "b", number(20)))
    assert [rung.cost_usd for rung in rungs] == [1, 20]
    attempts = [Attempt("cheap", False, number(1))]
    step = next_step(rungs, attempts, left_usd=number(25), worth_usd=number(200))
    assert step.rung is rungs[1]
    assert Rung("cheap", "a", 0.1).cost_usd == Decimal("0.1")


def test_an_attempt_names_its_rung() -> None:
    """Given as a rung or as its name, it is the same attempt."""
    attempt = Attempt(CHEAP, False, CHEAP.cost_usd)
    assert attempt == Attempt("cheap", False, Decimal("0.01"))


def test_a_prior_is_a_share() -> None:
    """A chance outside of 0 to 1 is refused by name."""
    with pytest.raises(ValueError, match="prior must be from 0 to 1"):
        Rung("cheap", "a", Decimal(1), prior=1.5)


PRICES = st.integers(1, 400).map(lambda cents: Decimal(cents) / 100)
AMOUNTS = st.none() | PRICES.map(lambda usd: usd * 3)


@st.composite
def ladders(draw: st.DrawFn) -> list[Rung]:
    """Return up to five rungs with outcomes."""
    rungs = []
    for place in range(draw(st.integers(1, 5))):
        tries = draw(st.integers(0, 40))
        passes = draw(st.integers(0, tries))
        prior = draw(st.sampled_from([0.0, 0.15, 0.5, 0.9, 1.0]))
        rungs.append(Rung(f"rung {place}", "model", draw(PRICES), tries, passes, prior))
    if draw(st.booleans()):
        rungs[-1] = attrs.evolve(rungs[-1], name="smart")
    return rungs


@given(ladders(), AMOUNTS, AMOUNTS)
def test_a_rung_fits_and_was_not_tried(
    rungs: list[Rung], left_usd: Decimal | None, worth_usd: Decimal | None
) -> None:
    """Each step costs at most what is left, no rung comes twice, and the way ends with a reason."""
    attempts: list[Attempt] = []
    left = left_usd
    for _ in range(len(rungs) + 1):
        step = next_step(rungs, attempts, left_usd=left, worth_usd=worth_usd)
        assert step.reason
        if step.rung is None:
            break
        assert step.rung.cost_usd is not None
        assert left is None or step.rung.cost_usd <= left
        assert step.rung.name not in {attempt.rung for attempt in attempts}
        assert worth_usd is None or step.rung.pass_usd <= worth_usd
        attempts += failed(step.rung)
        left = None if left is None else left - step.rung.cost_usd
    assert step.rung is None
    assert next_step(rungs, [*attempts, Attempt("rung 0", True, Decimal(0))], left_usd=left).rung is None


@given(ladders(), AMOUNTS, AMOUNTS, st.sampled_from([0, 0.01, 0.1, 0.3, 1]))
def test_what_the_check_passes_wrongly_only_takes_rungs_away(
    rungs: list[Rung], left_usd: Decimal | None, worth_usd: Decimal | None, wrong: float
) -> None:
    """Something is still tried, each step is a rung as it was given, and no cheap one comes before the smart.

    Cheap are those of at most half its price, which are there to save it. Dearer ones are its equals.
    """
    terms = {"left_usd": left_usd, "worth_usd": worth_usd}
    step = next_step(rungs, [], passes_wrong=wrong, **terms)
    assert step.rung is None or any(step.rung is rung for rung in rungs)
    exact, told = climb(rungs, **terms), climb(rungs, passes_wrong=wrong, **terms)
    assert worth_usd is not None or bool(told) == bool(exact)
    if "smart" in told and "smart" in exact:
        price = next(rung.cost_usd for rung in rungs if rung.name == "smart")
        cheap = {rung.name for rung in rungs if rung.cost_usd is not None and 2 * rung.cost_usd <= price}
        assert cheap.intersection(told[: told.index("smart")]) <= set(exact[: exact.index("smart")])


def test_of_equals_the_one_whose_right_result_costs_least_comes_first() -> None:
    """What a check passes wrongly is a larger share of what the less able rung passes."""
    able = Rung("able", "model", Decimal("1.12"), tries=1, passes=0, prior=0.9)
    rungs = (able, Rung("smart", "model", Decimal("0.65"), tries=16, passes=6, prior=0.15))
    assert climb(rungs) == ["smart", "able"]
    assert climb(rungs, passes_wrong=0.01) == ["able", "smart"]


@given(ladders(), AMOUNTS, AMOUNTS, st.sampled_from(["0.001", "0.5", "7", "100"]))
def test_another_currency_changes_nothing(
    rungs: list[Rung], left_usd: Decimal | None, worth_usd: Decimal | None, rate: str
) -> None:
    """If all money is multiplied by one number, the same rungs come in the same order."""

    def changed(usd: Decimal | None) -> Decimal | None:
        return None if usd is None else usd * Decimal(rate)

    others = [attrs.evolve(rung, cost_usd=changed(rung.cost_usd)) for rung in rungs]
    ours = climb(rungs, left_usd=left_usd, worth_usd=worth_usd)
    assert climb(others, left_usd=changed(left_usd), worth_usd=changed(worth_usd)) == ours


@given(ladders(), st.data(), AMOUNTS)
def test_more_passes_never_make_a_rung_later(
    rungs: list[Rung], data: st.DataObject, worth_usd: Decimal | None
) -> None:
    """A rung that passed more often is tried, and no later than before."""
    at = data.draw(st.integers(0, len(rungs) - 1))
    rung = rungs[at]
    better = attrs.evolve(rung, passes=data.draw(st.integers(rung.passes, rung.tries)))
    before = climb(rungs, worth_usd=worth_usd)
    after = climb([*rungs[:at], better, *rungs[at + 1 :]], worth_usd=worth_usd)
    if rung.name in before:
        assert rung.name in after
        assert after.index(rung.name) <= before.index(rung.name)


@given(ladders())
def test_before_the_smart_rung_a_ladder_is_expected_to_save(rungs: list[Rung]) -> None:
    """By its own chances, no rung of at most half the price makes the way to the smart rung dearer."""
    price = max(Fraction(rung.cost_usd or 0) for rung in rungs)
    smart = [rung for rung in rungs if rung.cost_usd == price][-1]
    others = [rung for rung in rungs if rung is not smart]
    way = climb([*others, attrs.evolve(smart, name="smart")])
    if "smart" not in way:
        return
    for rung in others:
        if rung.name in way[: way.index("smart")]:
            cost = Fraction(rung.cost_usd or 0)
            assert 2 * cost > price or cost <= rung.chance * price
