"""Messages with many calls of tools: what was said before them is read from the cache, over HTTP."""

import json
from itertools import pairwise
from pathlib import Path

import pytest

from sunwell.agent import Agent
from sunwell.context.options import RunOptions
from sunwell.context.session import SessionContext
from sunwell.core.message import Text, ToolCall
from sunwell.models.connection import close_clients
from sunwell.models.registry import ModelRegistry
from sunwell.simulator import Asked, Reply, Simulator
from sunwell.tools import tool
from tests.scenarios.test_bill import PROVIDERS, check_bill, model

CALLS, TURNS = 25, 4


@tool(repeatable=True)
async def look(place: str) -> str:
    """Look at a place."""
    return f"At {place} there is nothing to be seen but sand, and some stones that lie in a row." * 3


def looks_around(asked: Asked) -> Reply:
    """Call the tool many times in each message but the last."""
    turn = sum(message.role == "assistant" for message in asked.messages)
    if turn == TURNS:
        return Reply((Text("Sand and stones."),))
    places = [json.dumps({"place": f"place {turn} {number}"}) for number in range(CALLS)]
    return Reply(tuple(ToolCall(f"c{turn}_{n}", "look", place) for n, place in enumerate(places)))


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_message_with_many_calls_leaves_the_cache_in_use(provider: str, tmp_path: Path) -> None:
    """Each request reads from the cache what the one before it sent, however many blocks are new."""
    _, name = PROVIDERS[provider]
    async with Simulator({name: looks_around}) as sim:
        agent = Agent(model=model(sim, provider, name), tools=(look,), registry=ModelRegistry())
        options = RunOptions(tools=("look",))
        result = await agent.run(SessionContext.build(tmp_path, "Look around. " * 400, options))
        assert (result.status, result.turns) == ("ok", TURNS + 1)
        for before, entry in pairwise(sim.bill.entries()):
            assert entry.read_tokens >= 0.98 * before.input_tokens
        check_bill(result, sim)
    await close_clients()
