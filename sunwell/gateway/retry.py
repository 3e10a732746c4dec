"""When a failed attempt is made again, and how long that waits."""

import random

import attrs

from sunwell.errors import ModelError, RateLimited

MOST_CHANGES = 16
"""Most attempts of a call that send a different request than the one before: a server can refuse no more
features than there are."""


@attrs.frozen
class RetryPolicy:
    """How often and how patiently a call is made again."""

    attempts: int = attrs.field(default=4, validator=attrs.validators.ge(1))
    """Attempts in all, the first included."""
    refused_attempts: int = attrs.field(default=8, validator=attrs.validators.ge(1))
    """The same if the server refuses the request because of its rate or an overload, which costs nothing:
    with the usual waits that is about a minute. It counts if it is more and ``attempts`` is not 1."""
    first_wait_seconds: float = 0.5
    """Wait before the second attempt."""
    longest_wait_seconds: float = 30.0
    """Cap of the waits, which double and are jittered."""
    retry_after_cap_seconds: float = 60.0
    """Longest wait that a provider may ask for; a longer one ends the call."""
    silence_cap_seconds: float = 240.0
    """After attempts that ended at a time limit and lasted this long together, no further one is made."""

    def wait_seconds(self, failed: int, error: BaseException, silent_seconds: float = 0.0) -> float | None:
        """Return how long to wait after *error*, before which *failed* attempts had failed already.

        *silent_seconds* is how long the attempts took that ended at a time limit, this one included: each
        may have been billed, and each keeps the caller waiting for its whole length.

        ``None``: no further attempt, because it cannot help, the provider asks for a longer wait than
        allowed, or all attempts are used. An attempt that sends a different request is always made, at once.

        The first wait is the one that the provider asks for; if it refuses again, later ones are no shorter
        than the usual ones. If the provider does not ask for a time, waits double from the first one to the
        longest, each with up to half of itself in addition, so that calls that failed together are not
        repeated together.
        """
        if not isinstance(error, ModelError) or not error.retry:
            return None
        if error.silent and silent_seconds >= self.silence_cap_seconds:
            return None
        if error.is_changed:
            return 0.0
        allowed = self.attempts
        if allowed > 1 and isinstance(error, RateLimited) and not error.may_be_billed:
            allowed = max(allowed, self.refused_attempts)
        most = allowed - 1 if error.most_repeats is None else min(error.most_repeats, allowed - 1)
        if failed >= most:
            return None
        asked_seconds = error.retry_after_seconds
        usual = min(self.first_wait_seconds * 2.0**failed, self.longest_wait_seconds)
        usual = min(usual * random.uniform(1.0, 1.5), self.longest_wait_seconds)
        if asked_seconds is None:
            return usual
        if asked_seconds > self.retry_after_cap_seconds:
            return None
        # A server that always asks for a second, while it is down for ten, must not use up all attempts.
        is_again = failed > 0 and isinstance(error, RateLimited)
        return max(0.0, asked_seconds, usual if is_again else 0.0)
