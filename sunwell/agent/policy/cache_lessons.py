"""What the usage of earlier calls has shown of a provider's cache."""

import time
from collections.abc import Callable

import attrs

from sunwell.core.model import ModelProtocol, Usage
from sunwell.models.catalog import provider_and_id
from sunwell.models.tokens import least_cacheable_tokens


@attrs.define
class _Known:
    kept_tokens: int | None = None
    """The shortest shared prefix that was read from the cache."""
    lost_tokens: int | None = None
    """The longest shared prefix that was not."""
    first_answer_seconds: float | None = None
    call_seconds: float | None = None


_SURELY = 0.9
"""Part of an entry's life in which it is counted on: the rest is for clocks and ways."""


@attrs.define(eq=False)
class CacheLessons:
    """Remembers, by model, which prefixes a cache kept and how soon an answer began.

    And by prefix, until when it is surely in the cache.
    """

    clock: Callable[[], float] = time.time
    """Seconds since 1970, as in a journal."""
    _known: dict[str, _Known] = attrs.field(factory=dict, init=False)
    _kept_until: dict[str, float] = attrs.field(factory=dict, init=False)

    def least_tokens(self, model: ModelProtocol) -> int:
        """Return the shortest prefix that the cache of *model* keeps: as seen, else as the table says."""
        known = self._of(model)
        least, _ = least_cacheable_tokens(provider_and_id(model)[1])
        if known.lost_tokens is not None:
            least = max(least, known.lost_tokens + 1)
        return least if known.kept_tokens is None else min(least, known.kept_tokens)

    def first_answer_seconds(self, model: ModelProtocol) -> float | None:
        """Return how long it last took until an answer of *model* began; ``None`` where nobody knows."""
        return self._of(model).first_answer_seconds

    def call_seconds(self, model: ModelProtocol) -> float | None:
        """Return how long calls of *model* took, late ones weighing most; ``None`` where nobody knows."""
        return self._of(model).call_seconds

    def saw_call(self, model: ModelProtocol, seconds: float) -> None:
        """Take note of how long a call took."""
        known = self._of(model)
        known.call_seconds = seconds if known.call_seconds is None else (known.call_seconds + seconds) / 2

    def is_warm(self, key: str) -> bool:
        """Return whether the prefix that *key* names is in the cache, as far as anybody can know."""
        return self.clock() < self._kept_until.get(key, 0.0)

    def saw_kept(self, key: str, at: float, life_seconds: float) -> None:
        """Take note that the prefix that *key* names was read or written *at* that time."""
        until = at + life_seconds * _SURELY
        self._kept_until[key] = max(until, self._kept_until.get(key, 0.0))

    def saw_first_answer(self, model: ModelProtocol, seconds: float) -> None:
        """Take note of how long it took until an answer began."""
        self._of(model).first_answer_seconds = seconds

    def saw_sibling(self, model: ModelProtocol, usage: Usage, prefix_tokens: int) -> None:
        """Take note of the first answer to a sibling whose prefix should have been in the cache.

        What it read is that prefix, counted by the provider. *prefix_tokens* is our own estimate,
        which is all that there is where nothing was read.
        """
        known = self._of(model)
        read = usage.cache_read_tokens
        if read:
            known.kept_tokens = min(read, known.kept_tokens or read)
        else:
            known.lost_tokens = max(prefix_tokens, known.lost_tokens or 0)

    def _of(self, model: ModelProtocol) -> _Known:
        return self._known.setdefault(model.name, _Known())
