"""Which way of starting siblings makes the prefix that they share the cheapest: arithmetic alone."""

from decimal import Decimal
from math import ceil
from typing import Literal

import attrs

from sunwell.agent.policy.cache_schedule import Schedule
from sunwell.core.model import CacheLife
from sunwell.core.price import Price, Rates

Choice = Literal["at-once", "after-first", "pre-warm", "after-first-1h", "uncached", "padded"]
"""``at-once``: all start, each may write the cache. ``after-first``: the rest starts once the first
answer has begun. ``pre-warm``: one small call writes the cache first. ``after-first-1h``: like
``after-first``, with an entry that lives an hour. ``uncached``: no entry. ``padded``: like
``after-first``, the prefix lengthened beyond the least that a cache keeps."""

_PER_MILLION = Decimal(1_000_000)
_LONG_LIFE_SECONDS = 3_600.0
_DOUBT = Decimal("1.4")
"""An estimate of tokens may be so much too low: a prefix that might be long enough is tried."""
_PAD_MARGIN = Decimal("1.25")
"""Padding is so much longer than the estimate says: one that is a token too short is paid for nothing."""


@attrs.frozen
class Siblings:
    """Workers whose prompts begin with the same bytes, as far as it is known before they start."""

    workers: int = attrs.field(validator=attrs.validators.ge(1))
    prefix_tokens: int = attrs.field(validator=attrs.validators.ge(0))
    """Tools and system prompt, in tokens."""
    least_cacheable_tokens: int
    """The shortest prefix that the provider's cache keeps."""
    price: Price | None
    """``None``: unknown. The usual ratios of rates are taken then, and no amount is told."""
    at_once: int = 4
    """Most workers that make progress at once."""
    first_answer_seconds: float = 2.0
    """Expected time until an answer begins."""
    first_heard_seconds: float | None = None
    """Expected time until it is known that one has begun; ``None``: at once, answers are streamed."""
    call_seconds: float = 0.0
    """Expected time of a whole call; no less than until its answer begins."""
    life_seconds: float = 300.0
    """How long an entry of the usual kind lives after it was last read."""
    is_warm: bool = False
    """Whether the cache holds the prefix already."""
    calls_per_worker: int = 1
    """Expected calls of one worker; each reads the prefix."""
    longest_hold_seconds: float | None = None
    """Longest time that the start of the rest may be held up; ``None``: no limit."""
    may_pad: bool = False
    has_long_life: bool = True
    """Whether the provider has entries that live an hour."""
    is_estimated: bool = True
    """Whether ``prefix_tokens`` is an estimate, which may be too low, or was counted by the provider."""


@attrs.frozen
class Way:
    """One way of starting, and what the prefix costs all siblings together."""

    choice: Choice
    input_usd: Decimal
    """At the given price; without one, in units of the price of a million plain input tokens."""
    held_seconds: float = 0.0
    """How much later the rest starts."""


@attrs.frozen
class CachePlan:
    """How siblings are started, and why."""

    choice: Choice
    reason: str
    ways: tuple[Way, ...]
    """All ways that were compared, the cheapest first."""
    input_usd: Decimal | None
    """What the prefix is expected to cost; ``None`` where no price is known."""
    pad_tokens: int = 0
    """Tokens by which the prefix is lengthened."""

    @property
    def life(self) -> CacheLife | None:
        """The life of the entry at the end of the prefix; ``None``: no entry."""
        if self.choice == "uncached":
            return None
        return "1h" if self.choice == "after-first-1h" else "5m"

    @property
    def waits(self) -> bool:
        """Whether the rest is held until an answer has begun."""
        return self.choice not in ("at-once", "uncached")


def plan(siblings: Siblings, choice: Choice | None = None) -> CachePlan:
    """Return the cheapest way to start *siblings*; of equally cheap ones, the one that holds up least.

    Where *choice* names a way, it is that one, whatever it costs.
    """
    ways = tuple(sorted(_ways(siblings), key=lambda way: (way.input_usd, way.held_seconds)))
    limit = siblings.longest_hold_seconds
    best = next(way for way in ways if limit is None or way.held_seconds <= limit)
    if choice is None or choice == best.choice:
        return _taken(siblings, best.choice, _reason(siblings, best, ways), ways)
    return _taken(siblings, choice, f"{choice} was asked for", ways)


def _taken(siblings: Siblings, choice: Choice, reason: str, ways: tuple[Way, ...]) -> CachePlan:
    usd = next((way.input_usd for way in ways if way.choice == choice), None)
    pad = _pad_tokens(siblings) if choice == "padded" else 0
    return CachePlan(choice, reason, ways, None if siblings.price is None else usd, pad)


def _ways(siblings: Siblings) -> list[Way]:
    prefix = siblings.prefix_tokens
    heard = siblings.first_heard_seconds
    held = siblings.first_answer_seconds if heard is None else heard
    ways = [Way("uncached", _cost(siblings, prefix, plain=_reads(siblings)))]
    is_alone = siblings.workers * siblings.calls_per_worker == 1 and not siblings.is_warm
    if is_alone or prefix == 0:
        return ways
    if _may_be_kept(siblings):
        ways += _cached(siblings, prefix, held)
    elif siblings.may_pad:
        long = prefix + _pad_tokens(siblings)
        written = _schedule(siblings).writes(siblings.life_seconds, held_seconds=held)
        ways.append(
            Way("padded", _cost(siblings, long, write=written, read=_reads(siblings) - written), held)
        )
    return ways


def _cached(siblings: Siblings, prefix: int, held: float) -> list[Way]:
    reads, begun, life = _reads(siblings), siblings.first_answer_seconds, siblings.life_seconds
    schedule, warm = _schedule(siblings), life if siblings.is_warm else None
    crowd = schedule.writes(life, held_seconds=None, warm_seconds=warm)
    one = schedule.writes(life, held_seconds=held, warm_seconds=warm)
    ways = [
        Way("at-once", _cost(siblings, prefix, write=crowd, read=reads - crowd)),
        Way("after-first", _cost(siblings, prefix, write=one, read=reads - one), held),
        Way("pre-warm", _cost(siblings, prefix, write=one, read=reads + 1 - one), begun),
    ]
    if siblings.has_long_life:
        kept = schedule.writes(_LONG_LIFE_SECONDS, held_seconds=held, warm_seconds=warm)
        usd = _cost(siblings, prefix, write_1h=kept, read=reads - kept)
        ways.append(Way("after-first-1h", usd, held))
    return ways


def _may_be_kept(siblings: Siblings) -> bool:
    """Whether the prefix is long enough, or may be; where it could be lengthened, doubt does not count."""
    doubt = _DOUBT if siblings.is_estimated and not siblings.may_pad else 1
    return siblings.prefix_tokens * doubt >= siblings.least_cacheable_tokens


def _pad_tokens(siblings: Siblings) -> int:
    return max(0, ceil((siblings.least_cacheable_tokens - siblings.prefix_tokens) * _PAD_MARGIN))


def _reads(siblings: Siblings) -> int:
    return siblings.workers * siblings.calls_per_worker


def _schedule(siblings: Siblings) -> Schedule:
    first = siblings.first_answer_seconds
    return Schedule(
        siblings.workers,
        siblings.calls_per_worker,
        siblings.at_once,
        first,
        max(first, siblings.call_seconds),
    )


def _cost(
    siblings: Siblings, prefix: int, *, plain: int = 0, write: int = 0, write_1h: int = 0, read: int = 0
) -> Decimal:
    rates = _USUAL if siblings.price is None else siblings.price.rates_for(prefix)
    usd = rates.input_usd

    def at(rate: Decimal | None) -> Decimal:
        return usd if rate is None else rate

    total = (
        plain * usd
        + write * at(rates.cache_write_usd)
        + write_1h * at(rates.cache_write_1h_usd)
        + read * at(rates.cache_read_usd)
    )
    return total * prefix / _PER_MILLION


_USUAL = Rates(Decimal(1), Decimal(5), Decimal("0.1"), Decimal("1.25"), Decimal(2))


def _reason(siblings: Siblings, best: Way, ways: tuple[Way, ...]) -> str:
    if len(ways) == 1:
        if siblings.workers * siblings.calls_per_worker == 1:
            return "one call shares its prefix with nobody"
        if siblings.prefix_tokens == 0:
            return "there is no prefix to share"
        return (
            f"the shared prefix of about {siblings.prefix_tokens:,} tokens is shorter than the "
            f"{siblings.least_cacheable_tokens:,} that the provider's cache keeps"
        )
    warm = "; the cache holds it already" if siblings.is_warm else ""
    others = ", ".join(f"{way.choice} {_amount(siblings, way)}" for way in ways if way is not best)
    return f"{best.choice} is the cheapest at {_amount(siblings, best)} for the shared prefix{warm}; {others}"


def _amount(siblings: Siblings, way: Way) -> str:
    return f"{way.input_usd:.6f} of the plain price" if siblings.price is None else f"${way.input_usd:.6f}"
