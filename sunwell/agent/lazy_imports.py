"""Names that `agent.py` needs from heavier rooms; each is imported on first use."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # under their own names: they are there for others
    from sunwell.agent.batches.task_batch import Batch as Batch
    from sunwell.agent.batches.task_batch import BatchResult as BatchResult
    from sunwell.agent.lifecycle.authority import CallerTerms as CallerTerms
    from sunwell.agent.lifecycle.equipment import Equipment as Equipment
    from sunwell.agent.lifecycle.model_roles import Choices as Choices
    from sunwell.agent.lifecycle.run_starter import RunStarter as RunStarter
    from sunwell.agent.policy.cache_planner import CacheLessons as CacheLessons
    from sunwell.agent.run.asked_contexts import AskedContexts as AskedContexts
    from sunwell.agent.run.asked_contexts import GivenAgain as GivenAgain
    from sunwell.agent.run.run_context import RunEvents as RunEvents
    from sunwell.context.options import RunOptions as RunOptions
    from sunwell.context.session import SessionContext as SessionContext
    from sunwell.errors import ConfigurationError as ConfigurationError
    from sunwell.errors import LensError as LensError
    from sunwell.events import WorkerFinished as WorkerFinished
    from sunwell.gateway.retry import RetryPolicy as RetryPolicy
    from sunwell.journal.places import JournalFiles as JournalFiles
    from sunwell.models.connection import keep_clients as keep_clients
    from sunwell.models.connection import release_clients as release_clients
    from sunwell.models.prices import PriceBook as PriceBook
    from sunwell.models.registry import get_registry as get_registry
    from sunwell.tools.function_tool import as_tools as as_tools
    from sunwell.tools.mcp_tools import McpServers as McpServers
    from sunwell.tools.tool_plugins import ToolPlugins as ToolPlugins

_HOMES = {
    "AskedContexts": "sunwell.agent.run.asked_contexts",
    "GivenAgain": "sunwell.agent.run.asked_contexts",
    "Batch": "sunwell.agent.batches.task_batch",
    "BatchResult": "sunwell.agent.batches.task_batch",
    "CacheLessons": "sunwell.agent.policy.cache_planner",
    "CallerTerms": "sunwell.agent.lifecycle.authority",
    "Choices": "sunwell.agent.lifecycle.model_roles",
    "ConfigurationError": "sunwell.errors",
    "Equipment": "sunwell.agent.lifecycle.equipment",
    "JournalFiles": "sunwell.journal.places",
    "LensError": "sunwell.errors",
    "McpServers": "sunwell.tools.mcp_tools",
    "PriceBook": "sunwell.models.prices",
    "RetryPolicy": "sunwell.gateway.retry",
    "RunEvents": "sunwell.agent.run.run_context",
    "RunOptions": "sunwell.context.options",
    "RunStarter": "sunwell.agent.lifecycle.run_starter",
    "SessionContext": "sunwell.context.session",
    "ToolPlugins": "sunwell.tools.tool_plugins",
    "WorkerFinished": "sunwell.events",
    "as_tools": "sunwell.tools.function_tool",
    "get_registry": "sunwell.models.registry",
    "keep_clients": "sunwell.models.connection",
    "release_clients": "sunwell.models.connection",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = found = getattr(import_module(_HOMES[name]), name)
    return found
