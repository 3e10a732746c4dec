"""When a failed attempt is made again, and how long that waits."""

import random

import attrs

from sunwell.errors import ModelError


@attrs.frozen
class RetryPolicy:
    """How often and how patiently a call is made again."""

    attempts: int = attrs.field(default=4, validator=attrs.validators.ge(1))
    """Attempts in all, the first included."""
    first_wait_seconds: float = 0.5
    longest_wait_seconds: float = 30.0
    """Cap of the waits, which double and are jittered."""
    retry_after_cap_seconds: float = 60.0
    """Longest wait that a provider may ask for; a longer one ends the call."""
    silence_cap_seconds: float = 240.0
    """After attempts that ended at a time limit and lasted this long together, no further one is made."""

    def helps(self, error: BaseException) -> bool:
        """Return whether the same call may succeed later, within the wait that the provider asks for."""
        if not isinstance(error, ModelError) or not error.retry:
            return False
        asked_seconds = error.retry_after_seconds
        return asked_seconds is None or asked_seconds <= self.retry_after_cap_seconds

    def wait_seconds(self, failed: int, error: BaseException, silent_seconds: float = 0.0) -> float | None:
        """Return how long to wait after *error*, before which *failed* attempts had failed already.

        *silent_seconds* is how long the attempts took that ended at a time limit, this one included: each
        may have been billed, and each keeps the caller waiting for its whole length.

        ``None``: no further attempt. Where the provider does not ask for a time, waits double from
        the first one to the longest, each with up to half of itself on top, so that siblings which
        failed together do not come back together.
        """
        if failed + 1 >= self.attempts or not isinstance(error, ModelError) or not self.helps(error):
            return None
        if error.silent and silent_seconds >= self.silence_cap_seconds:
            return None
        if error.retry_after_seconds is not None:
            return max(0.0, error.retry_after_seconds)
        usual = min(self.first_wait_seconds * 2.0**failed, self.longest_wait_seconds)
        return min(usual * random.uniform(1.0, 1.5), self.longest_wait_seconds)
