"""Killed at its records and resumed, a climb ends as it would have; no answered call is asked again."""

from typing import Any

import pytest

from tests.scenarios.after_kills import differing, outcomes_of

RUNGS = {"cheap", "cheap_again", "lens", "second", "smart"}


def require_same(whole: dict[str, Any], killed: list[dict[str, Any]]) -> None:
    """Compare all but the calls in flight at a kill: those are asked again, and listed as uncertain."""
    assert whole["fits"]
    for one in killed:
        case = (one["at"], one["how"], one["kills"])
        assert (case, differing(whole, one)) == (case, {})


@pytest.mark.timeout(280)
@pytest.mark.parametrize("again", [0, 2], ids=["once", "again-while-resumed"])
def test_a_climb_over_five_rungs_survives_a_kill_at_any_record(again: int) -> None:
    """Before, after or inside the line of every eighth or fourteenth record, in another process each time.

    Answer, files, tokens of each rung and verification are those of the unbroken run, and each rung costs
    what the bill says. Outcomes that were recorded before the kill do not change what is climbed after it.
    ``benchmarks/kills.py`` kills at each record in each of the three ways.
    """
    whole, killed = outcomes_of("killed_ladders.py", "run", 14 if again else 8, again, again)
    assert {name for name, *_ in whole["rungs"]} == RUNGS
    assert [passed for _, _, passed, _ in whole["rungs"]] == [False] * 4 + [True]
    assert len(killed) >= (8 if not again else 4)
    require_same(whole, killed)


@pytest.mark.timeout(280)
def test_a_batch_with_a_failing_item_survives_a_kill_at_any_record() -> None:
    """The failing item goes up as in the unbroken batch; the others keep their results."""
    whole, killed = outcomes_of("killed_ladders.py", "batch", 5, 1, 1)
    assert [len(item["rungs"]) for item in whole["items"]] == [3, 1, 1]
    assert {item["passed"] for item in whole["items"]} == {True}
    assert len(killed) >= 12
    require_same(whole, killed)
