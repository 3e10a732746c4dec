"""Which model plays which part, and what happens where the delegation model cannot be used."""

import pytest

from sunwell.agent import Agent
from sunwell.context.options import RunOptions
from sunwell.context.session import SessionContext
from sunwell.errors import MissingKeyError, UnknownModelError
from sunwell.events import ModelFellBack, RunFinished
from sunwell.journal.reading import read_records
from sunwell.journal.records import Note
from sunwell.models.registry import ModelRegistry
from sunwell.testing import ScriptedModel


def agent(*answers):
    """Return an agent whose own model gives *answers*."""
    registry = ModelRegistry()
    registry.register("parent", ScriptedModel("parent", list(answers)))
    return Agent(registry=registry)


@pytest.mark.parametrize(
    ("named", "error"),
    [
        pytest.param("nobody", UnknownModelError, id="unknown"),
        pytest.param("xai/grok-3", MissingKeyError, id="no-key"),
    ],
)
async def test_the_run_ends_before_anything_is_spent_unless_told_otherwise(named, error, tmp_path):
    """``fallback = "fail"`` is the default: a clear error."""
    options = RunOptions(model="parent", delegation_model=named)
    with pytest.raises(error):
        await agent().result(SessionContext.build(tmp_path, "say hello", options=options))


@pytest.mark.parametrize("named", ["nobody", "xai/grok-3"])
async def test_the_parent_takes_over_where_the_caller_allows_it(named, tmp_path):
    """With ``fallback = "parent"`` its model works, with an event, and a mark in the journal."""
    options = RunOptions(model="parent", delegation_model=named, fallback="parent")
    session = SessionContext.build(tmp_path, "say hello", options=options)
    events = [event async for event in agent("hello").run(session)]
    (told,) = [event for event in events if isinstance(event, ModelFellBack)]
    assert (told.role, told.wanted, told.used) == ("delegation_model", named, "parent")
    assert isinstance(events[-1], RunFinished)
    result = events[-1].result
    assert (result.status, result.answer) == ("ok", "hello")
    notes = [record for record in read_records(result.journal) if isinstance(record, Note)]
    assert [note.value["wanted"] for note in notes if note.name == "model_fell_back"] == [named]


async def test_only_the_delegation_model_may_be_stood_in_for(tmp_path):
    """A smart model that cannot be used is an error in any case."""
    options = RunOptions(model="parent", smart_model="nobody", fallback="parent")
    with pytest.raises(UnknownModelError):
        await agent().result(SessionContext.build(tmp_path, "say hello", options=options))
