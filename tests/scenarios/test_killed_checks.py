"""Killed at its records and resumed, a run whose workers have checks ends as it would have."""

import pytest

from tests.scenarios.after_kills import differing, outcomes_of


@pytest.mark.timeout(280)
@pytest.mark.parametrize(("stride", "first", "again"), [(9, 2, 0), (16, 3, 2)])
def test_workers_with_checks_survive_a_kill_at_any_record(stride: int, first: int, again: int) -> None:
    """Before, after or inside the line of a record by turns, in another process each time.

    The worker whose work fails its check goes up the same rungs; the others keep their results, and the task
    whose check was refused is not started. What is asked again was in flight at a kill.
    ``benchmarks/kills.py`` kills at each record in each of the three ways.
    """
    whole, killed = outcomes_of("killed_checks.py", stride, first, again)
    assert whole["answer"] == "0: passed, 1: passed, 2: passed"
    assert [[rung for rung, *_ in one["rungs"]] for one in whole["workers"]] == [
        ["cheap"],
        ["cheap", "cheap_again", "smart"],
        ["cheap"],
    ]
    assert set(whole["files"].values()) == {"right\n"}
    assert whole["fits"]
    assert len(killed) >= 3
    for one in killed:
        case = (one["at"], one["how"], one["kills"])
        assert (case, differing(whole, one)) == (case, {})
