"""A simulator, and clients of both SDKs that talk to it without retrying."""

import contextlib
from collections.abc import AsyncIterator

import pytest

from sunwell.core import Text, Thinking, ToolCall
from sunwell.simulator import Asked, ManualClock, Reply, Simulator, echo

CLAUDE = "claude-haiku-5-5"
GPT = "gpt-6-luna"


def scripted(asked: Asked) -> Reply:
    """Think and call two tools where tools are on offer, answer where results have come; else echo."""
    if not asked.tools:
        return echo(asked)
    if asked.messages[-1].role == "tool":
        results = [part.content for part in asked.messages[-1].parts]
        return Reply((Text("read: " + ", ".join(results)),))
    calls = (ToolCall("call_a", "read", '{"path": "a.py"}'), ToolCall("call_b", "read", '{"path": "b.py"}'))
    return Reply((Thinking("Both files are needed.", "", ""), Text("I read both."), *calls))


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def sim(clock: ManualClock) -> AsyncIterator[Simulator]:
    async with Simulator({CLAUDE: scripted, GPT: scripted}, clock=clock, keep_bodies=True) as running:
        yield running


@pytest.fixture
async def claude(sim: Simulator):
    import anthropic

    async with contextlib.AsyncExitStack() as stack:
        # Loopback needs no certificates, and loading them takes longer than most tests.
        http = anthropic.DefaultAsyncHttpxClient(verify=False)
        client = anthropic.AsyncAnthropic(
            base_url=sim.url, api_key="claude-key", max_retries=0, http_client=http
        )
        yield await stack.enter_async_context(client)


@pytest.fixture
async def gpt(sim: Simulator):
    import openai

    http = openai.DefaultAsyncHttpxClient(verify=False)
    async with openai.AsyncOpenAI(
        base_url=sim.openai_url, api_key="gpt-key", max_retries=0, http_client=http
    ) as client:
        yield client
