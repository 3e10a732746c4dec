"""What siblings with one prefix cost: a batch beside the SDKs and other libraries, by the simulator's bill.

Run with ``python benchmarks/siblings.py --peers FOLDER``; see ``environments.py`` for the folder. All
ask the same questions over HTTP, under the same system prompt: the batch as it is used; the others all
at once, without caching and with the cache marks that their documentation shows. Compared is the input
side of the bill with the least that the simulator's rules allow: the prefix written once, and read by
all others. How long the prefix is, the simulator's own tokenizer says of the lens, not the batch's bill.

It fails where a batch costs more than 1 % above the least, or takes longer than the bare SDK all at once by
more than one time to the first answer; of three batches the quickest counts. On a clock that nothing else
turns, ``tests/agent/test_batch_cost.py`` holds the same exactly.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import environments
from recording import record

from sunwell.agent import Agent
from sunwell.context import RunOptions
from sunwell.core import EphemeralLens, ModelProtocol
from sunwell.models.anthropic_messages import AnthropicModel
from sunwell.models.connection import Connection, close_clients
from sunwell.models.openai_chat import ChatModel
from sunwell.models.registry import ModelRegistry
from sunwell.simulator import PRICES, SimulatedModel, Simulator, echo
from sunwell.simulator.prompt_tokens import MESSAGE_TOKENS, text_tokens

SIZES = (2, 10, 100, 1_000)
LATENCY_SECONDS = 0.5
MODELS = {"anthropic": "claude-haiku-5-5", "openai": "gpt-6-luna"}
LENS = EphemeralLens(
    heuristics=tuple(
        f"Rule {i}: name the function, then say in one plain sentence what it gives back." for i in range(120)
    ),
    task_scope="Docstrings of the shop",
)
UNIT = Decimal(1_000_000)
MOST_TO_LEAST = Decimal("1.01")
MOST_ADDED = 1.25
"""Times to the first answer that a batch may take longer than all at once: what is above one is noise."""
ROUNDS = 3
MOST_FOR_PEERS = 100
Way = Callable[[Simulator, str, int], Awaitable[dict[str, Any] | None]]


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

        client: Any = anthropic.AsyncAnthropic(base_url=sim.url, api_key="a-key", max_retries=0, timeout=600)
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

        client = openai.AsyncOpenAI(base_url=sim.openai_url, api_key="a-key", max_retries=0, timeout=600)
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


async def peer(
    sim: Simulator, provider: str, workers: int, *, folder: Path, name: str, mark: bool
) -> dict[str, Any]:
    """Have a peer do it, in a process of its own; return what it says of itself."""
    job = {
        "url": sim.url if provider == "anthropic" else sim.openai_url,
        "provider": provider,
        "model": MODELS[provider],
        "system": LENS.to_context(),
        "questions": [task(i) for i in range(workers)],
        "marked": mark,
    }
    asked = partial(environments.ask, folder, name, job="siblings_", given=json.dumps(job))
    told = await asyncio.to_thread(asked)
    assert told["answers"] == workers
    return told


def ways(provider: str, folder: Path | None) -> dict[str, Way]:
    """Return all ways on *provider* but the batch, by name."""
    found: dict[str, Way] = {"sdk": sdk, "sdk, marked": marked_sdk}
    for name in environments.found(folder, "siblings_"):
        assert folder is not None
        if name == "openai-agents" and provider != "openai":
            continue  # it speaks to others through a further library
        for mark in (False, True):
            asked = partial(peer, folder=folder, name=name, mark=mark)
            found[f"{name}, marked" if mark else name] = asked
    return found


async def measure(way: Way, provider: str, workers: int) -> dict[str, Any]:
    """Return what one way costs, how long it takes, and how long all but the first call were held up."""
    name = MODELS[provider]
    async with Simulator({name: SimulatedModel(echo, LATENCY_SECONDS)}) as sim:
        began = time.perf_counter()
        told = await way(sim, provider, workers) or {}
        seconds = told.get("seconds", time.perf_counter() - began)
        entries = sim.bill.entries()
    rates = PRICES[name].rates
    output = sum(entry.output_tokens for entry in entries) * rates.output_usd / UNIT
    times = sorted(entry.time for entry in entries)
    return {
        "version": told.get("version", ""),
        "input_usd": sim.bill.total_usd() - output,
        "seconds": round(seconds, 2),
        "held_seconds": round(times[1] - times[0], 3) if len(times) > 1 else 0.0,
        "tokens": sum(entry.input_tokens for entry in entries),
    }


def least_usd(provider: str, tokens: int, prefix: int, workers: int) -> Decimal:
    """Return the least that the rules allow for *tokens* of input, *prefix* of it shared by all."""
    rates = PRICES[MODELS[provider]].rates
    assert rates.write_usd is not None
    assert rates.read_usd is not None
    shared = prefix * (rates.write_usd + (workers - 1) * rates.read_usd)
    return (shared + (tokens - workers * prefix) * rates.input_usd) / UNIT


async def measure_all(provider: str, workers: int, folder: Path | None) -> dict[str, Any]:
    """Return what every way of asking costs, beside the least for the batch's own prompts."""
    measured = [await measure(batch, provider, workers) for _ in range(ROUNDS)]
    ours = min(measured, key=lambda one: float(one["seconds"]))
    first = max([(await measure(sdk, provider, 1))["seconds"] for _ in range(ROUNDS)])
    others = ways(provider, folder if workers <= MOST_FOR_PEERS else None)
    found = {"batch": ours} | {name: await measure(way, provider, workers) for name, way in others.items()}
    prefix = text_tokens(LENS.to_context())
    if provider == "openai":
        prefix += MESSAGE_TOKENS  # there the system prompt is a message
    least = least_usd(provider, ours["tokens"], prefix, workers)
    for way in found.values():
        way["to_least"] = round(way["input_usd"] / least, 4)
    if ours["to_least"] > MOST_TO_LEAST:
        sys.exit(f"{provider}, {workers} siblings: {ours['to_least']} times the least")
    added = ours["seconds"] - found["sdk"]["seconds"]
    if added > MOST_ADDED * first:
        sys.exit(f"{provider}, {workers} siblings: {added:.2f} s more than all at once, not {first}")
    return found


async def main(folder: Path | None) -> None:
    """Measure, print and write the result."""
    found: dict[str, Any] = {"latency_seconds": LATENCY_SECONDS}
    for provider in MODELS:
        for way in (batch, sdk, marked_sdk):
            await measure(way, provider, 2)  # loads what is loaded on first use
        for workers in SIZES:
            found[f"{provider}, {workers} siblings"] = await measure_all(provider, workers, folder)
            print(json.dumps({provider: workers}), file=sys.stderr)
    print(json.dumps(found, indent=2, default=str))
    print(record("siblings", found))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    environments.add_option(parser)
    asyncio.run(main(parser.parse_args().peers))
