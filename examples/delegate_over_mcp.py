"""What a host does: start Sunwell as an MCP server, delegate a task to it, and find the run again by its id.

In a copy of examples/shop, with a key or with `sunwell simulate`: python delegate_over_mcp.py
It needs the package mcp: pip install 'sunwell[mcp]'.
"""

import asyncio
import os
import sys

from mcp import Client, StdioServerParameters

MODELS = ["--smart-model", "opus", "--delegation-model", "haiku"]
SERVER = StdioServerParameters(
    command=sys.executable,
    args=["-m", "sunwell", "mcp", *MODELS, "--max-cost", "0.20"],  # the person who starts it sets the cap
    env=dict(os.environ),  # the key is in it
)


async def main() -> None:
    async with Client(SERVER) as client:
        task = {"task": "Generate CRUD endpoints for 5 entities", "max_cost_usd": 0.15}
        done = await client.call_tool("delegate", task)
        told = done.structured_content or {}
        print(f"{told['status']}: ${told['cost_usd']} of at most ${told['cap_usd']}")
        print(*(file["path"] for file in told["files"]), sep="\n")
        again = await client.call_tool("report", {"run_id": told["run_id"]})
        purse = (again.structured_content or {})["purse"]
        print(f"all runs: ${purse['spent_usd']} of ${purse['total_usd']}")


asyncio.run(main())
