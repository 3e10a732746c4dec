"""What a run or a worker ends with."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Literal

import attrs

from sunwell.core.decision import DelegationDecision
from sunwell.core.lens import EphemeralLens
from sunwell.core.message import FileChange
from sunwell.core.usage import Usage

Status = Literal["ok", "incomplete", "error", "cancelled"]
StopReason = Literal[
    "end", "budget_usd", "budget_tokens", "timeout", "turns", "calls", "depth", "refusal", "length",
    "window", "model_error", "lens_failed", "cancelled", "bug",
]  # fmt: skip
"""Why a run ended. ``end`` is the only one that goes with ``ok``."""


@attrs.frozen
class ModelBill:
    """What one model's calls came to. ``cost_usd`` is ``None`` where its price is unknown."""

    model: str
    calls: int
    usage: Usage
    cost_usd: Decimal | None
    uncertain_usd: Decimal | None = Decimal(0)
    """Upper bound of what calls cost whose usage never came; not in ``cost_usd``."""
    uncertain_calls: int = 0


@attrs.frozen
class Bill:
    """What a run came to, call by call booked at the price of the model that answered."""

    models: tuple[ModelBill, ...] = ()
    by_purpose: tuple[tuple[str, Decimal | None], ...] = ()
    price_date: str = ""

    @property
    def usage(self) -> Usage:
        """All tokens that were reported."""
        return sum((line.usage for line in self.models), Usage())

    @property
    def calls(self) -> int:
        """All answered calls."""
        return sum(line.calls for line in self.models)

    @property
    def cost_usd(self) -> Decimal | None:
        """What the reported usage costs; ``None`` where the price of any of it is unknown."""
        return _total(line.cost_usd for line in self.models)

    @property
    def uncertain_usd(self) -> Decimal | None:
        """Upper bound for calls whose usage never came; ``None`` where a price is unknown."""
        return _total(line.uncertain_usd for line in self.models)


@attrs.frozen
class TaskResult:
    """How a task ended: always one of these, never an exception or an error text for an answer."""

    task: str
    status: Status
    stop_reason: StopReason
    answer: str = ""
    error: str = ""
    """One sentence where ``status`` is not ``ok``; empty otherwise."""
    files: tuple[FileChange, ...] = ()
    """Files that differ from before, each once, as the harness saw them."""
    tools_called: tuple[tuple[str, int], ...] = ()
    """Names of tools and how often each was called."""
    turns: int = 0
    bill: Bill = Bill()
    duration_seconds: float = 0.0
    run_id: str = ""
    journal: str | None = None
    """Path of the run's journal; ``None`` where the run was in memory only."""
    decision: DelegationDecision | None = None
    """Whether the task was delegated, and why; ``None`` where delegation was off."""
    lens: EphemeralLens | None = None


def _total(values: Iterable[Decimal | None]) -> Decimal | None:
    total = Decimal(0)
    for value in values:
        if value is None:
            return None
        total += value
    return total
