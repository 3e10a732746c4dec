"""``sunwell outcomes``: how checked work went, exported, forgotten, and told where it decides."""

import json
import sqlite3
import time
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit

import attrs
import pytest

from sunwell.cli.outcome_commands import MOST_LINES
from sunwell.memory.outcome_store import OutcomeStore
from sunwell.memory.outcomes import WorkOutcome
from sunwell.simulator import Simulator

MADE = WorkOutcome("tests", "cheap", "haiku", "", True, Decimal("0.0100"), 1.0, False, 400, 300)
LENS = attrs.evolve(MADE, rung="delegated", passed=False, has_lens=True, cost_usd=Decimal("0.03"))


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OutcomeStore:
    """Return the store of the user of the commands."""
    monkeypatch.setenv("SUNWELL_OUTCOMES", "on")
    monkeypatch.setenv("SUNWELL_HOME", str(tmp_path / "home"))
    return OutcomeStore(tmp_path / "home" / "outcomes.sqlite3", warn=pytest.fail, longest_seconds=30.0)


def test_they_are_shown_by_kind_and_way(sunwell, store: OutcomeStore) -> None:
    """Tries, the share that passed, mean cost and mean output; what no check decided is no try."""
    store.record([MADE, attrs.evolve(MADE, passed=False, output_tokens=600), LENS])
    store.record([attrs.evolve(MADE, passed=None, cost_usd=None, output_tokens=None)])
    lines = [line.split() for line in sunwell("outcomes").stdout.splitlines()]
    assert lines == [
        ["kind", "way", "model", "tries", "passed", "cost", "output"],
        ["tests", "cheap", "haiku", "2", "50%", "$0.01", "500"],
        ["tests", "delegated", "haiku", "1", "0%", "$0.03", "400"],
    ]
    told = json.loads(sunwell("outcomes", "--json").stdout)
    assert told["file"] == str(store.file)
    (cheap, _) = told["outcomes"]
    assert (cheap["tries"], cheap["passes"], cheap["undecided"]) == (2, 1, 1)


def test_a_long_table_is_cut(sunwell, store: OutcomeStore) -> None:
    """Those with the most tries stay, and the rest is counted."""
    store.record([attrs.evolve(MADE, kind=f"kind {number:03}") for number in range(MOST_LINES + 7)])
    store.record([attrs.evolve(MADE, kind="kind 999")] * 2)
    lines = sunwell("outcomes").stdout.splitlines()
    assert len(lines) == MOST_LINES + 2
    assert lines[-1] == "and 8 more: --json lists all"
    assert lines[-2].startswith("kind 999")


def test_without_any_the_command_says_what_leaves_one(sunwell, store: OutcomeStore) -> None:
    """Asking makes no file."""
    done = sunwell("outcomes")
    assert "work that a check looks at leaves one" in done.stdout
    assert store.file is not None
    assert not store.file.exists()


def test_they_are_exported_as_lines(sunwell, store: OutcomeStore, tmp_path: Path) -> None:
    """To a new file, or to standard output; of one kind if that is named."""
    store.record([MADE, LENS, attrs.evolve(MADE, kind="docs")])
    printed = [json.loads(line) for line in sunwell("outcomes", "export", "-").stdout.splitlines()]
    assert [(one["kind"], one["rung"], one["cost_usd"]) for one in printed] == [
        ("tests", "cheap", "0.0100"),
        ("tests", "delegated", "0.03"),
        ("docs", "cheap", "0.0100"),
    ]
    file = tmp_path / "all.jsonl"
    assert sunwell("outcomes", "export", file, "--kind", "docs").exit_code == 0
    assert [json.loads(line)["kind"] for line in file.read_text().splitlines()] == ["docs"]
    again = sunwell("outcomes", "export", file)
    assert (again.exit_code, "exists already" in again.stderr) == (2, True)


def test_they_are_forgotten_on_demand(sunwell, store: OutcomeStore) -> None:
    """One kind or all; it must be said which."""
    store.record([MADE, LENS, attrs.evolve(MADE, kind="docs")])
    assert sunwell("outcomes", "forget").exit_code == 2
    assert sunwell("outcomes", "forget", "--kind", "docs", "--all").exit_code == 2
    assert sunwell("outcomes", "forget", "--kind", "docs").stdout == "forgot 1 outcome\n"
    assert sunwell("outcomes", "forget", "--all").stdout == "forgot 2 outcomes\n"
    assert list(store.rows()) == []


def test_a_file_that_cannot_be_used_is_one_sentence(sunwell, store: OutcomeStore) -> None:
    """Nothing goes on without it here, so the command fails."""
    store.record([MADE])
    assert store.file is not None
    store.file.chmod(0o666)
    for line in (("outcomes",), ("outcomes", "export", "-"), ("outcomes", "forget", "--all")):
        done = sunwell(*line)
        assert done.exit_code == 2
        assert "it can be written by every user" in done.stderr
        assert "the run goes on" not in done.stderr


@pytest.mark.parametrize("breaks", ["at once", "midway"])
def test_a_store_that_breaks_leaves_no_exported_file(
    sunwell, store: OutcomeStore, tmp_path: Path, breaks: str
) -> None:
    """Half of the outcomes would look like all of them, and an empty file like none."""
    store.record([attrs.evolve(MADE, kind=f"kind {number}") for number in range(5_001)])
    assert store.file is not None
    if breaks == "at once":
        store.file.chmod(0o666)
    else:  # it is read in parts, and this is in the second one
        with sqlite3.connect(store.file) as connection:
            connection.execute("UPDATE outcomes SET cost = 'much' WHERE id = 5001")
        connection.close()
    (tmp_path / "out").mkdir()
    done = sunwell("outcomes", "export", tmp_path / "out" / "all.jsonl")
    assert (done.exit_code, done.stdout) == (2, "")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_folder_that_is_not_there_is_named(sunwell, store: OutcomeStore, tmp_path: Path) -> None:
    """Nothing is made of it."""
    done = sunwell("outcomes", "export", tmp_path / "gone" / "all.jsonl")
    assert (done.exit_code, "cannot be written: No such file" in done.stderr) == (2, True)
    assert not (tmp_path / "gone").exists()


def test_an_estimate_says_who_decided_and_why(
    sunwell, shop: Path, store: OutcomeStore, simulator: Simulator
) -> None:
    """Words until enough is known; then outcomes; a classifier is asked in the run alone."""
    task = "Write tests for the 12 modules of the shop"

    def told(*more: str) -> str:
        return " ".join(sunwell("estimate", task, "-w", shop, *more).stdout.split())

    assert "Decided by the words and numbers of the task." in told()
    assert "too few to decide by" in told("--decide", "outcomes")
    assert "no model is asked before the run" in told("--decide", "classifier")
    models = json.loads(sunwell("estimate", task, "-w", shop, "--json").stdout)["models"]
    name = f"{models['delegation_model']}@{urlsplit(simulator.url).netloc}"
    cheap = WorkOutcome("tests", "cheap", name, "", True, Decimal("0.02"), time.time(), False, 900, 6_000)
    store.record([cheap] * 12)
    assert "Decided by the outcomes of earlier checked work." in told("--decide", "outcomes")
    assert "12 outcomes of this kind (tests)" in told("--decide", "outcomes")
    assert "12 checked tasks of this kind (tests) wrote about" in told()


def test_a_checked_run_leaves_one_and_a_report_says_who_decided(
    sunwell, shop: Path, store: OutcomeStore
) -> None:
    """Over HTTP, with a lens: its kind, its cost and its output, and no word of the task."""
    task = "Generate CRUD endpoints for 5 entities"
    done = sunwell("run", task, "--delegate", "--check", "true", "--json", "-w", shop, "--sandbox", "off")
    bill = json.loads(done.stdout)
    (outcome,) = store.rows()
    assert (outcome.kind, outcome.rung, outcome.passed, outcome.has_lens) == (
        "feature",
        "delegated",
        True,
        True,
    )
    assert outcome.cost_usd == Decimal(bill["cost_usd"])
    work = next(one for one in bill["by_purpose"] if one["purpose"] == "work")
    assert outcome.output_tokens == work["usage"]["output_tokens"] - work["usage"]["reasoning_tokens"]
    assert outcome.expected_tokens == bill["delegation"]["decision"]["estimated_tokens"]
    assert outcome.quoted_usd is not None
    assert store.file is not None
    assert not any(word.encode() in store.file.read_bytes() for word in ("CRUD", "endpoints", "entities"))
    asked = sunwell("run", task, "--delegate", "--decide", "classifier", "--json", "-w", shop)
    reason = json.loads(asked.stdout)["delegation"]["reason"]
    assert "words decided, because the answer of the classifier has not the form" in reason
