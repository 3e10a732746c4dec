"""What workers cost that a model starts together: the prompt that they share is written to the cache once."""

from decimal import Decimal

import pytest

from sunwell.agent.loop import AgentLoop, LoopConfig
from sunwell.context.options import DelegationTools
from sunwell.core import Text
from sunwell.events import RunFinished
from sunwell.simulator import Asked, Billing, InProcessModel, Reply, loop_time
from sunwell.simulator.simulated_prices import PRICES
from sunwell.testing import ScriptedModel, run_virtual
from sunwell.tools import tool
from tests.agent.orchestrated import call

SYSTEM = "Say what the function gives back, in one plain sentence. " * 220
QUERIES = [f"What does function {number} give back?" for number in range(5)]


@tool(parallel=True, repeatable=True)
async def look(place: str) -> str:
    """Look somewhere."""
    return f"nothing at {place}"


def _answer(asked: Asked) -> Reply:
    return Reply((Text("It gives back the price."),))


def input_usd(kind: DelegationTools, tools: tuple[object, ...]) -> tuple[Decimal, Decimal]:
    """Return what the input of five workers cost, and the least that the cache's rules allow."""
    if kind == "rlm":
        queries = [{"query": query, "max_tokens": 500} for query in QUERIES]
        lines = [call("rlm_batch_complete", queries=queries, max_parallel=10, total_budget=None), "Done."]
    else:
        tasks = [{"task": query, "tools": None} for query in QUERIES]
        waits = call("await_results", task_ids=None, timeout_seconds=None)
        lines = [call("delegate_batch", tasks=tasks), waits, "Done."]

    async def main() -> Billing:
        billing = Billing(clock=loop_time)
        worker = InProcessModel("claude-haiku-5-5", _answer, billing, latency_seconds=2.0)
        config = LoopConfig(delegation_tools=kind, max_concurrent=10)
        loop = AgentLoop(ScriptedModel("boss", lines), config=config, delegation_model=worker)
        async for event in loop.run("Describe five functions", tools=tools, system_prompt=SYSTEM):
            if isinstance(event, RunFinished):
                assert event.result.success
                assert [one.status for one in event.result.workers] == ["ok"] * len(QUERIES)
        return billing

    entries = run_virtual(main()).entries()
    rates = PRICES["claude-haiku-5-5"].rates
    prefix = max(one.read_tokens for one in entries)
    paid = least = Decimal(0)
    for one in entries:
        written = one.write_tokens + one.write_1h_tokens
        paid += one.uncached_tokens * rates.input_usd
        paid += one.read_tokens * rates.read_usd + written * rates.write_usd
        least += (one.input_tokens - prefix) * rates.input_usd + prefix * rates.read_usd
    return paid, least + prefix * (rates.write_usd - rates.read_usd)


@pytest.mark.parametrize("kind", ["rlm", "delegate"])
@pytest.mark.parametrize(
    ("tools", "most"), [((), Decimal("1.01")), ((look,), Decimal("1.03"))], ids=["bare", "tools"]
)
def test_five_workers_of_one_call_pay_for_their_prompt_once(kind, tools, most) -> None:
    """With tools, the tasks of the first are written, too: nobody knows yet that one turn is enough."""
    paid, least = input_usd(kind, tools)
    assert least <= paid <= least * most, paid / least
