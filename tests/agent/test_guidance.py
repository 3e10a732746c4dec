"""What models that work are told before and behind their task."""

from itertools import combinations
from pathlib import Path

import attrs
import pytest

from sunwell.agent.prompts import (
    LENS_STANDING,
    TOLD_BEGINS,
    surroundings_text,
    work_prompt,
    worker_terms_text,
)
from sunwell.agent.run.guidance import Guidance
from sunwell.context.options import RunOptions
from sunwell.context.surroundings import look_around
from sunwell.core import Budget
from sunwell.core.lens import EphemeralLens
from sunwell.core.secrets import Secrets
from sunwell.core.task import Task
from sunwell.errors import JournalError
from sunwell.journal.records import RunOpened
from sunwell.models.tokens import estimate_tokens
from sunwell.models.vocabulary import count_text
from sunwell.testing import ScriptedModel, completion, task_in

TOOLS = ("list_files", "read_file", "search_files", "write_file", "edit_file", "run_command", "look_up")
LENS = EphemeralLens(("Read first.",), task_scope="Docstrings")


def all_sets_of_tools() -> list[tuple[str, ...]]:
    """Return every set of some of the tools."""
    return [chosen for count in range(len(TOOLS) + 1) for chosen in combinations(TOOLS, count)]


def test_the_prompt_is_short_for_every_set_of_tools(tmp_path: Path) -> None:
    """At most 500 tokens with the surroundings of a large workspace, and without its advice."""
    for folder in range(30):
        place = tmp_path / f"a_package_with_a_long_name_{folder}"
        place.mkdir()
        for number in range(20):
            (place / f"module_number_{number}.py").write_text("")
    seen = surroundings_text(look_around(tmp_path, secrets=Secrets(), reads_advice=False))
    for tools in all_sets_of_tools():
        prompt = "\n\n".join(Guidance.of(None, RunOptions(), tools, surroundings=seen).sections())
        assert count_text(prompt) <= 500
        assert estimate_tokens(prompt) <= 520


def test_the_prompt_speaks_only_of_what_can_be_done() -> None:
    """Tests are run if commands can be, files are named if they can be changed; the order is nothing."""
    for tools in all_sets_of_tools():
        said = work_prompt(tools)
        changes = not {"write_file", "edit_file"}.isdisjoint(tools)
        assert ("Run the tests" in said) == (changes and "run_command" in tools)
        assert ("files that you changed" in said) == changes
        assert ("tools" in said) if tools else ("without tools" in said)
        assert said == work_prompt(tuple(reversed(tools)))
        assert "{" not in said


@pytest.mark.parametrize("way", ["direct", "batch"])
def test_a_direct_run_and_a_worker_share_the_prompt(story, way: str) -> None:
    """The caller's words come first, then how to work, the workspace, and a lens if there is one."""
    (story.workspace / "AGENTS.md").write_text("Two spaces.")
    story.options = RunOptions(system_prompt="Never delete anything.")
    model = ScriptedModel("opus-x", ["Done."] * (1 if way == "direct" else 2))
    if way == "direct":
        story.run(model=model)
    else:
        story.batch(["one", "two"], model=model, lens=LENS)
    systems = {request.system for request in model.calls}
    assert len(systems) == 1
    caller, how, place, *under = systems.pop()
    assert (caller, how) == ("Never delete anything.", work_prompt(TOOLS[:5]))
    assert f"Folder: {story.workspace}" in place
    assert "Two spaces." in place
    assert under == ([LENS.to_context(), LENS_STANDING] if way == "batch" else [])


@pytest.mark.parametrize(
    ("own", "expected"), [("Work in silence.", ["Work in silence."]), ("", [])], ids=["text", "none"]
)
def test_an_option_replaces_how_to_work(story, own: str, expected: list[str]) -> None:
    """With words of the caller's, or with nothing; advice can be left out, too."""
    (story.workspace / "AGENTS.md").write_text("Two spaces.")
    story.options = RunOptions(work_prompt=own, workspace_advice=False)
    model = ScriptedModel("opus-x", ["Done."])
    story.run(model=model)
    *before, place = model.calls[0].system
    assert before == expected
    assert "Two spaces." not in place


def test_a_resume_and_a_fork_send_what_the_run_began_with(story, call) -> None:
    """Advice that was changed meanwhile is not read again: what is cached at the provider stays of use."""
    advice = story.workspace / "AGENTS.md"
    advice.write_text("Two spaces.")
    first = ScriptedModel("opus-x", [completion(call.writing("a.txt", "1\n")), "Never said."])
    story.run(model=first, stop_at=4)
    advice.write_text("Four spaces, and a new file beside it.")
    (story.workspace / "new.txt").write_text("")
    again = ScriptedModel("opus-x", ["Done."])
    story.resume(model=again)
    forked = ScriptedModel("opus-x", ["Done, too."])
    story.fork("run/direct:1", model=forked, accept_changes=True)
    systems = {request.system for model in (first, again, forked) for request in model.calls}
    assert len(systems) == 1
    assert "Two spaces." in systems.pop()[-1]


def test_a_run_of_before_goes_on_without_surroundings(story, call) -> None:
    """Its record has none, and what it had sent had none."""
    story.run(completion(call.writing("a.txt", "1\n")), "Never said.", stop_at=4)
    [path] = story.journals
    records = list(story.records())
    opened = records[0]
    assert isinstance(opened, RunOpened)
    settings = {name: value for name, value in opened.settings.items() if name != "surroundings"}
    from sunwell.journal.codec import encode

    rest = [attrs.evolve(opened, settings=settings), *records[1:]]
    path.write_bytes(b"".join(encode(one, number) + b"\n" for number, one in enumerate(rest)))
    model = ScriptedModel("opus-x", ["Done."])
    story.resume(model=model, accept_changes=True)
    assert model.calls[0].system == (work_prompt(TOOLS[:5]),)


def test_another_prompt_of_the_callers_is_named_when_a_run_is_taken_up(story, call) -> None:
    """It would make recorded answers those to another question."""
    story.run(completion(call.writing("a.txt", "1\n")), "Never said.", stop_at=4)
    with pytest.raises(JournalError, match="the work prompt has changed"):
        story.resume("Done.", given={"work_prompt": "Work in silence."})


def test_a_worker_is_told_its_tools_and_limits_behind_its_task(story) -> None:
    """They differ among siblings, so they stand outside of what the siblings share."""
    model = ScriptedModel("opus-x", ["Done."] * 3)
    tasks = [
        Task("Look at a.", tools=("read_file", "search_files")),
        Task("Look at b.", budget=Budget(turns=3), timeout_seconds=60),
        Task("Say hello.", tools=()),
    ]
    story.batch(tasks, model=model)
    told = {task_in(request): request.messages[0].text.partition(TOLD_BEGINS)[2] for request in model.calls}
    assert told == {
        "Look at a.": "You may call only these tools: read_file, search_files. Limits: 50 messages of yours, "
        "300 seconds. Report before you reach them.]",
        "Look at b.": "Limits: 3 messages of yours, 60 seconds. Report before you reach them.]",
        "Say hello.": "You may call no tools: answer at once.]",
    }
    assert len({request.system for request in model.calls}) == 1
    assert len({request.tools for request in model.calls}) == 1


def test_a_worker_that_goes_on_is_told_what_it_was_told_first(story, call) -> None:
    """Other limits hold from then on, but its first message is on record and stays as it is."""
    first = ScriptedModel("opus-x", [completion(call.writing("a.txt", "1\n")), "Never said."])
    story.batch(["Write a."], model=first, stop_at=8)
    again = ScriptedModel("opus-x", ["Done."])
    result = story.resume(model=again, given={"worker_timeout_seconds": 77})
    assert result.status == "ok"
    assert {request.messages[0].text for request in again.calls} == {first.calls[0].messages[0].text}


def test_nobody_is_told_of_a_workspace_that_no_tool_looks_at(story) -> None:
    """A task of words alone needs neither paths nor a date: its prompt is the same every day."""
    story.options = RunOptions(tools=())
    model = ScriptedModel("opus-x", ["Done."])
    story.run(model=model)
    assert model.calls[0].system == (work_prompt(()),)


async def test_the_forecast_counts_the_prompt(tmp_path: Path) -> None:
    """What every turn reads is in the smallest cap and in the quote, as in the run."""
    from sunwell import SessionContext, forecast

    plain = SessionContext.build(tmp_path, "Do it.", RunOptions(model="haiku", work_prompt=""))
    usual = SessionContext.build(tmp_path, "Do it.", RunOptions(model="haiku"))
    assert forecast(usual).least_tokens - forecast(plain).least_tokens >= len(work_prompt(TOOLS[:5])) // 4


def test_the_files_that_a_lens_names_are_told_after_it() -> None:
    """On one line, whatever a name holds, and the same for all who work under the lens."""
    lens = attrs.evolve(LENS, target_files=("shop/cart.py", "a\n# b.py"))
    said = Guidance.of(None, RunOptions(), TOOLS).sections(lens)[-1]
    assert said.startswith(LENS_STANDING)
    assert said.endswith("belong to the whole task: shop/cart.py, a # b.py")


def test_of_a_long_larger_task_a_worker_is_told_the_beginning() -> None:
    """On one line: whoever needs all of it puts it into the worker's own task."""
    said = worker_terms_text("Tidy up.\n" * 500, None, None, None)
    assert said.startswith(f'{TOLD_BEGINS}It belongs to a larger task: "Tidy up. Tidy up. ')
    assert "…" in said
    assert "\n" not in said
    assert len(said) < 420
