"""The calls of one worker in a workspace that it shares with others."""

from collections.abc import Mapping
from typing import Any

import attrs

from sunwell.core.message import FileChange, ToolCall, ToolResult
from sunwell.core.tool import Staged
from sunwell.errors import ToolError
from sunwell.tools.claims import Claims
from sunwell.tools.paths import quoted
from sunwell.tools.plan import Plan
from sunwell.tools.staged import StagedAnswer, StagedWrite, Terms
from sunwell.tools.view import View
from sunwell.tools.writing import EditFile, WriteFile


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
        terms: Terms,
        view: View,
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

    def _now(self, view: View, path: str) -> str | None:
        found = view.look(path)
        return None if found is None else found.sha256
