"""Conflicts between workers in one workspace: tracks who has read and changed which file."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import attrs

from sunwell.core.message import FileChange, ToolCall, ToolResult
from sunwell.core.task import Conflict
from sunwell.core.tool import Staged
from sunwell.errors import ToolError
from sunwell.tools.file_tools import EditFile, Plan, WriteFile
from sunwell.tools.short_diff import Redact, short_difference
from sunwell.tools.staged_calls import CallTerms, StagedAnswer, StagedWrite
from sunwell.tools.wording import quoted
from sunwell.tools.workspace_view import WorkspaceView


@attrs.define(eq=False)
class Claims:
    """What all workers of a run have done to their shared files.

    A worker claims a file before it changes it: no other worker plans a change of it until this one is
    done. A change is rejected if it would overwrite another worker's change that its author has not seen.
    The affected workers are told with their next tool result, and both sides are recorded.
    """

    hash_of: Callable[[str], str | None]
    """Returns the current SHA-256 of a file."""
    conflicts: list[Conflict] = attrs.field(factory=list, init=False)
    _seen: dict[str, dict[str, str | None]] = attrs.field(factory=dict, init=False)
    """By worker and path: hash of the content that it last read or wrote."""
    _writer: dict[str, str] = attrs.field(factory=dict, init=False)
    """By path: the last worker that changed it."""
    _current: dict[str, str | None] = attrs.field(factory=dict, init=False)
    """By path: hash of the latest content that any worker knows."""
    _claimed: dict[str, str] = attrs.field(factory=dict, init=False)
    _free: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    _notices: dict[str, list[str]] = attrs.field(factory=dict, init=False)

    async def claim(self, worker: str, path: str) -> None:
        """Wait until no other worker is about to change *path*, then claim it."""
        self.release(worker)
        while path in self._claimed:
            await self._free.wait()
        self._claimed[path] = worker

    def release(self, worker: str) -> None:
        """Release the claims of *worker*."""
        held = [path for path, by in self._claimed.items() if by == worker]
        for path in held:
            del self._claimed[path]
        if held:
            self._free.set()
            self._free = asyncio.Event()

    def changed_by_another(self, worker: str, path: str, now: str | None) -> str | None:
        """Return the worker that changed *path* to *now* without *worker* knowing; ``None``: no one."""
        writer = self._writer.get(path)
        if writer in (None, worker) or self._seen.get(worker, {}).get(path) == now:
            return None
        return writer

    def has_seen(self, worker: str, path: str) -> bool:
        """Whether *worker* has read or changed *path* before."""
        return path in self._seen.get(worker, {})

    def note(self, worker: str, result: ToolResult) -> None:
        """Record what *worker* has read and changed with one call."""
        seen = self._seen.setdefault(worker, {})
        for read in result.reads:
            seen[read.path] = read.sha256
            self._current[read.path] = read.sha256
        for change in result.changes:
            seen[change.path] = change.after
            self._current[change.path] = change.after
            self._writer[change.path] = worker

    def last_writer(self, path: str) -> str | None:
        """Return the last worker that changed *path*; ``None``: no one."""
        return self._writer.get(path)

    def conflict(self, met: Conflict, notice: str) -> None:
        """Record *met*; its first worker is told *notice*, after the second's name, with its next result."""
        self.conflicts.append(met)
        self._notices.setdefault(met.first, []).append(f"{met.second} {notice}")

    def look_again(self, worker: str) -> tuple[str, ...]:
        """Find the changes that a command of *worker* made to known files; return remarks for this worker."""
        told = []
        for path, before in tuple(self._current.items()):
            now = self.hash_of(path)
            if now == before:
                continue
            verb = "deleted" if now is None else "changed"
            others = [other for other, seen in self._seen.items() if other != worker and path in seen]
            self.note(worker, ToolResult("", "", changes=(FileChange(path, before, now),)))
            for other in others:
                done = f"{verb} {quoted(path)} with a command"
                what = f"{worker} {done}, after {other} had seen it"
                self.conflict(Conflict(path, other, worker, what), f"{done}, which you had seen")
            if others:
                told.append(f"your command {verb} {quoted(path)}, which {_listed(others)} had seen")
        return tuple(told)

    def notices(self, worker: str) -> tuple[str, ...]:
        """Return the pending remarks for *worker*, and forget them."""
        return tuple(self._notices.pop(worker, ()))

    def conflicts_of(self, worker: str) -> tuple[Conflict, ...]:
        """Return the conflicts that *worker* is part of."""
        return tuple(one for one in self.conflicts if worker in (one.first, one.second))


def _wanted(path: str, arguments: Mapping[str, Any], redact: Redact) -> str:
    """Return the edit that *arguments* ask for as a diff of the piece alone."""
    old, new = (str(arguments[name]).encode("utf-8", "replace") for name in ("old", "new"))
    return short_difference(Plan(path, old, new, ""), redact)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(names))


@attrs.frozen
class ClaimedCall:
    """A staged call that records its effect for other workers, and reports their changes to this one."""

    inner: Staged
    claims: Claims
    worker: str
    looks_again: bool = False
    """Whether the call may change files that are not known in advance."""
    remark: str = ""
    """An additional remark for the worker."""

    @property
    def changes(self) -> tuple[FileChange, ...]:
        return self.inner.changes

    @property
    def repeatable(self) -> bool:
        return self.inner.repeatable

    @property
    def foretold(self) -> ToolResult | None:
        return self.inner.foretold

    async def finish(self) -> ToolResult:
        """Execute the call, record its effect, and add remarks for the worker."""
        try:
            result = await self.inner.finish()
            self.claims.note(self.worker, result)
        finally:
            self.claims.release(self.worker)
        remarks = [self.remark] if self.remark else []
        if self.looks_again:
            remarks += self.claims.look_again(self.worker)
        remarks += self.claims.notices(self.worker)
        if not remarks:
            return result
        return attrs.evolve(result, content=f"{result.content}\n\n(Other workers: {'; '.join(remarks)}.)")


@attrs.frozen
class Claimant:
    """One of several workers that share a workspace."""

    claims: Claims
    worker: str

    async def write(
        self,
        call: ToolCall,
        tool: WriteFile | EditFile,
        arguments: Mapping[str, Any],
        terms: CallTerms,
        view: WorkspaceView,
    ) -> Staged:
        """Claim the file and plan its change; a change that would overwrite another worker's is rejected."""
        path = view.workspace.locate(view.meant(arguments["path"]))
        await self.claims.claim(self.worker, path)
        other = self.claims.changed_by_another(self.worker, path, self._now(view, path))
        try:
            plan = tool.plan(arguments)
            if other is not None and isinstance(tool, WriteFile) and plan.changes:
                diff = short_difference(plan, terms.secrets.redact)
                raise self._refused(Conflict(path, other, self.worker, "replace", diff))
        except ToolError as error:
            if other is not None and isinstance(tool, EditFile) and self.claims.has_seen(self.worker, path):
                diff = _wanted(path, arguments, terms.secrets.redact)
                error = self._refused(Conflict(path, other, self.worker, "edit", diff), error.sentence)
            return self.done(StagedAnswer(terms.failure(call, error.sentence)))
        # Else what this worker changed could not be shown later: only the run's first content is kept.
        is_others = self.claims.last_writer(plan.path) not in (None, self.worker)
        staged = StagedWrite(call, plan, terms, view, holds=is_others)
        return self.done(staged, remark=self._remark(other, plan))

    def done(self, staged: Staged, *, looks_again: bool = False, remark: str = "") -> Staged:
        """Return *staged* as a call of this worker."""
        return ClaimedCall(staged, self.claims, self.worker, looks_again, remark)

    def _refused(self, met: Conflict, why: str = "") -> ToolError:
        """Record *met*, whose ``what`` is the verb, and return what this worker is told."""
        path, other, wanted = met.path, met.first, f"wanted to {met.what} {quoted(met.path)}"
        what = f"{self.worker} {wanted}, which {other} had changed; nothing was written"
        self.claims.conflict(attrs.evolve(met, what=what), f"{wanted}, which you changed; nothing was lost")
        reason = f"{why}. " if why else ""
        return ToolError(
            f"{reason}{other} has changed {quoted(path)} and you have not seen how; nothing was written. "
            "Read it again, and keep what the other has done"
        )

    def _remark(self, other: str | None, plan: Plan) -> str:
        if other is None or not plan.changes or not self.claims.has_seen(self.worker, plan.path):
            return ""
        return f"{other} changed {quoted(plan.path)} since you read it; your change went in beside that one"

    def _now(self, view: WorkspaceView, path: str) -> str | None:
        found = view.look(path)
        return None if found is None else found.sha256
