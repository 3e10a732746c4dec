"""Rate limits of a connection, as its server states them in headers, shared by all callers.

Nothing is retried here: a request that is still rejected fails, and the gateway retries it.
"""

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from weakref import WeakKeyDictionary

import attrs

from sunwell.models.connection import Connection
from sunwell.models.failures import retry_after_seconds

UNHEARD_IN_FLIGHT = 50
"""Limit of concurrent requests until the server has answered for the first time."""
_SILENT_SECONDS = 1.0
_UNHEARD_PER_SECOND = 250.0  # after that: a slow server must not block many callers
_NEVER = -1.0
_TOLD_SECONDS = 1.0
_TOLD_EVERY_SECONDS = 10.0
_FIRST_SLOWING_SECONDS = 1.0
_KEPT_SHARE = 0.7  # of the rate that a server without headers has just rejected
_GROWTH = 1.002  # with each request that is sent
_WINDOW_SECONDS = 5.0
_MOST_REMEMBERED = 5_000
_REQUESTS = (
    ("x-ratelimit-limit-requests", "x-ratelimit-remaining-requests"),
    ("anthropic-ratelimit-requests-limit", "anthropic-ratelimit-requests-remaining"),
)
_TOKENS = (
    ("x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens"),
    ("anthropic-ratelimit-input-tokens-limit", "anthropic-ratelimit-input-tokens-remaining"),
    ("anthropic-ratelimit-tokens-limit", "anthropic-ratelimit-tokens-remaining"),
)

told_of_holds: ContextVar[Callable[[float], None] | None] = ContextVar("told_of_holds", default=None)
"""Called with the seconds that a request had to wait, if the wait is long enough to report."""


@attrs.define(eq=False)
class Bucket:
    """A token bucket: a capacity, and an amount that is added each second."""

    per_second: float
    capacity: float
    available: float
    at: float

    def wait_seconds(self, amount: float, now: float) -> float:
        """Return how long *amount* must wait; more than the capacity waits for a full bucket."""
        self._fill(now)
        missing = min(amount, self.capacity) - self.available
        return max(0.0, missing / self.per_second)

    def take(self, amount: float, now: float) -> None:
        """Take *amount* out."""
        self._fill(now)
        self.available -= amount

    def _fill(self, now: float) -> None:
        self.available = min(self.capacity, self.available + (now - self.at) * self.per_second)
        self.at = now


def _steady(per_minute: float | None, now: float) -> Bucket | None:
    """Return a bucket for a configured limit: spread evenly, with bursts of a tenth of a second."""
    if per_minute is None:
        return None
    capacity = max(1.0, per_minute / 600)
    return Bucket(per_minute / 60, capacity, capacity, now)


def _per_second(bucket: Bucket | None) -> float | None:
    return None if bucket is None else bucket.per_second


@attrs.define(eq=False)
class RateLimiter:
    """Limits the request rate of one connection on one event loop, first come, first served."""

    requests: Bucket | None = None
    tokens: Bucket | None = None
    chosen_requests: float | None = None
    """Configured requests per second: headers do not change them, and no guess exceeds them."""
    chosen_tokens: float | None = None
    """Configured tokens per second."""
    in_flight: int = attrs.field(default=0, init=False)
    _turn: asyncio.Lock = attrs.field(factory=asyncio.Lock, init=False)
    _heard: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    _blocked_until: float = attrs.field(default=0.0, init=False)
    _begun_at: float = attrs.field(default=_NEVER, init=False)
    _told_at: float = attrs.field(default=float("-inf"), init=False)
    _slowed_at: float = attrs.field(default=_NEVER, init=False)
    _accepted: deque[float] = attrs.field(factory=deque, init=False)
    _is_guessed: bool = attrs.field(default=False, init=False)

    @classmethod
    def of(cls, connection: Connection, now: float) -> "RateLimiter":
        """Return the limiter of *connection* with the limits in its settings."""
        requests = _steady(connection.requests_per_minute, now)
        tokens = _steady(connection.tokens_per_minute, now)
        return cls(requests, tokens, _per_second(requests), _per_second(tokens))

    async def enter(self, tokens: int) -> float:
        """Wait until a request of about *tokens* may be sent, and return that time.

        Then call :meth:`heard` or :meth:`unheard` exactly once for this request.
        """
        clock = asyncio.get_running_loop()
        begun = clock.time()
        if self._may_wait():
            async with self._turn:  # the longest waiting caller goes first
                await self._wait(clock, tokens)
        now = clock.time()
        if self.requests is not None:
            self.requests.take(1, now)
        if self.tokens is not None:
            self.tokens.take(tokens, now)
        if self._begun_at == _NEVER:
            self._begun_at = now
        self.in_flight += 1
        self._tell(begun, now)
        return now

    def _tell(self, begun: float, now: float) -> None:
        """Report a long wait: the first, and then one now and then, since many callers wait all the time."""
        listener = told_of_holds.get()
        if listener is None or now - begun < _TOLD_SECONDS or now - self._told_at < _TOLD_EVERY_SECONDS:
            return
        self._told_at = now
        listener(now - begun)

    def heard(self, status: int, headers: Mapping[str, str], sent_at: float) -> None:
        """Learn from the answer to the request that was sent at *sent_at*."""
        now = asyncio.get_running_loop().time()
        self.unheard()
        if self.chosen_requests is None:
            self.requests = self._learned(
                self.requests, _told(headers, _REQUESTS), now, in_flight=self.in_flight
            )
        if self.chosen_tokens is None:
            told = _told(headers, _TOKENS)
            self.tokens = self._learned(self.tokens, told, now)
            if (
                self.tokens is not None and told is not None
            ):  # one request may need the tokens of several seconds
                self.tokens.capacity = max(self.tokens.capacity, told[0])
        if status == 429 and sent_at > self._slowed_at:
            self._slow(headers, now)
        elif status < 400:
            self._accept(now)

    def unheard(self) -> None:
        """Record that a request has ended, with or without an answer."""
        self.in_flight -= 1
        self._heard.set()

    def _may_wait(self) -> bool:
        return (
            self.requests is not None
            or self.tokens is not None
            or self._blocked_until > 0
            or (not self._heard.is_set() and self.in_flight >= UNHEARD_IN_FLIGHT)
            or self._turn.locked()
        )

    async def _wait(self, clock: asyncio.AbstractEventLoop, tokens: int) -> None:
        if not self._heard.is_set() and self.requests is None:
            await self._first_answer(clock)
        seconds = self._seconds(tokens, clock.time())
        while seconds > 0:  # a rejection in the meantime extends the wait
            await asyncio.sleep(seconds)
            seconds = self._seconds(tokens, clock.time())

    async def _first_answer(self, clock: asyncio.AbstractEventLoop) -> None:
        """Wait until the server has answered once, or has been silent long enough to continue carefully."""
        more = self.in_flight - UNHEARD_IN_FLIGHT + 1
        until = self._begun_at + _SILENT_SECONDS + more / _UNHEARD_PER_SECOND
        if more > 0 and until > clock.time():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(until):
                    await self._heard.wait()

    def _seconds(self, tokens: int, now: float) -> float:
        waits = [self._blocked_until - now]
        if self.requests is not None:
            waits.append(self.requests.wait_seconds(1, now))
        if self.tokens is not None:
            waits.append(self.tokens.wait_seconds(tokens, now))
        longest = max(waits)
        return longest if longest > 1e-6 else 0.0

    def _learned(
        self, bucket: Bucket | None, told: tuple[float, float] | None, now: float, in_flight: int = 0
    ) -> Bucket | None:
        if told is None:
            return bucket
        per_minute, remaining = told
        # The server may not have counted requests in flight yet; those it counted are certainly used.
        left = remaining - in_flight
        if bucket is None:
            return Bucket(per_minute / 60, max(1.0, remaining + 1), left, now)
        bucket.per_second = per_minute / 60
        bucket.capacity = max(bucket.capacity, remaining + 1)
        bucket.wait_seconds(0, now)
        bucket.available = min(bucket.available, remaining)
        return bucket

    def _slow(self, headers: Mapping[str, str], now: float) -> None:
        """Make all callers wait, once for all requests that the server rejects at the same time."""
        asked = retry_after_seconds(headers)
        pause = _FIRST_SLOWING_SECONDS if asked is None else min(asked, 60.0)
        self._slowed_at = now
        self._blocked_until = max(self._blocked_until, now + pause)
        if self.requests is None:
            self.requests = self._guessed(now)
        elif self._is_guessed or self.chosen_requests is not None:  # the configured limit is too high
            self._is_guessed = True
            self.requests.per_second *= _KEPT_SHARE
        self.requests.wait_seconds(0, now)
        self.requests.available = min(0.0, self.requests.available)

    def _guessed(self, now: float) -> Bucket:
        """Return the rate for a server without headers: less than it has just accepted."""
        self._is_guessed = True
        while self._accepted and self._accepted[0] < now - _WINDOW_SECONDS:
            self._accepted.popleft()
        since = self._accepted[0] if self._accepted else now
        spent = max(1.0, now - since)
        per_second = max(1.0, _KEPT_SHARE * len(self._accepted) / spent)
        return Bucket(per_second, max(1.0, per_second / 10), 0.0, now)

    def _accept(self, now: float) -> None:
        """Raise a guessed rate a little if it has worked."""
        if self._is_guessed and self.requests is not None:
            most = float("inf") if self.chosen_requests is None else self.chosen_requests
            self.requests.per_second = min(most, self.requests.per_second * _GROWTH)
        elif self.requests is None:
            self._accepted.append(now)
            if len(self._accepted) > _MOST_REMEMBERED:
                self._accepted.popleft()


_limiters: "WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Connection, RateLimiter]]" = WeakKeyDictionary()
_lock = threading.Lock()  # loops in several threads look up and add concurrently


def limiter_for(connection: Connection) -> RateLimiter:
    """Return the running loop's limiter of *connection*; equal connections share one."""
    loop = asyncio.get_running_loop()
    with _lock:
        known = _limiters.setdefault(loop, {})
        limiter = known.get(connection)
        if limiter is None:
            limiter = known[connection] = RateLimiter.of(connection, loop.time())
    return limiter


def _told(headers: Mapping[str, str], names: tuple[tuple[str, str], ...]) -> tuple[float, float] | None:
    """Return the limit per minute and the remaining amount, if both are stated."""
    for limit_name, left_name in names:
        try:
            limit, left = float(headers.get(limit_name) or ""), float(headers.get(left_name) or "")
        except ValueError:
            continue
        if 0 < limit < 1e12 and 0 <= left < 1e12:
            return limit, left
    return None
