"""What every handler is given beside its request."""

from dataclasses import dataclass
from typing import Protocol

from shop.store import Store


class Clock(Protocol):
    """Something that knows the time."""

    def now(self) -> str:
        """Return the time in UTC, ISO 8601, in seconds."""
        ...


@dataclass(frozen=True)
class Shop:
    """The parts of a running shop."""

    store: Store
    clock: Clock
