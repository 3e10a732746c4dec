"""pydantic-ai: its agents delegate to Sunwell, its models work for Sunwell, and one budget holds for both."""

from sunwell.adapters.pydantic_ai.availability import INSTALLED_VERSION
from sunwell.adapters.pydantic_ai.budgeted_model import BudgetedModel
from sunwell.adapters.pydantic_ai.delegation_capability import DelegatedRun, Delegation
from sunwell.adapters.pydantic_ai.foreign_model import PydanticAIModel
from sunwell.adapters.pydantic_ai.shared_budget import SharedBudget, SharedBudgetExhausted

__all__ = [
    "INSTALLED_VERSION",
    "BudgetedModel",
    "DelegatedRun",
    "Delegation",
    "PydanticAIModel",
    "SharedBudget",
    "SharedBudgetExhausted",
]
