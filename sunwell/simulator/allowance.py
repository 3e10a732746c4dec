"""How many requests a simulated provider takes in a second, and what its headers say of it."""

import asyncio

import attrs

_USUAL_PER_MINUTE = 4000


@attrs.frozen
class Allowance:
    """What the headers of one response say: the limit for a minute, and what is left of it."""

    per_minute: int = _USUAL_PER_MINUTE
    remaining: int = _USUAL_PER_MINUTE - 1


@attrs.define(eq=False)
class RequestLimit:
    """So many requests at once, and as many more each second; ``None`` takes any number."""

    per_second: float | None = None
    _available: float = attrs.field(default=0.0, init=False)
    _at: float | None = attrs.field(default=None, init=False)

    def take(self) -> tuple[bool, Allowance]:
        """Return whether one more request is taken now, and what its response says."""
        if self.per_second is None:
            return True, Allowance()
        now = asyncio.get_running_loop().time()
        if self._at is None:
            self._available = self.per_second
        else:
            more = (now - self._at) * self.per_second
            self._available = min(self.per_second, self._available + more)
        self._at = now
        is_taken = self._available >= 1
        if is_taken:
            self._available -= 1
        return is_taken, Allowance(round(self.per_second * 60), int(self._available))
