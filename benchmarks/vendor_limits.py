"""Many workers within the rate limits of several vendors: refusals, share of the limit, recovery.

Run: python benchmarks/vendor_limits.py. It takes about two minutes. The vendors' limits run on a virtual
clock; the tier of two million tokens and the overload of a batch run over HTTP on loopback.
"""

import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from recording import record

from sunwell.agent import Agent
from sunwell.budget import Budget
from sunwell.context import RunOptions
from sunwell.core.message import user
from sunwell.core.model import Request
from sunwell.models.anthropic_messages import AnthropicModel
from sunwell.models.connection import Connection, close_clients
from sunwell.models.registry import ModelRegistry
from sunwell.simulator import Simulator, VendorLimits
from sunwell.testing import run_virtual
from tests.models.vendor_traffic import Traffic, limiter_of, run_traffic

ROUNDS: dict[str, tuple[VendorLimits, Traffic]] = {
    "Anthropic, input": (
        VendorLimits("anthropic", 4000, 400_000, 80_000),
        Traffic(calls=10, output_tokens=20),
    ),
    "Anthropic, 94 % read from the cache": (
        VendorLimits("anthropic", 4000, 400_000, 800_000),
        Traffic(calls=20, input_tokens=8000, cached_tokens=7500, output_tokens=100),
    ),
    "Anthropic, output": (VendorLimits("anthropic", 4000, 2_000_000, 80_000), Traffic(calls=10)),
    "Anthropic, requests": (
        VendorLimits("anthropic", 600, 20_000_000, 80_000_000),
        Traffic(calls=20),
    ),
    "OpenAI": (VendorLimits("openai", 10_000, 2_000_000), Traffic(calls=10)),
    "OpenAI, counted in intervals of 10 s": (
        VendorLimits("openai", 10_000, 2_000_000, burst_seconds=10),
        Traffic(calls=10),
    ),
    "Azure": (VendorLimits("azure", 10_000, 1_000_000), Traffic(calls=5)),
    "Groq": (
        VendorLimits("groq", 14_400, 300_000),
        Traffic(workers=100, max_output_tokens=1000),
    ),
    "OpenRouter, requests": (VendorLimits("openrouter", 600), Traffic(calls=10)),
    "no headers, Retry-After": (
        VendorLimits("plain", 3000, burst_seconds=1),
        Traffic(calls=30, seconds=0.3),
    ),
    "no headers, bare 429": (
        VendorLimits("silent", 3000, burst_seconds=1),
        Traffic(calls=30, seconds=0.3),
    ),
}


def vendor(limits: VendorLimits, traffic: Traffic) -> dict[str, Any]:
    """Return how much of the most limiting limit was used, and how many requests were refused."""
    result = run_virtual(run_traffic(limits, limiter_of(limits), traffic))
    windows = (result.seconds + limits.burst_seconds) / 60  # the bucket is full at the beginning
    shares = [
        used / (limit * windows)
        for used, limit in (
            (limits.taken, None if limits.rules == "groq" else limits.requests),
            (limits.counted_tokens, limits.tokens_per_minute),
            (limits.produced_tokens, limits.output_tokens_per_minute),
        )
        if limit is not None
    ]
    return {
        "share": round(max(shares), 3),
        "accepted": limits.taken,
        "refused": limits.refused,
        "failed": result.failed,
    }


def recovery() -> dict[str, float]:
    """Return how an overload of five seconds passes: 50 workers, answers after 0.2 s, bare refusals."""
    limits = VendorLimits("silent", overloaded=(10.0, 15.0))
    traffic = Traffic(workers=50, calls=200, seconds=0.2)
    result = run_virtual(run_traffic(limits, limiter_of(limits), traffic))
    before = sum(5 <= at < 10 for at in result.sent_at) / 5
    resumed = next(at for at in result.sent_at if at >= 15)
    spans = [start / 4 for start in range(int(resumed * 4), int(resumed * 4) + 400)]
    full = next(at for at in spans if sum(at <= sent < at + 1 for sent in result.sent_at) >= 0.9 * before)
    return {
        "per_second_before": round(before, 1),
        "paused_seconds": round(resumed - 10, 2),
        "seconds_to_nine_tenths": round(max(0.0, full - resumed), 2),
        "refused": limits.refused,
        "failed": result.failed,
    }


async def tier() -> dict[str, float]:
    """200 workers of three calls over HTTP, on a tier of two million input tokens a minute."""
    limits = VendorLimits("anthropic", 10_000, 2_000_000, 400_000)
    async with Simulator(limits=limits) as simulator:
        model = AnthropicModel("claude-haiku-5-5", Connection("anthropic", simulator.url, "key"))
        request = Request(messages=[user("x")], max_output_tokens=8192)

        async def work() -> None:
            for _ in range(3):
                await model.complete(request)

        await model.complete(request)  # loads the SDK
        begun = time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            for _ in range(200):
                tasks.create_task(work())
        seconds = time.perf_counter() - begun
        await close_clients()
    return {"seconds": round(seconds, 2), "refused": limits.refused}


async def overloaded_batch() -> dict[str, float]:
    """A batch of 200 tasks whose provider answers 529 for the first five seconds."""
    limits = VendorLimits("anthropic", 10_000, 4_000_000, 800_000, overloaded=(0.0, 5.0))
    async with Simulator(limits=limits) as simulator:
        model = AnthropicModel("claude-haiku-5-5", Connection("anthropic", simulator.url, "key"))
        agent = Agent(model=model, registry=ModelRegistry())
        begun = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            options = RunOptions(max_concurrent=200, budget=Budget(usd=1000))
            tasks = [f"Say {number}." for number in range(200)]
            results = await agent.batch(tasks, workspace=folder, options=options)
        seconds = time.perf_counter() - begun
        await close_clients()
    return {
        "seconds": round(seconds, 1),
        "tasks": len(results),
        "failed": sum(not result.success for result in results),
        "refused": limits.refused,
    }


def main() -> dict[str, Any]:
    """Return all figures."""
    figures: dict[str, Any] = {}
    for name, (limits, traffic) in ROUNDS.items():
        figures[name] = vendor(limits, traffic)
        print(name, figures[name])
    figures["529 for 5 s"] = recovery()
    figures["600 calls in a tier of 2,000,000"] = asyncio.run(tier())
    figures["a batch under 529 for 5 s"] = asyncio.run(overloaded_batch())
    for name in list(figures)[-3:]:
        print(name, figures[name])
    return figures


if __name__ == "__main__":
    record("vendor_limits", main())
