"""The toolbox and its tools for a workspace."""

from sunwell.tools.environment import secrets_from_environment
from sunwell.tools.function_tool import FunctionTool, tool
from sunwell.tools.limits import ToolLimits
from sunwell.tools.mcp_client import McpServer
from sunwell.tools.originals import Originals, Uncovered, UndoReport, undo
from sunwell.tools.policy import Rules, under_rules
from sunwell.tools.toolbox import Toolbox
from sunwell.tools.wording import visible
from sunwell.tools.workspace import Workspace

__all__ = [
    "FunctionTool",
    "McpServer",
    "Originals",
    "Rules",
    "ToolLimits",
    "Toolbox",
    "Uncovered",
    "UndoReport",
    "Workspace",
    "secrets_from_environment",
    "tool",
    "under_rules",
    "undo",
    "visible",
]
