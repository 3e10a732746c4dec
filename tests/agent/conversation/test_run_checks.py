"""A worker runs the checks of its task with a tool without arguments, and repairs what they find."""

import json

import pytest

from sunwell.agent.prompts import work_prompt
from sunwell.budget import Budget
from sunwell.context.options import RunOptions
from sunwell.core import Task
from sunwell.core.check import Verdict
from sunwell.core.message import ToolResult
from sunwell.core.model import ToolSpec
from sunwell.models.vocabulary import count_text
from sunwell.testing import ScriptedModel, completion
from tests.agent.conftest import PRICE

OPEN = {"sandbox": "off"}


@pytest.fixture
def checked(call):
    """Return a call of the tool."""
    return call("run_checks")


def results(model: ScriptedModel) -> list[str]:
    """Return the last results of tools that *model* was told, turn by turn."""
    told = [request.messages[-1] for request in model.calls[1:]]
    return [result.content for message in told for result in message.parts if isinstance(result, ToolResult)]


async def judges(checking) -> Verdict:
    """A check that only looks at finished work."""
    return Verdict(True, "looked")


def test_a_failed_check_is_told_with_its_evidence_and_counts_as_a_command(story, call, checked):
    """The worker repairs the work and runs them again; both runs stand among the commands of its result."""
    story.options = RunOptions(checks=["grep -q right a.txt"], **OPEN)
    model = ScriptedModel(
        "opus-x",
        [
            completion(call.writing("a.txt", "wrong\n")),
            completion(checked),
            completion(call.writing("a.txt", "right\n")),
            completion(checked),
            "Done.",
        ],
        PRICE,
    )
    result = story.in_real_time("run", model=model)
    told = results(model)
    assert told[1] == (
        "A check failed. Repair the work, not what checks it.\n\n"
        "grep -q right a.txt: failed\nexit code 1\n(it printed nothing)"
    )
    assert told[3].startswith("All checks passed.\n\ngrep -q right a.txt: passed\nexit code 0")
    assert dict(result.tools_called)["run_checks"] == 2


def test_files_that_steer_the_check_are_named_to_the_worker(story, call, checked):
    """It learns at once that its change of a test was seen."""
    (story.workspace / "test_a.py").write_text("old\n")
    story.options = RunOptions(checks=["true"], **OPEN)
    model = ScriptedModel(
        "opus-x",
        [completion(call.writing("test_a.py", "new\n")), completion(checked), "Done."],
        PRICE,
    )
    story.in_real_time("run", model=model)
    assert "The work changed tests: test_a.py (changed)." in results(model)[1]


def test_a_protected_file_is_told_before_the_end(story, call, checked):
    """Rules about files need no command."""
    (story.workspace / "test_a.py").write_text("old\n")
    story.options = RunOptions(protect=["test_*.py"], must_change=["src/**"])
    model = ScriptedModel(
        "opus-x", [completion(call.writing("test_a.py", "new\n")), completion(checked), "Done."], PRICE
    )
    story.run(model=model)
    said = results(model)[1]
    assert "Protected files were changed; undo that: test_a.py (changed)." in said
    assert "No file that src/** selects was changed or created." in said


def test_each_worker_of_a_batch_runs_the_checks_of_its_own_task(story, checked):
    """Besides those of the run; a sibling's are not its business."""
    story.options = RunOptions(checks=["true all"], max_concurrent=1, **OPEN)
    model = ScriptedModel("opus-x", [completion(checked), "One.", completion(checked), "Two."], PRICE)
    tasks = [Task("One.", check="true one"), Task("Two.", check=["true two", "true three"])]
    story.in_real_time("batch", model=model, tasks=tasks)
    first, second = (said for said in results(model) if "passed" in said)
    assert "true all: passed" in first
    assert "true one: passed" in first
    assert "two" not in first
    assert all(f"true {name}: passed" in second for name in ("all", "two", "three"))
    assert "one" not in second


def test_a_check_that_needs_the_answer_runs_later(story, checked):
    """It is named, so that the worker does not take the verdict for the whole."""
    story.options = RunOptions(checks=["true", judges], **OPEN)
    model = ScriptedModel("opus-x", [completion(checked), "Done."], PRICE)
    story.in_real_time("run", model=model)
    assert results(model)[0].endswith("Not run before your last message: judges.")


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(RunOptions(), id="no-checks"),
        pytest.param(RunOptions(checks=[judges]), id="none-that-can-run-before-the-end"),
        pytest.param(RunOptions(checks=["true"], dry_run=True, **OPEN), id="dry-run"),
        pytest.param(RunOptions(checks=["true"], tools=(), **OPEN), id="no-tools"),
    ],
)
def test_the_tool_is_there_only_if_it_can_do_something(story, options):
    """Otherwise neither its description nor the advice to run it is sent."""
    story.options = options
    model = ScriptedModel("opus-x", ["Done."], PRICE)
    story.in_real_time("run", model=model)
    assert "run_checks" not in [spec.name for spec in model.calls[0].tools]
    assert "run_checks" not in "".join(model.calls[0].system)


def test_the_tool_has_no_arguments_and_workers_are_told_to_run_it(story):
    """Which checks run is not the model's to choose."""
    story.options = RunOptions(checks=["true"], **OPEN)
    model = ScriptedModel("opus-x", ["Done."], PRICE)
    story.in_real_time("run", model=model)
    (spec,) = (spec for spec in model.calls[0].tools if spec.name == "run_checks")
    assert isinstance(spec, ToolSpec)
    assert json.loads(spec.schema_text)["properties"] == {}
    assert "Run run_checks before you end" in "".join(model.calls[0].system)


def test_the_advice_fits_into_the_prompt_and_contradicts_nothing():
    """Without commands, the sentence that nothing can be run would be wrong."""
    tools = ("list_files", "read_file", "search_files", "write_file", "edit_file")
    said = work_prompt((*tools, "run_checks"))
    assert "No commands can be run" not in said
    assert "No commands can be run" in work_prompt(tools)
    assert count_text(said) - count_text(work_prompt(tools)) <= 60


def test_a_run_that_goes_on_does_not_run_recorded_checks_again(story, call, checked):
    """Their result is in the journal like that of any other tool; each end is checked anew."""
    story.options = RunOptions(checks=["echo x >> ran.log"], budget=Budget(turns=2), **OPEN)
    story.in_real_time("run", completion(checked), completion(call.reading("no.txt")), "Not finished.")
    story.in_real_time(
        "resume", "Done.", given={"checks": ["echo x >> ran.log"], **OPEN}, budget=Budget(turns=9)
    )
    assert (story.workspace / "ran.log").read_text() == 3 * "x\n"
