"""Watch a run as it happens: events are frozen values, matched by type.

In a copy of examples/shop, with a key or with `sunwell simulate`: python watch_events.py
"""

import asyncio

from sunwell import Agent, DelegationStarted, ModelCallFinished, RunFinished, RunOptions, SessionContext
from sunwell.events import EphemeralLensCreated, ToolCallFinished


async def main() -> None:
    options = RunOptions(enable_delegation=True, smart_model="opus", delegation_model="haiku")
    session = SessionContext.build(".", "Generate CRUD endpoints for 5 entities", options=options)
    async with Agent() as agent, agent.run(session) as events:  # leaving early would stop the run
        async for event in events:
            match event:
                case DelegationStarted(reason=reason):
                    print("delegated:", reason)
                case EphemeralLensCreated(constraints_count=count, cost_usd=cost):
                    print(f"a lens with {count} constraints, ${cost}")
                case ModelCallFinished(model=model, purpose=purpose, cost_usd=cost):
                    print(f"  {model} {purpose} ${cost}")
                case ToolCallFinished(tool=tool, changed=changed):
                    print(f"  {tool}", *changed)
                case RunFinished(result=result):
                    print(result.status, f"${result.bill.cost_usd}")


asyncio.run(main())
