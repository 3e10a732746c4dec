"""A run played again from its journal alone: nobody is asked, nothing is done, nothing is written."""

import attrs
import pytest

from sunwell.budget import Budget
from sunwell.context.options import RunOptions
from sunwell.core import EphemeralLens
from sunwell.errors import JournalError, ServerFailed
from sunwell.events import ModelCallFinished, ToolCallFinished
from sunwell.journal.codec import encode
from sunwell.testing import ScriptedModel, completion

TASK_LENS = '{"task_scope": "all", "heuristics": ["Read first."], "patterns": [], "anti_patterns": [], '


def without_time(result):
    """Return *result* without what differs between two tellings of it."""
    return attrs.evolve(result, duration_seconds=0.0)


def state_of(folder):
    """Return every file below *folder*, with its bytes and its time."""
    return {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.rglob("*") if p.is_file()}


ENDS = [
    pytest.param({}, lambda call: [completion(call.writing("a.txt", "1\n")), "Done."], id="ok"),
    pytest.param(
        {"budget": Budget(turns=1)},
        lambda call: [completion(call.writing("a.txt", "1\n")), "Not finished."],
        id="incomplete",
    ),
    pytest.param(
        {},
        lambda call: [completion(call.writing("a.txt", "1\n")), ServerFailed("opus-x", "down", retry=True)],
        id="error",
    ),
]


@pytest.mark.parametrize(("options", "lines"), ENDS)
def test_a_replay_ends_as_the_run_did_and_touches_nothing(story, call, options, lines):
    """Result and bill are the recorded ones; the files may be gone or others by then."""
    story.options = RunOptions(**options)
    first = story.run(*lines(call))
    (story.workspace / "a.txt").write_text("somebody else's\n")
    before = state_of(story.workspace)
    again = story.replay()
    assert without_time(again) == without_time(first)
    assert (story.asked, state_of(story.workspace)) == (0, before)


def test_a_replay_tells_each_call_and_tool_as_replayed(story, call):
    """Whoever watches sees what is recorded."""
    story.run(completion(call.writing("a.txt", "1\n")), "Done.")
    story.replay()
    told = [event for event in story.events if isinstance(event, ModelCallFinished | ToolCallFinished)]
    assert [event.replayed for event in told] == [True, True, True]


def test_a_run_out_of_time_is_out_of_time_again(story, call, scripted):
    """In the same turn, although a replay takes no time."""
    (story.workspace / "a.txt").write_text("1\n")
    story.options = RunOptions(budget=Budget(seconds=10))
    turn = completion("Looking.", call.reading("a.txt"))
    first = story.run(model=scripted("opus-x", turn, turn, "Never heard.", "Nor this.", seconds=4))
    assert without_time(story.replay()) == without_time(first)


def test_the_replay_of_a_killed_run_ends_where_its_record_does(story, call):
    """It says which call was never answered."""
    story.run(completion("Looking.", call.writing("a.txt", "1\n")), "Done.")
    keep_records(story, 6)
    result = story.replay()
    assert (result.status, result.stop_reason, result.answer_by) == ("cancelled", "cancelled", "harness")
    assert "The model said last:\n\n> Looking." in result.answer
    assert "- a.txt (created)" in result.answer
    assert result.error == "the record ends here: call 1 of run/direct has no answer in it"
    assert [change.path for change in result.files] == ["a.txt"]


def keep_records(story, count):
    """Leave the journal as a kill after so many records would."""
    [path] = story.journals
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:count]))


def test_code_that_asks_something_else_is_refused_unless_accepted(story, call):
    """The recorded tools were described in other words."""
    first = story.run(completion(call.writing("a.txt", "1\n")), "Done.")
    opened, *others = story.records()
    settings = dict(opened.settings)
    settings["code"]["tools"][0][1] = "0" * 32
    records = [attrs.evolve(opened, settings=settings), *others]
    story.journals[0].write_bytes(b"".join(encode(r, i) + b"\n" for i, r in enumerate(records)))
    with pytest.raises(JournalError, match="the tool list_files is described in other words"):
        story.replay()
    assert story.replay(accept_changes=True).answer == first.answer


def test_a_delegated_run_is_replayed_with_its_lens(story, call):
    """Decision, lens and the work under it."""
    text = TASK_LENS + '"constraints": [], "examples": [], "target_files": []}'
    story.options = RunOptions(enable_delegation=True, delegation_threshold_tokens=0)
    first = story.run(
        smart_model=ScriptedModel("opus-y", [text]),
        delegation_model=ScriptedModel("haiku-x", [completion(call.writing("a.txt", "1\n")), "Done."]),
    )
    assert isinstance(first.lens, EphemeralLens)
    assert without_time(story.replay()) == without_time(first)


def test_a_batch_is_replayed_with_all_its_workers(story, call):
    """Each result stands where it stood."""
    story.options = RunOptions(max_concurrent=1)
    first = story.batch(["one", "two"], completion(call.writing("a.txt", "1\n")), "Done one.", "Done two.")
    again = story.replay()
    assert [worker.answer for worker in again.workers] == ["Done one.", "Done two."]
    assert (again.status, again.bill, again.files) == (first.status, first.bill, first.files)
    assert story.asked == 0
