"""Outcomes of rungs: counted by kind, kept in one table for all processes of a user, and never in the way."""

import os
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import attrs
import pytest

from sunwell.memory.outcome_store import OutcomeStore, outcomes_file
from sunwell.memory.outcomes import KnownOutcomes, OutcomeCount, WorkOutcome

CHEAP = WorkOutcome("fix", "cheap", "haiku", "", True, Decimal("0.0100"), 1_700_000_000.0)
FAILED = attrs.evolve(CHEAP, passed=False, cost_usd=Decimal("0.03"))


@pytest.fixture
def warnings() -> list[str]:
    """Return the list that stores of a test warn into."""
    return []


@pytest.fixture
def store(tmp_path: Path, warnings: list[str]) -> OutcomeStore:
    """Return a store whose file does not exist."""
    return OutcomeStore(tmp_path / "state" / "outcomes.sqlite3", warn=warnings.append)


def known_of(*outcomes: WorkOutcome, kept: int = 100) -> KnownOutcomes:
    """Return *outcomes* counted."""
    known = KnownOutcomes(kept)
    for outcome in outcomes:
        known.add(outcome)
    return known


def test_outcomes_are_counted_by_rung_model_and_what_failed_before() -> None:
    """What no check decided is no try, but its cost counts in the mean."""
    unsure = attrs.evolve(CHEAP, passed=None, cost_usd=Decimal("0.02"))
    after = attrs.evolve(CHEAP, rung="smart", model="opus", after="cheap:haiku", cost_usd=None)
    known = known_of(CHEAP, FAILED, unsure, after)
    assert known.counts("fix") == {
        ("cheap", "haiku", ""): OutcomeCount(2, 1, Decimal("0.02")),
        ("smart", "opus", "cheap:haiku"): OutcomeCount(1, 1, None),
    }
    assert known.counts("docs") == {}


def test_only_the_latest_outcomes_of_a_kind_count() -> None:
    """What was not tried for so long is unknown again; other kinds push nothing out."""
    smart = attrs.evolve(CHEAP, rung="smart", model="opus", passed=False)
    others = [attrs.evolve(CHEAP, kind="docs")] * 9
    known = known_of(smart, *others, CHEAP, CHEAP, CHEAP, kept=3)
    assert known.count("fix", "smart", "opus", "") == OutcomeCount()
    assert known.count("fix", "cheap", "haiku", "") == OutcomeCount(3, 3, Decimal("0.01"))
    assert set(known.counts("fix")) == {("cheap", "haiku", "")}


def test_outcomes_of_other_failures_and_other_kinds_are_counted_apart() -> None:
    """Both are what a rung is judged by if nothing nearer is known."""
    later = attrs.evolve(FAILED, after="cheap:luna")
    elsewhere = attrs.evolve(CHEAP, kind="docs", after="x")
    known = known_of(CHEAP, later, later, elsewhere)
    assert known.count("fix", "cheap", "haiku", "").tries == 1
    assert known.count_otherwise("fix", "cheap", "haiku", "").tries == 2
    assert known.count_elsewhere("fix", "cheap", "haiku").passes == 1


def test_what_is_recorded_is_read_by_the_next_process(store: OutcomeStore, warnings: list[str]) -> None:
    """Costs come back to the last digit, and what could not be told as that."""
    unsure = attrs.evolve(CHEAP, passed=None, cost_usd=None)
    exact = attrs.evolve(CHEAP, cost_usd=Decimal("0.00012345678901234567"))
    store.record([exact, unsure, FAILED])
    again = OutcomeStore(store.file, warn=warnings.append).read()
    assert again.counts("fix") == known_of(exact, unsure, FAILED).counts("fix")
    assert warnings == []


def test_the_file_is_for_its_user_alone_and_holds_no_texts(store: OutcomeStore) -> None:
    """Its columns are names, what failed before, whether it passed, cost, time, lens and tokens."""
    store.record([CHEAP])
    assert store.file is not None
    assert stat.S_IMODE(store.file.stat().st_mode) == 0o600
    assert stat.S_IMODE(store.file.parent.stat().st_mode) == 0o700
    connection = sqlite3.connect(store.file)
    columns = [row[1] for row in connection.execute("PRAGMA table_info(outcomes)")]
    connection.close()
    first = ["id", "kind", "rung", "model", "after", "passed", "cost", "at"]
    assert columns == [*first, "lens", "output", "expected", "quoted"]


def test_the_oldest_outcomes_are_deleted(tmp_path: Path, warnings: list[str]) -> None:
    """Whatever their kind, once there are more than the file may have; then they no longer count either."""
    store = OutcomeStore(tmp_path / "outcomes.sqlite3", warn=warnings.append, most=8, kept=5)
    store.record([attrs.evolve(CHEAP, kind="docs")] * 3)
    for _ in range(2):
        store.record([CHEAP, FAILED, FAILED])
    assert [outcome.kind for outcome in store.rows()] == ["docs"] * 2 + ["fix"] * 6
    assert store.read().count("docs", "cheap", "haiku", "").tries == 2
    assert store.read("fix").count("fix", "cheap", "haiku", "") == known_of(
        CHEAP, FAILED, FAILED, CHEAP, FAILED, FAILED, kept=5
    ).count("fix", "cheap", "haiku", "")
    assert warnings == []


WRITER = """
import sys
from decimal import Decimal
from pathlib import Path
from sunwell.memory.outcome_store import OutcomeStore
from sunwell.memory.outcomes import WorkOutcome

def warn(sentence):
    raise SystemExit(sentence)

store = OutcomeStore(Path(sys.argv[1]), warn=warn, kept=1_000, longest_seconds=30.0)
for number in range(25):
    store.record([WorkOutcome("fix", "cheap", sys.argv[2], "", number % 2 == 0, Decimal("0.1"), 1.0)])
    store.read()
"""


def test_many_processes_write_at_once(store: OutcomeStore, warnings: list[str]) -> None:
    """Each outcome of each process is there, also if all of them make the file."""
    assert store.file is not None
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(store.file), f"model-{number}"],
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(6)
    ]
    assert [writer.communicate()[1] for writer in writers] == [""] * 6
    known = OutcomeStore(store.file, warn=warnings.append, kept=1_000).read()
    counts = {model: (count.tries, count.passes) for (_, model, _), count in known.counts("fix").items()}
    assert counts == {f"model-{number}": (25, 13) for number in range(6)}
    assert warnings == []


def _damaged(file: Path) -> None:
    file.write_bytes(b"SQLite format 3\x00" + b"\xff" * 5_000)


def _no_database(file: Path) -> None:
    file.write_text("these are no outcomes\n" * 100)


def _newer(file: Path) -> None:
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA user_version = 7")
    connection.close()


def _strange_cost(file: Path) -> None:
    OutcomeStore(file, warn=print).record([CHEAP])
    connection = sqlite3.connect(file)
    connection.execute("UPDATE outcomes SET cost = 'much'")
    connection.execute("UPDATE sums SET cost = 'much'")
    connection.commit()
    connection.close()


def _cut(file: Path) -> None:
    OutcomeStore(file, warn=print, kept=1_000).record([CHEAP] * 400)
    file.write_bytes(file.read_bytes()[:9_000])


@pytest.mark.parametrize("harm", [_damaged, _no_database, _newer, _strange_cost, _cut, Path.mkdir])
def test_a_file_that_cannot_be_used_is_one_warning(
    tmp_path: Path, warnings: list[str], harm: Callable[[Path], None]
) -> None:
    """The sentence names the file and what to do; later calls do nothing, and the file stays as it is."""
    file = tmp_path / "outcomes.sqlite3"
    harm(file)
    before = None if file.is_dir() else file.read_bytes()
    store = OutcomeStore(file, warn=warnings.append)
    assert store.read().counts("fix") == {}
    store.record([CHEAP])
    assert store.read().counts("fix") == {}
    assert len(warnings) == 1
    assert warnings[0].startswith(f"outcomes cannot be read: {file}: ")
    assert warnings[0].endswith("Move the file away, or set SUNWELL_OUTCOMES=off")
    assert before == (None if file.is_dir() else file.read_bytes())


ENDLESS = "WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r)"


def _endless_view(connection: sqlite3.Connection) -> None:
    connection.execute("ALTER TABLE outcomes RENAME TO other")
    columns = "x AS id, x AS kind, x AS rung, x AS model, x AS after, x AS passed, x AS cost, x AS at"
    connection.execute(f"CREATE VIEW outcomes AS {ENDLESS} SELECT {columns} FROM r")


def _endless_trigger(connection: sqlite3.Connection) -> None:
    connection.execute(
        "CREATE TRIGGER t BEFORE INSERT ON outcomes BEGIN DELETE FROM outcomes WHERE "
        f"({ENDLESS} SELECT count(*) FROM r) > 0; END"
    )


def _endless_default(connection: sqlite3.Connection) -> None:
    connection.execute(f"ALTER TABLE outcomes ADD COLUMN more AS (id + {'+'.join(['1'] * 500)})")


def _endless_index(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE INDEX i ON outcomes (hex(zeroblob(100000)))")


def _view_in_the_schema(connection: sqlite3.Connection) -> None:
    """Put a view under the text that the table has: what a look at the schema alone would take for it."""
    connection.execute("PRAGMA writable_schema = ON")
    view = f"CREATE VIEW outcomes AS {ENDLESS} SELECT x AS id FROM r"
    connection.execute("UPDATE sqlite_master SET sql = ? WHERE name = 'outcomes'", (view,))


def _many_rows(connection: sqlite3.Connection) -> None:
    columns = "kind, rung, model, after, at"
    connection.execute(
        f"INSERT INTO outcomes ({columns}) WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r "
        "LIMIT 200000) SELECT 'fix', 'cheap', 'haiku', '', x FROM r"
    )


@pytest.mark.parametrize(
    "harm",
    [_endless_view, _endless_trigger, _endless_default, _endless_index, _view_in_the_schema, _many_rows],
)
def test_a_file_with_a_hostile_schema_is_not_used_and_holds_nothing_up(
    tmp_path: Path, warnings: list[str], harm: Callable[[sqlite3.Connection], None]
) -> None:
    """Neither reading nor writing runs what somebody put there; both say so in one sentence."""
    file = tmp_path / "outcomes.sqlite3"
    OutcomeStore(file, warn=warnings.append).record([CHEAP])
    with sqlite3.connect(file) as connection:
        harm(connection)
    connection.close()
    for use in (OutcomeStore.read, lambda store: store.record([CHEAP])):
        began = time.monotonic()
        store = OutcomeStore(file, warn=warnings.append)
        use(store)
        assert time.monotonic() - began < 5.0  # without a limit it never ends
    if harm is not _many_rows:  # it is only long: of it little is read
        assert [sentence.count("its tables are not those") for sentence in warnings] in ([1, 1], [0, 0])
        assert [sentence.partition(":")[0] for sentence in warnings] == [
            "outcomes cannot be read",
            "outcomes cannot be written",
        ]


def test_a_statement_that_does_not_end_is_broken_off(tmp_path: Path, warnings: list[str]) -> None:
    """The limit holds for all that SQLite does, whatever the file has made of it."""
    file = tmp_path / "outcomes.sqlite3"
    OutcomeStore(file, warn=warnings.append).record([CHEAP] * 20)
    store = OutcomeStore(file, warn=warnings.append, longest_seconds=0.0)
    assert store.read().counts("fix") == {}
    (said,) = warnings
    assert said == (
        f"outcomes cannot be read: {file}: it took longer than 0 s; the run goes on without them. "
        "Move the file away, or set SUNWELL_OUTCOMES=off"
    )


def test_a_file_that_others_write_is_not_waited_for(tmp_path: Path, warnings: list[str]) -> None:
    """Half a second at most; nothing is wrong with the file then."""
    file = tmp_path / "outcomes.sqlite3"
    OutcomeStore(file, warn=warnings.append).record([CHEAP])
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    began = time.monotonic()
    OutcomeStore(file, warn=warnings.append).record([CHEAP])
    assert time.monotonic() - began < 3.0
    other.close()
    (said,) = warnings
    assert said == (
        f"outcomes cannot be written: {file}: another program was writing it; the run goes on "
        "without them. Nothing needs to be done"
    )


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="requires root")


def _link(file: Path) -> None:
    file.rename(file.with_name("other"))
    file.symlink_to("other")


def _hard_link(file: Path) -> None:
    file.with_name("other").hardlink_to(file)


def _pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def _large(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.truncate(1 << 40)


OPEN_TO_OTHERS = {
    "writable by all": (lambda file: file.chmod(0o666), "it can be written by every user ("),
    "link": (_link, "it is a link"),
    "hard link": (_hard_link, "it has another name (a hard link)"),
    "pipe": (_pipe, "it is not a file"),
    "large": (_large, "it has more than 512 MB"),
    "folder writable by all": (
        lambda file: file.parent.chmod(0o777),
        "{folder} can be written by every user (",
    ),
    "folder with the sticky bit": (
        lambda file: file.parent.chmod(0o1777),
        "{folder} can be written by every user (",
    ),
}


@pytest.mark.parametrize(("harm", "said"), OPEN_TO_OTHERS.values(), ids=OPEN_TO_OTHERS)
def test_a_file_that_others_can_change_is_not_used(
    store: OutcomeStore, warnings: list[str], harm: Callable[[Path], None], said: str
) -> None:
    """Nor one in a folder that others can change: they could put another file in its place."""
    assert store.file is not None
    store.record([CHEAP])
    harm(store.file)
    assert store.read().counts("fix") == {}
    store.record([CHEAP])
    assert len(warnings) == 1
    expected = said.format(folder=store.file.parent)
    assert warnings[0].startswith(f"outcomes cannot be read: {store.file}: {expected}")


@needs_root
@pytest.mark.parametrize("of_folder", [False, True])
def test_the_file_of_another_user_is_not_used(
    store: OutcomeStore, warnings: list[str], of_folder: bool
) -> None:
    """Nor one in the folder of another user."""
    assert store.file is not None
    store.record([CHEAP])
    place = store.file.parent if of_folder else store.file
    os.chown(place, 65_534, 65_534)
    assert store.read().counts("fix") == {}
    assert len(warnings) == 1
    named = place if of_folder else "it"
    assert f": {named} belongs to another user (number 65534); the run goes on" in warnings[0]


def test_a_folder_that_cannot_be_made_is_one_warning(tmp_path: Path, warnings: list[str]) -> None:
    """A file in the place of the folder, for example."""
    (tmp_path / "state").write_text("")
    store = OutcomeStore(tmp_path / "state" / "outcomes.sqlite3", warn=warnings.append)
    store.record([CHEAP])
    store.record([CHEAP])
    assert store.read().counts("fix") == {}
    assert [sentence.partition(";")[0] for sentence in warnings] == [
        f"outcomes cannot be written: {store.file}: {tmp_path / 'state'} is not a folder"
    ]


def test_the_file_is_in_the_folder_for_state() -> None:
    """A folder of the user's own choice comes first; a relative XDG folder is none."""
    assert outcomes_file({"HOME": "/h", "SUNWELL_HOME": "/s"}) == Path("/s/outcomes.sqlite3")
    if sys.platform != "darwin":
        named = {"HOME": "/h", "XDG_STATE_HOME": "/x"}
        assert outcomes_file(named) == Path("/x/sunwell/outcomes.sqlite3")
        usual = Path("/h/.local/state/sunwell/outcomes.sqlite3")
        assert outcomes_file({"HOME": "/h"}) == outcomes_file({"HOME": "/h", "XDG_STATE_HOME": "x"}) == usual


@pytest.mark.parametrize("value", ["off", "0", "No", " false "])
def test_outcomes_can_be_turned_off(value: str, warnings: list[str]) -> None:
    """Then nothing is read or written, without a warning."""
    file = outcomes_file({"HOME": "/h", "SUNWELL_OUTCOMES": value})
    assert file is None
    store = OutcomeStore(file, warn=warnings.append)
    store.record([CHEAP])
    assert store.read().counts("fix") == {}
    assert warnings == []
