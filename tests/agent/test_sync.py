"""A run in one call, with or without an event loop of one's own."""

from pathlib import Path

import pytest

from sunwell import Budget, run, run_sync
from sunwell.core import ToolCall
from sunwell.errors import ConfigurationError, ServerFailed
from sunwell.gateway.retry import RetryPolicy
from sunwell.testing import ScriptedModel, completion


def test_the_result_is_returned(tmp_path: Path) -> None:
    """Options are those of a run."""
    result = run_sync("Say hello", tmp_path, model=ScriptedModel("m", ["Hello."]))
    assert (result.status, result.answer) == ("ok", "Hello.")


async def test_inside_a_loop_it_says_what_to_await(tmp_path: Path) -> None:
    """As in a notebook: nothing is begun, and no coroutine is left that nobody awaits."""
    with pytest.raises(RuntimeError, match=r"await sunwell\.run\(task"):
        run_sync("Say hello", tmp_path, model=ScriptedModel("m", ["Hello."]))
    assert not (tmp_path / ".sunwell").exists()


def stock_of(article: str) -> int:
    """Say how many pieces of an article there are."""
    return len(article)


async def test_what_an_agent_and_a_run_take_is_given_by_name(tmp_path: Path) -> None:
    """Functions, models, budgets and retries in one call."""
    call = completion(ToolCall("c1", "stock_of", '{"article": "mug"}'))
    model = ScriptedModel("m", [call, "Three."])
    result = await run("How many?", workspace=tmp_path, model=model, tools=[stock_of], budget=Budget(calls=5))
    assert (result.status, result.answer) == ("ok", "Three.")
    failing = ScriptedModel("m", [ServerFailed("m", "down"), "Not asked for."])
    result = await run("How many?", tmp_path, model=failing, retry=RetryPolicy(attempts=1))
    assert (result.status, len(failing.calls)) == ("error", 1)


async def test_an_unknown_keyword_is_answered_with_those_like_it(tmp_path: Path) -> None:
    """In one sentence, before anything is begun; from both functions."""
    with pytest.raises(ConfigurationError, match="no argument 'smart_modell'; did you mean smart_model"):
        await run("Say hello", tmp_path, smart_modell="opus")
    with pytest.raises(ConfigurationError, match=r"no argument 'xyzzy'; docs/configuration\.md lists"):
        await run("Say hello", tmp_path, xyzzy=1)
    assert not (tmp_path / ".sunwell").exists()


def test_an_unknown_keyword_is_refused_without_a_loop_too(tmp_path: Path) -> None:
    """The same sentence."""
    with pytest.raises(ConfigurationError, match="did you mean retry"):
        run_sync("Say hello", tmp_path, retri=None)
