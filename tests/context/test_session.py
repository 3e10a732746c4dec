"""What a beginner gets wrong is said where it is written, not later and elsewhere."""

from pathlib import Path
from typing import Any

import pytest

from sunwell import Agent, RunOptions, SessionContext


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        pytest.param({"budget": "0.50"}, "such as Budget(usd=\"0.50\"), got '0.50'", id="budget-text"),
        pytest.param({"budget": 0.5}, "got 0.5", id="budget-number"),
        pytest.param({"budget": None}, "got None", id="no-budget"),
        pytest.param({"approve": True}, "a function that is given a proposal", id="approve-yes"),
        pytest.param({"tools": "read_file"}, "the single string 'read_file'", id="tools-text"),
    ],
)
def test_options_of_a_wrong_type_are_refused_at_once(options: dict[str, Any], sentence: str) -> None:
    """The message names the option and what would be right."""
    with pytest.raises(TypeError) as refused:
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
