"""A model that its server does not list is found before it is asked."""

import pytest

from sunwell.models.anthropic_messages import AnthropicModel
from sunwell.models.connection import Connection
from sunwell.models.openai_chat import ChatModel
from sunwell.models.providers import unlisted
from sunwell.simulator import Simulator


def model_of(kind, model_id, simulator):
    if kind == "anthropic":
        return AnthropicModel(model_id, Connection("anthropic", simulator.url, "key-of-x"))
    return ChatModel(model_id, Connection("openai", simulator.openai_url, "key-of-x"))


@pytest.mark.parametrize(
    ("kind", "model_id", "nearest"),
    [
        pytest.param("anthropic", "claude-haiku-5-5", "listed", id="anthropic"),
        pytest.param("anthropic", "claude-haiku-5-5-20260901", "listed", id="with-date"),
        pytest.param("openai", "gpt-6-luna", "listed", id="openai"),
        pytest.param("openai", "gpt-6-lunar", "gpt-6-luna", id="misspelled"),
        pytest.param("anthropic", "claude-haku-5-5", "claude-haiku-5-5", id="misspelled-claude"),
        pytest.param("openai", "zzz", None, id="nothing-near"),
    ],
)
async def test_an_id_is_held_against_the_servers_list(kind, model_id, nearest):
    """Nothing is billed, and the nearest listed name is told."""
    async with Simulator() as simulator:
        found = await unlisted(model_of(kind, model_id, simulator))
        assert simulator.requests == ()
    if nearest == "listed":
        assert found is None
    else:
        assert found is not None
        assert found.nearest == nearest
        assert model_id in found.sentence


async def test_a_server_that_says_nothing_is_believed():
    """Down, without a list, with another answer: the first call will tell."""
    model = ChatModel("x", Connection("lab", "http://127.0.0.1:9/v1", "key-of-x", connect_seconds=0.5))
    assert await unlisted(model) is None
