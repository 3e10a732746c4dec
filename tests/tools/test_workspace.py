"""Nothing outside the workspace is read or written, by no name and at no moment."""

import os
import resource
import socket
import stat
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sunwell.errors import ConfigurationError, ToolError
from sunwell.tools.workspace import Descent, FolderEntry, Workspace, opened

LIMIT = 1_000
CANARY = "canary-5f1d"


def furnish(root: Path) -> None:
    """Put one of everything that could lead out into *root*."""
    (root / "src").mkdir()
    (root / "src" / "a.txt").write_text("inside")
    (root / ".git").mkdir()
    (root / ".git" / "config").write_text(CANARY)
    (root / ".sunwell").mkdir()
    (root / ".env").write_text(CANARY)
    (root / ".env.local").write_text(CANARY)
    for name, target in {
        "in": "src/a.txt",
        "src/up-and-down": "../src/a.txt",
        "absolute-in": str(root / "src"),
        "out": "../canary.txt",
        "out-folder": "..",
        "absolute-out": str(root.parent / "canary.txt"),
        "beside": f"{root}-beside",
        "to-git": ".git",
        "to-env": ".env",
        "loop": "loop",
        "dangling-out": "../made-by-tools.txt",
    }.items():
        (root / name).symlink_to(target)
    os.mkfifo(root / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(root / "sock"))


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def furnished(folder: Path) -> Workspace:
    furnish(folder)
    return Workspace(folder)


ESCAPES = [
    pytest.param("../canary.txt", "leads out of the workspace", id="dots"),
    pytest.param("src/../../canary.txt", "leads out of the workspace", id="dots-further-in"),
    pytest.param("/etc/passwd", "is absolute", id="absolute"),
    pytest.param("//etc/passwd", "is absolute", id="two-slashes"),
    pytest.param("out", "leads out of the workspace", id="link"),
    pytest.param("out-folder/canary.txt", "leads out of the workspace", id="link-to-folder"),
    pytest.param("absolute-out", "link out of the workspace", id="absolute-link"),
    pytest.param("beside", "link out of the workspace", id="link-to-a-name-that-begins-alike"),
    pytest.param("dangling-out", "leads out of the workspace", id="link-to-nothing-outside"),
    pytest.param("loop", "too many links", id="loop"),
    pytest.param(".git/config", ".git is not open", id="git"),
    pytest.param("to-git/config", ".git is not open", id="link-to-git"),
    pytest.param("new/.git/hooks/x", ".git is not open", id="git-in-a-new-folder"),
    pytest.param("src/../.GIT/config", ".git is not open", id="git-in-capitals"),
    pytest.param(".sunwell/runs", ".sunwell is not open", id="own-records"),
    pytest.param(".env", "hold secrets", id="env"),
    pytest.param(".env.local", "hold secrets", id="env-of-a-stage"),
    pytest.param("to-env", "hold secrets", id="link-to-env"),
    pytest.param("pipe", "is a named pipe", id="pipe-without-writer"),
    pytest.param("sock", "is a socket", id="socket"),
    pytest.param("src", "is a folder", id="folder"),
    pytest.param(".", "is a folder", id="root"),
    pytest.param("", "is a folder", id="nothing"),
    pytest.param("src/a.txt/b", "is no folder", id="file-as-folder"),
    pytest.param("none/../src/a.txt", "does not exist", id="through-nothing"),
    pytest.param("a\0b", "control characters", id="nul"),
    pytest.param("a\nb", "control characters", id="line-end"),
    pytest.param("x" * 256, "too long", id="long-name"),
    pytest.param("x/" * 2_100, "too long", id="long-path"),
    pytest.param("\ud800", "not valid text", id="half-a-character"),
]


@pytest.mark.parametrize(("path", "reason"), ESCAPES)
def test_what_is_not_open_is_neither_read_nor_written(furnished, path, reason):
    """Each way out is refused in one sentence, for reading and for writing."""
    with pytest.raises(ToolError) as reading:
        furnished.read(path, LIMIT)
    with pytest.raises(ToolError) as writing:
        furnished.write(path, b"pwned", None)
    assert reason in str(reading.value)
    assert reason in str(writing.value)
    assert "\n" not in str(reading.value)
    assert (furnished.root.parent / "canary.txt").read_text() == CANARY
    assert not (furnished.root.parent / "made-by-tools.txt").exists()


@pytest.mark.parametrize("path", ["src/a.txt", "./src//a.txt", "in", "src/up-and-down", "absolute-in/a.txt"])
def test_links_that_stay_inside_are_followed(furnished, path):
    """A file is read through every link that stays inside, and is known by its own path."""
    content = furnished.read(path, LIMIT)
    assert (content.path, content.data) == ("src/a.txt", b"inside")


def test_a_write_through_a_link_changes_the_file_and_keeps_the_link(furnished):
    """The link stays a link."""
    furnished.write("in", b"new", furnished.sha256("in"))
    assert (furnished.root / "in").is_symlink()
    assert (furnished.root / "src/a.txt").read_bytes() == b"new"


def test_a_device_is_not_opened(furnished):
    """Devices are refused without being opened, also as the target of a link made by somebody else."""
    (furnished.root / "null").symlink_to("/dev/null")
    with pytest.raises(ToolError, match="link out of the workspace"):
        furnished.read("null", LIMIT)


NAMES = "a b c src a.txt .. . in out out-folder absolute-in to-git to-env .git .env .sunwell pipe loop"
PIECES = st.sampled_from([*NAMES.split(), "", "canary.txt", "outside", "config", "\0", "x" * 300])


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.one_of(st.lists(PIECES, max_size=6).map("/".join), st.text(max_size=40)))
def test_no_path_reads_or_writes_outside(tmp_path_factory, path):
    """Whatever the path, the canary is not read, and all around the workspace stays as it was."""
    around = tmp_path_factory.mktemp("around")
    (around / "canary.txt").write_text(CANARY)
    root = around / "work"
    root.mkdir()
    furnish(root)
    workspace = Workspace(root)
    for act in (
        lambda: workspace.read(path, LIMIT),
        lambda: workspace.write(path, b"pwned", workspace.sha256(path)),
        lambda: workspace.entries(path),
        lambda: workspace.remove(path, workspace.sha256(path) or ""),
    ):
        try:
            seen = repr(act())
        except ToolError as error:
            seen = str(error)
        assert CANARY not in seen
        assert "\n" not in seen
    assert names_in(around) == ["canary.txt", "work"]
    assert (around / "canary.txt").read_text() == CANARY
    for private in (".env", ".env.local", ".git/config"):
        assert (root / private).read_text() == CANARY


def test_a_folder_swapped_for_a_link_after_it_was_entered_leads_nowhere_else(furnished):
    """The file that was checked is the file that is read: folders on the way are held open."""
    with Descent(furnished.root, (str(furnished.root),)) as descent:
        place = descent.to("src/a.txt")
        (furnished.root / "src").rename(furnished.root / "moved")
        (furnished.root / "src").symlink_to(furnished.root.parent)
        with opened(place) as file:
            assert os.read(file, 100) == b"inside"


@pytest.mark.parametrize("what", ["link", "pipe"])
def test_a_file_swapped_after_it_was_checked_is_not_opened(furnished, what):
    """A link or pipe that takes the place of a checked file is refused, without waiting."""
    with Descent(furnished.root, (str(furnished.root),)) as descent:
        place = descent.to("src/a.txt")
        (furnished.root / "src/a.txt").unlink()
        if what == "link":
            (furnished.root / "src/a.txt").symlink_to(furnished.root.parent / "canary.txt")
        else:
            os.mkfifo(furnished.root / "src/a.txt")
        with pytest.raises(ToolError, match=r"replaced by a link|named pipe"), opened(place):
            pass


def test_a_link_put_where_a_folder_is_to_be_made_is_refused(furnished):
    """A write that makes folders does not go through a link that somebody puts there first."""
    with Descent(furnished.root, (str(furnished.root),)) as descent:
        place = descent.to("new/canary.txt")
        (furnished.root / "new").symlink_to(furnished.root.parent / "outside")
        with pytest.raises(ToolError):
            descent.make(place)


def test_a_folder_that_turns_into_a_link_all_the_time_never_leads_out(folder, workspace):
    """While another thread swaps a folder for a link to the outside, only the inside is ever read."""
    (folder / "turn").mkdir()
    (folder / "turn" / "canary.txt").write_text("inside")
    (folder / "link").symlink_to("../outside")
    done = threading.Event()

    def swap() -> None:
        while not done.is_set():
            (folder / "turn").rename(folder / "parked")
            (folder / "link").rename(folder / "turn")
            (folder / "turn").rename(folder / "link")
            (folder / "parked").rename(folder / "turn")

    swapper = threading.Thread(target=swap)
    swapper.start()
    seen = set()
    try:
        for _ in range(1_000):
            try:
                content = workspace.read("turn/canary.txt", LIMIT)
                seen.add(content and content.data)
            except ToolError:  # refused: that is the other right answer
                continue
    finally:
        done.set()
        swapper.join()
    assert seen <= {b"inside", None}


@pytest.mark.parametrize("root", ["nothing", "file"])
def test_a_root_that_is_no_folder_is_a_configuration_error(tmp_path, root):
    """The sentence names the folder that is none."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match=f"{root} is not a folder"):
        Workspace(tmp_path / root)


def test_a_root_that_is_gone_gives_a_sentence(folder, workspace):
    """A workspace that was deleted meanwhile is told, not raised as a system error."""
    folder.rmdir()
    with pytest.raises(ToolError, match="no such file"):
        workspace.read("a", LIMIT)


def test_a_new_file_gets_its_folders_and_leaves_nothing_else(folder, workspace):
    """No temporary file stays behind."""
    workspace.write("a/b/c.txt", b"text", None)
    assert [str(p.relative_to(folder)) for p in sorted(folder.rglob("*"))] == ["a", "a/b", "a/b/c.txt"]


def test_a_write_keeps_the_mode_of_the_old_file(folder, workspace):
    """A script stays executable, a private file private."""
    for mode in (0o755, 0o600):
        (folder / "x").write_bytes(b"old")
        (folder / "x").chmod(mode)
        workspace.write("x", b"new", workspace.sha256("x"))
        assert stat.S_IMODE((folder / "x").stat().st_mode) == mode


def test_a_read_only_file_is_not_replaced(folder, workspace):
    """A rename would not ask for the permission that a write needs, so we do."""
    (folder / "x").write_bytes(b"old")
    (folder / "x").chmod(0o444)
    with pytest.raises(ToolError, match="read-only"):
        workspace.write("x", b"new", workspace.sha256("x"))
    assert (folder / "x").read_bytes() == b"old"


def test_a_write_that_fails_leaves_the_old_file_and_no_rest(folder, workspace):
    """When the disk takes only a part, the old file is whole and nothing lies beside it."""
    (folder / "x").write_bytes(b"old")
    before = workspace.sha256("x")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    try:
        with pytest.raises(ToolError) as caught:
            workspace.write("x", b"y" * 100, before)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(caught.value) == "'x' cannot be used: file too large"
    assert names_in(folder) == ["x"]
    assert (folder / "x").read_bytes() == b"old"


@pytest.mark.parametrize("now", [None, b"other"])
def test_a_file_that_is_not_as_expected_is_not_written(folder, workspace, now):
    """What somebody else did meanwhile is not lost: deleting it counts too."""
    (folder / "x").write_bytes(b"old")
    before = workspace.sha256("x")
    (folder / "x").unlink()
    if now is not None:
        (folder / "x").write_bytes(now)
    with pytest.raises(ToolError, match="changed by somebody else"):
        workspace.write("x", b"new", before)
    assert ((folder / "x").read_bytes() if now else None) == now


def test_a_file_gone_with_its_folder_is_not_written_and_makes_no_folder(folder, workspace):
    """A write that is refused leaves nothing behind."""
    with pytest.raises(ToolError, match="changed by somebody else"):
        workspace.write("gone/x", b"new", "0" * 64)
    assert names_in(folder) == []


@pytest.mark.parametrize(("size", "is_read"), [(LIMIT, True), (LIMIT + 1, False)])
def test_a_file_is_read_up_to_the_limit(folder, workspace, size, is_read):
    """One byte more is refused with the size."""
    (folder / "x").write_bytes(b"x" * size)
    if is_read:
        assert len(workspace.read("x", LIMIT).data) == size
    else:
        with pytest.raises(ToolError, match="has 1,001 bytes: too large to be changed"):
            workspace.read("x", LIMIT)


def test_a_huge_file_is_refused_without_being_read(folder, workspace):
    """A sparse file of a terabyte costs no memory."""
    with (folder / "huge").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ToolError, match="1,099,511,627,776 bytes"):
        workspace.read("huge", LIMIT)


def test_a_folder_shows_what_is_open_and_what_kind_it_is(furnished):
    """Private names are left out, links are not followed."""
    assert furnished.entries("") == [
        FolderEntry("absolute-in", "link"),
        FolderEntry("absolute-out", "link"),
        FolderEntry("beside", "link"),
        FolderEntry("dangling-out", "link"),
        FolderEntry("in", "link"),
        FolderEntry("loop", "link"),
        FolderEntry("out", "link"),
        FolderEntry("out-folder", "link"),
        FolderEntry("pipe", "other"),
        FolderEntry("sock", "other"),
        FolderEntry("src", "folder"),
        FolderEntry("to-env", "link"),
        FolderEntry("to-git", "link"),
    ]
