"""A run with checks goes on only if somebody grants them again: its record lies in the workspace."""

import pytest

from sunwell.agent.lens.lens_writer import item_of
from sunwell.budget import Budget
from sunwell.context.options import RunOptions
from sunwell.core import Task
from sunwell.core.check import Verdict
from sunwell.errors import ConfigurationError, JournalError
from sunwell.journal.records import RunOpened
from sunwell.testing import completion
from tests.agent.lifecycle.test_authority import edit, options

MORE = Budget(turns=9)
WRITTEN = {"checks": ["touch evil"]}


async def looks_fine(checking) -> Verdict:
    """A check of the caller's own."""
    return Verdict(True)


@pytest.fixture
def left(story, call):
    """Return a story whose run has written a file and met its limit of two turns."""
    story.options = RunOptions(budget=Budget(turns=2, usd=1))
    story.run(
        completion(call.reading("no.txt")), completion(call.writing("made.txt", "1\n")), "Not finished."
    )
    story.asked = 0
    return story


def begin(story, what: str):
    """Return what takes the run up again: ``resume`` or ``fork``."""
    return story.resume if what == "resume" else lambda **given: story.fork("run/direct", **given)


@pytest.mark.parametrize("what", ["resume", "fork"])
def test_a_command_that_only_the_record_names_is_not_run(left, what) -> None:
    """Nobody is asked; the sentence names the command and three ways to grant it."""
    edit(left.journals[0], options(**WRITTEN))
    for accept in (False, True):
        with pytest.raises(ConfigurationError) as caught:
            begin(left, what)(budget=MORE, accept_changes=accept)
        assert str(caught.value) == (
            "the run was started with --check 'touch evil', which its record cannot grant: give it again "
            "(--check 'touch evil', or given={'checks': ('touch evil',)} in Python), or allow those of the "
            "record with --allow-checks (allow_checks=True in Python)"
        )
    assert (left.asked, len(left.journals)) == (0, 1)
    assert not (left.workspace / "evil").exists()


@pytest.mark.parametrize("what", ["resume", "fork"])
def test_a_command_for_a_task_of_a_batch_is_not_run_either(story, call, what) -> None:
    """A batch names its tasks in the same record."""
    story.options = RunOptions(budget=Budget(turns=1))
    story.batch([Task("One.")], completion(call.reading("no.txt")), "Not finished.")

    def add(fields):
        fields["settings"]["batch"]["tasks"][0]["check"] = ["touch evil", "true"]

    edit(story.journals[0], add)
    at = {"at": "run/task-1"} if what == "fork" else {}
    with pytest.raises(ConfigurationError) as caught:
        getattr(story, what)(budget=MORE, **at)
    assert str(caught.value) == (
        "tasks of the batch have checks, which its record cannot grant: touch evil and 1 more; read them, "
        "then allow those of the record with --allow-checks (allow_checks=True in Python)"
    )


def test_checks_of_the_callers_own_must_be_given_again(story, call) -> None:
    """No record holds their code; who accepts changes goes on without them."""
    story.options = RunOptions(budget=Budget(turns=1), checks=[looks_fine])
    story.run(completion(call.reading("no.txt")), "Not finished.")
    with pytest.raises(ConfigurationError) as caught:
        story.resume(budget=MORE)
    assert str(caught.value) == (
        "the run had checks of your own, whose code no record can hold: give looks_fine again "
        "(given={'checks': [looks_fine]} in Python)"
    )


def test_a_batch_with_checks_of_the_callers_own_says_how_it_goes_on(story, call) -> None:
    """They belong to single tasks, whose code is gone."""
    story.options = RunOptions(budget=Budget(turns=1))
    story.batch([Task("One.", check=looks_fine)], completion(call.reading("no.txt")), "Not finished.")
    with pytest.raises(ConfigurationError, match=r"checks of your own \(looks_fine\).*--accept-changes"):
        story.resume(budget=MORE)


def test_the_record_names_the_commands_and_what_was_noted_of_files(story, call) -> None:
    """Somebody who looks at the record sees what decided on the result."""
    (story.workspace / "tests").mkdir()
    (story.workspace / "tests" / "test_a.py").write_text("a")
    story.options = RunOptions(checks=[looks_fine], protect=["tests/**"])
    story.run("Done.")
    opened = next(story.records())
    assert isinstance(opened, RunOpened)
    assert opened.settings["own_checks"] == ["looks_fine"]
    assert list(opened.settings["watched"]["before"]) == ["tests/test_a.py"]


@pytest.mark.parametrize(
    "watched",
    [
        pytest.param({"globs": "x", "steering": True, "before": {}}, id="globs"),
        pytest.param({"globs": [], "steering": 1, "before": {}}, id="steering"),
        pytest.param({"globs": [], "steering": True, "before": {"a": 1}}, id="before"),
        pytest.param({"globs": []}, id="parts-missing"),
        pytest.param([], id="no-table"),
    ],
)
def test_what_was_noted_of_files_is_checked_when_it_is_read(left, watched) -> None:
    """A damaged record is said to be damaged."""
    edit(left.journals[0], lambda fields: fields["settings"].update(watched=watched))
    with pytest.raises(JournalError, match="settings in the journal are damaged"):
        left.resume(budget=MORE)


def test_a_run_whose_check_has_no_sandbox_does_not_begin(story) -> None:
    """Before anything is asked or written, as for commands of models."""
    story.options = RunOptions(checks=["true"])
    story.workspace = type(story.workspace)("/")
    with pytest.raises(ConfigurationError, match="root of the file system, which no sandbox can protect"):
        story.run()
    assert story.asked == 0


def test_a_schema_is_not_read_from_a_file_that_the_record_names(left) -> None:
    """It could name any file of the user's; the schema itself is recorded, and that counts."""
    pytest.importorskip("jsonschema")
    edit(left.journals[0], options(answer_schema="/etc/hostname"))
    with pytest.raises(JournalError, match="they have no schema of the answer"):
        left.resume(budget=MORE)

    def add(fields):
        fields["settings"]["answer_schema"] = '{"type": "array"}'

    edit(left.journals[0], add)
    with pytest.raises(JournalError, match="is not the one that was answered"):
        left.resume(budget=MORE)
    assert left.resume("[1]", budget=MORE, accept_changes=True).verification.passed is True


def test_what_a_sibling_changed_with_its_tools_is_not_held_against_a_task(story, call) -> None:
    """All tasks of a batch share a folder; a protected file fails the task that changed it."""
    (story.workspace / "a.txt").write_text("old")
    story.options = RunOptions(protect=["a.txt"], max_concurrent=1)
    result = story.batch(["One.", "Two."], completion(call.writing("a.txt", "new\n")), "One.", "Two.")
    first, second = result.workers
    assert first.verification.passed is False
    assert second.verification.passed is True


def test_an_item_that_a_model_wrote_brings_no_check() -> None:
    """Its record could name a command that nobody has chosen."""
    assert item_of({"text": "One.", "check": "touch evil"}).check == ()
