"""The tool run_command, which exists only if the caller allows it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from sunwell.core.model import ToolSpec
from sunwell.core.secrets import Secrets
from sunwell.core.tool import Sandbox
from sunwell.errors import ToolError
from sunwell.tools.arguments import closed, nullable, text, whole
from sunwell.tools.command_runner import CommandRunner, ProcessEnd
from sunwell.tools.limits import Outcome, ToolLimits
from sunwell.tools.wording import KILLED


@attrs.define(eq=False)
class RunCommand:
    """Runs a shell command in the workspace, without the caller's secrets in its environment.

    It runs in a sandbox, or not at all, unless ``sandbox`` is ``"off"``; see
    :class:`~sunwell.tools.command_runner.CommandRunner`.
    """

    root: Path
    limits: ToolLimits
    secrets: Secrets
    environ: Mapping[str, str]
    sandbox: Sandbox = "required"
    parallel = False
    repeatable = False
    ask = True
    timeout_seconds = float("inf")  # the command's own limit applies
    spec: ToolSpec = attrs.field(init=False)
    _runner: CommandRunner = attrs.field(init=False)

    @_runner.default
    def _make_runner(self) -> CommandRunner:
        return CommandRunner(self.root, self.secrets, self.environ, self.sandbox)

    @spec.default
    def _describe(self) -> ToolSpec:
        most = f"{self.limits.command_seconds:g}"
        bounds = "" if self.sandbox == "off" else " There is no network, and /tmp is empty in each call."
        return ToolSpec(
            "run_command",
            "Run a shell command (sh) in the workspace. Standard input is empty; what it leaves in the "
            "background is ended with it. Gives the exit code, that of the last command of a chain, then "
            f"standard output and error as they came.{bounds}",
            closed(
                {
                    "command": text("The command line."),
                    "timeout_seconds": nullable(whole(f"Killed after that; at most {most}. null: {most}.")),
                }
            ),
        )

    async def run(self, arguments: Mapping[str, Any]) -> Outcome:
        asked = arguments["timeout_seconds"]
        if asked is not None and asked < 1:
            raise ToolError("timeout_seconds must be at least 1")
        seconds = min(asked or self.limits.command_seconds, self.limits.command_seconds)
        ended = await self._runner.run(arguments["command"], seconds, self.limits.output_chars)
        return self._outcome(ended, seconds)

    def require_sandbox(self) -> None:
        """Raise :exc:`~sunwell.errors.ConfigurationError` if commands need a sandbox that does not work."""
        self._runner.require_sandbox()

    def summary(self, arguments: Mapping[str, Any]) -> str:
        """Return one line that says what would be run."""
        return "run " + " ".join(arguments["command"].split())

    def details(self, arguments: Mapping[str, Any]) -> str:
        """Return the whole command."""
        return str(arguments["command"])

    def _outcome(self, ended: ProcessEnd, seconds: float) -> Outcome:
        if ended.exit_code is None:
            head = f"{KILLED}{seconds:g} seconds, before it ended; what it printed:"
        else:
            head = f"exit code {ended.exit_code}"
        printed = self._runner.printed(ended, max(self.limits.output_chars - 200, 100))
        said = f"{head}\n{printed}" if printed.strip() else f"{head}\n(it printed nothing)"
        return Outcome(said, ended.exit_code, is_error=ended.exit_code is None)
