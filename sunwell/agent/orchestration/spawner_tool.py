"""Tools whose calls ask something of the spawner: their place in a run, and what is recorded of them."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, ClassVar

import attrs

from sunwell.agent.orchestration.spawner import Order, Spawner
from sunwell.agent.run.context_lookup import CONTEXT_TOKENS, MOST_CONTEXT_TOKENS
from sunwell.core.message import ToolCall, ToolResult
from sunwell.core.model import ToolSpec
from sunwell.core.tool import Place, RepeatableCall, Staged
from sunwell.errors import ToolError
from sunwell.tools.arguments import Schema, closed, nullable, read_arguments, text, whole
from sunwell.tools.limits import Outcome
from sunwell.tools.tool_plugins import unknown_tool

Arguments = Mapping[str, Any]
AFTER_THE_END = "Not carried out: an earlier call of this message has set the answer with ready=true."


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
    shown: ToolSpec | None = None
    """What models are told of it in this run, if that is less than it can read; ``None``: :attr:`spec`."""


def spec(name: str, description: str, properties: Mapping[str, Schema]) -> ToolSpec:
    """Return a spec whose schema both providers take as strict."""
    return ToolSpec(name, description, closed(properties))


CONTEXT_PARAMETERS = {
    "context_query": nullable(
        text(
            "What to look up in the sources of context before the work begins: the worker is shown the "
            "passages that fit best. Names and rare words find most. null: nothing is looked up."
        )
    ),
    "context_budget": nullable(
        whole(f"Most tokens of these passages, up to {MOST_CONTEXT_TOKENS}. Default: {CONTEXT_TOKENS}.")
    ),
}
"""The parameters by which a model has something looked up for a worker; offered only if there is a source."""


def looked_up(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an order has of the context parameters in *arguments*.

    Raises :exc:`~sunwell.errors.ToolError` for a budget that cannot be one.
    """
    given = arguments.get("context_budget")
    if given is not None and not 1 <= given <= MOST_CONTEXT_TOKENS:
        raise ToolError(f"context_budget is a number from 1 to {MOST_CONTEXT_TOKENS}, got {given}")
    query = (arguments.get("context_query") or "").strip()
    return {"context_query": query, "context_tokens": CONTEXT_TOKENS if given is None else given}


@attrs.define(eq=False)
class SpawnerTools:
    """The tools of a spawner, as a :class:`~sunwell.core.tool.PlacedExecutor`."""

    spawner: Spawner
    tools: Sequence[SpawnerTool]
    ends_before: Callable[[Place], bool] = lambda _: False
    """Whether the run has ended with a call of the same message before this place."""
    place: Place | None = None
    writes: ClassVar[bool] = False
    """A call changes no file itself; the workers that it starts do, in calls of their own."""
    _by_name: dict[str, SpawnerTool] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._by_name = {tool.spec.name: tool for tool in self.tools}

    def specs(self) -> tuple[ToolSpec, ...]:
        """Return the tools, in an order that never changes."""
        return tuple(tool.shown or tool.spec for tool in self.tools)

    def is_parallel(self, name: str) -> bool:
        """Whether calls to the tool *name* may run side by side."""
        return name in self._by_name and self._by_name[name].parallel

    async def hashes(self, paths: tuple[str, ...]) -> tuple[str | None, ...]:
        """Look at no file: nothing is touched here."""
        return tuple(None for _ in paths)

    def at(self, place: Place) -> "SpawnerTools":
        """Return the tools for a call at *place*."""
        return SpawnerTools(self.spawner, self.tools, self.ends_before, place)

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
        return RepeatableCall(self, call)

    async def execute(self, call: ToolCall) -> ToolResult:
        """Carry *call* out; a mistake in it is told to the model."""
        if self.place is None:
            raise RuntimeError(f"{call.name} is carried out at a place in a run, and none was given")
        if self.ends_before(self.place):
            return ToolResult(call.id, AFTER_THE_END, is_error=True, refused=True)
        self._expect(self.place)
        try:
            tool, arguments = self._read(call)
            said = await tool.carry_out(self.spawner, self.place, arguments)
        except ToolError as error:
            return ToolResult(call.id, error.sentence, is_error=True, refused=True)  # nothing came of it
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
