"""How the work of a run is verified: checked once at its end, or carried up the ladder."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import attrs

from sunwell.agent.conversation.conversation import Assignment, Conversation
from sunwell.agent.ladder.checking import Checker, WorkDone
from sunwell.agent.ladder.climb import Climb, Climbed, Errand, not_passed
from sunwell.agent.ladder.climb_outcomes import ClimbOutcomes
from sunwell.agent.ladder.rungs import LadderModels, plan_rungs
from sunwell.agent.ladder.work_outcomes import keep_outcome_of_run, keep_outcome_of_worker
from sunwell.agent.ladder.workers_at_work import WorkersAtWork
from sunwell.agent.policy.estimator import estimate_output
from sunwell.agent.policy.task_kinds import kind_of
from sunwell.agent.run.decision import expected_output
from sunwell.agent.run.loop_config import DEFAULT_TURNS, LoopConfig
from sunwell.agent.run.run_context import Ending, Run, Work
from sunwell.agent.workers.dispatcher import Carried
from sunwell.agent.workers.worker import Worker
from sunwell.checks.suite import ChosenChecks
from sunwell.core.confinement import Confinement
from sunwell.core.secrets import Secrets
from sunwell.core.span import Span
from sunwell.core.task import Budget, Task, TaskResult
from sunwell.core.tool import ToolExecutor
from sunwell.core.verdict import Verification
from sunwell.journal.records import Checked, RungChosen
from sunwell.tools.toolbox import Toolbox
from sunwell.tools.workspace import Workspace


def workspace_of(executor: ToolExecutor | None) -> Workspace | None:
    """Return the workspace of *executor*, if it is a toolbox that has one."""
    found = getattr(executor, "workspace", None)
    return found if isinstance(found, Workspace) else None


def confinement_of(
    executor: ToolExecutor | None, checks: ChosenChecks | None, names: Iterable[str] | None
) -> Confinement:
    """Return how the commands are confined that *executor* and *checks* may run, of the tools *names*."""
    found = executor.confinement(names) if isinstance(executor, Toolbox) else Confinement()
    return found if checks is None else found.joined(checks.confinement)


def checks_of_loop(config: LoopConfig, executor: ToolExecutor | None) -> ChosenChecks | None:
    """Return the checks of a loop that runs by itself; their commands run where *executor* works.

    Raises :exc:`~sunwell.errors.ConfigurationError` if a command needs a sandbox and there is none.
    """
    if not config.has_checks:
        return None
    workspace = workspace_of(executor)
    made = ChosenChecks.of(config, Path.cwd() if workspace is None else workspace.root, Secrets())
    made.require_sandbox()
    return made


@attrs.define(eq=False)
class RunLadder:
    """The checks of one run, and its ladder if it has one.

    For a batch it carries out what each worker has begun, see
    :class:`~sunwell.agent.workers.dispatcher.Verifier`.
    """

    run: Run
    models: LadderModels
    climbs: bool
    """Whether work that fails its check goes up; if not, it is checked once."""
    checks: ChosenChecks | None = attrs.field(
        default=attrs.Factory(lambda self: self.run.checks, takes_self=True)
    )
    """What runs the checks: those of the run, or of its workers alone; ``None``: there are none."""
    pauses: bool = True
    """Whether a failure that siblings may have caused is looked at again when all of them pause."""
    siblings: WorkersAtWork = attrs.field(factory=WorkersAtWork, init=False)
    _workers: dict[str, str] = attrs.field(factory=dict, init=False)
    """Ids of workers, by the paths of their spans."""

    async def do_task(self) -> Ending:
        """Carry the task of the run up the ladder; leave what the checks found in the run."""
        run = self.run
        span = run.root.worker("work")
        first_span = span.child("cheap")
        if run.checks is not None:  # what a later rung is checked for is the work of all of them
            run.checks.own[span.path] = ()
        given = Assignment.of(run, first_span, self.models.worker, lens=run.lens, effort=run.config.effort)

        def first() -> Conversation:
            run.gateway.pin(first_span, self.models.worker)
            return Conversation(run, given, run.tools)

        turns = run.config.budget.turns
        errand = Errand(
            task=run.task,
            prompt=given.prompt,
            span=span,
            checker=self._checker(span),
            tools=run.tools,
            first=first,
            facts=given.facts,
            limits=Budget(turns=DEFAULT_TURNS if turns is None else None),
            has_lens=run.lens is not None,
        )
        climbed = await self._climb(errand, run.works)
        run.verification = climbed.verification
        return climbed.ended

    async def verify(self, ended: Ending) -> Ending:
        """Check once what the run has done when it *ended*; return the end that follows."""
        run = self.run
        is_checked = run.checks is not None or run.journal.find(Checked, (run.root.path, 0)) is not None
        if ended.status == "error" or not is_checked:
            return ended
        result = run.so_far_done(ended)
        done = WorkDone(
            task=run.task,
            answer=ended.answer,
            files=result.files,
            commands=result.commands,
            turns=result.turns,
            models=tuple(dict.fromkeys(line.model for line in result.bill.lines if line.purpose == "work")),
        )
        climbed, is_new = await _checked_once(self._checker(run.root), done, ended)
        run.verification = climbed.verification
        if is_new:
            await keep_outcome_of_run(run, self.models, climbed.verification.passed)
        return climbed.ended

    def __attrs_post_init__(self) -> None:
        if self.checks is not None:
            self.checks.at_work = self._beside

    def _beside(self, path: str) -> tuple[str, ...]:
        """Return who is at work besides the worker at *path*; nobody beside other work."""
        worker_id = self._workers.get(path)
        return () if worker_id is None else self.siblings.others(worker_id)

    def expect(self, worker: Worker) -> None:
        """Count *worker* as at work from now on."""
        self._workers[worker.span.path] = worker.id
        self.siblings.expect(worker.id)

    def left(self, worker: Worker) -> None:
        """Note that *worker* has ended."""
        self.siblings.left(worker.id)

    def told(self, worker: Worker) -> tuple[str, ...]:
        """Return what *worker* is told of the checks of its task alone."""
        return () if self.checks is None else self.checks.told(worker.task.check)

    def may_climb(self, worker: Worker) -> bool:
        """Whether the work of *worker* goes up if it fails its check."""
        return self.climbs and worker.terms.may_climb and self._has_checks(worker)

    def checks_task(self, task: Task) -> bool:
        """Whether *task* of a batch has a check, its own or one of the run."""
        return bool(task.check if self.checks is None else self.checks.for_task(task.check))

    def _has_checks(self, worker: Worker) -> bool:
        if self.checks_task(worker.task):
            return True
        # A run that is played again may be without the caller's own checks, but it has what they found.
        path = worker.span.path
        find = self.run.journal.find
        return find(RungChosen, (path, 0)) is not None or find(Checked, (path, 0)) is not None

    def _checker(self, span: Span, worker: Worker | None = None) -> Checker:
        models = (self.models.smart, self.models.second, self.models.worker)
        judges = tuple(model for model in models if model is not None)
        if worker is None:
            return Checker(self.run, span, judges=judges)
        own = worker.task.check
        return Checker(
            self.run,
            span,
            own,
            self.siblings,
            worker.id,
            worker.seat,
            judges,
            checks=self.checks,
            pauses=self.pauses,
        )

    async def carry_out(self, worker: Worker, first: Conversation, limits: Budget) -> Carried:
        """Carry out what *worker* has begun in *first*, and verify it. *limits* hold for each rung."""
        checker = self._checker(worker.span, worker)
        if not self.may_climb(worker):
            worker.works.append(first)
            ended = await first.to_the_end()
            if not self._has_checks(worker) or ended.status == "error":
                return Carried(ended, None)
            done = WorkDone.of(worker.task.text, ended.answer, [first], (first.given.model.name,))
            climbed, is_new = await _checked_once(checker, done, ended)
            if is_new:
                await keep_outcome_of_worker(self.run, worker, self.models, climbed.verification.passed)
            return Carried(climbed.ended, climbed.verification)
        errand = Errand(
            task=worker.task.text,
            prompt=first.given.prompt,
            span=worker.span,
            checker=checker,
            tools=first.tools,
            first=lambda: first,
            facts=first.given.facts,
            limits=limits,
            has_lens=worker.terms.has_lens,
            brief=worker.terms.brief,
        )
        climbed = await self._climb(errand, worker.works)
        return Carried(climbed.ended, climbed.verification)

    async def _climb(self, errand: Errand, works: list[Work]) -> Climbed:
        run, kind = self.run, kind_of(errand.task)
        system, tools = run.guidance.sections(), run.tools.specs
        output = expected_output(errand.task, run.config)
        by_words = estimate_output(errand.task).expected_tokens
        outcomes = ClimbOutcomes(kind, await run.outcomes.of(kind), run.outcomes.record, by_words)
        rungs = plan_rungs(self.models, run.config, errand.task, output, system=system, tools=tools)
        return await Climb(self.run, errand, self.models, rungs, outcomes, works).to_the_end()


async def _checked_once(checker: Checker, done: WorkDone, ended: Ending) -> tuple[Climbed, bool]:
    """Return what *done* came to, and whether the checks looked just now."""
    checked, is_new = await checker.check(done)
    verification = Verification(checked.passed, checked.by, checked.evidence, missed=checked.missed)
    ended = not_passed(checker.in_time(ended), checked.passed, checked.missed or checked.by)
    return Climbed(ended, verification), is_new


def verification_of(results: Sequence[TaskResult]) -> Verification | None:
    """Return what the checks found of the tasks of a batch together; ``None`` if none was checked."""
    checked = [result.verification for result in results if result.verification is not None]
    if not checked:
        return None
    found = [one.passed for one in checked]
    passed = False if False in found else None if None in found or len(checked) < len(results) else True
    by = tuple(dict.fromkeys(name for one in checked for name in one.by))
    count = sum(one is True for one in found)
    return Verification(passed, by, f"{count:,} of {len(results):,} tasks passed their checks")
