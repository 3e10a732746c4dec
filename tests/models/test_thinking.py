"""Thinking on Anthropic's format: in the form that the model takes, with room for the answer."""

import json

import httpx2
import pytest

from sunwell.core.message import user
from sunwell.core.model import Request
from sunwell.models.anthropic_messages import AnthropicModel
from sunwell.models.connection import Connection
from sunwell.models.http_model import Tuning
from sunwell.simulator import Simulator, echo

ADAPTIVE = {"type": "adaptive"}
NO_ADAPTIVE = "adaptive thinking is not supported on this model"
NO_BUDGET = (
    '"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive" and '
    '"output_config.effort" to control thinking behavior.'
)


async def sent(model_id: str, thinking_tokens: int | None, limit: int | None, *refusals: str) -> list[object]:
    """Return what is sent as ``thinking`` in each request, until one is not refused."""
    bodies, left = [], list(refusals)

    def answer(request: httpx2.Request) -> httpx2.Response:
        bodies.append(json.loads(request.content))
        if left:
            error = {"type": "invalid_request_error", "message": left.pop(0)}
            return httpx2.Response(400, json={"type": "error", "error": error})
        usage = {"input_tokens": 5, "output_tokens": 1}
        content = [{"type": "text", "text": "yes"}]
        return httpx2.Response(200, json={"content": content, "stop_reason": "end_turn", "usage": usage})

    connection = Connection("lab", "http://lab.test", "key", transport=lambda: httpx2.MockTransport(answer))
    model = AnthropicModel(model_id, connection, tuning=Tuning(thinking_tokens=thinking_tokens))
    for _ in refusals:
        with pytest.raises(Exception, match="rejects the request") as caught:
            await model.complete(Request([user("hi")], max_output_tokens=limit))
        assert caught.value.is_changed  # the gateway asks again at once
    await model.complete(Request([user("hi")], max_output_tokens=limit))
    return [body.get("thinking") for body in bodies]


@pytest.mark.parametrize(
    ("wanted", "limit", "budget"),
    [
        pytest.param(4_000, 16_000, 4_000, id="as-it-was-set"),
        pytest.param(6_000, 8_000, 6_000, id="just-fits"),
        pytest.param(10_000, 7_000, 5_250, id="a-quarter-is-for-the-answer"),
        pytest.param(500, 8_000, 1_024, id="the-least-that-is-accepted"),
        pytest.param(4_000, 2_048, 1_024, id="least-of-both"),
        pytest.param(4_000, 2_047, None, id="no-room"),
        pytest.param(4_000, 1, None, id="one-token"),
    ],
)
async def test_a_budget_leaves_room_for_the_answer(wanted, limit, budget):
    """An answer of one token is none."""
    if budget is None:
        assert await sent("claude-haiku-4-5", wanted, limit) == [None]
        return
    asked = {"type": "enabled", "budget_tokens": budget}
    assert await sent("claude-haiku-4-5", wanted, limit, NO_ADAPTIVE) == [ADAPTIVE, asked]


async def test_a_current_model_decides_itself_how_much_it_thinks():
    """The budget is room in the answer; without one, nothing is said of thinking."""
    assert await sent("claude-opus-5-5", 4_000, 16_000) == [ADAPTIVE]
    assert await sent("claude-opus-5-5", None, 16_000) == [None]


async def test_the_other_form_is_learned_from_a_refusal():
    """Whatever the model is called: older ones know only a budget, and some do not think."""
    budget = {"type": "enabled", "budget_tokens": 4_000}
    assert await sent("claude-haiku-4-5", 4_000, 16_000, NO_ADAPTIVE) == [ADAPTIVE, budget]
    assert await sent("some-model", 4_000, 16_000, NO_ADAPTIVE, NO_BUDGET) == [ADAPTIVE, budget, None]


@pytest.mark.parametrize("model_id", ["claude-haiku-5-5", "claude-opus-5-5"])
async def test_a_provider_that_checks_the_form_answers(model_id):
    """The simulator refuses what the provider refuses."""
    async with Simulator({model_id: echo}) as simulator:
        connection = Connection("anthropic", simulator.url, "key")
        model = AnthropicModel(model_id, connection, tuning=Tuning(thinking_tokens=4_000))
        completion = await model.complete(Request([user("hi")], max_output_tokens=8_000))
        assert completion.text == "hi"
        assert [request.body["thinking"] for request in simulator.requests] == [ADAPTIVE]
