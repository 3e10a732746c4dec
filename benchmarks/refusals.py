"""Do many workers finish although a provider refuses some requests, and what does a storm of refusals cost?

Run with ``python benchmarks/refusals.py``; it takes about five minutes. Three hundred workers with tools
work at once over HTTP on the simulator: while one request of twenty gets a 429, with and without a time to
wait, and through a storm of 15 seconds in which every request gets a 429 or a 529. A storm must cost at
most 30 seconds more than the same batch takes without it.
"""

import asyncio
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from typing import Any

import attrs
from recording import record

from sunwell.agent import Agent
from sunwell.budget import Budget
from sunwell.context import RunOptions
from sunwell.core import ModelProtocol, Text, ToolCall
from sunwell.models.anthropic_messages import AnthropicModel
from sunwell.models.connection import Connection, close_clients
from sunwell.models.openai_chat import ChatModel
from sunwell.models.registry import ModelRegistry
from sunwell.simulator import Asked, Fault, Occasion, Reply, SimulatedModel, Simulator
from sunwell.tools import Toolbox, tool

WORKERS, TURNS = 300, 3
LATENCY_SECONDS = 0.5
STORM_SECONDS, MOST_ADDED_SECONDS = 15.0, 30.0
MODELS = {"anthropic": "claude-haiku-5-5", "openai": "gpt-6-luna"}


@tool(parallel=True, repeatable=True)
async def look(place: str) -> str:
    """Look somewhere."""
    return f"nothing at {place}"


def answer(asked: Asked) -> Reply:
    """Call the tool twice, then answer."""
    done = sum(message.role == "assistant" for message in asked.messages) + 1
    if done < TURNS and asked.tools:
        return Reply((ToolCall(f"call_{done}", "look", '{"place": "the shelf"}'),), output_tokens=50)
    return Reply((Text("Nothing there."),), output_tokens=50)


@attrs.define(eq=False)
class Refusals:
    """A plan of faults: a share of all requests, or all between two times after the first one."""

    status: int
    share: float = 0.0
    storm: tuple[float, float] | None = None
    retry_after_seconds: float | None = None
    refused: int = 0
    _chance: random.Random = attrs.field(factory=lambda: random.Random(7), init=False)
    _first: float | None = attrs.field(default=None, init=False)
    _lock: Any = attrs.field(factory=threading.Lock, init=False)

    def __call__(self, occasion: Occasion) -> Fault | None:
        """Return the refusal of a request, if it is refused."""
        with self._lock:
            now = time.monotonic()
            self._first = now if self._first is None else self._first
            is_stormy = self.storm is not None and self.storm[0] <= now - self._first < self.storm[1]
            if not is_stormy and self._chance.random() >= self.share:
                return None
            self.refused += 1
            return Fault(status=self.status, retry_after_seconds=self.retry_after_seconds)


def adapter(sim: Simulator, provider: str) -> ModelProtocol:
    """Return Sunwell's model on the simulator."""
    if provider == "anthropic":
        return AnthropicModel(MODELS[provider], Connection(provider, sim.url, "a-key"))
    return ChatModel(MODELS[provider], Connection(provider, sim.openai_url, "a-key"))


async def batch(provider: str, plan: Refusals, workers: int = WORKERS) -> dict[str, Any]:
    """Return how a batch ends under *plan*."""
    model = SimulatedModel(answer, LATENCY_SECONDS)
    async with Simulator({MODELS[provider]: model}, faults=plan) as sim:
        agent = Agent(
            model=adapter(sim, provider), tool_executor=Toolbox(tools=(look,)), registry=ModelRegistry()
        )
        options = RunOptions(max_concurrent=workers, budget=Budget(usd=100))
        begun = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            tasks = [f"Look at place {number}." for number in range(workers)]
            results = await agent.batch(tasks, workspace=folder, options=options)
        seconds = time.perf_counter() - begun
        await close_clients()
    return {
        "seconds": round(seconds, 1),
        "finished": sum(result.success for result in results),
        "refused": plan.refused,
    }


BOTH = "529 for 15 s, and 5 % before and after"
STORM_ALONE = ("for 15 s", "for 15 s, wait 1 s")
STORM = (1.0, 1.0 + STORM_SECONDS)
PLANS: dict[str, Callable[[], Refusals]] = {
    "none": lambda: Refusals(429),
    "5 % of 429": lambda: Refusals(429, 0.05),
    "5 % of 429, wait 1 s": lambda: Refusals(429, 0.05, retry_after_seconds=1),
    "429 for 15 s": lambda: Refusals(429, storm=STORM),
    "429 for 15 s, wait 1 s": lambda: Refusals(429, storm=STORM, retry_after_seconds=1),
    "529 for 15 s": lambda: Refusals(529, storm=STORM),
    BOTH: lambda: Refusals(529, 0.05, STORM),
}


def main() -> None:
    """Measure, print and write the results; fail if a worker does not finish or a storm costs too much."""
    found: dict[str, Any] = {}
    wrong = []
    for provider in MODELS:
        usual = 0.0
        for name, plan in PLANS.items():
            row = found[f"{provider}, {name}"] = asyncio.run(batch(provider, plan()))
            print(provider, name, row, flush=True)
            usual = usual or row["seconds"]
            added = row["seconds"] - usual
            if row["finished"] < WORKERS:
                wrong.append(f"{provider}, {name}: {row['finished']} of {WORKERS} workers finished")
            # A steady share of refusals is held to the pace that it allows, and that is only told; so is a
            # storm on top of it, after which the pace recovers slowly.
            if name.endswith(STORM_ALONE) and added > MOST_ADDED_SECONDS:
                wrong.append(f"{provider}, {name}: {added:.1f} s were added")
    record("refusals", {"workers": WORKERS, "turns": TURNS, "latency_seconds": LATENCY_SECONDS} | found)
    if wrong:
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
