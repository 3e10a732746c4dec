"""An endpoint in this process over HTTP on loopback, and the clients of the vendors."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import anthropic
import attrs
import openai

from sunwell.agent import Agent
from sunwell.agent.lifecycle.authority import CallerTerms
from sunwell.budget.ledger_protocol import Budget
from sunwell.config.resolution import Resolved, resolve
from sunwell.config.sources import Sources
from sunwell.context.options import Approve, RunOptions
from sunwell.gateway.retry import RetryPolicy
from sunwell.memory.conversation_store import ConversationStore, conversations_file
from sunwell.serve.endpoint.endpoint_app import Endpoint, door_error
from sunwell.serve.endpoint.requested_runs import ClientKey, RequestedRuns
from sunwell.serve.http_door import DoorLimits, HttpDoor

TASK = "Generate CRUD endpoints for 5 entities"
SHOP = Path(__file__).parents[3] / "examples" / "shop"
PAIR = {"smart_model": "opus", "delegation_model": "haiku"}
ONE = {"smart_model": "haiku", "delegation_model": "haiku", "model": "haiku"}
MODELS = {"sunwell": PAIR, "sunwell/haiku": {**ONE, "enable_delegation": False}}
TOKEN, OTHER = "the-token-of-the-test", "the-token-of-another"
LIMITS = DoorLimits(body_bytes=100_000, body_seconds=0.3)


def shop(folder: Path) -> Path:
    """Return a fresh copy of the example code base in *folder*."""
    place = folder / "shop"
    shutil.copytree(SHOP, place, ignore=shutil.ignore_patterns("__pycache__"))
    return place


@attrs.frozen
class PlainSettings:
    """Settings without a command line."""

    resolved: Resolved
    options: RunOptions
    warnings: tuple[str, ...] = ()
    attempts: int = 4
    """How often a model is asked before a call has failed."""

    @classmethod
    def of(cls, root: Path, *, attempts: int = 4, **settings: Any) -> "PlainSettings":
        """Return *settings* as they are typed for *root*."""
        made = resolve(Sources(root).read().load(**settings).values)
        return cls(made, made.options, attempts=attempts)

    def agent(self) -> Agent:
        """Return an agent with the configured models."""
        retry = RetryPolicy(attempts=self.attempts)
        return Agent(registry=self.resolved.registry, prices=self.resolved.prices, retry=retry)

    def terms(self, recorded: RunOptions, approve: Approve | None) -> CallerTerms:
        """Return terms with what is allowed here."""
        given = {"checks": self.options.checks} if self.options.checks else {}
        return CallerTerms(given=given, ceilings=Budget())


@attrs.frozen
class Served:
    """An endpoint that is open."""

    endpoint: Endpoint
    door: HttpDoor
    keys: dict[str, ClientKey]
    serving: "asyncio.Task[None]"

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.door.port}"

    def openai(self, token: str = TOKEN, **given: Any) -> openai.AsyncOpenAI:
        """Return OpenAI's own client."""
        return openai.AsyncOpenAI(base_url=f"{self.url}/v1", api_key=token, **{"max_retries": 0, **given})

    def anthropic(self, token: str = TOKEN, **given: Any) -> anthropic.AsyncAnthropic:
        """Return Anthropic's own client."""
        return anthropic.AsyncAnthropic(base_url=self.url, api_key=token, **{"max_retries": 0, **given})


@asynccontextmanager
async def served(
    root: Path, *, max_cost: str = "1", total: str = "10", beat_seconds: float = 10, **settings: Any
) -> AsyncIterator[Served]:
    """Serve *root* while the context is open."""
    warned: list[str] = []
    runs = RequestedRuns(
        root,
        lambda name: PlainSettings.of(root, **{**MODELS[name], **settings}),
        Decimal(max_cost),
        ConversationStore(conversations_file(), warn=warned.append),
    )
    endpoint = Endpoint(runs, tuple(MODELS), beat_seconds)
    keys = {token: ClientKey.of(token, Decimal(total)) for token in (TOKEN, OTHER)}
    door = HttpDoor(lambda names: endpoint.app(), keys, LIMITS, door_error, runs.close)
    door.open()
    serve = asyncio.create_task(door.serve())
    try:
        yield Served(endpoint, door, keys, serve)
    finally:
        await runs.stop()
        serve.cancel()
        with suppress(asyncio.CancelledError):
            await serve
    assert not warned


@attrs.frozen
class Streamed:
    """What a stream tells besides its text."""

    usage: Any
    sunwell: dict[str, Any]


async def replied(served: Served, wire: str, messages: list[dict[str, str]], **given: Any) -> tuple[str, Any]:
    """Return the text of an answer over *wire*, and all of it, or what its stream tells besides."""
    given = {"model": "sunwell", "stream": False, **given}
    if wire == "messages":
        async with served.anthropic() as client:
            return await _by_messages(client, {"max_tokens": 1000, "messages": messages, **given})
    async with served.openai() as client:
        if wire == "chat":
            return await _by_chat(client, {"messages": messages, **given})
        return await _by_responses(client, {"input": messages, **given})


async def _by_chat(client: Any, given: dict[str, Any]) -> tuple[str, Any]:
    if not given["stream"]:
        answer = await client.chat.completions.create(**given)
        return answer.choices[0].message.content, answer
    stream = await client.chat.completions.create(**given, stream_options={"include_usage": True})
    chunks = [chunk async for chunk in stream]
    text = "".join(one.choices[0].delta.content or "" for one in chunks if one.choices)
    return text, Streamed(chunks[-1].usage, next(one.sunwell for one in chunks if hasattr(one, "sunwell")))


async def _by_responses(client: Any, given: dict[str, Any]) -> tuple[str, Any]:
    if not given.pop("stream"):
        answer = await client.responses.create(**given)
        return answer.output_text, answer
    async with client.responses.stream(**given) as stream:
        answer = await stream.get_final_response()
    return answer.output_text, answer


async def _by_messages(client: Any, given: dict[str, Any]) -> tuple[str, Any]:
    if not given["stream"]:
        answer = await client.messages.create(**given)
        return answer.content[0].text, answer
    events = [event async for event in await client.messages.create(**given)]
    text = "".join(event.delta.text for event in events if event.type == "content_block_delta")
    end = next(event for event in events if event.type == "message_delta")
    return text, Streamed(end.usage, end.sunwell)
