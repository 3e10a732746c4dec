"""Settings that belong to one model in one role, and go before the request's own."""

import attrs

from sunwell.core.model import Effort, Request


@attrs.frozen
class Tuning:
    """What is set for a model; ``None`` leaves the request's own, or the provider's default."""

    max_output_tokens: int | None = None
    """Most tokens of one answer where the request names no limit."""
    effort: Effort | None = None
    thinking_tokens: int | None = None
    """Budget of thinking; only Anthropic's format has a place for it."""
    timeout_seconds: float | None = None
    """Longest time for one answer where the request names none."""
    context_window: int | None = None

    def applied(self, request: Request) -> Request:
        """Return *request* with what is set here."""
        effort = self.effort or request.effort
        timeout = self.timeout_seconds if request.timeout_seconds is None else request.timeout_seconds
        if effort == request.effort and timeout == request.timeout_seconds:
            return request
        return attrs.evolve(request, effort=effort, timeout_seconds=timeout)


UNTUNED = Tuning()
