"""A recorded run against the code of today: it passes, or says which question has changed and where."""

import json

import attrs
import pytest

from sunwell.budget import Budget
from sunwell.context.options import RunOptions
from sunwell.core import ToolSpec
from sunwell.errors import JournalError
from sunwell.journal import read_records
from sunwell.journal.codec import encode
from sunwell.journal.records import Answer
from sunwell.testing import ReplayDifference, ScriptedModel, completion, replay_journal, run_virtual
from sunwell.tools import Toolbox


@pytest.fixture
def recorded(story, call):
    """The journal of a run of three turns."""
    (story.workspace / "a.txt").write_text("1\n")
    story.run(completion(call.reading("a.txt")), completion(call.writing("b.txt", "2\n")), "Done.")
    return story.journals[0]


def rewritten(path, change):
    """Write the journal anew with *change* made to each record; ``None`` leaves it out."""
    records = [new for record in list(read_records(path)) if (new := change(record)) is not None]
    path.write_bytes(b"".join(encode(record, i) + b"\n" for i, record in enumerate(records)))


def test_unchanged_code_passes_and_gives_the_result(recorded):
    """Nothing is asked or written, wherever the journal stands."""
    before = {path: path.read_bytes() for path in recorded.parent.rglob("*") if path.is_file()}
    result = run_virtual(replay_journal(recorded))
    assert (result.status, result.answer, result.turns) == ("ok", "Done.", 3)
    assert {path: path.read_bytes() for path in recorded.parent.rglob("*") if path.is_file()} == before


def test_a_run_that_was_given_more_room_passes(story, call):
    """Its first end is not asked for again."""
    story.options = RunOptions(budget=Budget(turns=1))
    story.run(completion(call.writing("b.txt", "2\n")), "Not finished.")
    story.resume("Done.", budget=Budget(turns=5))
    assert run_virtual(replay_journal(story.journals[0])).answer == "Done."


def test_the_killed_run_passes_as_far_as_it_goes(recorded):
    """What is not recorded is nobody's fault."""
    recorded.write_bytes(b"".join(recorded.read_bytes().splitlines(keepends=True)[:6]))
    assert run_virtual(replay_journal(recorded)).status == "cancelled"


class OtherTools(Toolbox):
    """The same tools in other words."""

    def specs(self):
        first, *others = super().specs()
        return (ToolSpec(first.name, "Other words.", first.parameters), *others)


def difference(path, **given):
    """Return what a replay fails with."""
    with pytest.raises(ReplayDifference) as failure:
        run_virtual(replay_journal(path, **given))
    return str(failure.value)


def test_another_tool_is_named(story, recorded):
    """The first call differs, and the known reason stands above it."""
    said = difference(recorded, tool_executor=OtherTools(story.workspace))
    assert "known to have changed: the tool list_files is described in other words" in said
    assert "call 0 of run/direct (work, opus-x) is not the recorded one: digest " in said
    assert "the difference is in the system prompt, the tools, the effort or the first messages:" in said
    assert "call 1 of" not in said


def test_another_system_prompt_is_shown(recorded):
    """As it is now: only its digest is on record."""
    said = difference(recorded, options=RunOptions(system_prompt="Be brief."))
    assert "known to have changed: the system prompt has changed" in said
    assert "system 0: Be brief." in said


def test_the_message_that_differs_is_among_those_shown(recorded):
    """What the last matching question had is left out."""

    def other_result(record):
        if record.kind == "tool" and record.turn == 1:
            return attrs.evolve(record, result=attrs.evolve(record.result, content="another result"))
        return record

    rewritten(recorded, other_result)
    said = difference(recorded)
    assert "call 2 of run/direct (work, opus-x) is not the recorded one" in said
    assert "its first 3 messages are the recorded ones; the difference is in what follows:" in said
    assert "message 4: tool result c0 another result" in said
    assert "message 2:" not in said


def test_another_model_is_named_and_found_to_be_all(recorded):
    """The recorded question was the same, to another model."""

    def renamed(record):
        if record.kind == "run":
            settings = {**record.settings, "models": {**record.settings["models"], "model": "opus-z"}}
            return attrs.evolve(record, settings=settings)
        return record

    rewritten(recorded, renamed)
    said = difference(recorded)
    assert "call 0 of run/direct (work, opus-z) is not the recorded one" in said
    assert "the model was opus-x\n  and nothing else differs" in said


def test_asking_more_than_was_answered_is_told(recorded):
    """The run had come to its end by then."""
    rewritten(recorded, lambda record: None if isinstance(record, Answer) and record.number == 2 else record)
    said = difference(recorded)
    assert "more is asked than was answered: the record ends here: call 2 of run/direct" in said


def test_asking_less_than_was_answered_is_told(recorded):
    """Answers are left over."""

    def early(record):
        if isinstance(record, Answer) and record.number == 1:
            return attrs.evolve(record, completion=completion("Done early.", model="opus-x"))
        return record

    rewritten(recorded, early)
    said = difference(recorded)
    assert "1 of 3 recorded answers were not asked for, the first to call 2 of run/direct" in said


def test_what_is_no_journal_is_refused(tmp_path):
    """In one sentence."""
    (tmp_path / "x.jsonl").write_text("{}\n")
    with pytest.raises(JournalError, match="does not begin with the record of a run"):
        run_virtual(replay_journal(tmp_path / "x.jsonl"))


def test_the_question_for_the_lens_is_compared_too(story, call):
    """With what the smart model was shown then, whatever the files are now."""
    lens = {"task_scope": "x", "heuristics": ["Read."]}
    lens |= {name: [] for name in ("patterns", "anti_patterns", "constraints", "examples", "target_files")}
    story.options = RunOptions(enable_delegation=True, delegation_threshold_tokens=0)
    (story.workspace / "README.md").write_text("one\n")
    models = {
        "smart_model": ScriptedModel("opus-y", [json.dumps(lens)]),
        "delegation_model": ScriptedModel("haiku-x", ["Done."]),
    }
    story.run(**models)
    (story.workspace / "README.md").write_text("two\n")
    assert run_virtual(replay_journal(story.journals[0])).answer == "Done."

    def another_task(record):
        return attrs.evolve(record, task="Do that.") if record.kind == "run" else record

    rewritten(story.journals[0], another_task)
    assert "call 0 of run/lens (lens, opus-y) is not the recorded one" in difference(story.journals[0])


def test_each_worker_of_a_batch_is_held_against_its_record(story, call):
    """Not only the end of a worker is known, but what it was asked."""
    story.options = RunOptions(max_concurrent=1)
    story.batch(["one", "two"], completion(call.writing("a.txt", "1\n")), "Done one.", "Done two.")
    path = story.journals[0]
    assert run_virtual(replay_journal(path)).status == "ok"
    said = difference(path, tool_executor=OtherTools(story.workspace))
    assert "call 0 of run/task-0 (work, opus-x) is not the recorded one" in said
    assert "call 0 of run/task-1 (work, opus-x) is not the recorded one" in said
