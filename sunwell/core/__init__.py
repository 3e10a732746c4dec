"""Values and protocols; no input, no output."""

from sunwell.core.ceilings import Budget
from sunwell.core.decision import DelegationDecision
from sunwell.core.history import History
from sunwell.core.lens import EphemeralLens
from sunwell.core.message import FileChange, Message, Part, Role, Text, Thinking, ToolCall, ToolResult, user
from sunwell.core.model import (
    CacheLife,
    Caching,
    Completion,
    Consulted,
    Delta,
    Effort,
    ModelProtocol,
    Purpose,
    Request,
    ResponseSchema,
    Stop,
    ToolSpec,
)
from sunwell.core.price import Price, Rates, Tier
from sunwell.core.quote import Quote, Side
from sunwell.core.receipts import CommandRun, Conflict, Receipts
from sunwell.core.secrets import Secrets
from sunwell.core.span import Span
from sunwell.core.task import Bill, BillLine, ModelBill, Status, StopReason, Task, TaskResult, Total
from sunwell.core.tool import Proposal, Staged, StagingExecutor, Tool, ToolExecutor
from sunwell.core.usage import Usage

__all__ = [
    "Bill",
    "BillLine",
    "Budget",
    "CacheLife",
    "Caching",
    "CommandRun",
    "Completion",
    "Conflict",
    "Consulted",
    "DelegationDecision",
    "Delta",
    "Effort",
    "EphemeralLens",
    "FileChange",
    "History",
    "Message",
    "ModelBill",
    "ModelProtocol",
    "Part",
    "Price",
    "Proposal",
    "Purpose",
    "Quote",
    "Rates",
    "Receipts",
    "Request",
    "ResponseSchema",
    "Role",
    "Secrets",
    "Side",
    "Span",
    "Staged",
    "StagingExecutor",
    "Status",
    "Stop",
    "StopReason",
    "Task",
    "TaskResult",
    "Text",
    "Thinking",
    "Tier",
    "Tool",
    "ToolCall",
    "ToolExecutor",
    "ToolResult",
    "ToolSpec",
    "Total",
    "Usage",
    "user",
]
