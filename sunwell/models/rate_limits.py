"""The pace of requests to one model of a connection, shared by all callers.

What a request counts follows the vendor's rule, see :mod:`sunwell.models.pace_rules`. What the server states
in its headers replaces every estimate. Nothing is retried here: a request that is still rejected fails, and
the gateway retries it.
"""

import asyncio
import contextlib
import math
import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from weakref import WeakKeyDictionary

import attrs

from sunwell.core.model import Usage
from sunwell.models.catalog import vendor_of
from sunwell.models.connection import Connection
from sunwell.models.failures import retry_after_seconds
from sunwell.models.pace_rules import ANY_PACE, PaceRule
from sunwell.models.rate_figures import Figure, Lane, read_figures

UNHEARD_IN_FLIGHT = 50
"""Limit of concurrent requests until the server has answered for the first time."""
_SILENT_SECONDS = 1.0
_UNHEARD_PER_SECOND = 250.0  # after that: a slow server must not block many callers
_TOLD_SECONDS = 0.05
_NEWS_SECONDS = 1.0
_NEWS_EVERY_SECONDS = 10.0
LONGEST_HOLD_SECONDS = 60.0
"""Longest time that figures of a server hold the next request back: then it is sent, and the server says."""
_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 30.0
_LONGEST_ASKED_SECONDS = 60.0
_REFUSED = frozenset({429, 503, 529})
_WINDOW_SECONDS = 5.0
_MOST_REMEMBERED = 5_000
_FIRST_SHARE = 0.75  # of the rate that was served, right after a pause
_KEPT_SHARE = 0.8  # of the rate, at least, after one more refusal
_ISOLATED = 4  # times as many accepted as refused requests of the same moment
_ISOLATED_KEPT_SHARE = 0.95
_MOST_NOISE = 0.12  # of the latest requests: more refusals than this are no noise
_LEAST_NOISE_EVIDENCE = 40  # requests
_NOISY_MOMENTS = 6  # in which requests were refused although the pace was slower each time,
_NOISY_SECONDS = 10.0  # each so soon after the one before: a rate that was too high would be refused no more
_LEAST_EVIDENCE = 10  # requests: fewer say nothing about how many a server takes
_FIRST_OUTPUT_TOKENS = 512.0
_WEIGHT = 0.2  # of the latest observation, against all earlier ones
_TINY = 1e-6


@attrs.frozen
class Hold:
    """Why a request must wait, and for about how long; or, without seconds, a figure that is not used."""

    reason: str
    seconds: float | None = None
    is_news: bool = True
    """Whether it is the first long one for some time: many callers may wait all the time."""


told_of_holds: ContextVar[Callable[[Hold], None] | None] = ContextVar("told_of_holds", default=None)
"""Called as soon as a request of this context must wait for its pace."""
admitted: ContextVar["Ticket | None"] = ContextVar("admitted", default=None)
"""The ticket that the gateway got for the next request of this context, before it wrote its intent."""


@attrs.frozen
class Need:
    """What is known of a request before it is sent."""

    input_tokens: float
    """Estimate from the size of the request."""
    max_output_tokens: int | None = None


@attrs.define(eq=False)
class Bucket:
    """A token bucket: a capacity, and an amount that is added each second."""

    per_second: float
    capacity: float
    available: float
    at: float
    full_at: float = math.inf
    """When the server says that the bucket is full; *lift* is what is added at that time."""
    lift: float = 0.0
    number: int = -1
    """The latest request whose figures are in it."""

    def wait_seconds(self, amount: float, now: float, before: float = 0.0) -> float:
        """Return how long *amount* must wait, after *before* is taken by those who wait already.

        More than the capacity waits for a full bucket.
        """
        self._fill(now)
        missing = min(amount, self.capacity) + before - self.available
        if missing <= 0:
            return 0.0
        usual = missing / self.per_second
        lifted = max(self.full_at - now, (missing - self.lift) / self.per_second)
        return min(usual, lifted)

    def take(self, amount: float, now: float) -> None:
        """Take *amount* out; a negative one is given back."""
        self._fill(now)
        self.available = min(self.capacity, self.available - amount)

    def _fill(self, now: float) -> None:
        more = (now - self.at) * self.per_second
        if now >= self.full_at:
            more, self.lift, self.full_at = more + self.lift, 0.0, math.inf
        self.available = min(self.capacity, self.available + more)
        self.at = now


def _steady(per_minute: float | None, now: float) -> Bucket | None:
    """Return a bucket for a configured limit: spread evenly, with bursts of a tenth of a second."""
    if per_minute is None:
        return None
    capacity = max(1.0, per_minute / 600)
    return Bucket(per_minute / 60, capacity, capacity, now)


@attrs.define(eq=False)
class Comeback:
    """The rate after a refusal: a part of what was served, all of it one more pause later, then probing.

    It then grows as the cube of the time, slowly near the rate that was served and faster far from it: a
    server that refuses again does so seldom, and one that takes more again is used soon.
    """

    served: float
    """Requests that the server has accepted each second before it refused."""
    pause_seconds: float
    begun_at: float
    """When the pause ends."""
    available: float = 1.0
    at: float = attrs.field(init=False)

    @at.default
    def _at_the_end_of_the_pause(self) -> float:
        return self.begun_at

    def per_second(self, now: float) -> float:
        """Return the rate at *now*."""
        pause = max(self.pause_seconds, _FIRST_PAUSE_SECONDS)
        ran = max(0.0, now - self.begun_at)
        if ran < pause:
            return self.served * (_FIRST_SHARE + (1.0 - _FIRST_SHARE) * ran / pause)
        return self.served * (1.0 + ((ran - pause) / (30.0 * pause)) ** 3)

    def wait_seconds(self, now: float, before: float = 0.0) -> float:
        """Return how long one more request must wait after *before* others."""
        self._fill(now)
        return max(0.0, (1.0 + before - self.available) / self.per_second(now))

    def take(self, now: float) -> None:
        """Count one request."""
        self._fill(now)
        self.available -= 1.0

    def _fill(self, now: float) -> None:
        if now > self.at:
            rate = self.per_second((self.at + now) / 2)
            self.available = min(max(1.0, rate / 10), self.available + (now - self.at) * rate)
            self.at = now


@attrs.define(eq=False)
class Chosen:
    """The limits that the user has set for a connection, for all of its models together."""

    requests: Bucket | None = None
    tokens: Bucket | None = None

    @property
    def is_nothing(self) -> bool:
        """Whether nothing is limited."""
        return self.requests is None and self.tokens is None

    @classmethod
    def of(cls, connection: Connection, now: float) -> "Chosen":
        """Return the limits in the settings of *connection*."""
        return cls(_steady(connection.requests_per_minute, now), _steady(connection.tokens_per_minute, now))


@attrs.define(eq=False)
class Ticket:
    """The right to send one request. Call :meth:`heard` or :meth:`unheard` once, then :meth:`finished`."""

    limiter: "RateLimiter"
    number: int
    sent_at: float
    need: Need
    amounts: Mapping[Lane, float]
    marks: Mapping[Lane, float]
    """All that was sent up to and including this request."""
    all_tokens: float
    """What was taken from the configured limit of tokens."""
    expected_output: float
    is_used: bool = False
    """Whether a call has taken it."""
    _is_heard: bool = attrs.field(default=False, init=False)
    _is_over: bool = attrs.field(default=False, init=False)

    def heard(self, status: int, headers: Mapping[str, str]) -> None:
        """Learn from the status and the headers of the answer."""
        if not self._is_heard:
            self._is_heard = True
            self.limiter._hear(self, status, headers)
        if status >= 400:
            self.finished(None, is_refused=True)

    def unheard(self) -> None:
        """Record that the request has ended without an answer, or was never sent."""
        if not self._is_heard:
            self._is_heard = True
            self.limiter._unheard()
        self.finished(None)

    def drop(self) -> None:
        """Give the ticket back if no call has taken it: nothing was sent."""
        if not self.is_used:
            self.is_used = True
            if not self._is_heard:
                self._is_heard = True
                self.limiter._unheard()
            self.finished(None, is_refused=True)

    def finished(self, usage: Usage | None, *, is_refused: bool = False) -> None:
        """Correct what was counted by what was used, once; nothing was used if it was refused."""
        if not self._is_over:
            self._is_over = True
            self.limiter._finish(self, usage, is_refused)


@attrs.define(eq=False)
class RateLimiter:
    """Limits the requests to one model of a connection on one event loop, first come, first served."""

    rule: PaceRule = ANY_PACE
    chosen: Chosen = attrs.field(factory=Chosen)
    in_flight: int = attrs.field(default=0, init=False)
    told: dict[Lane, Bucket] = attrs.field(factory=dict, init=False)
    """What the server states in its headers."""
    comeback: Comeback | None = attrs.field(default=None, init=False)
    """Limits requests after a refusal that no figure of the server explains."""
    _turn: asyncio.Lock = attrs.field(factory=asyncio.Lock, init=False)
    _heard: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    _news: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    _blocked_until: float = attrs.field(default=-math.inf, init=False)
    _blocked_by: str = attrs.field(default="", init=False)
    _begun_at: float | None = attrs.field(default=None, init=False)
    _news_at: float = attrs.field(default=-math.inf, init=False)
    _refused_at: float = attrs.field(default=-math.inf, init=False)
    _first_refused_at: float = attrs.field(default=math.inf, init=False)
    """When the first refused request of the latest refusals was sent."""
    _also_accepted: int = attrs.field(default=0, init=False)
    """Accepted requests that were sent between it and its refusal."""
    _also_refused: int = attrs.field(default=0, init=False)
    _rate_before: float = attrs.field(default=math.inf, init=False)
    _latest: deque[bool] = attrs.field(factory=lambda: deque(maxlen=100), init=False)
    """Of the latest requests, whether they were refused."""
    _is_noisy: bool = attrs.field(default=False, init=False)
    """Whether the server refuses a few requests at any rate: then nobody waits but who was refused."""
    _is_asked_to_wait: bool = attrs.field(default=False, init=False)
    """Whether the server has said how long the pause is."""
    _moments: int = attrs.field(default=0, init=False)
    """How often in a row requests were refused soon after the pace was slowed."""
    _moments_of_noise: int = attrs.field(default=_NOISY_MOMENTS, init=False)
    _strikes: int = attrs.field(default=0, init=False)
    """Pauses since the last answer."""
    _sent_at: deque[float] = attrs.field(factory=lambda: deque(maxlen=_MOST_REMEMBERED), init=False)
    """When the latest requests were sent."""
    _count: int = attrs.field(default=0, init=False)
    _sent: dict[Lane, float] = attrs.field(
        factory=lambda: {"requests": 0.0, "tokens": 0.0, "output": 0.0}, init=False
    )
    _queued: dict[Lane, float] = attrs.field(
        factory=lambda: {"requests": 0.0, "tokens": 0.0, "output": 0.0}, init=False
    )
    _input_share: float = attrs.field(default=1.0, init=False)
    """What the vendor counts of the estimated input: less if most of it is read from a cache."""
    _output_tokens: float | None = attrs.field(default=None, init=False)
    """Usual length of an answer."""
    _answer_seconds: float = attrs.field(default=1.0, init=False)
    """Usual time of an answer."""
    _producing: float = attrs.field(default=0.0, init=False)
    """Expected output of all requests in flight."""
    _producing_since: float = attrs.field(default=0.0, init=False)
    """The same, each multiplied by the time at which its request was sent."""
    _complained: set[str] = attrs.field(factory=set, init=False)

    @classmethod
    def of(cls, connection: Connection, now: float) -> "RateLimiter":
        """Return the limiter of *connection* with the limits in its settings and its vendor's rule."""
        return cls(_rule_of(connection), Chosen.of(connection, now))

    async def enter(self, need: Need) -> Ticket:
        """Wait until a request may be sent, and return its ticket.

        A wait is told to :data:`told_of_holds` when it begins.
        """
        clock = asyncio.get_running_loop()
        amounts = self._amounts(need)
        if self._turn.locked() or self._must_wait(amounts, clock.time()):
            self._tell(amounts, clock.time())
            for lane, amount in amounts.items():
                self._queued[lane] += amount
            try:
                async with self._turn:  # the longest waiting caller goes first
                    await self._wait(clock, need)
            finally:
                for lane, amount in amounts.items():
                    self._queued[lane] -= amount
            amounts = self._amounts(need)  # what was learned meanwhile counts
        return self._admit(need, amounts, clock.time())

    def _admit(self, need: Need, amounts: Mapping[Lane, float], now: float) -> Ticket:
        for lane, amount in amounts.items():
            self._sent[lane] += amount
        for lane, bucket in self.told.items():
            bucket.take(amounts[lane], now)
        if self.comeback is not None:
            self.comeback.take(now)
        if self.chosen.requests is not None:
            self.chosen.requests.take(1, now)
        all_tokens = 0.0
        if self.chosen.tokens is not None:
            all_tokens = self._all_tokens(need)
            self.chosen.tokens.take(all_tokens, now)
        self._begun_at = now if self._begun_at is None else self._begun_at
        self.in_flight += 1
        self._sent_at.append(now)
        self._count += 1
        output = amounts["output"]
        self._producing += output
        self._producing_since += output * now
        return Ticket(self, self._count, now, need, amounts, dict(self._sent), all_tokens, output)

    # What a request counts

    def _amounts(self, need: Need) -> dict[Lane, float]:
        output = self._expected_output(need)
        counted = need.input_tokens * self._input_share if self.rule.is_corrected else need.input_tokens
        tokens = counted if "output" in self.told else self.rule.tokens(counted, output)
        return {"requests": 1.0, "tokens": tokens, "output": output}

    def _all_tokens(self, need: Need) -> float:
        share = self._input_share if self.rule.is_corrected else 1.0
        return self.rule.tokens(need.input_tokens * share, self._expected_output(need))

    def _expected_output(self, need: Need) -> float:
        most = math.inf if need.max_output_tokens is None else float(need.max_output_tokens)
        if self.rule.output == "asked":
            return 0.0 if math.isinf(most) else most
        usual = _FIRST_OUTPUT_TOKENS if self._output_tokens is None else self._output_tokens
        return min(most, usual)

    def _finish(self, ticket: Ticket, usage: Usage | None, is_refused: bool) -> None:
        now = asyncio.get_running_loop().time()
        self._producing = max(0.0, self._producing - ticket.expected_output)
        self._producing_since -= ticket.expected_output * ticket.sent_at
        if is_refused:
            self._correct(ticket, 0.0, 0.0, 0.0, now)
        elif usage is not None:
            reads = 0 if self.rule.are_reads_counted else usage.cache_read_tokens
            counted, output = max(0, usage.input_tokens - reads), usage.output_tokens
            self._input_share = _mean(self._input_share, counted / max(1.0, ticket.need.input_tokens))
            known = output if self._output_tokens is None else self._output_tokens
            self._output_tokens = _mean(known, output)
            self._answer_seconds = max(0.01, _mean(self._answer_seconds, now - ticket.sent_at))
            if self.rule.is_corrected:
                has_own = "output" in self.told
                tokens = counted if has_own else self.rule.tokens(counted, output)
                self._correct(ticket, tokens, output, self.rule.tokens(counted, output), now)
        self._news.set()

    def _correct(self, ticket: Ticket, tokens: float, output: float, every: float, now: float) -> None:
        """Replace the estimate by what was used. A later figure of the server replaces both."""
        for lane, used in (("tokens", tokens), ("output", output)):
            bucket = self.told.get(lane)  # type: ignore[call-overload]
            # The figures of a later request include what the server has counted for this one.
            if bucket is not None and (lane == "output" or bucket.number < ticket.number):
                bucket.take(used - ticket.amounts[lane], now)  # type: ignore[index]
        if self.chosen.tokens is not None:
            self.chosen.tokens.take(every - ticket.all_tokens, now)

    # Waiting

    def _must_wait(self, amounts: Mapping[Lane, float], now: float) -> bool:
        if not self._heard.is_set() and self.in_flight >= UNHEARD_IN_FLIGHT:
            return True
        if not self.told and self.comeback is None and self.chosen.is_nothing:  # nearly always
            return self._blocked_until - now > _TINY
        return self._seconds(amounts, now)[0] > 0

    async def _wait(self, clock: asyncio.AbstractEventLoop, need: Need) -> None:
        if not self._heard.is_set() and self.chosen.requests is None:
            await self._first_answer(clock)
        latest = clock.time() + LONGEST_HOLD_SECONDS
        while True:  # a refusal in the meantime extends the wait, and a figure of the server may end it
            self._news.clear()
            now = clock.time()
            amounts = self._amounts(need)
            seconds, _ = self._seconds(amounts, now, with_figures=now < latest)
            if seconds <= 0:
                return
            until = min(now + seconds, latest) if now < latest else now + seconds
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(until):
                    await self._news.wait()

    async def _first_answer(self, clock: asyncio.AbstractEventLoop) -> None:
        """Wait until the server has answered once, or has been silent long enough to continue carefully."""
        until = self._silent_until()
        if until > clock.time():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(until):
                    await self._heard.wait()

    def _silent_until(self) -> float:
        more = self.in_flight - UNHEARD_IN_FLIGHT + 1
        if more <= 0 or self._begun_at is None:
            return -math.inf
        return self._begun_at + _SILENT_SECONDS + more / _UNHEARD_PER_SECOND

    def _seconds(
        self,
        amounts: Mapping[Lane, float],
        now: float,
        before: Mapping[Lane, float] | None = None,
        *,
        with_figures: bool = True,
    ) -> tuple[float, str]:
        """Return how long a request must wait and why; *before* is what those need who wait already."""
        waiting = before or {"requests": 0.0, "tokens": 0.0, "output": 0.0}
        waits = [(self._blocked_until - now, self._blocked_by)]
        if with_figures:
            for lane, bucket in self.told.items():
                seconds = bucket.wait_seconds(amounts[lane], now, waiting[lane])
                waits.append((seconds, f"the server's limit of {_LANE_WORDS[lane]} is used up"))
        if self.comeback is not None:
            since = max(now, self.comeback.begun_at)
            seconds = self.comeback.wait_seconds(since, waiting["requests"]) + since - now
            waits.append((seconds, "the server has refused requests, and the pace recovers"))
        if self.chosen.requests is not None:
            seconds = self.chosen.requests.wait_seconds(1, now, waiting["requests"])
            waits.append((seconds, "requests_per_minute is used up"))
        if self.chosen.tokens is not None:
            seconds = self.chosen.tokens.wait_seconds(amounts["tokens"], now, waiting["tokens"])
            waits.append((seconds, "tokens_per_minute is used up"))
        longest, reason = max(waits)
        return (longest, reason) if longest > _TINY else (0.0, "")

    def _tell(self, amounts: Mapping[Lane, float], now: float) -> None:
        listener = told_of_holds.get()
        if listener is None:
            return
        seconds, reason = self._seconds(amounts, now, self._queued)
        silent = self._silent_until() - now
        if not self._heard.is_set() and silent > seconds:
            seconds, reason = silent, "the server has not answered any request yet"
        if seconds < _TOLD_SECONDS:
            return
        is_news = seconds >= _NEWS_SECONDS and now - self._news_at >= _NEWS_EVERY_SECONDS
        if is_news:
            self._news_at = now
        listener(Hold(reason, seconds, is_news))

    # Learning

    def _unheard(self) -> None:
        self.in_flight -= 1
        self._heard.set()
        self._news.set()

    def _hear(self, ticket: Ticket, status: int, headers: Mapping[str, str]) -> None:
        now = asyncio.get_running_loop().time()
        self._unheard()
        figures = read_figures(headers)
        for sentence in figures.refused:
            self._complain(sentence)
        for lane, figure in figures.by_lane.items():
            is_chosen = self.chosen.requests if lane == "requests" else self.chosen.tokens
            if is_chosen is None:
                self._learn(lane, figure, ticket, now)
        if status in _REFUSED:
            self._refuse(ticket, headers, figures.by_lane, now)
        elif status < 400:
            self._accept(ticket)

    def _complain(self, sentence: str) -> None:
        name = sentence.partition("'")[0]  # once for each header, whatever it says the next time
        listener = told_of_holds.get()
        if name not in self._complained and listener is not None:
            self._complained.add(name)
            listener(Hold(sentence))

    def _learn(self, lane: Lane, figure: Figure, ticket: Ticket, now: float) -> None:
        """Take the server's figure as the truth; it counts *ticket* and all that was sent before."""
        bucket = self.told.get(lane)
        if bucket is not None and bucket.number > ticket.number:
            return  # an answer to a later request was here first
        per_second, lift = figure.limit / 60, 0.0
        used, reset = figure.limit - figure.remaining, figure.reset_seconds
        if reset is not None and used > 0:
            if reset > 1.5 * used / per_second + 2.0:  # a limit of an hour or a day, or a window of a minute
                per_second = used / reset
            else:
                lift = max(0.0, used - per_second * reset)
        if lane == "output":  # counted while it is produced
            available = figure.remaining - self._producing + self._produced(now)
        else:
            refilled = figure.remaining + per_second * (now - ticket.sent_at)
            available = min(figure.limit, refilled) - (self._sent[lane] - ticket.marks[lane])
        full_at = math.inf if reset is None or lift == 0 else now + reset
        self.told[lane] = Bucket(per_second, figure.limit, available, now, full_at, lift, ticket.number)

    def _produced(self, now: float) -> float:
        """Return an estimate of the output that the requests in flight have produced already."""
        share = (self._producing * now - self._producing_since) / self._answer_seconds
        return min(self._producing, max(0.0, share))

    def _refuse(
        self, ticket: Ticket, headers: Mapping[str, str], figures: Mapping[Lane, Figure], now: float
    ) -> None:
        """Make all callers wait, once for all requests that the server rejects at the same time."""
        self._latest.append(True)
        if ticket.sent_at <= self._refused_at:
            self._also_refused += 1
            return
        self._also_accepted, self._also_refused, self._first_refused_at = 0, 0, ticket.sent_at
        asked = retry_after_seconds(headers)
        self._is_asked_to_wait = asked is not None
        usual = min(_FIRST_PAUSE_SECONDS * 2.0**self._strikes, _LONGEST_PAUSE_SECONDS)
        pause = usual if asked is None else min(asked, _LONGEST_ASKED_SECONDS)
        # Figures of the server explain the refusal: then they say all about the pace that follows.
        is_explained = any(figure.remaining < ticket.amounts[lane] for lane, figure in figures.items())
        if not is_explained and self._is_noise(now):
            return
        if not is_explained:
            self._come_back(ticket, max(pause, 0.1), now)
        self._refused_at = now
        self._strikes += 1
        self._blocked_until = max(self._blocked_until, now + pause)
        self._blocked_by = "the server limits the request rate or is overloaded"

    def _is_noise(self, now: float) -> bool:
        """Whether the server refuses a few requests at any rate, so that to slow down is of no use.

        It is, if few are refused, but some again and again, soon after each time that the pace was slowed.
        If it turns out to be wrong, more of that must be seen before it is believed again.
        """
        # A refusal comes at once and an answer late: what is in flight will mostly be answered.
        share = sum(self._latest) / (len(self._latest) + self.in_flight)
        if self._is_noisy and share > _MOST_NOISE:
            self._is_noisy, self._moments_of_noise = False, self._moments_of_noise * 3
        elif not self._is_noisy and self.comeback is not None:
            self._moments = self._moments + 1 if now - self._refused_at < _NOISY_SECONDS else 0
            is_known = len(self._latest) >= _LEAST_NOISE_EVIDENCE
            if self._moments >= self._moments_of_noise and is_known and share <= _MOST_NOISE:
                self._is_noisy, self.comeback, self._moments = True, None, 0
        return self._is_noisy

    def _come_back(self, ticket: Ticket, pause: float, now: float) -> None:
        before = self.comeback
        # A refusal comes at once and an answer late: what was sent before the refused request was accepted.
        since = max(now - _WINDOW_SECONDS, self._refused_at)
        self._rate_before = math.inf if before is None else before.per_second(now)
        accepted = [at for at in self._sent_at if since < at < ticket.sent_at]
        if before is None:
            if len(accepted) + self.in_flight < _LEAST_EVIDENCE:
                return  # few requests were sent: it was not their rate that was refused
            served = len(accepted) / max(1.0, now - accepted[0]) if accepted else float(self.in_flight)
            if accepted:
                self._rate_before = len(accepted) / max(0.1, ticket.sent_at - accepted[0])
        elif not accepted:  # nothing was accepted in between, which says nothing about the rate
            served = before.served
        else:
            # The time of the pause counts, too: the server's bucket was filled in it.
            served = max(len(accepted) / max(0.1, now - since), _KEPT_SHARE * before.served)
        self.comeback = Comeback(max(1.0, served), pause, now + pause)

    def _accept(self, ticket: Ticket) -> None:
        self._latest.append(False)
        if ticket.sent_at > self._refused_at:
            self._strikes = 0
        elif ticket.sent_at >= self._first_refused_at:
            self._also_accepted += 1
            # Most requests of the same moment were accepted: the server has not refused their rate.
            if self._also_accepted > _ISOLATED * (1 + self._also_refused):
                self._end_pause()

    def _end_pause(self) -> None:
        now = asyncio.get_running_loop().time()
        self._strikes = 0
        if math.isinf(self._rate_before):  # it came before any answer, so nothing is known of a rate
            self.comeback = None
        elif self.comeback is not None:
            kept = _ISOLATED_KEPT_SHARE * self._rate_before
            self.comeback.served = max(self.comeback.served, kept)
        if self._is_asked_to_wait:
            return
        self._blocked_until = min(self._blocked_until, now)
        if self.comeback is not None:
            self.comeback.begun_at = min(self.comeback.begun_at, now)
            self.comeback.at = min(self.comeback.at, now)
        self._news.set()


_LANE_WORDS: Mapping[Lane, str] = {"requests": "requests", "tokens": "tokens", "output": "output tokens"}


def _mean(known: float, latest: float) -> float:
    return known + _WEIGHT * (latest - known)


def _rule_of(connection: Connection) -> PaceRule:
    vendor = vendor_of(connection)
    return ANY_PACE if vendor is None else vendor.pace


@attrs.define(eq=False)
class _Limiters:
    """The limiters of one event loop."""

    chosen: dict[Connection, Chosen] = attrs.field(factory=dict)
    by_model: dict[tuple[Connection, str], RateLimiter] = attrs.field(factory=dict)


_limiters: "WeakKeyDictionary[asyncio.AbstractEventLoop, _Limiters]" = WeakKeyDictionary()
_lock = threading.Lock()  # loops in several threads look up and add concurrently


def limiter_for(connection: Connection, model_id: str = "") -> RateLimiter:
    """Return the running loop's limiter of a model; equal connections share one.

    Vendors limit each model for itself. The limits in the settings hold for all models of the connection.
    """
    loop = asyncio.get_running_loop()
    known = _limiters.get(loop)
    limiter = None if known is None else known.by_model.get((connection, model_id))
    if limiter is not None:
        return limiter
    with _lock:
        known = _limiters.get(loop)
        if known is None:
            known = _limiters[loop] = _Limiters()
        limiter = known.by_model.get((connection, model_id))
        if limiter is None:
            chosen = known.chosen.setdefault(connection, Chosen.of(connection, loop.time()))
            limiter = known.by_model[connection, model_id] = RateLimiter(_rule_of(connection), chosen)
    return limiter
