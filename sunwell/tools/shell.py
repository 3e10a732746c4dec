"""The tool that runs commands: run_command. It is there only where the caller allows it."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from sunwell.core.model import ToolSpec
from sunwell.core.secrets import Secrets
from sunwell.core.tool import Sandbox
from sunwell.errors import ConfigurationError, ToolError
from sunwell.tools.environment import command_environment
from sunwell.tools.limits import ToolLimits
from sunwell.tools.outcome import Outcome
from sunwell.tools.process import Ended, run_group
from sunwell.tools.sandbox import Bubblewrap, require_sandbox
from sunwell.tools.schema import closed, nullable, text, whole
from sunwell.tools.wording import cut, without_escapes

_LONGEST_COMMAND = 100_000


@attrs.define(eq=False)
class RunCommand:
    """Runs a shell command in the workspace, without the caller's secrets in its environment.

    It runs in a sandbox, or not at all, unless ``sandbox`` is ``"off"``. Then a command can do what
    the caller's account can: read other files, use the network, and on Linux look at the environment
    of the caller's own processes. What it prints is redacted; what it does is not limited.
    """

    root: Path
    limits: ToolLimits
    secrets: Secrets
    environ: Mapping[str, str]
    sandbox: Sandbox = "required"
    parallel = False
    repeatable = False
    ask = True
    timeout_seconds = float("inf")  # the command's own limit holds
    spec: ToolSpec = attrs.field(init=False)
    _found: Bubblewrap | None = attrs.field(default=None, init=False)
    _ready: Bubblewrap | None = attrs.field(default=None, init=False)
    _finding: asyncio.Lock = attrs.field(factory=asyncio.Lock, init=False)

    @spec.default
    def _describe(self) -> ToolSpec:
        most = f"{self.limits.command_seconds:g}"
        return ToolSpec(
            "run_command",
            "Run a shell command (sh) in the workspace. Standard input is empty; what it leaves in the "
            "background is ended with it. Gives the exit code, then standard output and error as they came.",
            closed(
                {
                    "command": text("The command line."),
                    "timeout_seconds": nullable(whole(f"Killed after that; at most {most}. null: {most}.")),
                }
            ),
        )

    async def run(self, arguments: Mapping[str, Any]) -> Outcome:
        command = _checked(arguments["command"])
        asked = arguments["timeout_seconds"]
        if asked is not None and asked < 1:
            raise ToolError("timeout_seconds must be at least 1")
        seconds = min(asked or self.limits.command_seconds, self.limits.command_seconds)
        environ = command_environment(self.environ, self.secrets)
        try:
            line = await self._line(command, environ)
            ended = await run_group(line, self.root, environ, seconds, 4 * self.limits.output_chars)
        except OSError as error:
            raise ToolError(f"the command could not be started: {error.strerror or error}") from None
        return self._outcome(ended, seconds)

    def require_sandbox(self) -> None:
        """Raise :exc:`~sunwell.errors.ConfigurationError` if commands could not run as they must."""
        if self.sandbox != "off":
            self._found = require_sandbox(self.root, command_environment(self.environ, self.secrets))

    def summary(self, arguments: Mapping[str, Any]) -> str:
        """Return in one line what would be run."""
        return "run " + " ".join(arguments["command"].split())

    def details(self, arguments: Mapping[str, Any]) -> str:
        """Return the whole command."""
        return str(arguments["command"])

    async def _line(self, command: str, environ: Mapping[str, str]) -> tuple[str, ...]:
        plain = ("/bin/sh", "-c", command)
        if self.sandbox == "off":
            return plain
        async with self._finding:  # no command runs while another still looks at the workspace
            if self._ready is None:
                try:
                    self._ready = await asyncio.to_thread(self._made_ready, environ)
                except ConfigurationError as error:
                    raise ToolError(f"the command was not run: {error}") from None
        return self._ready.wrapped(plain, self.root, environ)

    def _made_ready(self, environ: Mapping[str, str]) -> Bubblewrap:
        found = require_sandbox(self.root, environ) if self._found is None else self._found
        return found.with_missing_made()

    def _outcome(self, ended: Ended, seconds: float) -> Outcome:
        if ended.exit_code is None:
            head = f"killed after {seconds:g} seconds, before it ended; what it printed:"
        else:
            head = f"exit code {ended.exit_code}"
        printed = self._printed(ended)
        said = f"{head}\n{printed}" if printed.strip() else f"{head}\n(it printed nothing)"
        return Outcome(said, ended.exit_code, is_error=ended.exit_code is None)

    def _printed(self, ended: Ended) -> str:
        room = max(self.limits.output_chars - 200, 100)
        if not ended.cut_bytes:
            return cut(self._clean(ended.output), room)
        # Next to the seam there may be half a secret, which nobody would know for one.
        half = self.secrets.longest_chars
        head = self._clean(ended.output[: ended.head_bytes])
        head = head[: max(len(head) - half, 0)][: room * 2 // 3]
        tail = self._clean(ended.output[ended.head_bytes :])[half:][-(room // 3) :]
        gone = ended.cut_bytes + len(ended.output) - len((head + tail).encode())
        return f"{head}\n[about {gone:,} bytes were cut out here]\n{tail}"

    def _clean(self, output: bytes) -> str:
        raw = output.decode("utf-8", "replace")
        return self.secrets.redact(without_escapes(self.secrets.redact(raw)))


def _checked(command: str) -> str:
    if not command.strip():
        raise ToolError("command is empty; write a command line")
    if "\0" in command:
        raise ToolError("command has a NUL character in it; write a plain command line")
    if len(command) > _LONGEST_COMMAND:
        raise ToolError(f"command is longer than {_LONGEST_COMMAND:,} characters; run a script instead")
    try:
        command.encode()
    except UnicodeEncodeError:
        raise ToolError("command has half a character (a lone surrogate) in it; write whole ones") from None
    return command
