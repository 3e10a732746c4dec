"""Hosts: agents of pydantic-ai whose own model follows a script, and models on the simulator."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from pydantic_ai import Agent as Host
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models import Model
from pydantic_ai.models.anthropic import AnthropicModel as HostAnthropicModel
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.usage import RequestUsage

from sunwell import Agent, Price, PriceBook, Rates, RunOptions
from sunwell.adapters.pydantic_ai import Delegation, SharedBudget
from sunwell.models.anthropic_messages import AnthropicModel
from sunwell.models.connection import Connection
from sunwell.simulator import Simulator

SMART, CHEAP = "claude-opus-5-5", "claude-haiku-5-5"
TASK = "Generate CRUD endpoints for 5 entities"
FREE = PriceBook({"function/host": Price(Rates(Decimal(0), Decimal(0)))})
"""Prices with a host whose own model costs nothing, so that what is booked is what it delegates."""


def agent_at(sim: Simulator) -> Agent:
    """Return an agent of ours whose models are the scripted ones of *sim*."""
    smart, cheap = (AnthropicModel(one, Connection("anthropic", sim.url, "a-key")) for one in (SMART, CHEAP))
    return Agent(smart_model=smart, delegation_model=cheap)


def delegating(folder: Path, sim: Simulator, usd: Any = 1, **given: Any) -> Delegation[None]:
    """Return the capability of a host in *folder*; its options are delegated runs unless *given* has some."""
    options = given.pop("options", RunOptions(enable_delegation=True))
    budget = given.pop("budget", None) or SharedBudget(usd, prices=FREE)
    return Delegation(folder, budget, agent=agent_at(sim), options=options, **given)


def answer(*parts: Any, used: tuple[int, int] = (100, 50)) -> ModelResponse:
    """Return an answer of a host's model; texts are text."""
    made = [TextPart(part) if isinstance(part, str) else part for part in parts]
    finish = "tool_call" if any(isinstance(part, ToolCallPart) for part in made) else "stop"
    return ModelResponse(
        made, usage=RequestUsage(input_tokens=used[0], output_tokens=used[1]), finish_reason=finish
    )


def scripted(
    *lines: ModelResponse | Callable[[list[ModelMessage]], ModelResponse], name: str = "host"
) -> FunctionModel:
    """Return a model that gives *lines* in order."""
    left = list(lines)

    async def reply(messages: list[ModelMessage], _: AgentInfo) -> ModelResponse:
        line = left.pop(0)
        return line(messages) if callable(line) else line

    return FunctionModel(reply, model_name=name)


async def called(capability: Delegation[None], name: str, **arguments: Any) -> Any:
    """Have a host's model call a tool once, and return what it is told."""
    host = Host(scripted(answer(ToolCallPart(name, arguments)), answer("Done.")), capabilities=[capability])
    result = await host.run("Go on.")
    [told] = [
        part
        for message in result.all_messages()
        for part in message.parts
        if isinstance(part, ToolReturnPart) and part.tool_name == name
    ]
    return told.content


@asynccontextmanager
async def host_model(sim: Simulator, wire: str) -> AsyncIterator[Model]:
    """Open pydantic-ai's own model of a wire format at *sim*, and close its connections in the end."""
    openai = OpenAIProvider(base_url=sim.openai_url, api_key="a-key")
    made: dict[str, Callable[[], Model]] = {
        "messages": lambda: HostAnthropicModel(
            CHEAP, provider=AnthropicProvider(base_url=sim.url, api_key="a-key")
        ),
        "chat": lambda: OpenAIChatModel("gpt-6-luna", provider=openai),
        "responses": lambda: OpenAIResponsesModel("gpt-6-luna", provider=openai),
    }
    async with made[wire]() as model:
        yield model
