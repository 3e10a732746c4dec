"""Where the time comes from."""

from datetime import datetime, timedelta, timezone


class SystemClock:
    """The time of this machine."""

    def now(self) -> str:
        """Return the time in UTC, ISO 8601, in seconds."""
        return datetime.now(timezone.utc).isoformat(timespec="seconds")


class FixedClock:
    """A clock for tests: it stands still until it is moved."""

    def __init__(self, start: datetime) -> None:
        self._time = start

    def now(self) -> str:
        """Return the time in UTC, ISO 8601, in seconds."""
        return self._time.isoformat(timespec="seconds")

    def advance(self, seconds: float) -> None:
        """Move the clock on."""
        self._time += timedelta(seconds=seconds)
