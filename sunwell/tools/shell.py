"""Shell commands: in a sandbox or not at all, without secrets, within limits; and the tool run_command."""

import asyncio
import os
import shlex
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import attrs

from sunwell.core.confinement import Confinement
from sunwell.core.marks import guarded, guarded_part
from sunwell.core.model import ToolSpec
from sunwell.core.secrets import Secrets
from sunwell.core.threads import in_thread, in_thread_to_the_end
from sunwell.core.tool import Sandbox
from sunwell.errors import ConfigurationError, ToolError
from sunwell.tools.arguments import closed, nullable, text, whole
from sunwell.tools.command_keeper import end_below, kept
from sunwell.tools.environment import command_environment
from sunwell.tools.file_glob import GlobSet
from sunwell.tools.guarded_files import GuardedFile, guarded_in
from sunwell.tools.limits import Outcome, ToolLimits
from sunwell.tools.sandbox import Bubblewrap, require_sandbox, sandbox_name
from sunwell.tools.sandbox_view import unseen_paths
from sunwell.tools.set_aside import LeftFile, left_behind
from sunwell.tools.system_calls import opened_filter
from sunwell.tools.wording import KILLED, cut, without_escapes
from sunwell.tools.workspace import REPLACED, identity_of

_SLACK_BYTES = 65_536
_MOST_NAMED_IN = 50_000
"""Files and folders that are looked through without a sandbox, where nothing is prevented anyway."""
"""Extra output that is kept, so that a secret is not cut in two before it is replaced."""
_DRAIN_SECONDS = 1.0
_LONGEST_COMMAND = 100_000


@attrs.frozen
class ProcessEnd:
    """How a process ended, and its output."""

    exit_code: int | None
    """``None`` after a timeout; negative if a signal ended it."""
    output: bytes
    """Head and tail of standard output and standard error, in the order of arrival."""
    cut_bytes: int = 0
    """Bytes that are missing between :attr:`head_bytes` and the rest."""
    head_bytes: int = 0
    left: tuple[LeftFile, ...] = ()
    """Protected files that it made or changed."""


@attrs.define(eq=False)
class _Spool(asyncio.Protocol):
    """Keeps the head and the tail of the output."""

    most_bytes: int
    ended: "asyncio.Future[None]"
    _head: bytearray = attrs.field(factory=bytearray, init=False)
    _tail: bytearray = attrs.field(factory=bytearray, init=False)
    _cut: int = attrs.field(default=0, init=False)

    def data_received(self, data: bytes) -> None:
        room = self.most_bytes - len(self._head)
        self._head += data[:room]
        self._tail += data[room:] if room > 0 else data
        extra = len(self._tail) - self.most_bytes
        if extra > self.most_bytes:
            del self._tail[:extra]
            self._cut += extra

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(None)

    def printed(self, exit_code: int | None) -> ProcessEnd:
        return ProcessEnd(exit_code, bytes(self._head + self._tail), self._cut, len(self._head))


async def run_group(
    command: tuple[str, ...],
    folder: Path,
    environ: Mapping[str, str],
    seconds: float,
    output_bytes: int,
    *,
    files: tuple[int, ...] = (),
) -> ProcessEnd:
    """Run *command* and return how it ended; the whole process group has ended when this returns.

    This also applies after a timeout, after cancellation, and to processes that the command left in the
    background. Standard input is empty. About *output_bytes* are kept of head and tail each. It inherits
    the open *files* and no others.
    """
    loop = asyncio.get_running_loop()
    reading, writing = os.pipe()
    spool = _Spool(output_bytes + _SLACK_BYTES, loop.create_future())
    # Our own pipe: with asyncio's, the process would count as running while anything holds the pipe.
    transport, _ = await loop.connect_read_pipe(lambda: spool, os.fdopen(reading, "rb", 0))
    try:
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                cwd=folder,
                env=dict(environ),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=writing,
                stderr=writing,
                start_new_session=True,
                pass_fds=files,
            )
        finally:
            os.close(writing)
        code = await _wait(process, seconds)
        with suppress(TimeoutError):  # a process that left the group may hold the pipe forever
            async with asyncio.timeout(_DRAIN_SECONDS):
                await spool.ended
        return spool.printed(code)
    finally:
        transport.close()


async def _wait(process: asyncio.subprocess.Process, seconds: float) -> int | None:
    try:
        async with asyncio.timeout(seconds):
            return await process.wait()
    except TimeoutError:
        return None
    finally:
        if process.returncode is None:
            end_below(process.pid)  # first: if the process itself is gone, nobody knows what it had started
        with suppress(ProcessLookupError, PermissionError):  # macOS raises the latter for a dead group
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


@attrs.define(eq=False)
class _Watch:
    """The protected files before a command, and what became of those that it made."""

    before: dict[str, GuardedFile]
    left: tuple[LeftFile, ...] = ()


@attrs.define(eq=False)
class CommandRunner:
    """Runs shell commands in a folder, without the caller's secrets in their environment.

    A command runs in a sandbox, or not at all, unless ``sandbox`` is ``"off"``. Then it has all rights of
    the user's account: it can read other files, use the network, and on Linux read the environment of the
    user's processes. Secrets in its output are replaced; its actions are not limited.
    """

    root: Path
    secrets: Secrets
    environ: Mapping[str, str]
    sandbox: Sandbox = "required"
    allow_network: bool = False
    """Whether a command in the sandbox may use the network."""
    allow_write: tuple[str, ...] = ()
    """Globs of files that commands may write although other programs run them by themselves."""
    _identity: tuple[int, int] = attrs.field(init=False)
    _found: Bubblewrap | None = attrs.field(default=None, init=False)
    _ready: Bubblewrap | None = attrs.field(default=None, init=False)
    _finding: asyncio.Lock = attrs.field(factory=asyncio.Lock, init=False)

    def require_sandbox(self) -> None:
        """Raise :exc:`~sunwell.errors.ConfigurationError` if commands need a sandbox that does not work."""
        if self.sandbox != "off":
            self._found = self._require(command_environment(self.environ, self.secrets))

    @_identity.default
    def _look_at_root(self) -> tuple[int, int]:
        return identity_of(self.root.stat())

    @property
    def confinement(self) -> Confinement:
        """How commands are confined if they can run at all."""
        if self.sandbox == "off":
            return Confinement("off", network=True)
        environ = command_environment(self.environ, self.secrets)
        return Confinement("required", sandbox_name(self.root, environ), self.allow_network)

    def unseen(self, command: str) -> tuple[str, ...]:
        """Return the paths in *command* that exist, but not for a command in the sandbox."""
        try:
            words = shlex.split(command)
        except ValueError:  # an open quote: the shell will say so
            return ()
        environ = command_environment(self.environ, self.secrets)
        return unseen_paths([word for word in words if word.startswith("/")], self.root, environ)

    async def run(
        self, command: str, seconds: float, output_chars: int, variables: Mapping[str, str] | None = None
    ) -> ProcessEnd:
        """Run *command* and return how it ended, with enough output to show *output_chars* of it.

        *variables* are added to its environment. Protected files that it made are set aside, also if it is
        cancelled. Raises :exc:`~sunwell.errors.ToolError` if it is not a command, or could not be started.
        """
        _require_command(command)
        environ = {**command_environment(self.environ, self.secrets), **(variables or {})}
        plain, most_bytes = ("/bin/sh", "-c", command), 4 * output_chars
        if self.sandbox == "off":
            async with self._watched(most_entries=_MOST_NAMED_IN) as watch:
                ended = await run_group(kept(plain), self.root, environ, seconds, most_bytes)
            return attrs.evolve(ended, left=watch.left)
        sandbox = await self._sandbox(environ)
        async with self._watched() as watch:
            with opened_filter() as file:
                known = watch.before.values()
                line = await in_thread(sandbox.wrapped, plain, self.root, environ, file, guarded=known)
                ended = await run_group(line, self.root, environ, seconds, most_bytes, files=(file,))
        return attrs.evolve(ended, left=watch.left)

    @asynccontextmanager
    async def _watched(self, most_entries: int | None = None) -> AsyncIterator["_Watch"]:
        """Look at the protected files before the body, which runs a command, and after it, whatever happens.

        With *most_entries* only so many files are looked at, and what was made is named, not moved.
        """
        if identity_of(self.root.stat()) != self._identity:
            raise ToolError(f"the command was not run: {REPLACED}")
        watch = _Watch(await in_thread(guarded_in, self.root, most_entries))
        async with AsyncExitStack() as stack:
            if most_entries is None and any("/" in one.path for one in watch.before.values()):
                # A folder with a protected file in it can be renamed, and another command that begins at that
                # moment would see the file. What is in the root cannot: it is mounted itself.
                turn = _turn_in(self.root)
                waits = turn.locked()
                await stack.enter_async_context(turn)
                if waits:
                    watch.before = await in_thread(guarded_in, self.root)
            try:
                yield watch
            except OSError as error:
                raise ToolError(f"the command could not be started: {error.strerror or error}") from None
            finally:
                watch.left = await in_thread_to_the_end(
                    left_behind,
                    self.root,
                    watch.before,
                    GlobSet(self.allow_write).takes,
                    may_move=most_entries is None,
                    most_entries=most_entries,
                )

    def printed(self, ended: ProcessEnd, most_chars: int, tail_thirds: int = 1) -> str:
        """Return the output of *ended* as text for a model: secrets replaced, forged marks made harmless.

        Of a longer output, head and tail are kept; the tail gets *tail_thirds* of three parts. What it did to
        protected files is said at the end.
        """
        return "\n".join([self._output(ended, most_chars, tail_thirds), *map(self._told, ended.left)]).lstrip(
            "\n"
        )

    def left_behind(self, ended: ProcessEnd) -> tuple[str, ...]:
        """Return what *ended* did to protected files, a sentence each, for the user."""
        return tuple(self.secrets.redact(one.for_user) for one in ended.left)

    def _told(self, one: LeftFile) -> str:
        return f"[From the harness: {self.secrets.redact(one.for_model)}]"

    def _output(self, ended: ProcessEnd, most_chars: int, tail_thirds: int) -> str:
        if not ended.cut_bytes:
            return cut(self._clean(ended.output), most_chars, tail_thirds)
        # Next to the cut there may be half a secret, which would not be recognized.
        half = self.secrets.longest_chars
        head = self._clean(ended.output[: ended.head_bytes])
        head = head[: max(len(head) - half, 0)][: most_chars * (3 - tail_thirds) // 3]
        tail = self._clean(ended.output[ended.head_bytes :])
        tail = guarded_part(tail, max(half, len(tail) - most_chars * tail_thirds // 3))
        gone = ended.cut_bytes + len(ended.output) - len((head + tail).encode())
        return f"{head}\n[about {gone:,} bytes were cut out here]\n{tail}"

    async def _sandbox(self, environ: Mapping[str, str]) -> Bubblewrap:
        async with self._finding:  # no command runs while the workspace is still being examined
            if self._ready is None:
                try:
                    self._ready = await in_thread(self._made_ready, environ)
                except ConfigurationError as error:
                    raise ToolError(f"the command was not run: {error}") from None
        return self._ready

    def _made_ready(self, environ: Mapping[str, str]) -> Bubblewrap:
        found = self._require(environ) if self._found is None else self._found
        return attrs.evolve(found.made_ready(self.root), allow_write=self.allow_write)

    def _require(self, environ: Mapping[str, str]) -> Bubblewrap:
        return require_sandbox(self.root, environ, network=self.allow_network)

    def _clean(self, output: bytes) -> str:
        raw = output.decode("utf-8", "replace")
        return guarded(self.secrets.redact(without_escapes(self.secrets.redact(raw))))


_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Path, asyncio.Lock]] = WeakKeyDictionary()


def _turn_in(root: Path) -> asyncio.Lock:
    """Return the lock of the commands in *root* that have to wait for each other."""
    return _turns.setdefault(asyncio.get_running_loop(), {}).setdefault(root, asyncio.Lock())


def _require_command(command: str) -> None:
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


@attrs.define(eq=False)
class RunCommand:
    """Runs a shell command in the workspace, without the caller's secrets in its environment.

    It runs in a sandbox, or not at all, unless ``sandbox`` is ``"off"``; see :class:`CommandRunner`.
    It exists only if the caller allows it.
    """

    root: Path
    limits: ToolLimits
    secrets: Secrets
    environ: Mapping[str, str]
    sandbox: Sandbox = "required"
    allow_network: bool = False
    allow_write: tuple[str, ...] = ()
    parallel = False
    repeatable = False
    ask = True
    timeout_seconds = float("inf")  # the command's own limit applies
    spec: ToolSpec = attrs.field(init=False)
    _runner: CommandRunner = attrs.field(init=False)

    @_runner.default
    def _make_runner(self) -> CommandRunner:
        return CommandRunner(
            self.root,
            self.secrets,
            self.environ,
            self.sandbox,
            self.allow_network,
            allow_write=self.allow_write,
        )

    @spec.default
    def _describe(self) -> ToolSpec:
        most = f"{self.limits.command_seconds:g}"
        network = "" if self.allow_network else "there is no network, "
        bounds = (
            ""
            if self.sandbox == "off"
            else f" Of the machine, only programs can be seen; {network}and /tmp is empty in each call."
        )
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
        seconds = self._seconds(arguments)
        ended = await self._runner.run(arguments["command"], seconds, self.limits.output_chars)
        return self._outcome(ended, seconds)

    def require_sandbox(self) -> None:
        """Raise :exc:`~sunwell.errors.ConfigurationError` if commands need a sandbox that does not work."""
        self._runner.require_sandbox()

    def require_valid(self, arguments: Mapping[str, Any]) -> None:
        """Raise :exc:`~sunwell.errors.ToolError` if the command has the name of a secret in place of it."""
        if hidden := self.secrets.placeholders_in(arguments["command"]):
            raise ToolError(
                f"command has {hidden[0]} in it, which stands for a secret that is hidden from you, and "
                "commands run without secrets; write a command that does without it"
            )

    @property
    def runner(self) -> CommandRunner:
        """Who runs the commands."""
        return self._runner

    @property
    def confinement(self) -> Confinement:
        """How commands are confined if they can run at all."""
        return self._runner.confinement

    def summary(self, arguments: Mapping[str, Any]) -> str:
        """Return one line that says what would be run."""
        return "run " + " ".join(arguments["command"].split())

    def details(self, arguments: Mapping[str, Any]) -> str:
        """Return the whole command."""
        return str(arguments["command"])

    def conditions(self, arguments: Mapping[str, Any]) -> str:
        """Return where and how the command would run, for a person who decides about it."""
        network = "with network" if self.allow_network else "without network"
        how = (
            "without a sandbox: with network, and with all rights of your account"
            if self.sandbox == "off"
            else f"in a sandbox: {network}, and only this folder can be written to"
        )
        return f"in {self.root}, {how}; killed after {self._seconds(arguments):g} s"

    def _seconds(self, arguments: Mapping[str, Any]) -> float:
        return min(arguments["timeout_seconds"] or self.limits.command_seconds, self.limits.command_seconds)

    def _outcome(self, ended: ProcessEnd, seconds: float) -> Outcome:
        if ended.exit_code is None:
            head = f"{KILLED}{seconds:g} seconds, before it ended; what it printed:"
        else:
            head = f"exit code {ended.exit_code}"
        printed = self._runner.printed(ended, max(self.limits.output_chars - 200, 100))
        said = f"{head}\n{printed}" if printed.strip() else f"{head}\n(it printed nothing)"
        left = self._runner.left_behind(ended)
        return Outcome(said, ended.exit_code, is_error=ended.exit_code is None, left_behind=left)
