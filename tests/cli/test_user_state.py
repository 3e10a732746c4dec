"""The user's folder for state, as others may have left it: said in one sentence, and waited for by nobody."""

import json
import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sunwell.journal.ownership import user_key
from sunwell.memory.outcome_store import OutcomeStore
from tests.bubblewrap import needs_bubblewrap
from tests.cli.conftest import TASK
from tests.memory.test_outcomes import CHEAP

ENDLESS = "WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r)"
MODELS = ("--smart-model", "claude-opus-5-5", "--delegation-model", "claude-haiku-5-5")
NOTE = "note: outcomes cannot be read: "


@pytest.fixture
def home(tmp_path: Path, keys: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the user's folder for state."""
    folder = tmp_path / "state"
    folder.mkdir(0o700)
    monkeypatch.setenv("SUNWELL_HOME", str(folder))
    monkeypatch.setenv("SUNWELL_OUTCOMES", "on")
    keys["SUNWELL_OUTCOMES"] = "on"
    return folder


def _view(connection: sqlite3.Connection) -> None:
    names = ("id", "kind", "rung", "model", "after", "passed", "cost", "at")
    columns = ", ".join(f"x AS {name}" for name in names)
    connection.execute("ALTER TABLE outcomes RENAME TO other")
    connection.execute(f"CREATE VIEW outcomes AS {ENDLESS} SELECT {columns} FROM r")


def _trigger(connection: sqlite3.Connection) -> None:
    connection.execute(
        "CREATE TRIGGER t BEFORE INSERT ON outcomes BEGIN DELETE FROM outcomes WHERE "
        f"({ENDLESS} SELECT count(*) FROM r) > 0; END"
    )


@pytest.fixture(params=[_view, _trigger], ids=["view", "trigger"])
def hostile(request: pytest.FixtureRequest, home: Path) -> Path:
    """Return a file of outcomes in which somebody put what never ends."""
    file = home / "outcomes.sqlite3"
    connection = sqlite3.connect(file)
    OutcomeStore(file, warn=pytest.fail).record([CHEAP])
    request.param(connection)
    connection.commit()
    connection.close()
    return file


@needs_bubblewrap
def test_a_hostile_file_of_outcomes_holds_no_ladder_up(sunwell, shop: Path, hostile: Path) -> None:
    """The run ends as it would without the file, and says in one line that it is not used."""
    began = time.monotonic()
    given = ("--check", "true", "--escalate", "--ladder", "cheap", "-w", shop)
    done = sunwell("run", TASK, *MODELS, *given)
    assert time.monotonic() - began < 60.0
    assert done.exit_code == 0
    notes = [line for line in done.stderr.splitlines() if line.startswith("note: outcomes")]
    assert len(notes) == 1
    assert notes[0].startswith(f"{NOTE}{hostile}: its tables are not those that Sunwell makes; ")


def test_a_hostile_file_of_outcomes_holds_no_estimate_up(sunwell, shop: Path, hostile: Path) -> None:
    """What could not be used is a part of the forecast."""
    done = sunwell("estimate", TASK, *MODELS, "-w", shop)
    assert done.exit_code == 0
    assert f"warning: outcomes cannot be read: {hostile}" in " ".join(done.stdout.split())
    told = json.loads(sunwell("estimate", TASK, *MODELS, "-w", shop, "--json").stdout)
    assert len(told["warnings"]) == 1


HARM: dict[str, tuple[Callable[[Path], object], str]] = {
    "damaged": (
        lambda home: (home / "journal.key").write_bytes(b"short"),
        "journal.key is damaged: it has 5",
    ),
    "readable": (lambda home: (home / "journal.key").chmod(0o644), "other users can read "),
    "link": (
        lambda home: ((home / "journal.key").rename(home / "k"), (home / "journal.key").symlink_to("k")),
        "journal.key is a link",
    ),
    "folder for all": (lambda home: home.chmod(0o777), " can be written by every user ("),
}


@pytest.mark.parametrize(("harm", "why"), HARM.values(), ids=HARM)
def test_a_key_that_cannot_be_used_is_said_with_what_it_means(
    sunwell, shop: Path, home: Path, harm: Callable[[Path], object], why: str
) -> None:
    """By the run that gets no mark, by the list, and by the command that refuses the run."""
    assert user_key(make=True) is not None
    harm(home)
    done = sunwell("run", TASK, "--model", "claude-haiku-5-5", "-w", shop)
    assert done.exit_code == 0
    notes = [line for line in done.stderr.splitlines() if line.startswith("note: this run bears no mark")]
    assert len(notes) == 1
    assert why in notes[0]
    assert "resume, fork, replay and undo refuse it as somebody else's" in notes[0]
    listed = sunwell("runs", "-w", shop)
    assert listed.stderr.startswith("note: all runs count as foreign, because ")
    assert why in listed.stderr
    run_id = next((shop / ".sunwell" / "runs").iterdir()).name
    refused = sunwell("undo", run_id, "-w", shop)
    assert refused.exit_code != 0
    assert why in refused.stderr


def test_a_sound_key_is_not_spoken_of(sunwell, shop: Path, home: Path) -> None:
    """Nor is one that is not there yet: it is made."""
    done = sunwell("run", TASK, "--model", "claude-haiku-5-5", "-w", shop)
    assert "mark" not in done.stderr
    assert (home / "journal.key").exists()
    assert sunwell("runs", "-w", shop).stderr == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="requires root")
def test_the_state_folder_of_another_user_is_not_used(sunwell, shop: Path, home: Path) -> None:
    """It is said, and nothing is written into it."""
    os.chown(home, 65_534, 65_534)
    done = sunwell("run", TASK, "--model", "claude-haiku-5-5", "-w", shop)
    assert done.exit_code == 0
    assert f"because {home} belongs to another user (number 65534): " in done.stderr
    assert list(home.iterdir()) == []
