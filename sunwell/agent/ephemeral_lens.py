"""RFC-137's two entry points: the decision to delegate, and the writing of the lens."""

from sunwell.agent.decision import should_use_delegation

__all__ = ["should_use_delegation"]
