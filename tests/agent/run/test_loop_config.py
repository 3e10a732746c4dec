"""A loop's options, made of those of a run without checking them again."""

import attrs

from sunwell.agent.run.loop_config import NOT_OF_A_LOOP, LoopConfig
from sunwell.budget.ledger_protocol import Budget
from sunwell.context import RunOptions
from sunwell.gateway.retry import RetryPolicy
from sunwell.models.prices import PriceBook


def test_what_is_taken_over_is_what_would_be_given() -> None:
    """No option is lost on the way, and those of whoever makes the loop are not taken."""
    options = RunOptions(
        enable_delegation=True,
        delegation_threshold_tokens=500,
        delegation_tools="delegate",
        budget=Budget(tokens=1000),
        smart_model="haiku",
        tools=("read_file",),
        max_concurrent=2,
    )
    taken = {
        name: value
        for name, value in attrs.asdict(options, recurse=False).items()
        if name not in NOT_OF_A_LOOP
    }
    shared = {"prices": PriceBook(), "retry": RetryPolicy(attempts=2)}
    made = LoopConfig.of(options, **shared)
    given = LoopConfig(**taken, **shared, lessons=made.lessons)
    assert attrs.asdict(made, recurse=False) == attrs.asdict(given, recurse=False)
    assert made == given
    assert (made.smart_model, made.tools) == (None, None)
