"""The one door to a model, and the only place that retries."""

from sunwell.gateway.gateway import Gateway
from sunwell.gateway.retry import RetryPolicy

__all__ = ["Gateway", "RetryPolicy"]
