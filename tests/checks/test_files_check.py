"""Files that must not change are compared with what tools recorded, and with what commands did unrecorded."""

import json
import os
from pathlib import Path

import pytest

from sunwell.agent.request import RunOptions
from sunwell.checks.files_check import FilesCheck, WatchedFiles
from sunwell.checks.suite import ChosenChecks
from sunwell.core.check import Verdict, name_of
from sunwell.core.message import FileChange
from sunwell.core.secrets import Secrets
from sunwell.errors import ConfigurationError


@pytest.mark.parametrize(
    ("given", "files", "passed", "evidence"),
    [
        pytest.param(
            {"protect": ["tests/**"]},
            [FileChange("src/a.py", "1", "2")],
            True,
            "1 changed files were compared",
            id="another-file",
        ),
        pytest.param(
            {"protect": ["tests/**", "*.toml"]},
            [
                FileChange("tests/test_a.py", "1", "2"),
                FileChange("tests/b/c.py", "1", None),
                FileChange("sub/x.toml", None, "2"),
            ],
            False,
            "Protected files were changed; undo that: tests/test_a.py (changed), tests/b/c.py (removed), "
            "sub/x.toml (created).",
            id="edited-deleted-created",
        ),
        pytest.param(
            {"must_change": ["CHANGELOG.md", "src/**"]},
            [FileChange("src/a.py", None, "2")],
            False,
            "No file that CHANGELOG.md selects was changed or created.",
            id="one-glob-without-a-change",
        ),
        pytest.param(
            {"must_change": ["src/**"]},
            [FileChange("src/a.py", "1", None)],
            False,
            "No file that src/** selects was changed or created.",
            id="deleting-is-no-change",
        ),
        pytest.param({"must_change": ["src/**"]}, [], False, "No file that src/** selects", id="nothing"),
    ],
)
async def test_changed_files_are_compared_with_the_globs(checking, given, files, passed, evidence):
    """Each broken rule is a sentence with the names of the files."""
    verdict = await FilesCheck(**given)(checking(files=tuple(files)))
    assert verdict.passed is passed
    assert verdict.evidence.startswith(evidence)


def test_it_is_called_by_its_globs():
    """People read its name in the verdict."""
    check = FilesCheck(protect=("tests/**",), must_change=("src/**", "*.md"))
    assert name_of(check) == "protect tests/**; must change src/**, *.md"


@pytest.mark.parametrize("given", ["tests/**", [3], [""], ["{" + ",".join("ab" * 600) + "}{a,b}"]])
def test_what_is_no_list_of_globs_is_refused(given):
    """A text would be taken for its letters, and a glob that selects nothing would protect nothing."""
    with pytest.raises(ConfigurationError, match="protect"):
        FilesCheck(protect=given)


def begun(folder: Path, **options) -> ChosenChecks:
    """Return the checks of a run that begins in *folder*."""
    checks = ChosenChecks.of(RunOptions(**options), folder, Secrets())
    checks.watch(folder)
    return checks


@pytest.fixture
def project(folder: Path) -> Path:
    """A folder with two tests and a source."""
    (folder / "tests").mkdir()
    (folder / "tests" / "test_a.py").write_text("a")
    (folder / "tests" / "test_b.py").write_text("b")
    (folder / "a.py").write_text("a")
    return folder


async def test_what_a_command_did_without_a_record_is_found(project, checking):
    """A shell command edits one protected file, deletes one and creates one: no tool recorded it."""
    checks = begun(project, protect=["tests/**"], allow_shell=True)
    (project / "tests" / "test_a.py").write_text("changed")
    (project / "tests" / "test_b.py").unlink()
    (project / "tests" / "conftest.py").write_text("new")
    (project / "a.py").write_text("changed")
    verdict = await checks.verdict(checking())
    assert verdict.passed is False
    for named in ("tests/conftest.py (created)", "tests/test_a.py (changed)", "tests/test_b.py (removed)"):
        assert named in verdict.evidence
    assert " a.py" not in verdict.evidence


async def test_a_change_that_is_taken_back_is_none(project, checking):
    """The files as they are count, not the way to them."""
    checks = begun(project, protect=["tests/**"])
    (project / "tests" / "test_a.py").write_text("changed")
    (project / "tests" / "test_a.py").write_text("a")
    assert (await checks.verdict(checking())).passed is True


async def test_a_run_that_goes_on_compares_with_its_beginning(project, checking):
    """What is recorded is JSON, and a second process takes it up."""
    options = RunOptions(protect=["tests/**"])
    first = ChosenChecks.of(options, project, Secrets())
    record = json.loads(json.dumps(first.watch(project)))
    (project / "tests" / "test_a.py").write_text("changed")
    second = ChosenChecks.of(options, project, Secrets())
    assert second.watch(project, record) == record
    assert (await second.verdict(checking())).passed is False


async def test_a_glob_that_is_given_later_is_compared_with_then(project, checking):
    """A run that goes on with more protection keeps what it noted of the rest."""
    record = ChosenChecks.of(RunOptions(protect=["tests/**"]), project, Secrets()).watch(project)
    (project / "tests" / "test_a.py").write_text("changed")
    later = ChosenChecks.of(RunOptions(protect=["tests/**", "a.py"]), project, Secrets())
    later.watch(project, record)
    assert "test_a.py" in (await later.verdict(checking())).evidence
    (project / "a.py").write_text("changed")
    assert "a.py (changed)" in (await later.verdict(checking())).evidence


async def test_files_that_programs_leave_behind_are_not_accused(project, checking):
    """A test run makes caches in protected folders; what git ignores is watched only by its exact path."""
    (project / ".gitignore").write_text("*.log\n")
    (project / "tests" / "old.log").write_text("1")
    checks = begun(project, protect=["tests/**"])
    for name in ("tests/__pycache__/test_a.pyc", "tests/new.log", "tests/.pytest_cache/x"):
        (project / name).parent.mkdir(exist_ok=True)
        (project / name).write_text("2")
    (project / "tests" / "old.log").write_text("2")
    assert (await checks.verdict(checking())).passed is True
    exact = begun(project, protect=["tests/old.log"])
    (project / "tests" / "old.log").write_text("3")
    assert (await exact.verdict(checking())).passed is False


async def test_a_new_ignore_file_hides_nothing_that_steers(project, checking):
    """Otherwise two commands would get a conftest.py past the protection."""
    checks = begun(project, protect=["tests/**"])
    (project / ".gitignore").write_text("tests/\n*.py\n")
    (project / "tests" / "conftest.py").write_text("x")
    (project / "tests" / "test_a.py").write_text("changed")
    verdict = await checks.verdict(checking())
    assert "tests/test_a.py (changed)" in verdict.evidence
    assert "tests/conftest.py (created)" in verdict.evidence


async def test_tests_that_a_command_edited_are_named_by_a_command_check(project, checking):
    """Where models run commands, the tests and their settings are watched without being protected."""
    checks = begun(project, checks=["true"], allow_shell=True, sandbox="off")
    (project / "tests" / "test_a.py").write_text("changed")
    (project / "conftest.py").write_text("x")
    verdict = await checks.verdict(checking())
    assert verdict.passed is True
    assert "The work changed tests: tests/test_a.py (changed)." in verdict.evidence
    assert "conftest.py (created)" in verdict.evidence


def test_without_commands_and_globs_no_file_is_read(project):
    """Tools record every change then."""
    assert ChosenChecks.of(RunOptions(checks=["true"]), project, Secrets()).watch(project) is None
    assert ChosenChecks.of(RunOptions(protect=["*"], dry_run=True), project, Secrets()).watch(project) is None


async def test_a_link_that_replaces_a_protected_folder_is_found(project, checking):
    """Its files are gone, whatever it leads to."""
    checks = begun(project, protect=["tests/**"])
    (project / "tests").rename(project / "other")
    (project / "tests").symlink_to(project.parent / "outside")
    verdict = await checks.verdict(checking())
    assert "tests/test_a.py (removed)" in verdict.evidence


async def test_a_check_of_the_callers_own_has_its_files_watched(project, checking):
    """It names globs, and is given what changed in them, whoever changed it."""

    async def looks(checking):
        return Verdict(not checking.files, ", ".join(change.path for change in checking.files))

    looks.watches = ("a.py",)
    checks = begun(project, checks=[looks])
    assert (await checks.verdict(checking())).passed is True
    (project / "a.py").write_text("changed")
    (project / "tests" / "test_a.py").write_text("changed")
    verdict = await checks.verdict(checking())
    assert verdict.evidence == "looks: failed\na.py"


async def test_a_change_whose_time_was_set_back_is_found(project, checking):
    """Same length, same time: a file is read again if its status has changed at all."""
    checks = begun(project, protect=["tests/**"])
    file = project / "tests" / "test_a.py"
    before = file.stat()
    file.write_text("b")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (await checks.verdict(checking())).passed is False


def test_an_ignore_file_that_is_another_name_of_a_secret_is_not_recorded(folder: Path) -> None:
    """The ignore files of the start are kept in the journal."""
    (folder / ".env").write_text("canary-5f1d\n")
    (folder / "sub").mkdir()
    (folder / "sub/.gitignore").hardlink_to(folder / ".env")
    (folder / ".gitignore").write_text("*.log\n")
    record = WatchedFiles.begin(folder, ("**",)).record()
    assert record["ignoring"][".gitignore"] == "*.log\n"
    assert "canary" not in str(record)
