"""The next question in the conversation of a run that has ended, in a run of its own."""

import shutil
from pathlib import Path

import pytest

from sunwell.agent import Agent
from sunwell.budget import Budget
from sunwell.context.options import RunOptions
from sunwell.context.session import SessionContext
from sunwell.core import EphemeralLens, Text, ToolResult
from sunwell.errors import ConfigurationError, JournalError, ServerFailed
from sunwell.events import RunFinished
from sunwell.journal import read_records
from sunwell.journal.ownership import adopt
from sunwell.journal.records import Continued, Note, RunClosed, RunOpened, ToolFinished, ToolStarted
from sunwell.journal.tree import tree
from sunwell.models.registry import ModelRegistry
from sunwell.simulator import InProcessModel
from sunwell.simulator.scripts import cheap, smart
from sunwell.testing import ScriptedModel, completion
from tests.agent import orchestrated
from tests.agent.conftest import PRICE, UnthreadedFiles

SHOP = Path(__file__).parents[3] / "examples" / "shop"
OLD = Path(__file__).parents[2] / "data" / "journals"


def wrote(story, call, *more):
    """Leave a run that wrote a file and said so; return its model."""
    model = ScriptedModel("opus-x", [completion(call.writing("a.txt", "1\n")), *(more or ("Written.",))])
    story.run(model=model)
    return model


def newest(story):
    """Return the id of the newest run."""
    return story.journals[-1].parent.name


def said(request):
    """Return each text that is in *request*, of messages and results."""
    parts = [part for message in request.messages for part in message.parts]
    return [getattr(part, "text", getattr(part, "content", "")) for part in parts]


def test_the_next_question_comes_behind_all_that_was_said(story, call):
    """System prompt, tools and messages are those of the earlier run; its answer and the new words follow."""
    first = wrote(story, call)
    before = story.journals[0].read_bytes()
    again = ScriptedModel("opus-x", ["It holds a one."])
    result = story.go_on("What is in it?", model=again)
    assert (result.status, result.answer, result.task) == ("ok", "It holds a one.", "What is in it?")
    earlier, [request] = first.calls[-1], again.calls
    assert (request.system, request.tools) == (earlier.system, earlier.tools)
    known = len(earlier.messages)
    assert tuple(request.messages[:known]) == tuple(earlier.messages)
    assert [(one.role, one.text) for one in request.messages[known:]] == [
        ("assistant", "Written."), ("user", "What is in it?"),
    ]  # fmt: skip
    assert story.journals[0].read_bytes() == before


def test_it_is_a_run_with_a_bill_and_a_record_of_its_own(story, call):
    """What the earlier run did and cost is not counted again, and the first record names that run."""
    wrote(story, call)
    result = story.go_on("And now?", "Nothing.")
    assert (result.bill.calls, result.turns, result.files, result.tools_called) == (1, 1, (), ())
    opened, mark, *_ = read_records(story.journals[1])
    assert isinstance(opened, RunOpened)
    assert isinstance(mark, Continued)
    assert opened.continues == mark.run_id == story.journals[0].parent.name
    assert tree(read_records(story.journals[1])).total_usage.total_tokens == result.bill.usage.total_tokens


def test_a_continued_run_is_continued_resumed_replayed_and_forked_like_any_other(story, call):
    """The third question still has the whole conversation."""
    wrote(story, call)
    story.go_on("And b?", completion(call.writing("b.txt", "1\n")), "Written, too.")
    second = newest(story)
    assert story.resume(run_id=second).answer == "Written, too."
    assert story.replay(run_id=second).answer == "Written, too."
    (story.workspace / "b.txt").unlink()
    forked = story.fork("run/direct", "Not written.", run_id=second)
    assert (forked.status, forked.answer) == ("ok", "Not written.")
    assert story.replay(run_id=forked.run_id).answer == "Not written."
    model = ScriptedModel("opus-x", ["Both."])
    third = story.go_on("Which files?", model=model, run_id=second, accept_changes=True)
    assert third.answer == "Both."
    texts = said(model.calls[0])
    assert [text for text in ("Do it.", "Written.", "And b?", "Written, too.") if text not in texts] == []
    assert texts[-1].endswith("Which files?")


def test_the_cap_of_the_new_run_is_its_own(story, call):
    """What the earlier run used does not count; a limit that is named here holds."""
    story.options = RunOptions(budget=Budget(calls=3))
    wrote(story, call)
    assert story.go_on("Once more.", completion(call.reading("a.txt")), "Read.").status == "ok"
    short = story.go_on(
        "And again.", completion(call.reading("a.txt")), "As far as it is.", run_id=newest(story),
        budget=Budget(turns=1),
    )  # fmt: skip
    assert (short.status, short.stop_reason) == ("incomplete", "turns")


def test_a_run_that_met_a_limit_goes_on_and_is_told_so(story, call):
    """All its turns are there; the answer that was put together for the user is told as such."""
    story.options = RunOptions(budget=Budget(turns=1))
    wrote(story, call, "A file is written.")
    model = ScriptedModel("opus-x", ["Now it is done."])
    result = story.go_on("Go on.", model=model, budget=Budget(turns=5))
    assert result.status == "ok"
    last = model.calls[0].messages[-1]
    text = "".join(part.text for part in last.parts if isinstance(part, Text))
    assert last.role == "tool"
    assert "[The work above ended early: the turns for this task are used up." in text
    assert "```\nA file is written.\n```" in text
    assert text.endswith("Go on.")


def test_a_run_whose_provider_failed_goes_on(story, call):
    """What the provider said of the failure is not told."""
    wrote(story, call, ServerFailed("opus-x", "secret detail at https://host.example"))
    model = ScriptedModel("opus-x", ["Done."])
    assert story.go_on("Try again.", model=model).answer == "Done."
    text = said(model.calls[0])[-1]
    assert "ended early: a call of the model failed" in text
    assert "host.example" not in text


def killed_after(story, kind, *, keep=1):
    """Cut the oldest journal after its record number *keep* of the class *kind*."""
    path = story.journals[0]
    lines = path.read_bytes().splitlines(keepends=True)
    found = [at for at, record in enumerate(read_records(path)) if isinstance(record, kind)]
    path.write_bytes(b"".join(lines[: found[keep - 1] + 1]))


@pytest.mark.parametrize(
    ("file", "told"),
    [
        pytest.param("1\n", "a.txt", id="it-had-written"),
        pytest.param(None, "Not carried out: the run ended before.", id="it-had-not"),
        pytest.param("other\n", "Changed by somebody else meanwhile: a.txt.", id="others-wrote"),
    ],
)
def test_a_call_that_was_under_way_when_the_run_was_killed_is_judged_by_its_files(story, call, file, told):
    """Done, not done, or nobody knows: the model is told which."""
    wrote(story, call)
    killed_after(story, ToolStarted)
    (story.workspace / "a.txt").unlink()
    if file is not None:
        (story.workspace / "a.txt").write_text(file)
    model = ScriptedModel("opus-x", ["I see."])
    assert story.go_on("What now?", model=model).status == "ok"
    [result] = [part for part in model.calls[0].messages[-1].parts if isinstance(part, ToolResult)]
    assert told in result.content
    assert "it was stopped" in said(model.calls[0])[-1]
    assert (story.workspace / "a.txt").exists() is (file is not None)


def test_a_run_that_was_killed_before_it_had_asked_begins_with_its_task(story, call):
    """There is a first message, and the new words stand in it."""
    wrote(story, call)
    killed_after(story, RunOpened)
    (story.workspace / "a.txt").unlink()
    model = ScriptedModel("opus-x", ["Done."])
    assert story.go_on("Please.", model=model).status == "ok"
    [message] = model.calls[0].messages
    assert message.text.startswith("Do it.\n\n[The work above ended early: it was stopped.")
    assert message.text.endswith("Please.")


def test_files_that_others_have_changed_are_named_and_told_once_they_are_accepted(story, call):
    """Refused at first, and no run is left behind; then the model is told which."""
    wrote(story, call)
    (story.workspace / "a.txt").write_text("2\n")
    with pytest.raises(JournalError, match=r"a\.txt changed since the run saw it.*--accept-changes"):
        story.go_on("Go on.", "Done.")
    assert len(story.journals) == 1
    model = ScriptedModel("opus-x", ["Done."])
    assert story.go_on("Go on.", model=model, accept_changes=True).status == "ok"
    assert "[Changed by others since you saw them: a.txt. Read them again.]" in said(model.calls[0])[-1]
    assert story.go_on("Once more.", "Done.", run_id=newest(story)).status == "ok"


def test_another_model_is_a_choice_and_told(story, call, scripted):
    """The conversation goes on with it, and a warning says that the cache does not."""
    wrote(story, call)
    other = scripted("sonnet-x", "By another.")
    assert story.go_on("Go on.", model=other).answer == "By another."
    warnings = [event.message for event in story.events if type(event).__name__ == "Warned"]
    assert any("model was opus-x and is sonnet-x now" in one for one in warnings)


@pytest.mark.parametrize(
    ("leave", "sentence"),
    [
        pytest.param(lambda story: story.batch(["a", "b"], "A.", "B."), "it is a batch", id="batch"),
    ],
)
def test_what_has_no_single_conversation_is_refused_with_another_way(story, leave, sentence):
    """One sentence, and no run is left behind."""
    leave(story)
    with pytest.raises(ConfigurationError, match=rf"{sentence}.*--orchestrate --after"):
        story.go_on("And now?", "Never said.")
    assert len(story.journals) == 1


async def test_a_run_that_only_wrote_a_lens_is_refused(tmp_path):
    """A task under the lens is the way."""
    text = '{"heuristics": ["Write it."], "scope": "All of it."}'
    agent = Agent(smart_model=ScriptedModel("boss", [text]), registry=ModelRegistry())
    await agent.lens_events(SessionContext.build(tmp_path, "Do it.", options=RunOptions(scout=False)))
    with pytest.raises(ConfigurationError, match="only wrote a lens"):
        await agent.continue_run("last", "And now?", workspace=tmp_path)


def test_a_run_that_is_going_on_is_refused(story, call):
    """Its conversation has no end yet."""
    wrote(story, call)
    held = UnthreadedFiles().open(story.workspace, newest(story))
    try:
        with pytest.raises(ConfigurationError, match="is running in another process"):
            story.go_on("And now?", "Never said.")
    finally:
        held.close()


def test_an_empty_question_is_refused(story, call):
    """Nothing is begun."""
    wrote(story, call)
    with pytest.raises(ConfigurationError):
        story.go_on("  ", "Never said.")
    assert len(story.journals) == 1


async def test_the_workers_conversation_goes_on_under_its_lens(tmp_path):
    """The same model, the same lens, no decision and no second lens."""
    lens = EphemeralLens(heuristics=("Write it.",))
    worker = ScriptedModel("worker", ["Done under it.", "As the lens says."])
    options = RunOptions(lens=lens)
    agent = Agent(model=ScriptedModel("boss", []), delegation_model=worker, registry=ModelRegistry())
    await agent.run(SessionContext.build(tmp_path, "Do it.", options=options))
    again = await agent.continue_run("last", "Why?", workspace=tmp_path)
    assert (again.status, again.answer, again.lens) == ("ok", "As the lens says.", lens)
    first, second = worker.calls
    assert second.system == first.system
    assert [one.text for one in second.messages] == [first.messages[0].text, "Done under it.", "Why?"]


async def test_an_orchestrator_goes_on_and_inspects_what_its_workers_found(tmp_path):
    """The scratchpad is there under the same keys; so it is in the run after that."""
    wait = orchestrated.call("await_results", task_ids=None, timeout_seconds=None)
    boss = ScriptedModel("boss", [orchestrated.batch("one"), wait, orchestrated.answer("It is found.")])
    options = RunOptions(orchestrate=True)
    agent = Agent(smart_model=boss, delegation_model=ScriptedModel("worker", ["The finding."]))
    first = await agent.run(SessionContext.build(tmp_path, "Find it.", options=options))
    key = first.workers[0].scratchpad_key
    for question in ("Show it.", "Once more."):
        look = orchestrated.call("inspect", key=key, page=None)
        boss = ScriptedModel("boss", [look, orchestrated.answer("Shown.")])
        agent = Agent(smart_model=boss, delegation_model=ScriptedModel("worker", []))
        again = await agent.continue_run("last", question, workspace=tmp_path)
        assert (again.status, again.answer, again.workers) == ("ok", "Shown.", ())
        assert "The finding." in orchestrated.results_in(boss.calls[1])[-1]
        text = boss.calls[0].messages[-1].text
        assert question in text
        assert text.count("[Status, from the harness: turn 1 of") == 1


async def test_a_brief_holds_for_the_workers_of_the_next_question(tmp_path):
    """The model was told that workers read it; and they are told the first task beside the new words."""
    empty = {name: [] for name in ("heuristics", "patterns", "anti_patterns", "examples")}
    brief = orchestrated.call("write_brief", constraints=["Name the line."], **empty)
    boss = ScriptedModel("boss", [brief, orchestrated.answer("Nothing yet.")])
    agent = Agent(smart_model=boss, delegation_model=ScriptedModel("worker", []))
    await agent.run(SessionContext.build(tmp_path, "Find the price.", RunOptions(orchestrate=True)))
    wait = orchestrated.call("await_results", task_ids=None)
    for number in range(2):
        lines = [orchestrated.batch("look"), wait, orchestrated.answer("Found.")]
        worker = ScriptedModel("worker", ["seen"])
        agent = Agent(smart_model=ScriptedModel("boss", lines), delegation_model=worker)
        again = await agent.continue_run("last", f"And then {number}?", workspace=tmp_path)
        assert again.status == "ok"
        assert "- Name the line." in worker.calls[0].system[-1]
        assert f"Find the price. Then: And then {number}?" in worker.calls[0].messages[0].text


async def test_decisions_of_the_run_before_keep_their_keys(tmp_path):
    """Those of the new run are put beside them; and who was stopped by the answer is named in its result."""
    boss = ScriptedModel("boss", [orchestrated.batch("slow"), orchestrated.answer("Enough.")])
    cheap = ScriptedModel("worker", ["late"], seconds=60.0)
    first = await Agent(smart_model=boss, delegation_model=cheap).run(
        SessionContext.build(tmp_path, "Find it.", RunOptions(orchestrate=True))
    )
    lines = [
        orchestrated.batch("look"),
        orchestrated.call("await_results", task_ids=None),
        orchestrated.call("inspect", key="", page=None),
        orchestrated.answer("Done."),
    ]
    boss = ScriptedModel("boss", lines)
    agent = Agent(smart_model=boss, delegation_model=ScriptedModel("worker", ["seen"]))
    await agent.continue_run("last", "And now?", workspace=tmp_path)
    told = orchestrated.results_in(boss.calls[0])
    assert f"Stopped before they reported: {first.workers[0].task_id}." in told[-1]
    listed = orchestrated.results_in(boss.calls[-1])[-1]
    for key in ("decision:0-0 ", "decision:1-0 ", "decision:0-0/2 "):
        assert f"- {key}· decision" in listed


async def test_workers_that_had_not_finished_are_named(tmp_path):
    """Their orchestrator was killed while they worked; an open wait says that they are over."""
    wait = orchestrated.call("await_results", task_ids=None, timeout_seconds=None)
    boss = ScriptedModel("boss", [orchestrated.batch("one"), wait, orchestrated.answer("Found.")])
    agent = Agent(smart_model=boss, delegation_model=ScriptedModel("worker", ["The finding."]))
    options = RunOptions(orchestrate=True)
    first = await agent.run(SessionContext.build(tmp_path, "Find it.", options=options))
    path = next(tmp_path.glob(".sunwell/runs/*/journal.jsonl"))
    lines = path.read_bytes().splitlines(keepends=True)
    kinds = [record.kind for record in read_records(path)]
    path.write_bytes(b"".join(lines[: kinds.index("sub_completion")]))
    boss = ScriptedModel("boss", [orchestrated.answer("Nothing.")])
    agent = Agent(smart_model=boss, delegation_model=ScriptedModel("worker", []))
    again = await agent.continue_run("last", "What is there?", workspace=tmp_path)
    assert again.answer == "Nothing."
    text = "\n".join(said(boss.calls[0]))
    assert f"[Workers that had not finished are over: {first.workers[0].task_id}." in text
    assert "record" not in text.lower()


def test_the_changes_of_a_dry_run_are_planned_again(story, call):
    """They are on no disk, and the model reads them all the same."""
    story.options = RunOptions(dry_run=True)
    wrote(story, call)
    model = ScriptedModel("opus-x", [completion(call.reading("a.txt")), "A one."])
    assert story.go_on("What is in it?", model=model).answer == "A one."
    assert not (story.workspace / "a.txt").exists()
    assert "1" in said(model.calls[1])[-1]


class Narrow(ScriptedModel):
    """A model with a window of its own."""

    context_window = 20_000


def test_a_long_conversation_is_not_cut_on_a_guess(story, call):
    """How many tokens it has is known from the earlier run: what fitted then is sent whole now."""
    (story.workspace / "long.txt").write_text("a line of words\n" * 1900)
    first = Narrow("opus-x", [completion(call.reading("long.txt")), "Read."])
    story.run(model=first)
    model = Narrow("opus-x", ["Again."])
    story.go_on("Again?", model=model)
    [before] = orchestrated.results_in(first.calls[-1])
    assert len(before) > 20_000
    assert orchestrated.results_in(model.calls[0]) == [before]
    assert "HistoryCompacted" not in [type(event).__name__ for event in story.events]


async def test_a_task_that_was_split_is_refused(tmp_path):
    """Each of its parts had a conversation of its own."""
    shop = shutil.copytree(SHOP, tmp_path / "shop", ignore=shutil.ignore_patterns("__pycache__"))
    agent = Agent(
        smart_model=InProcessModel("claude-opus-5-5", smart),
        delegation_model=InProcessModel("claude-haiku-5-5", cheap),
        registry=ModelRegistry(),
    )
    options = RunOptions(enable_delegation=True, split=True)
    task = "Generate CRUD endpoints for 5 entities"
    first = await agent.run(SessionContext.build(shop, task, options=options))
    assert len(first.workers) > 1
    with pytest.raises(ConfigurationError, match=r"the task was split.*--orchestrate --after"):
        await agent.continue_run("last", "And now?", workspace=shop)


@pytest.mark.parametrize(
    ("folder", "run"),
    [
        pytest.param(path.parent.parent, path.name, id=f"{path.parent.parent.name}-{number}")
        for folder in sorted(OLD.iterdir())
        if folder.is_dir()
        for number, path in enumerate(sorted((folder / "runs").iterdir()), 1)
    ],
)
async def test_a_run_of_an_older_version_is_continued_or_refused_in_a_sentence(tmp_path, folder, run):
    """Its prompts were others; that is a warning."""
    workspace = tmp_path / "journal-example"
    shutil.copytree(folder / "workspace", workspace)
    shutil.copytree(folder / "runs", workspace / ".sunwell" / "runs")
    adopt(workspace, run)
    say = [orchestrated.answer("Yes."), "Yes."]
    models = [ScriptedModel(name, say, PRICE) for name in ("opus-x", "smart-x", "cheap-x")]
    agent = Agent(*models, registry=ModelRegistry())
    given = {"allow_shell": True, "sandbox": "off"} if folder.name == "commands" else {}
    accepted = {"accept_changes": True, "allow_checks": True, "budget": Budget(usd="1")}
    events = agent.continue_run(run, "And now?", workspace=workspace, given=given, **accepted)
    result, refusal = None, ""
    try:
        result = await events
    except ConfigurationError as error:
        refusal = str(error)
    if result is None:
        assert "conversation to continue" in refusal
        return
    assert (result.status, result.answer) == ("ok", "Yes."), result.error
    asked = next(request for model in models for request in model.calls)
    assert "And now?" in "\n".join(said(asked)[-2:])


def test_the_run_is_not_told_of_again(story, call):
    """What the earlier run did is no event of the new one."""
    wrote(story, call)
    story.go_on("And now?", "Nothing.")
    names = [type(event).__name__ for event in story.events]
    assert names.count("RunStarted") == names.count("ModelCallFinished") == 1
    assert "ToolCallFinished" not in names
    assert isinstance(story.events[-1], RunFinished)


def test_a_kill_between_the_first_two_records_loses_nothing(story, call):
    """The conversation is read from the earlier run again."""
    wrote(story, call)
    result = story.go_on("And now?", "Nothing.")
    path = story.journals[1]
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])
    model = ScriptedModel("opus-x", ["Nothing, still."])
    assert story.resume(run_id=result.run_id, model=model).answer == "Nothing, still."
    assert "Written." in said(model.calls[0])


def test_the_record_says_what_is_used(story, call):
    """No note, no closing and no result of the earlier run is in the new journal."""
    wrote(story, call)
    story.go_on("And now?", "Nothing.")
    records = list(read_records(story.journals[1]))
    assert not [one for one in records if isinstance(one, Note | ToolFinished)]
    assert len([one for one in records if isinstance(one, RunClosed)]) == 1
