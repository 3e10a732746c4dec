"""The tools of one piece of work: what the model is told of, and who carries a call out."""

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import attrs

from sunwell.core.message import ToolCall, ToolResult
from sunwell.core.model import ToolSpec
from sunwell.core.task import Conflict
from sunwell.core.tool import (
    Place,
    PlacedExecutor,
    SharedExecutor,
    StagingExecutor,
    Tool,
    ToolExecutor,
    has_methods_of,
)
from sunwell.errors import ConfigurationError
from sunwell.tools.arguments import repaired
from sunwell.tools.wording import nearest


@attrs.define(eq=False)
class Toolset:
    """Specs in a fixed order, with the executor of each.

    ``granted`` is what may really be called: a worker's subset is enforced when a tool is executed,
    so that siblings can be sent one list of tools.
    """

    specs: tuple[ToolSpec, ...]
    granted: frozenset[str]
    _executors: dict[str, ToolExecutor]
    _refusals: Mapping[str, str] = attrs.field(factory=dict)
    """What a call to a tool is told that is known elsewhere in the run and was taken away here."""
    _by_name: dict[str, ToolSpec] = attrs.field(init=False)
    _placed: dict[str, PlacedExecutor] = attrs.field(init=False)
    _staging: dict[str, StagingExecutor] = attrs.field(init=False)
    _parallel: frozenset[str] = attrs.field(init=False)
    _shared: tuple[SharedExecutor, ...] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        # Asking whether it fits a protocol takes long: once for each executor is enough.
        self._by_name = {spec.name: spec for spec in self.specs}
        each = list({id(one): one for one in self._executors.values()}.values())
        self._staging = self._with_methods_of(StagingExecutor, each)
        self._placed = self._with_methods_of(PlacedExecutor, each)
        self._parallel = frozenset([name for name, one in self._staging.items() if one.is_parallel(name)])
        shared = [one for one in each if has_methods_of(one, SharedExecutor)]
        self._shared = tuple(cast(list[SharedExecutor], shared))

    def _with_methods_of(self, protocol: type, each: list[ToolExecutor]) -> dict[str, Any]:
        """Return the executors that have all methods of *protocol*, by tool, where *each* is one of them."""
        fitting = {id(one) for one in each if has_methods_of(one, protocol)}
        if len(fitting) == len(each):  # mostly there is one, which has all tools
            return self._executors
        return {name: one for name, one in self._executors.items() if id(one) in fitting}

    @classmethod
    def of(cls, tools: Sequence[Tool | str] | None, executor: ToolExecutor | None) -> "Toolset":
        """Return the set for *tools*: names are *executor*'s, ``None`` is all that it offers.

        The rules of an *executor* that has any, a toolbox or one under rules, hold for the tools that
        are given themselves, too: approval, dry run, limits and secrets.
        Raises :exc:`~sunwell.errors.ConfigurationError` for a name that nobody offers, or that two
        tools have.
        """
        if isinstance(tools, str):
            raise TypeError(f"tools expects several tools, got the single string {tools!r}")
        offered = {spec.name: spec for spec in _specs_of(executor)}
        if tools is None:
            return cls(tuple(offered.values()), frozenset(offered), _all_by(executor, offered))
        own = [tool for tool in tools if not isinstance(tool, str)]
        names = [tool for tool in tools if isinstance(tool, str)]
        unknown = [name for name in names if name not in offered]
        if unknown:
            known = ", ".join(offered) or "none"
            raise ConfigurationError(f"no tool is called {unknown[0]!r}; there are: {known}")
        specs = {name: offered[name] for name in names}
        executors = _all_by(executor, specs)
        if own:
            from sunwell.tools.policy import GovernedExecutor
            from sunwell.tools.toolbox import Toolbox

            if isinstance(executor, Toolbox | GovernedExecutor):
                box = executor.beside(own)
            else:
                box = Toolbox(tools=own)
            twice = [spec.name for spec in box.specs() if spec.name in specs]
            if twice:
                raise ConfigurationError(f"two tools are called {twice[0]!r}; give one of them another name")
            specs |= {spec.name: spec for spec in box.specs()}
            executors |= _all_by(box, [tool.spec.name for tool in own])
        return cls(tuple(specs.values()), frozenset(specs), executors)

    def granting(self, names: Iterable[str] | None, worker_id: str) -> "Toolset":
        """Return the set of the worker *worker_id*: the same specs, but only *names* are carried out.

        ``None`` is all that is granted here. What cannot be granted is no error: a call to it is
        refused like any other. An executor that tells workers apart is told which one this is.
        """
        made = copy.copy(self)
        if names is not None:
            made.granted = self.granted & frozenset(names)
        if self._shared:
            own: dict[int, Any] = {id(one): one.for_worker(worker_id) for one in self._shared}
            made._executors = {name: own.get(id(one), one) for name, one in self._executors.items()}
            made._staging = {name: own.get(id(one), one) for name, one in self._staging.items()}
            made._placed = {name: own.get(id(one), one) for name, one in self._placed.items()}
        return made

    def changing(self, names: Iterable[str] | None = None) -> tuple[str, ...]:
        """Return those granted tools of *names* that may change something, sorted; ``None``: of all."""
        granted = self.granted if names is None else self.granted & frozenset(names)
        return tuple(sorted(granted - self._parallel))

    def only(self, names: Iterable[str]) -> "Toolset":
        """Return the set of those of *names* that are here and granted: a model is told of no other."""
        kept = self.granted & frozenset(names)
        specs = tuple(spec for spec in self.specs if spec.name in kept)
        return Toolset(specs, kept, {name: one for name, one in self._executors.items() if name in kept})

    def joined(self, executor: StagingExecutor) -> "Toolset":
        """Return this set with all tools of *executor* after its own.

        Raises :exc:`~sunwell.errors.ConfigurationError` where two tools would have one name.
        """
        more = {spec.name: spec for spec in executor.specs()}
        if twice := sorted(more.keys() & self._executors.keys()):
            raise ConfigurationError(f"two tools are called {twice[0]!r}; give one of them another name")
        executors = self._executors | _all_by(executor, more)
        specs = (*self.specs, *more.values())
        return Toolset(specs, self.granted | frozenset(more), executors, self._refusals)

    def without(self, names: Iterable[str], sentence: str) -> "Toolset":
        """Return this set, which has none of *names*; a call to one is answered with *sentence*."""
        return Toolset(
            self.specs, self.granted, self._executors, {**self._refusals, **dict.fromkeys(names, sentence)}
        )

    def conflicts_of(self, worker_id: str) -> tuple[Conflict, ...]:
        """Return where the worker *worker_id* and others met in the same file, as far as is known."""
        return tuple(conflict for one in self._shared for conflict in one.conflicts_of(worker_id))

    def note(self, worker_id: str, result: ToolResult) -> None:
        """Take note of a call that the worker *worker_id* made in an earlier process of the same run."""
        for executor in self._shared:
            executor.note(worker_id, result)

    def release(self, worker_id: str) -> None:
        """Give up what the worker *worker_id* still holds: it is over."""
        for executor in self._shared:
            executor.release(worker_id)

    def executors_of(
        self, call: ToolCall, place: Place | None = None
    ) -> tuple[ToolExecutor | None, StagingExecutor | None]:
        """Return who carries *call* out at *place*, and the same if it can look at the call before.

        Both are ``None`` if the tool is not granted.
        """
        if call.name not in self.granted:
            return None, None
        placed = self._placed.get(call.name)
        if placed is None or place is None:
            return self._executors.get(call.name), self._staging.get(call.name)
        executor = placed.at(place)
        return executor, executor

    def executor_of(self, name: str) -> ToolExecutor | None:
        """Return who carries out calls of the tool *name*; ``None`` if it is not granted."""
        return self._executors.get(name) if name in self.granted else None

    def repaired(self, call: ToolCall) -> ToolCall:
        """Return *call* as it is run and recorded, see :func:`sunwell.tools.arguments.repaired`."""
        spec = self._by_name.get(call.name)
        return call if spec is None else repaired(call, spec)

    def recall(self, call: ToolCall, place: Place, result: ToolResult) -> None:
        """Tell whoever keeps account of it that *call* is on record with *result*."""
        placed = self._placed.get(call.name)
        if placed is None or call.name not in self.granted:
            return
        from sunwell.tools.policy import GovernedExecutor, is_left_out

        if isinstance(placed, GovernedExecutor) and is_left_out(result):
            return  # it was not carried out, so it left nothing behind
        placed.recall(call, place)

    def is_parallel(self, call: ToolCall) -> bool:
        """Whether *call* may run beside others."""
        return call.name in self._parallel

    def may_write(self, call: ToolCall) -> bool:
        """Whether *call* itself may change files: not if its executor says that none of its calls does."""
        return getattr(self._executors.get(call.name), "writes", True) is not False

    def refusal(self, call: ToolCall) -> ToolResult:
        """Return what the model is told of a call to a tool that it does not have."""
        if call.name in self._refusals:
            return ToolResult(call.id, self._refusals[call.name], is_error=True, refused=True)
        names = ", ".join(sorted(self.granted)) or "none"
        near = nearest(call.name, self.granted)
        hint = f" Did you mean {near}?" if near else ""
        if call.name in self._by_name:  # siblings are shown the same tools, and may call others of them
            sentence = f"You may not call {call.name} in this task. Your tools: {names}."
        else:
            sentence = f"There is no tool {call.name[:64]!r} here.{hint} Your tools: {names}."
        return ToolResult(call.id, sentence, is_error=True, refused=True)


def _specs_of(executor: ToolExecutor | None) -> tuple[ToolSpec, ...]:
    specs = getattr(executor, "specs", None)
    return tuple(specs()) if callable(specs) else ()


def _all_by(executor: ToolExecutor | None, names: Iterable[str]) -> dict[str, ToolExecutor]:
    return {} if executor is None else dict.fromkeys(names, executor)
