import os
import shutil
import tempfile
import uuid
from pathlib import Path

import pytest

from sunwell.errors import JournalError
from sunwell.journal import FileJournal, find_run, journal_path, list_runs, new_run_id
from sunwell.journal.records import RunOpened


@pytest.fixture
def runs(tmp_path):
    """Makes empty journals of the given ids in a workspace and returns the workspace."""

    def make(*ids):
        for run_id in ids:
            FileJournal.create(tmp_path, run_id).close()
        return tmp_path

    return make


@pytest.fixture
def sealed_folder():
    """A folder that the current user, made an ordinary one for the time, may only read."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o555)
    user = os.geteuid()
    if user == 0:  # root may write anywhere
        os.seteuid(65534)
    yield folder
    os.seteuid(user)
    shutil.rmtree(folder)


def mode(path):
    return path.stat().st_mode & 0o777


def test_ids_sort_by_time():
    """Ids are UUIDs of version 7, and a later one is greater."""
    ids = [new_run_id() for _ in range(1000)]
    assert ids == sorted(set(ids))
    assert {uuid.UUID(each).version for each in ids} == {7}


def test_a_run_is_private_and_hidden_from_git(runs):
    """Only the user may look into ``.sunwell``, and git sees nothing of it."""
    top = runs("r1") / ".sunwell"
    path = top / "runs" / "r1" / "journal.jsonl"
    assert path == journal_path(top.parent, "r1")
    assert [mode(each) for each in (top, path.parent.parent, path.parent, path)] == [
        0o700,
        0o700,
        0o700,
        0o600,
    ]
    assert (top / ".gitignore").read_text() == "*\n"


def test_what_is_there_already_is_respected(tmp_path):
    """A wider mode is narrowed; a ``.gitignore`` of the user's own stays."""
    top = tmp_path / ".sunwell"
    top.mkdir(0o755)
    (top / ".gitignore").write_text("runs/\n")
    FileJournal.create(tmp_path, "r1").close()
    assert (mode(top), (top / ".gitignore").read_text()) == (0o700, "runs/\n")


@pytest.mark.parametrize("linked", [".sunwell", ".sunwell/runs", ".sunwell/runs/r1"])
def test_links_in_place_of_folders_are_refused(tmp_path, linked):
    """A workspace from elsewhere cannot lead the journal out of itself."""
    outside = tmp_path / "outside"
    outside.mkdir(0o755)
    link = tmp_path / "workspace" / linked
    link.parent.mkdir(parents=True)
    link.symlink_to(outside)
    with pytest.raises(JournalError, match="is a link"):
        FileJournal.create(tmp_path / "workspace", "r1")
    assert (list(outside.iterdir()), mode(outside)) == ([], 0o755)


@pytest.mark.parametrize("name", ["journal.jsonl", "journal.lock"])
def test_links_in_place_of_files_are_refused(runs, tmp_path, name):
    """Neither the journal nor its lock is written through a link."""
    folder = runs("r1") / ".sunwell" / "runs" / "r1"
    target = tmp_path / "target"
    target.write_text("mine")
    (folder / name).unlink()
    (folder / name).symlink_to(target)
    with pytest.raises(JournalError, match=r"is not a file|replace the link"):
        FileJournal.open(folder / "journal.jsonl")
    assert target.read_text() == "mine"


def test_an_existing_run_is_not_begun_again(runs):
    """A second run of the same id is refused and the first one's journal stays."""
    workspace = runs("r1")
    journal_path(workspace, "r1").write_text("precious")
    with pytest.raises(JournalError, match=r"cannot be created \(File exists\): take that run up"):
        FileJournal.create(workspace, "r1")
    assert journal_path(workspace, "r1").read_text() == "precious"


@pytest.mark.parametrize("run_id", ["", ".", "..", "../r1", "a/b", "a\nb", "a b", "r1\n", "x" * 129])
def test_an_id_that_is_no_folder_name_is_refused(tmp_path, run_id):
    """An id never leads out of the folder of runs."""
    with pytest.raises(JournalError, match="is not a run id"):
        FileJournal.create(tmp_path, run_id)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        pytest.param(lambda root: None, "No such file or directory", id="no-workspace"),
        pytest.param(lambda root: root.write_text(""), "Not a directory", id="workspace-is-a-file"),
    ],
)
def test_a_workspace_that_is_none_is_named(tmp_path, make, sentence):
    """A journal is not begun in a folder that does not exist."""
    root = tmp_path / "gone"
    make(root)
    with pytest.raises(JournalError, match=sentence):
        FileJournal.create(root, "r1")


def test_a_folder_that_cannot_be_written_is_named(sealed_folder):
    """A workspace that may only be read gives one sentence with advice."""
    with pytest.raises(JournalError, match=r"\(Permission denied\): make it writable"):
        FileJournal.create(sealed_folder, "r1")


def test_runs_are_listed_in_the_order_of_their_ids(runs, tmp_path):
    """What is no run is left out, and a workspace without runs has none."""
    workspace = runs("r2", "r1", "r3")
    (workspace / ".sunwell" / "runs" / "empty").mkdir()
    (workspace / ".sunwell" / "runs" / "note.txt").write_text("")
    (workspace / ".sunwell" / "runs" / "r3" / "journal.jsonl").unlink()
    assert [run.run_id for run in list_runs(workspace)] == ["r1", "r2"]
    assert [run.path for run in list_runs(workspace)] == [journal_path(workspace, r) for r in ("r1", "r2")]
    assert list_runs(tmp_path / "elsewhere") == ()


@pytest.mark.parametrize(
    ("prefix", "found"),
    [
        pytest.param("01a", "01a2b3", id="unique-prefix"),
        pytest.param("01b", "01b", id="whole-id-that-begins-another"),
        pytest.param("01b4", "01b4", id="whole-id"),
    ],
)
def test_a_run_is_found_by_a_unique_prefix(runs, prefix, found):
    """As much of the id as tells it from the others is enough."""
    assert find_run(runs("01a2b3", "01b", "01b4"), prefix).run_id == found


@pytest.mark.parametrize(
    ("prefix", "sentence"),
    [
        pytest.param("02", "no run under .* begins with '02'", id="none"),
        pytest.param("01", r"2 runs begin with '01' \(01a, 01b\): give more", id="two"),
        pytest.param("", r"2 runs begin with ''", id="empty"),
        pytest.param("../runs/01a", "no run", id="path"),
    ],
)
def test_a_prefix_that_fits_none_or_several_is_refused(runs, prefix, sentence):
    """No run is guessed."""
    with pytest.raises(JournalError, match=sentence):
        find_run(runs("01a", "01b"), prefix)


async def test_the_id_in_the_file_counts_when_a_journal_is_moved(runs, tmp_path):
    """A journal that was copied elsewhere is still the journal of its run."""
    journal = FileJournal.create(tmp_path, "r1")
    await journal.append(RunOpened("r1", "t", 1.0))
    journal.close()
    copy = tmp_path / "copy.jsonl"
    copy.write_bytes(journal.path.read_bytes())
    again = FileJournal.open(copy)
    assert again.run_id == "r1"
    again.close()
