"""The prompt cache: which part of a prompt is read, which is written, and when entries are readable."""

from itertools import accumulate

import attrs

from sunwell.core.model import CacheLife
from sunwell.simulator.prompt_tokens import Prompt
from sunwell.simulator.simulated_prices import ModelPrice

LIFE_SECONDS: dict[CacheLife, float] = {"5m": 300.0, "1h": 3600.0}
MESSAGES_LIFE_SECONDS = 1800.0
LOOK_BACK = 20
MOST_BREAKPOINTS = 4
_MOST_MATCHED_BREAKPOINTS = 80
_SWEEP_ABOVE = 10_000


@attrs.frozen
class CacheSplit:
    """How the input of one call is divided. The four parts add up to the whole input."""

    uncached_tokens: int
    read_tokens: int = 0
    write_tokens: int = 0
    write_1h_tokens: int = 0
    entries: tuple[tuple[bytes, float], ...] = ()
    """Entries that become readable when the answer begins: digests of prefixes, lifetimes in seconds."""

    @property
    def input_tokens(self) -> int:
        """All input, cached or not."""
        return self.uncached_tokens + self.read_tokens + self.write_tokens + self.write_1h_tokens


@attrs.define
class _Entry:
    life_seconds: float
    expires_at: float


@attrs.define(eq=False)
class PromptCache:
    """The entries of all accounts and models; *space* keeps them separate."""

    _entries: dict[bytes, _Entry] = attrs.field(factory=dict, init=False)

    def split(self, prompt: Prompt, price: ModelPrice, space: bytes, now: float) -> CacheSplit:
        """Match *prompt* against the cache, refresh the entries that are read, and return what to write.

        New entries of this call are not readable until :meth:`store` is called with them.
        """
        ends = list(accumulate(piece.tokens for piece in prompt.pieces))
        total = ends[-1] if ends else 0
        if price.cache_rule == "none" or total < price.least_prefix_tokens:
            return CacheSplit(total)
        prefixes = prompt.prefixes(space)
        if price.cache_rule == "blocks":
            writable, candidates = _block_breakpoints(prompt)
        else:
            writable, candidates = _message_breakpoints(prompt)
        found = next((i for i in candidates if self._is_live(prefixes[i], now)), -1)
        self._refresh([prefixes[i] for i in (*writable, found) if 0 <= i <= found], now)
        new = {i: life for i, life in writable.items() if i > found and ends[i] >= price.least_prefix_tokens}
        read = ends[found] if found >= 0 else 0
        hour = max((ends[i] for i, life in new.items() if life == LIFE_SECONDS["1h"]), default=read)
        written = max((ends[i] for i in new), default=read)
        return CacheSplit(
            uncached_tokens=total - written,
            read_tokens=read,
            write_tokens=written - hour,
            write_1h_tokens=hour - read,
            entries=tuple((prefixes[i], life) for i, life in new.items()),
        )

    def store(self, entries: tuple[tuple[bytes, float], ...], now: float) -> None:
        """Make *entries* readable from *now* on."""
        for prefix, life_seconds in entries:
            self._entries[prefix] = _Entry(life_seconds, now + life_seconds)
        if len(self._entries) > _SWEEP_ABOVE:
            self._entries = {key: entry for key, entry in self._entries.items() if entry.expires_at > now}

    def _is_live(self, prefix: bytes, now: float) -> bool:
        entry = self._entries.get(prefix)
        return entry is not None and entry.expires_at > now

    def _refresh(self, prefixes: list[bytes], now: float) -> None:
        for prefix in prefixes:
            if self._is_live(prefix, now):
                entry = self._entries[prefix]
                entry.expires_at = now + entry.life_seconds


def _block_breakpoints(prompt: Prompt) -> tuple[dict[int, float], list[int]]:
    """Return the breakpoints with their lifetimes, and the positions to match, longest prefix first."""
    marked = [(i, piece.mark) for i, piece in enumerate(prompt.pieces) if piece.mark is not None]
    writable = {i: LIFE_SECONDS[life] for i, life in marked}
    reachable: set[int] = set()
    for position in writable:
        reachable.update(range(max(0, position - LOOK_BACK + 1), position + 1))
    return writable, sorted(reachable, reverse=True)


def _message_breakpoints(prompt: Prompt) -> tuple[dict[int, float], list[int]]:
    last = len(prompt.pieces) - 1
    explicit = [i for i, piece in enumerate(prompt.pieces) if piece.mark is not None]
    ends = [i for i, piece in enumerate(prompt.pieces) if piece.ends_message] if prompt.implicit else []
    kept = explicit[-(MOST_BREAKPOINTS - prompt.implicit) :]
    if prompt.implicit:
        kept = sorted({*kept, last})
    matched = sorted({*explicit, *ends, *kept}, reverse=True)[:_MOST_MATCHED_BREAKPOINTS]
    return dict.fromkeys(kept, MESSAGES_LIFE_SECONDS), matched
