"""A batch killed again and again: fifty results in order, and no answered call asked twice."""

import pytest

from tests.scenarios.after_kills import differing_batch, outcomes_of


@pytest.mark.timeout(280)
def test_fifty_tasks_survive_kills_at_random_records() -> None:
    """Fifty tasks on the example's code base, eight at once, killed by SIGKILL and taken up again.

    The end is that of the unbroken batch. What is asked again was in flight at a kill, and is listed
    as uncertain. The results file is whole after each kill and loses nothing.
    """
    whole, killed = outcomes_of("killed_batches.py", 4, 3)
    assert (whole["statuses"], whole["in_order"], whole["calls"]) == (["ok"], True, 150)
    assert whole["different"] == 150
    assert len(killed) == 4
    for one in killed:
        assert (one["seed"], differing_batch(whole, one)) == (one["seed"], {})
    assert sum(code == -9 for one in killed for code in one["codes"]) >= 8
