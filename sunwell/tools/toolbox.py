"""The toolbox: all tools that a model may call by name, and the rules for them."""

import copy
import os
import re
from collections.abc import Container, Iterable, Sequence
from contextlib import suppress
from typing import Any

import attrs

from sunwell.core.confinement import Confinement
from sunwell.core.message import ToolCall, ToolResult
from sunwell.core.model import ToolSpec
from sunwell.core.secrets import Secrets
from sunwell.core.task import Conflict
from sunwell.core.tool import SANDBOXES, Place, Sandbox, Staged, Tool
from sunwell.errors import ConfigurationError, ToolError
from sunwell.tools.arguments import read_arguments
from sunwell.tools.claims import Claimant, Claims
from sunwell.tools.environment import secrets_from_environment
from sunwell.tools.file_tools import EditFile, ListFiles, ReadFile, WriteFile, Writer
from sunwell.tools.function_tool import FunctionTool
from sunwell.tools.limits import Approve, ToolLimits, both_approve
from sunwell.tools.originals import Keeper
from sunwell.tools.python import ExecutePython
from sunwell.tools.python_session import require_interpreter
from sunwell.tools.sandbox import OFF_WARNING
from sunwell.tools.search import SearchFiles
from sunwell.tools.shell import CommandRunner, RunCommand
from sunwell.tools.staged_calls import CallTerms, StagedAnswer, StagedRun, StagedWrite
from sunwell.tools.tool_plugins import BUILT_IN, unknown_tool
from sunwell.tools.workspace import Workspace
from sunwell.tools.workspace_view import WorkspaceView

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
AnyTool = Tool | RunCommand | ExecutePython | WriteFile | EditFile


def _workspace(value: "Workspace | str | os.PathLike[str] | None") -> Workspace | None:
    return value if value is None or isinstance(value, Workspace) else Workspace(value)


def _secrets(value: Secrets | None) -> Secrets:
    return secrets_from_environment() if value is None else value


def _globs(value: Iterable[str]) -> tuple[str, ...]:
    if isinstance(value, str):
        raise TypeError(f"expected several globs, got the single string {value!r}")
    return tuple(value)


def _tools(value: Iterable[Tool]) -> tuple[Tool, ...]:
    tools = tuple(value)
    for tool in tools:
        # The class first: to ask whether an object fits a protocol takes long.
        if not isinstance(tool, FunctionTool) and not isinstance(tool, Tool):
            raise ConfigurationError(f"{tool!r} is not a tool: decorate the function with @tool")
    return tools


READING_TOOLS = ("list_files", "read_file", "search_files")
"""Tools of a workspace that change nothing."""


@attrs.define(eq=False, slots=False)  # copied for each run: a dictionary is copied in one step
class Toolbox:
    """Tools of a workspace and tools of the caller, as a :class:`~sunwell.core.tool.StagingExecutor`.

    ``approve`` is called with a :class:`~sunwell.core.tool.Proposal` before every write and command, and
    before the caller's tools that have side effects; it may be async, and only ``True`` approves. A
    ``dry_run`` writes nothing and runs neither commands nor tools with side effects; later reads see the
    planned files. A tool has side effects if it is marked with ``ask=True``, or is neither ``parallel`` nor
    ``repeatable`` and not marked with ``ask=False``.
    ``originals`` keeps the content of files before their first change. ``secrets`` are replaced in all
    text for a model, an approver or a log; by default they are those of the environment.

    Commands run in a sandbox, or not at all, unless ``sandbox`` is ``"off"``. There they have no network
    unless ``allow_network`` is set.

    Files that other programs run by themselves (see :mod:`~sunwell.tools.protected`) are only written if
    ``approve`` approves it or a glob of ``allow_write`` selects them.

    The caller's tools may have ``timeout_seconds`` (infinite: no limit) and ``ask``.
    """

    workspace: Workspace | None = attrs.field(default=None, converter=_workspace)
    tools: Sequence[Tool] = attrs.field(default=(), converter=_tools)
    allow_shell: bool = attrs.field(default=False, kw_only=True)
    allow_python: bool = attrs.field(default=False, kw_only=True)
    approve: Approve | None = attrs.field(default=None, kw_only=True)
    dry_run: bool = attrs.field(default=False, kw_only=True)
    limits: ToolLimits = attrs.field(default=ToolLimits(), kw_only=True)
    secrets: Secrets = attrs.field(default=None, kw_only=True, converter=_secrets)
    originals: Keeper | None = attrs.field(default=None, kw_only=True)
    sandbox: Sandbox = attrs.field(
        default="required", kw_only=True, validator=attrs.validators.in_(SANDBOXES)
    )
    allow_network: bool = attrs.field(default=False, kw_only=True)
    allow_write: Sequence[str] = attrs.field(default=(), kw_only=True, converter=_globs)
    _terms: CallTerms = attrs.field(init=False)
    _by_name: dict[str, AnyTool] = attrs.field(init=False)
    _granted: frozenset[str] = attrs.field(init=False)
    _claims: Claims = attrs.field(init=False)
    _claimant: Claimant | None = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self._set_up(BUILT_IN)
        self._granted = frozenset(self._by_name)

    def _set_up(self, offered: Container[str]) -> None:
        """Create the tools again; built-in ones only if their names are in *offered*."""
        if self.allow_shell and self.workspace is None:
            raise ConfigurationError("allow_shell needs a workspace: set the folder in which commands run")
        if self.allow_python:
            if self.workspace is None:
                raise ConfigurationError(
                    "allow_python needs a workspace: set the folder that scripts may read"
                )
            require_interpreter()
        view = (
            None
            if self.workspace is None
            else WorkspaceView(
                self.workspace,
                self.limits,
                self.secrets,
                allow_write=tuple(self.allow_write),
                asks=self.approve is not None,
            )
        )
        built_in = [tool for tool in self._built_in(view) if tool.spec.name in offered]
        vars(self).update(  # past the checks of an assignment, of which there are none for these
            _terms=CallTerms(self.limits, self.secrets, self.dry_run, self.approve, self.originals, view),
            _by_name=_named([*built_in, *self.tools]),
            _claims=Claims(self._sha256),
        )

    def specs(self) -> tuple[ToolSpec, ...]:
        """Return all tools in a fixed order, including those that are not granted."""
        return tuple(tool.spec for tool in self._by_name.values())

    def require_sandbox(self, names: Iterable[str] | None = None) -> None:
        """Raise :exc:`~sunwell.errors.ConfigurationError` if commands need a sandbox that does not work.

        Nothing is raised if no command can run anyway: commands are not allowed, *names* does not include
        the tool, or it is a dry run.
        """
        for tool in self._by_name.values():
            name = tool.spec.name
            is_open = name in self._granted and (names is None or name in names)
            if isinstance(tool, RunCommand) and is_open and not self.dry_run:
                tool.require_sandbox()

    @property
    def command_runner(self) -> CommandRunner | None:
        """Who runs the commands of models; ``None`` if this toolbox runs none."""
        tool = self._by_name.get("run_command")
        if not isinstance(tool, RunCommand) or "run_command" not in self._granted:
            return None
        self._before_changes()
        return tool.runner

    async def require_command_approval(self, command: str, what: str = "") -> None:
        """Ask for approval of *command* as of a call of ``run_command``; the question begins with *what*.

        Raises :exc:`~sunwell.errors.ToolError` if it is invalid or not approved. A dry run asks nobody.
        """
        tool = self._tool("run_command")
        arguments = {"command": command, "timeout_seconds": None}
        if not isinstance(tool, RunCommand) or self.dry_run:
            return
        tool.require_valid(arguments)
        summary, details = f"{what}{tool.summary(arguments)}", tool.details(arguments)
        how = tool.conditions(arguments)
        await self._terms.require_approval("run_command", summary, details, conditions=how)

    def warning(self, names: Iterable[str] | None = None) -> str:
        """Return the warning that commands run without a sandbox; empty if none does."""
        return OFF_WARNING if self.confinement(names).sandbox == "off" else ""

    def confinement(self, names: Iterable[str] | None = None) -> Confinement:
        """Return how commands are confined; *names* are the tools that may be used, all by default."""
        tool = self._by_name.get("run_command")
        is_open = "run_command" in self._granted and (names is None or "run_command" in names)
        if isinstance(tool, RunCommand) and is_open and not self.dry_run:
            return tool.confinement
        return Confinement()

    def with_tools(self, names: Iterable[str]) -> "Toolbox":
        """Return this toolbox restricted to *names*; it grants no tool that is not granted here.

        The specs stay the same, so that all workers of a batch send the same bytes. Files planned in a dry
        run, originals and approvals are shared.
        Raises :exc:`~sunwell.errors.ConfigurationError` for an unknown tool name.
        """
        if isinstance(names, str):
            raise TypeError(f"expected several names, got the single string {names!r}")
        wanted = frozenset(names)
        for name in sorted(wanted - self._by_name.keys()):
            raise ConfigurationError(unknown_tool(name, tuple(self._by_name)))
        box = copy.copy(self)
        box._granted = self._granted & wanted
        return box

    def under(
        self,
        *,
        allow_shell: bool = False,
        allow_python: bool = False,
        approve: Approve | None = None,
        dry_run: bool = False,
        sandbox: Sandbox = "required",
        allow_network: bool = False,
        secrets: Secrets | None = None,
        originals: Keeper | None = None,
        allow_write: Iterable[str] = (),
        ignore: Iterable[str] = (),
    ) -> "Toolbox":
        """Return a copy of this toolbox for one run; its rules apply in addition to the toolbox's own.

        It is a dry run if either side says so. Both approvers are asked, this toolbox's first, and both
        must approve. Commands run without a sandbox if either side says ``"off"``, and with the network if
        either side allows it, since neither is the default; the globs of both in ``allow_write`` hold.
        What *ignore* matches is hidden from the workspace's tools, beside what the workspace hides.
        Secrets of both are replaced. *originals* are used if the toolbox has none. Claims of workers and
        planned files are separate from those of the original toolbox.
        Raises :exc:`~sunwell.errors.ConfigurationError` for commands or scripts without a workspace,
        or in a toolbox that was narrowed to other tools.
        """
        box = copy.copy(self)
        added = {"run_command"} if allow_shell else set()
        added |= {"execute_python"} if allow_python else set()
        is_narrowed = self._granted != frozenset(self._by_name)
        for name in sorted(added - self._granted) if is_narrowed else ():
            option = "allow_shell" if name == "run_command" else "allow_python"
            raise ConfigurationError(
                f"the options set {option}, but with_tools() restricted the toolbox to tools without "
                f"{name}: add it there, or leave {option} out"
            )
        hides = self.workspace is not None and (patterns := tuple(ignore))
        vars(box).update(  # each is checked already: it need not be once more
            allow_shell=self.allow_shell or allow_shell,
            allow_python=self.allow_python or allow_python,
            approve=both_approve(self.approve, approve),
            dry_run=self.dry_run or dry_run,
            sandbox="off" if "off" in (self.sandbox, sandbox) else "required",
            allow_network=self.allow_network or allow_network,
            allow_write=(*self.allow_write, *allow_write),
            workspace=self.workspace.hiding(patterns) if self.workspace and hides else self.workspace,
            secrets=self.secrets if secrets is None else self.secrets.joined(secrets),
            originals=originals if self.originals is None else self.originals,
        )
        own = {tool.spec.name for tool in self.tools}
        box._set_up((self._by_name.keys() - own) | added)
        granted = self._granted if is_narrowed else frozenset(box._by_name)
        vars(box).update(_granted=granted, _claimant=None)
        return box

    def keep_originals(self, originals: Keeper) -> None:
        """Use *originals* from now on if this toolbox has none. No call may have been staged before."""
        if self.originals is None:
            self._terms.originals = originals
            vars(self).update(originals=originals)

    def adding(self, tools: Iterable[Tool]) -> "Toolbox":
        """Return this toolbox with *tools* added at the end, all of them granted.

        Raises :exc:`~sunwell.errors.ConfigurationError` for a name that is already in use.
        """
        box = copy.copy(self)
        more = _tools(tools)
        box.tools = (*self.tools, *more)
        box._by_name = _named([*self._by_name.values(), *more])
        box._granted = self._granted | {tool.spec.name for tool in more}
        return box

    def beside(self, tools: Iterable[Tool]) -> "Toolbox":
        """Return a toolbox with only *tools*, the same rules, and the same queue of approval questions."""
        box = copy.copy(self)
        box.tools = _tools(tools)
        box._by_name = _named([*box.tools])
        box._granted = frozenset(box._by_name)
        return box

    def asking_with(self, terms: CallTerms) -> "Toolbox":
        """Return this toolbox; it shares the queue of approval questions with *terms*."""
        box = copy.copy(self)
        box._terms = self._terms.in_turn_with(terms)
        return box

    def for_worker(self, worker_id: str) -> "Toolbox":
        """Return this toolbox for one worker: its reads and writes are checked against the others'."""
        box = copy.copy(self)
        box._claimant = Claimant(self._claims, worker_id)
        return box

    def conflicts_of(self, worker_id: str) -> tuple[Conflict, ...]:
        """Return the conflicts of *worker_id* with other workers."""
        return self._claims.conflicts_of(worker_id)

    def note(self, worker_id: str, result: ToolResult) -> None:
        """Record a call that *worker_id* made in an earlier process of the same run."""
        self._claims.note(worker_id, result)

    def release(self, worker_id: str) -> None:
        """Release the claims of *worker_id*, after its end."""
        self._claims.release(worker_id)

    def is_parallel(self, name: str) -> bool:
        """Whether calls of the tool *name* may run concurrently: tools that only read may."""
        return bool(getattr(self._by_name.get(name), "parallel", False))

    async def hashes(self, paths: tuple[str, ...]) -> tuple[str | None, ...]:
        """Return the current SHA-256 of each file on disk; ``None`` if it cannot be read."""
        return tuple([self._sha256(path) for path in paths])

    async def execute(self, call: ToolCall) -> ToolResult:
        """Stage *call* and execute it."""
        staged = await self.stage(call)
        return await staged.finish()

    async def stage(self, call: ToolCall) -> Staged:
        """Check *call* and determine what it would change; nothing is changed yet.

        An invalid call is staged, too: its result tells the model what is wrong.
        """
        try:
            tool = self._tool(call.name)
            arguments = read_arguments(call, tool.spec)
            if callable(require_valid := getattr(tool, "require_valid", None)):
                require_valid(arguments)  # before anybody is asked to approve it
        except ToolError as error:
            return StagedAnswer(self._terms.refusal(call, error.sentence))
        if isinstance(tool, (WriteFile, EditFile)):
            assert self._terms.view is not None
            try:
                if self._claimant is not None:
                    return await self._claimant.write(call, tool, arguments, self._terms, self._terms.view)
                return StagedWrite(call, tool.plan(arguments), self._terms, self._terms.view)
            except ToolError as error:
                return StagedAnswer(self._terms.failure(call, error.sentence))
        if not tool.repeatable:
            self._before_changes()
        staged = StagedRun(call, tool, arguments, self._terms)
        if self._claimant is None:
            return staged
        return self._claimant.done(staged, looks_again=not tool.repeatable)

    def at(self, place: Place) -> "Toolbox":
        """Return this toolbox: its calls do not depend on their place in a run."""
        return self

    def recall(self, call: ToolCall, place: Place) -> None:
        """Repeat the plan of *call* from a dry run in an earlier process: it is not on disk."""
        view = self._terms.view
        if not self.dry_run or view is None:
            return
        with suppress(ToolError):  # it was invalid then, too
            tool = self._tool(call.name)
            if isinstance(tool, WriteFile | EditFile):
                plan = tool.plan(read_arguments(call, tool.spec))
                view.planned[plan.path] = plan.new

    def _before_changes(self) -> None:
        if self.workspace is not None:
            self.workspace.look_round()

    def _tool(self, name: str) -> AnyTool:
        if name not in self._by_name:
            raise ToolError(unknown_tool(name, tuple(n for n in self._by_name if n in self._granted)))
        if name not in self._granted:
            granted = ", ".join(n for n in self._by_name if n in self._granted) or "none"
            raise ToolError(f"the tool {name} is not open to you; yours are: {granted}")
        tool = self._by_name[name]
        return tool.open_to(self._granted) if isinstance(tool, ExecutePython) else tool

    def _sha256(self, path: str) -> str | None:
        if self.workspace is None:
            return None
        try:
            return self.workspace.sha256(path)
        except ToolError:
            return None

    def _built_in(self, view: WorkspaceView | None) -> list[Any]:
        if view is None:
            return []
        tools: list[Any] = [ListFiles(view), ReadFile(view), SearchFiles(view)]
        writers: list[Writer] = [WriteFile(view), EditFile(view)]
        tools += writers
        if self.allow_python:
            tools.append(ExecutePython(view))
        if self.allow_shell:
            root = view.workspace.root
            tools.append(
                RunCommand(
                    root,
                    self.limits,
                    self.secrets,
                    os.environ,
                    self.sandbox,
                    self.allow_network,
                    allow_write=tuple(self.allow_write),
                )
            )
        return tools


def _named(tools: list[AnyTool]) -> dict[str, AnyTool]:
    named: dict[str, AnyTool] = {}
    for tool in tools:
        name = tool.spec.name
        if not _NAME.fullmatch(name):
            raise ConfigurationError(f"invalid tool name {name!r}: use 1 to 64 letters, digits, _ and -")
        if name in named:
            raise ConfigurationError(f"two tools are called {name!r}; rename one of them")
        named[name] = tool
    return named
