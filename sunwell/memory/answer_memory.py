"""Answers to questions about parts of a long context, kept for later runs in one SQLite table.

A question that was asked before, of the same model with the same settings about the same text, costs
nothing. The texts of questions are not in it, only digests; the answers are, without known secrets.
"""

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from sunwell.core.message import Text
from sunwell.core.model import Completion
from sunwell.core.user_folders import cache_folder
from sunwell.memory.user_database import DatabaseError, SpareFile, UserDatabase

if TYPE_CHECKING:
    from sqlite3 import Connection

KEPT_BYTES = 256 << 20
"""Size of the file above which the answers go that were used longest ago."""
KEPT_SECONDS = 30 * 86_400.0
"""How long an answer is used: models change under their names."""
ANSWERS_FILE = "answers.sqlite3"
_LONGEST_SECONDS = 0.5
_FORMAT = 1
_SCHEMA = {
    "answers": "CREATE TABLE answers (key TEXT PRIMARY KEY, kept_at REAL NOT NULL, used_at REAL NOT NULL, "
    "model TEXT NOT NULL, text TEXT NOT NULL) WITHOUT ROWID",
    "answers_by_use": "CREATE INDEX answers_by_use ON answers (used_at)",
}
_KEEP = "INSERT OR REPLACE INTO answers (key, kept_at, used_at, model, text) VALUES (?, ?, ?, ?, ?)"
_SLACK_BYTES = 64 << 20
_MOST_VALUE_BYTES = 1 << 20
_USED_AGAIN_SECONDS = 3_600.0
"""A use is noted only so long after the last one: reading should seldom have to write."""
_LEAVING = 50


def answers_file(folder: str | None = None, environ: Mapping[str, str] | None = None) -> Path:
    """Return the file of remembered answers in *folder*, or in the user's cache folder; it may not exist.

    Raises :exc:`~sunwell.errors.ConfigurationError` if there is no folder, and this user has no home.
    """
    return (cache_folder(environ) if folder is None else Path(folder).expanduser()) / ANSWERS_FILE


@attrs.define(eq=False)
class AnswerMemory:
    """Answers in a file that many processes and threads may use at once.

    It never raises for what is wrong with the file: it calls *warn* once, with a sentence, and from then on
    finds nothing and keeps nothing. If another program writes for longer than *longest_seconds*, this answer
    is not found or not kept, and nothing is said. What a killed process had not kept is asked again.
    """

    file: Path
    warn: Callable[[str], None] = attrs.field(kw_only=True)
    clock: Callable[[], float] = attrs.field(default=time.time, kw_only=True)
    """Seconds since 1970."""
    kept_bytes: int = attrs.field(default=KEPT_BYTES, kw_only=True)
    kept_seconds: float = attrs.field(default=KEPT_SECONDS, kw_only=True)
    longest_seconds: float = attrs.field(default=_LONGEST_SECONDS, kw_only=True)
    _trouble: SpareFile = attrs.field(init=False)
    _waiting: dict[str, tuple[str, str]] = attrs.field(factory=dict, init=False)
    """Answers that are about to be written, by key: the model and the text."""
    _used: set[str] = attrs.field(factory=set, init=False)
    """Keys whose use is about to be noted."""
    _writing: threading.Lock = attrs.field(factory=threading.Lock, init=False)

    @_trouble.default
    def _of_answers(self) -> SpareFile:
        return SpareFile("remembered answers", "use --no-answer-memory", self.warn, bears_others=True)

    def find(self, key: str) -> Completion | None:
        """Return the answer that was kept under *key*, without usage; ``None`` if there is none.

        One that is older than 30 days is none.
        """
        if not self._trouble.is_usable:
            return None
        found: list[tuple[float, float, str, str]] = []
        database = self._database()
        with self._trouble.being("read", database), database.reading() as opened:
            if opened is not None:
                query = "SELECT kept_at, used_at, model, text FROM answers WHERE key = ?"
                found += map(_answer, opened[0].execute(query, (key,)))
        if not found:
            return None
        kept_at, used_at, model, text = found[0]
        now = self.clock()
        if not now - self.kept_seconds <= kept_at <= now + self.kept_seconds:
            return None
        if now - used_at > _USED_AGAIN_SECONDS:
            self._used.add(key)
            self._write()
        return Completion((Text(text),), "end", None, model)

    def keep(self, key: str, completion: Completion) -> None:
        """Keep the text of *completion* under *key* if it is whole, calls no tool and has at most 512 KB.

        Then the answers go that are older than 30 days or, if the file is too large, were not used for long.
        """
        text = completion.text
        if not self._trouble.is_usable or completion.stop != "end" or not text or completion.tool_calls:
            return
        try:
            if len(text.encode()) > _MOST_VALUE_BYTES // 2:
                return
        except UnicodeEncodeError:  # a lone surrogate, which the file cannot hold
            return
        self._waiting[key] = (completion.model, text)
        self._write()

    def _write(self) -> None:
        """Write what waits, of all threads in one go: a disk is slow to make sure of each for itself."""
        with self._writing:
            # Popped one by one: other threads add to both meanwhile.
            now, rows, used = self.clock(), [], []
            while self._waiting:
                key, answer = self._waiting.popitem()
                rows.append((key, now, now, *answer))
            while self._used:
                used.append((now, self._used.pop()))
            if not (rows or used) or not self._trouble.is_usable:
                return
            database = self._database()
            with self._trouble.being("kept", database), database.writing() as connection:
                connection.executemany(_KEEP, rows)
                connection.executemany("UPDATE answers SET used_at = ? WHERE key = ?", used)
                if rows:
                    self._make_room(connection, now)

    def _make_room(self, connection: "Connection", now: float) -> None:
        # By use, which has an index: one that is too old is not used any more, and leaves a month later.
        connection.execute("DELETE FROM answers WHERE used_at < ?", (now - self.kept_seconds,))
        (page,) = connection.execute("PRAGMA page_size").fetchone()
        while True:
            (pages,) = connection.execute("PRAGMA page_count").fetchone()
            (free,) = connection.execute("PRAGMA freelist_count").fetchone()
            if (pages - free) * page <= self.kept_bytes:
                return
            oldest = "SELECT key FROM answers ORDER BY used_at LIMIT ?"
            gone = connection.execute(f"DELETE FROM answers WHERE key IN ({oldest})", (_LEAVING,))
            if not gone.rowcount:
                return

    def _database(self) -> UserDatabase:
        most = self.kept_bytes + _SLACK_BYTES
        return UserDatabase(self.file, _FORMAT, _SCHEMA, self.longest_seconds, most, _MOST_VALUE_BYTES)


def _answer(row: tuple[Any, ...]) -> tuple[float, float, str, str]:
    """Return *row* if it holds an answer: SQLite takes any value in any column."""
    if [type(value) for value in row] != [float, float, str, str]:
        raise DatabaseError("a row holds what is no answer")
    kept_at, used_at, model, text = row
    return kept_at, used_at, model, text
