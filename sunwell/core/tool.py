"""Tools and executors."""

from collections.abc import Awaitable, Mapping
from typing import Any, Literal, Protocol, get_args, runtime_checkable

import attrs

from sunwell.core.message import FileChange, ToolCall, ToolResult
from sunwell.core.model import ToolSpec
from sunwell.core.span import Span
from sunwell.core.task import Conflict

Sandbox = Literal["required", "off"]
"""``required``: commands run in a sandbox or not at all; ``off``: with all rights of the user's account."""
SANDBOXES: tuple[Sandbox, ...] = get_args(Sandbox)


@runtime_checkable
class Tool(Protocol):
    """A tool that a model may call by name."""

    @property
    def spec(self) -> ToolSpec:
        """The description of the tool for the model."""
        ...

    @property
    def parallel(self) -> bool:
        """Whether calls may run concurrently with other parallel calls of the same turn."""
        ...

    @property
    def repeatable(self) -> bool:
        """Whether the tool may run again if it is unknown whether it finished."""
        ...

    def run(self, arguments: Mapping[str, Any]) -> Awaitable[str]:
        """Return the text for the model, or raise :exc:`~sunwell.errors.ToolError`."""
        ...


class Staged(Protocol):
    """A tool call that has been checked but not yet executed."""

    @property
    def changes(self) -> tuple[FileChange, ...]:
        """Files that :meth:`finish` will change, with the hashes before and after."""
        ...

    @property
    def repeatable(self) -> bool:
        """Whether the call may be executed again if it is unknown whether it finished."""
        ...

    @property
    def foretold(self) -> ToolResult | None:
        """The result that :meth:`finish` returns if it succeeds; known if files change."""
        ...

    async def finish(self) -> ToolResult:
        """Execute the call. A failure of the tool is a result with ``is_error``."""
        ...


@runtime_checkable
class ToolExecutor(Protocol):
    """Executes tool calls."""

    async def execute(self, call: ToolCall) -> ToolResult:
        """Execute *call*. A failure of the tool is a result with ``is_error``."""
        ...


@runtime_checkable
class StagingExecutor(ToolExecutor, Protocol):
    """An executor whose calls can be recorded in the journal before they change anything."""

    async def stage(self, call: ToolCall) -> Staged:
        """Check *call* and determine what it would change; nothing is changed yet."""
        ...

    async def hashes(self, paths: tuple[str, ...]) -> tuple[str | None, ...]:
        """Return the current SHA-256 of each file; ``None`` if there is no file."""
        ...

    def is_parallel(self, name: str) -> bool:
        """Whether calls of the tool *name* may run concurrently."""
        ...

    def specs(self) -> tuple[ToolSpec, ...]:
        """Return all offered tools, in a fixed order."""
        ...


def has_methods_of(value: object, protocol: type) -> bool:
    """Whether *value* has all methods of the runtime-checkable *protocol*: what ``isinstance`` says, sooner.

    Python remembers what a class has, but goes through a protocol anew for each object.
    """
    return issubclass(type(value), protocol) or isinstance(value, protocol)


@runtime_checkable
class SharedExecutor(Protocol):
    """An executor that several workers share, and that knows which worker makes a call."""

    def for_worker(self, worker_id: str) -> ToolExecutor:
        """Return the executor for one worker; all of them track each other's changes."""
        ...

    def conflicts_of(self, worker_id: str) -> tuple[Conflict, ...]:
        """Return the conflicts of *worker_id*: files that another worker worked on, too."""
        ...

    def note(self, worker_id: str, result: ToolResult) -> None:
        """Record a call that *worker_id* made in an earlier process of the same run."""
        ...

    def release(self, worker_id: str) -> None:
        """Release everything that *worker_id* holds, after its end."""
        ...


@attrs.frozen
class Place:
    """The place of a tool call in a run: the same each time the run is resumed."""

    span: Span
    turn: int
    """Number of the turn in this span, from 0."""
    index: int
    """Number of the call in its turn, from 0."""
    message: tuple[ToolCall, ...] = attrs.field(default=(), eq=False, repr=False)
    """All calls of the message that the call is in; empty if that is not known."""


@runtime_checkable
class PlacedExecutor(Protocol):
    """An executor whose calls depend on their place in a run, or have an effect there."""

    def at(self, place: Place) -> "StagingExecutor":
        """Return the executor for the call at *place*."""
        ...

    def recall(self, call: ToolCall, place: Place) -> None:
        """Record that an earlier process executed *call* at *place*; its result is in the journal."""
        ...


@attrs.frozen
class RepeatableCall:
    """A call that touches no file itself, and that its executor may carry out again."""

    executor: ToolExecutor
    call: ToolCall
    changes: tuple[FileChange, ...] = ()
    repeatable: bool = True
    foretold: ToolResult | None = None

    async def finish(self) -> ToolResult:
        """Have the executor carry the call out."""
        return await self.executor.execute(self.call)


@attrs.frozen
class Proposal:
    """What a tool is about to do, to be approved or rejected."""

    tool: str
    """Name of the tool."""
    summary: str
    """One line, safe to print: what would happen. A long line is cut, with an ellipsis."""
    details: str
    """Exactly what will run or be written, with known secrets replaced: command, arguments, or diff.

    A model wrote this text: pass it through :func:`sunwell.tools.visible` before you print it."""
    path: str = ""
    """The file that is written, relative to the workspace; empty if the call itself writes none."""
    conditions: str = ""
    """How a command would run: folder, sandbox, network, time limit; empty for other tools."""
    asked_by: str = ""
    """The worker whose call it is, with its task; empty if the run has no workers."""
    reason: str = ""
    """Why a person must decide this one, for example that the file is protected; empty: like any other."""
    always: bool = False
    """Whether a person must decide although they have said yes to everything."""
