"""Rate limits by the rules of several vendors, with their headers.

The rules are those of the vendors' pages: https://platform.claude.com/docs/en/api/rate-limits,
https://platform.openai.com/docs/guides/rate-limits, https://console.groq.com/docs/rate-limits,
https://learn.microsoft.com/azure/ai-services/openai/how-to/quota, https://openrouter.ai/docs/api-reference/limits.
"""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Literal

import attrs

VendorRules = Literal["anthropic", "openai", "azure", "groq", "openrouter", "plain", "silent"]
"""``plain``: a server without figures, that says with a 429 how long to wait; ``silent``: not even that."""

_DAY_SECONDS = 86_400.0


@attrs.define(eq=False)
class _Tank:
    """An amount that is refilled continuously."""

    limit: float
    window_seconds: float = 60.0
    available: float = attrs.field(init=False)
    at: float | None = None

    @available.default
    def _full(self) -> float:
        return self.limit

    def fill(self, now: float) -> None:
        if self.at is not None:
            self.available = min(self.limit, self.available + (now - self.at) * self.per_second)
        self.at = now

    @property
    def per_second(self) -> float:
        return self.limit / self.window_seconds

    def missing_seconds(self, amount: float) -> float:
        return max(0.0, (min(amount, self.limit) - self.available) / self.per_second)

    @property
    def reset_seconds(self) -> float:
        return (self.limit - self.available) / self.per_second


@attrs.frozen
class LimitReply:
    """Whether a request is accepted, and the headers of the response."""

    is_taken: bool
    headers: dict[str, str]
    retry_after_seconds: float | None = None
    status: int = 200


@attrs.define(eq=False)
class VendorLimits:
    """The rate limits of one account. ``None``: no such limit."""

    rules: VendorRules
    requests: float | None = None
    """Limit of requests: a minute, and a day with the rules of Groq."""
    tokens_per_minute: float | None = None
    """Limit of all tokens, or of input tokens with the rules of Anthropic."""
    output_tokens_per_minute: float | None = None
    """Limit of output tokens, with the rules of Anthropic."""
    burst_seconds: float = 60.0
    """How long a full bucket lasts: vendors may divide a minute into shorter intervals."""
    overloaded: tuple[float, float] | None = None
    """Between these times, in seconds of ``now`` after the first request, all requests get a 529."""
    now: Callable[[], float] = lambda: asyncio.get_running_loop().time()
    refused: int = attrs.field(default=0, init=False)
    """Number of requests that were refused."""
    taken: int = attrs.field(default=0, init=False)
    """Number of requests that were accepted."""
    counted_tokens: float = attrs.field(default=0.0, init=False)
    """What was counted against the limit of tokens."""
    produced_tokens: float = attrs.field(default=0.0, init=False)
    """Output that was counted against the limit of output."""
    _tanks: dict[str, _Tank] = attrs.field(factory=dict, init=False)
    _first: float | None = attrs.field(default=None, init=False)
    _wall: float = attrs.field(default=0.0, init=False)
    """The wall clock at the time 0 of ``now``."""

    def __attrs_post_init__(self) -> None:
        day = _DAY_SECONDS if self.rules == "groq" else 60.0
        for name, limit, window in (
            ("requests", self.requests, day),
            ("tokens", self.tokens_per_minute, 60.0),
            ("output", self.output_tokens_per_minute, 60.0),
        ):
            if limit is not None:
                share = 1.0 if window == _DAY_SECONDS else self.burst_seconds / 60.0
                self._tanks[name] = _Tank(limit * share, window * share)

    def admit(self, input_tokens: int, cached_tokens: int, max_output_tokens: int | None) -> LimitReply:
        """Count a request on its arrival, and return what the server says; a refused one counts nothing."""
        now = self._filled()
        asked = max_output_tokens or 0
        self._first = now if self._first is None else self._first
        if self.overloaded is not None and self.overloaded[0] <= now - self._first < self.overloaded[1]:
            self.refused += 1
            return LimitReply(False, self._headers(now), None, 529)
        tokens = {
            "anthropic": input_tokens - cached_tokens,
            "openai": max(input_tokens, asked),
            "azure": input_tokens + asked,
            "groq": input_tokens - cached_tokens + asked,
        }.get(self.rules, input_tokens + asked)
        needs = {"requests": 1.0, "tokens": float(tokens), "output": 1.0}
        waits = [tank.missing_seconds(needs[name]) for name, tank in self._tanks.items()]
        wait = max(waits, default=0.0)
        if wait > 1e-9:
            self.refused += 1
            after = None if self.rules == "silent" else max(1.0, wait)
            return LimitReply(False, self._headers(now), after, 429)
        self.taken += 1
        self.counted_tokens += tokens
        for name in ("requests", "tokens"):
            if name in self._tanks:
                self._tanks[name].available -= needs[name]
        return LimitReply(True, self._headers(now))

    def produce(self, output_tokens: float) -> None:
        """Count output that was just produced, with the rules of Anthropic."""
        self._filled()
        if "output" in self._tanks:
            self.produced_tokens += output_tokens
            self._tanks["output"].available -= output_tokens

    def _filled(self) -> float:
        now = self.now()
        if not self._wall:
            self._wall = time.time() - now
        for tank in self._tanks.values():
            tank.fill(now)
        return now

    def _headers(self, now: float) -> dict[str, str]:
        scale = 60.0 / self.burst_seconds
        wall = self._wall + now
        headers = {"date": formatdate(wall, usegmt=True)}
        for name, tank in self._tanks.items():
            limit = tank.limit * (1 if tank.window_seconds >= _DAY_SECONDS else scale)
            left = max(0, int(tank.available))
            if self.rules == "anthropic":
                own = {"tokens": "input-tokens", "output": "output-tokens"}.get(name, name)
                stem = f"anthropic-ratelimit-{own}"
                shown = left if name == "requests" else round(left, -3)
                reset = datetime.fromtimestamp(wall + tank.reset_seconds, UTC)
                headers |= {
                    f"{stem}-limit": str(int(limit)),
                    f"{stem}-remaining": str(shown),
                    f"{stem}-reset": reset.replace(microsecond=0).isoformat().replace("+00:00", "Z"),
                }
            elif self.rules in ("openai", "azure", "groq"):
                headers |= {
                    f"x-ratelimit-limit-{name}": str(int(limit)),
                    f"x-ratelimit-remaining-{name}": str(left),
                    f"x-ratelimit-reset-{name}": duration(tank.reset_seconds),
                }
            elif self.rules == "openrouter" and name == "requests":
                headers |= {
                    "x-ratelimit-limit": str(int(limit)),
                    "x-ratelimit-remaining": str(left),
                    "x-ratelimit-reset": str(int((wall + tank.reset_seconds) * 1000)),
                }
        return headers


def duration(seconds: float) -> str:
    """Return *seconds* as OpenAI writes them: ``120ms``, ``1.5s``, ``6m0s``."""
    if seconds < 1:
        return f"{round(seconds * 1000)}ms"
    minutes, rest = divmod(round(seconds, 3), 60)
    return f"{int(minutes)}m{rest:g}s" if minutes else f"{rest:g}s"
