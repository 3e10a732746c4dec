"""The folder ``.sunwell``: corrected where it is ours, refused where it is not, never left through a link."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sunwell.cli.main import cli
from sunwell.errors import JournalError
from sunwell.journal.file import FileJournal
from sunwell.journal.folders import open_folder
from sunwell.journal.ownership import adopt
from sunwell.journal.retention import prune

RECORDED = Path(__file__).parent / "data" / "delegated-1.6.jsonl"
NOBODY = 65534
KEYS = {"ANTHROPIC_API_KEY": "any", "ANTHROPIC_BASE_URL": "http://127.0.0.1:9"}  # where nobody listens
EACH = [
    ("runs",),
    ("show", "r1"),
    ("export", "r1"),
    ("adopt", "r1"),
    ("resume", "r1"),
    ("fork", "r1", "--at", "run/nowhere:7"),
    ("replay", "r1"),
    ("undo", "r1"),
    ("prune", "--keep", "0"),
    ("run", "Go on", "-m", "haiku"),
]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="requires root")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a workspace with two runs, which this user has adopted."""
    monkeypatch.setenv("SUNWELL_HOME", str(tmp_path / "home"))
    workspace = tmp_path / "work"
    laid(workspace, "r1", "r2")
    for name in ("r1", "r2"):
        adopt(workspace, name)
    return workspace


def laid(workspace: Path, *names: str) -> None:
    for name in names:
        run = workspace / ".sunwell" / "runs" / name
        (run / "originals").mkdir(parents=True)
        shutil.copy(RECORDED, run / "journal.jsonl")


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """Return a folder of the user's that no command may touch, in the form of a ``.sunwell``."""
    place = tmp_path / "outside"
    (place / "runs" / "r1" / "originals").mkdir(parents=True)
    shutil.copy(RECORDED, place / "runs" / "r1" / "journal.jsonl")
    for folder in (place, place / "runs", place / "runs" / "r1"):
        folder.chmod(0o755)
    return place


def invoked(root: Path, *words: str) -> Result:
    return CliRunner(env=KEYS).invoke(cli, [*words, "-w", str(root)])


def said(done: Result) -> str:
    """Return the one sentence of a command that was refused."""
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    [line] = done.stderr.splitlines()
    assert (done.exit_code, line.startswith("sunwell: ")) == (2, True), line
    return line


def seen(folder: Path) -> dict[str, tuple[int, int]]:
    """Return mode and size of all that is in *folder*."""
    found = {str(path): path.lstat() for path in (folder, *sorted(folder.rglob("*")))}
    return {name: (status.st_mode, status.st_size) for name, status in found.items()}


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


@pytest.mark.parametrize("command", EACH, ids=lambda command: command[0])
@pytest.mark.parametrize("place", [".sunwell", ".sunwell/runs"])
def test_a_link_in_place_of_a_folder_is_refused(root, outside, place: str, command: tuple[str, ...]) -> None:
    """By every command, in one sentence; what it leads to is not read, listed, closed or removed."""
    target = outside if place == ".sunwell" else outside / "runs"
    shutil.rmtree(root / place)
    (root / place).symlink_to(target)
    before = seen(outside)
    assert f"{root / place} is a link, which journals do not follow" in said(invoked(root, *command))
    assert seen(outside) == before


@pytest.mark.parametrize("command", EACH, ids=lambda command: command[0])
def test_a_file_in_place_of_the_folder_is_refused(root, command: tuple[str, ...]) -> None:
    """It is not replaced: nobody knows what it is."""
    shutil.rmtree(root / ".sunwell")
    (root / ".sunwell").write_text("mine")
    assert f"{root / '.sunwell'} is not a folder: move it out of the way" in said(invoked(root, *command))
    assert (root / ".sunwell").read_text() == "mine"


@pytest.mark.parametrize("command", EACH[1:8], ids=lambda command: command[0])
def test_a_link_in_place_of_a_run_is_refused(root, outside, command: tuple[str, ...]) -> None:
    """By each command that is given the run."""
    shutil.rmtree(root / ".sunwell/runs/r1")
    (root / ".sunwell/runs/r1").symlink_to(outside / "runs" / "r1")
    before = seen(outside)
    assert "r1 is a link, which journals do not follow" in said(invoked(root, *command))
    assert seen(outside) == before


def test_a_link_in_place_of_a_run_does_not_hide_the_others(root, outside) -> None:
    """It is listed with what is wrong, and left when the others are removed."""
    shutil.rmtree(root / ".sunwell/runs/r1")
    (root / ".sunwell/runs/r1").symlink_to(outside / "runs" / "r1")
    before = seen(outside)
    listed = {run["run_id"]: run for run in json.loads(invoked(root, "runs", "--json").stdout)["runs"]}
    assert ("is a link" in listed["r1"]["error"], listed["r2"]["status"]) == (True, "ok")
    done = invoked(root, "prune", "--keep", "0")
    assert (done.exit_code, done.stdout.splitlines()[0]) == (3, "removed   r2")
    assert done.stderr.startswith("left      r1: ")
    assert seen(outside) == before


@pytest.mark.parametrize("command", EACH[:9], ids=lambda command: command[0])
def test_modes_are_narrowed_by_every_command(root, command: tuple[str, ...]) -> None:
    """What is our own is closed to others: the folders, the journal, and git's view."""
    folders = [root / ".sunwell", root / ".sunwell/runs", root / ".sunwell/runs/r1"]
    for folder in folders:
        folder.chmod(0o777)
    (folders[2] / "journal.jsonl").chmod(0o666)
    (folders[0] / ".gitignore").unlink()
    invoked(root, *command)
    assert [mode(folder) for folder in folders[:2]] == [0o700, 0o700]
    assert (folders[0] / ".gitignore").read_text() == "*\n"
    if command[0] != "prune":
        assert [mode(folders[2]), mode(folders[2] / "journal.jsonl")] == [0o700, 0o600]


@pytest.mark.parametrize("kind", ["link", "pipe", "hard-link", "open", "no-rule", "exception"])
def test_a_gitignore_that_hides_nothing_is_replaced(root, kind: str) -> None:
    """What a link leads to stays as it is, and so does a file with another name."""
    place, kept = root / ".sunwell" / ".gitignore", root / "kept"
    place.unlink()
    kept.write_text("*\n")
    {
        "link": lambda: place.symlink_to(kept),
        "pipe": lambda: os.mkfifo(place),
        "hard-link": lambda: place.hardlink_to(kept),
        "open": lambda: (place.write_text("*\n"), place.chmod(0o666)),
        "no-rule": lambda: place.write_text("# nothing\n"),
        "exception": lambda: place.write_text("*\n!runs/\n"),
    }[kind]()
    assert invoked(root, "runs").exit_code == 0
    assert (place.is_symlink(), place.read_text(), place.stat().st_nlink) == (False, "*\n", 1)
    assert not mode(place) & 0o022
    assert (kept.read_text(), kept.stat().st_nlink) == ("*\n", 1)


def test_a_folder_in_place_of_the_gitignore_is_refused(root) -> None:
    """It is nothing that could be replaced without a loss."""
    (root / ".sunwell/.gitignore").unlink()
    (root / ".sunwell/.gitignore").mkdir()
    assert ".gitignore is not a file: move it out of the way" in said(invoked(root, "runs"))


def test_a_hard_link_is_read_and_not_written(root, tmp_path: Path) -> None:
    """Another name of a file of the user's keeps its content and its mode."""
    precious = tmp_path / "precious"
    journal = root / ".sunwell/runs/r1/journal.jsonl"
    shutil.move(journal, precious)
    precious.chmod(0o644)
    journal.hardlink_to(precious)
    before = precious.read_bytes()
    assert invoked(root, "show", "r1").exit_code == 0
    assert "is a hard link, which is not written to" in said(invoked(root, "resume", "r1"))
    assert invoked(root, "prune", "--keep", "0").exit_code == 0
    assert (precious.read_bytes(), mode(precious)) == (before, 0o644)


@pytest.fixture
def shared() -> Iterator[Path]:
    """Return a workspace of an ordinary user; the test is that user while it runs."""
    place = Path(tempfile.mkdtemp())
    laid(place, "r1", "r2")
    for path in (place, *place.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    os.environ["SUNWELL_HOME"] = str(place / "home")
    os.seteuid(NOBODY)
    yield place
    os.seteuid(0)
    del os.environ["SUNWELL_HOME"]
    shutil.rmtree(place)


def as_root(do: Callable[[], object]) -> None:
    os.seteuid(0)
    try:
        do()
    finally:
        os.seteuid(NOBODY)


@needs_root
@pytest.mark.parametrize("place", [".sunwell", ".sunwell/runs"])
@pytest.mark.parametrize("command", EACH, ids=lambda command: command[0])
def test_an_ordinary_user_does_not_use_another_ones_folder(shared, place, command) -> None:
    """Not even if everybody may write there."""
    invoked(shared, "adopt", "r1")
    as_root(lambda: (os.chown(shared / place, 0, 0), (shared / place).chmod(0o777)))
    line = said(invoked(shared, *command))
    assert f"{shared / place} belongs to another user (number 0)" in line
    assert mode(shared / place) == 0o777


@needs_root
@pytest.mark.parametrize("command", EACH, ids=lambda command: command[0])
def test_root_does_not_use_an_ordinary_users_folder(root, command: tuple[str, ...]) -> None:
    """That user could change what is read while it is read."""
    os.chown(root / ".sunwell", NOBODY, NOBODY)
    assert f"belongs to another user (number {NOBODY})" in said(invoked(root, *command))


@needs_root
def test_a_file_or_folder_of_another_user_in_a_run_is_left(shared) -> None:
    """The run is listed as damaged and is not removed; the other one is."""
    journal = shared / ".sunwell/runs/r1/journal.jsonl"
    as_root(lambda: (os.chown(journal, 0, 0), journal.chmod(0o644)))
    listed = {run["run_id"]: run for run in json.loads(invoked(shared, "runs", "--json").stdout)["runs"]}
    assert ("belongs to another user" in listed["r1"]["error"], listed["r2"]["status"]) == (True, "ok")
    as_root(lambda: os.chown(shared / ".sunwell/runs/r1/originals", 0, 0))
    done = prune(shared, keep=0)
    assert [run.run_id for run in done.removed] == ["r2"]
    assert [one.reason for one in done.left] == [
        "the folder originals in it is another user's or a mount: remove it yourself"
    ]
    assert journal.exists()


@needs_root
def test_a_new_run_of_an_ordinary_user_is_private(shared) -> None:
    """Its folders have mode 0700, its files 0600, whatever the umask."""
    as_root(lambda: shutil.rmtree(shared / ".sunwell"))
    before = os.umask(0)
    try:
        os.close(open_folder(shared / ".sunwell/runs/r1", make=True))
    finally:
        os.umask(before)
    made = [shared / ".sunwell", shared / ".sunwell/runs", shared / ".sunwell/runs/r1"]
    assert [mode(path) for path in made] == [0o700] * 3


@pytest.mark.parametrize("what", ["run", "inner"])
def test_a_link_that_is_put_there_meanwhile_leads_nowhere(root, outside, what: str) -> None:
    """A thread swaps a folder and a link while runs are removed: nothing outside is touched."""
    run = root / ".sunwell/runs/r1"
    place = run if what == "run" else run / "originals"
    before, over = seen(outside), threading.Event()

    def swap() -> None:
        target = outside / "runs" / "r1"
        while not over.is_set():
            try:
                place.rename(root / "aside")
                place.symlink_to(target)
                place.unlink()
                (root / "aside").rename(place)
            except OSError:  # it was removed, or moved, in between
                shutil.rmtree(root / "aside", ignore_errors=True)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        for _ in range(60):
            prune(root, keep=0)
            try:
                laid(root, "r1")
            except OSError:
                continue
    finally:
        over.set()
        thread.join()
    assert seen(outside) == before


def test_what_is_in_a_run_is_removed_and_not_what_it_leads_to(root, outside) -> None:
    """Links, pipes and hard links go; a deep folder goes as well; what has another name stays."""
    run = root / ".sunwell/runs/r1"
    (run / "link").symlink_to(outside)
    (run / "originals" / "up").symlink_to("../../../../..")
    (run / "hard").hardlink_to(outside / "runs/r1/journal.jsonl")
    os.mkfifo(run / "pipe")
    (run.joinpath(*"abcdefgh")).mkdir(parents=True)
    before = seen(outside)
    assert [one.run_id for one in prune(root, keep=0).removed] == ["r1", "r2"]
    assert (list((root / ".sunwell/runs").iterdir()), seen(outside)) == ([], before)


def test_what_an_earlier_pruning_left_is_a_link_or_goes(root, outside) -> None:
    """A name that pruning uses may be prepared, too."""
    runs = root / ".sunwell/runs"
    (runs / ".gone-x").symlink_to(outside)
    (runs / ".gone-y").mkdir()
    (runs / ".gone-y" / "file").write_text("")
    before = seen(outside)
    prune(root, keep=9)
    assert sorted(path.name for path in runs.iterdir()) == ["r1", "r2"]
    assert seen(outside) == before


def test_a_folder_without_end_is_left(root) -> None:
    """It does not keep the others."""
    deep = root / ".sunwell/runs/r1"
    for _ in range(80):
        deep = deep / "d"
    deep.mkdir(parents=True)
    done = prune(root, keep=0)
    assert ([run.run_id for run in done.removed], [one.run.run_id for one in done.left]) == (["r2"], ["r1"])


MOUNTED = """
mount --bind "$1/../outside" "$1/.sunwell/runs/r1/originals" || exit 77
exec "$2" -m sunwell prune --keep 0 -w "$1"
"""


def test_a_mount_in_a_run_is_not_emptied(root, outside) -> None:
    """A bind mount has the same device number as what is around it."""
    if shutil.which("unshare") is None:
        pytest.skip("requires unshare")
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", MOUNTED, "sh", root, sys.executable],
        capture_output=True,
        text=True,
        check=False,
    )
    if "unshare" in done.stderr or done.returncode == 77:
        pytest.skip("requires mounts in a namespace of one's own")
    assert (done.returncode, "another user's or a mount" in done.stderr) == (3, True), done.stderr
    assert (outside / "runs/r1/journal.jsonl").exists()


def test_a_place_without_the_folder_is_opened_as_it_is(tmp_path: Path) -> None:
    """Only what is below ``.sunwell`` is ours to judge."""
    (tmp_path / "real").mkdir(0o755)
    (tmp_path / "link").symlink_to("real")
    os.close(open_folder(tmp_path / "link"))
    (tmp_path / "real" / ".sunwell").symlink_to(tmp_path)
    with pytest.raises(JournalError, match="is a link"):
        open_folder(tmp_path / "link" / ".sunwell")


@pytest.mark.parametrize("kind", ["link", "file"])
def test_a_folder_that_a_run_may_need_later_is_refused_when_it_opens(tmp_path: Path, kind: str) -> None:
    """Before there is anything of the run: else what a command leaves behind could not be set aside."""
    place = tmp_path / ".sunwell" / "set-aside"
    place.parent.mkdir()
    if kind == "link":
        place.symlink_to(tmp_path)
    else:
        place.touch()
    with pytest.raises(JournalError, match=f"{re.escape(str(place))} is (a link|not a folder)"):
        FileJournal.create(tmp_path, "r1")
    assert not (tmp_path / ".sunwell/runs").exists()


def test_what_stands_in_the_place_of_a_new_journal_is_named(tmp_path: Path) -> None:
    """A link is not followed, whether it leads anywhere or not; a file stays as it is."""
    place = tmp_path / ".sunwell/runs/r1/journal.jsonl"
    place.parent.mkdir(parents=True)
    for target in (tmp_path / "a", tmp_path / "none"):
        place.symlink_to(target)
        with pytest.raises(JournalError, match="is a link, which journals do not follow"):
            FileJournal.create(tmp_path, "r1")
        place.unlink()
    place.mkdir()
    with pytest.raises(JournalError, match="is not a file: move it out of the way"):
        FileJournal.create(tmp_path, "r1")
    place.rmdir()
    place.write_text("mine")
    with pytest.raises(JournalError, match="take that run up, or give the new one another id"):
        FileJournal.create(tmp_path, "r1")
    assert place.read_text() == "mine"
    assert not (tmp_path / "none").exists()
