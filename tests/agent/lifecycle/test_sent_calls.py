"""What was sent in a run whose calls had no answer, or whose end came before them."""

import asyncio
from pathlib import Path

import attrs

from sunwell.agent.lifecycle.sent_requests import sent_calls
from sunwell.budget import Budget
from sunwell.context.options import RunOptions
from sunwell.journal import read_records
from sunwell.journal.layout import list_runs
from sunwell.journal.records import Intent, RunOpened
from sunwell.testing import ScriptedModel, completion, replay_journal, run_virtual
from tests.agent.orchestrated import answer, boss, call
from tests.agent.orchestration.workspaces import by_task, orchestrate


def require_all(path, *models):
    """Hold what is made again from the journal at *path* against what *models* were asked."""
    records = list(read_records(path))
    sent = run_virtual(sent_calls(records))
    begun = {(one.span, one.number) for one in records if isinstance(one, Intent)}
    assert (sent.missing, sent.calls.keys()) == ("", begun)
    asked = {request.digest(model.name) for model in models for request in model.calls}
    assert {one.request.digest(one.model) for one in sent.calls.values()} == asked


def test_a_call_that_the_time_limit_cut_off_was_sent(story, call, scripted):
    """And so was the one that should have told what there is."""
    story.options = RunOptions(budget=Budget(seconds=10))
    (story.workspace / "a.txt").write_text("1\n")
    turn = completion("Looking.", call.reading("a.txt"))
    model = scripted("opus-x", turn, turn, "Never heard.", "Nor this.", seconds=4)
    first = story.run(model=model)
    require_all(story.journals[0], model)
    assert run_virtual(replay_journal(story.journals[0])).answer == first.answer


def test_a_lens_that_could_not_be_read_was_asked_for(story):
    """The run went on without it, and does so when it is played again."""
    story.options = RunOptions(enable_delegation=True, delegation_threshold_tokens=0)
    smart, cheap = ScriptedModel("opus-y", ["no lens"] * 2), ScriptedModel("haiku-x", [])
    model = ScriptedModel("opus-x", ["Done."])
    first = story.run(model=model, smart_model=smart, delegation_model=cheap)
    assert first.lens is None
    require_all(story.journals[0], smart, cheap, model)
    assert run_virtual(replay_journal(story.journals[0])).answer == first.answer


def test_a_model_that_hands_out_work_was_told_of_checks(tmp_path: Path):
    """Where commands may run; the run can be played again, too."""
    smart = boss(
        call("delegate", task="dig", tools=None, check="test -d ."),
        call("await_results", task_ids=None, timeout_seconds=None),
        answer("ok"),
    )
    cheap = by_task({"dig": ["done"]})
    asyncio.run(orchestrate(tmp_path, smart, cheap, allow_shell=True, sandbox="off"))
    [run] = list_runs(tmp_path)
    require_all(run.path, smart, cheap)
    assert run_virtual(replay_journal(run.path)).answer == "ok"


def test_a_call_of_other_work_has_no_request_and_says_so(story):
    """A journal that somebody changed is no reason to fail."""
    story.run("Done.")
    records = [
        attrs.evolve(record, span="elsewhere") if isinstance(record, Intent) else record
        for record in story.records()
    ]
    sent = run_virtual(sent_calls(records))
    assert dict(sent.calls) == {}
    assert "a record of the kind intent is of work that is not the run's" in sent.missing


def test_a_run_in_which_nothing_was_sent_misses_nothing(story):
    """It may not even have begun to ask."""
    story.run("Done.")
    [opened, *_] = story.records()
    assert isinstance(opened, RunOpened)
    sent = run_virtual(sent_calls([opened]))
    assert (dict(sent.calls), sent.missing) == ({}, "")
