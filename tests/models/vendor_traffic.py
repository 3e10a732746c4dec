"""Many workers that call a server with a vendor's rate limits, on a virtual clock."""

import asyncio
import random

import attrs

from sunwell.core.model import Usage
from sunwell.errors import RateLimited
from sunwell.gateway.retry import RetryPolicy
from sunwell.models.pace_rules import (
    ANTHROPIC_PACE,
    ANY_PACE,
    AZURE_PACE,
    GROQ_PACE,
    OPENAI_PACE,
    PaceRule,
)
from sunwell.models.rate_limits import Need, RateLimiter
from sunwell.simulator import VendorLimits

RULES: dict[str, PaceRule] = {
    "anthropic": ANTHROPIC_PACE,
    "openai": OPENAI_PACE,
    "azure": AZURE_PACE,
    "groq": GROQ_PACE,
}


@attrs.frozen
class Traffic:
    """What each call is like, and how many there are."""

    workers: int = 200
    calls: int = 5
    input_tokens: int = 2000
    cached_tokens: int = 0
    output_tokens: int = 300
    max_output_tokens: int = 8192
    seconds: float = 2.0
    """Mean time of an answer."""


@attrs.frozen
class Result:
    """What the traffic came to."""

    seconds: float
    failed: int
    sent_at: list[float]
    """When accepted requests were sent."""


async def run_traffic(limits: VendorLimits, limiter: RateLimiter, traffic: Traffic) -> Result:
    """Let all workers make their calls through *limiter*; refused ones are made again as the gateway does."""
    clock, dice, policy = asyncio.get_running_loop(), random.Random(1), RetryPolicy()
    failed, sent_at = 0, []

    async def call() -> bool:
        for tried in range(100):
            need = Need(traffic.input_tokens * 1.2, traffic.max_output_tokens)
            ticket = await limiter.enter(need)
            verdict = limits.admit(traffic.input_tokens, traffic.cached_tokens, traffic.max_output_tokens)
            if verdict.is_taken:
                sent_at.append(clock.time())
                seconds = traffic.seconds * dice.uniform(0.5, 1.5)
                output = int(traffic.output_tokens * dice.uniform(0.5, 1.5))
                for _ in range(4):
                    await asyncio.sleep(seconds / 4)
                    limits.produce(output / 4)
                ticket.heard(200, verdict.headers)
                ticket.finished(Usage(traffic.input_tokens, output, traffic.cached_tokens))
                return True
            await asyncio.sleep(0.1)
            after = verdict.retry_after_seconds
            told = {} if after is None else {"retry-after": f"{after:.3f}"}
            ticket.heard(verdict.status, verdict.headers | told)
            error = RateLimited("model", "refused", retry=True, retry_after_seconds=after)
            wait = policy.wait_seconds(tried, error)
            if wait is None:
                return False
            await asyncio.sleep(wait)
        return False

    async def work() -> None:
        nonlocal failed
        for _ in range(traffic.calls):
            failed += not await call()

    begun = clock.time()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(traffic.workers):
            tasks.create_task(work())
    return Result(clock.time() - begun, failed, sent_at)


def limiter_of(limits: VendorLimits) -> RateLimiter:
    """Return a limiter with the rule of *limits*."""
    return RateLimiter(RULES.get(limits.rules, ANY_PACE))
