"""Waiting a little longer for further reports, where that is cheaper than another turn."""

import re
from decimal import Decimal

import attrs
import pytest

from sunwell.agent.policy.cache_planner import LONGEST_LINGER_SECONDS
from sunwell.budget.ledger_protocol import Budget
from sunwell.core import Completion, Usage
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
    return call("await_results", task_ids=None, at_least=1, timeout_seconds=seconds)


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


def test_the_longest_wait_is_named() -> None:
    """Half a minute: a model that waits for the next report is not blind for longer."""
    assert LONGEST_LINGER_SECONDS == 30
