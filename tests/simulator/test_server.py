"""The simulator as a server: what it keeps, how it starts and stops."""

import asyncio
import urllib.request

import aiohttp
import anthropic
import pytest

from sunwell.core import Text
from sunwell.errors import ConfigurationError
from sunwell.simulator import Reply, SimulatedModel, Simulator, echo, running_simulator

CLAUDE = "claude-haiku-5-5"
ASK = {"model": CLAUDE, "max_tokens": 100, "messages": [{"role": "user", "content": "hello"}]}
HEADERS = {"x-api-key": "k", "anthropic-version": "2026-10-21"}


async def test_requests_are_kept_with_their_bytes(sim, claude):
    """What was asked can be read afterwards, parsed and as it came."""
    await claude.messages.create(**ASK)
    (seen,) = sim.requests
    assert (seen.number, seen.path, seen.key, seen.model) == (1, "/v1/messages", "claude-key", CLAUDE)
    assert seen.body["messages"] == ASK["messages"]
    assert b'"hello"' in seen.raw


async def test_connections_are_counted():
    """One session keeps its connection; another opens its own."""
    async with Simulator() as sim:
        for _ in range(2):
            async with aiohttp.ClientSession(sim.url) as session:
                for _ in range(3):
                    async with session.post("/v1/messages", json=ASK, headers=HEADERS) as response:
                        await response.read()
        assert (sim.connections, len(sim.requests), sim.requests[0].raw) == (2, 6, None)


async def test_hundreds_of_calls_at_once_are_all_answered():
    """A fan-out finds every connection accepted, and every call in the bill."""
    async with (
        Simulator() as sim,
        aiohttp.ClientSession(sim.url, connector=aiohttp.TCPConnector(limit=0)) as session,
    ):

        async def call() -> int:
            async with session.post("/v1/messages", json=ASK, headers=HEADERS) as response:
                return response.status

        assert await asyncio.gather(*(call() for _ in range(400))) == [200] * 400
        assert sim.bill.by_model("k")[CLAUDE].calls == 400


@pytest.mark.parametrize("pace", ["latency_seconds", "chunk_seconds"])
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_a_caller_who_goes_away_owes_the_input(pace, stream):
    """The server notices, stops generating, and bills the input and nothing that was not generated."""
    model = SimulatedModel(echo, **{pace: 60.0})
    async with Simulator({CLAUDE: model}) as sim, aiohttp.ClientSession(sim.url) as session:
        caller = asyncio.create_task(
            session.post("/v1/messages", json=ASK | {"stream": stream}, headers=HEADERS)
        )
        await becomes(sim, "open")
        if caller.done():
            caller.result().close()
        caller.cancel()
        await becomes(sim, "cancelled")
    (entry,) = sim.bill.entries()
    assert (entry.input_tokens, entry.output_tokens) == (8, 0)


async def becomes(sim: Simulator, why: str) -> None:
    """Wait until the only line of the bill stands at *why*."""
    async with asyncio.timeout(20):
        while [entry.why for entry in sim.bill.entries()] != [why]:  # noqa: ASYNC110 - a bill tells nobody
            await asyncio.sleep(0)


async def test_a_slow_model_takes_its_time_over_each_chunk():
    """A paced stream arrives piece by piece and says the same."""
    model = SimulatedModel(echo, latency_seconds=0.001, chunk_seconds=0.001)
    question = {"role": "user", "content": "word " * 40}
    async with (
        Simulator({CLAUDE: model}) as sim,
        anthropic.AsyncAnthropic(base_url=sim.url, api_key="k", max_retries=0) as client,
    ):
        events = [
            e async for e in await client.messages.create(**{**ASK, "messages": [question]}, stream=True)
        ]
    deltas = [event.delta.text for event in events if event.type == "content_block_delta"]
    assert ("".join(deltas), len(deltas)) == ("word " * 40, 5)
    (entry,) = sim.bill.entries()
    assert (entry.why, entry.output_tokens) == ("answered", 52)


async def test_a_script_that_fails_is_a_500_and_not_billed():
    """A bug in a script is told to the client and costs nothing."""

    def broken(asked) -> Reply:
        raise LookupError("no line")

    async with Simulator({CLAUDE: broken}) as sim, aiohttp.ClientSession(sim.url) as session:
        async with session.post("/v1/messages", json=ASK, headers=HEADERS) as response:
            assert (response.status, "no line" in await response.text()) == (500, True)
        assert sim.bill.entries() == ()


@pytest.mark.parametrize("text", ["", "x"], ids=["empty", "short"])
async def test_an_empty_text_is_left_out(text):
    """Where a model says nothing there is no block of text that the next request would be refused for."""
    async with (
        Simulator({CLAUDE: lambda asked: Reply((Text(text),))}) as sim,
        anthropic.AsyncAnthropic(base_url=sim.url, api_key="k", max_retries=0) as client,
    ):
        got = await client.messages.create(**ASK)
    assert [block.text for block in got.content] == [text] * len(text)


def test_every_model_needs_a_price():
    """A script without a price is a mistake found before anything is served."""
    with pytest.raises(ConfigurationError, match="no price for nameless"):
        Simulator({"nameless": echo})


def test_a_simulator_runs_in_a_thread_of_its_own():
    """Code without an event loop reaches it, and the address is closed afterwards."""
    with running_simulator(Simulator()) as sim, urllib.request.urlopen(f"{sim.url}/v1/models") as answer:
        assert b"claude-haiku-5-5" in answer.read()
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"{sim.url}/v1/models")


async def test_a_taken_port_is_an_error():
    """Two simulators cannot share a port."""
    async with Simulator() as first:
        with pytest.raises(OSError, match="address already in use"):
            await Simulator(port=first.port).start()
        with (
            pytest.raises(OSError, match="address already in use"),
            running_simulator(Simulator(port=first.port)),
        ):
            pass


async def test_serving_forever_ends_when_cancelled():
    """The address is told once it is known; cancelling closes the server."""
    told: asyncio.Queue[Simulator] = asyncio.Queue()
    simulator = Simulator()
    task = asyncio.create_task(simulator.serve_forever(told.put_nowait))
    sim = await told.get()
    async with aiohttp.ClientSession(sim.url) as session, session.get("/models") as response:
        assert response.status == 200
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with aiohttp.ClientSession(sim.url) as session:
        with pytest.raises(aiohttp.ClientConnectionError):
            await session.get("/models")
