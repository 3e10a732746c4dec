"""Outcomes kept for later runs, in one SQLite file of the user's."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from sunwell.memory.growing_database import GrowingDatabase
from sunwell.memory.outcomes import (
    KEPT_OUTCOMES,
    CountedAt,
    KnownOutcomes,
    OutcomeSums,
    Ratio,
    WorkOutcome,
    sums_of,
)
from sunwell.memory.user_database import DatabaseError, SpareFile, state_file

if TYPE_CHECKING:
    from sqlite3 import Connection

MOST_OUTCOMES = 100_000
"""Outcomes in the file, of all kinds together; the oldest leave first. They take about 8 MB."""
FORMAT = 2
_LONGEST_SECONDS = 0.5
_MOST_BYTES = 512 << 20  # a million outcomes have 76 MB; only what is asked for is read
_MOST_VALUE_BYTES = 100_000
_MOST_SUMS = 4_096
_MOST_DELETED = 1_000
_PAGE = 5_000

_SEQUENCE = {"sqlite_sequence": "CREATE TABLE sqlite_sequence(name,seq)"}
_INDEX = {"outcomes_of_a_kind": "CREATE INDEX outcomes_of_a_kind ON outcomes (kind, id)"}
_FIRST_COLUMNS = {
    "id": "INTEGER PRIMARY KEY AUTOINCREMENT",
    "kind": "TEXT NOT NULL",
    "rung": "TEXT NOT NULL",
    "model": "TEXT NOT NULL",
    "after": "TEXT NOT NULL",
    "passed": "INTEGER",
    "cost": "TEXT",
    "at": "REAL NOT NULL",
}
_LATER_COLUMNS = {
    "lens": "INTEGER NOT NULL DEFAULT 0",
    "output": "INTEGER",
    "expected": "INTEGER",
    "quoted": "TEXT",
}
_SUM_KEY = dict.fromkeys(("kind", "rung", "model", "after"), "TEXT NOT NULL") | {"lens": "INTEGER NOT NULL"}
_SUM_VALUES = {
    "tries": "INTEGER NOT NULL",
    "passes": "INTEGER NOT NULL",
    "costs": "INTEGER NOT NULL",
    "cost": "TEXT NOT NULL",
    "outputs": "INTEGER NOT NULL",
    "output": "INTEGER NOT NULL",
    "sizes": "INTEGER NOT NULL",
    "size_log": "REAL NOT NULL",
    "size_square": "REAL NOT NULL",
    "prices": "INTEGER NOT NULL",
    "price_log": "REAL NOT NULL",
    "price_square": "REAL NOT NULL",
}


def _table(name: str, columns: Mapping[str, str], more: str = "") -> str:
    return f"CREATE TABLE {name} ({', '.join(f'{column} {of}' for column, of in columns.items())}{more})"


_SUMS_SQL = _table("sums", _SUM_KEY | _SUM_VALUES, f", PRIMARY KEY ({', '.join(_SUM_KEY)})")
_FIRST_FORMAT = {"outcomes": _table("outcomes", _FIRST_COLUMNS), **_INDEX, **_SEQUENCE}
_SCHEMA = {
    "outcomes": _table("outcomes", _FIRST_COLUMNS | _LATER_COLUMNS),
    "sums": _SUMS_SQL,
    **_INDEX,
    **_SEQUENCE,
}
_COLUMNS = tuple(name for name in (*_FIRST_COLUMNS, *_LATER_COLUMNS) if name != "id")
_SUM_COLUMNS = (*_SUM_KEY, *_SUM_VALUES)


def outcomes_file(environ: Mapping[str, str] | None = None) -> Path | None:
    """Return the file of the user's outcomes; ``None`` if ``SUNWELL_OUTCOMES`` is ``off``.

    See :func:`~sunwell.memory.user_database.state_file`.
    """
    return state_file("outcomes.sqlite3", "SUNWELL_OUTCOMES", environ)


@attrs.define(eq=False)
class OutcomeStore:
    """Outcomes in a file that many processes, also of other versions, may read and write at once.

    It never raises for what is wrong with the file: it calls *warn* once, with a sentence, and from then on
    reads nothing and writes nothing. Each call blocks for at most *longest_seconds*: outcomes are a hint,
    for which no run waits. A file is used only if it is the user's alone, and keeps to the rule of
    :class:`~sunwell.memory.growing_database.GrowingDatabase`.

    The table ``outcomes`` has a row for each. The table ``sums`` has those that count, the latest of each
    kind, summed up by what they are counted under; a write makes those of its kinds anew.
    """

    file: Path | None
    """``None``: nothing is kept."""
    warn: Callable[[str], None] = attrs.field(kw_only=True)
    kept: int = attrs.field(default=KEPT_OUTCOMES, kw_only=True)
    """Most outcomes of one kind that count."""
    most: int = attrs.field(default=MOST_OUTCOMES, kw_only=True)
    """Most outcomes in the file; older ones are deleted."""
    longest_seconds: float = attrs.field(default=_LONGEST_SECONDS, kw_only=True)
    """How long one call may take, waiting for others that write included."""
    _trouble: SpareFile = attrs.field(init=False)

    @_trouble.default
    def _of_outcomes(self) -> SpareFile:
        return SpareFile("outcomes", "set SUNWELL_OUTCOMES=off", self.warn)

    def read(self, *kinds: str) -> KnownOutcomes:
        """Return the outcomes of *kinds* that count, and sums of those of all others.

        There are none if there is no file or it cannot be used.
        """
        known = KnownOutcomes(self.kept)
        self.read_into(known, *kinds)
        return known

    def read_into(self, known: KnownOutcomes, *kinds: str) -> None:
        """Have *known* take the outcomes of *kinds* that count, and the sums of kinds it has not taken."""
        if self.file is None or not self._trouble.is_usable:
            return
        rows: dict[str, list[WorkOutcome]] = {}
        others: dict[CountedAt, OutcomeSums] = {}
        database = self._database(self.file)
        with self._trouble.being("read", database), database.reading() as opened:
            if opened is not None:
                connection, require_time = opened
                others = self._sums(connection, require_time)
                rows = {kind: _latest(connection, kind, self.kept) for kind in kinds}
        for kind in kinds:
            known.take(kind, rows.get(kind, []))
        known.take_sums(others)

    def record(self, outcomes: Iterable[WorkOutcome]) -> None:
        """Write *outcomes*, all or none; the oldest leave if there are too many."""
        made = list(outcomes)
        if self.file is None or not self._trouble.is_usable or not made:
            return
        database = self._database(self.file)
        with self._trouble.being("written", database), database.writing() as connection:
            self._bring_up(connection)
            self._write(connection, made)

    def rows(self, kind: str | None = None) -> Iterator[WorkOutcome]:
        """Yield every outcome in the file, the oldest first; those of *kind* alone if it is given.

        They are read in parts, so that a slow reader holds nobody up.
        """
        last = 0
        while self.file is not None and self._trouble.is_usable:
            found: list[tuple[int, WorkOutcome]] = []
            database = self._database(self.file)
            with self._trouble.being("read", database), database.reading() as opened:
                if opened is not None:
                    found = _page(*opened, last, kind)
            yield from (outcome for _, outcome in found)
            if len(found) < _PAGE:
                return
            last, _ = found[-1]

    def forget(self, kind: str | None = None) -> int:
        """Delete the outcomes of *kind*, or all; return how many there were."""
        if self.file is None or not self._trouble.is_usable:
            return 0
        count, database = 0, self._database(self.file)
        with self._trouble.being("forgotten", database):
            if not database.is_there():
                return 0
            with database.writing() as connection:
                self._bring_up(connection)
                where, given = ("", ()) if kind is None else (" WHERE kind = ?", (kind,))
                connection.execute("PRAGMA secure_delete = ON")
                count = connection.execute(f"DELETE FROM outcomes{where}", given).rowcount
                connection.execute(f"DELETE FROM sums{where}", given)
        return count

    def _database(self, file: Path) -> GrowingDatabase:
        return GrowingDatabase(
            file,
            FORMAT,
            _SCHEMA,
            self.longest_seconds,
            _MOST_BYTES,
            _MOST_VALUE_BYTES,
            frozenset({"sqlite_sequence"}),
            columns={"outcomes": frozenset(("id", *_COLUMNS)), "sums": frozenset(_SUM_COLUMNS)},
            older={1: _FIRST_FORMAT},
        )

    def _bring_up(self, connection: "Connection") -> None:
        """Add to a file of the first format what it lacks; the lock of the writer is held."""
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version != 1:
            return
        for name, of in _LATER_COLUMNS.items():
            connection.execute(f"ALTER TABLE outcomes ADD COLUMN {name} {of}")
        connection.execute(_SUMS_SQL)
        for (kind,) in connection.execute("SELECT DISTINCT kind FROM outcomes").fetchall():
            self._sum_up(connection, kind)
        assert self.file is not None
        self._database(self.file).tell_about(connection)

    def _sums(
        self, connection: "Connection", require_time: Callable[[], None]
    ) -> dict[CountedAt, OutcomeSums]:
        """Return the sums of all kinds; those of a file of the first format are made of its rows."""
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version == 1:
            known = KnownOutcomes(self.kept)
            for row in connection.execute(f"{_select(connection)} ORDER BY id"):
                require_time()
                known.add(_outcome(row[1:]))
            return dict(known.places())
        asked = f"SELECT {', '.join(_SUM_COLUMNS)} FROM sums LIMIT ?"
        sums: dict[CountedAt, OutcomeSums] = {}
        for row in connection.execute(asked, (_MOST_SUMS,)):
            require_time()
            place, found = _sum(row)
            sums[place] = found
        return sums

    def _write(self, connection: "Connection", outcomes: Sequence[WorkOutcome]) -> None:
        marks = ", ".join("?" * len(_COLUMNS))
        connection.executemany(
            f"INSERT INTO outcomes ({', '.join(_COLUMNS)}) VALUES ({marks})", map(_row, outcomes)
        )
        kinds = {outcome.kind for outcome in outcomes}
        (newest,) = connection.execute("SELECT max(id) FROM outcomes").fetchone()
        old = connection.execute(
            "SELECT id, kind FROM outcomes WHERE id <= ? ORDER BY id LIMIT ?",
            (newest - self.most, _MOST_DELETED),
        ).fetchall()
        connection.executemany("DELETE FROM outcomes WHERE id = ?", [(number,) for number, _ in old])
        for kind in sorted(kinds | {kind for _, kind in old}):
            self._sum_up(connection, kind)

    def _sum_up(self, connection: "Connection", kind: str) -> None:
        """Write the sums of *kind* anew, from the outcomes that count."""
        connection.execute("DELETE FROM sums WHERE kind = ?", (kind,))
        marks = ", ".join("?" * len(_SUM_COLUMNS))
        connection.executemany(
            f"INSERT INTO sums ({', '.join(_SUM_COLUMNS)}) VALUES ({marks})",
            [_sum_row(*one) for one in sums_of(_latest(connection, kind, self.kept)).items()],
        )


def _select(connection: "Connection") -> str:
    """Return a statement that reads the columns of this version; what a file of the first format lacks is
    as it is in a row that does not say it."""
    there = {row[1] for row in connection.execute("PRAGMA table_info(outcomes)")}
    absent = {"lens": "0"}
    columns = [name if name in there else absent.get(name, "NULL") for name in _COLUMNS]
    return f"SELECT id, {', '.join(columns)} FROM outcomes"


def _latest(connection: "Connection", kind: str, count: int) -> list[WorkOutcome]:
    """Return the latest outcomes of *kind*, the oldest of them first."""
    asked = f"{_select(connection)} WHERE kind = ? ORDER BY id DESC LIMIT ?"
    found = connection.execute(asked, (kind, count)).fetchall()
    return [_outcome(row[1:]) for row in reversed(found)]


def _page(
    connection: "Connection", require_time: Callable[[], None], last: int, kind: str | None
) -> list[tuple[int, WorkOutcome]]:
    where, given = ("", ()) if kind is None else (" AND kind = ?", (kind,))
    found = []
    asked = f"{_select(connection)} WHERE id > ?{where} ORDER BY id LIMIT ?"
    for row in connection.execute(asked, (last, *given, _PAGE)):
        require_time()
        found.append((row[0], _outcome(row[1:])))
    return found


def _row(outcome: WorkOutcome) -> tuple[Any, ...]:
    passed = None if outcome.passed is None else int(outcome.passed)
    values = {
        "kind": outcome.kind,
        "rung": outcome.rung,
        "model": outcome.model,
        "after": outcome.after,
        "passed": passed,
        "cost": _written(outcome.cost_usd),
        "at": outcome.at,
        "lens": int(outcome.has_lens),
        "output": outcome.output_tokens,
        "expected": outcome.expected_tokens,
        "quoted": _written(outcome.quoted_usd),
    }
    return tuple(values[name] for name in _COLUMNS)


def _written(usd: Decimal | None) -> str | None:
    return None if usd is None else str(usd)


def _outcome(row: tuple[Any, ...]) -> WorkOutcome:
    kind, rung, model, after, passed, cost, at, lens, output, expected, quoted = row
    counts = (output, expected)
    if passed not in (None, 0, 1) or lens not in (0, 1) or not isinstance(at, int | float):
        raise DatabaseError("a row holds what is no outcome")
    if not all(one is None or (isinstance(one, int) and one >= 0) for one in counts):
        raise DatabaseError("a row holds what is no number of tokens")
    is_passed = None if passed is None else bool(passed)
    names = (str(kind), str(rung), str(model), str(after))
    return WorkOutcome(*names, is_passed, _usd(cost), at, bool(lens), output, expected, _usd(quoted))


def _usd(value: Any) -> Decimal | None:
    try:
        usd = None if value is None else Decimal(value)
    except (ArithmeticError, TypeError, ValueError):
        raise DatabaseError(f"a cost is not a number: {str(value)[:40]!r}") from None
    if usd is not None and not usd.is_finite():
        raise DatabaseError("a row holds what is no outcome")
    return usd


def _sum_row(place: CountedAt, sums: OutcomeSums) -> tuple[Any, ...]:
    size, price = sums.size, sums.price
    return (
        *place[:4],
        int(place[4]),
        sums.tries,
        sums.passes,
        sums.costs,
        str(sums.cost_usd),
        sums.outputs,
        sums.output_tokens,
        size.count,
        size.log_sum,
        size.square_sum,
        price.count,
        price.log_sum,
        price.square_sum,
    )


def _sum(row: tuple[Any, ...]) -> tuple[CountedAt, OutcomeSums]:
    kind, rung, model, after, lens, tries, passes, costs, cost, outputs, output = row[:11]
    ratios = row[11:]
    whole = (tries, passes, costs, outputs, output, ratios[0], ratios[3])
    if not all(isinstance(one, int) and one >= 0 for one in whole) or passes > tries or lens not in (0, 1):
        raise DatabaseError("a sum holds what is no count")
    if not all(isinstance(one, int | float) for one in ratios):
        raise DatabaseError("a sum holds what is no number")
    usd = _usd(cost) or Decimal(0)
    place = (str(kind), str(rung), str(model), str(after), bool(lens))
    sums = OutcomeSums(tries, passes, costs, usd, outputs, output, Ratio(*ratios[:3]), Ratio(*ratios[3:]))
    return place, sums
