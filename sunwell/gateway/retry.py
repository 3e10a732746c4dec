"""When a failed attempt is made again, and how long that waits."""

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

    def verdict(self, error: BaseException) -> bool | float:
        """Return false for no further attempt, true for the usual wait, or seconds to wait."""
        if not isinstance(error, ModelError) or not error.retry:
            return False
        if error.retry_after_seconds is None:
            return True
        if error.retry_after_seconds > self.retry_after_cap_seconds:
            return False
        return max(0.0, error.retry_after_seconds)
