"""The rules of a run, held over whatever executor carries its tool calls out."""

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import attrs

from sunwell.core.message import FileChange, ToolCall, ToolResult
from sunwell.core.model import ToolSpec
from sunwell.core.secrets import Secrets
from sunwell.core.task import Conflict
from sunwell.core.tool import (
    Place,
    PlacedExecutor,
    Sandbox,
    SharedExecutor,
    Staged,
    StagingExecutor,
    Tool,
    ToolExecutor,
)
from sunwell.errors import ConfigurationError, ToolError
from sunwell.tools.limits import Approve, ToolLimits, both_approve
from sunwell.tools.originals import Originals
from sunwell.tools.staged_calls import CallTerms
from sunwell.tools.toolbox import Toolbox
from sunwell.tools.workspace import FileContent, Workspace

_LEFT_OUT = "dry run, not done: "
_MOST_KEPT_BYTES = 1 << 30


@attrs.frozen
class Rules:
    """What holds for every tool call of one run, whoever carries it out."""

    workspace: Workspace
    """The session's."""
    allow_shell: bool = False
    allow_python: bool = False
    approve: Approve | None = None
    dry_run: bool = False
    sandbox: Sandbox = "required"
    secrets: Secrets = attrs.field(factory=Secrets)
    originals: Originals | None = None
    """Keeps what files of the workspace were; ``None``: nothing is kept."""


def under_rules(executor: ToolExecutor, rules: Rules) -> ToolExecutor:
    """Return *executor* under *rules*; they hold for each worker's and each place's part of it, too.

    A :class:`~sunwell.tools.toolbox.Toolbox` is copied, see :meth:`~sunwell.tools.toolbox.Toolbox.under`.
    Of another executor that stages its calls, those that change files or are not repeatable are
    approved first, and left out of a dry run; originals are kept. One that only executes is asked for
    with every call.

    Raises :exc:`~sunwell.errors.ConfigurationError` for rules that *executor* cannot be held to: a dry
    run if it only executes, commands or scripts if it is no toolbox or has no workspace.
    """
    if isinstance(executor, Toolbox):
        is_here = executor.workspace is None or executor.workspace.root == rules.workspace.root
        return executor.under(
            allow_shell=rules.allow_shell,
            allow_python=rules.allow_python,
            approve=rules.approve,
            dry_run=rules.dry_run,
            sandbox=rules.sandbox,
            secrets=rules.secrets,
            # Paths are relative: originals of another folder would be put back into this one.
            originals=rules.originals if is_here else None,
        )
    kind = type(executor.inner if isinstance(executor, GovernedExecutor) else executor).__name__
    for option in ("allow_shell", "allow_python"):
        if getattr(rules, option):
            raise ConfigurationError(
                f"{option} adds a tool to a Toolbox, and the executor {kind} is none: leave {option} out, or "
                "use a Toolbox"
            )
    terms = CallTerms(ToolLimits(), rules.secrets, rules.dry_run, rules.approve, rules.originals)
    files = rules.workspace
    if isinstance(executor, GovernedExecutor):
        inner = executor.terms
        terms = CallTerms(
            inner.limits,
            inner.secrets.joined(rules.secrets),
            inner.dry_run or rules.dry_run,
            both_approve(inner.approve, rules.approve),
            rules.originals if inner.originals is None else inner.originals,
        )
        files = rules.workspace if inner.originals is None else executor.files
        executor = executor.inner
    if terms.dry_run and not isinstance(executor, StagingExecutor):
        raise ConfigurationError(
            f"a dry run needs an executor that stages its calls, and {kind} only executes them: leave "
            "dry_run out, or give the executor the methods of StagingExecutor"
        )
    return _governed(executor, terms, files)


def approver_of(executor: ToolExecutor) -> Approve | None:
    """Return who approves calls to *executor*, as far as its rules say."""
    if isinstance(executor, Toolbox):
        return executor.approve
    return executor.terms.approve if isinstance(executor, GovernedExecutor) else None


def is_dry_run(executor: ToolExecutor) -> bool:
    """Whether the rules of *executor* say that nothing is changed."""
    if isinstance(executor, Toolbox):
        return executor.dry_run
    return isinstance(executor, GovernedExecutor) and executor.terms.dry_run


@attrs.define(eq=False)
class GovernedExecutor:
    """An executor under rules: a :class:`~sunwell.core.tool.SharedExecutor`, whether or not it is one."""

    inner: ToolExecutor
    terms: CallTerms
    files: Workspace
    """Where originals are kept of."""
    _is_shared: bool = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._is_shared = isinstance(self.inner, SharedExecutor)

    def specs(self) -> tuple[ToolSpec, ...]:
        """Return the tools on offer, as far as the executor says."""
        specs = getattr(self.inner, "specs", None)
        return tuple(specs()) if callable(specs) else ()

    async def execute(self, call: ToolCall) -> ToolResult:
        """Ask, and carry *call* out. What its code raises is the caller's to tell."""
        if self.terms.dry_run:  # only a part of an executor comes here: the whole was refused
            return self.terms.failure(call, f"{_LEFT_OUT}the tool {call.name} can only be carried out")
        try:
            await self.terms.require_approval(call.name, f"run the tool {call.name}", call.arguments)
        except ToolError as error:
            return self.terms.failure(call, error.sentence)
        return await self.inner.execute(call)

    def beside(self, tools: Iterable[Tool]) -> Toolbox:
        """Return a toolbox of *tools* alone, under the same rules, questions to approvers in turn."""
        box = Toolbox(
            tools=tuple(tools),
            approve=self.terms.approve,
            dry_run=self.terms.dry_run,
            limits=self.terms.limits,
            secrets=self.terms.secrets,
        )
        return box.asking_with(self.terms)

    def for_worker(self, worker_id: str) -> ToolExecutor:
        """Return the executor for one worker, under the same rules."""
        if not self._is_shared:
            return self
        inner: Any = self.inner
        return _governed(inner.for_worker(worker_id), self.terms, self.files)

    def conflicts_of(self, worker_id: str) -> tuple[Conflict, ...]:
        """Return where *worker_id* and others met in the same file, as far as the executor knows."""
        inner: Any = self.inner
        return inner.conflicts_of(worker_id) if self._is_shared else ()

    def note(self, worker_id: str, result: ToolResult) -> None:
        """Pass on what *worker_id* did in an earlier process."""
        inner: Any = self.inner
        if self._is_shared:
            inner.note(worker_id, result)

    def release(self, worker_id: str) -> None:
        """Pass on that *worker_id* is over."""
        inner: Any = self.inner
        if self._is_shared:
            inner.release(worker_id)


@attrs.define(eq=False)
class _Placed(GovernedExecutor):
    """What depends on its place in a run, under rules."""

    def at(self, place: Place) -> Any:
        """Return the executor for the call at *place*, under the same rules."""
        if not isinstance(self.inner, PlacedExecutor):
            return self
        return _governed(self.inner.at(place), self.terms, self.files)

    def recall(self, call: ToolCall, place: Place) -> None:
        """Pass on that *call* was carried out at *place* by an earlier process."""
        if isinstance(self.inner, PlacedExecutor):
            self.inner.recall(call, place)


@attrs.define(eq=False)
class _Staging(_Placed):
    """An executor that stages its calls, under rules."""

    async def execute(self, call: ToolCall) -> ToolResult:
        """Stage *call* and carry it out."""
        staged = await self.stage(call)
        return await staged.finish()

    async def stage(self, call: ToolCall) -> Staged:
        """Have the executor check *call*; nothing is changed yet."""
        inner: Any = self.inner
        return GovernedCall(call, await inner.stage(call), self.terms, self.files)

    async def hashes(self, paths: tuple[str, ...]) -> tuple[str | None, ...]:
        """Return the SHA-256 of each file as it stands, ``None`` where there is none."""
        inner: Any = self.inner
        found: tuple[str | None, ...] = await inner.hashes(paths)
        return found

    def is_parallel(self, name: str) -> bool:
        """Whether calls to the tool *name* may run side by side."""
        inner: Any = self.inner
        return bool(inner.is_parallel(name))


def _governed(inner: ToolExecutor, terms: CallTerms, files: Workspace) -> GovernedExecutor:
    if isinstance(inner, StagingExecutor):
        return _Staging(inner, terms, files)
    return (_Placed if isinstance(inner, PlacedExecutor) else GovernedExecutor)(inner, terms, files)


@attrs.frozen
class GovernedCall:
    """A call that another executor has staged, under rules."""

    call: ToolCall
    inner: Staged
    terms: CallTerms
    files: Workspace

    @property
    def _acts(self) -> bool:
        return bool(self.inner.changes) or not self.inner.repeatable

    @property
    def _is_left_out(self) -> bool:
        return self.terms.dry_run and self._acts

    @property
    def changes(self) -> tuple[FileChange, ...]:
        """Files that will change; none if the call is left out of a dry run."""
        return () if self._is_left_out else self.inner.changes

    @property
    def repeatable(self) -> bool:
        """What the executor says; what is left out does nothing and may be repeated."""
        return self._is_left_out or self.inner.repeatable

    @property
    def foretold(self) -> ToolResult | None:
        """The result if all goes well; none is foretold of what is left out."""
        foretold = None if self._is_left_out else self.inner.foretold
        return None if foretold is None else self._redacted(foretold)

    async def finish(self) -> ToolResult:
        """Ask, keep the originals, and carry the call out."""
        if self._is_left_out:
            text = self.terms.secrets.redact(f"{_LEFT_OUT}{self._summary()}")
            return ToolResult(self.call.id, text)
        kept: list[FileChange] = []
        if self._acts:
            try:
                await self.terms.require_approval(self.call.name, self._summary(), self._details())
                kept = [change for change in self.inner.changes if self._keep(change)]
            except ToolError as error:
                return self.terms.failure(self.call, error.sentence)
        result = await self.inner.finish()
        if not isinstance(result, ToolResult):  # the caller of this call says what is wrong with it
            return result
        if not result.is_error:
            self._find_missed(kept)
        return self._redacted(result)

    def _summary(self) -> str:
        said = [f"{_verb(change)} {change.path}" for change in self.inner.changes]
        return ", ".join(said) or f"run the tool {self.call.name}"

    def _details(self) -> str:
        lines = [
            f"{change.path}: {change.before or 'no file'} becomes {change.after or 'no file'}"
            for change in self.inner.changes
        ]
        return "\n".join([f"{self.call.name} {self.call.arguments}", *lines])

    @property
    def _originals(self) -> Originals | None:
        return self.terms.originals if isinstance(self.terms.originals, Originals) else None

    def _redacted(self, result: ToolResult) -> ToolResult:
        return attrs.evolve(result, content=self.terms.secrets.redact(result.content))

    def _keep(self, change: FileChange) -> bool:
        """Keep what the file is if it is the one that the executor means; whether it was kept."""
        originals = self._originals
        if originals is None:
            return False
        try:
            path = self.files.locate(change.path)
            found: FileContent | None = self.files.read(path, _MOST_KEPT_BYTES)
        except ToolError:  # outside of the workspace, or closed to tools: undo says that it was not kept
            return False
        if (None if found is None else found.sha256) != change.before:
            return False
        try:
            originals.keep(path, change.before, None if found is None else found.data)
            originals.expect(path, change.after)
        except OSError as error:
            raise ToolError(f"the original of {path} cannot be kept ({error}); it was not changed") from None
        return True

    def _find_missed(self, kept: Iterable[FileChange]) -> None:
        """Note of which files the executor changed others of the same name, elsewhere."""
        for change in kept:
            with suppress(ToolError, OSError):  # the change is made: undo then says less, the run goes on
                path = self.files.locate(change.path)
                if self.files.sha256(path) != change.after and self._originals is not None:
                    self._originals.miss(path, change.after)


def is_left_out(result: ToolResult) -> bool:
    """Whether *result* says that its call was left out of a dry run."""
    return result.content.startswith(_LEFT_OUT)


def _verb(change: FileChange) -> str:
    if change.after is None:
        return "delete"
    return "make" if change.before is None else "change"
