"""Remembered answers: found by later processes, bounded in size and age, and never in the way."""

import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest

from sunwell.core.message import Text, Thinking, ToolCall
from sunwell.core.model import Completion, Usage
from sunwell.memory.answer_memory import AnswerMemory, answers_file

NOW = time.time()
DAY = 86_400.0


def answer(text: str = "42") -> Completion:
    """Return a whole answer with its usage."""
    return Completion((Text(text),), "end", Usage(10, 5), "claude-haiku-5-5", id="msg_1")


@pytest.fixture
def warnings() -> list[str]:
    """Return the list that memories of a test warn into."""
    return []


@pytest.fixture
def clock() -> list[float]:
    """Return a list whose only number is the time."""
    return [NOW]


@pytest.fixture
def memory(tmp_path: Path, warnings: list[str], clock: list[float]) -> Callable[..., AnswerMemory]:
    """Return what opens the memory of a test."""

    def opened(**options: int) -> AnswerMemory:
        file = tmp_path / "cache" / "answers.sqlite3"
        return AnswerMemory(file, warn=warnings.append, clock=lambda: clock[0], **options)

    return opened


def test_what_is_kept_is_found_by_the_next_process(memory, warnings: list[str]) -> None:
    """Without usage and without the id: nobody was asked."""
    assert memory().find("a") is None
    memory().keep("a", answer())
    assert memory().find("a") == Completion((Text("42"),), "end", None, "claude-haiku-5-5")
    assert (memory().find("b"), warnings) == (None, [])


def test_the_file_and_its_folder_are_the_users_alone(memory) -> None:
    """Answers are made of what the contexts hold."""
    one = memory()
    one.keep("a", answer())
    assert (one.file.stat().st_mode & 0o777, one.file.parent.stat().st_mode & 0o777) == (0o600, 0o700)


@pytest.mark.parametrize(
    "completion",
    [
        Completion((Text("cut"),), "length", Usage(1, 1), "haiku"),
        Completion((Text("no"),), "refusal", Usage(1, 1), "haiku"),
        Completion((ToolCall("c", "read", "{}"),), "tool_calls", Usage(1, 1), "haiku"),
        Completion((), "end", Usage(1, 1), "haiku"),
        Completion((Text("\ud800"),), "end", Usage(1, 1), "haiku"),
        Completion((Text("x" * 600_000),), "end", Usage(1, 1), "haiku"),
    ],
    ids=["cut", "refused", "tools", "empty", "surrogate", "long"],
)
def test_only_whole_answers_in_words_are_kept(memory, warnings: list[str], completion: Completion) -> None:
    """Another one is asked for again."""
    memory().keep("a", completion)
    assert (memory().find("a"), warnings) == (None, [])


def test_thoughts_are_not_kept(memory) -> None:
    """They are bound to the call that they came with."""
    memory().keep("a", attrs.evolve(answer(), parts=(Thinking("hm", "anthropic", "{}"), Text("42"))))
    found = memory().find("a")
    assert found is not None
    assert found.parts == (Text("42"),)


def test_an_answer_is_too_old_after_thirty_days(memory, clock: list[float]) -> None:
    """Also one that was used every day."""
    memory().keep("a", answer())
    for day in range(30):
        clock[0] = NOW + day * DAY
        assert memory().find("a") is not None
    clock[0] = NOW + 30 * DAY + 1
    assert memory().find("a") is None


def test_of_a_file_that_is_too_large_those_go_that_were_used_longest_ago(memory, clock: list[float]) -> None:
    """One that was found lately stays, though it was kept first."""
    memory().keep("first", answer())
    for number in range(600):
        clock[0] += 40
        memory(kept_bytes=1 << 20).keep(f"other {number}", answer("x" * 2_000))
        if number % 100 == 99:
            assert memory().find("first") is not None
    assert memory().find("first") is not None
    assert memory().find("other 0") is None
    assert memory().find("other 599") is not None
    assert memory().file.stat().st_size < 2 << 20


def test_old_answers_leave_when_new_ones_come(memory, clock: list[float]) -> None:
    """Nobody has to ask for them."""
    memory().keep("a", answer("secret of last year"))
    clock[0] += 31 * DAY
    memory().keep("b", answer())
    with sqlite3.connect(memory().file) as connection:
        assert connection.execute("SELECT key FROM answers").fetchall() == [("b",)]


_KEEPS = """
import sys
from pathlib import Path
from sunwell.core.message import Text
from sunwell.core.model import Completion
from sunwell.memory.answer_memory import AnswerMemory
memory = AnswerMemory(Path(sys.argv[1]), warn=print, longest_seconds=60.0)
for number in range(int(sys.argv[3])):
    memory.keep(f"{sys.argv[2]} {number}", Completion((Text("x" * 500),), "end", None, "haiku"))
    if number == 5:
        print("begun", flush=True)
"""


def keeping(memory: AnswerMemory, name: str, count: int) -> "subprocess.Popen[str]":
    """Start a process that keeps so many answers."""
    command = [sys.executable, "-c", _KEEPS, str(memory.file), name, str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_two_processes_lose_nothing_of_each_other(memory, warnings: list[str]) -> None:
    """Both write at the same time."""
    one = memory()
    processes = [keeping(one, name, 40) for name in ("a", "b")]
    assert [process.communicate()[0] for process in processes] == ["begun\n", "begun\n"]
    found = [one.find(f"{name} {number}") for name in ("a", "b") for number in range(40)]
    assert (None in found, warnings) == (False, [])


def test_a_process_that_is_killed_leaves_a_memory_that_works(memory, warnings: list[str]) -> None:
    """What it had kept before is found."""
    one = memory(longest_seconds=60)
    for _ in range(3):
        with keeping(one, "a", 100_000) as process:
            assert process.stdout is not None
            process.stdout.readline()
            process.kill()
        assert one.find("a 5") is not None
    one.keep("after", answer())
    assert (one.find("after") is None, warnings) == (False, [])


def test_many_threads_keep_at_once(memory, warnings: list[str]) -> None:
    """As the calls of one fan-out do."""
    one = memory(longest_seconds=60)
    threads = [threading.Thread(target=one.keep, args=(f"a {n}", answer(str(n)))) for n in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [one.find(f"a {n}").text for n in range(64)] == [str(n) for n in range(64)]
    assert warnings == []


def test_a_file_that_is_being_written_is_waited_for_only_shortly(memory, warnings: list[str]) -> None:
    """The answer is asked for or lost, nothing is said, and the next one is kept."""
    one = memory()
    one.keep("a", answer())
    with sqlite3.connect(one.file, isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert one.find("a") is None
        one.keep("b", answer())
        other.execute("ROLLBACK")
    one.keep("c", answer())
    found = [one.find(name) is not None for name in "abc"]
    assert (found, warnings) == ([True, False, True], [])


def _garbage(file: Path) -> None:
    file.write_bytes(b"SQLite format 3\0" + b"\xff" * 5_000)


def _newer(file: Path) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA user_version = 9")


def _trigger(file: Path) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TRIGGER t AFTER INSERT ON answers BEGIN DELETE FROM answers; END")


def _wrong_values(file: Path) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE answers SET text = x'00ff'")


def _link(file: Path) -> None:
    file.rename(file.with_name("other"))
    file.symlink_to(file.with_name("other"))


def _second_name(file: Path) -> None:
    os.link(file, file.with_name("other"))


def _open_to_all(file: Path) -> None:
    file.chmod(0o666)


def _folder_open_to_all(file: Path) -> None:
    file.parent.chmod(0o777)


def _large(file: Path) -> None:
    os.truncate(file, 400 << 20)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (_garbage, "cannot be read"),
        (_newer, "format 9"),
        (_trigger, "its tables are not those"),
        (_wrong_values, "no answer"),
        (_link, "is a link"),
        (_second_name, "hard link"),
        (_open_to_all, "written by every user"),
        (_folder_open_to_all, "written by every user"),
        (_large, "more than 320 MB"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_sentence(memory, warnings, spoil, sentence: str) -> None:
    """The run goes on without it, and the file stays as it is."""
    memory().keep("a", answer())
    file = memory().file
    spoil(file)
    before = file.read_bytes()[:10_000]
    one = memory()
    assert one.find("a") is None
    one.keep("b", answer())
    assert one.find("b") is None
    (said,) = warnings
    assert sentence in said
    assert "the run goes on without them. Move the file away, or use --no-answer-memory" in said
    assert file.read_bytes()[:10_000] == before


def test_where_it_is_kept(tmp_path: Path) -> None:
    """In the folder that is named, else in the user's cache."""
    assert answers_file(str(tmp_path)) == tmp_path / "answers.sqlite3"
    assert answers_file(None, {"SUNWELL_HOME": "/h"}) == Path("/h/answers.sqlite3")
    if sys.platform == "linux":
        assert answers_file(None, {"HOME": "/u"}) == Path("/u/.cache/sunwell/answers.sqlite3")
        assert answers_file(None, {"XDG_CACHE_HOME": "/c"}) == Path("/c/sunwell/answers.sqlite3")
