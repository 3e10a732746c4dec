"""The decision whether a task is delegated."""

import attrs


@attrs.frozen
class DelegationDecision:
    """Whether a task is delegated, and why. True in a condition when it is."""

    delegate: bool
    reason: str
    """One sentence for people; it stands in the event and in the output."""
    estimated_tokens: int
    threshold_tokens: int
    budget_remaining: int | None = None

    def __bool__(self) -> bool:
        return self.delegate
