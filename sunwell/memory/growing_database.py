"""A small SQLite file of the user's to which newer versions may add, and which older ones still read."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

import attrs

from sunwell.memory.user_database import DatabaseError, UserDatabase

if TYPE_CHECKING:
    from sqlite3 import Connection

ABOUT = "about"
LEAST_READER = "least_reader"
_ABOUT_SQL = f"CREATE TABLE {ABOUT} (name TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL)"
_SEQUENCE = ("sqlite_sequence", "CREATE TABLE sqlite_sequence(name,seq)")
_MOST_PARTS = 64
_MOST_SQL = 4_000

_NAME = r"[a-z_][a-z0-9_]{0,63}"
_NAMES = rf"\({_NAME}(?:, {_NAME}){{0,31}}\)"
_LITERAL = r"(?:-?[0-9]{1,15}(?:\.[0-9]{1,15})?|'[a-zA-Z0-9_ .:-]{0,100}'|NULL)"
_COLUMN = (
    rf"{_NAME} (?:INTEGER|REAL|TEXT|BLOB)(?: PRIMARY KEY(?: AUTOINCREMENT)?)?(?: NOT NULL)?"
    rf"(?: DEFAULT {_LITERAL})?"
)
_TABLE = re.compile(
    rf"CREATE TABLE (?P<name>{_NAME}) \({_COLUMN}(?:, {_COLUMN}){{0,63}}(?:, PRIMARY KEY {_NAMES})?\)"
    "(?: WITHOUT ROWID)?"
)
_INDEX = re.compile(rf"CREATE (?:UNIQUE )?INDEX (?P<name>{_NAME}) ON {_NAME} {_NAMES}")


@attrs.frozen
class GrowingDatabase(UserDatabase):
    """A file that several versions of Sunwell use. The rule that makes it possible:

    - There are tables and indexes of plain columns, and nothing else: no view, no trigger, no generated
      column, no expression. Whatever else is there would be run, so such a file is not used.
    - A newer version may add columns that have a default, tables and indexes. It may not remove or change
      any, or change what a value means, unless it raises the *least reader*.
    - A version reads and writes the columns that it knows, and names them. It keeps up all tables that it
      knows.
    - The table ``about`` has the format of the oldest version that may use the file, the least reader. A
      version with a lower format leaves the file alone, with a sentence.

    ``PRAGMA user_version`` is the format of the newest version that has written it.
    """

    columns: Mapping[str, frozenset[str]] = attrs.field(kw_only=True)
    """What this version reads and writes, by table."""
    older: Mapping[int, Mapping[str, str]] = attrs.field(kw_only=True)
    """The exact schema of each format from before this rule, which is brought up when it is written."""

    def format_of(self, connection: "Connection") -> int:
        """Return the format of the newest version that has written the file; 0: nothing is in it."""
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        return int(version)

    def make_tables(self, connection: "Connection") -> None:
        """Make all tables in a new file."""
        super().make_tables(connection)
        self.tell_about(connection)

    def tell_about(self, connection: "Connection") -> None:
        """Write down the format of the file, which has the tables of this version, and its least reader."""
        connection.execute(_ABOUT_SQL)
        connection.execute(
            f"INSERT INTO {ABOUT} (name, value) VALUES (?, ?)", (LEAST_READER, str(self.format))
        )
        connection.execute(f"PRAGMA user_version = {self.format}")

    def has_tables(self, connection: "Connection") -> bool:
        """Whether the tables are there. Raises :exc:`DatabaseError` for a file that the rule excludes."""
        version = self.format_of(connection)
        found = connection.execute(
            "SELECT type, name, sql FROM sqlite_master LIMIT ?", (_MOST_PARTS + 1,)
        ).fetchall()
        if version == 0 and not found:
            return False
        if version in self.older:
            if {name: sql for _, name, sql in found} != dict(self.older[version]):
                raise DatabaseError("its tables are not those that Sunwell makes")
            return True
        self._require_reader(connection, version, found)
        if len(found) > _MOST_PARTS or not all(_is_plain(*part) for part in found):
            raise DatabaseError("its tables are not those that Sunwell makes")
        for table, columns in self.columns.items():
            there = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
            if not columns <= there:
                raise DatabaseError(f"its table {table} is not one that Sunwell makes")
        return True

    def _require_reader(
        self, connection: "Connection", version: int, found: "list[tuple[str, str, str | None]]"
    ) -> None:
        """Raise :exc:`DatabaseError` if the file is not for this version."""
        least = str(version)
        if any(part[:2] == ("table", ABOUT) and _is_plain(*part) for part in found):
            asked = f"SELECT value FROM {ABOUT} WHERE name = ?"
            (least,) = connection.execute(asked, (LEAST_READER,)).fetchone() or (least,)
        if not (isinstance(least, str) and least.isascii() and least.isdecimal() and len(least) < 9):
            raise DatabaseError("it does not say which versions may read it")
        if int(least) > self.format:
            raise DatabaseError(
                f"it was written by a newer version, which older ones cannot read (format {least}; the "
                f"installed version knows format {self.format})"
            )


def _is_plain(kind: str, name: str, sql: str | None) -> bool:
    """Whether a part of a schema is a table or an index of plain columns."""
    if sql is None:  # SQLite's own index of a primary key
        return kind == "index" and name.startswith("sqlite_autoindex_")
    if (name, sql) == _SEQUENCE:
        return kind == "table"
    form = {"table": _TABLE, "index": _INDEX}.get(kind)
    made = None if form is None or len(sql) > _MOST_SQL else form.fullmatch(sql)
    return made is not None and made["name"] == name
