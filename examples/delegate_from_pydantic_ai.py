"""What an agent of pydantic-ai does: share one budget with the tasks that it hands to Sunwell.

In a copy of examples/shop, with a key or with `sunwell simulate`: python delegate_from_pydantic_ai.py
It needs pydantic-ai: pip install 'sunwell[pydantic-ai]' 'pydantic-ai-slim[anthropic]'.
"""

import asyncio

from pydantic_ai import Agent

from sunwell import RunOptions
from sunwell.adapters.pydantic_ai import BudgetedModel, Delegation, SharedBudget

budget = SharedBudget(usd=1)  # for the host's own requests and for all that it delegates
work = RunOptions(smart_model="opus", delegation_model="haiku", enable_delegation=True)
host = Agent(
    BudgetedModel("anthropic:claude-sonnet-5-5", budget),
    capabilities=[Delegation(".", budget, options=work, max_cost_usd="0.50")],
)


async def main() -> None:
    async with host:
        result = await host.run("Generate CRUD endpoints for 5 entities")
    print(result.output)
    print(f"spent: ${budget.spent_usd} of ${budget.usd}")


asyncio.run(main())
