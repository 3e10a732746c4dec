"""The job of ``caps.py`` with openai-agents: no cost limit of its own, so a cap in its hooks.

Before each call the hook adds up the usage of all runs so far and raises at the cap.
"""

import asyncio
import json
import sys
from importlib.metadata import version
from typing import Any

from agents import Agent, ModelSettings, OpenAIChatCompletionsModel, RunHooks, Runner, function_tool
from agents import set_tracing_disabled as disable_tracing
from openai import AsyncOpenAI


class CapReached(Exception):
    """All runs together have used up the cap."""


class Cap(RunHooks[Any]):
    """Adds up what all runs used."""

    def __init__(self, cap_usd: float, input_usd: float, output_usd: float) -> None:
        self.cap_usd, self.input_usd, self.output_usd = cap_usd, input_usd, output_usd
        self.spent_usd = 0.0

    async def on_llm_start(self, *_: Any, **__: Any) -> None:
        """Raise where the cap is reached."""
        if self.spent_usd >= self.cap_usd:
            raise CapReached(f"{self.spent_usd} of {self.cap_usd}")

    async def on_llm_end(self, context: Any, agent: Any, response: Any) -> None:
        """Add what the answer cost."""
        usage = response.usage
        self.spent_usd += usage.input_tokens * self.input_usd + usage.output_tokens * self.output_usd


@function_tool
def look(place: str) -> str:
    """Look somewhere."""
    return f"nothing at {place}"


async def main(url: str, model: str, workers: int, cap_usd: str, output_tokens: int, prompt: str) -> None:
    """Run all workers at once and print how many answered."""
    disable_tracing(True)
    client = AsyncOpenAI(base_url=url, api_key="key")
    settings = ModelSettings(max_tokens=output_tokens)
    asked = OpenAIChatCompletionsModel(model, client)
    agent = Agent("worker", model=asked, tools=[look], model_settings=settings)
    cap = Cap(float(cap_usd), 2e-6, 10e-6)
    runs = [Runner.run(agent, f"{prompt} ({i})", hooks=cap, max_turns=50) for i in range(workers)]
    ended = await asyncio.gather(*runs, return_exceptions=True)
    errors = {type(one).__name__ for one in ended if isinstance(one, BaseException)}
    answers = sum(not isinstance(one, BaseException) for one in ended)
    print(json.dumps({"version": version("openai-agents"), "answers": answers, "errors": sorted(errors)}))


if __name__ == "__main__":
    url, model, workers, cap_usd, output_tokens, prompt = sys.argv[1:]
    asyncio.run(main(url, model, int(workers), cap_usd, int(output_tokens), prompt))
