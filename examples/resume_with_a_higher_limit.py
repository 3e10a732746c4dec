"""Let a run meet its limit, and go on with a higher one: no answered call is asked again.

In a copy of examples/shop, with a key or with `sunwell simulate`: python resume_with_a_higher_limit.py
"""

import asyncio

from sunwell import Agent, Budget, RunOptions, SessionContext


async def main() -> None:
    options = RunOptions(model="opus", budget=Budget(turns=3))
    session = SessionContext.build(".", "Generate CRUD endpoints for 5 entities", options=options)
    async with Agent() as agent:
        first = await agent.run(session)
        print(first.status, first.stop_reason, f"${first.bill.cost_usd}")

        # In this process or in another, today or next week: the record is below .sunwell/runs.
        second = await agent.resume(first.run_id, budget=Budget(turns=50))
        print(second.status, second.stop_reason, f"${second.bill.cost_usd}, the first part included")


asyncio.run(main())
