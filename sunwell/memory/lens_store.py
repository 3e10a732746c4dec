"""Lenses that were written before, kept for later runs in one SQLite table.

A row has a lens, for what it was written, by whom and for whom, and the hashes of the files that it rests on.
Whether it fits another run is not decided here. Who keeps a lens has replaced known secrets in it.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import attrs

from sunwell.core.lens import EphemeralLens
from sunwell.memory.growing_database import GrowingDatabase
from sunwell.memory.user_database import DatabaseError, SpareFile, state_file

if TYPE_CHECKING:
    from sqlite3 import Connection

KEPT_LENSES = 500
"""Most lenses in the file; those that were used longest ago leave first."""
KEPT_OF_A_TASK = 4
"""Most lenses for one task with one need: a workspace may go to and fro between a few states."""
LENSES_FILE = "lenses.sqlite3"
TRIAL_VERDICT, TRIAL_HARMS = "verdict", "harms"
"""Under this name a trial says what it found; with this value the lens is not used again."""
_LONGEST_SECONDS = 0.5
_FORMAT = 1
_COLUMNS = (
    "id", "kept_at", "used_at", "scope", "kind", "task", "task_sha256", "needs", "files", "lens", "items",
    "cost", "trial",
)  # fmt: skip
_SCHEMA = {
    "lenses": "CREATE TABLE lenses (id TEXT PRIMARY KEY NOT NULL, kept_at REAL NOT NULL, "
    "used_at REAL NOT NULL, scope TEXT NOT NULL, kind TEXT NOT NULL, task TEXT NOT NULL, "
    "task_sha256 TEXT NOT NULL, needs TEXT NOT NULL, files TEXT NOT NULL, lens TEXT NOT NULL, "
    "items TEXT, cost TEXT, trial TEXT)",
    "lenses_of_a_kind": "CREATE INDEX lenses_of_a_kind ON lenses (scope, kind, kept_at)",
    "lenses_by_use": "CREATE INDEX lenses_by_use ON lenses (used_at)",
}
_MOST_BYTES = 128 << 20
_MOST_VALUE_BYTES = 1 << 20
_MOST_ROW_BYTES = 200_000
"""A lens with its files and items that is longer than this is not kept."""
_MOST_FOUND = 100
_USED_AGAIN_SECONDS = 3_600.0
"""A use is noted only so long after the last one: reading should seldom have to write."""
_Written = TypeVar("_Written")
_IDLE = "~"
"""Before the hash of a file that a lens does not rest on: to a version that does not know it, it is another
file, so that the lens is not used there."""
LONGEST_TASK = 4_000
"""Characters of a task that are kept; its hash is that of all of it."""


@attrs.frozen(kw_only=True)
class KeptLens:
    """A lens in the store."""

    lens: EphemeralLens
    """Without the prompt that its model answered."""
    task: str
    """What it was written for, in at most 4,000 characters."""
    task_sha256: str
    """Of the whole task."""
    kind: str
    """Of the task, as :func:`~sunwell.agent.policy.task_kinds.kind_of` tells it."""
    scope: str
    """Hash of the workspace's path; empty: it was written from no files, so that any will do."""
    needs: Mapping[str, Any]
    """JSON values: what else must be the same of a run that uses it, such as models and prompts."""
    files: Mapping[str, str | None]
    """SHA-256 of each file that it rests on, by path; ``None``: there was no such file."""
    idle: Mapping[str, str] = attrs.field(factory=dict)
    """SHA-256 of each file that its writer saw besides, and that it does not rest on."""
    items: tuple[Mapping[str, Any], ...] = ()
    """The items into which its task falls, as JSON values; empty: it is one piece."""
    cost_usd: Decimal | None = None
    """What writing it cost; ``None``: unknown."""
    kept_at: float = 0.0
    """Seconds since 1970."""
    used_at: float = 0.0
    trial: Mapping[str, Any] | None = None
    """What a trial said of it, as JSON values; ``None``: there was none."""
    id: str = ""
    """Made of what it is, and when it was kept; empty before that."""

    @property
    def harms(self) -> bool:
        """Whether a trial found that work is worse under it."""
        return self.trial is not None and self.trial.get(TRIAL_VERDICT) == TRIAL_HARMS


def lenses_file(environ: Mapping[str, str] | None = None) -> Path | None:
    """Return the file of the user's lenses; ``None`` if ``SUNWELL_LENSES`` is ``off``.

    See :func:`~sunwell.memory.user_database.state_file`.
    """
    return state_file(LENSES_FILE, "SUNWELL_LENSES", environ)


@attrs.define(eq=False)
class LensStore:
    """Lenses in a file that many processes may read and write at once.

    It never raises for what is wrong with the file: it calls *warn* once, with a sentence, and from then on
    finds nothing and keeps nothing. Each method blocks for at most *longest_seconds*: a kept lens is a
    saving, for which no run waits. A file is used only if it is the user's alone, and has nothing but plain
    tables.
    """

    file: Path | None
    """``None``: nothing is kept."""
    warn: Callable[[str], None] = attrs.field(kw_only=True)
    clock: Callable[[], float] = attrs.field(default=time.time, kw_only=True)
    """Seconds since 1970."""
    kept: int = attrs.field(default=KEPT_LENSES, kw_only=True)
    """Most lenses in the file."""
    longest_seconds: float = attrs.field(default=_LONGEST_SECONDS, kw_only=True)
    """How long one call may take, waiting for others that write included."""
    _trouble: SpareFile = attrs.field(init=False)

    @_trouble.default
    def _of_lenses(self) -> SpareFile:
        return SpareFile("lenses", "use --no-lens-store", self.warn)

    def find(self, scope: str, kind: str, task_sha256: str = "") -> tuple[KeptLens, ...]:
        """Return the lenses for tasks of *kind* in the workspace *scope*, and in any; the latest first.

        Those for the task with the hash *task_sha256* come before all others. At most 100; those that a trial
        found to harm are among them.
        """
        return self._read(
            "WHERE scope IN (?, '') AND kind = ? ORDER BY task_sha256 = ? DESC, kept_at DESC, id LIMIT ?",
            (scope, kind, task_sha256, _MOST_FOUND),
        )

    def all(self) -> tuple[KeptLens, ...]:
        """Return all lenses, the latest first."""
        return self._read("ORDER BY kept_at DESC, id", ())

    def get(self, lens_id: str) -> KeptLens | None:
        """Return the lens with the whole id *lens_id*; ``None`` if there is none."""
        found = self._read("WHERE id = ?", (lens_id,))
        return found[0] if found else None

    def keep(self, made: KeptLens) -> KeptLens | None:
        """Keep *made* as of now and return it with its id; ``None`` if it is too long or cannot be kept.

        Older ones for the same task and needs leave if there are more than four, and of all lenses those that
        were used longest ago.
        """
        now = self.clock()
        made = attrs.evolve(made, kept_at=now, used_at=now, trial=None)
        made = attrs.evolve(made, id=_id_of(made))
        row = _row(made)
        if self.file is None or sum(len(value) for value in row if isinstance(value, str)) > _MOST_ROW_BYTES:
            return None
        marks = ", ".join("?" * len(_COLUMNS))

        def write(connection: "Connection") -> KeptLens:
            insert = f"INSERT OR REPLACE INTO lenses ({', '.join(_COLUMNS)}) VALUES ({marks})"
            connection.execute(insert, row)
            self._make_room(connection, made)
            return made

        return self._write(write)

    def use(self, kept: KeptLens) -> None:
        """Note that *kept* was used, unless that was noted within the last hour."""
        now = self.clock()
        if now - kept.used_at > _USED_AGAIN_SECONDS:
            self._execute("UPDATE lenses SET used_at = ? WHERE id = ?", (now, kept.id))

    def note_trial(self, lens_id: str, trial: Mapping[str, Any] | None) -> bool:
        """Note what a *trial* of the lens said, in place of an earlier one; false if there is no such lens.

        The trial is an object of JSON values. One whose ``verdict`` is ``harms`` keeps runs from using the
        lens. ``None`` takes back what was noted.
        """
        text = None if trial is None else _json(trial)
        return bool(self._execute("UPDATE lenses SET trial = ? WHERE id = ?", (text, lens_id)))

    def drop(self, ids: Iterable[str]) -> int:
        """Delete the lenses with these *ids*; return how many there were."""
        return sum(self._execute("DELETE FROM lenses WHERE id = ?", (one,)) for one in ids)

    def drop_all(self) -> int:
        """Delete all lenses; return how many there were."""
        return self._execute("DELETE FROM lenses", ())

    def _execute(self, statement: str, values: Sequence[Any]) -> int:
        """Write by one *statement*; return how many lenses it was about: none if there is no file."""

        def write(connection: "Connection") -> int:
            return int(connection.execute(statement, values).rowcount)

        return self._write(write, makes_file=False) or 0

    def _read(self, condition: str, values: Sequence[Any]) -> tuple[KeptLens, ...]:
        if self.file is None or not self._trouble.is_usable:
            return ()
        found: list[KeptLens] = []
        database = self._database(self.file)
        with self._trouble.being("read", database), database.reading() as opened:
            if opened is not None:
                connection, require_time = opened
                for row in connection.execute(
                    f"SELECT {', '.join(_COLUMNS)} FROM lenses {condition}", values
                ):
                    require_time()
                    found.append(_kept(row))
        return tuple(found) if self._trouble.is_usable else ()

    def _write(
        self, write: Callable[["Connection"], _Written], *, makes_file: bool = True
    ) -> _Written | None:
        """Return what *write* does with the open file; ``None`` if nothing is kept, or that failed.

        If there is no file, one is made with *makes_file*; else there is nothing to do.
        """
        if self.file is None or not self._trouble.is_usable:
            return None
        written = None
        database = self._database(self.file)
        with self._trouble.being("written", database):
            if not makes_file and not database.is_there():
                return None
            with database.writing() as connection:
                written = write(connection)
        return written if self._trouble.is_usable else None

    def _make_room(self, connection: "Connection", made: KeptLens) -> None:
        same = "scope = ? AND kind = ? AND task_sha256 = ? AND needs = ?"
        of_task = (made.scope, made.kind, made.task_sha256, _json(made.needs))
        latest = f"SELECT id FROM lenses WHERE {same} ORDER BY kept_at DESC, id LIMIT ?"
        connection.execute(
            f"DELETE FROM lenses WHERE {same} AND id NOT IN ({latest})", (*of_task, *of_task, KEPT_OF_A_TASK)
        )
        beyond = "SELECT id FROM lenses ORDER BY used_at DESC, id LIMIT -1 OFFSET ?"
        connection.execute(f"DELETE FROM lenses WHERE id IN ({beyond})", (self.kept,))

    def _database(self, file: Path) -> GrowingDatabase:
        return GrowingDatabase(
            file,
            _FORMAT,
            _SCHEMA,
            self.longest_seconds,
            _MOST_BYTES,
            _MOST_VALUE_BYTES,
            columns={"lenses": frozenset(_COLUMNS)},
            older={},
        )


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _id_of(made: KeptLens) -> str:
    """Return the id of *made*: 16 hexadecimal digits."""
    return sha256(_json([part for part in _row(made) if part != ""]).encode()).hexdigest()[:16]


def _lens_fields(lens: EphemeralLens) -> dict[str, Any]:
    fields = attrs.asdict(lens)
    del fields["generation_prompt"]  # it holds tens of kilobytes of sources
    return fields


def _row(made: KeptLens) -> tuple[Any, ...]:
    return (
        made.id,
        made.kept_at,
        made.used_at,
        made.scope,
        made.kind,
        _storable(made.task[:LONGEST_TASK]),
        made.task_sha256,
        _json(made.needs),
        _json({**{path: _IDLE + digest for path, digest in made.idle.items()}, **made.files}),
        _json(_lens_fields(made.lens)),
        _json(made.items) if made.items else None,
        None if made.cost_usd is None else str(made.cost_usd),
        None if made.trial is None else _json(made.trial),
    )


def _storable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _kept(row: Sequence[Any]) -> KeptLens:
    """Return the lens in *row*. Raises :exc:`DatabaseError` if it holds none: a column takes any value."""
    found = dict(zip(_COLUMNS, row, strict=True))
    texts = ("id", "scope", "kind", "task", "task_sha256", "needs", "files", "lens")
    times = (found["kept_at"], found["used_at"])
    is_sound = all(type(found[name]) is str for name in texts) and all(type(one) is float for one in times)
    if not is_sound or any(type(found[name]) not in (str, type(None)) for name in ("items", "cost", "trial")):
        raise DatabaseError("a row holds what is no lens")
    try:
        cost = None if found["cost"] is None else Decimal(found["cost"])
        seen = _files(json.loads(found["files"]))
        idle = {path: digest[1:] for path, digest in seen.items() if digest and digest[0] == _IDLE}
        made = KeptLens(
            lens=EphemeralLens(**json.loads(found["lens"])),
            items=tuple(_objects(json.loads(found["items"] or "[]"))),
            needs=_object(json.loads(found["needs"])),
            files={path: digest for path, digest in seen.items() if path not in idle},
            idle=idle,
            trial=None if found["trial"] is None else _object(json.loads(found["trial"])),
            cost_usd=cost,
            **{
                name: found[name]
                for name in ("id", "scope", "kind", "task", "task_sha256", "kept_at", "used_at")
            },
        )
    except (ArithmeticError, TypeError, ValueError, RecursionError):
        raise DatabaseError("a row holds what is no lens") from None
    if made.lens.is_empty or (cost is not None and not (cost.is_finite() and cost >= 0)):
        raise DatabaseError("a row holds what is no lens")
    return made


def _object(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise TypeError("not an object")
    return value


def _objects(value: Any) -> Iterator[Mapping[str, Any]]:
    if not isinstance(value, list):
        raise TypeError("not a list")
    yield from map(_object, value)


def _files(value: Any) -> Mapping[str, str | None]:
    files = _object(value)
    if not all(isinstance(digest, str | None) for digest in files.values()):
        raise TypeError("not a digest")
    return files
