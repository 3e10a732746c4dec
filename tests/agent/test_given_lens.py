"""A lens that the caller gives in Python: who works under it, what is recorded, and what is refused."""

import asyncio
from pathlib import Path
from typing import Any

import attrs
import pytest

from sunwell import read_lens
from sunwell.agent import Agent
from sunwell.agent.lens.lens_file import lens_json
from sunwell.agent.loop import AgentLoop, LoopConfig
from sunwell.context.options import RunOptions
from sunwell.context.session import SessionContext
from sunwell.core.lens import EphemeralLens
from sunwell.errors import ConfigurationError, JournalError, ServerFailed
from sunwell.events import DelegationStarted, LensGiven, RunFinished
from sunwell.journal import read_records
from sunwell.journal.codec import encode
from sunwell.journal.ownership import adopt
from sunwell.journal.records import RunOpened
from sunwell.models.registry import ModelRegistry
from sunwell.testing import Line, ScriptedModel

LENS = EphemeralLens(heuristics=("Models first.",), task_scope="CRUD", generation_prompt="Once.")
OTHER = EphemeralLens(heuristics=("Tests first.",))


def agent_with(*lines: Line) -> tuple[Agent, ScriptedModel, ScriptedModel]:
    """Return an agent whose smart model has nothing to say, and both of its models."""
    smart, cheap = ScriptedModel("opus-x", []), ScriptedModel("haiku-x", lines)
    return Agent(smart, smart, cheap, registry=ModelRegistry()), smart, cheap


def session_with(workspace: Path, **options: Any) -> SessionContext:
    return SessionContext.build(workspace, "Generate CRUD", options=RunOptions(**options))


async def test_the_delegation_model_works_under_a_given_lens(tmp_path: Path) -> None:
    """Delegation need not be switched on, and the smart model is never asked."""
    agent, smart, cheap = agent_with("Done.")
    events = [event async for event in agent.run(session_with(tmp_path, lens=LENS))]
    smart.assert_finished()
    assert LENS.to_context() in cheap.calls[0].system
    (started,) = [event for event in events if isinstance(event, DelegationStarted)]
    assert (started.smart_model, started.delegation_model) == ("", "haiku-x")
    (given,) = [event for event in events if isinstance(event, LensGiven)]
    assert (given.task_scope, given.heuristics_count, given.remarks) == ("CRUD", 1, ())
    result = next(event.result for event in events if isinstance(event, RunFinished))
    assert (result.lens, bool(result.decision)) == (LENS, True)
    assert [purpose for purpose, _ in result.bill.by_purpose] == ["work"]


async def test_a_loop_takes_it_with_its_configuration() -> None:
    """A run without a journal file works under it alike."""
    model = ScriptedModel("opus-x", ["Done."])
    events = [event async for event in AgentLoop(model, config=LoopConfig(lens=LENS)).run("Do it")]
    assert LENS.to_context() in model.calls[0].system
    assert isinstance(events[-1], RunFinished)
    assert events[-1].result.lens == LENS


async def test_a_finished_run_gives_the_lens_again_with_its_prompt(tmp_path: Path) -> None:
    """The record holds all of it."""
    agent, *_ = agent_with("Done.")
    first = await agent.run(session_with(tmp_path, lens=LENS))
    assert (await agent.resume(first.run_id, workspace=tmp_path)).lens == LENS


async def test_options_in_place_of_the_recorded_ones_keep_the_lens(tmp_path: Path) -> None:
    """It need not be given again, and another one is a change that is named."""
    agent, *_ = agent_with(ServerFailed("haiku-x", "down"))
    failed = await agent.run(session_with(tmp_path, lens=LENS))
    assert failed.status == "error"
    with pytest.raises(JournalError, match="the lens is another one"):
        await agent.resume(failed.run_id, workspace=tmp_path, given={"lens": OTHER})
    again, _, cheap = agent_with("Done.")
    result = await again.resume(failed.run_id, workspace=tmp_path, options=RunOptions())
    assert (result.status, LENS.to_context() in cheap.calls[0].system) == ("ok", True)


async def test_a_batch_takes_it_as_an_option_or_as_an_argument(tmp_path: Path) -> None:
    """Both say the same, and two that differ are refused."""
    for given in ({"lens": LENS}, {"options": RunOptions(lens=LENS)}):
        agent, _, cheap = agent_with("Done.")
        result = await agent.batch(["One"], workspace=tmp_path, **given)  # type: ignore[arg-type]
        assert (result.run.lens, LENS.to_context() in cheap.calls[0].system) == (LENS, True)
    agent, *_ = agent_with()
    with pytest.raises(ConfigurationError, match="two lenses are given"):
        await agent.batch(["One"], lens=OTHER, workspace=tmp_path, options=RunOptions(lens=LENS))


async def test_a_batch_of_before_has_its_lens_beside_its_tasks(tmp_path: Path) -> None:
    """Its record is read as before, and the run goes on under the same lens."""
    agent, *_ = agent_with(ServerFailed("haiku-x", "down"))
    failed = await agent.batch(["One"], lens=LENS, workspace=tmp_path)
    path = Path(failed.run.journal or "")
    opened, *rest = read_records(path)
    assert isinstance(opened, RunOpened)
    settings = dict(opened.settings)
    settings["batch"] = {**settings["batch"], "lens": settings.pop("lens")}
    records = [attrs.evolve(opened, settings=settings), *rest]
    path.write_bytes(b"".join(encode(record, seq) + b"\n" for seq, record in enumerate(records)))
    adopt(tmp_path, failed.run.run_id)
    again, _, cheap = agent_with("Done.")
    result = await again.resume(failed.run.run_id, workspace=tmp_path)
    assert (result.status, result.lens) == ("ok", LENS)
    assert LENS.to_context() in cheap.calls[0].system


@pytest.mark.parametrize(
    ("value", "said"),
    [
        pytest.param("lens.json", "sunwell.read_lens reads one from a file", id="path"),
        pytest.param(EphemeralLens(), "contains no guidance", id="empty"),
    ],
)
def test_what_is_no_lens_is_refused(value: Any, said: str) -> None:
    """The sentence says how to get one."""
    with pytest.raises(ConfigurationError, match=said):
        RunOptions(lens=value)


def test_a_lens_is_read_from_a_file(tmp_path: Path) -> None:
    """By its name or by its path."""
    (tmp_path / "lens.json").write_text(lens_json(OTHER))
    assert read_lens(str(tmp_path / "lens.json")) == read_lens(tmp_path / "lens.json") == OTHER


async def test_a_given_lens_splits_no_task_and_is_not_written_again(tmp_path: Path) -> None:
    """Two options that contradict each other are refused before anything is asked."""
    agent, *_ = agent_with()
    with pytest.raises(ConfigurationError, match="only a lens that is written can split a task"):
        await agent.run(session_with(tmp_path, lens=LENS, split=True))
    with pytest.raises(ConfigurationError, match="no lens is to be written"):
        await agent.lens(session_with(tmp_path, lens=LENS))


def test_a_lens_beyond_the_limit_is_used_whole_and_is_worth_a_second_look(tmp_path: Path) -> None:
    """Whoever wrote it decides what is in it."""
    agent, _, cheap = agent_with("Done.")
    events = []

    async def follow() -> None:
        events.extend(
            [event async for event in agent.run(session_with(tmp_path, lens=LENS, max_lens_tokens=5))]
        )

    asyncio.run(follow())
    (given,) = [event for event in events if isinstance(event, LensGiven)]
    assert "tokens long, and every turn of every worker reads it again" in given.remarks[0]
    assert LENS.to_context() in cheap.calls[0].system
