"""The tools of one piece of work: what the model is told of, and who carries a call out."""

from collections.abc import Iterable, Sequence

import attrs

from sunwell.core.message import ToolCall, ToolResult
from sunwell.core.model import ToolSpec
from sunwell.core.tool import StagingExecutor, Tool, ToolExecutor
from sunwell.errors import ConfigurationError


@attrs.define(eq=False)
class Toolset:
    """Specs in a fixed order, with the executor of each.

    ``granted`` is what may really be called: a worker's subset is enforced when a tool is executed,
    so that siblings can be sent one list of tools.
    """

    specs: tuple[ToolSpec, ...]
    granted: frozenset[str]
    _executors: dict[str, ToolExecutor]
    _parallel: frozenset[str] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._parallel = frozenset(
            name
            for name, executor in self._executors.items()
            if isinstance(executor, StagingExecutor) and executor.is_parallel(name)
        )

    @classmethod
    def of(cls, tools: Sequence[Tool | str] | None, executor: ToolExecutor | None) -> "Toolset":
        """Return the set for *tools*: names are *executor*'s, ``None`` is all that it offers.

        Raises :exc:`~sunwell.errors.ConfigurationError` for a name that nobody offers.
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
            from sunwell.tools.toolbox import Toolbox

            box = Toolbox(tools=tuple(own))
            specs |= {spec.name: spec for spec in box.specs()}
            executors |= _all_by(box, [tool.spec.name for tool in own])
        return cls(tuple(specs.values()), frozenset(specs), executors)

    def executor_of(self, call: ToolCall) -> ToolExecutor | None:
        """Return who carries *call* out; ``None`` where the tool is not granted."""
        return self._executors.get(call.name) if call.name in self.granted else None

    def is_parallel(self, call: ToolCall) -> bool:
        """Whether *call* may run beside others."""
        return call.name in self._parallel

    def refusal(self, call: ToolCall) -> ToolResult:
        """Return what the model is told of a call to a tool that it does not have."""
        names = ", ".join(sorted(self.granted)) or "none"
        sentence = f"There is no tool {call.name!r} here. Your tools: {names}."
        return ToolResult(call.id, sentence, is_error=True)


def _specs_of(executor: ToolExecutor | None) -> tuple[ToolSpec, ...]:
    specs = getattr(executor, "specs", None)
    return tuple(specs()) if callable(specs) else ()


def _all_by(executor: ToolExecutor | None, names: Iterable[str]) -> dict[str, ToolExecutor]:
    return {} if executor is None else dict.fromkeys(names, executor)
