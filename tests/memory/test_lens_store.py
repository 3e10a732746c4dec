"""Lenses for later runs: one table for all processes of a user, bounded, private, and never in the way."""

import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sunwell.core.lens import EphemeralLens
from sunwell.memory.lens_store import KEPT_OF_A_TASK, KeptLens, LensStore, lenses_file

LENS = EphemeralLens(
    ("Read é first.",),
    constraints=("Keep \udcff.",),
    task_scope="prices",
    generated_by="opus",
    generation_prompt="P",
)
KEPT = KeptLens(
    lens=LENS,
    task="Fix the prices",
    task_sha256="aa",
    kind="fix",
    scope="w1",
    needs={"reader": "haiku", "prompt": 2},
    files={"src/a.py": "00", "gone.py": None},
    idle={"src/filler.py": "01"},
    items=({"text": "one"}, {"text": "two"}),
    cost_usd=Decimal("0.01234567890123456789"),
)


@pytest.fixture
def warnings() -> list[str]:
    """Return the list that stores of a test warn into."""
    return []


@pytest.fixture
def now() -> list[float]:
    """Return the time of the stores of a test, in a list."""
    return [1_000_000.0]


@pytest.fixture
def store(tmp_path: Path, warnings: list[str], now: list[float]) -> LensStore:
    """Return a store whose file does not exist."""
    file = tmp_path / "state" / "lenses.sqlite3"
    return LensStore(file, warn=warnings.append, clock=lambda: now[0], longest_seconds=20.0)


def kept_in(store: LensStore, made: KeptLens = KEPT) -> KeptLens:
    """Keep *made*."""
    kept = store.keep(made)
    assert kept is not None
    return kept


def test_a_kept_lens_is_found_by_the_next_process(store: LensStore, warnings: list[str]) -> None:
    """With all its parts but the prompt that its model answered, which holds sources."""
    kept = kept_in(store)
    again = LensStore(store.file, warn=warnings.append)
    (found,) = again.find("w1", "fix")
    lens = attrs.evolve(LENS, generation_prompt="")
    expected = attrs.evolve(KEPT, lens=lens, id=kept.id, kept_at=1_000_000.0, used_at=1_000_000.0)
    assert found == expected
    assert (again.get(kept.id), again.all(), again.get(kept.id[:6]), again.get("")) == (
        found,
        (found,),
        None,
        None,
    )
    assert warnings == []


def test_a_lens_is_got_by_its_id_whatever_else_is_there(store: LensStore, now: list[float]) -> None:
    """No other row is read."""
    kept = kept_in(store)
    now[0] += 1
    other = kept_in(store)
    assert store.file is not None
    connection = sqlite3.connect(store.file)
    connection.execute("UPDATE lenses SET lens = 'nothing' WHERE id = ?", (other.id,))
    connection.commit()
    connection.close()
    found = store.get(kept.id)
    assert found is not None
    assert (found.id, found.task) == (kept.id, kept.task)


def test_a_lens_belongs_to_a_workspace_and_a_kind(store: LensStore, now: list[float]) -> None:
    """One from no files is found in any workspace. The latest comes first."""
    old = kept_in(store)
    now[0] += 1
    free = kept_in(store, attrs.evolve(KEPT, scope="", files={}))
    assert [one.id for one in store.find("w1", "fix")] == [free.id, old.id]
    assert [one.id for one in store.find("w2", "fix")] == [free.id]
    assert store.find("w1", "docs") == ()


def test_a_lens_for_the_very_task_is_found_among_more_than_are_looked_at(
    store: LensStore, now: list[float]
) -> None:
    """However many of its kind are newer, it comes first; without a task, the latest do."""
    own = kept_in(store)
    for number in range(101):
        now[0] += 1
        kept_in(store, attrs.evolve(KEPT, task_sha256=f"other {number}"))
    found = store.find("w1", "fix", KEPT.task_sha256)
    assert len(found) == 100
    assert (found[0].id, found[1].task_sha256) == (own.id, "other 100")
    assert own.id not in [one.id for one in store.find("w1", "fix")]


def test_the_file_is_for_its_user_alone(store: LensStore) -> None:
    """And so is its folder."""
    kept_in(store)
    assert store.file is not None
    assert stat.S_IMODE(store.file.stat().st_mode) == 0o600
    assert stat.S_IMODE(store.file.parent.stat().st_mode) == 0o700


def test_what_a_trial_says_is_kept_with_the_lens(store: LensStore) -> None:
    """A lens that harms says so; the same lens kept again begins without a trial."""
    kept = kept_in(store)
    assert store.note_trial(kept.id, {"verdict": "harms", "pairs": 9})
    (found,) = store.all()
    assert (found.trial, found.harms) == ({"verdict": "harms", "pairs": 9}, True)
    assert store.note_trial(kept.id, {"verdict": "helps"})
    assert not store.all()[0].harms
    assert store.note_trial(kept.id, None)
    assert (store.all()[0].trial, store.all()[0].harms) == (None, False)
    assert not store.note_trial("0" * 16, {"verdict": "harms"})


def test_lenses_can_be_dropped(store: LensStore, now: list[float]) -> None:
    """Some by their ids, or all."""
    first = kept_in(store)
    now[0] += 1
    kept_in(store)
    assert store.drop([first.id, "0" * 16]) == 1
    assert len(store.all()) == 1
    assert (store.drop_all(), store.all()) == (1, ())


def test_what_only_changes_lenses_makes_no_file(store: LensStore) -> None:
    """There is none to change."""
    store.use(KEPT)
    assert (store.drop(["0" * 16]), store.drop_all(), store.note_trial("0" * 16, None)) == (0, 0, False)
    assert store.file is not None
    assert not store.file.parent.exists()


def test_the_file_is_bounded(tmp_path: Path, warnings: list[str], now: list[float]) -> None:
    """Those leave that were used longest ago; a use counts if the last one is an hour past."""
    store = LensStore(tmp_path / "lenses.sqlite3", warn=warnings.append, clock=lambda: now[0], kept=3)
    made = []
    for number in range(3):
        now[0] += 10
        made.append(kept_in(store, attrs.evolve(KEPT, task_sha256=f"{number}")))
    now[0] += 60
    store.use(made[0])  # too early to be noted
    now[0] += 3_600
    store.use(made[1])
    kept_in(store, attrs.evolve(KEPT, task_sha256="new"))
    assert sorted(one.task_sha256 for one in store.all()) == ["1", "2", "new"]


def test_of_one_task_only_the_latest_few_stay(store: LensStore, now: list[float]) -> None:
    """Other needs, tasks and workspaces push nothing out."""
    kept_in(store, attrs.evolve(KEPT, needs={"reader": "luna"}))
    kept_in(store, attrs.evolve(KEPT, scope="w2"))
    for number in range(KEPT_OF_A_TASK + 2):
        now[0] += 1
        kept_in(store, attrs.evolve(KEPT, files={"src/a.py": f"{number}"}))
    mine = [one for one in store.find("w1", "fix") if one.needs == KEPT.needs]
    assert [one.files["src/a.py"] for one in mine] == ["5", "4", "3", "2"]
    assert len(store.all()) == KEPT_OF_A_TASK + 2


def test_a_lens_of_unusual_length_is_not_kept(store: LensStore, warnings: list[str]) -> None:
    """Without a word: nothing is wrong."""
    long = attrs.evolve(LENS, examples=("x" * 200_000,))
    assert store.keep(attrs.evolve(KEPT, lens=long)) is None
    assert (store.all(), warnings) == ((), [])


SMALL = st.text(st.characters(codec=None), max_size=8)
KEPT_LENS = st.builds(
    KeptLens,
    lens=st.builds(
        EphemeralLens,
        heuristics=st.lists(SMALL, max_size=2).map(lambda found: ("Rule", *found)),
        examples=st.lists(SMALL, max_size=2).map(tuple),
        task_scope=SMALL,
    ),
    task=st.text(st.characters(codec="utf-8"), max_size=8),
    task_sha256=st.sampled_from(["a", "b"]),
    kind=st.sampled_from(["fix", "docs"]),
    scope=st.sampled_from(["", "w1", "w2"]),
    needs=st.sampled_from([{"reader": "haiku"}, {"reader": "luna"}]),
    files=st.dictionaries(SMALL, st.none() | st.sampled_from(["0", "1"]), max_size=2),
    items=st.lists(st.just({"text": "one"}), max_size=2).map(tuple),
    cost_usd=st.none() | st.decimals(0, 9, places=6),
)
STEP = st.tuples(st.just("keep"), KEPT_LENS) | st.tuples(
    st.sampled_from(["drop", "harm", "use", "all"]), st.integers(0, 9)
)


@settings(max_examples=40)
@given(steps=st.lists(STEP, max_size=12))
def test_any_sequence_of_steps_leaves_what_it_should(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, Any]]
) -> None:
    """Beside a plain list that keeps the same rules; every step has a process of its own."""
    file, now, model = tmp_path_factory.mktemp("lenses") / "lenses.sqlite3", [1.0], dict[str, KeptLens]()
    for name, given_ in steps:
        now[0] += 4_000.0
        store = LensStore(file, warn=pytest.fail, clock=lambda: now[0], longest_seconds=20.0)
        if name == "keep":
            kept = kept_in(store, given_)
            same = [one for one in model.values() if _place(one) == _place(kept)]
            for one in sorted(same, key=lambda one: -one.kept_at)[KEPT_OF_A_TASK - 1 :]:
                del model[one.id]
            model[kept.id] = kept
        elif name == "all":
            assert store.drop_all() == len(model)
            model.clear()
        elif model:
            chosen = list(model)[given_ % len(model)]
            if name == "drop":
                assert store.drop([chosen]) == 1
                del model[chosen]
            elif name == "harm":
                assert store.note_trial(chosen, {"verdict": "harms"})
                model[chosen] = attrs.evolve(model[chosen], trial={"verdict": "harms"})
            else:
                store.use(model[chosen])
                model[chosen] = attrs.evolve(model[chosen], used_at=now[0])
    assert list(LensStore(file, warn=pytest.fail).all()) == sorted(
        model.values(), key=lambda one: -one.kept_at
    )


def _place(kept: KeptLens) -> tuple[Any, ...]:
    return (kept.scope, kept.kind, kept.task_sha256, str(kept.needs))


WRITER = """
import sys
from pathlib import Path
import attrs
from sunwell.memory.lens_store import LensStore
from tests.memory.test_lens_store import KEPT

def warn(sentence):
    raise SystemExit(sentence)

store = LensStore(Path(sys.argv[1]), warn=warn, kept=1_000, longest_seconds=30.0)
for number in range(20):
    store.keep(attrs.evolve(KEPT, task_sha256=f"{sys.argv[2]}-{number}"))
    store.find("w1", "fix")
"""


def run_program(program: str, *arguments: str) -> "subprocess.Popen[str]":
    """Start *program* beside this one."""
    words = [sys.executable, "-c", program, *arguments]
    return subprocess.Popen(words, stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])


def test_two_processes_lose_nothing_of_each_other(store: LensStore, warnings: list[str]) -> None:
    """Also if both make the file."""
    writers = [run_program(WRITER, str(store.file), name) for name in "ab"]
    assert [writer.communicate()[1] for writer in writers] == ["", ""]
    found = {one.task_sha256 for one in LensStore(store.file, warn=warnings.append).all()}
    assert found == {f"{name}-{number}" for name in "ab" for number in range(20)}
    assert warnings == []


KILLED = """
import os, resource, signal, sys
from pathlib import Path
import attrs
from sunwell.memory.lens_store import LensStore
from tests.memory.test_lens_store import KEPT

file, way = Path(sys.argv[1]), sys.argv[2]
NEW = attrs.evolve(KEPT, task_sha256="new", task="x" * 3_000)

def fail(sentence):
    raise SystemExit(f"at {limit}: {sentence}")

ended = set()
for limit in range(0, 40_000, 1_024):
    file.unlink(missing_ok=True)
    if way == "old":
        LensStore(file, warn=fail, longest_seconds=20.0).keep(KEPT)
    child = os.fork()
    if not child:
        # What a write beyond the limit does: it ends the process, or it fails as on a full disk.
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL if sys.argv[3] == "killed" else signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        said = []
        store = LensStore(file, warn=said.append, longest_seconds=20.0)
        kept = store.keep(NEW)
        is_told = len(said) == (kept is None)
        store.keep(NEW)
        os._exit(4 if not is_told or len(said) > 1 else 3 if kept is None else 0)
    status = os.waitpid(child, 0)[1]
    ended.add(-os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status))
    there = {one.task_sha256 for one in LensStore(file, warn=fail, longest_seconds=20.0).all()}
    old = {"aa"} if way == "old" else set()
    if there not in (old, old | {"new"}) or (status == 0 and "new" not in there):
        raise SystemExit(f"at {limit}: {there}, {status}")
    if LensStore(file, warn=fail, longest_seconds=20.0).keep(attrs.evolve(KEPT, task_sha256="later")) is None:
        raise SystemExit(f"at {limit}: nothing can be kept any more")
print(sorted(ended), file=sys.stderr)
"""


@pytest.mark.parametrize("way", ["new", "old"])
@pytest.mark.parametrize(("end", "codes"), [("killed", "[-25, 0]"), ("full", "[0, 3]")])
def test_a_kill_or_a_full_disk_at_any_write_loses_one_lens_at_most(
    store: LensStore, way: str, end: str, codes: str
) -> None:
    """What was there is there, the new lens is whole or not there, and the next one is kept."""
    assert store.file is not None
    store.file.parent.mkdir(mode=0o700)
    done = run_program(KILLED, str(store.file), way, end)
    assert done.communicate()[1].strip() == codes


def _damaged(file: Path) -> None:
    file.write_bytes(b"SQLite format 3\x00" + b"\xff" * 5_000)


def _sql(*statements: str) -> Callable[[Path], None]:
    def harm(file: Path) -> None:
        with sqlite3.connect(file) as connection:
            for statement in statements:
                connection.execute(statement)
        connection.close()

    return harm


def _link(file: Path) -> None:
    file.rename(file.with_name("other"))
    file.symlink_to("other")


HARMS = {
    "damaged": (_damaged, "file is not a database"),
    "a trigger": (
        _sql("CREATE TRIGGER t AFTER INSERT ON lenses BEGIN DELETE FROM lenses; END"),
        "its tables are not those that Sunwell makes",
    ),
    "a view": (_sql("CREATE VIEW v AS SELECT 1"), "its tables are not those that Sunwell makes"),
    "a computed column": (
        _sql("ALTER TABLE lenses ADD COLUMN more AS (id || id)"),
        "its tables are not those that Sunwell makes",
    ),
    "no lens": (_sql("UPDATE lenses SET lens = '{\"heuristics\": 7}'"), "a row holds what is no lens"),
    "an empty lens": (_sql("UPDATE lenses SET lens = '{}'"), "a row holds what is no lens"),
    "a cost below zero": (_sql("UPDATE lenses SET cost = '-1'"), "a row holds what is no lens"),
    "no cost": (_sql("UPDATE lenses SET cost = 'NaN'"), "a row holds what is no lens"),
    "no trial": (_sql("UPDATE lenses SET trial = '[]'"), "a row holds what is no lens"),
    "no digest": (_sql("UPDATE lenses SET files = '{\"a\": 1}'"), "a row holds what is no lens"),
    "no id": (_sql("UPDATE lenses SET id = x'00'"), "a row holds what is no lens"),
    "a newer reader": (
        _sql("UPDATE about SET value = '7' WHERE name = 'least_reader'"),
        "it was written by a newer version",
    ),
    "writable by all": (lambda file: file.chmod(0o666), "it can be written by every user"),
    "a link": (_link, "it is a link"),
    "a second name": (lambda file: file.with_name("b").hardlink_to(file), "it has another name"),
    "too large": (lambda file: os.truncate(file, 200 << 20), "it has more than 128 MB"),
}


@pytest.mark.parametrize(("harm", "said"), HARMS.values(), ids=HARMS)
def test_a_file_that_cannot_be_used_is_one_warning(
    store: LensStore, warnings: list[str], harm: Callable[[Path], None], said: str
) -> None:
    """The sentence names the file and what to do; the file stays as it is, and the run goes on."""
    kept_in(store)
    assert store.file is not None
    harm(store.file)
    before = store.file.read_bytes()[:50_000]
    again = LensStore(store.file, warn=warnings.append)
    assert again.find("w1", "fix") == again.all() == ()
    assert again.keep(KEPT) is None
    assert not again.note_trial("a", {"verdict": "helps"})
    (sentence,) = warnings
    assert sentence.startswith(f"lenses cannot be read: {store.file}: {said}")
    assert sentence.endswith("the run goes on without them. Move the file away, or use --no-lens-store")
    assert store.file.read_bytes()[:50_000] == before


def test_what_a_newer_version_adds_is_let_be(store: LensStore, warnings: list[str]) -> None:
    """Plain columns and tables: lenses are read and kept beside them."""
    kept = kept_in(store)
    assert store.file is not None
    _sql(
        "ALTER TABLE lenses ADD COLUMN liked INTEGER",
        "CREATE TABLE readers (id TEXT PRIMARY KEY NOT NULL)",
        "CREATE INDEX lenses_liked ON lenses (liked)",
        "UPDATE lenses SET liked = 1",
        "PRAGMA user_version = 2",
    )(store.file)
    again = LensStore(store.file, warn=warnings.append)
    assert again.keep(attrs.evolve(KEPT, task_sha256="bb")) is not None
    assert again.note_trial(kept.id, {"verdict": "helps"})
    with sqlite3.connect(store.file) as connection:
        rows = connection.execute(
            "SELECT task_sha256, liked, trial FROM lenses ORDER BY task_sha256"
        ).fetchall()
    connection.close()
    assert rows == [("aa", 1, '{"verdict":"helps"}'), ("bb", None, None)]
    assert warnings == []


def test_a_file_that_others_write_is_not_waited_for(store: LensStore, warnings: list[str]) -> None:
    """Nothing is wrong with the file then."""
    kept_in(store)
    assert store.file is not None
    other = sqlite3.connect(store.file, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    assert LensStore(store.file, warn=warnings.append, longest_seconds=0.1).find("w1", "fix") == ()
    other.close()
    (said,) = warnings
    assert said.endswith(
        "another program was writing it; the run goes on without them. Nothing needs to be done"
    )


def test_where_lenses_are_kept(warnings: list[str]) -> None:
    """In the user's folder for state, or nowhere."""
    assert lenses_file({"HOME": "/h", "SUNWELL_HOME": "/s"}) == Path("/s/lenses.sqlite3")
    assert lenses_file({"HOME": "/h", "SUNWELL_LENSES": " Off"}) is None
    store = LensStore(None, warn=warnings.append)
    assert (store.keep(KEPT), store.all(), store.drop_all(), warnings) == (None, (), 0, [])
