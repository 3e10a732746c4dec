"""Names for the workers that tool calls ask for: ULIDs that are the same each time a run is taken up."""

from typing import Any, Self

import attrs

from sunwell.core.message import digest_of

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_DIGEST_BITS = 80


@attrs.frozen
class TaskIds:
    """Makes a ULID of a worker's place in a run.

    The first 48 bits are the time at which the run began to hand out work, the other 80 a digest of
    the run's id and the worker's span. Time and id are written down once; nothing else is needed to
    find the same ids again, so none of them comes from chance.
    """

    run_id: str
    milliseconds: int
    """Since 1970 in UTC."""

    def of(self, span_path: str) -> str:
        """Return the id of the worker at *span_path*: 26 characters of Crockford's base 32."""
        low = int.from_bytes(digest_of("worker", self.run_id, span_path)[: _DIGEST_BITS // 8], "big")
        number = (self.milliseconds % 2**48) << _DIGEST_BITS | low
        return "".join(_ALPHABET[number >> shift & 31] for shift in range(125, -1, -5))

    def as_json(self) -> dict[str, Any]:
        """Return JSON values from which :meth:`from_json` makes it again."""
        return {"run": self.run_id, "milliseconds": self.milliseconds}

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Return what :meth:`as_json` described."""
        return cls(str(value["run"]), int(value["milliseconds"]))
