"""Think once, generate many.

A smart model reads a task once and writes a frozen lens; cheap models do the work with the lens in
their prompt, under budgets that hold. The names here are loaded on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sunwell.agent.agent import Agent, run, run_sync
    from sunwell.budget.ledger_protocol import Budget
    from sunwell.context.options import RunOptions
    from sunwell.context.session import SessionContext
    from sunwell.core.lens import EphemeralLens
    from sunwell.tools.function_tool import tool

__all__ = ["Agent", "Budget", "EphemeralLens", "RunOptions", "SessionContext", "run", "run_sync", "tool"]
__version__ = "0.1.0"

_HOMES = {
    "Agent": "sunwell.agent.agent",
    "Budget": "sunwell.budget.ledger_protocol",
    "EphemeralLens": "sunwell.core.lens",
    "RunOptions": "sunwell.context.options",
    "SessionContext": "sunwell.context.session",
    "run": "sunwell.agent.agent",
    "run_sync": "sunwell.agent.agent",
    "tool": "sunwell.tools.function_tool",
}


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'sunwell' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
