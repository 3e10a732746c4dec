"""All runs of a workspace: a row for each, and what they come to."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs

from sunwell.context.kinds import read_value
from sunwell.core.verdict import Verification
from sunwell.errors import JournalError
from sunwell.journal.layout import RunFile, opened_runs, runs_in
from sunwell.journal.ownership import foreign_warning, is_own, key_or_doubt
from sunwell.journal.reading import read_records
from sunwell.journal.records import Forked, Record, RunClosed, RunOpened, RunResumed
from sunwell.journal.retention import is_running
from sunwell.journal.tree import tree
from sunwell.report.page.page_data import FORMAT, Usd
from sunwell.report.verdict_text import verdict_sentence

SHOWN_TASK_CHARACTERS = 400
"""What the page shows of a task; the page of the run has it whole."""


_LEAST_CAP = Decimal("1e-40")
"""As for all amounts in a journal: with all its digits, a smaller one would be a text without an end."""


@attrs.frozen
class OverviewRow:
    """A run in the list of all runs. What is unknown of a damaged run is as if there were none of it."""

    run_id: str
    status: str
    """As in ``sunwell runs``: ``damaged`` if the journal cannot be read."""
    journal: str
    """Path of its file."""
    started_at: float | None = None
    task: str = ""
    verdict: str = ""
    """The sentence that the terminal prints; empty: there was no check, or the run has not ended."""
    verified: bool | None = None
    """``None``: there was no check, or it could not tell."""
    usd: Usd = None
    """What this run paid: calls that a fork has copied cost it nothing."""
    unconfirmed_usd: Usd = Decimal(0)
    """Upper bound for attempts that may be billed and brought no usage."""
    cap_usd: Usd = None
    """``None``: no cap."""
    calls: int = 0
    """Answered calls that this run paid for."""
    tool_calls: int = 0
    models: tuple[str, ...] = ()
    """Those that answered or were asked, in the order of the tree."""
    continues: str = ""
    """The run whose conversation it goes on with."""
    forked_from: str = ""
    foreign: bool = False
    """Whether the run was not started by this user on this machine."""
    error: str = ""
    """Why a damaged run cannot be read."""


@attrs.frozen
class OverviewTotals:
    """What all runs of a workspace come to."""

    runs: int
    by_status: Mapping[str, int]
    usd: Decimal
    """Of the runs whose cost is known."""
    unconfirmed_usd: Decimal
    """Of the runs in which it is known."""
    unpriced: int
    """Runs of which an amount is unknown, damaged ones included: that is missing in the sums."""
    calls: int
    tool_calls: int


@attrs.frozen
class Overview:
    """What the page of all runs shows."""

    workspace: str
    totals: OverviewTotals
    note: str
    """Why runs cannot be told from those of others; empty: they can."""
    runs: Mapping[str, OverviewRow]
    """By id, newest first."""
    format: int = FORMAT


def overview(root: Path) -> Overview:
    """Return all runs under the workspace *root*. Each journal is read once, and no two at the same time.

    A run that cannot be read is a row that says why. Raises :exc:`~sunwell.errors.JournalError` if the folder
    of runs is a link, no folder, or another user's.
    """
    key, doubt = key_or_doubt()
    rows = {row.run_id: _cut(row) for row in run_rows(root, key)}
    note = foreign_warning(doubt) if doubt and rows else ""
    return Overview(str(root.resolve()), _totals(rows.values()), note, rows)


def run_rows(
    root: Path, key: bytes | None, note: Callable[[Record], object] = lambda _: None
) -> Iterator[OverviewRow]:
    """Yield a row for each run under the workspace *root*, newest first, with its whole task.

    *key* is that of the user; ``None``: all runs are foreign. *note* gets each record of a run before its row
    is yielded. Raises as :func:`overview` does.
    """
    with opened_runs(root) as folder:
        for run in () if folder is None else reversed(runs_in(root, folder)):
            try:
                row = _row(run, folder, key, note)
            except JournalError as error:
                row = OverviewRow(run.run_id, "damaged", str(run.path), error=str(error))
            yield row


def _row(
    run: RunFile, folder: int | None, key: bytes | None, note: Callable[[Record], object]
) -> OverviewRow:
    first: list[bytes] = []
    seen = _PassingRecords(note)
    root = tree(seen.all_of(read_records(run.path, first=first.append, runs=folder)))
    kinds = Counter(node.type for node in root.walk() if node.type != "call" or node.status == "answered")
    models = (node.model for node in root.walk() if node.type == "call")
    cost_usd, found = root.total_cost_usd, seen.verification
    status = root.status or ""
    return OverviewRow(
        run.run_id,
        "running" if status == "open" and is_running(run, runs=folder) else status,
        str(run.path),
        started_at=root.started_at,
        task=root.query or "",
        verdict="" if found is None else verdict_sentence(found, cost_usd),
        verified=None if found is None else found.passed,
        usd=cost_usd,
        unconfirmed_usd=root.total_uncertain_usd,
        cap_usd=seen.cap_usd,
        calls=kinds["call"],
        tool_calls=kinds["tool"],
        models=tuple(dict.fromkeys(model for model in models if model)),
        continues=seen.continues,
        forked_from=seen.forked_from,
        foreign=not is_own(run, first[0], key),
    )


@attrs.define
class _PassingRecords:
    """Notes what the tree of a run does not tell, while the records pass."""

    note: Callable[[Record], object]
    continues: str = ""
    forked_from: str = ""
    verification: Verification | None = None
    cap_usd: Decimal | None = None

    def all_of(self, records: Iterable[Record]) -> Iterator[Record]:
        for record in records:
            self.note(record)
            match record:
                case RunOpened():
                    self.continues = record.continues
                    self.cap_usd = _cap(record.settings)
                case RunResumed():
                    self.verification = None
                    self.cap_usd = _cap(record.settings) if record.settings else self.cap_usd
                case Forked():
                    self.forked_from = record.run_id
                case RunClosed():
                    self.verification = record.verification
            yield record


def _cap(settings: Mapping[str, Any]) -> Decimal | None:
    """Return the cap in *settings*, which others may have written; older ones have tables in tables."""
    options = settings.get("options")
    if not isinstance(options, Mapping):
        return None
    budget = options.get("budget")
    value = options.get("budget_usd", budget.get("usd") if isinstance(budget, Mapping) else None)
    try:
        found: Decimal | None = read_value(value, Decimal) if isinstance(value, str) else None
    except (ValueError, ArithmeticError):
        return None
    if not found:
        return found if found is None else Decimal(0)
    return found if found > _LEAST_CAP else None


def _cut(row: OverviewRow) -> OverviewRow:
    task = row.task
    if len(task) <= SHOWN_TASK_CHARACTERS:
        return row
    return attrs.evolve(row, task=f"{task[: SHOWN_TASK_CHARACTERS - 1]}…")


def _totals(rows: Iterable[OverviewRow]) -> OverviewTotals:
    given = tuple(rows)
    paid = [row.usd for row in given if row.usd is not None]
    doubtful = [row.unconfirmed_usd for row in given if row.unconfirmed_usd is not None]
    return OverviewTotals(
        runs=len(given),
        by_status=Counter(row.status for row in given),
        usd=sum(paid, Decimal(0)),
        unconfirmed_usd=sum(doubtful, Decimal(0)),
        unpriced=sum(row.usd is None or row.unconfirmed_usd is None for row in given),
        calls=sum(row.calls for row in given),
        tool_calls=sum(row.tool_calls for row in given),
    )
