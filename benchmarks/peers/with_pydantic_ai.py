"""The job of ``caps.py`` with pydantic-ai: its own cost limit over one usage that all runs share."""

import asyncio
import json
import sys
from decimal import Decimal
from importlib.metadata import version

from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import RunUsage, UsageLimits


async def main(url: str, model: str, workers: int, cap_usd: str, output_tokens: int, prompt: str) -> None:
    """Run all workers at once and print how many answered."""
    provider = OpenAIProvider(base_url=url, api_key="key")
    agent = Agent(
        OpenAIChatModel(model, provider=provider), model_settings=ModelSettings(max_tokens=output_tokens)
    )

    @agent.tool_plain
    def look(place: str) -> str:
        """Look somewhere."""
        return f"nothing at {place}"

    limits = UsageLimits(cost_limit=Decimal(cap_usd), request_limit=None)
    shared = RunUsage()
    runs = [agent.run(f"{prompt} ({i})", usage=shared, usage_limits=limits) for i in range(workers)]
    ended = await asyncio.gather(*runs, return_exceptions=True)
    errors = {type(one).__name__ for one in ended if isinstance(one, BaseException)}
    answers = sum(not isinstance(one, BaseException) for one in ended)
    print(json.dumps({"version": version("pydantic-ai-slim"), "answers": answers, "errors": sorted(errors)}))


if __name__ == "__main__":
    url, model, workers, cap_usd, output_tokens, prompt = sys.argv[1:]
    asyncio.run(main(url, model, int(workers), cap_usd, int(output_tokens), prompt))
