"""Workers in one workspace: who has seen and who has changed which file, so that nothing is lost silently."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import attrs

from sunwell.core.message import FileChange, ToolCall, ToolResult
from sunwell.core.task import Conflict
from sunwell.core.tool import Staged
from sunwell.errors import ToolError
from sunwell.tools.file_tools import EditFile, Plan, WriteFile
from sunwell.tools.staged_calls import CallTerms, StagedAnswer, StagedWrite
from sunwell.tools.wording import quoted
from sunwell.tools.workspace_view import WorkspaceView


@attrs.define(eq=False)
class Claims:
    """What all workers of a run have done to the files that they share.

    A file that is about to be changed is claimed: nobody else plans a change of it before that one
    is done. A change that would undo another worker's, which its author has not seen, is refused.
    Whoever is concerned is told with the next result of a tool, and both sides are on record.
    """

    hash_of: Callable[[str], str | None]
    """Gives the SHA-256 of a file as it stands."""
    conflicts: list[Conflict] = attrs.field(factory=list, init=False)
    _seen: dict[str, dict[str, str | None]] = attrs.field(factory=dict, init=False)
    """By worker and path: the content that it read or left last."""
    _writer: dict[str, str] = attrs.field(factory=dict, init=False)
    """By path: the worker that changed it last."""
    _current: dict[str, str | None] = attrs.field(factory=dict, init=False)
    """By path: the content as far as the workers know."""
    _claimed: dict[str, str] = attrs.field(factory=dict, init=False)
    _free: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    _notices: dict[str, list[str]] = attrs.field(factory=dict, init=False)

    async def claim(self, worker: str, path: str) -> None:
        """Wait until nobody else is about to change *path*, and claim it."""
        self.release(worker)
        while path in self._claimed:
            await self._free.wait()
        self._claimed[path] = worker

    def release(self, worker: str) -> None:
        """Give up what *worker* has claimed."""
        held = [path for path, by in self._claimed.items() if by == worker]
        for path in held:
            del self._claimed[path]
        if held:
            self._free.set()
            self._free = asyncio.Event()

    def changed_by_another(self, worker: str, path: str, now: str | None) -> str | None:
        """Return who has changed *path* to *now* behind the back of *worker*; ``None``: nobody."""
        writer = self._writer.get(path)
        if writer in (None, worker) or self._seen.get(worker, {}).get(path) == now:
            return None
        return writer

    def has_seen(self, worker: str, path: str) -> bool:
        """Whether *worker* has read or changed *path* before."""
        return path in self._seen.get(worker, {})

    def note(self, worker: str, result: ToolResult) -> None:
        """Take note of what *worker* has read and changed with one call."""
        seen = self._seen.setdefault(worker, {})
        for read in result.reads:
            seen[read.path] = read.sha256
            self._current[read.path] = read.sha256
        for change in result.changes:
            seen[change.path] = change.after
            self._current[change.path] = change.after
            self._writer[change.path] = worker

    def conflict(self, path: str, first: str, second: str, what: str) -> None:
        """Put on record that *second* met with the work of *first*, who is told with its next result."""
        self.conflicts.append(Conflict(path, first, second, what))
        self._notices.setdefault(first, []).append(f"{second} {what}")

    def look_again(self, worker: str) -> tuple[str, ...]:
        """Find what a command of *worker* did to the known files; return what it should be told."""
        told = []
        for path, before in tuple(self._current.items()):
            now = self.hash_of(path)
            if now == before:
                continue
            verb = "deleted" if now is None else "changed"
            others = [other for other, seen in self._seen.items() if other != worker and path in seen]
            self.note(worker, ToolResult("", "", changes=(FileChange(path, before, now),)))
            for other in others:
                self.conflict(
                    path, other, worker, f"{verb} {quoted(path)} with a command, which you had seen"
                )
            if others:
                told.append(f"your command {verb} {quoted(path)}, which {_listed(others)} had seen")
        return tuple(told)

    def notices(self, worker: str) -> tuple[str, ...]:
        """Return what *worker* is still to be told, once."""
        return tuple(self._notices.pop(worker, ()))

    def conflicts_of(self, worker: str) -> tuple[Conflict, ...]:
        """Return the conflicts that *worker* was a side of."""
        return tuple(one for one in self.conflicts if worker in (one.first, one.second))


def _listed(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(names))


@attrs.frozen
class ClaimedCall:
    """A staged call whose end is noted for the other workers, and theirs for this one."""

    inner: Staged
    claims: Claims
    worker: str
    looks_again: bool = False
    """Whether the call may have changed files in a way that nobody can tell beforehand."""
    remark: str = ""
    """What the worker is told besides."""

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
        """Carry the call out, note what came of it, and add what the worker should know."""
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
    """One worker among those that share a workspace."""

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
        """Claim the file and plan its change; a change that would undo another worker's is refused."""
        path = view.workspace.locate(arguments["path"])
        await self.claims.claim(self.worker, path)
        other = self.claims.changed_by_another(self.worker, path, self._now(view, path))
        try:
            plan = tool.plan(arguments)
            if other is not None and isinstance(tool, WriteFile) and plan.changes:
                raise self._refused(other, path, "replace")
        except ToolError as error:
            if other is not None and isinstance(tool, EditFile) and self.claims.has_seen(self.worker, path):
                error = self._refused(other, path, "edit", error.sentence)
            return self.done(StagedAnswer(terms.failure(call, error.sentence)))
        return self.done(StagedWrite(call, plan, terms, view), remark=self._remark(other, plan))

    def done(self, staged: Staged, *, looks_again: bool = False, remark: str = "") -> Staged:
        """Return *staged* as a call of this worker."""
        return ClaimedCall(staged, self.claims, self.worker, looks_again, remark)

    def _refused(self, other: str, path: str, verb: str, why: str = "") -> ToolError:
        self.claims.conflict(
            path, other, self.worker, f"wanted to {verb} {quoted(path)}, which you changed; nothing was lost"
        )
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
