"""How long processes worked on a run, as its records tell."""

import attrs

from sunwell.journal.records import Paused, Record, RunOpened, RunResumed


@attrs.define
class WorkedTime:
    """Adds up the time in which some process worked on a run.

    What it waited for people does not count, nor the time between two processes.
    """

    _total: float = 0.0
    _latest: float | None = None

    def see(self, record: Record) -> None:
        """Take note of *record*; records come in order."""
        if isinstance(record, Paused):
            self._total -= record.seconds
        at = getattr(record, "at", None)
        if not isinstance(at, int | float):
            return
        if self._latest is not None and not isinstance(record, RunOpened | RunResumed):
            self._total += max(0.0, at - self._latest)  # clocks are set back now and then
        self._latest = at

    @property
    def seconds(self) -> float:
        """The sum."""
        return max(0.0, self._total)
