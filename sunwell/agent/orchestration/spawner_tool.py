"""Tools that start workers or set an answer: their place in a run, and what is recorded of them."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import attrs

from sunwell.agent.orchestration.spawner import Order, Spawner
from sunwell.core.message import FileChange, ToolCall, ToolResult
from sunwell.core.model import ToolSpec
from sunwell.core.span import Span
from sunwell.core.tool import Place, Staged
from sunwell.errors import ToolError
from sunwell.events import ANSWER_SET, AnswerSet
from sunwell.tools.arguments import Schema, closed, nullable, read_arguments, text
from sunwell.tools.limits import Outcome
from sunwell.tools.tool_plugins import unknown_tool

Arguments = Mapping[str, Any]


def _forget(spawner: Spawner, place: Place, arguments: Arguments) -> None:
    """Leave nothing behind."""


def _start_nobody(spawner: Spawner, place: Place, arguments: Arguments) -> Sequence[Order]:
    return ()


@attrs.frozen
class SpawnerTool:
    """A tool whose calls ask something of the spawner."""

    spec: ToolSpec
    carry_out: Callable[[Spawner, Place, Arguments], Awaitable[str | Outcome]]
    recall: Callable[[Spawner, Place, Arguments], None] = _forget
    """Does again what a recorded call has left behind; the model is told the recorded result."""
    orders: Callable[[Spawner, Place, Arguments], Sequence[Order]] = _start_nobody
    """Returns the workers that a call asks for; raises :exc:`~sunwell.errors.ToolError` for a mistake."""
    parallel: bool = False


def spec(name: str, description: str, properties: Mapping[str, Schema]) -> ToolSpec:
    """Return a spec whose schema both providers take as strict."""
    return ToolSpec(name, description, closed(properties))


@attrs.define(eq=False)
class SpawnerTools:
    """The tools of a spawner, as a :class:`~sunwell.core.tool.PlacedExecutor`."""

    spawner: Spawner
    tools: Sequence[SpawnerTool]
    place: Place | None = None
    _by_name: dict[str, SpawnerTool] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._by_name = {tool.spec.name: tool for tool in self.tools}

    def specs(self) -> tuple[ToolSpec, ...]:
        """Return the tools, in an order that never changes."""
        return tuple(tool.spec for tool in self.tools)

    def is_parallel(self, name: str) -> bool:
        """Whether calls to the tool *name* may run side by side."""
        return name in self._by_name and self._by_name[name].parallel

    async def hashes(self, paths: tuple[str, ...]) -> tuple[str | None, ...]:
        """Look at no file: nothing is touched here."""
        return tuple(None for _ in paths)

    def at(self, place: Place) -> "SpawnerTools":
        """Return the tools for a call at *place*."""
        return SpawnerTools(self.spawner, self.tools, place)

    def recall(self, call: ToolCall, place: Place) -> None:
        """Do again what *call*, which is on record, has left behind."""
        self._expect(place)
        try:
            tool, arguments = self._read(call)
            tool.recall(self.spawner, place, arguments)
        except ToolError:
            return  # the model was told of its mistake, and nothing came of the call

    async def stage(self, call: ToolCall) -> Staged:
        """Return *call* to be carried out. It may be carried out again: it finds what it has noted."""
        return _StagedCall(self, call)

    async def execute(self, call: ToolCall) -> ToolResult:
        """Carry *call* out; a mistake in it is told to the model."""
        if self.place is None:
            raise RuntimeError(f"{call.name} is carried out at a place in a run, and none was given")
        self._expect(self.place)
        try:
            tool, arguments = self._read(call)
            said = await tool.carry_out(self.spawner, self.place, arguments)
        except ToolError as error:
            return ToolResult(call.id, error.sentence, is_error=True)
        outcome = said if isinstance(said, Outcome) else Outcome(said)
        return ToolResult(call.id, outcome.text, outcome.is_error)

    def _expect(self, place: Place) -> None:
        """Tell the spawner which workers the whole message asks for, before the first of them starts."""
        if self.spawner.expects(place):
            return
        orders: list[Order] = []
        for index, call in enumerate(place.message):
            if call.name in self._by_name:
                with suppress(ToolError):  # the model is told when the call is carried out
                    tool, arguments = self._read(call)
                    there = attrs.evolve(place, index=index)
                    orders += tool.orders(self.spawner, there, arguments)
        self.spawner.expect(place, orders)

    def _read(self, call: ToolCall) -> tuple[SpawnerTool, dict[str, Any]]:
        tool = self._by_name.get(call.name)
        if tool is None:
            raise ToolError(unknown_tool(call.name, tuple(self._by_name)))
        return tool, read_arguments(call, tool.spec)


@attrs.frozen
class _StagedCall:
    tools: SpawnerTools
    call: ToolCall
    changes: tuple[FileChange, ...] = ()
    repeatable: bool = True
    foretold: ToolResult | None = None

    async def finish(self) -> ToolResult:
        return await self.tools.execute(self.call)


_SET_ANSWER = spec(
    "set_answer",
    "Write the answer to the task, or a draft that you will replace. ready=true ends the run with it, and "
    'workers still at work are stopped. Example: {"content": "There are 12 tests.", "ready": true, '
    '"confidence": 0.95}',
    {
        "content": text("The whole answer, as the user is to read it."),
        "ready": {"type": "boolean", "description": "Whether the answer is complete."},
        "confidence": nullable(
            {"type": "number", "description": "How sure you are, 0 to 1; null where you cannot say."}
        ),
    },
)


@attrs.frozen
class DeclaredAnswer:
    """What an orchestrator has set as its answer."""

    content: str
    ready: bool
    """Whether the run ends with it."""
    confidence: float | None
    iteration: int
    """Turn in which it was set, from 0."""


@attrs.define(eq=False)
class AnswerTool:
    """Keeps the latest answer of the work at one span."""

    span: Span
    threshold: float
    answer: DeclaredAnswer | None = attrs.field(default=None, init=False)

    def tool(self) -> SpawnerTool:
        """Return it as a tool."""
        return SpawnerTool(_SET_ANSWER, self._set, self._recall)

    async def _set(self, spawner: Spawner, place: Place, arguments: Arguments) -> str:
        content, ready, confidence = (arguments[name] for name in ("content", "ready", "confidence"))
        if confidence is not None and not 0 <= confidence <= 1:
            raise ToolError(f"confidence is a number from 0 to 1, got {confidence}")
        if ready and not content.strip():
            raise ToolError("the answer is empty: write its content, or go on with ready=false")
        working = spawner.working(place.span)
        is_sure = confidence is not None and confidence >= self.threshold and bool(content.strip())
        ends = ready or (is_sure and not working)
        await spawner.note(place, "answer", ends)
        await spawner.decide(place, f"{'answer' if ends else 'draft'}, confidence {confidence}", content)
        self._keep(spawner, place, arguments, ends=ends)
        if ends:
            return "The run ends with this answer."
        if is_sure:
            count = len(working)
            return (
                f"Kept as a draft: {count} workers are still at work. ready=true ends the run all the same."
            )
        return "Kept as a draft: the run goes on."

    def _recall(self, spawner: Spawner, place: Place, arguments: Arguments) -> None:
        ends = spawner.noted(place, "answer")
        if ends is not None:
            self._keep(spawner, place, arguments, ends=bool(ends))

    def _keep(self, spawner: Spawner, place: Place, arguments: Arguments, *, ends: bool) -> None:
        confidence: Any = arguments["confidence"]
        confidence = None if confidence is None else float(confidence)
        self.answer = DeclaredAnswer(arguments["content"], ends, confidence, place.turn)
        told = AnswerSet(place.span.path, self.answer.content, ends, confidence, place.turn)
        spawner.run.tell(ANSWER_SET, told)
