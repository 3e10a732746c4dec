"""When the calls of siblings begin, and which of them find the prefix in the cache: arithmetic alone."""

from collections.abc import Iterator
from heapq import heapify, heapreplace, merge

import attrs


@attrs.frozen
class Schedule:
    """Calls that all take equally long, a few workers at a time."""

    workers: int
    calls_per_worker: int
    at_once: int
    first_answer_seconds: float
    """Time from a call to the beginning of its answer: from then on what it wrote can be read."""
    call_seconds: float
    """Time from a call to the end of its answer."""

    def writes(
        self, life_seconds: float, *, held_seconds: float | None, warm_seconds: float | None = None
    ) -> int:
        """Return how many calls write the prefix, where an entry lives so long after it was last read.

        All begin at once, or one begins and the rest *held_seconds* later. Every other call reads.
        *warm_seconds* is the life of an entry that is there already; reading it gives it no other one.
        """
        shortest = life_seconds if warm_seconds is None else min(life_seconds, warm_seconds)
        if max(self.first_answer_seconds, self.call_seconds) < shortest:
            if warm_seconds is not None:
                return 0
            return min(self.workers, self.at_once) if held_seconds is None else 1
        written: list[float] = []
        oldest, life, expires = 0, warm_seconds or life_seconds, warm_seconds or 0.0
        for at in self._begins(held_seconds):
            while oldest < len(written) and written[oldest] <= at:
                life = life_seconds
                expires = max(expires, written[oldest] + life)
                oldest += 1
            if at < expires:
                expires = max(expires, at + life)
            else:
                written.append(at + self.first_answer_seconds)
        return len(written)

    def _begins(self, held_seconds: float | None) -> Iterator[float]:
        """Yield when calls begin, in that order."""
        length = self.calls_per_worker * self.call_seconds
        slots = [held_seconds or 0.0] * min(self.workers, self.at_once)
        workers = []
        if held_seconds is not None:
            workers.append(0.0)
            slots[0] = max(length, held_seconds)
            heapify(slots)
        while len(workers) < self.workers:
            workers.append(slots[0])
            heapreplace(slots, slots[0] + length)
        turns = range(self.calls_per_worker)
        return merge(*([begun + turn * self.call_seconds for begun in workers] for turn in turns))
