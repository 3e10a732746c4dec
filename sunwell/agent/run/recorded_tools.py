"""The tools of a run that is only played again from its record."""

import asyncio

import attrs

from sunwell.core.message import FileChange, ToolCall, ToolResult
from sunwell.core.model import ToolSpec
from sunwell.core.tool import Staged, StagingExecutor, ToolExecutor


@attrs.frozen
class RecordedTools:
    """The tools of a run as a model is told of them. What has no recorded result is not carried out."""

    inner: ToolExecutor
    said: str = "The record of the run ends here."
    """What a call comes to that has no recorded result."""

    def specs(self) -> tuple[ToolSpec, ...]:
        """Return the tools on offer."""
        specs = getattr(self.inner, "specs", None)
        return tuple(specs()) if callable(specs) else ()

    def is_parallel(self, name: str) -> bool:
        """Whether calls to the tool *name* may run side by side."""
        return isinstance(self.inner, StagingExecutor) and self.inner.is_parallel(name)

    async def hashes(self, paths: tuple[str, ...]) -> tuple[str | None, ...]:
        """Look at no file."""
        return tuple(None for _ in paths)

    async def stage(self, call: ToolCall) -> Staged:
        """Return a call that is not carried out."""
        return _NotDone(call, self.said)

    async def execute(self, call: ToolCall) -> ToolResult:
        """Carry nothing out."""
        return await _NotDone(call, self.said).finish()


@attrs.frozen
class _NotDone:
    call: ToolCall
    said: str
    changes: tuple[FileChange, ...] = ()
    repeatable: bool = True
    foretold: ToolResult | None = None

    async def finish(self) -> ToolResult:
        await asyncio.sleep(0)  # a recorded time-out comes now
        return ToolResult(self.call.id, self.said, is_error=True)
