"""What of a run's rules holds in another process."""

from decimal import Decimal
from pathlib import Path

import pytest

from sunwell.agent import Agent
from sunwell.agent.loop import AgentLoop, LoopConfig
from sunwell.budget import Budget
from sunwell.context.options import RunOptions
from sunwell.context.session import SessionContext
from sunwell.core import Price, Proposal, Rates, ToolResult
from sunwell.errors import ConfigurationError
from sunwell.events import Warned
from sunwell.testing import ScriptedModel, completion, run_virtual


def test_a_run_that_asked_is_not_taken_up_without_somebody_to_ask(story, call) -> None:
    """Nothing is written unasked, however the recorded answers are kept; with somebody, they are asked."""
    asked: list[str] = []

    def approve(proposal: Proposal) -> bool:
        asked.append(proposal.summary)
        return False

    story.options = RunOptions(approve=approve)
    story.run(completion(call.writing("a.txt", "1\n")), stop_at=3)
    asked.clear()
    for accept in (False, True):
        with pytest.raises(ConfigurationError, match="approve="):
            story.resume("Never said.", accept_changes=accept)
    done = story.resume("Not done: a.txt was not approved.", options=story.options)
    assert done.answer == "Not done: a.txt was not approved."
    assert asked == ["make a.txt (+1)"]
    assert not (story.workspace / "a.txt").exists()


def test_a_dry_run_that_is_taken_up_still_sees_what_it_planned(story, call) -> None:
    """What was only planned is read and edited as if it were there, in whatever process."""
    story.options = RunOptions(dry_run=True)
    story.run(completion(call.writing("a.txt", "one\n")), completion(call.reading("a.txt")), stop_at=7)
    model = ScriptedModel("opus-x", [completion(call.reading("a.txt")), "Done."])
    assert story.resume(model=model).answer == "Done."
    seen = [part for part in model.calls[-1].messages[-1].parts if isinstance(part, ToolResult)]
    assert ["one" in part.content for part in seen] == [True]
    assert not (story.workspace / "a.txt").exists()


def test_what_cannot_be_followed_leaves_no_run_behind(tmp_path: Path) -> None:
    """An unknown tool and an unpriced model under a cap in dollars are found before a journal is made."""
    agent = Agent(model=ScriptedModel("nobody-prices-me", []))
    for options in (RunOptions(tools=("no_such_tool",)), RunOptions(budget=Budget(usd=1))):
        session = SessionContext.build(tmp_path, "Do it.", options)
        with pytest.raises(ConfigurationError, match=r"no_such_tool|nobody-prices-me"):
            run_virtual(agent.result(session))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("worker_usd", "told"), [pytest.param(9, 1, id="dearer"), pytest.param(1, 0, id="as-dear"), (None, 0)]
)
async def test_a_worker_that_is_dearer_than_the_smart_model_is_a_warning(tmp_path, worker_usd, told) -> None:
    """It is told when the run begins, and the run goes on; where a price is unknown nobody can tell."""
    prices = [None if usd is None else Price(Rates(Decimal(usd), Decimal(usd))) for usd in (1, worker_usd)]
    smart, worker = (ScriptedModel(name, ["Done."], price) for name, price in zip("sw", prices, strict=True))
    agent = Agent(model=smart, delegation_model=worker)

    session = SessionContext.build(tmp_path, "Say it.")
    found = [event.message async for event in agent.run(session) if isinstance(event, Warned)]
    assert ["w is dearer than s" in text for text in found if "delegation is off" not in text] == [
        True
    ] * told


@pytest.mark.parametrize(
    ("options", "warns"),
    [
        pytest.param({}, True, id="off"),
        pytest.param({"enable_delegation": True}, False, id="on"),
        pytest.param({"delegation_tools": "subagent"}, False, id="tools"),
    ],
)
async def test_a_delegation_model_that_nothing_uses_is_a_warning(tmp_path, options, warns) -> None:
    """The run would use the dear model alone, and say nothing of the cheap one."""
    agent = Agent(model=ScriptedModel("s", ["Done."]), delegation_model=ScriptedModel("w", ["Done."]))
    session = SessionContext.build(tmp_path, "Say it.", options=RunOptions(**options))
    found = [event.message async for event in agent.run(session) if isinstance(event, Warned)]
    said = "w is the delegation model, but delegation is off: set enable_delegation=True to use it"
    assert (said in found) == warns


@pytest.mark.parametrize(
    ("setting", "value"),
    [("effort", "hugest"), ("max_output_tokens", 0), ("on_lens_failure", "shrug")],
)
def test_settings_out_of_range_are_refused_when_they_are_made(setting: str, value: object) -> None:
    """Options and the loop's configuration take the same values."""
    for settings in (RunOptions, LoopConfig):
        with pytest.raises(ValueError, match=setting):
            settings(**{setting: value})


def test_a_loop_takes_models_and_not_their_names() -> None:
    """The sentence says how to get the model of a name."""
    with pytest.raises(TypeError, match="resolve_model"):
        AgentLoop(model="haiku")  # type: ignore[arg-type]
