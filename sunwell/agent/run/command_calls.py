"""Tool calls that run commands: which command a call ran."""

import json
from typing import Any

from sunwell.core.message import ToolCall, ToolResult
from sunwell.tools.wording import was_killed

RUN_COMMAND = "run_command"


def command_of(call: ToolCall, result: ToolResult) -> str | None:
    """Return the command that *call* ran, also if it was killed; ``None`` if it ran none."""
    if result.exit_code is None and not (call.name == RUN_COMMAND and was_killed(result)):
        return None
    command = arguments_of(call).get("command")
    return call.name if command is None else str(command)


def arguments_of(call: ToolCall) -> dict[str, Any]:
    """Return the arguments of *call*; nothing if they are no JSON object."""
    try:
        arguments = json.loads(call.arguments)
    except (ValueError, RecursionError):
        return {}
    return arguments if isinstance(arguments, dict) else {}
