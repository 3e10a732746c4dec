"""The job of ``siblings.py`` with pydantic-ai: an agent with instructions, and its own cache settings."""

from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Any

from pydantic_ai import Agent
from pydantic_ai.models.anthropic import AnthropicModel, AnthropicModelSettings
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIChatModelSettings
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider
from sibling_job import Job, do


def work(job: Job) -> Callable[[str], Awaitable[Any]]:
    """Return what asks one question."""
    model: Any
    settings: Any
    if job.provider == "anthropic":
        model = AnthropicModel(job.model, provider=AnthropicProvider(base_url=job.url, api_key="key"))
        settings = AnthropicModelSettings(anthropic_cache_instructions=job.marked)
    else:
        model = OpenAIChatModel(job.model, provider=OpenAIProvider(base_url=job.url, api_key="key"))
        settings = OpenAIChatModelSettings()
        if job.marked:
            settings = OpenAIChatModelSettings(
                openai_cache_instructions=True, openai_prompt_cache_key="siblings"
            )
    return Agent(model, instructions=job.system, model_settings=settings).run


if __name__ == "__main__":
    do(version("pydantic-ai-slim"), work)
