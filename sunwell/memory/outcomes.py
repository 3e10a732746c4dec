"""Outcomes of the rungs of ladders: counted by kind of task, and kept for later runs in one SQLite table.

A row says that a rung with a model passed or failed a check on a task of some kind. No text of a task or a
result is in it.
"""

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from sunwell.core.user_folders import state_folder
from sunwell.journal.user_state import file_doubt, state_doubt

if TYPE_CHECKING:
    from sqlite3 import Connection

KEPT_OUTCOMES = 100
"""Outcomes of one kind that count, the latest ones: what was not tried for so long is unknown again."""
_LONGEST_SECONDS = 0.5
_FORMAT = 1
_SCHEMA = {
    "outcomes": "CREATE TABLE outcomes (id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, "
    "rung TEXT NOT NULL, model TEXT NOT NULL, after TEXT NOT NULL, passed INTEGER, cost TEXT, "
    "at REAL NOT NULL)",
    "outcomes_of_a_kind": "CREATE INDEX outcomes_of_a_kind ON outcomes (kind, id)",
}
_OF_SQLITE = {"sqlite_sequence": "CREATE TABLE sqlite_sequence(name,seq)"}
"""What SQLite adds by itself."""
_MOST_BYTES = 32 << 20
_MOST_VALUE_BYTES = 100_000
_STEPS = 1_000
"""Steps of SQLite's machine between two looks at the clock: well below a millisecond."""
_COLUMNS = "kind, rung, model, after, passed, cost, at"
_OFF = frozenset({"0", "off", "no", "false"})


@attrs.frozen
class RungOutcome:
    """One try of a rung."""

    kind: str
    """Of the task, as :func:`~sunwell.agent.policy.task_kinds.kind_of` tells it."""
    rung: str
    model: str
    after: str
    """The rungs that failed before, as :func:`~sunwell.agent.policy.rung_outcomes.after_of` writes them."""
    passed: bool | None
    """``None``: the check could not tell, so it is no try."""
    cost_usd: Decimal | None
    at: float
    """Seconds since 1970."""


@attrs.frozen
class OutcomeCount:
    """Outcomes of one rung, counted."""

    tries: int = 0
    passes: int = 0
    cost_usd: Decimal | None = None
    """Mean of the known costs, also of tries that no check decided; ``None``: none is known."""


@attrs.define
class _Tally:
    tries: int = 0
    passes: int = 0
    costs: int = 0
    cost_usd: Decimal = Decimal(0)

    def move(self, outcome: RungOutcome, by: int) -> None:
        if outcome.passed is not None:
            self.tries += by
            self.passes += by * outcome.passed
        if outcome.cost_usd is not None:
            self.costs += by
            self.cost_usd += by * outcome.cost_usd


def _count(tallies: Iterable[_Tally]) -> OutcomeCount:
    tries = passes = costs = 0
    usd = Decimal(0)
    for tally in tallies:
        tries, passes = tries + tally.tries, passes + tally.passes
        costs, usd = costs + tally.costs, usd + tally.cost_usd
    return OutcomeCount(tries, passes, usd / costs if costs else None)


@attrs.define(eq=False)
class KnownOutcomes:
    """The latest outcomes of each kind of task, counted. Pure: it reads and writes nothing."""

    kept: int = KEPT_OUTCOMES
    """Most outcomes of a kind that count."""
    _latest: dict[str, deque[RungOutcome]] = attrs.field(factory=dict, init=False)
    _tallies: dict[tuple[str, str], dict[str, dict[str, _Tally]]] = attrs.field(factory=dict, init=False)
    """By rung and model, then kind, then what failed before."""

    def add(self, outcome: RungOutcome) -> None:
        """Count *outcome*; the oldest of its kind no longer counts if there are too many."""
        latest = self._latest.setdefault(outcome.kind, deque())
        latest.append(outcome)
        self._tally(outcome).move(outcome, 1)
        if len(latest) > self.kept:
            oldest = latest.popleft()
            self._tally(oldest).move(oldest, -1)

    def counts(self, kind: str) -> Mapping[tuple[str, str, str], OutcomeCount]:
        """Return what is known of *kind*, by rung, model and what failed before."""
        return {
            (*rung, after): _count([tally])
            for rung, kinds in self._tallies.items()
            for after, tally in kinds.get(kind, {}).items()
            if tally.tries or tally.costs
        }

    def count(self, kind: str, rung: str, model: str, after: str) -> OutcomeCount:
        """Return the outcomes of a rung on *kind* after exactly these failures."""
        tally = self._kinds(rung, model).get(kind, {}).get(after)
        return _count([tally] if tally else [])

    def count_otherwise(self, kind: str, rung: str, model: str, after: str) -> OutcomeCount:
        """Return the outcomes of a rung on *kind* after other failures than these."""
        afters = self._kinds(rung, model).get(kind, {})
        return _count(tally for other, tally in afters.items() if other != after)

    def count_elsewhere(self, kind: str, rung: str, model: str) -> OutcomeCount:
        """Return the outcomes of a rung on all kinds but *kind*, whatever failed before."""
        kinds = self._kinds(rung, model)
        return _count(tally for other, afters in kinds.items() if other != kind for tally in afters.values())

    def _kinds(self, rung: str, model: str) -> dict[str, dict[str, _Tally]]:
        return self._tallies.get((rung, model), {})

    def _tally(self, outcome: RungOutcome) -> _Tally:
        kinds = self._tallies.setdefault((outcome.rung, outcome.model), {})
        return kinds.setdefault(outcome.kind, {}).setdefault(outcome.after, _Tally())


def outcomes_file(environ: Mapping[str, str] | None = None) -> Path | None:
    """Return the file of the user's outcomes, which may not exist.

    ``None`` if ``SUNWELL_OUTCOMES`` is ``off``. The file is in ``SUNWELL_HOME`` if that is set, otherwise in
    the platform's folder for the state of programs.
    """
    read = os.environ if environ is None else environ
    if read.get("SUNWELL_OUTCOMES", "").strip().lower() in _OFF:
        return None
    return state_folder(read) / "outcomes.sqlite3"


@attrs.define(eq=False)
class OutcomeStore:
    """Outcomes in a file that many processes may read and write at once.

    It never raises for what is wrong with the file: it calls *warn* once, with a sentence, and from then on
    reads nothing and writes nothing. Both methods block for at most *longest_seconds*: outcomes are a hint,
    for which no run waits. A file is used only if it is the user's alone, and its schema is exactly that of
    this version: a view or a trigger that somebody else put there would be run.
    """

    file: Path | None
    """``None``: nothing is kept."""
    warn: Callable[[str], None] = attrs.field(kw_only=True)
    kept: int = attrs.field(default=KEPT_OUTCOMES, kw_only=True)
    """Most outcomes of one kind in the file; older ones are deleted."""
    longest_seconds: float = attrs.field(default=_LONGEST_SECONDS, kw_only=True)
    """How long one call may take, waiting for others that write included."""
    _is_usable: bool = attrs.field(default=True, init=False)

    def read(self) -> KnownOutcomes:
        """Return the outcomes in the file; none if there is no file or it cannot be used."""
        known = KnownOutcomes(self.kept)
        if self.file is None or not self._is_usable:
            return known
        found: list[RungOutcome] = []
        with self._warned("read"):
            if not _is_there(self.file):
                return known
            with _opened(self.file, self.longest_seconds) as (connection, require_time):
                connection.execute("PRAGMA query_only = ON")
                connection.execute("BEGIN")  # the schema that is looked at is the one that is read
                if _has_table(connection):
                    for row in connection.execute(f"SELECT {_COLUMNS} FROM outcomes ORDER BY id"):
                        require_time()
                        found.append(_outcome(row))
        for outcome in found:
            known.add(outcome)
        return known

    def record(self, outcomes: Iterable[RungOutcome]) -> None:
        """Write *outcomes*, all or none, and delete those of their kinds that are too old to count."""
        rows = [_row(outcome) for outcome in outcomes]
        if self.file is None or not self._is_usable or not rows:
            return
        with self._warned("written"):
            if not _is_there(self.file):
                self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                os.close(os.open(self.file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
            with _opened(self.file, self.longest_seconds) as (connection, _):
                # IMMEDIATE: two processes that both read first and then write would block each other.
                connection.execute("BEGIN IMMEDIATE")
                if not _has_table(connection):
                    _make_table(connection)
                self._write(connection, rows)
                connection.execute("COMMIT")

    def _write(self, connection: "Connection", rows: Sequence[tuple[Any, ...]]) -> None:
        connection.executemany(f"INSERT INTO outcomes ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
        for kind in sorted({row[0] for row in rows}):
            connection.execute(
                "DELETE FROM outcomes WHERE kind = ? AND id <= "
                "(SELECT id FROM outcomes WHERE kind = ? ORDER BY id DESC LIMIT 1 OFFSET ?)",
                (kind, kind, self.kept),
            )

    @contextmanager
    def _warned(self, done: str) -> Iterator[None]:
        """Turn what is wrong with the file into one warning."""
        from sqlite3 import Error

        try:
            yield
        except (Error, OSError, UnicodeError, _FileError) as error:
            self._is_usable = False
            said = error.strerror if isinstance(error, OSError) else str(error)
            advice = "Move the file away, or set SUNWELL_OUTCOMES=off"
            if getattr(error, "sqlite_errorname", "") == "SQLITE_BUSY":
                said, advice = "another program was writing it", "Nothing needs to be done"
            elif getattr(error, "sqlite_errorname", "") == "SQLITE_INTERRUPT":
                said = f"it took longer than {self.longest_seconds:g} s"
            self.warn(
                f"outcomes of rungs cannot be {done}: {self.file}: {said}; the run goes on without them. "
                f"{advice}"
            )


def _is_there(file: Path) -> bool:
    """Whether there is a *file* that is the user's alone. Raises :exc:`_FileError` if there is another."""
    if said := state_doubt(file.parent):
        raise _FileError(said)
    try:
        status = file.lstat()
    except FileNotFoundError:
        return False
    said = file_doubt(status)
    if not said and status.st_nlink > 1:  # the other one may be in a workspace, where commands write
        said = "has another name (a hard link), under which something else can change it"
    if said:
        raise _FileError(f"it {said}")
    if status.st_size > _MOST_BYTES:
        raise _FileError(f"it has more than {_MOST_BYTES >> 20} MB")
    return True


@contextmanager
def _opened(file: Path, longest_seconds: float) -> "Iterator[tuple[Connection, Callable[[], None]]]":
    """Open a file that exists, for at most *longest_seconds*; what is not committed is undone.

    The function beside the connection raises :exc:`_FileError` if the time is up.
    """
    import sqlite3

    until = time.monotonic() + longest_seconds

    def require_time() -> None:
        if time.monotonic() > until:
            raise _FileError(f"it took longer than {longest_seconds:g} s")

    # No write-ahead log: it needs shared memory, which a home folder on a network does not have.
    address = f"{file.absolute().as_uri()}?mode=rw"
    connection = sqlite3.connect(address, uri=True, timeout=longest_seconds, isolation_level=None)
    try:
        # A statement that does not end, or a schema that takes for ever to parse, is broken off.
        connection.set_progress_handler(lambda: time.monotonic() > until, _STEPS)
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MOST_VALUE_BYTES)
        # As SQLite advises for files that others may have made: functions in a schema are not trusted.
        for pragma in ("trusted_schema = OFF", "cell_size_check = ON", "mmap_size = 0"):
            connection.execute(f"PRAGMA {pragma}")
        yield connection, require_time
    finally:
        connection.close()


class _FileError(Exception):
    """The file is not what this version writes."""


def _has_table(connection: "Connection") -> bool:
    """Whether the table is there. Raises :exc:`_FileError` if anything else is, or in another form."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version not in (0, _FORMAT):
        raise _FileError(f"it has format {version}, and the installed version knows format {_FORMAT}")
    # Read from SQLite's own table, which cannot be a view. One row more than there may be.
    limit = len(_SCHEMA) + len(_OF_SQLITE) + 1
    found = connection.execute("SELECT name, sql FROM sqlite_master LIMIT ?", (limit,)).fetchall()
    expected = {**_SCHEMA, **_OF_SQLITE} if version == _FORMAT else {}
    if len(found) != len(expected) or dict(found) != expected:
        raise _FileError("its tables are not those that Sunwell makes")
    return bool(version == _FORMAT)


def _make_table(connection: "Connection") -> None:
    for statement in _SCHEMA.values():
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {_FORMAT}")


def _row(outcome: RungOutcome) -> tuple[Any, ...]:
    passed = None if outcome.passed is None else int(outcome.passed)
    cost = None if outcome.cost_usd is None else str(outcome.cost_usd)
    return (outcome.kind, outcome.rung, outcome.model, outcome.after, passed, cost, outcome.at)


def _outcome(row: tuple[Any, ...]) -> RungOutcome:
    kind, rung, model, after, passed, cost, at = row
    try:
        cost_usd = None if cost is None else Decimal(cost)
    except (ArithmeticError, TypeError, ValueError):
        raise _FileError(f"a cost is not a number: {str(cost)[:40]!r}") from None
    if passed not in (None, 0, 1) or (cost_usd is not None and not cost_usd.is_finite()):
        raise _FileError("a row holds what is no outcome")
    is_passed = None if passed is None else bool(passed)
    return RungOutcome(str(kind), str(rung), str(model), str(after), is_passed, cost_usd, at)
