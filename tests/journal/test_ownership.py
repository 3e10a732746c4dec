"""Whose run it is: what others prepared in a workspace is shown, and used only after its user adopted it."""

import asyncio
import hashlib
import json
import os
import shutil
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from sunwell.cli.main import cli
from sunwell.core.user_folders import state_folder
from sunwell.errors import ConfigurationError, JournalError
from sunwell.journal import FileJournal, list_runs
from sunwell.journal.ownership import adopt, find_own_run, is_marked, is_own, marked, user_key
from sunwell.journal.reading import first_line
from sunwell.journal.records import RunOpened

RECORDED = Path(__file__).parent / "data" / "delegated-1.6.jsonl"
KEYS = {"ANTHROPIC_API_KEY": "any", "ANTHROPIC_BASE_URL": "http://127.0.0.1:9"}  # where nobody listens
USING = [
    pytest.param(("resume", "theirs"), id="resume"),
    pytest.param(("resume", "theirs", "--accept-changes", "--allow-shell"), id="resume-with-all"),
    pytest.param(("fork", "theirs", "--at", "run/work"), id="fork"),
    pytest.param(("replay", "theirs"), id="replay"),
    pytest.param(("undo", "theirs"), id="undo"),
    pytest.param(("run", "Go on", "--orchestrate", "-m", "haiku", "--after", "theirs"), id="after"),
]


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="requires root")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder in which this user's key is."""
    monkeypatch.setenv("SUNWELL_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """Return a clone whose author prepared a finished run, and originals that change ``setup.py``."""
    root = tmp_path / "clone"
    run = root / ".sunwell" / "runs" / "theirs"
    (run / "originals").mkdir(parents=True)
    shutil.copy(RECORDED, run / "journal.jsonl")
    (root / "setup.py").write_text("harmless\n")
    evil, now = b"import os; os.system('id')\n", hashlib.sha256(b"harmless\n").hexdigest()
    (run / "originals" / hashlib.sha256(evil).hexdigest()).write_bytes(evil)
    lines = (
        {"path": "setup.py", "before": hashlib.sha256(evil).hexdigest()},
        {"path": "setup.py", "after": now},
    )
    (run / "originals" / "index.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return root


@pytest.fixture
def sunwell(workspace: Path) -> Callable[..., Result]:
    """Return a function that runs a command in the clone."""
    return lambda *words: CliRunner(env=KEYS).invoke(cli, [*words, "-w", str(workspace)])


def begun(root: Path, run_id: str) -> Path:
    """Begin a run of this user's and return its journal."""
    journal = FileJournal.create(root, run_id, threaded=False)
    asyncio.run(journal.append(RunOpened(run_id, "Do it", 1.0)))
    journal.close()
    return root / ".sunwell" / "runs" / run_id / "journal.jsonl"


@pytest.mark.parametrize("command", USING)
def test_what_somebody_prepared_is_not_used(sunwell, workspace: Path, command: tuple[str, ...]) -> None:
    """One sentence names the run and the command that adopts it; no file changes."""
    before = (workspace / ".sunwell/runs/theirs/journal.jsonl").read_bytes()
    done = sunwell(*command)
    [said] = done.stderr.splitlines()
    assert (done.exit_code, "the run theirs was not started by you" in said) == (2, True)
    assert "sunwell adopt theirs" in said
    assert (workspace / "setup.py").read_text() == "harmless\n"
    assert (workspace / ".sunwell/runs/theirs/journal.jsonl").read_bytes() == before


def test_what_somebody_prepared_is_shown_as_foreign(sunwell, workspace: Path) -> None:
    """One's own run beside it is not; both can be looked at."""
    begun(workspace, "mine")
    listed = json.loads(sunwell("runs", "--json").stdout)["runs"]
    assert {run["run_id"]: run["foreign"] for run in listed} == {"mine": False, "theirs": True}
    [own, foreign] = sorted(sunwell("runs").stdout.splitlines(), key=lambda line: "foreign: " in line)
    assert ("foreign" in own, "foreign: " in foreign) == (False, True)
    assert (sunwell("show", "theirs", "-v").exit_code, sunwell("export", "theirs").exit_code) == (0, 0)


def test_an_adopted_run_is_used_like_ones_own(sunwell, workspace: Path) -> None:
    """The user has read it and says so by its name: then its result and its originals count."""
    assert sunwell("adopt", "theirs").stdout == "adopted theirs\n"
    assert json.loads(sunwell("runs", "--json").stdout)["runs"][0]["foreign"] is False
    assert sunwell("replay", "theirs", "--accept-changes").exit_code == 0
    assert "restored  setup.py" in sunwell("undo", "theirs").stdout
    assert "os.system" in (workspace / "setup.py").read_text()
    assert sunwell("adopt", "theirs").exit_code == 0  # a second time does no harm


def test_ones_own_run_is_found_by_its_beginning(tmp_path: Path, home: Path) -> None:
    """The key is the user's alone."""
    begun(tmp_path, "mine-1")
    assert find_own_run(tmp_path, "mine").run_id == "mine-1"
    key = home / "journal.key"
    assert (key.stat().st_mode & 0o777, key.stat().st_size, home.stat().st_mode & 0o777) == (0o600, 32, 0o700)


def test_a_mark_of_somebody_elses_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key of another user, of another machine, or one that was lost."""
    path = begun(tmp_path, "theirs")
    monkeypatch.setenv("SUNWELL_HOME", str(tmp_path / "other"))
    for _ in ("no key yet", "another key"):
        with pytest.raises(JournalError, match="was not started by you on this machine"):
            find_own_run(tmp_path, "theirs")
        assert user_key(make=True) is not None
    assert not is_marked(first_line(path), user_key(), path)


def test_a_lost_key_costs_an_adoption(tmp_path: Path, home: Path) -> None:
    """A new key is made, and the runs of before are adopted one by one."""
    begun(tmp_path, "mine")
    (home / "journal.key").unlink()
    with pytest.raises(JournalError, match="sunwell adopt mine"):
        find_own_run(tmp_path, "mine")
    adopt(tmp_path, "mine")
    assert find_own_run(tmp_path, "mine").run_id == "mine"


def test_an_adoption_is_of_one_run(tmp_path: Path, workspace: Path) -> None:
    """Copied to another run it adopts nothing, nor does it stay if the run's first line is another."""
    adopt(workspace, "theirs")
    other = Path(shutil.copytree(workspace / ".sunwell/runs/theirs", workspace / ".sunwell/runs/other"))
    lines = (other / "journal.jsonl").read_bytes().split(b"\n")
    head = lines[0].rpartition(b',"crc"')[0].replace(b'"task":"', b'"task":"Now ')
    lines[0] = head + b',"crc":"%08x"}' % zlib.crc32(head + b"}")
    (other / "journal.jsonl").write_bytes(b"\n".join(lines))
    with pytest.raises(JournalError, match="the run other was not started by you"):
        find_own_run(workspace, "other")


@pytest.mark.parametrize("place", ["link", "pipe", "folder", "long"])
def test_what_stands_in_place_of_an_adoption_is_none(workspace: Path, place: str) -> None:
    """Nothing hangs, and nothing but a file of the right content counts."""
    there = workspace / ".sunwell/runs/theirs/adopted"
    adopt(workspace, "theirs")
    content = there.read_bytes()
    there.unlink()
    (workspace / "kept").write_bytes(content)
    {
        "link": lambda: there.symlink_to(workspace / "kept"),
        "pipe": lambda: os.mkfifo(there),
        "folder": there.mkdir,
        "long": lambda: there.write_bytes(content * 1000),
    }[place]()
    with pytest.raises(JournalError, match="was not started by you"):
        find_own_run(workspace, "theirs")


def test_a_key_that_others_can_have_is_not_used(tmp_path: Path, home: Path) -> None:
    """One that came with a clone or an archive is readable for all, and a link leads to what others chose."""
    begun(tmp_path, "mine")
    key = home / "journal.key"
    key.chmod(0o644)
    assert user_key(make=True) is None
    with pytest.raises(JournalError, match=r"the key .*journal.key cannot be used or made"):
        adopt(tmp_path, "mine")
    key.chmod(0o600)
    assert user_key() is not None
    key.rename(tmp_path / "elsewhere")
    key.symlink_to(tmp_path / "elsewhere")
    assert user_key(make=True) is None
    key.unlink()
    os.mkfifo(key, 0o600)
    assert user_key() is None


@needs_root
def test_a_key_of_another_user_is_not_used(home: Path) -> None:
    """Root does not take over the key that an ordinary user put there."""
    assert user_key(make=True) is not None
    os.chown(home / "journal.key", 65534, 65534)
    assert user_key() is None


def test_processes_that_begin_at_once_have_one_key(home: Path) -> None:
    """The first that is whole counts; none is written over another."""
    with ThreadPoolExecutor(8) as threads:
        keys = set(threads.map(lambda _: user_key(make=True), range(16)))
    assert len(keys) == 1
    assert [path.name for path in home.iterdir()] == ["journal.key"]


def test_without_a_place_for_a_key_a_run_works_and_bears_no_mark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read-only home is no reason not to begin; going on needs a place for a key."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SUNWELL_HOME", str(tmp_path / "file" / "home"))
    path = begun(tmp_path, "mine")
    assert b'"mark"' not in first_line(path)
    with pytest.raises(JournalError, match="name another folder with SUNWELL_HOME"):
        adopt(tmp_path, "mine")


@needs_root
def test_a_user_without_a_home_is_told_so() -> None:
    """A container may have a number for a user, and nothing else."""
    child = os.fork()
    if child == 0:
        try:
            del os.environ["HOME"]
            os.setuid(54321)
            state_folder({})
        except ConfigurationError as error:
            os._exit(7 if "SUNWELL_HOME" in str(error) else 1)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_the_folder_for_keys_is_the_platforms() -> None:
    """A relative one of XDG is none: it would be in whatever folder we are in."""
    assert state_folder({"SUNWELL_HOME": "/a/b", "HOME": "/h"}) == Path("/a/b")
    for chosen in ("", "relative/state"):
        assert state_folder({"XDG_STATE_HOME": chosen, "HOME": "/h"}).is_relative_to("/h")


LINE = b'{"seq":0,"kind":"run_opened","synced":0,"run_id":"r","crc":"00000000"}'


@given(st.data())
def test_no_change_of_a_line_keeps_its_mark(data: st.DataObject) -> None:
    """Not one bit of what the mark is of, nor of the mark."""
    key, here = bytes(32), Path("/w/.sunwell/runs/r/journal.jsonl")
    line = bytearray(marked(LINE, key, here))
    assert is_marked(bytes(line), key, here)
    assert not is_marked(bytes(line), bytes(31) + b"\1", here)
    assert not is_marked(bytes(line), key, Path("/elsewhere/.sunwell/runs/r/journal.jsonl"))
    place = data.draw(st.integers(0, len(line) - len(b',"crc":"00000000"}') - 1))
    line[place] ^= 1 << data.draw(st.integers(0, 7))
    assert not is_marked(bytes(line), key, here)


def test_a_published_journal_gives_no_mark_to_another_place(tmp_path: Path, workspace: Path) -> None:
    """Its first line may come back with other lines after it, in any clone: each run is of its own place."""
    begun(tmp_path / "clone", "mine")
    moved = Path(shutil.copytree(workspace, tmp_path / "moved"))
    key = user_key()
    for root, is_mine in ((workspace, True), (moved, False)):
        own = {run.run_id: is_own(run, first_line(run.path), key) for run in list_runs(root)}
        assert own == {"mine": is_mine, "theirs": False}
