"""A command that says whether the work is right: its exit code must be 0."""

import os
import subprocess
import tempfile
from collections.abc import Mapping

import attrs

from sunwell.checks.steering import programs_of, steering_sentences
from sunwell.core.check import Checking, CommandEnd, Shell, Verdict
from sunwell.core.markdown import one_line
from sunwell.core.secrets import Secrets
from sunwell.errors import ConfigurationError, ToolError
from sunwell.tools.environment import command_environment
from sunwell.tools.shell import CommandRunner

CHECK_SECONDS = 300.0
"""Time limit of a check command if nobody sets another."""
_EVIDENCE_CHARS = 6_000
_CACHE_IN_SANDBOX = "/tmp/bytecode"
"""The folder /tmp of a sandbox is empty in each call."""
_NOT_STARTED = (126, 127)
"""What ``sh`` gives if it cannot run a program, or does not find it."""


@attrs.define(eq=False)
class CheckShell:
    """Runs the commands of checks: a :class:`~sunwell.core.check.Shell`."""

    runner: CommandRunner

    @classmethod
    def of(cls, checking: Checking, environ: Mapping[str, str] | None = None) -> "CheckShell | None":
        """Return a shell in the workspace of *checking*; ``None`` if there is none."""
        if checking.workspace is None:
            return None
        root, found = checking.workspace.resolve(), os.environ if environ is None else environ
        return cls(CommandRunner(root, checking.secrets, found, checking.sandbox, checking.allow_network))

    async def __call__(self, command: str, timeout_seconds: float) -> CommandEnd:
        """Run *command* to its end, or until its time is over.

        Python uses no bytecode that lies in the workspace: it may be of other source than the files have now.
        """
        if self.runner.sandbox != "off":
            return await self._run(_CACHE_IN_SANDBOX, command, timeout_seconds)
        with tempfile.TemporaryDirectory(prefix="sunwell-check-", ignore_cleanup_errors=True) as folder:
            return await self._run(folder, command, timeout_seconds)

    async def _run(self, cache: str, command: str, timeout_seconds: float) -> CommandEnd:
        variables = {"PYTHONPYCACHEPREFIX": cache}
        ended = await self.runner.run(command, timeout_seconds, _EVIDENCE_CHARS, variables)
        # The result of a test run is at its end, its first failure at the beginning.
        printed = self.runner.printed(ended, _EVIDENCE_CHARS, tail_thirds=2)
        return CommandEnd(ended.exit_code, printed, self.runner.left_behind(ended))


def unfound_program(command: str, environ: Mapping[str, str]) -> str:
    """Return the first program of *command* if the shell does not find it; empty if it does.

    A program that is named by its path is not looked up: the command may make it.
    """
    word = next(iter(programs_of(command)), "")
    if not word or "/" in word:
        return ""
    looked = ("/bin/sh", "-c", 'command -v -- "$1" >/dev/null 2>&1 || exit 9', "sh", word)
    try:
        done = subprocess.run(
            looked,
            env=command_environment(environ, Secrets()),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=5,
        )
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return ""
    return word if done.returncode == 9 else ""


def _command(_: object, attribute: "attrs.Attribute[str]", value: object) -> None:
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise ConfigurationError(f"a check cannot be {value!r}: it must be a command line")


def _seconds(_: object, attribute: "attrs.Attribute[float]", value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e9:
        raise ConfigurationError(f"timeout_seconds of a check must be more than 0, got {value!r}")


@attrs.frozen
class CommandCheck:
    """Runs a shell command in the workspace: passed if its exit code is 0.

    It runs in a sandbox unless that is off, without the caller's secrets, and everything that it started
    ends with it. A command that does not end in time has failed: as a rule, the work hangs. One that cannot
    be started (``sh`` gives 126 or 127) could not tell. The evidence holds head and tail of its output, and
    names the tests that the work edited or deleted and the changed files that can decide how the check runs.
    """

    command: str = attrs.field(validator=_command)
    """A command line for ``sh``."""
    timeout_seconds: float = attrs.field(default=CHECK_SECONDS, validator=_seconds)
    """Limit of its wall time."""
    midway = True

    @property
    def name(self) -> str:
        """The command, on one line."""
        return one_line(self.command)

    @property
    def told(self) -> str:
        """What a model is told of it before its work."""
        return f"the command `{self.name}` ends with exit code 0"

    async def __call__(self, checking: Checking) -> Verdict:
        """Run the command and return its verdict."""
        shell: Shell | None = checking.shell or CheckShell.of(checking)
        if shell is None:
            return Verdict(None, "there is no workspace to run the command in")
        try:
            end = await shell(self.command, self.timeout_seconds)
        except ToolError as error:
            return Verdict(None, checking.secrets.redact(error.sentence))
        steering = " ".join(steering_sentences(checking.files, self.command))
        evidence = "\n".join(part for part in (steering, self._said(end)) if part)
        return Verdict(self._passed(end), evidence, left_behind=end.left_behind)

    def _passed(self, end: CommandEnd) -> bool | None:
        return None if end.exit_code in _NOT_STARTED else end.exit_code == 0

    def _said(self, end: CommandEnd) -> str:
        if end.exit_code is None:
            head = f"it had not finished after {self.timeout_seconds:g} seconds and was ended; it printed:"
        elif end.exit_code in _NOT_STARTED:
            head = f"exit code {end.exit_code}: the command, or a program in it, could not be started"
        else:
            head = f"exit code {end.exit_code}"
        return f"{head}\n{end.output.rstrip() or '(it printed nothing)'}"
