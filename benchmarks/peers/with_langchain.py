"""The job of ``caps.py`` with langchain: it limits calls, not money, so a cap in a middleware of its own.

Before each call the middleware looks at its usage callback, which adds up all runs, and ends at the cap.
"""

import asyncio
import json
import sys
from importlib.metadata import version
from typing import Any

from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware
from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI


class CapReached(Exception):
    """All runs together have used up the cap."""


class Cap(AgentMiddleware):
    """Raises before a call once all runs together have used up the cap."""

    def __init__(self, cap_usd: float, usage: UsageMetadataCallbackHandler) -> None:
        super().__init__()
        self.cap_usd, self.usage = cap_usd, usage

    async def abefore_model(self, state: Any, runtime: Any) -> None:
        """Add up what is known so far."""
        used = self.usage.usage_metadata.values()
        spent = sum(one["input_tokens"] * 2e-6 + one["output_tokens"] * 10e-6 for one in used)
        if spent >= self.cap_usd:
            raise CapReached(f"{spent} of {self.cap_usd}")


@tool
def look(place: str) -> str:
    """Look somewhere."""
    return f"nothing at {place}"


async def main(url: str, model: str, workers: int, cap_usd: str, output_tokens: int, prompt: str) -> None:
    """Run all workers at once and print how many answered."""
    chat = ChatOpenAI(
        model=model, base_url=url, api_key="key", max_tokens=output_tokens, use_responses_api=False
    )
    usage = UsageMetadataCallbackHandler()
    agent = create_agent(chat, [look], middleware=[Cap(float(cap_usd), usage)])
    config = {"callbacks": [usage], "recursion_limit": 100}
    asked = [{"messages": [{"role": "user", "content": f"{prompt} ({i})"}]} for i in range(workers)]
    ended = await asyncio.gather(*(agent.ainvoke(one, config) for one in asked), return_exceptions=True)
    errors = {type(one).__name__ for one in ended if isinstance(one, BaseException)}
    answers = sum(not isinstance(one, BaseException) for one in ended)
    print(json.dumps({"version": version("langchain"), "answers": answers, "errors": sorted(errors)}))


if __name__ == "__main__":
    url, model, workers, cap_usd, output_tokens, prompt = sys.argv[1:]
    asyncio.run(main(url, model, int(workers), cap_usd, int(output_tokens), prompt))
