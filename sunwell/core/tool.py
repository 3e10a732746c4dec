"""Tools and what executes them."""

from collections.abc import Awaitable, Mapping
from typing import Any, Literal, Protocol, get_args, runtime_checkable

import attrs

from sunwell.core.message import FileChange, ToolCall, ToolResult
from sunwell.core.model import ToolSpec
from sunwell.core.span import Span
from sunwell.core.task import Conflict

Sandbox = Literal["required", "off"]
"""Whether commands run in a sandbox or not at all, or with all that the caller's account can do."""
SANDBOXES: tuple[Sandbox, ...] = get_args(Sandbox)


@runtime_checkable
class Tool(Protocol):
    """Something that a model may ask for by name."""

    @property
    def spec(self) -> ToolSpec:
        """What the model is told of the tool."""
        ...

    @property
    def parallel(self) -> bool:
        """Whether calls of one turn may run side by side with others that say so too."""
        ...

    @property
    def repeatable(self) -> bool:
        """Whether the tool may run again where nobody knows if it ran to its end."""
        ...

    def run(self, arguments: Mapping[str, Any]) -> Awaitable[str]:
        """Return the text for the model, or raise :exc:`~sunwell.errors.ToolError`."""
        ...


class Staged(Protocol):
    """A tool call that has been looked at and not yet carried out."""

    @property
    def changes(self) -> tuple[FileChange, ...]:
        """Files that :meth:`finish` will change, with the hashes before and after."""
        ...

    @property
    def repeatable(self) -> bool:
        """Whether the call may be carried out again where its end is unknown."""
        ...

    @property
    def foretold(self) -> ToolResult | None:
        """The result that :meth:`finish` will give if it succeeds; known where files change."""
        ...

    async def finish(self) -> ToolResult:
        """Carry the call out. What goes wrong with the tool is a result with ``is_error``."""
        ...


@runtime_checkable
class ToolExecutor(Protocol):
    """Carries out tool calls."""

    async def execute(self, call: ToolCall) -> ToolResult:
        """Carry out *call*. What goes wrong with the tool is a result with ``is_error``."""
        ...


@runtime_checkable
class StagingExecutor(ToolExecutor, Protocol):
    """An executor whose calls can be journalled before they change anything."""

    async def stage(self, call: ToolCall) -> Staged:
        """Check *call* and work out what it would change; nothing is changed yet."""
        ...

    async def hashes(self, paths: tuple[str, ...]) -> tuple[str | None, ...]:
        """Return the SHA-256 of each file as it stands, ``None`` where there is none."""
        ...

    def is_parallel(self, name: str) -> bool:
        """Whether calls to the tool *name* may run side by side."""
        ...

    def specs(self) -> tuple[ToolSpec, ...]:
        """Return the tools on offer, in an order that never changes."""
        ...


@runtime_checkable
class SharedExecutor(Protocol):
    """An executor that several workers share and that tells them apart."""

    def for_worker(self, worker_id: str) -> ToolExecutor:
        """Return the executor for one worker; all of them know of each other's work."""
        ...

    def conflicts_of(self, worker_id: str) -> tuple[Conflict, ...]:
        """Return where *worker_id* and others met in the same file."""
        ...

    def note(self, worker_id: str, result: ToolResult) -> None:
        """Take note of a call that *worker_id* made in an earlier process of the same run."""
        ...

    def release(self, worker_id: str) -> None:
        """Give up what *worker_id* holds: it is over."""
        ...


@attrs.frozen
class Place:
    """Where in a run a tool call stands: the same each time the run is taken up."""

    span: Span
    turn: int
    """Turn of the work in this span, from 0."""
    index: int
    """Place of the call in its turn, from 0."""


@runtime_checkable
class PlacedExecutor(Protocol):
    """An executor whose calls depend on where in a run they stand, or leave something behind there."""

    def at(self, place: Place) -> "StagingExecutor":
        """Return the executor for the call at *place*."""
        ...

    def recall(self, call: ToolCall, place: Place) -> None:
        """Take note that *call* was carried out at *place* by an earlier process; its result is recorded."""
        ...


@attrs.frozen
class Proposal:
    """What a tool is about to do, for somebody to approve."""

    tool: str
    summary: str
    """One line for any terminal: what would happen. A long one is cut, with an ellipsis."""
    details: str
    """Exactly what will run or be written, known secrets replaced: command, arguments, or difference.

    It is a model's text: before a terminal gets it, it goes through :func:`sunwell.tools.visible`."""
