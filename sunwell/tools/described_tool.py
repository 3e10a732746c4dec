"""Tools that are only described: somebody else carries them out."""

from collections.abc import Mapping
from typing import Any, ClassVar

import attrs

from sunwell.core.message import ToolCall, ToolResult
from sunwell.core.model import ToolSpec
from sunwell.core.tool import ToolExecutor
from sunwell.errors import ToolError


@attrs.frozen
class DescribedTool:
    """A tool of an executor that cannot describe its tools itself."""

    spec: ToolSpec
    parallel: ClassVar[bool] = False
    repeatable: ClassVar[bool] = False

    async def run(self, arguments: Mapping[str, Any]) -> str:
        """Raise :exc:`~sunwell.errors.ToolError`: the executor carries the tool out."""
        raise ToolError(f"{self.spec.name} is only described here, and nobody carries it out")


@attrs.frozen
class DescribedExecutor:
    """An executor that has only ``execute``, with the descriptions of its tools."""

    inner: ToolExecutor
    described: tuple[ToolSpec, ...]

    def specs(self) -> tuple[ToolSpec, ...]:
        """Return the descriptions, as they were given."""
        return self.described

    async def execute(self, call: ToolCall) -> ToolResult:
        """Have the executor carry *call* out."""
        return await self.inner.execute(call)


def has_only_execute(executor: object) -> bool:
    """Whether *executor* can carry calls out and cannot say which."""
    return not any(callable(getattr(executor, name, None)) for name in ("specs", "stage", "for_worker", "at"))
