"""A small SQLite file of the user's, which several processes use at once and which others cannot plant."""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from sunwell.core.user_folders import state_folder
from sunwell.journal.user_state import file_doubt, state_doubt

if TYPE_CHECKING:
    from sqlite3 import Connection

_STEPS = 1_000
"""Steps of SQLite's machine between two looks at the clock: well below a millisecond."""


class DatabaseError(Exception):
    """The file is not what this version writes, or not the user's alone; the text is a clause."""


@attrs.frozen
class UserDatabase:
    """A file with one schema. It is used only if it is the user's alone, and has exactly this schema.

    A view or a trigger that somebody else put there would be run. What is wrong raises
    :exc:`DatabaseError`, :exc:`sqlite3.Error` or :exc:`OSError`, which :class:`SpareFile` puts into words.
    """

    file: Path
    format: int
    schema: Mapping[str, str]
    """The statement that makes each table and index, by its name; also what SQLite adds by itself."""
    longest_seconds: float
    """How long one opening may take, waiting for others that write included."""
    most_bytes: int
    most_value_bytes: int
    by_sqlite: frozenset[str] = frozenset()
    """Names in the schema that SQLite adds by itself."""

    def is_there(self) -> bool:
        """Whether there is a file that is the user's alone. Raises :exc:`DatabaseError` for another one."""
        if said := state_doubt(self.file.parent):
            raise DatabaseError(said)
        try:
            status = self.file.lstat()
        except FileNotFoundError:
            return False
        said = file_doubt(status)
        if not said and status.st_nlink > 1:  # the other one may be in a workspace, where commands write
            said = "has another name (a hard link), under which something else can change it"
        if said:
            raise DatabaseError(f"it {said}")
        if status.st_size > self.most_bytes:
            raise DatabaseError(f"it has more than {self.most_bytes >> 20} MB")
        return True

    @contextmanager
    def reading(self) -> "Iterator[tuple[Connection, Callable[[], None]] | None]":
        """Open the file; ``None`` if there is none, or nothing is in it yet.

        The function beside the connection raises :exc:`DatabaseError` if the time is up.
        """
        if not self.is_there():
            yield None
            return
        with self._opened() as (connection, require_time):
            connection.execute("PRAGMA query_only = ON")
            connection.execute("BEGIN")  # the schema that is looked at is the one that is read
            yield (connection, require_time) if self.has_tables(connection) else None

    @contextmanager
    def writing(self) -> "Iterator[Connection]":
        """Open the file, which is made if it is not there; what the body does is kept as a whole or not."""
        if not self.is_there():
            self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(self.file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        with self._opened() as (connection, _):
            # IMMEDIATE: two processes that both read first and then write would block each other.
            connection.execute("BEGIN IMMEDIATE")
            if not self.has_tables(connection):
                self.make_tables(connection)
            yield connection
            connection.execute("COMMIT")

    def make_tables(self, connection: "Connection") -> None:
        """Make all tables in a new file."""
        for name, statement in self.schema.items():
            if name not in self.by_sqlite:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {self.format}")

    @contextmanager
    def _opened(self) -> "Iterator[tuple[Connection, Callable[[], None]]]":
        """Open a file that exists; what is not committed is undone."""
        import sqlite3

        until = time.monotonic() + self.longest_seconds

        def require_time() -> None:
            if time.monotonic() > until:
                raise DatabaseError(f"it took longer than {self.longest_seconds:g} s")

        # No write-ahead log: it needs shared memory, which a home folder on a network does not have.
        address = f"{self.file.absolute().as_uri()}?mode=rw"
        connection = sqlite3.connect(address, uri=True, timeout=self.longest_seconds, isolation_level=None)
        try:
            # A statement that does not end, or a schema that takes for ever to parse, is broken off.
            connection.set_progress_handler(lambda: time.monotonic() > until, _STEPS)
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, self.most_value_bytes)
            # As SQLite advises for files that others may have made: functions in a schema are not trusted.
            for pragma in ("trusted_schema = OFF", "cell_size_check = ON", "mmap_size = 0"):
                connection.execute(f"PRAGMA {pragma}")
            yield connection, require_time
        finally:
            connection.close()

    def has_tables(self, connection: "Connection") -> bool:
        """Whether the tables are there. Raises :exc:`DatabaseError` if anything else is, or another form."""
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version not in (0, self.format):
            raise DatabaseError(
                f"it has format {version}, and the installed version knows format {self.format}"
            )
        # Read from SQLite's own table, which cannot be a view. One row more than there may be.
        limit = len(self.schema) + 1
        found = connection.execute("SELECT name, sql FROM sqlite_master LIMIT ?", (limit,)).fetchall()
        expected = dict(self.schema) if version == self.format else {}
        if len(found) != len(expected) or dict(found) != expected:
            raise DatabaseError("its tables are not those that Sunwell makes")
        return bool(version == self.format)


@attrs.define(eq=False)
class SpareFile:
    """A file of the user's without which a run goes on: what is wrong with it is one warning."""

    what: str
    """What is in it, for the warning."""
    instead: str
    """How it is turned off, for the warning."""
    warn: Callable[[str], None]
    bears_others: bool = False
    """Whether it is used again after another program was writing it, and that is not told."""
    is_usable: bool = attrs.field(default=True, init=False)
    """False once it was warned of: then nobody reads or writes it any more."""

    @contextmanager
    def being(self, done: str, database: UserDatabase) -> Iterator[None]:
        """Turn what is wrong with *database* into the warning that its file cannot be *done*."""
        from sqlite3 import Error

        try:
            yield
        except (Error, OSError, UnicodeError, DatabaseError) as error:
            others = _is_busy(error)
            if not self.is_usable or (others and self.bears_others):
                return
            self.is_usable = False
            said = f"{database.file}: {_said_of(error, database.longest_seconds)}"
            advice = "Nothing needs to be done" if others else f"Move the file away, or {self.instead}"
            self.warn(f"{self.what} cannot be {done}: {said}; the run goes on without them. {advice}")


_OFF = frozenset({"0", "off", "no", "false"})


def state_file(name: str, switch: str, environ: Mapping[str, str] | None = None) -> Path | None:
    """Return the user's file *name*, which may not exist; ``None`` if the variable *switch* is ``off``.

    It is in ``SUNWELL_HOME`` if that is set, otherwise in the platform's folder for the state of programs.
    Raises :exc:`~sunwell.errors.ConfigurationError` if there is neither that nor a home.
    """
    read = os.environ if environ is None else environ
    return None if read.get(switch, "").strip().lower() in _OFF else state_folder(read) / name


def _is_busy(error: Exception) -> bool:
    return getattr(error, "sqlite_errorname", "") == "SQLITE_BUSY"


def _said_of(error: Exception, longest_seconds: float) -> str:
    """Return what is wrong, as a clause."""
    if _is_busy(error):
        return "another program was writing it"
    if getattr(error, "sqlite_errorname", "") == "SQLITE_INTERRUPT":
        return f"it took longer than {longest_seconds:g} s"
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
