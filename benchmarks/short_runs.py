"""What a short run costs the client: opening it, eleven model calls and its end, beside the bare SDKs.

Run with ``python benchmarks/short_runs.py``. First the CPU of one run of eleven calls, a tool call in each
answer but the last, for each model call. Then the time of 200 separate runs of three calls each, all at
once. The runs have their journals in files, a ledger with ceilings, and tools: one function of the caller's
alone, or that and all tools of the workspace. Their results are awaited, and nobody listens to their events:
those of calls are then not made. The SDK is called as its documentation shows, with the same messages and
the same tools.

The CPU is measured a second time with the workspace in memory, where the system has such a file system:
what differs is what the disk costs, which is another on each machine. And a third time with answers that
take 50 ms, as those of a quick model do: between two of them the processor has forgotten both sides.

One process measures both sides in turns against one server, which is a process of its own. Both sides
have loaded everything and use open connections. An agent is made for each run; the SDK's client is not.
"""

import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from client_cpu import BUDGET, adapter, note
from recording import record
from slow_server import DELAY_SECONDS, server

from sunwell.agent import Agent
from sunwell.context import RunOptions, SessionContext
from sunwell.core.model import ToolSpec
from sunwell.models.connection import close_clients
from sunwell.models.registry import ModelRegistry
from sunwell.tools import Toolbox
from sunwell.tools.workspace import Workspace

CALLS, REPETITIONS, REPETITIONS_OF_SLOW = 11, 25, 9
RUNS, CALLS_OF_MANY, ROUNDS = 200, 3, 5
OPTIONS = RunOptions(budget=BUDGET)
MEMORY = Path("/dev/shm")
AIM = {"chat": 0.35, "messages": 0.8}
"""The most CPU that a call of a short run should take, to the SDK's."""

Work = Callable[[], Awaitable[None]]
"""One loop of either side, to its answer."""


def tools_of(folder: Path, kind: str) -> tuple[ToolSpec, ...]:
    """Return the tools that a run is told of."""
    return Toolbox(Workspace(folder) if kind == "workspace" else None, (note,)).specs()


def run_of(wire: str, port: int, folder: Path, kind: str, calls: int) -> Work:
    """Return a run of an agent of its own."""
    model, registry = adapter(wire, port), ModelRegistry()

    async def work() -> None:
        if kind == "workspace":
            agent = Agent(model=model, tools=(note,), registry=registry)
        else:
            agent = Agent(model=model, tool_executor=Toolbox(tools=(note,)), registry=registry)
        result = await agent.run(SessionContext.build(folder, "Take notes.", OPTIONS))
        assert (result.success, result.turns) == (True, calls), result

    return work


@asynccontextmanager
async def chat_loop(port: int, specs: tuple[ToolSpec, ...]) -> AsyncIterator[Work]:
    """Give the loop on ``chat.completions.create``."""
    import openai

    client = openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="a-key", max_retries=0)
    tools: Any = [
        {
            "type": "function",
            "function": {"name": spec.name, "description": spec.description, "parameters": spec.parameters},
        }
        for spec in specs
    ]

    async def work() -> None:
        messages: list[Any] = [{"role": "user", "content": "Take notes."}]
        while True:
            answer = await client.chat.completions.create(model="gpt-6-luna", messages=messages, tools=tools)
            message = answer.choices[0].message
            messages.append(message)
            if not message.tool_calls:
                return
            for call in message.tool_calls:
                content = await note_of(call.function.arguments)  # type: ignore[union-attr]
                messages.append({"role": "tool", "tool_call_id": call.id, "content": content})

    async with client:
        yield work


@asynccontextmanager
async def messages_loop(port: int, specs: tuple[ToolSpec, ...]) -> AsyncIterator[Work]:
    """Give the loop on ``messages.create``."""
    import anthropic

    client = anthropic.AsyncAnthropic(base_url=f"http://127.0.0.1:{port}", api_key="a-key", max_retries=0)
    tools: Any = [
        {"name": spec.name, "description": spec.description, "input_schema": spec.parameters}
        for spec in specs
    ]

    async def work() -> None:
        messages: list[Any] = [{"role": "user", "content": "Take notes."}]
        while True:
            answer = await client.messages.create(
                model="claude-haiku-5-5", max_tokens=1000, messages=messages, tools=tools
            )
            messages.append({"role": "assistant", "content": answer.content})
            results = [
                {"type": "tool_result", "tool_use_id": block.id, "content": "ok"}
                for block in answer.content
                if block.type == "tool_use"
            ]
            if not results:
                return
            messages.append({"role": "user", "content": results})

    async with client:
        yield work


async def note_of(arguments: str) -> str:
    """Take the note of a call."""
    json.loads(arguments)
    return "ok"


LOOPS = {"chat": chat_loop, "messages": messages_loop}


async def cpu_us(work: Work, calls: int) -> float:
    """Return the CPU of one loop for each of its model calls, in microseconds."""
    began = time.process_time()
    await work()
    return (time.process_time() - began) / calls * 1e6


async def wall_ms(work: Work, runs: int) -> float:
    """Return the time of *runs* loops at once, in milliseconds."""
    began = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(runs)))
    return (time.perf_counter() - began) * 1000


async def in_turns(ours: Work, theirs: Work, measure: Callable[[Work], Awaitable[float]], rounds: int) -> Any:
    """Measure both sides in turns, and return the least and the median of each, and their ratios."""
    for work in (ours, theirs):
        await measure(work)  # loads what is loaded on first use, and opens the connections
    pairs = [(await measure(ours), await measure(theirs)) for _ in range(rounds)]
    found: dict[str, float] = {}
    for name, of in (("least", min), ("median", statistics.median)):
        run, sdk = (of(side) for side in zip(*pairs, strict=True))
        found |= {f"{name}_run": round(run, 1), f"{name}_sdk": round(sdk, 1)}
        found[f"{name}_to_sdk"] = round(run / sdk, 3)
    return found


async def measured(wire: str, kind: str, ports: tuple[int, int, int], folder: Path) -> dict[str, Any]:
    """Measure one wire format with one kind of tools: a run by itself, then many at once.

    *ports* are those of servers that answer at once, and after a while in runs of few calls and of eleven.
    """
    found: dict[str, Any] = {}
    folder.mkdir()
    specs = tools_of(folder, kind)
    async with LOOPS[wire](ports[0], specs) as theirs:
        ours = run_of(wire, ports[0], folder, kind, CALLS)
        found["cpu_us"] = await in_turns(ours, theirs, partial(cpu_us, calls=CALLS), REPETITIONS)
        if MEMORY.is_dir():
            with tempfile.TemporaryDirectory(dir=MEMORY) as name:
                ours = run_of(wire, ports[0], Path(name), kind, CALLS)
                measure = partial(cpu_us, calls=CALLS)
                found["cpu_us_in_memory"] = await in_turns(ours, theirs, measure, REPETITIONS)
    async with LOOPS[wire](ports[2], specs) as theirs:
        ours = run_of(wire, ports[2], folder, kind, CALLS)
        measure = partial(cpu_us, calls=CALLS)
        found["cpu_us_slow"] = await in_turns(ours, theirs, measure, REPETITIONS_OF_SLOW)
    async with LOOPS[wire](ports[1], specs) as theirs:
        ours = run_of(wire, ports[1], folder, kind, CALLS_OF_MANY)
        found["wall_ms"] = await in_turns(ours, theirs, partial(wall_ms, runs=RUNS), ROUNDS)
    await close_clients()
    return found


def missed(found: dict[str, Any]) -> list[str]:
    """Return where *found* is above the aim."""
    ratios = {
        (wire, kind): row["cpu_us"]["median_to_sdk"] for wire in LOOPS for kind, row in found[wire].items()
    }
    return [
        f"{wire}, {kind}: a call takes {ratio} of the SDK's CPU, which is more than {AIM[wire]}"
        for (wire, kind), ratio in ratios.items()
        if ratio > AIM[wire]
    ]


async def main() -> None:
    """Measure, print and write the result; fail where a call takes more than the aim."""
    found: dict[str, Any] = {"calls": CALLS, "repetitions": REPETITIONS, "runs": RUNS}
    found |= {"calls_of_each": CALLS_OF_MANY, "delay_ms": DELAY_SECONDS * 1000, "rounds": ROUNDS}
    # Removed at the end: a file system may take long for new folders where others have just been removed.
    with (
        server(CALLS, 0) as at_once,
        server(CALLS_OF_MANY) as many,
        server(CALLS) as slow,
        tempfile.TemporaryDirectory() as name,
    ):
        for wire in LOOPS:
            found[wire] = {
                kind: await measured(wire, kind, (at_once, many, slow), Path(name) / f"{wire}-{kind}")
                for kind in ("own", "workspace")
            }
    print(json.dumps(found, indent=2))
    print(record("short_runs", found))
    if said := missed(found):
        raise SystemExit("\n".join(said))


if __name__ == "__main__":
    asyncio.run(main())
