"""Room on the disk for answers that are still to come."""

import attrs

from sunwell.journal.disk import Disk
from sunwell.journal.records import Answer, Failure, Intent, Record

_STEP_BYTES = 1 << 20  # one allocation serves many calls
_CLOSING_BYTES = 64 << 10  # what a run writes about its end once no answer fits any more

_Attempt = tuple[str, int, int]


@attrs.define(eq=False)
class Space:
    """Keeps blocks allocated past the end of a journal, enough for every call in flight."""

    _disk: Disk
    _allocated_to: int = 0
    _largest_bytes: int = 0
    _announced: int = 0
    """Calls that have reserved and not yet written their intent."""
    _in_flight: set[_Attempt] = attrs.field(factory=set)

    def reserve(self, end: int, size_bytes: int) -> None:
        """Make room for one more call after *end*, or raise OSError."""
        largest = max(self._largest_bytes, size_bytes)
        needed = end + largest * (len(self._in_flight) + self._announced + 1) + _CLOSING_BYTES
        if needed > self._allocated_to:
            self._allocate(end, needed)
        self._largest_bytes = largest
        self._announced += 1

    def note(self, record: Record) -> None:
        """Follow which calls are in flight."""
        if isinstance(record, Intent):
            self._in_flight.add((record.span, record.number, record.attempt))
            self._announced = max(0, self._announced - 1)
        elif isinstance(record, (Answer, Failure)):
            self._in_flight.discard((record.span, record.number, record.attempt))

    def give_back(self, end: int) -> None:
        """Free what is allocated past *end*."""
        if self._allocated_to > end:
            self._disk.truncate(end)

    def _allocate(self, end: int, needed: int) -> None:
        start = max(end, self._allocated_to)
        try:
            self._disk.allocate(start, max(needed - start, _STEP_BYTES))
            self._allocated_to = max(needed, start + _STEP_BYTES)
        except OSError:  # perhaps the exact need still fits
            self._disk.allocate(start, needed - start)
            self._allocated_to = needed
