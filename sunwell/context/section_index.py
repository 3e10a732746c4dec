"""Full-text index of sections in one SQLite file, which many processes may use at once."""

import os
import re
import sqlite3
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

import attrs

from sunwell.context.sections import Section
from sunwell.errors import ToolError
from sunwell.journal.user_state import file_doubt, state_doubt

_FORMAT = 1
_SCHEMA = """
CREATE TABLE files (path TEXT PRIMARY KEY, size INTEGER NOT NULL, changed INTEGER NOT NULL,
    seen INTEGER NOT NULL, hash TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE sections (id INTEGER PRIMARY KEY, path TEXT NOT NULL, first INTEGER NOT NULL,
    last INTEGER NOT NULL, heading TEXT NOT NULL, text TEXT NOT NULL);
CREATE INDEX sections_of_a_file ON sections (path);
CREATE VIRTUAL TABLE words USING fts5(path, heading, body, tokenize = 'porter unicode61 remove_diacritics 2')
"""
_NO_SEARCH = (
    "the SQLite of this Python has no full-text search (FTS5), so folders cannot be searched: use a Python "
    "whose SQLite has it, as most have"
)
_MOST_VALUE_BYTES = 1 << 20
_STEPS = 10_000
_MOST_QUERY_CHARACTERS = 20_000
_MOST_WORDS = 100
"""Words of a query that count, the first ones: more say little, and take time."""
_LONGEST_WORD = 100
_CANDIDATES = 100
_LEAST_SHARE = 0.15
"""A section whose score is less than this share of the best one has little to do with the query."""
_KEPT_SECONDS = 30 * 24 * 3600
"""How long the index of a folder is kept that nobody asks about."""

_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
    "\U00020000-\U0003ffff"
)
"""Scripts that put no blanks between words, or few."""
_WORD = re.compile(rf"[{_UNSPACED}]+|(?:(?![{_UNSPACED}])\w)+")
_IS_UNSPACED = re.compile(f"[{_UNSPACED}]")
_PART = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|_+")

Connect = Callable[..., sqlite3.Connection]


def index_words(text: str) -> Iterator[str]:
    """Yield the words of *text* as they are indexed and looked for: letters and digits alone.

    An identifier gives its parts, and itself if it has several. In scripts without blanks between words, each
    two characters that stand together are a word.
    """
    plain = text if text.isascii() else unicodedata.normalize("NFKC", text)
    for run in _WORD.findall(plain):
        if run.isascii() or not _IS_UNSPACED.match(run):
            yield from _forms(run[:_LONGEST_WORD])
        else:
            yield from (run[at : at + 2] for at in range(max(1, len(run) - 1)))


@lru_cache(maxsize=50_000)
def _forms(run: str) -> tuple[str, ...]:
    parts = [part.casefold() for part in _PART.split(run) if part]
    return (*parts, "".join(parts)) if len(parts) > 1 else tuple(parts)


@attrs.frozen
class FileState:
    """What is known of a file that is in the index."""

    size: int
    changed_ns: int
    """When it changed last, by the clock of its file system."""
    seen_ns: int
    """When it was looked at, by the clock of this machine."""
    digest: str


@attrs.frozen
class Hit:
    """A section that fits a query."""

    path: str
    section: Section
    score: float
    """The higher the better."""


@attrs.define(eq=False)
class SectionIndex:
    """The index in *file*; without a file that can be used, in memory, for as long as this lives.

    Not safe for two threads at once; for two processes it is: each writes in one step, and a process that is
    killed leaves what was there before. A file that is damaged is made anew.
    """

    file: Path | None
    connect: Connect = sqlite3.connect
    _open: sqlite3.Connection | None = attrs.field(default=None, init=False)
    _until: float = attrs.field(default=float("inf"), init=False)

    def until(self, deadline: float) -> None:
        """Have every call end by *deadline* (``time.monotonic``); then it raises ``sqlite3`` errors."""
        self._until = deadline

    def close(self) -> None:
        """Close the file; the next call opens it again. What was only in memory is gone."""
        if self._open is not None:
            self._open.close()
            self._open = None

    def discard(self) -> None:
        """Delete the file, whose content can be made again; the next call makes it."""
        self.close()
        if self.file is not None:
            # Its journal goes first, which would be rolled back into the new file.
            for one in (self.file.with_name(f"{self.file.name}-journal"), self.file):
                with suppress(OSError):
                    one.unlink()

    def files(self) -> dict[str, FileState]:
        """Return what is known of each file by its path."""
        rows = self._connection().execute("SELECT path, size, changed, seen, hash FROM files")
        return {path: FileState(*state) for path, *state in rows}

    def put(
        self, files: Iterable[tuple[str, FileState, Sequence[Section] | None]], gone: Iterable[str]
    ) -> None:
        """Write *files* and take out those that are *gone*, all in one step.

        Without sections, only the state of a file is written: its text is as it was.
        """
        connection = self._connection()
        connection.execute("BEGIN IMMEDIATE")
        try:
            for path in gone:
                self._drop(connection, path)
                connection.execute("DELETE FROM files WHERE path = ?", (path,))
            for path, state, sections in files:
                if sections is not None:
                    self._drop(connection, path)
                    self._add(connection, path, sections)
                values = (path, *attrs.astuple(state))
                connection.execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?)", values)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def search(self, query: str) -> list[Hit]:
        """Return the sections that fit *query*, free text, the best first; equal ones in order of path."""
        words = list(dict.fromkeys(index_words(query[:_MOST_QUERY_CHARACTERS])))[:_MOST_WORDS]
        if not words:
            return []
        # Each word is a string of letters and digits in quotes: nothing in it is syntax.
        match = " OR ".join(f'"{word}"' for word in words)
        rows = self._connection().execute(
            "SELECT sections.path, first, last, sections.heading, text, bm25(words, 3.0, 2.0, 1.0) AS score "
            "FROM words JOIN sections ON sections.id = words.rowid WHERE words MATCH ? "
            "ORDER BY score, sections.path, first, sections.id LIMIT ?",
            (match, _CANDIDATES),
        )
        hits = [Hit(path, Section(*rest), -score) for path, *rest, score in rows]
        return [hit for hit in hits if hit.score >= hits[0].score * _LEAST_SHARE]

    def _drop(self, connection: sqlite3.Connection, path: str) -> None:
        connection.execute(
            "DELETE FROM words WHERE rowid IN (SELECT id FROM sections WHERE path = ?)", (path,)
        )
        connection.execute("DELETE FROM sections WHERE path = ?", (path,))

    def _add(self, connection: sqlite3.Connection, path: str, sections: Sequence[Section]) -> None:
        path_words = " ".join(index_words(path))
        for one in sections:
            made = connection.execute(
                "INSERT INTO sections (path, first, last, heading, text) VALUES (?, ?, ?, ?, ?)",
                (path, one.first_line, one.last_line, one.heading, one.text),
            )
            words = (
                made.lastrowid,
                path_words,
                " ".join(index_words(one.heading)),
                " ".join(index_words(one.text)),
            )
            connection.execute("INSERT INTO words (rowid, path, heading, body) VALUES (?, ?, ?, ?)", words)

    def _connection(self) -> sqlite3.Connection:
        if self._open is None:
            self._open = self._opened()
            self._open.set_progress_handler(lambda: time.monotonic() > self._until, _STEPS)
        return self._open

    def _opened(self) -> sqlite3.Connection:
        for _ in range(2):
            if self.file is None or not _is_usable(self.file):
                break
            try:
                return self._prepared(str(self.file))
            except sqlite3.DatabaseError as error:
                if isinstance(error, sqlite3.OperationalError):  # busy, or a disk that takes no more
                    break
                self.discard()  # damaged, or of another version
        return self._prepared(":memory:")

    def _prepared(self, place: str) -> sqlite3.Connection:
        left = min(max(0.1, self._until - time.monotonic()), 60.0)
        connection = self.connect(place, timeout=left, isolation_level=None, check_same_thread=False)
        try:
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MOST_VALUE_BYTES)
            # No write-ahead log: it needs shared memory, which a home folder on a network does not have.
            for pragma in (
                "trusted_schema = OFF",
                "cell_size_check = ON",
                "mmap_size = 0",
                "synchronous = NORMAL",
            ):
                connection.execute(f"PRAGMA {pragma}")
            connection.execute("BEGIN IMMEDIATE")  # two processes that both find nothing make it once
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version not in (0, _FORMAT):
                raise sqlite3.DatabaseError("another format")
            if version == 0:
                for statement in _SCHEMA.split(";"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {_FORMAT}")
            connection.execute("COMMIT")
        except BaseException as error:
            connection.close()
            if isinstance(error, sqlite3.OperationalError) and "fts5" in str(error):
                raise ToolError(_NO_SEARCH) from None
            raise
        return connection


def _is_usable(file: Path) -> bool:
    """Whether *file* is the user's alone; it is made with its folder if it is not there."""
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if state_doubt(file.parent):
            return False
        with suppress(FileExistsError):
            os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
            _remove_unused(file.parent)
        status = file.lstat()
        if file_doubt(status) or status.st_nlink > 1:
            return False
        os.utime(file)  # by this it is known which of them are used
    except OSError:
        return False
    return True


def _remove_unused(folder: Path) -> None:
    before = time.time() - _KEPT_SECONDS
    for other in folder.glob("*.sqlite3"):
        with suppress(OSError):
            if other.lstat().st_mtime < before:
                other.unlink()


@contextmanager
def told_errors(name: str) -> Iterator[None]:
    """Turn an error of SQLite in the index of *name* into a :exc:`~sunwell.errors.ToolError`."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorname", "")
        why = {
            "SQLITE_INTERRUPT": "it took too long",
            "SQLITE_BUSY": "another process is writing its index",
            "SQLITE_FULL": "the disk is full",
        }.get(code, str(error))
        raise ToolError(f"{name} could not be searched: {why}") from None
