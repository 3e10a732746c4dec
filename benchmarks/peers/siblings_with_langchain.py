"""The job of ``siblings.py`` with langchain: an agent with a system prompt, and its caching middleware."""

from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Any

from langchain.agents import create_agent
from langchain_anthropic import ChatAnthropic
from langchain_anthropic.middleware.prompt_caching import AnthropicPromptCachingMiddleware
from langchain_core.messages import SystemMessage
from langchain_openai import ChatOpenAI
from sibling_job import Job, do


def work(job: Job) -> Callable[[str], Awaitable[Any]]:
    """Return what asks one question."""
    chat: Any
    system: Any = job.system
    middleware: list[Any] = []
    if job.provider == "anthropic":
        chat = ChatAnthropic(model=job.model, base_url=job.url, api_key="key")
        if job.marked:
            middleware = [AnthropicPromptCachingMiddleware()]
    else:
        chat = ChatOpenAI(model=job.model, base_url=job.url, api_key="key", use_responses_api=False)
        if job.marked:
            part = {"type": "text", "text": job.system, "prompt_cache_breakpoint": {"mode": "explicit"}}
            system = SystemMessage([part])
    agent = create_agent(chat, [], system_prompt=system, middleware=middleware)
    return lambda question: agent.ainvoke({"messages": [{"role": "user", "content": question}]})


if __name__ == "__main__":
    do(version("langchain"), work)
