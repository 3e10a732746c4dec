"""The file of outcomes is shared by versions: older ones are brought up, newer ones read if they allow it."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sunwell.memory.outcome_store import OutcomeStore
from sunwell.memory.outcomes import KnownOutcomes, WorkOutcome

MADE = WorkOutcome("fix", "cheap", "haiku", "", True, Decimal("0.0100"), 1_700_000_000.0)
WHOLE = attrs.evolve(
    MADE,
    rung="delegated",
    passed=False,
    has_lens=True,
    output_tokens=4_200,
    expected_tokens=2_100,
    quoted_usd=Decimal("0.02"),
)
FIRST_FORMAT = """
CREATE TABLE outcomes (id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, rung TEXT NOT NULL, \
model TEXT NOT NULL, after TEXT NOT NULL, passed INTEGER, cost TEXT, at REAL NOT NULL);
CREATE INDEX outcomes_of_a_kind ON outcomes (kind, id);
PRAGMA user_version = 1;
INSERT INTO outcomes (kind, rung, model, after, passed, cost, at) VALUES
    ('fix', 'cheap', 'haiku', '', 1, '0.0100', 1700000000.0),
    ('fix', 'cheap', 'haiku', '', 0, '0.0300', 1700000001.0),
    ('docs', 'smart', 'opus', 'cheap:haiku', NULL, NULL, 1700000002.0);
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return where outcomes are kept."""
    return tmp_path / "outcomes.sqlite3"


def changed(file: Path, script: str) -> None:
    """Do to *file* what another version did."""
    connection = sqlite3.connect(file)
    connection.executescript(script)
    connection.close()
    file.chmod(0o600)


def test_a_file_of_the_first_format_is_read_as_it_is(file: Path) -> None:
    """Reading changes nothing: an older version that is still installed goes on using the file."""
    changed(file, FIRST_FORMAT)
    before = file.read_bytes()
    store = OutcomeStore(file, warn=pytest.fail)
    for known in (store.read(), store.read("fix"), store.read("docs")):
        count = known.count("fix", "cheap", "haiku", "")
        assert (count.tries, count.passes, count.cost_usd) == (2, 1, Decimal("0.02"))
        assert known.count("docs", "smart", "opus", "cheap:haiku").tries == 0
    assert len(list(store.rows())) == 3
    assert file.read_bytes() == before


def test_a_file_of_the_first_format_is_brought_up_when_it_is_written(file: Path) -> None:
    """Nothing is lost, and what it did not know is unknown."""
    changed(file, FIRST_FORMAT)
    store = OutcomeStore(file, warn=pytest.fail)
    earlier = list(store.rows())
    store.record([WHOLE])
    assert list(store.rows()) == [*earlier, WHOLE]
    again = OutcomeStore(file, warn=pytest.fail).read()
    assert again.count("fix", "cheap", "haiku", "").tries == 2
    assert again.of_way("fix", "delegated", "haiku").size.count == 1
    assert again.of_way("docs", "cheap", "haiku").tries == 0


NEWER = """
ALTER TABLE outcomes ADD COLUMN seconds REAL DEFAULT 1.5;
ALTER TABLE outcomes ADD COLUMN region TEXT NOT NULL DEFAULT 'none';
CREATE TABLE lessons (name TEXT PRIMARY KEY NOT NULL, weight REAL NOT NULL DEFAULT 0);
CREATE INDEX outcomes_by_region ON outcomes (region, id);
INSERT INTO lessons (name) VALUES ('one');
PRAGMA user_version = 9;
"""


def test_a_newer_file_that_says_so_is_read_and_written(file: Path) -> None:
    """What this version does not know keeps its defaults, and stays."""
    store = OutcomeStore(file, warn=pytest.fail)
    store.record([MADE])
    changed(file, NEWER)
    again = OutcomeStore(file, warn=pytest.fail)
    again.record([WHOLE])
    assert list(again.rows()) == [MADE, WHOLE]
    assert again.read().of_kind("fix").tries == 2
    connection = sqlite3.connect(file)
    assert connection.execute("SELECT seconds, region FROM outcomes").fetchall() == [(1.5, "none")] * 2
    assert connection.execute("SELECT name FROM lessons").fetchall() == [("one",)]
    assert connection.execute("PRAGMA user_version").fetchone() == (9,)
    connection.close()


@pytest.mark.parametrize("more", ["", "ALTER TABLE outcomes RENAME COLUMN passed TO verdict;"])
def test_a_newer_file_for_newer_versions_is_left_alone(file: Path, more: str) -> None:
    """One sentence says so; the run goes on, and not a byte changes."""
    OutcomeStore(file, warn=pytest.fail).record([MADE])
    changed(file, f"{NEWER}{more} UPDATE about SET value = '7' WHERE name = 'least_reader';")
    before = file.read_bytes()
    warnings: list[str] = []
    store = OutcomeStore(file, warn=warnings.append)
    assert store.read().of_kind("fix").tries == 0
    store.record([MADE])
    assert list(store.rows()) == []
    assert store.forget() == 0
    assert file.read_bytes() == before
    (said,) = warnings
    assert "written by a newer version, which older ones cannot read (format 7; the installed" in said


BREAKS_THE_RULE = {
    "view": "CREATE VIEW other AS SELECT * FROM outcomes",
    "trigger": "CREATE TRIGGER t AFTER INSERT ON outcomes BEGIN DELETE FROM outcomes; END",
    "generated column": "ALTER TABLE outcomes ADD COLUMN twice INTEGER AS (id * 2)",
    "expression in an index": "CREATE INDEX i ON outcomes (abs(id))",
    "partial index": "CREATE INDEX i ON outcomes (kind) WHERE id > 3",
    "default that is computed": "CREATE TABLE other (a INTEGER DEFAULT (abs(-1)))",
    "check": "CREATE TABLE other (a INTEGER CHECK (a > 0))",
    "table in memory of a program": "CREATE VIRTUAL TABLE other USING fts5(a)",
    "column that is gone": "ALTER TABLE outcomes RENAME COLUMN cost TO price",
    "no least reader": "UPDATE about SET value = 'any'",
}


@pytest.mark.parametrize("script", BREAKS_THE_RULE.values(), ids=BREAKS_THE_RULE)
def test_a_file_that_breaks_the_rule_is_not_used(file: Path, script: str) -> None:
    """Tables and indexes of plain columns, and nothing that would be run."""
    OutcomeStore(file, warn=pytest.fail).record([MADE])
    changed(file, f"{script}; PRAGMA user_version = 9;")
    warnings: list[str] = []
    assert OutcomeStore(file, warn=warnings.append).read("fix").of_kind("fix").tries == 0
    OutcomeStore(file, warn=warnings.append).record([MADE])
    assert len(warnings) == 2
    assert all("Sunwell makes" in said or "does not say which versions" in said for said in warnings)


def test_outcomes_are_forgotten_by_kind_and_all(file: Path) -> None:
    """What was counted of them is gone, too."""
    store = OutcomeStore(file, warn=pytest.fail)
    store.record([MADE, WHOLE, attrs.evolve(MADE, kind="docs")])
    assert store.forget("fix") == 2
    assert store.read().of_kind("fix").tries == 0
    assert [outcome.kind for outcome in store.rows()] == ["docs"]
    assert store.forget() == 1
    assert store.read("docs").of_kind("docs").tries == 0
    assert OutcomeStore(file.with_name("none"), warn=pytest.fail).forget() == 0
    assert not file.with_name("none").exists()


USD = st.none() | st.decimals(0, 100, places=6)
COUNTS = st.none() | st.integers(0, 10**6)
OUTCOMES = st.builds(
    WorkOutcome,
    st.sampled_from(["fix", "docs"]),
    st.sampled_from(["cheap", "smart", "direct", "delegated"]),
    st.sampled_from(["haiku", "opus"]),
    st.sampled_from(["", "cheap:haiku"]),
    st.none() | st.booleans(),
    USD,
    st.floats(0, 1e10),
    st.booleans(),
    COUNTS,
    COUNTS,
    USD,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(OUTCOMES, min_size=1, max_size=5), max_size=6))
def test_what_is_read_is_what_a_run_that_saw_all_knows(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[WorkOutcome]]
) -> None:
    """For any outcomes: from their sums, and from the rows of a kind with the sums of others."""
    store = OutcomeStore(tmp_path_factory.mktemp("any") / "o.sqlite3", warn=pytest.fail, kept=4)
    expected = KnownOutcomes(4)
    for batch in batches:
        store.record(batch)
        for outcome in batch:
            expected.add(outcome)
    assert list(store.rows()) == [outcome for batch in batches for outcome in batch]
    for known in (store.read(), store.read("fix"), store.read("fix", "docs")):
        for kind in ("fix", "docs"):
            mine, whole = known.counts(kind), expected.counts(kind)
            assert mine.keys() == whole.keys()
            for place, count in mine.items():
                assert (count.tries, count.passes, count.cost_usd) == (
                    whole[place].tries,
                    whole[place].passes,
                    whole[place].cost_usd,
                )
                assert count.size.log_sum == pytest.approx(whole[place].size.log_sum, abs=1e-6)


KILLED = """
import os, signal, sys
from decimal import Decimal
from pathlib import Path
from sunwell.memory.outcome_store import OutcomeStore
from sunwell.memory.outcomes import WorkOutcome

file, left = Path(sys.argv[1]), int(sys.argv[2])

def watch(frame, event, called):
    global left
    if event in ("c_call", "c_return") and called.__name__ in ("execute", "executemany"):
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

made = [WorkOutcome("fix", "cheap", "haiku", "", True, Decimal("0.01"), float(n)) for n in range(3)]
sys.setprofile(watch)
OutcomeStore(file, warn=sys.exit, longest_seconds=30.0).record(made)
sys.setprofile(None)
"""


@pytest.mark.parametrize("begun", ["", FIRST_FORMAT], ids=["new", "first format"])
def test_a_process_that_is_killed_at_any_statement_leaves_all_or_nothing(file: Path, begun: str) -> None:
    """The next process reads the file without a warning, and writes to it."""
    ends = []
    for left in range(90):
        file.unlink(missing_ok=True)
        if begun:
            changed(file, begun)
        before = len(list(OutcomeStore(file, warn=pytest.fail).rows()))
        code = f"import sys; sys.argv = ['x', {str(file)!r}, '{left}']\n{KILLED}"
        done = forked(code)
        store = OutcomeStore(file, warn=pytest.fail)
        found = len(list(store.rows())) - before
        assert found in (0, 3)
        assert store.read("fix").count("fix", "cheap", "haiku", "").tries == found + (2 if begun else 0)
        store.record([MADE])
        assert len(list(store.rows())) == before + found + 1
        ends.append((done, found))
        if done == 0:
            break
    assert ends[-1] == (0, 3)
    assert {done for done, _ in ends[:-1]} == {-signal.SIGKILL}
    assert len(ends) > 10


def forked(code: str) -> int:
    """Run *code* in a copy of this process, and return its exit code; a signal is negative."""
    child = os.fork()
    if child == 0:  # pragma: no cover
        sink = os.open(os.devnull, os.O_WRONLY)
        os.dup2(sink, 1)
        try:
            exec(compile(code, "killed", "exec"), {})
        except SystemExit:
            os._exit(1)
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


LIMITED = """
import json, resource, signal, sys
from decimal import Decimal
from pathlib import Path
from sunwell.memory.outcome_store import OutcomeStore
from sunwell.memory.outcomes import WorkOutcome

file, most, kills = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "kills"
if kills:
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
warnings = []
store = OutcomeStore(file, warn=warnings.append, longest_seconds=30.0)
made = [WorkOutcome(f"kind {n}", "cheap", "haiku" * 20, "", True, Decimal("0.01"), 1.0) for n in range(80)]
store.record(made)
store.record(made)
print(json.dumps(warnings), flush=True)
"""


def limited(file: Path, most: int, how: str) -> "subprocess.CompletedProcess[str]":
    """Have a process write outcomes whose files may have *most* bytes."""
    words = [sys.executable, "-c", LIMITED, str(file), str(most), how]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def test_a_full_disk_is_one_sentence(file: Path) -> None:
    """All or nothing is written, the process goes on, and what was there before can be read."""
    OutcomeStore(file, warn=pytest.fail).record([MADE])
    done = limited(file, 24 << 10, "fails")
    (said,) = json.loads(done.stdout)
    assert said.startswith(f"outcomes cannot be written: {file}: ")
    assert "the run goes on without them" in said
    assert list(OutcomeStore(file, warn=pytest.fail).rows()) == [MADE]


@pytest.mark.skipif(sys.platform != "linux", reason="a signal kills at the size of a file")
def test_a_process_that_is_killed_within_a_write_leaves_all_or_nothing(file: Path) -> None:
    """At several lengths of the file and of SQLite's own journal, which is rolled back."""
    OutcomeStore(file, warn=pytest.fail).record([MADE])
    begun = file.read_bytes()
    found = set()
    for most in (600, 5_000, 30_000, 37_000, 1 << 20):
        file.write_bytes(begun)
        done = limited(file, most, "kills")
        assert done.returncode in (-signal.SIGXFSZ, 0), done.stderr
        store = OutcomeStore(file, warn=pytest.fail)
        count = len(list(store.rows()))
        assert count in (1, 81, 161)
        store.record([WHOLE])
        assert len(list(store.rows())) == count + 1
        found.add((done.returncode == 0, count))
        assert not done.returncode or most < 1 << 20
    assert (True, 161) in found
    assert (False, 1) in found


def test_a_large_file_is_not_read_through(file: Path) -> None:
    """Of other kinds a run reads their sums alone, and of its own the rows that count."""
    writer = OutcomeStore(file, warn=pytest.fail, longest_seconds=60.0)
    writer.record([attrs.evolve(MADE, kind=f"kind {number % 30}") for number in range(9_000)])
    changed(file, "UPDATE outcomes SET passed = 7 WHERE id <= 6000 OR kind != 'kind 3'")
    known = OutcomeStore(file, warn=pytest.fail).read("kind 3")
    assert known.of_kind("kind 3").tries == known.of_kind("kind 4").tries == 100
