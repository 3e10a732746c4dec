"""What the front door needs of the rooms behind it. Each name is loaded on first use."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sunwell.agent.batches.task_batch import Batch, BatchResult
    from sunwell.agent.lifecycle.authority import CallerTerms
    from sunwell.agent.lifecycle.equipment import Equipment
    from sunwell.agent.lifecycle.model_roles import Choices
    from sunwell.agent.lifecycle.run_starter import RunStarter
    from sunwell.agent.policy.cache_planner import CacheLessons
    from sunwell.agent.run.run_events import RunEvents
    from sunwell.context.options import RunOptions
    from sunwell.context.session import SessionContext
    from sunwell.errors import ConfigurationError, LensError
    from sunwell.events import WorkerFinished
    from sunwell.gateway.retry import RetryPolicy
    from sunwell.journal.places import JournalFiles
    from sunwell.models.connection import keep_clients, release_clients
    from sunwell.models.prices import PriceBook
    from sunwell.models.registry import get_registry
    from sunwell.tools.function_tool import as_tools
    from sunwell.tools.tool_plugins import ToolPlugins

_HOMES = {
    "Batch": "sunwell.agent.batches.task_batch",
    "BatchResult": "sunwell.agent.batches.task_batch",
    "CacheLessons": "sunwell.agent.policy.cache_planner",
    "CallerTerms": "sunwell.agent.lifecycle.authority",
    "Choices": "sunwell.agent.lifecycle.model_roles",
    "ConfigurationError": "sunwell.errors",
    "Equipment": "sunwell.agent.lifecycle.equipment",
    "JournalFiles": "sunwell.journal.places",
    "LensError": "sunwell.errors",
    "PriceBook": "sunwell.models.prices",
    "RetryPolicy": "sunwell.gateway.retry",
    "RunEvents": "sunwell.agent.run.run_events",
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
__all__ = [
    "Batch",
    "BatchResult",
    "CacheLessons",
    "CallerTerms",
    "Choices",
    "ConfigurationError",
    "Equipment",
    "JournalFiles",
    "LensError",
    "PriceBook",
    "RetryPolicy",
    "RunEvents",
    "RunOptions",
    "RunStarter",
    "SessionContext",
    "ToolPlugins",
    "WorkerFinished",
    "as_tools",
    "get_registry",
    "keep_clients",
    "release_clients",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = found = getattr(import_module(_HOMES[name]), name)
    return found
