"""Which way of starting siblings makes their common prefix cheapest, waiting included: arithmetic alone."""

import time
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from heapq import heapify, heapreplace, merge
from math import ceil

import attrs

from sunwell.context.options import CacheChoice
from sunwell.core.model import CacheLife, ModelProtocol, Usage
from sunwell.core.price import Price, Rates
from sunwell.models.prices import provider_and_id
from sunwell.models.tokens import least_cacheable_tokens


@attrs.define
class _Known:
    kept_tokens: int | None = None
    """The shortest shared prefix that was read from the cache."""
    lost_tokens: int | None = None
    """The longest shared prefix that was not."""
    first_answer_seconds: float | None = None
    call_seconds: float | None = None


SURELY = 0.9
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
        until = at + life_seconds * SURELY
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


USD_PER_WAITING_SECOND = Decimal("0.0005")
"""What a second is worth by which all siblings together are done later: $1.80 an hour.

Far less than an hour of a person, who can do something else meanwhile, and enough that nobody waits 16
seconds for $0.0002. The usual wait of two seconds is worth it from a tenth of a cent on.
"""

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
    """``None``: unknown. The usual ratios of rates are taken then, at an assumed $1 per million input tokens,
    since waiting has to be weighed against something; no amount is told as what the prefix costs."""
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

    choice: CacheChoice
    input_usd: Decimal
    """At the given price; without one, at $1 per million plain input tokens."""
    held_seconds: float = 0.0
    """How much later the rest starts."""
    late_seconds: float = 0.0
    """How much later all siblings are done."""

    @property
    def weighed_usd(self) -> Decimal:
        """What the prefix costs, and what the time is worth by which all are done later."""
        return self.input_usd + Decimal(str(self.late_seconds)) * USD_PER_WAITING_SECOND


@attrs.frozen
class CachePlan:
    """How siblings are started, and why."""

    choice: CacheChoice
    reason: str
    ways: tuple[Way, ...]
    """All ways that were compared, the best first."""
    input_usd: Decimal | None
    """What the prefix is expected to cost; ``None`` where no price is known."""
    pad_tokens: int = 0
    """Tokens by which the prefix is lengthened."""
    longest_hold_seconds: float | None = None
    """How long the rest is held at most if no answer begins; ``None``: no limit."""

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


def end_pays(finished_turns: Sequence[int], done: int, rates: Rates | None = None) -> bool:
    """Return whether writing the end of a conversation to the cache pays, in its turn after *done* others.

    It pays if a further turn, which would read it, is likely enough. *finished_turns* are the turns that
    siblings took until their own ends; those that ended earlier say nothing. Without any, it is assumed to
    pay. Without *rates* the usual ones hold.
    """
    came_so_far = [turns for turns in finished_turns if turns > done]
    if not came_so_far:
        return True
    known = _USUAL if rates is None else rates
    plain = known.input_usd
    write = plain if known.cache_write_usd is None else known.cache_write_usd
    read = plain if known.cache_read_usd is None else known.cache_read_usd
    went_on = sum(turns > done + 1 for turns in came_so_far)
    return went_on * (plain - read) > len(came_so_far) * (write - plain)


def plan(siblings: Siblings, choice: CacheChoice | None = None) -> CachePlan:
    """Return the cheapest way to start *siblings*, where time costs :data:`USD_PER_WAITING_SECOND`.

    Of equally good ones it is the one that holds up least. Where *choice* names a way, it is that one,
    whatever it costs.
    """
    ways = tuple(sorted(_ways(siblings), key=lambda way: (way.weighed_usd, way.held_seconds)))
    limit = siblings.longest_hold_seconds
    best = next(way for way in ways if limit is None or way.held_seconds <= limit)
    if choice is None:
        made = _taken(siblings, best.choice, _reason(siblings, best, ways), ways)
        return attrs.evolve(made, longest_hold_seconds=_longest_hold(best, ways))
    return _taken(siblings, choice, f"{choice} was asked for", ways)


_OVERDUE = 2
"""An answer that takes so many times what was expected shows that the expectation was wrong."""


def _longest_hold(best: Way, ways: tuple[Way, ...]) -> float | None:
    """Return for how long a hold is worth what it saves, and no less than until the answer is overdue."""
    prompt = [way.input_usd for way in ways if way.late_seconds < best.late_seconds]
    if not prompt:
        return None
    worth = float((min(prompt) - best.input_usd) / USD_PER_WAITING_SECOND)
    return max(worth, _OVERDUE * best.held_seconds)


def _taken(siblings: Siblings, choice: CacheChoice, reason: str, ways: tuple[Way, ...]) -> CachePlan:
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
        usd = _cost(siblings, long, write=written, read=_reads(siblings) - written)
        ways.append(Way("padded", usd, held, _late(siblings, held)))
    return ways


def _cached(siblings: Siblings, prefix: int, held: float) -> list[Way]:
    reads, begun, life = _reads(siblings), siblings.first_answer_seconds, siblings.life_seconds
    schedule, warm = _schedule(siblings), life if siblings.is_warm else None
    crowd = schedule.writes(life, held_seconds=None, warm_seconds=warm)
    one = schedule.writes(life, held_seconds=held, warm_seconds=warm)
    late = _late(siblings, held)
    ways = [
        Way("at-once", _cost(siblings, prefix, write=crowd, read=reads - crowd)),
        Way("after-first", _cost(siblings, prefix, write=one, read=reads - one), held, late),
        Way("pre-warm", _cost(siblings, prefix, write=one, read=reads + 1 - one), begun, begun),
    ]
    if siblings.has_long_life:
        kept = schedule.writes(_LONG_LIFE_SECONDS, held_seconds=held, warm_seconds=warm)
        usd = _cost(siblings, prefix, write_1h=kept, read=reads - kept)
        ways.append(Way("after-first-1h", usd, held, late))
    return ways


def _late(siblings: Siblings, held: float) -> float:
    """Return how much later all are done if the rest is held until the first has begun its answer.

    However many siblings there are, they are held once. If all slots but the first one's own are done by the
    time at which the first one's slot does the last sibling, nobody is late at all.
    """
    schedule = _schedule(siblings)
    length = schedule.calls_per_worker * schedule.call_seconds
    is_last_alone = (siblings.workers - 1) % siblings.at_once == 0
    return 0.0 if is_last_alone and held <= length else held


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
    chosen = f"{best.choice} is the cheapest" if best is _cheapest(ways) else f"{best.choice} is chosen"
    return (
        f"{chosen} at {_amount(siblings, best)} for the shared prefix{warm}"
        f"{_waiting(siblings, best, ways)}; {others}"
    )


def _cheapest(ways: tuple[Way, ...]) -> Way:
    return min(ways, key=lambda way: (way.input_usd, way.held_seconds))


def _waiting(siblings: Siblings, best: Way, ways: tuple[Way, ...]) -> str:
    """Return what the wait saves, or would save; empty if nobody is late in any way that saves anything."""
    assumed = " at an assumed $1 per million tokens" if siblings.price is None else ""
    cheapest = _cheapest(ways)
    if cheapest.late_seconds > best.late_seconds:
        saved = _saved(best.input_usd - cheapest.input_usd)
        return f": waiting {cheapest.late_seconds:,.3g} s would save only {saved}{assumed}"
    prompt = [way for way in ways if way.late_seconds < best.late_seconds]
    if not prompt:
        return ""
    saved = _saved(_cheapest(tuple(prompt)).input_usd - best.input_usd)
    return f": waiting {best.late_seconds:,.3g} s saves {saved}{assumed}"


def _saved(usd: Decimal) -> str:
    return f"${usd:.4f}" if usd >= Decimal("0.00005") else "less than $0.0001"


def _amount(siblings: Siblings, way: Way) -> str:
    return f"{way.input_usd:.6f} of the plain price" if siblings.price is None else f"${way.input_usd:.6f}"
