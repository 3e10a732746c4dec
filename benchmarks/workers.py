"""What many workers at once cost the client: a batch beside the bare SDKs in the same run.

Run with ``python benchmarks/workers.py``. 200 workers of three calls each, each call answered after
50 ms by a canned server that is a process of its own; then 10, 100 and 1,000 workers of the batch
alone. The batch runs with its journal in a file, a ledger with ceilings, tools and events; the SDKs
are called with the history rebuilt as their documentation shows. Each measurement is a process of
its own, so that memory and CPU are its own, too.
"""

import asyncio
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from decimal import Decimal
from typing import Any

from client_cpu import NOTE, adapter, note
from recording import record
from slow_server import DELAY_SECONDS, server

from sunwell.agent import Agent
from sunwell.budget import Budget
from sunwell.context import RunOptions
from sunwell.models.connection import close_clients
from sunwell.models.registry import ModelRegistry
from sunwell.tools import Toolbox

ROUNDS = 3
WORKERS, CALLS = 200, 3
SIZES = (10, 100, 1_000)
BUDGET = Budget(usd=Decimal(1_000), tokens=10**9)


async def batch(wire: str, port: int, workers: int) -> None:
    """Have a batch of workers make their calls."""
    agent = Agent(model=adapter(wire, port), tool_executor=Toolbox(tools=(note,)), registry=ModelRegistry())
    options = RunOptions(budget=BUDGET, max_concurrent=workers)
    with tempfile.TemporaryDirectory() as folder:
        tasks = [f"Take notes of part {i}." for i in range(workers)]
        results = await agent.batch(tasks, workspace=folder, options=options)
    assert all(result.success and result.turns == CALLS for result in results), results[0]
    await close_clients()


async def openai_sdk(_: str, port: int, workers: int) -> None:
    """Have loops on ``chat.completions.create`` make the same calls."""
    import openai

    url = f"http://127.0.0.1:{port}/v1"
    client = openai.AsyncOpenAI(base_url=url, api_key="a-key", max_retries=0)
    tool = {"name": "note", "description": "Take a note.", "parameters": NOTE}
    tools: Any = [{"type": "function", "function": tool}]

    async def work(number: int) -> None:
        messages: list[Any] = [{"role": "user", "content": f"Take notes of part {number}."}]
        for _ in range(CALLS):
            answer = await client.chat.completions.create(model="gpt-6-luna", messages=messages, tools=tools)
            message = answer.choices[0].message
            messages.append(message)
            calls = message.tool_calls or ()
            messages += [{"role": "tool", "tool_call_id": call.id, "content": "ok"} for call in calls]

    await asyncio.gather(*(work(number) for number in range(workers)))
    await client.close()


async def anthropic_sdk(_: str, port: int, workers: int) -> None:
    """Have loops on ``messages.create`` make the same calls."""
    import anthropic

    url = f"http://127.0.0.1:{port}"
    client = anthropic.AsyncAnthropic(base_url=url, api_key="a-key", max_retries=0)
    tools: Any = [{"name": "note", "description": "Take a note.", "input_schema": NOTE}]

    async def work(number: int) -> None:
        messages: list[Any] = [{"role": "user", "content": f"Take notes of part {number}."}]
        for _ in range(CALLS):
            answer = await client.messages.create(
                model="claude-haiku-5-5", max_tokens=1_000, messages=messages, tools=tools
            )
            messages.append({"role": "assistant", "content": answer.content})
            results = [
                {"type": "tool_result", "tool_use_id": block.id, "content": "ok"}
                for block in answer.content
                if block.type == "tool_use"
            ]
            if results:
                messages.append({"role": "user", "content": results})

    await asyncio.gather(*(work(number) for number in range(workers)))
    await client.close()


WAYS = {"batch": batch, "openai-sdk": openai_sdk, "anthropic-sdk": anthropic_sdk}


def measure(way: str, wire: str, port: int, workers: int) -> dict[str, float]:
    """Run once to load everything, then once measured; for a process of its own."""
    asyncio.run(WAYS[way](wire, port, 2))
    memory_kb, cpu, began = _memory_kb(), time.process_time(), time.perf_counter()
    asyncio.run(WAYS[way](wire, port, workers))
    return {
        "wall_ms": (time.perf_counter() - began) * 1000,
        "cpu_ms": (time.process_time() - cpu) * 1000,
        "memory_kb": _memory_kb() - memory_kb,
    }


def _memory_kb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "darwin" else 1)


def measured(way: str, wire: str, port: int, workers: int) -> dict[str, float]:
    """Measure in a new process."""
    words = [sys.executable, __file__, way, wire, str(port), str(workers)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def medians(rounds: list[dict[str, float]]) -> dict[str, float]:
    """Return the median of each figure."""
    return {name: round(statistics.median(one[name] for one in rounds), 2) for name in rounds[0]}


def beside(port: int) -> dict[str, Any]:
    """Measure 200 workers, each way in turns."""
    ways = {
        "batch-chat": ("batch", "chat"),
        "openai-sdk": ("openai-sdk", "chat"),
        "batch-messages": ("batch", "messages"),
        "anthropic-sdk": ("anthropic-sdk", "messages"),
    }
    rounds = [{name: measured(*way, port, WORKERS) for name, way in ways.items()} for _ in range(ROUNDS)]
    found: dict[str, Any] = {name: medians([one[name] for one in rounds]) for name in ways}
    for ours, theirs in (("batch-chat", "openai-sdk"), ("batch-messages", "anthropic-sdk")):
        found[f"{ours} to {theirs}"] = medians(
            [{name: one[ours][name] / one[theirs][name] for name in ("wall_ms", "cpu_ms")} for one in rounds]
        )
    return found


def growth(port: int) -> dict[str, Any]:
    """Measure what each further worker adds, from 10 to 100 and from 100 to 1,000."""
    found: dict[str, Any] = {}
    for workers in SIZES:
        found[str(workers)] = medians([measured("batch", "messages", port, workers) for _ in range(ROUNDS)])
    for name in ("cpu_ms", "memory_kb"):
        few, some, many = (found[str(workers)][name] for workers in SIZES)
        first, then = (some - few) / (SIZES[1] - SIZES[0]), (many - some) / (SIZES[2] - SIZES[1])
        found[f"{name} added per worker"] = {
            "10 to 100": round(first, 3),
            "100 to 1,000": round(then, 3),
            "ratio": round(then / first, 3),
        }
    return found


def missed(found: dict[str, Any]) -> list[str]:
    """Return what is claimed of the figures and *found* does not show."""
    most = {
        ("beside", "batch-chat to openai-sdk", "wall_ms"): 0.5,
        ("beside", "batch-chat to openai-sdk", "cpu_ms"): 0.5,
        ("beside", "batch-messages to anthropic-sdk", "wall_ms"): 1.0,
        ("beside", "batch-messages to anthropic-sdk", "cpu_ms"): 1.0,
        ("growth", "cpu_ms added per worker", "ratio"): 1.15,
        ("growth", "memory_kb added per worker", "ratio"): 1.15,
    }
    return [
        f"{table}, {row}, {figure}: {found[table][row][figure]} is more than {limit}"
        for (table, row, figure), limit in most.items()
        if found[table][row][figure] > limit
    ]


def main() -> None:
    """Measure, print and write the result; fail where a claim does not hold."""
    with server(CALLS) as port:
        found: dict[str, Any] = {"delay_ms": DELAY_SECONDS * 1000, "calls": CALLS, "rounds": ROUNDS}
        found |= {"beside": beside(port), "growth": growth(port)}
    print(json.dumps(found, indent=2))
    print(record("workers", found))
    if said := missed(found):
        raise SystemExit("\n".join(said))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(measure(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))))
    else:
        main()
