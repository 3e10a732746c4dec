"""What the usage of earlier calls has shown of a provider's cache."""

import attrs

from sunwell.core.model import ModelProtocol
from sunwell.core.usage import Usage
from sunwell.models.references import provider_and_id
from sunwell.models.tokens import least_cacheable_tokens


@attrs.define
class _Known:
    kept_tokens: int | None = None
    """The shortest shared prefix that was read from the cache."""
    lost_tokens: int | None = None
    """The longest shared prefix that was not."""
    first_answer_seconds: float | None = None


@attrs.define(eq=False)
class CacheLessons:
    """Remembers, by model, which prefixes a cache kept and how soon an answer began."""

    _known: dict[str, _Known] = attrs.field(factory=dict, init=False)

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
