"""A run's changes can be taken back, and nobody else's."""

import stat

import pytest

from sunwell.core.secrets import Secrets
from sunwell.errors import ConfigurationError
from sunwell.tools import Originals, Toolbox, UndoReport, Workspace, undo
from sunwell.tools.originals import UndoRefusal


@pytest.fixture
def kept(tmp_path):
    return tmp_path / "runs" / "r1" / "originals"


@pytest.fixture
async def changed(folder, kept, ask):
    """A workspace in which a run changed, made and re-made files."""
    (folder / "old").write_bytes(b"old\0bytes")
    (folder / "old").chmod(0o750)
    (folder / "same").write_bytes(b"same")
    for content in ("first", "second"):
        box = Toolbox(folder, secrets=Secrets(), originals=Originals(kept))  # as after a resume
        await ask(box, "write_file", path="old", content=content)
        await ask(box, "write_file", path="d/new", content=content)
    return folder


def test_undo_restores_what_was_and_deletes_what_was_not(changed, kept):
    """Contents and modes are back, new files are gone; a second undo finds nothing to do."""
    workspace = Workspace(changed)
    assert undo(kept, workspace) == UndoReport(restored=("old",), removed=("d/new",))
    assert (changed / "old").read_bytes() == b"old\0bytes"
    assert stat.S_IMODE((changed / "old").stat().st_mode) == 0o750
    assert not (changed / "d/new").exists()
    assert undo(kept, workspace) == UndoReport(unchanged=("old", "d/new"))


@pytest.mark.parametrize("by_whom", ["edited", "deleted", "replaced-by-a-link"])
def test_what_somebody_changed_since_is_left_and_named(changed, kept, by_whom):
    """Work done after the run is not lost to an undo."""
    if by_whom == "edited":
        (changed / "old").write_bytes(b"mine")
    else:
        (changed / "old").unlink()
    if by_whom == "replaced-by-a-link":
        (changed / "old").symlink_to("../canary.txt")
    report = undo(kept, Workspace(changed))
    assert report.removed == ("d/new",)
    assert [refusal.path for refusal in report.refused] == ["old"]
    if by_whom != "replaced-by-a-link":
        assert report.refused == (UndoRefusal("old", "'old' was changed after the run; it is left as it is"),)
    assert (changed.parent / "canary.txt").read_text() == "canary-5f1d"


def test_originals_are_private_and_stored_by_content(changed, kept):
    """Only the owner may read them, and the same content is stored once."""
    files = sorted(kept.iterdir())
    assert [stat.S_IMODE(file.stat().st_mode) for file in files] == [0o600, 0o600]
    assert stat.S_IMODE(kept.stat().st_mode) == 0o700
    assert [file.name for file in files if file.read_bytes() == b"old\0bytes"] == [files[0].name]


@pytest.mark.parametrize("harm", ["damaged", "missing"])
def test_a_harmed_original_is_not_restored(changed, kept, harm):
    """What is not certainly the original is not written."""
    original = next(file for file in kept.iterdir() if file.name != "index.jsonl")
    if harm == "damaged":
        original.write_bytes(b"something else")
    else:
        original.unlink()
    report = undo(kept, Workspace(changed))
    assert [refusal.path for refusal in report.refused] == ["old"]
    assert harm in report.refused[0].reason
    assert (changed / "old").read_bytes() == b"second"


def test_a_line_cut_off_by_a_crash_spoils_no_other(changed, kept):
    """The index is read up to the damage and beyond it."""
    with (kept / "index.jsonl").open("ab") as index:
        index.write(b'\n{"path": "hal')
    Originals(kept).keep("later", None, None)
    Originals(kept).expect("later", "0" * 64)
    assert undo(kept, Workspace(changed)) == UndoReport(
        restored=("old",), removed=("d/new",), unchanged=("later",)
    )


def test_a_crash_before_the_write_leaves_nothing_to_undo(folder, kept):
    """What was kept but never written is as it was."""
    (folder / "x").write_bytes(b"old")
    originals = Originals(kept)
    originals.keep("x", Workspace(folder).sha256("x"), b"old")
    originals.expect("x", "0" * 64)
    assert undo(kept, Workspace(folder)) == UndoReport(unchanged=("x",))


def test_an_index_that_names_paths_outside_changes_nothing_there(folder, kept):
    """Even a forged index cannot lead out of the workspace."""
    originals = Originals(kept)
    originals.keep("../canary.txt", None, None)
    originals.expect("../canary.txt", Workspace(folder.parent).sha256("canary.txt") or "")
    report = undo(kept, Workspace(folder))
    assert [refusal.path for refusal in report.refused] == ["../canary.txt"]
    assert (folder.parent / "canary.txt").exists()


def test_without_originals_there_is_nothing_to_undo(folder, kept):
    """The sentence names the folder that was looked in."""
    with pytest.raises(ConfigurationError, match="nothing to undo"):
        undo(kept, Workspace(folder))
