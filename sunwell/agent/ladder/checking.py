"""Has the checks look at finished work, at a moment when nobody writes, and records what they found."""

import asyncio
import time
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Self

import attrs

from sunwell.agent.ladder.workers_at_work import WorkersAtWork
from sunwell.agent.run.run_context import Ending, Run, Work
from sunwell.agent.workers.slots import Seat
from sunwell.core.check import Check, Checking, Verdict
from sunwell.core.message import FileChange, digest_of, net_changes
from sunwell.core.model import Completion, ModelProtocol, Request
from sunwell.core.span import Span
from sunwell.core.task import CommandRun
from sunwell.events import CHECK_FINISHED, CHECK_STARTED, CheckFinished, CheckStarted
from sunwell.journal.records import Checked

if TYPE_CHECKING:  # most runs have no checks, and do not load their room
    from sunwell.checks.suite import ChosenChecks

_NAMED = 20
NOBODY_CHECKS = "no commands may run here, so the check was not run"
OUT_OF_TIME = "the time limit was reached before the checks had ended"


@attrs.frozen(kw_only=True)
class WorkDone:
    """Work that is to be checked, as the harness saw it."""

    task: str
    answer: str
    files: tuple[FileChange, ...] = ()
    """Files that the work has changed, each once."""
    commands: tuple[CommandRun, ...] = ()
    models: tuple[str, ...] = ()
    turns: int = 0
    unfinished: tuple[str, ...] = ()
    """Siblings in the same folder that are still at work, by their ids."""

    @property
    def digest(self) -> str:
        """What tells this work from the same work when it has gone on."""
        changes = [f"{change.path} {change.after}" for change in self.files]
        commands = [f"{run.command} {run.exit_code}" for run in self.commands]
        return digest_of(self.answer, str(self.turns), *changes, *commands).hex()[:16]

    @classmethod
    def of(
        cls,
        task: str,
        answer: str,
        works: Sequence[Work],
        models: tuple[str, ...],
    ) -> Self:
        """Return what *models* did for *task* in *works*, in their order."""
        return cls(
            task=task,
            answer=answer,
            files=net_changes([change for work in works for change in work.calls.changes]),
            commands=tuple(command for work in works for command in work.calls.commands),
            models=models,
            turns=sum(work.turns for work in works),
        )


@attrs.define(eq=False)
class Checker:
    """Checks the work on one task, as often as it is asked to."""

    run: Run
    span: Span
    """The task."""
    own: tuple[Check | str, ...] = ()
    """Checks of this task alone, besides those of the run."""
    siblings: WorkersAtWork = attrs.field(factory=WorkersAtWork)
    worker_id: str = ""
    seat: Seat | None = None
    """The slot of a worker of a batch; ``None``: it has no siblings."""
    judges: tuple[ModelProtocol, ...] = ()
    """Models that may judge; one that did the work comes last."""
    checks: "ChosenChecks | None" = attrs.field(
        default=attrs.Factory(lambda self: self.run.checks, takes_self=True)
    )
    """What runs the checks; ``None``: nobody can, and only what is on record is known."""
    pauses: bool = True
    """Whether a failure that siblings may have caused is looked at again when all of them pause."""
    out_of_time: bool = attrs.field(default=False, init=False)
    """Whether the time limit of the run ended the checks: what they would have found is not known."""
    _made: int = attrs.field(default=0, init=False)

    @property
    def names(self) -> tuple[str, ...]:
        """What the checks are called, without known secrets: a command may have one in it."""
        names = () if self.checks is None else self.checks.names(self.own)
        return tuple(map(self.run.gateway.redact, names))

    async def check(self, done: WorkDone, rung: str = "") -> tuple[Checked, bool]:
        """Return what the checks find of *done*, and whether they looked just now; *rung* pays for it.

        If others were at work in the folder, a failure is looked at once more when all of them pause.
        """
        others = () if self.seat is None else self.siblings.others(self.worker_id)
        found = await self._once(attrs.evolve(done, unfinished=others), rung)
        if self.seat is None or found[0].passed is not False or not found[0].unfinished:
            return found
        if not self.pauses:
            return found
        async with self.siblings.all_pause(self.worker_id, self.seat):
            return await self._once(attrs.evolve(done, unfinished=()), rung)

    def in_time(self, ended: Ending) -> Ending:
        """Return *ended*, which is incomplete if no time was left to check it."""
        if not self.out_of_time or ended.status != "ok":
            return ended
        return attrs.evolve(ended, status="incomplete", stop_reason="timeout", error=OUT_OF_TIME)

    async def _once(self, done: WorkDone, rung: str) -> tuple[Checked, bool]:
        number, self._made = self._made, self._made + 1
        if rung:
            self.run.tally.label(f"{self.span.path}/check-{number}", rung)
        return await self._looked(number, done)

    async def _looked(self, number: int, done: WorkDone) -> tuple[Checked, bool]:
        """Return what the checks find when they look for the *number*-th time, from 0.

        If that is on record, the record counts: the files may be different by now.
        """
        run, span = self.run, self.span
        recorded = run.journal.find(Checked, (span.path, number))
        if recorded is not None and recorded.work == done.digest:
            run.tell(CHECK_FINISHED, _finished(recorded, replayed=True))
            return recorded, False
        clock = asyncio.get_running_loop().time
        begun = clock()
        try:
            async with (
                run.time_limits.limit(partial(run.ledger.seconds_left, span.path)),
                run.quiet.checking(),
            ):
                run.tell(CHECK_STARTED, CheckStarted(span.path, self.names))
                begun = clock()
                verdict = Verdict(None, NOBODY_CHECKS)
                if self.checks is not None:
                    with run.noting_left_behind():
                        verdict = await self.checks.verdict(self._checking(number, done), self.own)
        except TimeoutError:
            self.out_of_time = True
            verdict = Verdict(None, f"{OUT_OF_TIME}: resume the run with more time to check it")
        seconds = clock() - begun
        made = Checked(
            span.path,
            number,
            self.names,
            verdict.passed,
            run.gateway.redact(_with_unfinished(verdict.evidence, done.unfinished)),
            verdict.cost_usd,
            done.unfinished,
            seconds,
            time.time(),
            done.digest,
            tuple(map(run.gateway.redact, verdict.missed)),
            tuple(map(run.gateway.redact, verdict.left_behind)),
        )
        if not self.out_of_time:
            await run.journal.append(made, durable=False)  # a resume without it checks again
        run.tell(CHECK_FINISHED, _finished(made))
        run.note_left_behind(made.left_behind)
        return made, not self.out_of_time

    def _checking(self, number: int, done: WorkDone) -> Checking:
        run, terms = self.run, self.run.ladder_terms
        at = Span(f"{self.span.path}/check-{number}", 0)

        async def ask(request: Request, model: ModelProtocol) -> Completion:
            return await run.gateway.ask(at, model, request, purpose="check")

        judges = [model for model in self.judges if model.name not in done.models]
        return Checking(
            task=done.task,
            answer=done.answer,
            files=done.files,
            commands=done.commands,
            models=done.models,
            workspace=None if terms.workspace is None else terms.workspace.root,
            unfinished=done.unfinished,
            secrets=terms.secrets,
            ask=ask,
            judges=(*judges, *(model for model in self.judges if model.name in done.models)),
        )


def _with_unfinished(evidence: str, unfinished: Sequence[str]) -> str:
    """Return *evidence* with a sentence on siblings whose half-done files the checks may have seen."""
    if not unfinished:
        return evidence
    more = f" and {len(unfinished) - _NAMED:,} more" if len(unfinished) > _NAMED else ""
    return f"Still at work in the same folder: {', '.join(unfinished[:_NAMED])}{more}.\n{evidence}"


def _finished(record: Checked, *, replayed: bool = False) -> CheckFinished:
    return CheckFinished(
        record.span,
        record.by,
        record.passed,
        record.evidence,
        record.duration_seconds,
        replayed,
        missed=record.missed,
    )
