"""What a model call costs the client in CPU: the whole loop beside the bare SDKs.

Run with ``python benchmarks/client_cpu.py``. One process measures both sides in turns against one
canned server, which is a process of its own. The loop runs with a journal in a file, a ledger with
ceilings, tools and events; the SDK is called with the history rebuilt as its documentation shows.
Compared are CPU seconds of the client process, so waiting does not count.
"""

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

from canned_server import CHUNKS
from recording import record

from sunwell.agent import Agent
from sunwell.budget import Budget
from sunwell.context import RunOptions, SessionContext
from sunwell.core import ModelProtocol
from sunwell.events import ModelCallFinished, ModelCallStarted
from sunwell.models.anthropic_messages import AnthropicModel
from sunwell.models.connection import Connection, close_clients
from sunwell.models.openai_chat import ChatModel
from sunwell.tools import Toolbox, tool

ROUNDS = 5
TURNS = 205
EARLY, LATE = range(7, 14), range(193, 204)
NOTE = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
BUDGET = Budget(usd=Decimal(1_000), tokens=10**9, turns=TURNS)


@tool(repeatable=True)
async def note(text: str) -> str:
    """Take a note."""
    return "ok"


@contextmanager
def server() -> Iterator[int]:
    """Run the canned server and give its port."""
    program = Path(__file__).parent / "canned_server.py"
    with subprocess.Popen(
        [sys.executable, program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline())
        process.kill()


def adapter(wire: str, port: int) -> ModelProtocol:
    """Return Sunwell's model for *wire*."""
    if wire == "chat":
        return ChatModel("gpt-6-luna", Connection("openai", f"http://127.0.0.1:{port}/v1", "a-key"))
    return AnthropicModel("claude-haiku-5-5", Connection("anthropic", f"http://127.0.0.1:{port}", "a-key"))


async def loop_turns(wire: str, port: int, folder: Path) -> list[float]:
    """Return the CPU seconds of each turn of a run of the agent."""
    agent = Agent(model=adapter(wire, port), tool_executor=Toolbox(tools=(note,)))
    session = SessionContext.build(folder, "Take notes.", RunOptions(budget=BUDGET))
    marks = []
    async with aclosing(agent.run(session)) as events:
        async for event in events:
            if isinstance(event, ModelCallFinished):
                marks += [time.process_time()]
    return _steps(marks)


async def chat_turns(port: int) -> list[float]:
    """Return the CPU seconds of each turn of a loop on ``chat.completions.create``."""
    import openai

    client = openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="a-key", max_retries=0)
    tools: Any = [
        {"type": "function", "function": {"name": "note", "description": "Take a note.", "parameters": NOTE}}
    ]
    messages: list[Any] = [{"role": "user", "content": "Take notes."}]
    marks = []
    for _ in range(TURNS):
        answer = await client.chat.completions.create(model="gpt-6-luna", messages=messages, tools=tools)
        message = answer.choices[0].message
        messages.append(message)
        calls = message.tool_calls or ()
        messages += [{"role": "tool", "tool_call_id": call.id, "content": "ok"} for call in calls]
        marks.append(time.process_time())
    await client.close()
    return _steps(marks)


async def messages_turns(port: int) -> list[float]:
    """Return the CPU seconds of each turn of a loop on ``messages.create``."""
    import anthropic

    client = anthropic.AsyncAnthropic(base_url=f"http://127.0.0.1:{port}", api_key="a-key", max_retries=0)
    tools: Any = [{"name": "note", "description": "Take a note.", "input_schema": NOTE}]
    messages: list[Any] = [{"role": "user", "content": "Take notes."}]
    marks = []
    for _ in range(TURNS):
        answer = await client.messages.create(
            model="claude-haiku-5-5", max_tokens=1000, messages=messages, tools=tools
        )
        messages.append({"role": "assistant", "content": answer.content})
        results = [
            {"type": "tool_result", "tool_use_id": block.id, "content": "ok"}
            for block in answer.content
            if block.type == "tool_use"
        ]
        messages.append({"role": "user", "content": results})
        marks.append(time.process_time())
    await client.close()
    return _steps(marks)


async def loop_chunk(wire: str, port: int, folder: Path) -> float:
    """Return the CPU seconds of a streamed answer, request and events included, for each of its chunks."""
    agent = Agent(model=adapter(wire, port))
    options = RunOptions(budget=BUDGET, stream=True, tools=())
    session = SessionContext.build(folder, "Tell me.", options)
    began = ended = 0.0
    async with aclosing(agent.run(session)) as events:
        async for event in events:
            if isinstance(event, ModelCallStarted):
                began = time.process_time()
            if isinstance(event, ModelCallFinished):
                ended = time.process_time()
    return (ended - began) / CHUNKS


async def chat_chunk(port: int) -> float:
    """Return the CPU seconds of one chunk read through ``create(stream=True)``, without the request."""
    import openai

    client = openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="a-key", max_retries=0)
    stream = await client.chat.completions.create(
        model="gpt-6-luna",
        messages=[{"role": "user", "content": "Tell me."}],
        stream=True,
        stream_options={"include_usage": True},
    )
    began, chunks = time.process_time(), 0
    async for _ in stream:
        chunks += 1
    spent = time.process_time() - began
    await client.close()
    return spent / chunks


async def messages_chunk(port: int) -> float:
    """Return the CPU seconds of one event read through ``create(stream=True)``, without the request."""
    import anthropic

    client = anthropic.AsyncAnthropic(base_url=f"http://127.0.0.1:{port}", api_key="a-key", max_retries=0)
    stream = await client.messages.create(
        model="claude-haiku-5-5",
        max_tokens=10_000,
        messages=[{"role": "user", "content": "Tell me."}],
        stream=True,
    )
    began, chunks = time.process_time(), 0
    async for _ in stream:
        chunks += 1
    spent = time.process_time() - began
    await client.close()
    return spent / chunks


def _steps(marks: list[float]) -> list[float]:
    return [after - before for before, after in pairwise(marks)]


def window(turns: list[float], numbers: range) -> float:
    """Return the median CPU of the turns in *numbers*, in microseconds."""
    return statistics.median(turns[number] for number in numbers) * 1e6


async def one_round(wire: str, port: int) -> dict[str, float]:
    """Measure both sides once."""
    with tempfile.TemporaryDirectory() as folder:
        ours = await loop_turns(wire, port, Path(folder))
        our_chunk = await loop_chunk(wire, port, Path(folder))
    await close_clients()
    theirs = await (chat_turns(port) if wire == "chat" else messages_turns(port))
    their_chunk = await (chat_chunk(port) if wire == "chat" else messages_chunk(port))
    return {
        "loop_turn_10_us": window(ours, EARLY),
        "loop_turn_200_us": window(ours, LATE),
        "sdk_turn_10_us": window(theirs, EARLY),
        "sdk_turn_200_us": window(theirs, LATE),
        "loop_chunk_us": our_chunk * 1e6,
        "sdk_chunk_us": their_chunk * 1e6,
    }


def summary(rounds: list[dict[str, float]]) -> dict[str, float]:
    """Return medians, and the medians of the ratios taken round by round."""
    found = {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}

    def ratio(above: str, below: str) -> float:
        return statistics.median(one[above] / one[below] for one in rounds)

    found["turn_10_to_sdk"] = ratio("loop_turn_10_us", "sdk_turn_10_us")
    found["turn_200_to_sdk"] = ratio("loop_turn_200_us", "sdk_turn_200_us")
    found["chunk_to_sdk"] = ratio("loop_chunk_us", "sdk_chunk_us")
    found["turn_200_to_turn_10"] = ratio("loop_turn_200_us", "loop_turn_10_us")
    return {name: round(value, 3) for name, value in found.items()}


async def main() -> None:
    """Measure, print the table and write the result."""
    found: dict[str, Any] = {"rounds": ROUNDS}
    with server() as port:
        for wire in ("chat", "messages"):
            await one_round(wire, port)  # loads what is loaded on first use
            found[wire] = summary([await one_round(wire, port) for _ in range(ROUNDS)])
    for wire in ("chat", "messages"):
        print(f"{wire}")
        for name, value in found[wire].items():
            print(f"  {name:24} {value:12,.3f}")
    print(record("client_cpu", found))


if __name__ == "__main__":
    asyncio.run(main())
