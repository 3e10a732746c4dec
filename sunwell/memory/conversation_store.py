"""Which run a conversation of a client belongs to, kept for later requests in one SQLite table.

A client of the endpoint sends its whole conversation each time and names no run. What is kept of it is a
digest, made by :func:`digest_of_turns` with the client's key; no text, and nothing of the key.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from pathlib import Path

import attrs

from sunwell.memory.growing_database import GrowingDatabase
from sunwell.memory.user_database import SpareFile, state_file

KEPT_CONVERSATIONS = 20_000
"""Most rows in the file; the oldest leave first."""
CONVERSATIONS_FILE = "conversations.sqlite3"
_LONGEST_SECONDS = 0.5
_FORMAT = 1
_COLUMNS = ("digest", "kept_at", "run_id")
_SCHEMA = {
    "conversations": "CREATE TABLE conversations (digest TEXT PRIMARY KEY NOT NULL, kept_at REAL NOT NULL, "
    "run_id TEXT NOT NULL)",
    "conversations_by_age": "CREATE INDEX conversations_by_age ON conversations (kept_at)",
}
_MOST_BYTES = 32 << 20
_MOST_VALUE_BYTES = 1 << 16


def conversations_file(environ: Mapping[str, str] | None = None) -> Path | None:
    """Return the file of the user's conversations; ``None`` if ``SUNWELL_CONVERSATIONS`` is ``off``.

    See :func:`~sunwell.memory.user_database.state_file`.
    """
    return state_file(CONVERSATIONS_FILE, "SUNWELL_CONVERSATIONS", environ)


def digest_of_turns(key: str, about: Iterable[str], turns: Iterable[tuple[str, str]]) -> str:
    """Return the digest of a conversation of the client with *key*, as hexadecimal digits.

    *about* is what must be the same besides the texts, such as the model; *turns* are roles and texts in
    their order. Space around a text does not count: clients trim it.
    """
    made = sha256()
    for text in (key, *about, *(part for role, said in turns for part in (role, said.strip()))):
        data = text.encode("utf-8", "surrogatepass")
        made.update(b"%d:" % len(data))  # so that no two lists of texts are one text
        made.update(data)
    return made.hexdigest()


@attrs.define(eq=False)
class ConversationStore:
    """Runs by conversation, in a file that several processes may use at once.

    It never raises for what is wrong with the file: it calls *warn* once, with a sentence, and from then on
    finds nothing and keeps nothing. Each method blocks for at most half a second.
    """

    file: Path | None
    """``None``: nothing is kept."""
    warn: Callable[[str], None] = attrs.field(kw_only=True)
    clock: Callable[[], float] = attrs.field(default=time.time, kw_only=True)
    """Seconds since 1970."""
    kept: int = attrs.field(default=KEPT_CONVERSATIONS, kw_only=True)
    """Most rows in the file."""
    _trouble: SpareFile = attrs.field(init=False)

    @_trouble.default
    def _of_conversations(self) -> SpareFile:
        return SpareFile("conversations", "set SUNWELL_CONVERSATIONS=off", self.warn, bears_others=True)

    def find(self, digest: str) -> str | None:
        """Return the run that was kept last under *digest*; ``None`` if there is none."""
        if self.file is None or not self._trouble.is_usable:
            return None
        database, found = self._database(self.file), None
        with self._trouble.being("read", database), database.reading() as opened:
            if opened is not None:
                asked = "SELECT run_id FROM conversations WHERE digest = ?"
                found = opened[0].execute(asked, (digest,)).fetchone()
        run_id = found[0] if found else None
        return run_id if isinstance(run_id, str) else None

    def keep(self, digest: str, run_id: str) -> None:
        """Keep *run_id* under *digest*, in place of another one."""
        if self.file is None or not self._trouble.is_usable:
            return
        database = self._database(self.file)
        with self._trouble.being("written", database), database.writing() as connection:
            connection.execute(
                f"INSERT OR REPLACE INTO conversations ({', '.join(_COLUMNS)}) VALUES (?, ?, ?)",
                (digest, self.clock(), run_id),
            )
            beyond = "SELECT digest FROM conversations ORDER BY kept_at DESC, digest LIMIT -1 OFFSET ?"
            connection.execute(f"DELETE FROM conversations WHERE digest IN ({beyond})", (self.kept,))

    def _database(self, file: Path) -> GrowingDatabase:
        return GrowingDatabase(
            file,
            _FORMAT,
            _SCHEMA,
            _LONGEST_SECONDS,
            _MOST_BYTES,
            _MOST_VALUE_BYTES,
            columns={"conversations": frozenset(_COLUMNS)},
            older={},
        )
