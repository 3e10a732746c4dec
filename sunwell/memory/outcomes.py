"""Outcomes of the rungs of ladders: counted by kind of task, and kept for later runs in one SQLite table.

A row says that a rung with a model passed or failed a check on a task of some kind. No text of a task or a
result is in it.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from sunwell.core.user_folders import state_folder
from sunwell.memory.user_database import DatabaseError, UserDatabase, is_busy, said_of

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
    "sqlite_sequence": "CREATE TABLE sqlite_sequence(name,seq)",
}
_MOST_BYTES = 32 << 20
_MOST_VALUE_BYTES = 100_000
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
        with self._warned("read"), self._database(self.file).reading() as opened:
            if opened is not None:
                connection, require_time = opened
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
        with self._warned("written"), self._database(self.file).writing() as connection:
            self._write(connection, rows)

    def _database(self, file: Path) -> UserDatabase:
        return UserDatabase(
            file,
            _FORMAT,
            _SCHEMA,
            self.longest_seconds,
            _MOST_BYTES,
            _MOST_VALUE_BYTES,
            frozenset({"sqlite_sequence"}),
        )

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
        except (Error, OSError, UnicodeError, DatabaseError) as error:
            self._is_usable = False
            said = said_of(error, self.longest_seconds)
            advice = "Move the file away, or set SUNWELL_OUTCOMES=off"
            advice = "Nothing needs to be done" if is_busy(error) else advice
            self.warn(
                f"outcomes of rungs cannot be {done}: {self.file}: {said}; the run goes on without them. "
                f"{advice}"
            )


def _row(outcome: RungOutcome) -> tuple[Any, ...]:
    passed = None if outcome.passed is None else int(outcome.passed)
    cost = None if outcome.cost_usd is None else str(outcome.cost_usd)
    return (outcome.kind, outcome.rung, outcome.model, outcome.after, passed, cost, outcome.at)


def _outcome(row: tuple[Any, ...]) -> RungOutcome:
    kind, rung, model, after, passed, cost, at = row
    try:
        cost_usd = None if cost is None else Decimal(cost)
    except (ArithmeticError, TypeError, ValueError):
        raise DatabaseError(f"a cost is not a number: {str(cost)[:40]!r}") from None
    if passed not in (None, 0, 1) or (cost_usd is not None and not cost_usd.is_finite()):
        raise DatabaseError("a row holds what is no outcome")
    is_passed = None if passed is None else bool(passed)
    return RungOutcome(str(kind), str(rung), str(model), str(after), is_passed, cost_usd, at)
