"""What clients of the vendors get: an answer, its bill, and the same run as that of a command."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from sunwell.context.session import SessionContext
from sunwell.report.figures import exact
from sunwell.simulator import Simulator
from tests.serve.endpoint.serving import PAIR, TASK, PlainSettings, replied, served, shop

WIRES = ("chat", "responses", "messages")


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("wire", WIRES)
async def test_a_request_is_the_run_of_a_command(
    root: Path, tmp_path: Path, simulator: Simulator, wire: str, streams: bool
) -> None:
    """The same models are asked as often, and the bill has the same digits in all its places."""
    other = PlainSettings.of(shop(tmp_path / "typed"), **PAIR, budget_usd=1)
    async with other.agent() as agent:
        ran = await agent.run(SessionContext.build(tmp_path / "typed" / "shop", TASK, other.options))
    paid, asked = simulator.bill.total_usd(), len(simulator.requests)
    async with served(root) as endpoint:
        text, answer = await replied(endpoint, wire, [user(TASK)], stream=streams)
        [key, _] = endpoint.keys.values()
        assert (key.purse.spent_usd, key.purse.out_usd) == (paid, 0)
    assert text == ran.answer
    assert simulator.bill.total_usd() == 2 * paid
    assert len(simulator.requests) == 2 * asked
    assert Decimal(str(answer.usage.cost)) == paid == ran.bill.cost_usd
    about: dict[str, Any] = answer.sunwell
    assert (about["cost_usd"], about["status"], about["stop_reason"]) == (exact(paid), "ok", "end")
    assert about["files"] == [one.path for one in ran.files] != []
    usage = ran.bill.usage
    names = ("prompt_tokens", "completion_tokens") if wire == "chat" else ("input_tokens", "output_tokens")
    told = [getattr(answer.usage, name) for name in names]
    whole_input = usage.uncached_input_tokens if wire == "messages" else usage.input_tokens
    assert told == [whole_input, usage.output_tokens]
