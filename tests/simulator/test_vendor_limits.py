"""The simulator's rate limits by the rules of vendors, over HTTP, with a model that keeps to them."""

import asyncio

import pytest

from sunwell.core.message import user
from sunwell.core.model import Request
from sunwell.errors import RateLimited
from sunwell.models.anthropic_messages import AnthropicModel
from sunwell.models.connection import Connection, close_clients
from sunwell.models.openai_chat import ChatModel
from sunwell.models.rate_limits import limiter_for
from sunwell.simulator import Simulator, VendorLimits

ASKED = Request(messages=[user("x")], max_output_tokens=8192)


@pytest.mark.parametrize("vendor", ["anthropic", "openai"])
async def test_600_calls_within_a_tier_do_not_wait(vendor) -> None:
    """200 workers of three calls, two million tokens a minute: nothing is refused, and nobody is held.

    With OpenAI's rule, the requested answers count in full: as many as the tier allows go at once.
    """
    calls = 3 if vendor == "anthropic" else 1
    limits = VendorLimits(vendor, 10_000, 2_000_000, 400_000)
    async with Simulator(limits=limits) as simulator:
        if vendor == "anthropic":
            model = AnthropicModel("claude-haiku-5-5", Connection("anthropic", simulator.url, "key"))
        else:
            model = ChatModel("gpt-6-luna", Connection("openai", simulator.openai_url, "key"))

        async def work() -> None:
            for _ in range(calls):
                await model.complete(ASKED)

        async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
            for _ in range(200):
                tasks.create_task(work())
        limiter = limiter_for(model.connection, model.model_id)
        assert (limits.taken, limits.refused) == (200 * calls, 0)
        lanes = {"requests", "tokens", "output"} if vendor == "anthropic" else {"requests", "tokens"}
        assert lanes <= set(limiter.told)
        assert limiter.told["tokens"].capacity == 2_000_000
        assert limiter.in_flight == 0
        await close_clients()


async def test_an_overloaded_vendor_refuses_with_529_and_is_not_billed() -> None:
    """The refusal is one for an overload, which may pass, and nothing is counted."""
    limits = VendorLimits("anthropic", 10_000, 2_000_000, 400_000, overloaded=(0.0, 60.0))
    async with Simulator(limits=limits) as simulator:
        model = AnthropicModel("claude-haiku-5-5", Connection("anthropic", simulator.url, "key"))
        with pytest.raises(RateLimited, match="529") as caught:
            await model.complete(ASKED)
        assert (caught.value.retry, caught.value.may_be_billed) == (True, False)
        assert simulator.bill.total_usd() == 0
        await close_clients()
