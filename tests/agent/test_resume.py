"""A run taken up again: after any end, with nothing paid twice, and only where it means the same."""

import json
from decimal import Decimal
from pathlib import Path

import attrs
import pytest

from sunwell.budget import Budget
from sunwell.context.options import RunOptions
from sunwell.core import Usage
from sunwell.errors import JournalError, ServerFailed
from sunwell.journal import read_records
from sunwell.journal.codec import encode
from sunwell.journal.records import Answer, RunClosed, ToolStarted
from sunwell.testing import ScriptedModel, completion

SHELL = {"allow_shell": True, "sandbox": "off"}
"""What a record cannot give."""


def test_a_finished_run_gives_the_same_result_again_without_a_call(story, call):
    """The bill, the files and the time are the recorded ones, and the journal is not touched."""
    first = story.run(completion(call.writing("a.txt", "1\n")), "Done.")
    before = Path(first.journal or "").read_bytes()
    again = story.resume()
    assert again == first
    assert Path(first.journal or "").read_bytes() == before


def test_a_finished_run_is_given_again_whatever_changed(story, call, scripted):
    """Nothing is asked any more, so it does not matter what the models or files are now."""
    first = story.run(completion(call.writing("a.txt", "1\n")), "Done.")
    (story.workspace / "a.txt").write_text("other\n")
    assert story.resume(model=scripted("another")).answer == first.answer


@pytest.mark.parametrize(
    ("ceiling", "raised", "reason"),
    [
        pytest.param(Budget(turns=1), Budget(turns=5), "turns", id="turns"),
        pytest.param(Budget(calls=2), Budget(calls=9), "calls", id="calls"),
        pytest.param(Budget(usd="0.065"), Budget(usd=1), "budget_usd", id="dollars"),
    ],
)
def test_a_run_that_met_a_limit_ends_the_same_or_goes_on_with_a_higher_one(
    story, call, ceiling, raised, reason
):
    """Without a raise nobody is asked; with one it goes on where it stood, and again after that."""
    story.options = RunOptions(budget=ceiling, max_output_tokens=4000)
    first = story.run(completion(call.writing("a.txt", "1\n"), usage=Usage(4000, 4000)), "Not finished.")
    assert (first.status, first.stop_reason) == ("incomplete", reason)
    again = story.resume()
    assert story.asked == 0
    assert (again.status, again.stop_reason, again.answer) == ("incomplete", reason, "Not finished.")
    done = story.resume(completion(call.reading("a.txt")), "Done.", budget=raised)
    assert (done.status, done.answer, done.bill.calls) == ("ok", "Done.", 4)
    assert story.resume().answer == "Done."


def test_a_run_out_of_time_ends_the_same_or_goes_on_with_more(story, call, scripted):
    """Time that is used up does not come back, and a time-out is met in the same turn."""
    story.options = RunOptions(budget=Budget(seconds=10))
    (story.workspace / "a.txt").write_text("1\n")
    turn = completion("Looking.", call.reading("a.txt"))
    first = story.run(model=scripted("opus-x", turn, turn, "Never heard.", "Nor this.", seconds=4))
    assert (first.status, first.stop_reason, first.turns) == ("incomplete", "timeout", 2)
    again = story.resume()
    assert story.asked == 0
    assert attrs.evolve(again, bill=first.bill, duration_seconds=0.0) == attrs.evolve(
        first, duration_seconds=0.0
    )
    done = story.resume("Done.", budget=Budget(seconds=100))
    assert (done.status, done.answer) == ("ok", "Done.")


def test_a_run_that_failed_asks_again_what_had_no_answer(story, call):
    """A provider that was down may be up now."""
    first = story.run(completion(call.writing("a.txt", "1\n")), ServerFailed("opus-x", "down", retry=True))
    assert first.status == "error"
    done = story.resume("Done.")
    assert (done.status, done.answer, story.asked) == ("ok", "Done.", 1)


def test_a_run_that_was_stopped_goes_on(story, call):
    """Whatever was answered by then is kept."""
    first = story.run(completion(call.writing("a.txt", "1\n")), "Done.", stop_at=5)
    assert first.status == "cancelled"
    assert story.resume(*([] if story.asked > 1 else ["Done."])).status == "ok"


def _cancelled_early(story, call):
    """Leave a run that has read a file, and written another, and met its limit."""
    (story.workspace / "seen.txt").write_text("1\n")
    story.options = RunOptions(budget=Budget(turns=2))
    story.run(
        completion(call.reading("seen.txt")), completion(call.writing("made.txt", "1\n")), "Not finished."
    )


@pytest.mark.parametrize(
    ("path", "content"),
    [
        pytest.param("seen.txt", "2\n", id="read"),
        pytest.param("seen.txt", None, id="read-and-gone"),
        pytest.param("made.txt", "2\n", id="written"),
        pytest.param("made.txt", None, id="written-and-gone"),
    ],
)
def test_a_file_that_somebody_changed_is_named_and_refused(story, call, path, content):
    """One sentence, nothing asked; accepted, the run goes on with what it knew, and stays accepted."""
    _cancelled_early(story, call)
    if content is None:
        (story.workspace / path).unlink()
    else:
        (story.workspace / path).write_text(content)
    with pytest.raises(JournalError, match=f"^{path} changed since the run saw it.*--accept-changes$"):
        story.resume(budget=Budget(turns=9))
    story.resume(completion(call.reading("x.txt")), "Still not.", budget=Budget(turns=3), accept_changes=True)
    assert story.resume("Done.", budget=Budget(turns=9)).status == "ok"


def test_what_the_run_itself_changed_later_is_no_change_by_others(story, call):
    """It read a file, changed it twice, and is taken up."""
    (story.workspace / "a.txt").write_text("1\n")
    story.options = RunOptions(budget=Budget(turns=3))
    lines = (call.reading("a.txt"), call.writing("a.txt", "2\n"), call.writing("a.txt", "3\n"))
    story.run(*map(completion, lines), "Not finished.")
    assert story.resume("Done.", budget=Budget(turns=9)).status == "ok"


def test_what_a_command_of_the_run_changed_is_no_change_by_others(story, call):
    """The files are looked at again after each command."""
    (story.workspace / "a.txt").write_text("1\n")
    story.options = RunOptions(budget=Budget(turns=2), allow_shell=True, sandbox="off")

    lines = (call.reading("a.txt"), call("run_command", command="echo 2 > a.txt", timeout_seconds=None))
    story.in_real_time("run", *map(completion, lines), "Not finished.")
    assert story.in_real_time("resume", "Done.", given=SHELL, budget=Budget(turns=9)).status == "ok"


def test_another_model_is_named_and_refused(story, call, scripted):
    """The sentence says which part it plays and who played it."""
    _cancelled_early(story, call)
    with pytest.raises(JournalError, match=r"^model was opus-x and is sonnet now: .*--accept-changes$"):
        story.resume(model=scripted("sonnet"), budget=Budget(turns=9))
    model = scripted("sonnet", "Done.")
    assert story.resume(model=model, budget=Budget(turns=9), accept_changes=True).answer == "Done."


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        pytest.param({"effort": "high"}, "effort was None and is high now", id="effort"),
        pytest.param({"system_prompt": "Be brief."}, "the system prompt has changed", id="system-prompt"),
        pytest.param({"tools": ("read_file",)}, "the tools .*write_file.* are gone", id="fewer-tools"),
        pytest.param(
            {"allow_shell": True, "sandbox": "off"}, "the tools run_command are new", id="more-tools"
        ),
        pytest.param({"enable_delegation": True}, "enable_delegation was False and is True", id="delegation"),
    ],
)
def test_another_option_is_named_and_refused(story, call, options, sentence):
    """What would ask another question than the recorded one."""
    _cancelled_early(story, call)
    with pytest.raises(JournalError, match=sentence):
        story.resume(options=RunOptions(budget=Budget(turns=9), **options))


@pytest.mark.parametrize("prompt", ["lens", "work"])
def test_another_version_of_a_prompt_is_named_and_refused(story, call, prompt):
    """The run was recorded by code that asked in other words."""
    _cancelled_early(story, call)
    [path] = story.workspace.glob(".sunwell/runs/*/journal.jsonl")
    rewrite(path, prompt)
    with pytest.raises(JournalError, match=rf"the prompt for {prompt} was version 0 and is \d+ now"):
        story.resume(budget=Budget(turns=9))


def rewrite(path, prompt):
    """Write the journal as a Sunwell with another version of the prompt would have."""
    opened, *others = read_records(path)
    settings = dict(opened.settings)
    settings["code"]["prompts"][prompt] = 0
    records = [attrs.evolve(opened, settings=settings), *others]
    path.write_bytes(b"".join(encode(record, i) + b"\n" for i, record in enumerate(records)))


def test_every_resume_leaves_its_end_on_record(story, call):
    """The last one counts."""
    _cancelled_early(story, call)
    done = story.resume("Done.", budget=Budget(turns=9))
    closed = [r for r in read_records(Path(done.journal or "")) if isinstance(r, RunClosed)]
    assert [record.status for record in closed] == ["incomplete", "ok"]


def test_a_lens_whose_writing_was_cut_off_is_finished_from_its_answer(story, call):
    """The answer is on record and the lens is not; what the smart model was shown is, so that files which
    have changed since make no other question of it."""
    lens = {"task_scope": "x", "heuristics": ["Read."]}
    lens |= {name: [] for name in ("patterns", "anti_patterns", "constraints", "examples", "target_files")}
    story.options = RunOptions(enable_delegation=True, delegation_threshold_tokens=0)
    (story.workspace / "README.md").write_text("one\n")
    smart = ScriptedModel("opus-y", [json.dumps(lens)])
    story.run(smart_model=smart, delegation_model=ScriptedModel("haiku-x", ["Done."]))
    [path] = story.journals
    kinds = [record.kind for record in read_records(path)]
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[: kinds.index("lens")]))
    models = {
        "smart_model": ScriptedModel("opus-y", []),
        "delegation_model": ScriptedModel("haiku-x", ["Done."]),
    }
    (story.workspace / "README.md").write_text("two\n")
    with pytest.raises(JournalError, match=r"^README.md changed since the run saw it"):
        story.resume(**models)
    result = story.resume(**models, accept_changes=True)
    assert (result.status, result.lens.heuristics, story.asked) == ("ok", ("Read.",), 1)


def test_a_command_whose_end_is_unknown_is_told_to_the_model(story, call):
    """It may have taken effect: it is not run again, and the model is told to look."""
    story.options = RunOptions(allow_shell=True, sandbox="off")
    command = call("run_command", command="echo x >> made.txt", timeout_seconds=None)
    story.in_real_time("run", completion(command), "Done.")
    [path] = story.journals
    kinds = [record.kind for record in read_records(path)]
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[: kinds.index("tool")]))
    asked = []

    def looks(request):
        asked.append(request.messages[-1].parts[0].content)
        return "Looked."

    assert story.in_real_time("resume", looks, given=SHELL).answer == "Looked."
    assert asked[0].startswith("The run was interrupted while this call was under way")
    assert (story.workspace / "made.txt").read_text() == "x\n"


@pytest.mark.parametrize(
    ("on_disk", "left", "told"),
    [
        pytest.param("2\n", "2\n", "wrote a.txt", id="done"),
        pytest.param("1\n", "2\n", "wrote a.txt", id="not-done"),
        pytest.param("3\n", "3\n", "The run was interrupted while this call", id="changed-by-others"),
    ],
)
def test_a_write_whose_end_is_not_on_record_is_decided_by_the_file(story, call, on_disk, left, told):
    """Also where the run had read that file before: what it was about to change is not held against it."""
    (story.workspace / "a.txt").write_text("1\n")
    story.run(completion(call.reading("a.txt")), completion(call.writing("a.txt", "2\n")), "Done.")
    [path] = story.journals
    kinds = [record.kind for record in read_records(path)]
    second = kinds.index("tool", kinds.index("tool") + 1)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:second]))
    (story.workspace / "a.txt").write_text(on_disk)
    seen = []

    def looks(request):
        seen.append(request.messages[-1].parts[0].content)
        return "Done."

    assert story.resume(looks).status == "ok"
    assert seen[0].startswith(told)
    assert (story.workspace / "a.txt").read_text() == left


def test_what_a_dry_run_planned_is_no_file_that_it_read(story, call):
    """Planned text is read back and was never on the disk."""
    story.options = RunOptions(dry_run=True, budget=Budget(turns=2))
    story.run(completion(call.writing("a.txt", "1\n")), completion(call.reading("a.txt")), "Not finished.")
    assert story.resume("Done.", budget=Budget(turns=9)).status == "ok"


def test_answers_stay_accepted_when_the_run_is_taken_up_once_more(story, call, scripted):
    """Accepted with another model, cut short again, and taken up with that model without a word."""
    _cancelled_early(story, call)
    other = scripted("sonnet", completion(call.reading("seen.txt")), "Not finished either.")
    story.resume(model=other, budget=Budget(turns=3), accept_changes=True)
    done = story.resume(model=scripted("sonnet", "Done."), budget=Budget(turns=9))
    assert (done.status, done.answer) == ("ok", "Done.")


def test_a_stated_cost_without_usage_counts_as_much_after_a_resume(story, call):
    """The provider charged more than was reserved, and said nothing of tokens."""
    said = attrs.evolve(completion(call.writing("a.txt", "1\n")), usage=None, stated_cost_usd=Decimal("0.75"))
    story.options = RunOptions(budget=Budget(turns=1), max_output_tokens=400)
    first = story.run(said, "Not finished.")
    done = story.resume("Done.", budget=Budget(turns=5))
    assert first.bill.uncertain_usd == done.bill.uncertain_usd == Decimal("0.75")


def test_a_call_is_recorded_approved_and_repeated_as_it_was_repaired(story, call):
    """The record of a command has the command, whatever name its argument had; a resume finds the same."""
    asked = []
    story.options = RunOptions(**SHELL, approve=lambda proposal: asked.append(proposal.details) or True)
    command = call("run_command", cmd="echo one > a.txt", timeout_seconds="5")
    first = story.in_real_time("run", completion(command), "Done.")
    (started,) = [one for one in read_records(story.journals[0]) if isinstance(one, ToolStarted)]
    assert json.loads(started.call.arguments) == {"command": "echo one > a.txt", "timeout_seconds": 5}
    assert asked == ["echo one > a.txt"]
    assert (story.workspace / "a.txt").read_text() == "one\n"
    assert story.resume() == first
    answer = next(one for one in read_records(story.journals[0]) if isinstance(one, Answer))
    assert answer.completion.tool_calls[0].arguments == command.arguments
