"""Let the smart model break a task down itself and hand all work to cheap workers.

In a copy of examples/shop, with a key or with `sunwell simulate`: python orchestrate.py
"""

import asyncio

from sunwell import Budget, Orchestrator, RunOptions, SessionContext


async def main() -> None:
    options = RunOptions(budget=Budget(usd="1"), max_concurrent=3)
    session = SessionContext.build(".", "Describe each module of the shop in one line", options=options)
    async with Orchestrator(smart_model="opus", delegation_model="haiku") as orchestrator:
        result = await orchestrator.run(session)
    print(result.answer)
    print(f"{result.status}, confidence {result.confidence}")
    for worker in result.workers:
        print(f"  {worker.status} ${worker.bill.cost_usd} {worker.task}")


asyncio.run(main())
