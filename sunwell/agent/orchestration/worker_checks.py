"""Checks of workers that a model starts: commands that it names, which decide whether a result counts."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import attrs

from sunwell.agent.run.recorded_tools import RecordedTools
from sunwell.agent.run.run_context import Run
from sunwell.context.options import RunOptions
from sunwell.core.tool import ToolExecutor
from sunwell.errors import ConfigurationError, ToolError
from sunwell.tools.arguments import nullable, text
from sunwell.tools.toolbox import Toolbox

if TYPE_CHECKING:  # most runs have no checks, and do not load their room
    from sunwell.checks.suite import ChosenChecks

CHECK = nullable(
    text(
        "Shell command (sh, in the workspace) that decides whether the result counts: it runs when the "
        "worker is done, and must exit with 0. If it fails, you are given what it found. null: none."
    )
)
"""The parameter by which a model names the check of a worker."""
_MOST_CHARACTERS = 2_000
_NO_COMMANDS = (
    "no commands may run here, so no check can: leave check null, and say in the task what the worker is to "
    "look at before it reports"
)


@attrs.frozen
class WorkerChecks:
    """Runs the checks of workers as commands of models run: in the same sandbox, under the same approval."""

    run: Run
    box: Toolbox | None
    """Who runs commands of models in this run; ``None``: none may run."""

    @classmethod
    def of(cls, run: Run) -> "WorkerChecks":
        """Return the checks of the workers of *run*."""
        return cls(run, command_box(run.tools.executor_of("run_command")))

    @property
    def can_run(self) -> bool:
        """Whether commands of models may run at all, so checks, too."""
        return self.box is not None

    def suite(self) -> "ChosenChecks | None":
        """Return what runs the checks of workers, and none of the run; ``None`` if no commands may run."""
        runner = None if self.box is None else self.box.command_runner
        if self.box is None or runner is None:
            return None
        from sunwell.checks.command_check import CheckShell
        from sunwell.checks.suite import ChosenChecks

        run = self.run
        seconds = run.config.check_timeout_seconds
        options = RunOptions(check_timeout_seconds=seconds, dry_run=self.box.dry_run)
        made = ChosenChecks(options, shell=CheckShell(runner), root=runner.root)
        made.recorded_only, made.quiet = run.gateway.recorded_only, run.quiet.checking
        originals = run.ladder_terms.originals
        made.originals = None if originals is None else originals.folder
        return made

    def read(self, given: str | None, grant: Iterable[str] | None) -> tuple[str, ...]:
        """Return the checks of a worker as a task has them; none for ``null`` or an empty text.

        *grant* are the tools that whoever starts the worker may call, ``None``: all of the run. Raises
        :exc:`~sunwell.errors.ToolError` for a command that may not be run.
        """
        command = (given or "").strip()
        if not command:
            return ()
        if self.box is None or (grant is not None and "run_command" not in grant):
            raise ToolError(_NO_COMMANDS)
        if len(command) > _MOST_CHARACTERS:
            raise ToolError(
                f"check has {len(command):,} characters, and {_MOST_CHARACTERS:,} is the most: put the "
                "commands into a file of the workspace, and name it"
            )
        if "\0" in command:
            raise ToolError("check has a zero byte in it: write a command line")
        return (command,)

    async def require_approval(self, commands: Iterable[str]) -> None:
        """Ask for approval of *commands*, as of calls of ``run_command``; raise unless all of it is given.

        Whoever approves a check approves it for each time that the worker's work is checked.
        """
        if self.box is not None:
            for command in dict.fromkeys(commands):
                await self.box.require_command_approval(command, "check of a worker: ")


def command_box(executor: ToolExecutor | None) -> Toolbox | None:
    """Return *executor* if it is a toolbox that runs commands of models, also if it is only played again."""
    if isinstance(executor, RecordedTools):  # what models are told of checks must be what they were told
        executor = executor.inner
    return executor if isinstance(executor, Toolbox) and executor.command_runner is not None else None


def require_worker_checks(executor: ToolExecutor | None, names: Iterable[str] | None = None) -> None:
    """Raise :exc:`~sunwell.errors.ConfigurationError` if no worker could have a check, so none could climb.

    *names* are the tools of the run; ``None``: all of *executor*.
    """
    if command_box(executor) is None or (names is not None and "run_command" not in names):
        raise ConfigurationError(
            "escalate goes up when a check fails. A model that starts workers names their checks itself, and "
            "no commands may run here: allow them (--allow-shell), or leave escalate out"
        )
