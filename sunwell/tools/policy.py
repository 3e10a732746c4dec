"""The rules of a run, enforced for every executor of tool calls."""

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
from sunwell.tools.file_glob import GlobSet
from sunwell.tools.limits import Approve, ToolLimits, both_approve
from sunwell.tools.originals import Originals
from sunwell.tools.protected import kind_of_path
from sunwell.tools.staged_calls import CallTerms
from sunwell.tools.toolbox import Toolbox
from sunwell.tools.user_files import own_kind_of
from sunwell.tools.workspace import FileContent, Workspace, not_allowed

_LEFT_OUT = "dry run, not done: "
_MOST_KEPT_BYTES = 1 << 30


@attrs.frozen
class Rules:
    """Rules for every tool call of one run, whatever its executor."""

    workspace: Workspace
    """The secrets of the session."""
    allow_shell: bool = False
    allow_python: bool = False
    approve: Approve | None = None
    dry_run: bool = False
    sandbox: Sandbox = "required"
    allow_network: bool = False
    """Whether commands in the sandbox may use the network."""
    secrets: Secrets = attrs.field(factory=Secrets)
    originals: Originals | None = None
    """Keeps the original content of files in the workspace; ``None``: not kept."""
    allow_write: tuple[str, ...] = ()
    """Globs of files that may be written although other programs run them by themselves."""
    ignore: tuple[str, ...] = ()
    """Patterns of files that no tool of the workspace lists, reads or writes."""


def under_rules(executor: ToolExecutor, rules: Rules) -> ToolExecutor:
    """Return *executor* with *rules* enforced, also for each worker and each place.

    A :class:`~sunwell.tools.toolbox.Toolbox` is copied, see :meth:`~sunwell.tools.toolbox.Toolbox.under`.
    If another executor stages its calls, those that change files or are not repeatable need approval and
    are skipped in a dry run; originals are kept. If it only executes, every call needs approval.

    Raises :exc:`~sunwell.errors.ConfigurationError` for rules that cannot be enforced on *executor*: a dry
    run if it only executes, commands, scripts or hidden files if it is not a toolbox, commands or scripts
    if it has no workspace.
    """
    if isinstance(executor, Toolbox):
        return executor.under(
            allow_shell=rules.allow_shell,
            allow_python=rules.allow_python,
            approve=rules.approve,
            dry_run=rules.dry_run,
            sandbox=rules.sandbox,
            allow_network=rules.allow_network,
            secrets=rules.secrets,
            # Paths are relative: originals of another folder would be restored into this one.
            originals=rules.originals if _is_in(executor, rules.workspace) else None,
            allow_write=rules.allow_write,
            ignore=rules.ignore,
        )
    kind = type(executor.inner if isinstance(executor, GovernedExecutor) else executor).__name__
    _require_no_toolbox_rule(rules, kind)
    terms = CallTerms(
        ToolLimits(),
        rules.secrets,
        rules.dry_run,
        rules.approve,
        rules.originals,
        allow_write=rules.allow_write,
    )
    files = rules.workspace
    if isinstance(executor, GovernedExecutor):
        inner = executor.terms
        terms = CallTerms(
            inner.limits,
            inner.secrets.joined(rules.secrets),
            inner.dry_run or rules.dry_run,
            both_approve(inner.approve, rules.approve),
            rules.originals if inner.originals is None else inner.originals,
            allow_write=(*inner.allow_write, *rules.allow_write),
        )
        files = rules.workspace if inner.originals is None else executor.files
        executor = executor.inner
    if terms.dry_run and not isinstance(executor, StagingExecutor):
        raise ConfigurationError(
            f"a dry run needs an executor that stages its calls, but {kind} only executes them: leave "
            "dry_run out, or add the methods of StagingExecutor to the executor"
        )
    return _governed(executor, terms, files)


def keep_originals(executor: ToolExecutor, originals: Originals, workspace: Workspace) -> None:
    """Have *executor*, which is under rules for *workspace*, keep *originals* as one of them says."""
    if isinstance(executor, Toolbox):
        if _is_in(executor, workspace):
            executor.keep_originals(originals)
    elif isinstance(executor, GovernedExecutor) and executor.terms.originals is None:
        executor.terms.originals = originals


def _is_in(box: Toolbox, workspace: Workspace) -> bool:
    return box.workspace is None or box.workspace.root == workspace.root


def _require_no_toolbox_rule(rules: Rules, kind: str) -> None:
    """Raise :exc:`~sunwell.errors.ConfigurationError` for a rule that only a toolbox can be held to."""
    for option in ("allow_shell", "allow_python"):
        if getattr(rules, option):
            raise ConfigurationError(
                f"{option} adds a tool to a Toolbox, but the executor {kind} is not one: leave {option} out, "
                "or use a Toolbox"
            )
    if rules.ignore:
        raise ConfigurationError(
            f"ignore hides files from the tools of a Toolbox, but the executor {kind} is not one: leave "
            "ignore out, or use a Toolbox"
        )


def approver_of(executor: ToolExecutor) -> Approve | None:
    """Return the approver of calls to *executor*, if its rules have one."""
    if isinstance(executor, Toolbox):
        return executor.approve
    return executor.terms.approve if isinstance(executor, GovernedExecutor) else None


def is_dry_run(executor: ToolExecutor) -> bool:
    """Whether *executor* is in a dry run."""
    if isinstance(executor, Toolbox):
        return executor.dry_run
    return isinstance(executor, GovernedExecutor) and executor.terms.dry_run


@attrs.define(eq=False)
class GovernedExecutor:
    """An executor with enforced rules; always a :class:`~sunwell.core.tool.SharedExecutor`."""

    inner: ToolExecutor
    terms: CallTerms
    files: Workspace
    """The workspace whose original files are kept."""
    _is_shared: bool = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._is_shared = isinstance(self.inner, SharedExecutor)

    def specs(self) -> tuple[ToolSpec, ...]:
        """Return the offered tools, if the executor lists them."""
        specs = getattr(self.inner, "specs", None)
        return tuple(specs()) if callable(specs) else ()

    async def execute(self, call: ToolCall) -> ToolResult:
        """Ask for approval and execute *call*. Errors in its code are left to the caller."""
        if self.terms.dry_run:  # only part of an executor gets here: a whole one was rejected
            return self.terms.failure(call, f"{_LEFT_OUT}the tool {call.name} can only be carried out")
        try:
            await self.terms.require_approval(call.name, f"run the tool {call.name}", call.arguments)
        except ToolError as error:
            return self.terms.failed(call, error)
        return await self.inner.execute(call)

    def beside(self, tools: Iterable[Tool]) -> Toolbox:
        """Return a toolbox with only *tools*, the same rules, and the same queue of approval questions."""
        box = Toolbox(
            tools=tuple(tools),
            approve=self.terms.approve,
            dry_run=self.terms.dry_run,
            limits=self.terms.limits,
            secrets=self.terms.secrets,
        )
        return box.asking_with(self.terms)

    def for_worker(self, worker_id: str) -> ToolExecutor:
        """Return the executor for one worker, with the same rules."""
        if not self._is_shared:
            return self
        inner: Any = self.inner
        return _governed(inner.for_worker(worker_id), self.terms, self.files)

    def conflicts_of(self, worker_id: str) -> tuple[Conflict, ...]:
        """Return the conflicts of *worker_id* with other workers, if the executor tracks them."""
        inner: Any = self.inner
        return inner.conflicts_of(worker_id) if self._is_shared else ()

    def note(self, worker_id: str, result: ToolResult) -> None:
        """Tell the executor what *worker_id* did in an earlier process."""
        inner: Any = self.inner
        if self._is_shared:
            inner.note(worker_id, result)

    def release(self, worker_id: str) -> None:
        """Tell the executor that *worker_id* has ended."""
        inner: Any = self.inner
        if self._is_shared:
            inner.release(worker_id)


@attrs.define(eq=False)
class _Placed(GovernedExecutor):
    """An executor that depends on the place in a run, with enforced rules."""

    def at(self, place: Place) -> Any:
        """Return the executor for the call at *place*, with the same rules."""
        if not isinstance(self.inner, PlacedExecutor):
            return self
        return _governed(self.inner.at(place), self.terms, self.files)

    def recall(self, call: ToolCall, place: Place) -> None:
        """Tell the executor that an earlier process executed *call* at *place*."""
        if isinstance(self.inner, PlacedExecutor):
            self.inner.recall(call, place)


@attrs.define(eq=False)
class _Staging(_Placed):
    """An executor that stages its calls, with enforced rules."""

    async def execute(self, call: ToolCall) -> ToolResult:
        """Stage *call* and execute it."""
        staged = await self.stage(call)
        return await staged.finish()

    async def stage(self, call: ToolCall) -> Staged:
        """Let the executor check *call*; nothing is changed yet."""
        inner: Any = self.inner
        return GovernedCall(call, await inner.stage(call), self.terms, self.files)

    async def hashes(self, paths: tuple[str, ...]) -> tuple[str | None, ...]:
        """Return the current SHA-256 of each file; ``None`` if there is no file."""
        inner: Any = self.inner
        found: tuple[str | None, ...] = await inner.hashes(paths)
        return found

    def is_parallel(self, name: str) -> bool:
        """Whether calls of the tool *name* may run concurrently."""
        inner: Any = self.inner
        return bool(inner.is_parallel(name))


def _governed(inner: ToolExecutor, terms: CallTerms, files: Workspace) -> GovernedExecutor:
    if isinstance(inner, StagingExecutor):
        return _Staging(inner, terms, files)
    return (_Placed if isinstance(inner, PlacedExecutor) else GovernedExecutor)(inner, terms, files)


@attrs.frozen
class GovernedCall:
    """A call that another executor has staged, with enforced rules."""

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
        """Files that will change; none if a dry run skips the call."""
        return () if self._is_left_out else self.inner.changes

    @property
    def repeatable(self) -> bool:
        """As the executor says; a skipped call does nothing and may be repeated."""
        return self._is_left_out or self.inner.repeatable

    @property
    def foretold(self) -> ToolResult | None:
        """The result if the call succeeds; unknown for a skipped call."""
        foretold = None if self._is_left_out else self.inner.foretold
        return None if foretold is None else self._redacted(foretold)

    async def finish(self) -> ToolResult:
        """Ask for approval, keep the originals, and execute the call."""
        if self._is_left_out:
            text = self.terms.secrets.redact(f"{_LEFT_OUT}{self._summary()}")
            return ToolResult(self.call.id, text)
        kept: list[FileChange] = []
        if self._acts:
            try:
                await self.terms.require_approval(
                    self.call.name, self._summary(), self._details(), reason=self._asked_for()
                )
                kept = [change for change in self.inner.changes if self._keep(change)]
            except ToolError as error:
                return self.terms.failed(self.call, error)
        result = await self.inner.finish()
        if not isinstance(result, ToolResult):  # the caller reports what is wrong with it
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

    def _asked_for(self) -> str:
        """Return why a person is asked for the files that change; raise if one of them is never written.

        What is not in the workspace is the executor's own matter.
        """
        allowed = GlobSet(self.terms.allow_write)
        reasons = []
        for change in self.inner.changes:
            try:
                where = self.files.locate(change.path)
            except ToolError:
                if kind_of_path(change.path) is None and own_kind_of(self.files.root / change.path) is None:
                    continue
                raise
            why = self.files.asked_for(where)
            if why and not (self.terms.allow_write and allowed.takes(where)):
                if self.terms.approve is None:
                    raise not_allowed(where, why)
                reasons.append(why)
        return "; ".join(dict.fromkeys(reasons))

    @property
    def _originals(self) -> Originals | None:
        return self.terms.originals if isinstance(self.terms.originals, Originals) else None

    def _redacted(self, result: ToolResult) -> ToolResult:
        return attrs.evolve(result, content=self.terms.secrets.redact(result.content))

    def _keep(self, change: FileChange) -> bool:
        """Keep the content of the file if the executor means this one; return whether it was kept."""
        originals = self._originals
        if originals is None:
            return False
        try:
            path = self.files.locate(change.path)
            found: FileContent | None = self.files.read(path, _MOST_KEPT_BYTES)
        except ToolError:  # outside the workspace, or closed to tools: undo reports that it was not kept
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
        """Record the files for which the executor changed different files of the same name."""
        for change in kept:
            with suppress(ToolError, OSError):  # the change is done: undo reports less, the run continues
                path = self.files.locate(change.path)
                if self.files.sha256(path) != change.after and self._originals is not None:
                    self._originals.miss(path, change.after)


def is_left_out(result: ToolResult) -> bool:
    """Whether *result* says that a dry run skipped its call."""
    return result.content.startswith(_LEFT_OUT)


def is_only_planned(result: ToolResult) -> bool:
    """Whether *result* says what a call would have done if this were no dry run."""
    return not result.is_error and result.content.startswith("dry run, ")


def _verb(change: FileChange) -> str:
    if change.after is None:
        return "delete"
    return "make" if change.before is None else "change"
