"""The job of ``siblings.py`` with openai-agents: an agent with instructions, on OpenAI's wire alone.

It has no way to set a breakpoint in the instructions; *marked* adds the key that routes to one cache.
"""

from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Any

from agents import Agent, ModelSettings, OpenAIChatCompletionsModel, Runner
from agents import set_tracing_disabled as disable_tracing
from openai import AsyncOpenAI
from sibling_job import Job, do


def work(job: Job) -> Callable[[str], Awaitable[Any]]:
    """Return what asks one question."""
    disable_tracing(True)
    model = OpenAIChatCompletionsModel(job.model, AsyncOpenAI(base_url=job.url, api_key="key"))
    settings = ModelSettings(extra_args={"prompt_cache_key": "siblings"} if job.marked else None)
    agent = Agent("worker", instructions=job.system, model=model, model_settings=settings)
    return lambda question: Runner.run(agent, question)


if __name__ == "__main__":
    do(version("openai-agents"), work)
