"""What siblings with one prefix cost: a batch beside the bare SDKs, by the simulator's own bill.

Run with ``python benchmarks/siblings.py``. Both sides ask the same questions over HTTP, under the
same system prompt: the batch as it is used; the SDK all at once with no caching asked for; and the
SDK all at once with the cache mark that its documentation shows. Compared is the input side of the
bill with the least that the simulator's rules allow: the prefix written once, and read by all others.
"""

import asyncio
import json
import tempfile
import time
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

from recording import record

from sunwell.agent import Agent
from sunwell.context import RunOptions
from sunwell.core import EphemeralLens, ModelProtocol
from sunwell.models.anthropic_messages import AnthropicModel
from sunwell.models.clients import close_clients
from sunwell.models.connection import Connection
from sunwell.models.openai_chat import ChatModel
from sunwell.models.registry import ModelRegistry
from sunwell.simulator import PRICES, SimulatedModel, Simulator, echo

SIZES = (2, 10, 100)
LATENCY_SECONDS = 0.5
MODELS = {"anthropic": "claude-haiku-5-5", "openai": "gpt-6-luna"}
LENS = EphemeralLens(
    heuristics=tuple(
        f"Rule {i}: name the function, then say in one plain sentence what it gives back." for i in range(120)
    ),
    task_scope="Docstrings of the shop",
)
UNIT = Decimal(1_000_000)
Way = Callable[[Simulator, str, int], Awaitable[None]]


def task(number: int) -> str:
    """Return the question of one sibling."""
    return f"Write the docstring of function {number:04d}."


def adapter(sim: Simulator, provider: str) -> ModelProtocol:
    """Return Sunwell's model on the simulator."""
    if provider == "anthropic":
        return AnthropicModel(MODELS[provider], Connection(provider, sim.url, "a-key"))
    return ChatModel(MODELS[provider], Connection(provider, sim.openai_url, "a-key"))


async def batch(sim: Simulator, provider: str, workers: int) -> None:
    """Have a batch do it."""
    agent = Agent(model=adapter(sim, provider), registry=ModelRegistry())
    options = RunOptions(max_concurrent=workers, tools=())
    with tempfile.TemporaryDirectory() as folder:
        tasks = [task(i) for i in range(workers)]
        results = await agent.batch(tasks, lens=LENS, workspace=folder, options=options)
    assert all(result.success for result in results)
    await close_clients()


async def sdk(sim: Simulator, provider: str, workers: int, *, mark: bool = False) -> None:
    """Have the bare SDK do it, all at once; *mark* asks for an entry as the documentation shows."""
    system = LENS.to_context()
    if provider == "anthropic":
        import anthropic

        client: Any = anthropic.AsyncAnthropic(base_url=sim.url, api_key="a-key", max_retries=0)
        block: Any = {"type": "text", "text": system} | (
            {"cache_control": {"type": "ephemeral"}} if mark else {}
        )

        async def ask(text: str) -> None:
            await client.messages.create(
                model=MODELS[provider],
                max_tokens=1_000,
                system=[block],
                messages=[{"role": "user", "content": text}],
            )
    else:
        import openai

        client = openai.AsyncOpenAI(base_url=sim.openai_url, api_key="a-key", max_retries=0)
        part: Any = {"type": "text", "text": system} | (
            {"prompt_cache_breakpoint": {"mode": "explicit"}} if mark else {}
        )

        async def ask(text: str) -> None:
            messages: Any = [{"role": "system", "content": [part]}, {"role": "user", "content": text}]
            await client.chat.completions.create(model=MODELS[provider], messages=messages)

    await asyncio.gather(*(ask(task(i)) for i in range(workers)))
    await client.close()


async def marked_sdk(sim: Simulator, provider: str, workers: int) -> None:
    """Have the bare SDK do it with a mark at the end of the system prompt."""
    await sdk(sim, provider, workers, mark=True)


WAYS: dict[str, Way] = {"batch": batch, "sdk": sdk, "sdk, marked": marked_sdk}


async def measure(way: Way, provider: str, workers: int) -> dict[str, Any]:
    """Return what one way costs, beside the least."""
    name = MODELS[provider]
    async with Simulator({name: SimulatedModel(echo, LATENCY_SECONDS)}) as sim:
        began = time.perf_counter()
        await way(sim, provider, workers)
        seconds = time.perf_counter() - began
        entries = sim.bill.entries()
        rates = PRICES[name].rates
        output = sum(entry.output_tokens for entry in entries) * rates.output_usd / UNIT
        input_usd = sim.bill.total_usd() - output
        tokens = [entry.input_tokens for entry in entries]
        read = max((entry.read_tokens for entry in entries), default=0)
        return {"input_usd": input_usd, "seconds": round(seconds, 2), "tokens": sum(tokens), "prefix": read}


def least_usd(provider: str, tokens: int, prefix: int, workers: int) -> Decimal:
    """Return the least that the rules allow for *tokens* of input, *prefix* of it shared by all."""
    rates = PRICES[MODELS[provider]].rates
    assert rates.write_usd is not None
    assert rates.read_usd is not None
    shared = prefix * (rates.write_usd + (workers - 1) * rates.read_usd)
    return (shared + (tokens - workers * prefix) * rates.input_usd) / UNIT


async def main() -> None:
    """Measure, print and write the result."""
    found: dict[str, Any] = {"latency_seconds": LATENCY_SECONDS}
    for provider in MODELS:
        for way in WAYS.values():
            await measure(way, provider, 2)  # loads what is loaded on first use
        for workers in SIZES:
            ways = {name: await measure(way, provider, workers) for name, way in WAYS.items()}
            ours = ways["batch"]
            least = least_usd(provider, ours["tokens"], ours["prefix"], workers)
            for way in ways.values():
                way["to_least"] = round(way["input_usd"] / least, 4)
            found[f"{provider}, {workers} siblings"] = ways
    print(json.dumps(found, indent=2, default=str))
    print(record("siblings", found))


if __name__ == "__main__":
    asyncio.run(main())
