"""When a failed attempt is made again, and how long that waits."""

import random

import attrs

from sunwell.errors import ModelError

MOST_CHANGES = 16
"""Most attempts of a call that send a different request than the one before: a server can refuse no more
features than there are."""


@attrs.frozen
class RetryPolicy:
    """How often and how patiently a call is made again."""

    attempts: int = attrs.field(default=4, validator=attrs.validators.ge(1))
    """Attempts in all, the first included."""
    first_wait_seconds: float = 0.5
    """Wait before the second attempt."""
    longest_wait_seconds: float = 30.0
    """Cap of the waits, which double and are jittered."""
    retry_after_cap_seconds: float = 60.0
    """Longest wait that a provider may ask for; a longer one ends the call."""

    def wait_seconds(self, failed: int, error: BaseException) -> float | None:
        """Return how long to wait after *error*, before which *failed* attempts had failed already.

        ``None``: no further attempt, because it cannot help, the provider asks for a longer wait than
        allowed, or all attempts are used. An attempt that sends a different request is always made, at once.

        If the provider does not ask for a time, waits double from the first one to the longest, each with up
        to half of itself in addition, so that calls that failed together are not repeated together.
        """
        if not isinstance(error, ModelError) or not error.retry:
            return None
        if error.is_changed:
            return 0.0
        most = self.attempts - 1 if error.most_repeats is None else min(error.most_repeats, self.attempts - 1)
        if failed >= most:
            return None
        asked_seconds = error.retry_after_seconds
        if asked_seconds is not None:
            return max(0.0, asked_seconds) if asked_seconds <= self.retry_after_cap_seconds else None
        usual = min(self.first_wait_seconds * 2.0**failed, self.longest_wait_seconds)
        return min(usual * random.uniform(1.0, 1.5), self.longest_wait_seconds)
