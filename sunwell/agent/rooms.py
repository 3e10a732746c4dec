"""What the front door needs of the rooms behind it, loaded as one when an agent is first made or used."""

from sunwell.agent.batches.task_batch import Batch, BatchResult
from sunwell.agent.lifecycle.authority import CallerTerms
from sunwell.agent.lifecycle.equipment import Equipment
from sunwell.agent.lifecycle.model_roles import Choices
from sunwell.agent.lifecycle.run_starter import RunStarter
from sunwell.agent.policy.cache_planner import CacheLessons
from sunwell.context.options import RunOptions
from sunwell.context.session import SessionContext
from sunwell.errors import ConfigurationError, LensError
from sunwell.events import RunFinished, WorkerFinished
from sunwell.gateway.retry import RetryPolicy
from sunwell.journal.places import JournalFiles
from sunwell.models.prices import PriceBook
from sunwell.models.registry import get_registry
from sunwell.tools.function_tool import as_tools
from sunwell.tools.tool_plugins import ToolPlugins

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
    "RunFinished",
    "RunOptions",
    "RunStarter",
    "SessionContext",
    "ToolPlugins",
    "WorkerFinished",
    "as_tools",
    "get_registry",
]
