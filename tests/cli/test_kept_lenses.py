"""``sunwell lens list``, ``show``, ``drop`` and ``export`` of kept lenses, and what a run tells of one."""

import json
import re
from pathlib import Path

import attrs
import pytest

from sunwell.memory.lens_store import KeptLens, LensStore
from tests.cli.conftest import TASK, Invoke
from tests.memory.test_lens_store import KEPT


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the user's folder, in which lenses are kept."""
    monkeypatch.setenv("SUNWELL_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SUNWELL_LENSES")
    return tmp_path / "home"


def keep(home: Path, **other: object) -> KeptLens:
    """Keep a lens."""
    store = LensStore(home / "lenses.sqlite3", warn=pytest.fail, clock=lambda: 1_000_000.0)
    kept = store.keep(attrs.evolve(KEPT, **other))
    assert kept is not None
    return kept


def test_kept_lenses_are_listed_shown_and_dropped(sunwell: Invoke, home: Path) -> None:
    """The beginning of an id is enough; both forms have what the lens rests on."""
    needs = {"smart": "anthropic/opus", "reader": "anthropic/haiku"}
    kept = keep(home, needs=needs)
    assert LensStore(home / "lenses.sqlite3", warn=pytest.fail).note_trial(kept.id, {"verdict": "harms"})
    listed = sunwell("lens", "list")
    models = "anthropic/opus for anthropic/haiku"
    assert listed.stdout == (f"{kept.id[:8]}  1970-01-12  {models}  $0.0123  trial: harms  Fix the prices\n")
    (told,) = json.loads(sunwell("lens", "list", "--json").stdout)
    assert told == json.loads(sunwell("lens", "show", kept.id[:5].upper(), "--json").stdout)
    assert (told["id"], told["needs"], told["files"]) == (kept.id, needs, {"src/a.py": "00", "gone.py": None})
    assert (told["cost_usd"], told["trial"]) == ("0.01234567890123456789", {"verdict": "harms"})
    shown = sunwell("lens", "show", kept.id[:5])
    assert shown.stdout.startswith("# Task Expertise: prices")
    assert "sunwell: written on 1970-01-12 for: Fix the prices\n" in shown.stderr
    assert "sunwell: rests on gone.py (not there)\n" in shown.stderr
    assert sunwell("lens", "drop", kept.id[:5]).stdout == "sunwell: dropped 1 lens\n"
    keep(home)
    keep(home, scope="w2")
    assert json.loads(sunwell("lens", "drop", "--all", "--json").stdout) == {"dropped": 2}
    empty = sunwell("lens", "list")
    assert (empty.stdout, empty.stderr) == ("", "sunwell: no lens is kept\n")


def test_dropping_all_makes_no_store(sunwell: Invoke, home: Path) -> None:
    """There was nothing to drop."""
    assert sunwell("lens", "drop", "--all").stdout == "sunwell: dropped 0 lenses\n"
    assert not home.exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["show", "ffff"], "no kept lens has the id 'ffff': sunwell lens list has all"),
        (["show", ""], "no kept lens has the id ''"),
        (["drop"], "name the lens to drop by its id, or all of them with --all"),
        (["drop", "ffff", "--all"], "name the lens to drop by its id, or all of them with --all"),
    ],
)
def test_what_names_no_lens_is_refused(sunwell: Invoke, home: Path, words: list[str], said: str) -> None:
    """One sentence says what to do, and nothing is dropped."""
    keep(home)
    done = sunwell("lens", *words)
    assert (done.exit_code, said in done.stderr) == (2, True), done.stderr
    assert len(json.loads(sunwell("lens", "list", "--json").stdout)) == 1


def test_a_store_that_cannot_be_used_is_an_error_of_these_commands(sunwell: Invoke, home: Path) -> None:
    """And so is one that is off."""
    home.mkdir(mode=0o700)
    (home / "lenses.sqlite3").write_text("nothing")
    done = sunwell("lens", "list")
    assert (done.exit_code, "lenses cannot be read" in done.stderr) == (2, True)
    off = sunwell("lens", "list", env={"SUNWELL_LENSES": "off"})
    assert (off.exit_code, "SUNWELL_LENSES is off" in off.stderr) == (2, True)


def test_a_kept_lens_is_exported_by_its_id(sunwell: Invoke, home: Path, tmp_path: Path) -> None:
    """As one in a file is; a file of that name comes first."""
    kept = keep(home, lens=attrs.evolve(KEPT.lens, constraints=()))
    done = sunwell("lens", "export", kept.id[:6], "--skill", tmp_path / "prices")
    assert done.exit_code == 0, done.stderr
    assert "- Read é first." in (tmp_path / "prices" / "SKILL.md").read_text()
    assert sunwell("lens", "export", "0" * 8, "--skill", tmp_path / "b").exit_code == 2


def test_a_lens_that_is_asked_for_again_is_taken(sunwell: Invoke, home: Path, shop: Path) -> None:
    """With ``lens`` alone: in its lines and its JSON; ``--no-lens-store`` has another one written."""
    words = ("-w", shop, "--smart-model", "opus")
    written = json.loads(sunwell("lens", TASK, *words, "--json", env=None).stdout)
    assert written["run"]["lens_source"]["how"] == "written"
    again = sunwell("lens", TASK, *words)
    assert re.search(
        r"^sunwell: taken from the store, written on \d{4}-\d\d-\d\d for: "
        rf"{TASK}; nothing paid, \$0\.\d+ saved$",
        again.stderr,
        re.MULTILINE,
    ), again.stderr
    fresh = json.loads(sunwell("lens", TASK, *words, "--no-lens-store", "--json").stdout)
    assert fresh["run"]["lens_source"]["how"] == "written"


def test_a_delegated_run_takes_a_lens(sunwell: Invoke, home: Path, shop: Path) -> None:
    """The estimate has no tokens for it, and the summary says what was saved."""
    words = (TASK, "--delegate", "-w", shop, "--smart-model", "opus", "--delegation-model", "haiku")
    done = sunwell("lens", "write", TASK, "-w", shop, "--smart-model", "opus", env=None)
    assert done.exit_code == 0, done.stderr
    # The reader of a lens that is written by itself is the main model: it is another one.
    first = sunwell("run", *words, "--dry-run")
    assert first.exit_code == 0, first.output
    assert "written anew: it was written for another reader" in first.stderr
    estimated = json.loads(sunwell("estimate", *words[:1], *words[2:], "--json").stdout)
    assert any("kept from an earlier run" in said for said in estimated["quote"]["assumptions"])
    second = sunwell("run", *words, "--dry-run")
    assert re.search(r"^lens taken from the store, written on ", second.stderr, re.MULTILINE)
    assert re.search(
        r"^ {9}taken from the store, written on [-\d]+ for: .*; nothing paid, \$[\d.]+ saved$",
        second.stderr,
        re.MULTILINE,
    )
    shown = sunwell("show", "-w", shop)
    assert "taken from the store, written on" in shown.stdout
    told = json.loads(sunwell("show", "-w", shop, "--json").stdout)
    assert told["lens_source"]["how"] == "taken"
