"""What a beginner gets wrong is said where it is written, not later and elsewhere."""

from pathlib import Path
from typing import Any

import pytest

from sunwell import Agent, RunOptions, SessionContext
from sunwell.errors import ConfigurationError


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        pytest.param({"budget": "0.50"}, "budget cannot be '0.50': it must be a Budget", id="budget-text"),
        pytest.param({"budget": 0.5}, "budget cannot be 0.5", id="budget-number"),
        pytest.param({"budget": None}, "budget cannot be None", id="no-budget"),
        pytest.param({"approve": True}, "approve cannot be True: it must be a function", id="approve-yes"),
        pytest.param({"tools": "read_file"}, "tools cannot be 'read_file': it must be", id="tools-text"),
        pytest.param({"tools": [3]}, "3 is not a tool", id="tools-number"),
        pytest.param({"effort": "huge"}, "must be one of none, minimal, low,", id="effort"),
        pytest.param({"max_concurrent": 0}, "must be a whole number of at least 1", id="too-few"),
        pytest.param({"max_concurrent": True}, "must be a whole number", id="true-is-not-1"),
        pytest.param({"max_concurrent": None}, "must be a whole number", id="not-optional"),
        pytest.param({"allow_shell": "no"}, "allow_shell cannot be 'no': it must be true", id="switch"),
        pytest.param({"allow_shell": 0}, "allow_shell cannot be 0: it must be true", id="0-is-not-off"),
        pytest.param({"worker_share": float("nan")}, "must be a number from 0 to 1", id="nan"),
        pytest.param({"model": 3}, "model cannot be 3: it must be a model or the name", id="model"),
        pytest.param({"estimator": 3}, "estimator cannot be 3: it must be a function", id="estimator"),
        pytest.param({"earlier_runs": "abc"}, "earlier_runs cannot be 'abc': it must be a list", id="runs"),
    ],
)
def test_options_of_a_wrong_type_are_refused_at_once(options: dict[str, Any], sentence: str) -> None:
    """One sentence names the option, the value and what would be right."""
    with pytest.raises(ConfigurationError) as refused:
        RunOptions(**options)
    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    ("goal", "options", "sentence"),
    [
        pytest.param(None, None, "the goal is a sentence", id="no-goal"),
        pytest.param("Do it", {"model": "haiku"}, "options are RunOptions(...)", id="options-as-dict"),
    ],
)
def test_a_session_of_wrong_parts_is_refused(tmp_path: Path, goal: Any, options: Any, sentence: str) -> None:
    """Before anything is opened."""
    with pytest.raises(TypeError) as refused:
        SessionContext.build(tmp_path, goal, options)
    assert sentence in str(refused.value)


async def test_a_task_is_no_session() -> None:
    """Who hands the task to the agent reads how a session is made."""
    with pytest.raises(TypeError, match=r"SessionContext\.build\(workspace, goal\), got 'Do it'"):
        await Agent().result("Do it")  # type: ignore[arg-type]
