"""Do many tasks under one lens, each by a worker of its own, and keep every result in a file.

In a copy of examples/shop, with a key or with `sunwell simulate`: python batch_to_a_file.py
"""

import asyncio

from sunwell import Agent, Budget, EphemeralLens, RunOptions, Task

LENS = EphemeralLens(constraints=("Answer in one sentence.",), task_scope="The shop")
TASKS = [
    Task(f"Say what the entity {name} is for", tools=("read_file", "search_files"))
    for name in ("customer", "product", "order")
]
OPTIONS = RunOptions(max_concurrent=2, budget=Budget(usd="0.50"))


async def main() -> None:
    async with Agent(delegation_model="haiku") as agent:
        results = await agent.batch(TASKS, lens=LENS, options=OPTIONS, results="results.jsonl")
    for result in results:  # in the order of the tasks
        print(result.task_id, result.status, result.bill.cost_usd, result.answer)
    print("in all:", results.run.bill.cost_usd, "- results.jsonl has them all, also after a crash")


asyncio.run(main())
