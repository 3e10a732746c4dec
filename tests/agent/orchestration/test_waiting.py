"""Waiting a little longer for further reports, where that is cheaper than another turn."""

import re
from decimal import Decimal

import attrs
import pytest

from sunwell.agent.orchestration.lingering import LONGEST_QUEUED_SECONDS, LONGEST_SECONDS
from sunwell.budget.ledger_protocol import Budget
from sunwell.core import Completion, Request, Usage
from sunwell.core.price import Price, Rates
from sunwell.testing import Line, ScriptedModel, completion
from tests.agent.orchestrated import answer, batch, call, orchestrated, results_in, run
from tests.agent.orchestration.test_tools import Crowd

SAYS = {"a": ("A", 1.0), "b": ("B", 3.0), "c": ("C", 40.0), "d": ("D", 90.0)}


def boss(*lines: Completion, read: int, seconds: float = 0.0, priced: bool = True) -> ScriptedModel:
    """Return an orchestrator that reads *read* tokens in each turn, at $1 for a million."""
    price = Price(Rates(Decimal(1), Decimal(1))) if priced else None
    used: list[Line] = [attrs.evolve(one, usage=Usage(read, 0), model="boss") for one in lines]
    return ScriptedModel("boss", used, price, seconds)


def told(smart: ScriptedModel) -> list[list[str]]:
    """Return of whom each wait told."""
    return [re.findall(r"Task: (\w)\n", text) for text in results_in(smart.calls[-1])[1:]]


def next_one(seconds: float | None = None) -> Completion:
    """Return a call that waits for the next report."""
    return call("await_results", task_ids=None, wait_for="any", timeout_seconds=seconds)


@pytest.mark.parametrize(
    ("read", "seconds", "priced", "first"),
    [
        pytest.param(500, 0.0, True, "a", id="a-turn-is-worth-a-second"),
        pytest.param(1_500, 0.0, True, "ab", id="three-seconds"),
        pytest.param(500, 2.0, True, "ab", id="what-a-turn-takes-counts-too"),
        pytest.param(10**6, 0.0, True, "ab", id="never-longer-than-half-a-minute"),
        pytest.param(10**6, 0.0, False, "a", id="unknown-price"),
    ],
)
def test_reports_that_follow_within_what_a_turn_is_worth_come_along(
    read: int, seconds: float, priced: bool, first: str
) -> None:
    """A second of waiting is worth $0.0005, and a further turn would read the conversation again."""
    smart = boss(batch(*SAYS), next_one(), answer("ok"), read=read, seconds=seconds, priced=priced)
    run(smart, Crowd(SAYS), orchestrated(max_concurrent=4))
    assert told(smart) == [list(first)]


def test_nobody_lingers_once_all_are_done() -> None:
    """The wait ends with the last report, and a further one finds that all were given."""
    smart = boss(batch("a", "b"), next_one(), answer("ok"), read=10**6)
    result, _ = run(smart, Crowd(SAYS))
    assert told(smart) == [["a", "b"]]
    assert result.duration_seconds == pytest.approx(3.0)


def test_the_time_that_was_named_is_the_longest() -> None:
    """Lingering is a part of it."""
    smart = boss(batch("a", "b"), next_one(2.0), next_one(0.0), answer("ok"), read=10**6)
    result, _ = run(smart, Crowd(SAYS))
    assert told(smart) == [["a"], []]
    assert result.duration_seconds == pytest.approx(2.0)


def test_a_run_that_ends_soon_does_not_linger_long() -> None:
    """At most a twentieth of the time that is left: here that is not enough for the second report."""
    smart = boss(batch("a", "b"), next_one(), answer("ok"), read=10**6)
    result, _ = run(smart, Crowd(SAYS), orchestrated(budget=Budget(seconds=20)))
    assert told(smart) == [["a"]]
    assert result.duration_seconds == pytest.approx(2.0, abs=0.1)


def test_words_without_a_call_are_handed_what_follows_soon() -> None:
    """The harness waits for the next reports itself, by the same rule."""
    smart = boss(batch("a", "b", "c"), completion("I am waiting."), answer("ok"), read=1_500)
    run(smart, Crowd(SAYS))
    handed = smart.calls[-1].messages[-1].text
    assert re.findall(r"Task: (\w)\n", handed) == ["a", "b"]


def test_the_longest_waits_are_named() -> None:
    """Half a minute, or two while tasks wait in the queue: a model is not blind for longer."""
    assert (LONGEST_SECONDS, LONGEST_QUEUED_SECONDS) == (30, 120)


class PricedCrowd(Crowd):
    """A crowd of which each call costs the same."""

    def __init__(self, says: dict[str, tuple[str, float]], usd: str) -> None:
        super().__init__(says)
        self.price = Price(Rates(Decimal(usd), Decimal(usd)))

    async def complete(self, request: Request) -> Completion:
        return attrs.evolve(await super().complete(request), usage=Usage(1_000_000, 0))


STEPS = {name: (name.upper(), 10.0) for name in "abcdefgh"}


@pytest.mark.parametrize(
    ("usd", "first"),
    [
        pytest.param("0.0005", "abcdef", id="thirty-seconds"),
        pytest.param("0.0012", "abcd", id="twelve-seconds-are-worth-a-turn"),
        pytest.param("0.5", "ab", id="never-more-than-waiting-costs-without-a-queue"),
        pytest.param("0", "abcdef", id="workers-for-nothing"),
    ],
)
def test_while_tasks_are_queued_waiting_costs_what_the_workers_spend(usd: str, first: str) -> None:
    """An earlier turn starts nothing earlier: all that it could save is what the workers spend meanwhile.

    A turn costs $0.003 here, which is worth 6 s of waiting without a queue. Once nobody is queued, that
    holds, and who has waited longer goes on.
    """
    smart = boss(batch(*STEPS), next_one(), answer("ok"), read=3_000)
    run(smart, PricedCrowd(STEPS, usd), orchestrated(max_concurrent=2))
    assert told(smart)[0] == list(first)


def test_a_queue_makes_no_second_dearer() -> None:
    """However dear the workers, a report comes along that follows within what waiting is worth anyway."""
    says = {"a": ("A", 10.0), "b": ("B", 13.0), "c": ("C", 50.0), "d": ("D", 50.0)}
    smart = boss(batch(*says), next_one(), answer("ok"), read=3_000)
    run(smart, PricedCrowd(says, "0.5"), orchestrated(max_concurrent=2))
    assert told(smart) == [["a", "b"]]


def test_two_minutes_are_the_longest_wait_with_a_queue() -> None:
    """However dear a turn, and however cheap the workers."""
    says = {name: (name.upper(), 50.0) for name in "abcdefgh"}
    smart = boss(batch(*says), next_one(), answer("ok"), read=10**7)
    run(smart, PricedCrowd(says, "0"), orchestrated(max_concurrent=1, budget=Budget(seconds=10_000)))
    assert told(smart) == [["a", "b", "c"]]


def test_a_report_of_a_failure_ends_the_wait() -> None:
    """What to hand out next may depend on it. Here it comes after 30 s: its worker was asked twice."""
    says = STEPS | {"c": ("", 10.0)}
    smart = boss(batch(*says), next_one(), answer("ok"), read=10**6)
    run(smart, PricedCrowd(says, "0"), orchestrated(max_concurrent=2))
    assert told(smart) == [list("abcde")]


def test_nobody_waits_for_more_than_a_result_holds() -> None:
    """Reports beyond it come with the next call in any case."""
    says = {name: (name * 4_000, 1.0) for name in "abcdefghijklmnopqrst"}
    smart = boss(batch(*says), next_one(), next_one(), answer("ok"), read=10**6)
    result, _ = run(smart, PricedCrowd(says, "0"), orchestrated(max_concurrent=1))
    assert [len(each) for each in told(smart)] == [9, 9]
    assert result.duration_seconds < 20


@pytest.mark.parametrize(
    ("given", "first"),
    [
        pytest.param({"wait_for": "any"}, "a", id="any"),
        pytest.param({"wait_for": 1}, "a", id="one"),
        pytest.param({"wait_for": 2}, "ab", id="two"),
        pytest.param({"wait_for": "2"}, "ab", id="a-number-as-text"),
        pytest.param({"wait_for": 99}, "abcd", id="more-than-there-are"),
        pytest.param({"wait_for": "all"}, "abcd", id="all"),
        pytest.param({"wait_for": None}, "abcd", id="null"),
        pytest.param({}, "abcd", id="left-out"),
        pytest.param({"at_least": 2}, "ab", id="its-name-before"),
    ],
)
def test_what_is_waited_for_is_any_all_or_a_number(given: dict[str, object], first: str) -> None:
    """Under the name that it had before, too: recorded calls are read again."""
    wait = call("await_results", task_ids=None, timeout_seconds=None, **given)
    smart = boss(batch(*SAYS), wait, answer("ok"), read=0)
    run(smart, Crowd(SAYS), orchestrated(max_concurrent=4))
    assert [sorted(each) for each in told(smart)] == [list(first)]


@pytest.mark.parametrize("wrong", [0, -1, "some", 1.5])
def test_anything_else_is_refused_with_what_can_be_said(wrong: object) -> None:
    """The sentence names the parameter and, unless the type is wrong, the words; nobody is waited for."""
    wait = call("await_results", task_ids=None, wait_for=wrong, timeout_seconds=None)
    smart = boss(batch("a"), wait, answer("ok"), read=0)
    run(smart, Crowd(SAYS))
    said = results_in(smart.calls[-1])[1]
    assert "wait_for" in said
    assert isinstance(wrong, float) or ('"any"' in said and "all" in said)
