"""A run that goes on from a place in another one, with something changed; the other run stays as it is."""

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Self

import attrs

from sunwell.agent.lifecycle.authority import CallerTerms, batch_now, options_now, require_task_checks
from sunwell.agent.lifecycle.drift import files_clause
from sunwell.agent.lifecycle.equipment import Equipment
from sunwell.agent.lifecycle.model_roles import Roles
from sunwell.agent.lifecycle.open_run import (
    RunStart,
    chosen_checks,
    hashes_of,
    learn_keys,
    require_approver,
)
from sunwell.agent.lifecycle.run_settings import batch_in, latest_settings
from sunwell.agent.run.asked_contexts import AskedContexts, GivenAgain
from sunwell.agent.run.files_seen import CONTEXT, SCOUTING, FilesSeen
from sunwell.context.options import RunOptions
from sunwell.context.session import SessionContext
from sunwell.core.tool import ToolExecutor
from sunwell.errors import JournalError
from sunwell.journal.layout import new_run_id
from sunwell.journal.places import Journals
from sunwell.journal.protocol import Journal
from sunwell.journal.records import (
    Continued,
    Forked,
    Note,
    Quoted,
    Record,
    Refused,
    RunOpened,
    ToolFinished,
)
from sunwell.tools.environment import secrets_from_environment


@attrs.frozen
class Cut:
    """A place in a run: the span, and the first of its calls that is made anew."""

    span: str
    number: int = 0

    @classmethod
    def of(cls, text: str) -> Self:
        """Read ``SPAN`` or ``SPAN:CALL``; calls count from 0, as in :class:`Answer`."""
        span, colon, number = text.rpartition(":")
        return cls(span, int(number)) if colon and number.isdecimal() else cls(text)

    def __str__(self) -> str:
        return f"{self.span}:{self.number}"


def divide(records: Sequence[Record], cut: Cut) -> tuple[list[Record], list[Record]]:
    """Return the records of work that a run which begins anew at *cut* keeps, and the others.

    It keeps what came before, and whole branches beside it that had begun by then: they did not
    wait for it. Raises :exc:`~sunwell.errors.JournalError` where the run has no such place.
    """
    begun: dict[str, int] = {}
    at = None
    for order, record in enumerate(records):
        path = getattr(record, "span", None)
        if path is None:
            continue
        begun.setdefault(_branch(path, cut.span), order)
        if at is None and path == cut.span and _place(record) is not None and _is_anew(record, cut):
            at = order
    if at is None:
        raise JournalError(_no_such_place(records, cut))
    kept: list[Record] = []
    left: list[Record] = []
    for order, record in enumerate(records):
        path = getattr(record, "span", None)
        if path is not None:
            # A fork may have other models: its quote is its own.
            stays = not isinstance(record, Refused | Quoted) and _stays(record, path, cut, order < at, begun)
            stays = stays and begun[_branch(path, cut.span)] < at if _is_beside(path, cut.span) else stays
            (kept if stays else left).append(record)
    return kept, left


def _stays(record: Record, path: str, cut: Cut, is_before: bool, begun: dict[str, int]) -> bool:
    if path == cut.span:
        return not _is_anew(record, cut)
    if path.startswith(f"{cut.span}/"):
        return is_before and cut.number > 0
    return is_before or _is_beside(path, cut.span)


def _is_anew(record: Record, cut: Cut) -> bool:
    """Whether a record of the cut span itself is of a call that is made anew, or of what came of it."""
    place = _place(record)
    if place is not None:
        return place >= cut.number
    return cut.number == 0 or not (isinstance(record, Note) and record.name in (CONTEXT, SCOUTING))


def _place(record: Record) -> int | None:
    """Return the number of the call, or of the turn, which in the span of a piece of work is the same."""
    place = getattr(record, "number", getattr(record, "turn", None))
    return place if isinstance(place, int) else None


def _is_beside(path: str, span: str) -> bool:
    return path != span and not path.startswith(f"{span}/") and not span.startswith(f"{path}/")


def _branch(path: str, span: str) -> str:
    """Return the part of *path* down to where it leaves the way to *span*."""
    names, others = path.split("/"), span.split("/")
    same = next((i for i, (a, b) in enumerate(zip(names, others, strict=False)) if a != b), None)
    return path if same is None else "/".join(names[: same + 1])


def _no_such_place(records: Iterable[Record], cut: Cut) -> str:
    spans: dict[str, int] = {}
    for record in records:
        path, place = getattr(record, "span", None), _place(record)
        if path is not None and place is not None:
            spans[path] = max(spans.get(path, 0), place)
    known = ", ".join(f"{path}:0" + (f" to {last}" if last else "") for path, last in spans.items())
    return f"the run has no call {cut.number} in {cut.span!r}; it has {known or 'no calls'}"


@attrs.frozen
class Fork:
    """What a fork is made of."""

    workspace: Path
    run_id: str
    cut: Cut
    terms: CallerTerms = CallerTerms()
    again: GivenAgain | None = None
    """Of a question."""


async def open_fork(
    journals: Journals,
    fork: Fork,
    equipment: Equipment,
    resolve: Callable[[RunOptions], Roles],
) -> tuple[RunStart, SessionContext, Roles]:
    """Make the journal of a new run with what *fork* keeps, and return it ready to go on.

    Raises :exc:`~sunwell.errors.JournalError` where there is no such run or place, and where the
    files are not as they were there, unless that is accepted.
    """
    source = journals.read(fork.workspace, fork.run_id)
    records = list(source.records())
    recorded = records[0]
    assert isinstance(recorded, RunOpened)
    settings = latest_settings(records)
    options = options_now(settings, fork.terms, equipment)
    batch = batch_in(settings)
    if batch is not None:  # the recorded file is the other run's: a fork writes only to one that is named
        batch = attrs.evolve(batch, results=None)
    require_task_checks(settings, batch, fork.terms)
    batch, _ = batch_now(batch, fork.workspace, fork.terms.results, is_finished=False)
    session = SessionContext.build(fork.workspace, recorded.task, options)
    roles = resolve(options)
    kept, left = divide(records, fork.cut)
    secrets = learn_keys(secrets_from_environment(), roles)
    executor = equipment.executor_for(session, source, secrets)
    require_approver(settings, executor)
    if not fork.terms.accept_changes:
        await _check_files(kept, left, executor, fork)
    equipment.require_sandbox(session)
    checks = chosen_checks(session, batch, secrets, settings)
    if checks is not None:
        checks.require_sandbox()
    journal = journals.create(fork.workspace, new_run_id())
    tools = equipment.executor_for(session, journal, secrets)
    start = RunStart(
        journal,
        tools,
        secrets,
        equipment,
        settings=settings,
        batch=batch,
        heed_refusals=False,
        checks=checks,
        asked=AskedContexts.again(settings.get("asked"), fork.workspace, fork.again),
    )
    now = start.settings_now(session, roles)
    origin = {"run_id": source.run_id, "at": str(fork.cut)}
    begun = [record for record in records if isinstance(record, Continued)]
    first = start.first_record(session, {**now, "forked": origin})
    await _copy(journal, first, [*begun, *kept], _forked(source.run_id, fork))
    return attrs.evolve(start, settings=now, lens_only=bool(settings.get("lens_only"))), session, roles


async def _check_files(
    kept: Iterable[Record], left: Iterable[Record], executor: ToolExecutor, fork: Fork
) -> None:
    files = FilesSeen(hashes_of(executor))
    for record in kept:
        files.see(record)
    for record in left:
        if isinstance(record, ToolFinished):
            files.expect_as_before(record.result)
    if changed := await files.changed_since():
        raise JournalError(
            f"the workspace is not as it was at {fork.cut}: {files_clause(changed)}; put that back "
            f"(sunwell undo {fork.run_id} puts all back to before the run), or take the files as they are "
            "with --accept-changes"
        )


def _forked(run_id: str, fork: Fork) -> Forked:
    return Forked(run_id, fork.cut.span, fork.cut.number, time.time(), fork.terms.accept_changes)


async def _copy(journal: Journal, first: RunOpened, kept: Iterable[Record], forked: Forked) -> None:
    try:
        for record in (first, *kept):
            await journal.append(record, durable=False)
        await journal.append(forked)
    except BaseException:
        journal.close()
        raise
