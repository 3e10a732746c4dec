"""Think once, generate many.

A smart model reads a task once and writes a frozen lens; cheap models do the work with the lens in
their prompt, under budgets that hold.

All that most programs need can be imported from here, and is loaded on first use. ``docs/api.md`` lists
these names and the other public modules; what it does not list is private.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sunwell import core as core
    from sunwell import errors as errors
    from sunwell import events as events
    from sunwell import simulator as simulator
    from sunwell import testing as testing
    from sunwell.agent.agent import Agent, run, run_sync
    from sunwell.agent.batches.task_batch import BatchResult
    from sunwell.agent.ephemeral_lens import create_ephemeral_lens, should_use_delegation
    from sunwell.agent.lens.lens_file import read_lens
    from sunwell.agent.loop import AgentLoop, LoopConfig
    from sunwell.agent.orchestrator import Orchestrator
    from sunwell.agent.policy.estimator import estimate_output
    from sunwell.agent.run.run_context import RunEvents
    from sunwell.budget.ledger_protocol import Budget
    from sunwell.checks.command_check import CommandCheck
    from sunwell.checks.files_check import FilesCheck
    from sunwell.checks.judge_check import JudgeCheck
    from sunwell.checks.schema_check import SchemaCheck
    from sunwell.context.long_context import LongContext
    from sunwell.context.options import RunOptions
    from sunwell.context.session import SessionContext
    from sunwell.core.check import Check, Checking, Verdict
    from sunwell.core.context_source import ContextSource
    from sunwell.core.lens import EphemeralLens
    from sunwell.core.model import ModelProtocol
    from sunwell.core.price import DelegationDecision, OutputEstimate, Price, Rates
    from sunwell.core.task import Bill, Task, TaskResult
    from sunwell.core.tool import Proposal, Tool, ToolExecutor
    from sunwell.errors import (
        BudgetExhausted,
        ConfigurationError,
        JournalError,
        LensError,
        MissingKeyError,
        ModelError,
        SunwellError,
        ToolError,
        UnknownModelError,
    )
    from sunwell.events.payloads import (
        BudgetWarning,
        DelegationStarted,
        EphemeralLensCreated,
        Event,
        ModelCallFinished,
        ModelTextArrived,
        RunFinished,
        ToolCallFinished,
        WorkerFinished,
    )
    from sunwell.gateway.retry import RetryPolicy
    from sunwell.journal.places import JournalFiles
    from sunwell.models.anthropic_messages import AnthropicModel
    from sunwell.models.connection import Connection
    from sunwell.models.openai_chat import ChatModel
    from sunwell.models.openai_responses import ResponsesModel
    from sunwell.models.prices import PriceBook
    from sunwell.models.registry import get_registry, resolve_model
    from sunwell.report.forecast import forecast
    from sunwell.tools.function_tool import tool
    from sunwell.tools.toolbox import Toolbox
    from sunwell.tools.workspace import Workspace

__all__ = [
    "Agent",
    "AgentLoop",
    "AnthropicModel",
    "BatchResult",
    "Bill",
    "Budget",
    "BudgetExhausted",
    "BudgetWarning",
    "ChatModel",
    "Check",
    "Checking",
    "CommandCheck",
    "ConfigurationError",
    "Connection",
    "ContextSource",
    "DelegationDecision",
    "DelegationStarted",
    "EphemeralLens",
    "EphemeralLensCreated",
    "Event",
    "FilesCheck",
    "JournalError",
    "JournalFiles",
    "JudgeCheck",
    "LensError",
    "LongContext",
    "LoopConfig",
    "MissingKeyError",
    "ModelCallFinished",
    "ModelError",
    "ModelProtocol",
    "ModelTextArrived",
    "Orchestrator",
    "OutputEstimate",
    "Price",
    "PriceBook",
    "Proposal",
    "Rates",
    "ResponsesModel",
    "RetryPolicy",
    "RunEvents",
    "RunFinished",
    "RunOptions",
    "SchemaCheck",
    "SessionContext",
    "SunwellError",
    "Task",
    "TaskResult",
    "Tool",
    "ToolCallFinished",
    "ToolError",
    "ToolExecutor",
    "Toolbox",
    "UnknownModelError",
    "Verdict",
    "WorkerFinished",
    "Workspace",
    "create_ephemeral_lens",
    "estimate_output",
    "forecast",
    "get_registry",
    "read_lens",
    "resolve_model",
    "run",
    "run_sync",
    "should_use_delegation",
    "tool",
]
__version__ = "0.1.0"

# For type checkers the imports above say the same; tests/test_public_api.py holds both together.
_HOMES = {
    "agent.agent": ("Agent", "run", "run_sync"),
    "agent.batches.task_batch": ("BatchResult",),
    "agent.ephemeral_lens": ("create_ephemeral_lens", "should_use_delegation"),
    "agent.lens.lens_file": ("read_lens",),
    "agent.loop": ("AgentLoop", "LoopConfig"),
    "agent.orchestrator": ("Orchestrator",),
    "agent.policy.estimator": ("estimate_output",),
    "agent.run.run_context": ("RunEvents",),
    "budget.ledger_protocol": ("Budget",),
    "checks.command_check": ("CommandCheck",),
    "checks.files_check": ("FilesCheck",),
    "checks.judge_check": ("JudgeCheck",),
    "checks.schema_check": ("SchemaCheck",),
    "context.options": ("RunOptions",),
    "context.long_context": ("LongContext",),
    "context.session": ("SessionContext",),
    "core.check": ("Check", "Checking", "Verdict"),
    "core.context_source": ("ContextSource",),
    "core.lens": ("EphemeralLens",),
    "core.model": ("ModelProtocol",),
    "core.price": ("DelegationDecision", "OutputEstimate", "Price", "Rates"),
    "core.task": ("Bill", "Task", "TaskResult"),
    "core.tool": ("Proposal", "Tool", "ToolExecutor"),
    "errors": (
        "BudgetExhausted",
        "ConfigurationError",
        "JournalError",
        "LensError",
        "MissingKeyError",
        "ModelError",
        "SunwellError",
        "ToolError",
        "UnknownModelError",
    ),
    "events.payloads": (
        "BudgetWarning",
        "DelegationStarted",
        "EphemeralLensCreated",
        "Event",
        "ModelCallFinished",
        "ModelTextArrived",
        "RunFinished",
        "ToolCallFinished",
        "WorkerFinished",
    ),
    "gateway.retry": ("RetryPolicy",),
    "journal.places": ("JournalFiles",),
    "models.anthropic_messages": ("AnthropicModel",),
    "models.connection": ("Connection",),
    "models.openai_chat": ("ChatModel",),
    "models.openai_responses": ("ResponsesModel",),
    "models.prices": ("PriceBook",),
    "models.registry": ("get_registry", "resolve_model"),
    "report.forecast": ("forecast",),
    "tools.function_tool": ("tool",),
    "tools.toolbox": ("Toolbox",),
    "tools.workspace": ("Workspace",),
}
_MODULES = ("core", "errors", "events", "simulator", "testing")  # public, and too large for a ``*``
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULES})


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"sunwell.{name}")
    if name not in _HOME_OF:
        raise AttributeError(f"module 'sunwell' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"sunwell.{_HOME_OF[name]}"), name)
    return value
