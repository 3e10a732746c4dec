"""Checks: whether the result of a task stands, what a check is given, and what it finds."""

from collections.abc import Awaitable
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import attrs

from sunwell.core.message import FileChange
from sunwell.core.model import Completion, ModelProtocol, Request
from sunwell.core.secrets import Secrets
from sunwell.core.task import CommandRun
from sunwell.core.tool import Sandbox


@attrs.frozen
class Verdict:
    """What a check found.

    Raises :exc:`TypeError` if ``passed`` is not a bool or ``None``.
    """

    passed: bool | None = attrs.field(validator=attrs.validators.instance_of(bool | None))
    """Whether the result stands; ``None``: the check could not tell."""
    evidence: str = attrs.field(default="", validator=attrs.validators.instance_of(str))
    """What the check saw, for people and for the model that repairs the work. Known secrets are replaced."""
    cost_usd: Decimal | None = Decimal(0)
    """US dollars that the check spent by itself; ``None``: unknown. What it asked through
    :attr:`Checking.ask` does not count here: that is in the bill of the run."""
    missed: tuple[str, ...] = ()
    """Of the verdict of several checks: those that did not pass, as they are called."""
    left_behind: tuple[str, ...] = ()
    """What a command of the check left of files that other programs run by themselves: sentences."""


class Ask(Protocol):
    """Asks a model for a check. The call is reserved, recorded and billed like any other of the run."""

    async def __call__(self, request: Request, model: ModelProtocol) -> Completion:
        """Return the answer of *model* to *request*. Raises what a call of the run raises."""
        ...


@attrs.frozen
class CommandEnd:
    """How a command of a check ended, and what it printed."""

    exit_code: int | None
    """``None``: it was ended after its time."""
    output: str
    """Head and tail of what it printed; known secrets are replaced."""
    left_behind: tuple[str, ...] = ()
    """As in :class:`Verdict`."""


class Shell(Protocol):
    """Runs a command in the workspace: under the sandbox rule of commands, and without secrets."""

    async def __call__(self, command: str, timeout_seconds: float) -> CommandEnd:
        """Return how *command* ended. Raises :exc:`~sunwell.errors.ToolError` if it could not be started."""
        ...


async def _nobody(request: Request, model: ModelProtocol) -> Completion:
    raise RuntimeError("this check runs outside of a run, so it cannot ask a model")


@attrs.frozen(kw_only=True)
class Checking:
    """What a check is given: the work, as Sunwell observed it, and the means to look at it."""

    task: str
    """What was to be done."""
    answer: str
    """What the model answered. It is only a claim."""
    files: tuple[FileChange, ...] = ()
    """Files that the work has changed so far, each once, from its first state to its last."""
    diff: str = ""
    """The changes of text files as unified diffs, without secrets; empty if they are not known."""
    commands: tuple[CommandRun, ...] = ()
    """Commands that the work ran, in order."""
    models: tuple[str, ...] = ()
    """Names of the models that did the work."""
    workspace: Path | None = None
    """The folder that was worked in; ``None``: none is known."""
    unfinished: tuple[str, ...] = ()
    """Siblings in the same folder whose work is not finished, by their ids: files may be theirs."""
    sandbox: Sandbox = "required"
    """Whether a command of a check runs in a sandbox."""
    allow_network: bool = False
    """Whether a command of a check may use the network in it."""
    secrets: Secrets = attrs.field(factory=Secrets)
    """What must not be shown in evidence, nor given to a command."""
    ask: Ask = _nobody
    """Asks a model, for a check that judges."""
    judges: tuple[ModelProtocol, ...] = ()
    """Models that may judge, the best first."""
    shell: Shell | None = None
    """Runs a command of a check; ``None`` outside of a run."""
    dry_run: bool = False
    """Whether nothing was really changed: then there is nothing to check."""


@runtime_checkable
class Check(Protocol):
    """Any asynchronous callable that looks at finished work and says whether it stands.

    A ``name`` attribute, one line, is what people read in the verdict; without one it is the name of the
    function or of the class.
    """

    def __call__(self, checking: Checking, /) -> Awaitable[Verdict]:
        """Return what it finds. An exception counts as a check that could not tell."""
        ...


def name_of(check: Any) -> str:
    """Return what *check* is called in a verdict: one line."""
    name = getattr(check, "name", None) or getattr(check, "__name__", None) or type(check).__name__
    return " ".join(str(name).split())
