"""Ask what a task would cost, and run it only if that is little. The estimate asks no model.

In a copy of examples/shop, with a key or with `sunwell simulate`: python estimate_first.py
"""

import asyncio
from decimal import Decimal

from sunwell import Agent, Budget, RunOptions, SessionContext, forecast

AT_MOST_USD = Decimal("0.20")


async def main() -> None:
    options = RunOptions(
        enable_delegation=True,
        smart_model="opus",
        delegation_model="haiku",
        budget=Budget(usd=AT_MOST_USD),  # an estimate may be wrong; a budget holds
    )
    session = SessionContext.build(".", "Generate CRUD endpoints for 5 entities", options=options)
    expected_usd = forecast(session).chosen.expected_usd
    print(f"expected: ${expected_usd}")
    if expected_usd is None or expected_usd > AT_MOST_USD:  # None: nobody knows a price
        return
    async with Agent() as agent:
        result = await agent.run(session)
    print(f"{result.status}: ${result.bill.cost_usd}")


asyncio.run(main())
