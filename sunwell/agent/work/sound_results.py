"""Results of executors that others wrote, held to what a journal can keep and a model can read."""

from typing import Any

import attrs

from sunwell.core.message import FileChange, ToolCall, ToolResult


def sound_result(value: Any, call: ToolCall) -> ToolResult:
    """Return *value* as the result of *call*; a list of changes becomes a tuple.

    Raises :exc:`TypeError`, with a sentence for whoever wrote the executor, where it is no
    :class:`~sunwell.core.message.ToolResult` or has a field of another type than its class says.
    """
    if not isinstance(value, ToolResult):
        raise TypeError(f"a ToolResult is wanted, the executor gave {type(value).__name__}")
    wanted: dict[str, tuple[type, ...]] = {
        "content": (str,),
        "is_error": (bool,),
        "changes": (tuple, list),
        "exit_code": (int, type(None)),
    }
    for name, types in wanted.items():
        given = getattr(value, name)
        if type(given) not in types:
            raise TypeError(f"{name} of a ToolResult is {types[0].__name__}, got {type(given).__name__}")
    for change in value.changes:
        if not isinstance(change, FileChange) or type(change.path) is not str:
            raise TypeError(f"changes of a ToolResult are FileChange objects, got {change!r}")
    return attrs.evolve(value, call_id=call.id, changes=tuple(value.changes))
