"""How a model may hand work out itself. Part of :class:`~sunwell.context.options.RunOptions`."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Literal, Self

import attrs

DelegationTools = Literal["delegate", "rlm", "subagent"]
"""Which tools a model hands work out with. ``delegate``: start, stream, await, inspect; ``rlm``: ask and
wait for the answer, one question or several; ``subagent``: one question."""

_share = attrs.validators.and_(attrs.validators.ge(0.0), attrs.validators.le(1.0))


def _texts(value: Iterable[str]) -> tuple[str, ...]:
    if isinstance(value, str):  # tuple("abc") would silently become ("a", "b", "c")
        raise TypeError(f"expected several runs, got the single string {value!r}")
    return tuple(value)


def _decimal(value: Decimal | float | str | None) -> Decimal | None:
    return value if value is None or isinstance(value, Decimal) else Decimal(str(value))


@attrs.frozen
class SubCallLimits:
    """Ceilings of all sub-calls that ``rlm`` tools make in a run; ``None`` is no ceiling."""

    max_depth: int = attrs.field(default=3, validator=attrs.validators.ge(0))
    """Hard bound of the nesting, whatever ``RunOptions.max_depth`` allows."""
    max_sub_calls_per_turn: int = attrs.field(default=5, validator=attrs.validators.ge(1))
    max_total_tokens: int | None = 50_000
    """Input and output of all of them together."""
    max_cost_per_session: Decimal | None = attrs.field(default=Decimal("1.0"), converter=_decimal)
    """US dollars of all of them together."""
    budget_inheritance: float = attrs.field(default=0.5, validator=_share)
    """Most of what is left to the parent that one of them may take."""


@attrs.frozen
class Orchestration:
    """Settings of a run whose model hands work out itself."""

    max_iterations: int = attrs.field(default=20, validator=attrs.validators.ge(1))
    """Most turns of the orchestrator's own; those of its workers do not count."""
    confidence_threshold: float = attrs.field(default=0.9, validator=_share)
    """An answer that is at least so sure ends the run, once no worker is at work."""
    share: float = attrs.field(default=0.5, validator=_share)
    """Most of the tokens and dollars left that a single worker may take; a batch shares all of them."""
    max_entries: int = attrs.field(default=1000, validator=attrs.validators.ge(1))
    """Most entries of the scratchpad."""
    persist_decisions: bool = True
    """Whether what the model decided is kept in the scratchpad, too."""
    sub_calls: SubCallLimits = SubCallLimits()
    earlier_runs: tuple[str, ...] = attrs.field(default=(), converter=_texts)
    """Runs of the same workspace whose scratchpads this run may read."""

    def as_json(self) -> dict[str, Any]:
        """Return JSON values from which :meth:`from_json` makes it again."""
        fields = attrs.asdict(self)
        cost = self.sub_calls.max_cost_per_session
        fields["sub_calls"]["max_cost_per_session"] = None if cost is None else str(cost)
        return fields | {"earlier_runs": list(self.earlier_runs)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return what :meth:`as_json` described."""
        return cls(**{**value, "sub_calls": SubCallLimits(**value["sub_calls"])})
