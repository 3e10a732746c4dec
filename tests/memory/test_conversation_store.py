"""Conversations and their runs: a digest is found again, by every process of a user, and never in the way."""

import os
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sunwell.memory.conversation_store import ConversationStore, conversations_file, digest_of_turns


@pytest.fixture
def warnings() -> list[str]:
    """Return the list that stores of a test warn into."""
    return []


@pytest.fixture
def store(tmp_path: Path, warnings: list[str]) -> ConversationStore:
    """Return a store whose file does not exist."""
    return ConversationStore(tmp_path / "state" / "conversations.sqlite3", warn=warnings.append)


def rows_of(store: ConversationStore) -> list[tuple[str, str]]:
    """Return the digest and the run of each row, by digest."""
    assert store.file is not None
    connection = sqlite3.connect(store.file)
    found = connection.execute("SELECT digest, run_id FROM conversations ORDER BY digest").fetchall()
    connection.close()
    return found


def test_what_is_kept_is_found_by_the_next_process(store: ConversationStore, warnings: list[str]) -> None:
    """The run that was kept last; a file that is not there is not made to look into it."""
    assert store.find("a") is None
    assert store.file is not None
    assert not store.file.exists()
    store.keep("a", "run-1")
    store.keep("b", "run-2")
    store.keep("a", "run-3")
    again = ConversationStore(store.file, warn=warnings.append)
    assert [again.find(digest) for digest in "abc"] == ["run-3", "run-2", None]
    assert warnings == []


def test_the_file_is_for_its_user_alone_and_holds_no_texts(store: ConversationStore) -> None:
    """Neither the words of a conversation nor the key of its client."""
    store.keep(digest_of_turns("the-key", ("model",), [("user", "the-words")]), "run-1")
    assert store.file is not None
    assert stat.S_IMODE(store.file.stat().st_mode) == 0o600
    assert stat.S_IMODE(store.file.parent.stat().st_mode) == 0o700
    data = store.file.read_bytes()
    assert b"run-1" in data
    assert b"the-key" not in data
    assert b"the-words" not in data


def test_without_a_file_nothing_is_kept(tmp_path: Path, warnings: list[str]) -> None:
    """As the variable says, in any case."""
    environ = {"SUNWELL_HOME": str(tmp_path)}
    assert conversations_file(environ) == tmp_path / "conversations.sqlite3"
    assert conversations_file({**environ, "SUNWELL_CONVERSATIONS": " Off "}) is None
    store = ConversationStore(None, warn=warnings.append)
    store.keep("a", "run-1")
    assert store.find("a") is None
    assert not warnings
    assert not list(tmp_path.iterdir())


STEPS = st.lists(st.tuples(st.sampled_from("abcdef"), st.text(max_size=9), st.integers(0, 3)), max_size=14)


@settings(max_examples=30)
@given(steps=STEPS, kept=st.integers(1, 5))
def test_any_sequence_of_steps_leaves_the_latest(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str, int]], kept: int
) -> None:
    """Beside a plain table with the same bound; every step has a process of its own, and clocks may stand."""
    file = tmp_path_factory.mktemp("conversations") / "conversations.sqlite3"
    now, model = 0, dict[str, tuple[int, str]]()
    for digest, text, passed in steps:
        now, run_id = now + passed, text.encode("utf-8", "replace").decode()
        ConversationStore(file, warn=pytest.fail, clock=lambda at=now: at, kept=kept).keep(digest, run_id)
        model[digest] = (now, run_id)
        for gone in sorted(model, key=lambda one: (-model[one][0], one))[kept:]:
            del model[gone]
        store = ConversationStore(file, warn=pytest.fail)
        assert rows_of(store) == sorted((one, run_id) for one, (_, run_id) in model.items())
        for one in "abcdef":
            assert store.find(one) == model.get(one, (0, None))[1]


TEXTS = st.text(st.characters(codec=None), max_size=4)
SPOKEN = st.tuples(TEXTS, st.lists(TEXTS, max_size=3), st.lists(st.tuples(TEXTS, TEXTS), max_size=3))


@given(SPOKEN, SPOKEN)
def test_a_digest_is_that_of_one_conversation(one: Any, other: Any) -> None:
    """Of a key, of what must be the same besides, and of who said what; space around a text is none of it."""

    def meant(spoken: Any) -> Any:
        key, about, turns = spoken
        return [key, *about, *(part for role, said in turns for part in (role, said.strip()))]

    made, again = digest_of_turns(*one), digest_of_turns(*other)
    assert (made == again) is (meant(one) == meant(other))
    key, about, turns = one
    assert digest_of_turns(key, about, [(role, f" {said}\n") for role, said in turns]) == made
    assert len(made) == 64
    assert set(made) <= set("0123456789abcdef")


WRITER = """
import sys
from pathlib import Path
from sunwell.memory.conversation_store import ConversationStore

def warn(sentence):
    raise SystemExit(sentence)

store = ConversationStore(Path(sys.argv[1]), warn=warn)
for number in range(20):
    digest = f"{sys.argv[2]}-{number}"
    for _ in range(60):  # a write that had to wait for too long is left out, and nobody is told
        if store.find(digest) == "run":
            break
        store.keep(digest, "run")
"""


def test_two_processes_lose_nothing_of_each_other(store: ConversationStore, warnings: list[str]) -> None:
    """Also if both make the file."""
    words = [sys.executable, "-c", WRITER, str(store.file)]
    writers = [subprocess.Popen([*words, name], stderr=subprocess.PIPE, text=True) for name in "ab"]
    assert [writer.communicate()[1] for writer in writers] == ["", ""]
    assert rows_of(store) == sorted((f"{name}-{number}", "run") for name in "ab" for number in range(20))
    assert warnings == []


def test_a_file_that_others_write_is_used_again(store: ConversationStore, warnings: list[str]) -> None:
    """Nothing is wrong with it: what comes meanwhile is left out, without a word."""
    store.keep("a", "run-1")
    assert store.file is not None
    other = sqlite3.connect(store.file, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    store.keep("b", "run-2")
    assert store.find("a") is None
    other.execute("ROLLBACK")
    other.close()
    store.keep("c", "run-3")
    assert [store.find(digest) for digest in "abc"] == ["run-1", None, "run-3"]
    assert warnings == []


def killed_after(left: int, file: Path) -> int:
    """Keep a row in a copy of this process, which is killed at its call number *left*; return its end."""
    child = os.fork()
    if child == 0:  # pragma: no cover
        rest = left

        def watch(_: Any, event: str, called: Any) -> None:
            nonlocal rest
            if event in ("c_call", "c_return") and getattr(called, "__name__", "") == "execute":
                rest -= 1
                if rest < 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.setprofile(watch)
        try:
            ConversationStore(file, warn=lambda _: os._exit(1), kept=2).keep("new", "run-9")
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a process is copied")
@pytest.mark.parametrize("begun", [0, 2], ids=["new", "full"])
def test_a_process_that_is_killed_at_any_statement_leaves_all_or_nothing(tmp_path: Path, begun: int) -> None:
    """The next process reads the file without a warning, and writes to it."""
    ends = []
    for left in range(60):
        file = tmp_path / str(left) / "conversations.sqlite3"
        store = ConversationStore(file, warn=pytest.fail, kept=2)
        for number in range(begun):
            store.keep(f"old-{number}", "run")
        before = rows_of(store) if begun else []
        ended = killed_after(left, file)
        after = ConversationStore(file, warn=pytest.fail, kept=2)
        found = [digest for digest in ("new", "old-0", "old-1") if after.find(digest)]
        assert found in ([digest for digest, _ in before], ["new", "old-1"][: 1 + begun // 2])
        after.keep("later", "run")
        assert after.find("later") == "run"
        ends.append((ended, "new" in found))
        if ended == 0:
            break
    assert ends[-1] == (0, True)
    assert {ended for ended, _ in ends[:-1]} == {-signal.SIGKILL}
    assert len(ends) > 10


def _sql(*statements: str) -> Callable[[Path], object]:
    def harm(file: Path) -> None:
        with sqlite3.connect(file) as connection:
            for statement in statements:
                connection.execute(statement)
        connection.close()

    return harm


def _link(file: Path) -> None:
    file.rename(file.with_name("other"))
    file.symlink_to("other")


def _damaged(file: Path) -> None:
    file.write_bytes(b"SQLite format 3\x00" + b"\xff" * 5_000)


FOREIGN = "its tables are not those that Sunwell makes"
HARMS: dict[str, tuple[Callable[[Path], object], str]] = {
    "damaged": (_damaged, "file is not a database"),
    "a trigger": (
        _sql("CREATE TRIGGER t AFTER INSERT ON conversations BEGIN DELETE FROM conversations; END"),
        FOREIGN,
    ),
    "a view": (_sql("CREATE VIEW v AS SELECT 1"), FOREIGN),
    "a computed column": (_sql("ALTER TABLE conversations ADD COLUMN more AS (run_id || digest)"), FOREIGN),
    "tables of others": (
        _sql("DROP TABLE conversations", "CREATE TABLE conversations (digest TEXT PRIMARY KEY NOT NULL)"),
        "its table conversations is not one that Sunwell makes",
    ),
    "a newer reader": (
        _sql("UPDATE about SET value = '7' WHERE name = 'least_reader'"),
        "it was written by a newer version",
    ),
    "writable by all": (lambda file: file.chmod(0o666), "it can be written by every user"),
    "a link": (_link, "it is a link"),
    "a second name": (lambda file: file.with_name("b").hardlink_to(file), "it has another name"),
    "too large": (lambda file: os.truncate(file, 200 << 20), "it has more than 32 MB"),
}


@pytest.mark.parametrize("first", ["find", "keep"])
@pytest.mark.parametrize(("harm", "said"), HARMS.values(), ids=HARMS)
def test_a_file_that_cannot_be_used_is_one_warning(
    store: ConversationStore, warnings: list[str], harm: Callable[[Path], object], said: str, first: str
) -> None:
    """The sentence names the file and what to do; the file stays as it is, and requests are answered."""
    store.keep("a", "run-1")
    assert store.file is not None
    harm(store.file)
    before = store.file.read_bytes()[:50_000]
    again = ConversationStore(store.file, warn=warnings.append)
    if first == "keep":
        again.keep("b", "run-2")
    assert again.find("a") is None
    again.keep("b", "run-2")
    (sentence,) = warnings
    done = "read" if first == "find" else "written"
    assert sentence.startswith(f"conversations cannot be {done}: {store.file}: {said}")
    assert sentence.endswith("Move the file away, or set SUNWELL_CONVERSATIONS=off")
    assert store.file.read_bytes()[:50_000] == before


def test_what_is_no_run_is_not_found(store: ConversationStore, warnings: list[str]) -> None:
    """A value of another kind, which SQLite lets everybody put into a column."""
    store.keep("a", "run-1")
    assert store.file is not None
    _sql("UPDATE conversations SET run_id = x'00ff'")(store.file)
    assert ConversationStore(store.file, warn=warnings.append).find("a") is None
    assert warnings == []


def test_what_a_newer_version_adds_is_let_be(store: ConversationStore, warnings: list[str]) -> None:
    """Plain columns and tables: conversations are found and kept beside them."""
    store.keep("a", "run-1")
    assert store.file is not None
    _sql(
        "ALTER TABLE conversations ADD COLUMN liked INTEGER",
        "CREATE TABLE readers (id TEXT PRIMARY KEY NOT NULL)",
        "UPDATE conversations SET liked = 1",
        "PRAGMA user_version = 2",
    )(store.file)
    again = ConversationStore(store.file, warn=warnings.append)
    again.keep("b", "run-2")
    assert [again.find(digest) for digest in "ab"] == ["run-1", "run-2"]
    connection = sqlite3.connect(store.file)
    rows = connection.execute("SELECT digest, liked FROM conversations ORDER BY digest").fetchall()
    connection.close()
    assert rows == [("a", 1), ("b", None)]
    assert warnings == []
