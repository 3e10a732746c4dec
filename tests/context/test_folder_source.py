"""A folder as a source of context: what is found, what is never found, and an index that is always right."""

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sunwell.context.folder_source import FolderPlace, FolderSource
from sunwell.core.context_source import DocumentSource
from sunwell.core.secrets import Secrets
from sunwell.errors import ConfigurationError, ToolError
from sunwell.models.tokens import estimate_tokens

GUIDE = """\
# Guide

Some words first.

## Tokens

A token lives an hour.

```sh
# not a heading: refresh
```

### Refresh

Ask for a refresh token twice.

Prices
======

An amount is whole cents.
"""
CODE = '''\
"""Carts."""

RATE = 7


class Cart:
    """A cart of the shop."""

    def total(self):
        """Return the sum."""
        return 0

    def addItem(self, item):
        return item


def apply_discount(cart):
    return cart
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a workspace with two files of documents and one of source."""
    made = tmp_path / "work"
    (made / "docs").mkdir(parents=True)
    (made / "docs" / "guide.md").write_text(GUIDE)
    (made / "shop.py").write_text(CODE)
    (made / "notes.txt").write_text("Ships sail to the harbour on Tuesdays.\n")
    return made


def source(folder: Path, path: str = ".", *, ignore: tuple[str, ...] = (), **given: Any) -> FolderSource:
    """Return the source of *path* in the workspace *folder*, with its index beside it."""
    given.setdefault("cache", folder.parent / "cache")
    return FolderSource("docs", FolderPlace.of(path, folder, ignore), **given)


def ask(asked: FolderSource, query: str, most_tokens: int = 1_000) -> str:
    """Return what is found for *query*."""
    return asyncio.run(asked.context_query(query, most_tokens))


def index_file(folder: Path) -> Path:
    """Return the one index."""
    (file,) = (folder.parent / "cache" / "context").glob("*.sqlite3")
    return file


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("refresh", "docs/guide.md, lines 13-15 (Guide > Tokens > Refresh):"),
        ("How long do tokens live?", "docs/guide.md, lines 5-11 (Guide > Tokens):"),
        ("cents", "docs/guide.md, lines 17-20 (Prices):"),
        ("discount", "shop.py, lines 17-18 (def apply_discount(cart)):"),
        ("apply_discount", "shop.py, lines 17-18 (def apply_discount(cart)):"),
        ("add item", "shop.py, lines 13-14 (class Cart > def addItem(self, item)):"),
        ("harbours", "notes.txt, lines 1-1:"),
    ],
)
def test_a_query_finds_sections_with_path_and_lines(folder: Path, query: str, first: str) -> None:
    """By the headings of Markdown and the definitions of source; the best one first."""
    assert ask(source(folder), query).split("\n")[0] == first


def test_the_lines_are_those_of_the_file(folder: Path) -> None:
    """What is shown is what stands there."""
    said = ask(source(folder), "refresh twice")
    assert "```\n### Refresh\n\nAsk for a refresh token twice." in said
    assert GUIDE.split("\n")[12:15] == ["### Refresh", "", "Ask for a refresh token twice."]


def test_a_folder_in_the_workspace_is_searched_alone(folder: Path) -> None:
    """Its files are called as everywhere else in the run."""
    docs = source(folder, "docs")
    assert ask(docs, "token").startswith("docs/guide.md, ")
    assert ask(docs, "discount harbour") == ""


@pytest.mark.parametrize("most_tokens", [1, 30, 61, 100, 300, 2_000])
def test_what_is_found_is_within_the_tokens(folder: Path, most_tokens: int) -> None:
    """Whole sections, and the beginning of one more if there is room for it."""
    (folder / "long.md").write_text("# Long\n" + "A token is a token among tokens.\n" * 200)
    said = ask(source(folder), "token", most_tokens)
    assert estimate_tokens(said) <= most_tokens
    assert most_tokens < 100 or said


def test_a_section_that_is_cut_says_so(folder: Path) -> None:
    """With the count of lines that are missing."""
    (folder / "long.md").write_text("# Whales\n" + "Whales sing in the deep.\n" * 100)
    assert "more lines of this section)" in ask(source(folder), "whales", 120)


QUERIES = [
    '"', 'a" OR b', "NEAR(a b", "path:x", "a AND", "*", "^a - b", "{a b}", "\0", "a\0token", "\ud800", "",
    " ", "'; DROP TABLE sections; --", "ก" * 300, "日本", "संस्कृत", "🌻", "x" * 1_000_000,
    "token " * 200_000, "%_\\",
]  # fmt: skip


@pytest.mark.parametrize("query", QUERIES, ids=lambda text: ascii(text[:12]))
def test_any_text_is_a_query(folder: Path, query: str) -> None:
    """No syntax, whatever a model writes, and no time that grows with it."""
    asked = source(folder)
    assert isinstance(ask(asked, query), str)
    assert "lines 5-11" in ask(asked, "token")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(query=st.text(max_size=60))
def test_any_random_text_is_a_query(folder: Path, query: str) -> None:
    """The same, at random."""
    assert isinstance(ask(source(folder), query), str)


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("東京の港は大きいです。", "港は"),
        ("ภาษาไทยเขียนติดกัน", "เขียน"),
        ("Der Straßenverkehr ruht.", "STRASSENVERKEHR"),
        ("Le café est fermé.", "cafe"),
        ("Порт закрыт", "порт"),
        ("refreshTokenTwice", "token"),
    ],
)
def test_other_scripts_and_spellings_are_found(folder: Path, text: str, query: str) -> None:
    """Also where no blanks stand between words."""
    (folder / "other.txt").write_text(text)
    assert text in ask(source(folder, ignore=("docs/",)), query)


def test_what_is_protected_or_hidden_is_never_in_it(folder: Path) -> None:
    """Nor what git ignores, keys, build folders, links, binary files and those that are too large."""
    word = "zebra"
    for path in (
        ".env", ".git/config", ".ssh/config", "id_rsa", "server.pem", "hidden/a.md", "ignored/b.md",
        "node_modules/c.md", ".venv/d.py", ".sunwell/e.md",
    ):  # fmt: skip
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(f"{word}=1\n")
    (folder / ".gitignore").write_text("ignored/\n")
    (folder / "large.md").write_text(f"{word}\n" * 300_000)
    (folder / "binary.bin").write_bytes(b"\0" + word.encode())
    outside = folder.parent / "outside.md"
    outside.write_text(word)
    (folder / "link.md").symlink_to(outside)
    asked = source(folder, ignore=("hidden/",))
    assert ask(asked, word) == ""
    asyncio.run(asked.aclose())
    assert word.encode() not in index_file(folder).read_bytes()


def test_known_secrets_are_replaced(folder: Path) -> None:
    """In what is found, and in the index, also if they were learnt only later."""
    (folder / "notes.txt").write_text("The harbour key is hunter2-hunter2-hunter2, keep it.\n")
    secrets = Secrets()
    early = source(folder, secrets=secrets)
    assert "hunter2-hunter2-hunter2" in ask(early, "harbour")
    secrets.add("hunter2-hunter2-hunter2", "KEY")
    assert "The harbour key is [KEY], keep it." in ask(early, "harbour")
    later = source(folder, secrets=secrets, cache=folder.parent / "fresh")
    assert "The harbour key is [KEY], keep it." in ask(later, "harbour")
    asyncio.run(later.aclose())
    (file,) = (folder.parent / "fresh" / "context").glob("*.sqlite3")
    assert b"hunter2" not in file.read_bytes()


def test_a_change_is_seen_by_the_next_query(folder: Path) -> None:
    """A new text of the same size, a new file, one that is gone, one that is hidden by now."""
    asked = source(folder)
    assert "Ships" in ask(asked, "ships")
    (folder / "notes.txt").write_text("Sheep sail to the harbour on Tuesdays.\n")
    assert (ask(asked, "ships"), "Sheep" in ask(asked, "sheep")) == ("", True)
    (folder / "more.txt").write_text("Goats climb.\n")
    assert "Goats" in ask(asked, "goats")
    (folder / ".gitignore").write_text("more.txt\n")
    assert ask(asked, "goats") == ""
    (folder / "notes.txt").unlink()
    assert ask(asked, "sheep") == ""


def test_a_time_that_was_put_back_does_not_hide_a_change(folder: Path) -> None:
    """Some tools keep the time of a file that they change."""
    asked, file = source(folder), folder / "notes.txt"
    before = file.stat()
    ask(asked, "ships")
    file.write_text("Sheep sail to the harbour on Tuesdays.\n")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert "Sheep" in ask(asked, "sheep")


NAMES = ("a.md", "b.py", "sub/c.txt", "sub/d.md", "sub/deep/e.md")
WORDS = ("ship", "sheep", "harbour", "token", "price")
TEXTS = st.lists(
    st.sampled_from([*WORDS, "\n", "# Title\n", "def go():\n    pass\n", "\n\n"]), max_size=12
).map(" ".join)
EDITS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.sampled_from(NAMES), TEXTS),
        st.tuples(st.just("delete"), st.sampled_from(NAMES), st.just("")),
        st.tuples(st.just("move"), st.sampled_from(NAMES), st.sampled_from(NAMES)),
        st.tuples(st.just("hide"), st.sampled_from(NAMES), st.just("")),
        st.tuples(st.just("ask"), st.sampled_from(WORDS), st.just("")),
    ),
    max_size=25,
)


def change(root: Path, edit: tuple[str, str, str]) -> None:
    """Carry one edit of the files out."""
    what, name, more = edit
    file = root / name
    if what == "write":
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(more)
    elif what == "delete":
        file.unlink(missing_ok=True)
    elif what == "move" and file.exists():
        (root / more).parent.mkdir(parents=True, exist_ok=True)
        file.rename(root / more)
    elif what == "hide":
        (root / ".gitignore").write_text(f"/{name}\n")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(edits=EDITS)
def test_an_index_is_always_as_one_that_is_made_anew(
    tmp_path_factory: pytest.TempPathFactory, edits: list[tuple[str, str, str]]
) -> None:
    """After any edits, with queries between them: the same sections in the same order."""
    root = tmp_path_factory.mktemp("edits") / "work"
    root.mkdir()
    kept = source(root)
    for edit in edits:
        if edit[0] == "ask":
            ask(kept, edit[1])
        change(root, edit)
    anew = source(root, cache=root.parent / "anew")
    for word in WORDS:
        assert ask(kept, word, 5_000) == ask(anew, word, 5_000)
    asyncio.run(anew.aclose())
    asyncio.run(kept.aclose())


def test_the_index_is_the_users_alone(folder: Path) -> None:
    """Folder and file are private, whatever the umask."""
    asked = source(folder)
    ask(asked, "token")
    file = index_file(folder)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("what", ["damaged", "empty", "link", "open to all", "other format", "a folder"])
def test_an_index_that_cannot_be_used_costs_nothing_but_time(folder: Path, what: str) -> None:
    """It is made anew, or in memory; nothing else is touched."""
    ask(source(folder), "token")
    file, target = index_file(folder), folder.parent / "target"
    target.write_bytes(b"keep")
    if what == "damaged":
        file.write_bytes(b"SQLite format 3\0" + os.urandom(20_000))
    elif what == "empty":
        file.write_bytes(b"")
    elif what == "open to all":
        file.chmod(0o666)
    elif what == "other format":
        connection = sqlite3.connect(file)
        connection.execute("PRAGMA user_version = 99")
        connection.close()
    else:
        file.unlink()
        if what == "link":
            file.symlink_to(target)
        else:
            file.mkdir()
    assert "lines 5-11" in ask(source(folder), "token")
    assert target.read_bytes() == b"keep"


def test_a_file_that_is_damaged_between_two_queries_is_made_anew(folder: Path) -> None:
    """Whoever damaged it, the next query finds what is there."""
    asked = source(folder)
    ask(asked, "token")
    asyncio.run(asked.aclose())
    file = index_file(folder)
    data = bytearray(file.read_bytes())
    data[4096:] = os.urandom(len(data) - 4096)
    file.write_bytes(data)
    assert "lines 5-11" in ask(asked, "token")


def test_without_a_place_for_it_the_index_is_in_memory(folder: Path) -> None:
    """A file stands where its folder would be."""
    (folder.parent / "cache").write_text("")
    asked = source(folder)
    assert "lines 5-11" in ask(asked, "token")
    assert "lines 5-11" in ask(asked, "hour")


class NoSearch(sqlite3.Connection):
    """SQLite as some build it."""

    def execute(self, sql: str, *given: Any) -> sqlite3.Cursor:
        if "fts5" in sql:
            raise sqlite3.OperationalError("no such module: fts5")
        return super().execute(sql, *given)


def test_a_python_without_full_text_search_is_told_in_one_sentence(folder: Path) -> None:
    """With what to do."""

    def connect(*given: Any, **more: Any) -> sqlite3.Connection:
        return sqlite3.connect(*given, **more, factory=NoSearch)

    with pytest.raises(ToolError, match=r"has no full-text search \(FTS5\)"):
        ask(source(folder, connect=connect), "token")


async def test_many_queries_at_once_are_all_answered(folder: Path) -> None:
    """By one index, and by several on one file."""
    one, two = source(folder), source(folder)
    said = await asyncio.gather(*[each.context_query("token", 500) for each in (one, two) * 10])
    assert len(set(said)) == 1
    assert "lines 5-11" in said[0]
    await one.aclose()
    await two.aclose()


INDEXING = """
import asyncio, sys
from pathlib import Path
from sunwell.context.folder_source import FolderPlace, FolderSource
root, cache = map(Path, sys.argv[1:])
print("ready", flush=True)
while True:
    asked = FolderSource("docs", FolderPlace.of(".", root), cache=cache)
    asyncio.run(asked.context_query("token", 500))
    for number, file in enumerate(sorted(root.glob("many/*.md"))):
        if number % 3 == 0:
            file.write_text(file.read_text() + "more token\\n")
    asyncio.run(asked.aclose())
"""


def test_a_process_that_is_killed_while_it_indexes_leaves_a_good_index(folder: Path) -> None:
    """Several times, at other moments, while another process uses it."""
    (folder / "many").mkdir()
    for number in range(60):
        (folder / "many" / f"{number}.md").write_text(f"# Title {number}\n\ntoken {number}\n" * 5)
    kept = source(folder)
    for _ in range(4):
        arguments = [sys.executable, "-c", INDEXING, str(folder), str(folder.parent / "cache")]
        process = subprocess.Popen(arguments, stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        assert "token" in ask(kept, "token")
        process.kill()
        process.wait()
        process.stdout.close()
        anew = source(folder, cache=folder.parent / "anew")
        assert ask(kept, "token more", 3_000) == ask(anew, "token more", 3_000)
    asyncio.run(kept.aclose())


def test_a_document_is_given_whole(folder: Path) -> None:
    """By the path that a query returns; what may not be found is not given either."""
    (folder / ".env").write_text("A=1")
    asked = source(folder)
    assert isinstance(asked, DocumentSource)
    assert asyncio.run(asked.load_document("docs/guide.md")) == GUIDE
    for name in (".env", "../work/shop.py", "/etc/passwd", "nothing.md"):
        with pytest.raises(ToolError, match="docs has no document"):
            asyncio.run(asked.load_document(name))


def test_a_folder_that_goes_away_is_a_sentence(folder: Path) -> None:
    """While the run goes on."""
    asked = source(folder, "docs")
    ask(asked, "token")
    (folder / "docs").rename(folder / "other")
    with pytest.raises(ToolError, match="the folder of docs is not there any more"):
        ask(asked, "token")


@pytest.mark.parametrize("path", ["~/.ssh", ".git", "..", "link", "nowhere"])
def test_a_folder_that_is_closed_to_tools_is_no_source(folder: Path, path: str, tmp_path: Path) -> None:
    """Nor is one that a link in the workspace leads out to."""
    (tmp_path / "elsewhere").mkdir()
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    (folder / ".git").mkdir()
    (Path.home() / ".ssh").mkdir(exist_ok=True)
    with pytest.raises(ConfigurationError, match="context folder"):
        source(folder, path)


def test_a_folder_elsewhere_can_be_named_by_its_full_path(folder: Path, tmp_path: Path) -> None:
    """Its files are called by their paths in it."""
    other = tmp_path / "elsewhere"
    other.mkdir()
    (other / "wiki.md").write_text("# Whales\n\nThey sing.\n")
    assert ask(source(folder, str(other)), "whales").startswith("wiki.md, lines 1-3 (Whales):")
