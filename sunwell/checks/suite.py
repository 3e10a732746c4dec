"""The checks of a run: made from its options, called one after the other, joined to one verdict."""

import json
import logging
import os
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs

from sunwell.checks.command_check import CheckShell, CommandCheck
from sunwell.checks.files_check import FilesCheck, WatchedFiles
from sunwell.checks.judge_check import JudgeCheck
from sunwell.checks.schema_check import SchemaCheck
from sunwell.checks.steering import NAMES_CHANGED, programs_of
from sunwell.context.json_text import read_schema
from sunwell.context.options import RunOptions
from sunwell.core.check import Check, Checking, Verdict, name_of
from sunwell.core.confinement import Confinement
from sunwell.core.markdown import one_line
from sunwell.core.message import FileChange
from sunwell.core.model import ModelProtocol
from sunwell.core.secrets import Secrets
from sunwell.core.threads import in_thread
from sunwell.errors import ConfigurationError, JournalError, PinError
from sunwell.tools.originals import work_diff
from sunwell.tools.shell import CommandRunner
from sunwell.tools.workspace import Workspace

log = logging.getLogger("sunwell.checks")
_MOST_DIFF_CHARS = 60_000
_MOST_NAMED = 20


async def run_checks(
    checks: Sequence[Check],
    checking: Checking,
    look_again: Callable[[], Awaitable[Checking]] | None = None,
) -> Verdict:
    """Return the one verdict of *checks* on *checking*, each run in order.

    It has passed if all of them passed, and has not if any of them did not; else they could not tell. The
    evidence names each check, those that did not pass last. All of them run, so that whoever repairs the
    work sees all that is wrong; but a check that costs money (its ``costs`` is true) only if none before it
    failed. A check that raises, or that returns anything else than a
    :class:`~sunwell.core.check.Verdict`, could not tell, and its evidence says so. In a dry run nothing was
    changed, so that no check is run.

    What a check runs can change files. So *look_again* returns what checks are given now; it is called after
    each check that may run code, and checks that look at files (their ``watches`` name some) fail for what
    they find then, too.
    """
    if checking.dry_run and checks:
        return Verdict(None, "nothing was checked: in a dry run no file is changed")
    found: list[tuple[str, Verdict]] = []
    for check in checks:
        has_failed = any(verdict.passed is False for _, verdict in found)
        if has_failed and getattr(check, "costs", False) is True:
            told = str(getattr(check, "told", ""))
            verdict = Verdict(None, f"not asked, since another check failed\n{told}".strip())
        else:
            verdict = await _verdict(check, checking)
        found.append((name_of(check), verdict))
        if look_again is None or not _runs_code(check):
            continue
        before, checking = checking.files, await look_again()
        if during := [change for change in checking.files if change not in before]:
            found[-1] = (name_of(check), _with_changes(verdict, during))
        if set(checking.files) != set(before):
            for at, (name, earlier) in enumerate(found):
                if earlier.passed and getattr(checks[at], "watches", None):
                    later = await _verdict(checks[at], checking)
                    found[at] = (name, later if later.passed is not True else earlier)
    return joined(found)


def _runs_code(check: Check) -> bool:
    """Whether *check* may run code of the workspace: unless it says that it does not."""
    return getattr(check, "runs_code", True) is not False


def _with_changes(verdict: Verdict, during: Sequence[FileChange]) -> Verdict:
    named = ", ".join(f"{change.path} ({change.verb})" for change in during[:_MOST_NAMED])
    more = f", and {len(during) - _MOST_NAMED:,} more" if len(during) > _MOST_NAMED else ""
    said = f"While this check ran, files that checks look at were changed: {named}{more}."
    return attrs.evolve(verdict, evidence=f"{said}\n{verdict.evidence}".strip())


def joined(found: Sequence[tuple[str, Verdict]]) -> Verdict:
    """Return the verdicts *found* by checks of these names as one."""
    passed = [verdict.passed for _, verdict in found]
    whole = False if False in passed else None if None in passed or not passed else True
    costs = [verdict.cost_usd for _, verdict in found]
    cost_usd = sum((cost for cost in costs if cost is not None), Decimal(0))
    ordered = sorted(found, key=lambda one: _WORST_LAST.index(one[1].passed))
    evidence = [f"{name}: {_WORDS[one.passed]}\n{one.evidence}".strip() for name, one in ordered]
    evidence = _said_once(evidence)
    # Where some failed, those that could not tell are not what has to be put right.
    missed = tuple(name for name, one in found if one.passed is not True and one.passed is whole)
    left = tuple(sentence for _, one in found for sentence in one.left_behind)
    return Verdict(whole, "\n\n".join(evidence), None if None in costs else cost_usd, missed, left)


def _said_once(evidence: Sequence[str]) -> list[str]:
    """Return *evidence* of several checks with what they all say of changed files in the first one only."""
    seen: set[str] = set()
    kept: list[str] = []
    for text in evidence:
        lines = [line for line in text.split("\n") if line not in seen or not line.startswith(NAMES_CHANGED)]
        seen.update(lines)
        kept.append("\n".join(lines))
    return kept


_WORST_LAST = (True, None, False)
_WORDS = {True: "passed", False: "failed", None: "could not tell"}


async def _verdict(check: Callable[[Checking], Awaitable[Verdict]], checking: Checking) -> Verdict:
    try:
        verdict = await check(checking)
    except (JournalError, PinError):
        raise
    except Exception as error:  # the caller's own code: the run goes on, unverified
        log.exception("the check %s failed", name_of(check))
        said = checking.secrets.redact(f"the check itself failed: {type(error).__name__}: {error}")
        return Verdict(None, said)
    if not isinstance(verdict, Verdict):
        log.error("the check %s returned %s, not a Verdict", name_of(check), type(verdict).__name__)
        return Verdict(None, f"the check itself failed: it returned {type(verdict).__name__}, not a Verdict")
    return attrs.evolve(verdict, evidence=checking.secrets.redact(verdict.evidence))


def checks_of(options: RunOptions, schema: str = "") -> tuple[Check, ...]:
    """Return the checks that *options* choose; what costs nothing comes first.

    *schema* is that of the answer as JSON text, if it was read already.
    """
    made: list[Check] = []
    if options.protect or options.must_change:
        made.append(FilesCheck(protect=options.protect, must_change=options.must_change))
    if options.answer_schema is not None:
        made.append(SchemaCheck(read_schema(schema or options.answer_schema)))
    made += [as_check(one, options.check_timeout_seconds) for one in options.checks]
    if options.judge is not None:
        made.append(JudgeCheck(options.judge))
    return tuple(made)


def as_check(check: Check | str, timeout_seconds: float) -> Check:
    """Return *check*; a text is a command, with this time limit."""
    return CommandCheck(check, timeout_seconds) if isinstance(check, str) else check


def _nobody(path: str) -> tuple[str, ...]:
    return ()


@attrs.define(eq=False)
class ChosenChecks:
    """The checks of a run: those of all its work, the shell of their commands, and the files they watch."""

    options: RunOptions = attrs.field(factory=RunOptions)
    of_run: tuple[Check, ...] = ()
    """The checks that hold for all work of the run."""
    shell: CheckShell | None = None
    root: Path | None = None
    """The folder that is worked in."""
    originals: Path | None = None
    """Where the first content of changed files is kept; ``None``: nowhere."""
    judges: tuple[ModelProtocol, ...] = ()
    """Models that may judge, the best first."""
    commands: tuple[str, ...] = ()
    """The commands of all checks, those of single tasks among them."""
    watched: WatchedFiles | None = None
    recorded_states: Callable[[], Collection[tuple[str, str | None]]] = frozenset
    """Returns each file with each hash that a tool of any task of a batch has left it with: what a sibling's
    tool has changed is the sibling's, in a folder that all share."""
    recorded_only: bool = False
    """Whether the run is only played again: nothing is run or asked then."""
    own: dict[str, tuple[Check | str, ...]] = attrs.field(factory=dict)
    """Checks of single tasks, by the path of the span in which the task is done."""
    at_work: Callable[[str], tuple[str, ...]] = _nobody
    """Returns who else is at work in the folder, by ids, while the task at a path of :attr:`own` is done."""
    quiet: Callable[[], AbstractAsyncContextManager[None]] = nullcontext
    """Entered while checks run before the work has ended: nobody else writes in the folder then."""

    @classmethod
    def of(
        cls,
        options: RunOptions,
        root: Path,
        secrets: Secrets,
        of_tasks: Iterable[Check | str] = (),
        schema: str = "",
        environ: Mapping[str, str] | None = None,
    ) -> "ChosenChecks":
        """Return the checks of a run in the folder *root*; *of_tasks* are those of single tasks.

        *schema* is that of the answer as JSON text, if it was read already. Raises
        :exc:`~sunwell.errors.ConfigurationError` if it cannot be read.
        """
        checks = checks_of(options, schema)
        found = os.environ if environ is None else environ
        runner = CommandRunner(
            root.resolve(),
            secrets,
            found,
            options.sandbox,
            options.allow_network,
            allow_write=options.allow_write,
        )
        all_checks = (*checks, *(as_check(one, options.check_timeout_seconds) for one in of_tasks))
        commands = tuple(check.command for check in all_checks if isinstance(check, CommandCheck))
        return cls(options, checks, CheckShell(runner), runner.root, commands=commands)

    def require_sandbox(self) -> None:
        """Raise :exc:`~sunwell.errors.ConfigurationError` if a command needs a sandbox and there is none."""
        if self.has_commands and self.shell is not None and not self.options.dry_run:
            self.shell.runner.require_sandbox()
            self._require_seen(self.shell.runner)

    def _require_seen(self, runner: CommandRunner) -> None:
        """Raise :exc:`~sunwell.errors.ConfigurationError` for a file of a command that it could not open."""
        if runner.sandbox == "off":
            return
        for command in self.commands:
            if unseen := runner.unseen(command):
                raise ConfigurationError(
                    f"the check {one_line(command)!r} names {unseen[0]}, which a command in the sandbox "
                    "cannot see, since only the workspace, programs and the folders of PATH are there: put "
                    "it into the workspace, or use --sandbox off"
                )

    @property
    def has_commands(self) -> bool:
        """Whether any check, those of single tasks among them, is a command."""
        return bool(self.commands)

    @property
    def confinement(self) -> Confinement:
        """How commands of checks are confined."""
        if not self.has_commands or self.shell is None or self.options.dry_run:
            return Confinement()
        return self.shell.runner.confinement

    def watch(self, root: Path, record: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
        """Note the content of the files that the checks look at, or take it from *record*.

        Returns what is to be recorded; ``None`` if no file is watched.
        """
        globs = [glob for check in self.of_run for glob in getattr(check, "watches", ())]
        # Without commands of models, tools record every change.
        steering = self.options.allow_shell and self.has_commands
        if self.options.dry_run or not (globs or steering):
            return None
        made = self._watching(root, globs, steering=steering)
        if record is not None:
            then = WatchedFiles.of(root, record)
            asked = (made.globs, made.steering, made.programs)
            if asked == (then.globs, then.steering, then.programs):
                made = then
            else:
                made.before = {**made.before, **then.before}
                made.ignoring = made.ignoring if then.ignoring is None else then.ignoring
        self.watched = made
        return self.watched.record()

    def owner(self, path: str) -> str:
        """Return the path of the task with checks of its own that the work at *path* is for; else *path*."""
        above = [one for one in self.own if path == one or path.startswith(f"{one}/")]
        return max(above, key=len, default=path)

    @property
    def schema_text(self) -> str:
        """The schema of the answer as JSON text; empty if there is none."""
        found = (json.dumps(dict(one.schema)) for one in self.of_run if isinstance(one, SchemaCheck))
        return next(found, "") if self.options.answer_schema is not None else ""

    def told(self, checks: Sequence[Check | str] | None = None) -> tuple[str, ...]:
        """Return what a model is told of *checks* before its work; ``None``: of those of the run."""
        seconds = self.options.check_timeout_seconds
        known = self.of_run if checks is None else [as_check(one, seconds) for one in checks]
        return tuple(said for check in known if (said := str(getattr(check, "told", ""))))

    def for_task(self, more: Sequence[Check | str] = ()) -> tuple[Check, ...]:
        """Return the checks of a piece of work that has *more* of its own."""
        own = (as_check(one, self.options.check_timeout_seconds) for one in more)
        return (*self.of_run, *own)

    def names(self, more: Sequence[Check | str] = ()) -> tuple[str, ...]:
        """Return what the checks of a piece of work are called."""
        return tuple(map(name_of, self.for_task(more)))

    async def verdict(self, checking: Checking, more: Sequence[Check | str] = ()) -> Verdict:
        """Return the one verdict of all checks on *checking*, whose task has *more* of its own."""
        return await self.verdict_of(self.for_task(more), checking)

    async def verdict_of(self, checks: Sequence[Check], checking: Checking) -> Verdict:
        """Return the one verdict of *checks*, which are some of this run's, on *checking*."""
        if self.recorded_only:
            return Verdict(None, "the record of the run ends here")

        if self.watched is None and self.root is not None and any(map(_runs_code, checks)):
            # What a check runs can rewrite tests, also where models have no commands.
            with suppress(ConfigurationError):  # too many files
                self.watched = await in_thread(self._watching, self.root)

        async def look() -> Checking:
            # Reading files may take long, and the time limit of the run must be able to end it.
            found = () if self.watched is None else await in_thread(self.watched.changes)
            return self.prepared(checking, checks, found)

        return await run_checks(checks, await look(), None if self.watched is None else look)

    def _watching(self, root: Path, globs: Sequence[str] = (), *, steering: bool = True) -> WatchedFiles:
        programs = (name for command in self.commands for name in programs_of(command))
        return WatchedFiles.begin(root, globs, steering=steering, programs=programs)

    def has_midway(self) -> bool:
        """Whether any check can look at work that is not finished."""
        return self.has_commands or any(getattr(check, "midway", False) for check in self.of_run)

    def prepared(
        self, checking: Checking, checks: Sequence[Check] = (), found: Sequence[FileChange] = ()
    ) -> Checking:
        """Return *checking* with the means of this run, and with what of *found* no tool has recorded.

        The diff is made only if any of *checks* may read it.
        """
        reads_diff = any(not isinstance(one, CommandCheck | FilesCheck | SchemaCheck) for one in checks)
        known = {change.path for change in checking.files}
        others = self.recorded_states() if found else frozenset()
        new = [change for change in found if change.path not in known]
        unrecorded = [change for change in new if (change.path, change.after) not in others]
        files = (*checking.files, *unrecorded)
        return attrs.evolve(
            checking,
            files=files,
            diff=checking.diff or (self._diff(files, checking.secrets) if reads_diff else ""),
            judges=checking.judges or self.judges,
            shell=checking.shell or self.shell,
            workspace=checking.workspace or self.root,
            dry_run=checking.dry_run or self.options.dry_run,
        )

    def _diff(self, files: tuple[FileChange, ...], secrets: Secrets) -> str:
        if self.root is None or not files:
            return ""
        workspace = Workspace(self.root, ignore=self.options.ignore)
        return work_diff(files, workspace, self.originals, secrets.redact, _MOST_DIFF_CHARS)
