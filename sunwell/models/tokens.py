"""Token counts before a call: estimates to decide with, and upper bounds to reserve."""

import json
from collections.abc import Mapping
from functools import lru_cache, partial
from typing import Any, Literal

import attrs

from sunwell.core.message import History, Message
from sunwell.core.model import Effort, ModelProtocol, Request, ResponseSchema, ToolSpec
from sunwell.models.catalog import Api, is_openai, provider_of, spelled_alike, undated
from sunwell.models.http_model import HttpModel, Wire
from sunwell.models.openai_framing import (
    BEGINNING,
    Counted,
    Framing,
    Head,
    framing_of,
    head_of,
    step_over,
)
from sunwell.models.prices import provider_and_id
from sunwell.models.vocabulary import can_load, load_in_thread

ALLOWANCES_DATE = "2026-11-21"
"""ISO day on which the tables of this module were last checked."""

_BYTES_PER_TOKEN = 4
_TOKENS_PER_TOOL = 32  # names and brackets that a provider adds for each tool

_ALLOWANCES_TOKENS = {
    "anthropic": 1_024,  # tool prompts of 159 to 530 tokens were seen on Claude 3: twice the largest
    "openai": 512,  # templates and hidden instructions of a few dozen tokens, with room for longer ones
}
_LARGEST_ALLOWANCE_TOKENS = max(_ALLOWANCES_TOKENS.values())

_LEAST_CACHEABLE_TOKENS = {
    "claude-opus-5-5": 512,
    "claude-sonnet-5-5": 512,
    "claude-haiku-5-5": 512,
    "claude-opus-5": 512,
    "claude-fable-5": 512,
    "claude-sonnet-5": 1_024,
    "claude-haiku-4-5": 4_096,
    "gpt-5-6-luna": 1_024,
    "gpt-5-6-sol": 1_024,
    "gpt-5-6-terra": 1_024,
    "gpt-6-astra": 1_024,
    "gpt-6-luna": 1_024,
    "gpt-6-sol": 1_024,
    "gpt-6-1-sol": 1_024,
    "gpt-6-1-terra": 1_024,
}
_ASSUMED_CACHEABLE_TOKENS = 4_096
_CACHE_LIFE_SECONDS = {"openai": 1_800.0}
_SHORTEST_CACHE_LIFE_SECONDS = 300.0


def estimate_tokens(text: str) -> int:
    """Return an estimate of the tokens in *text*: its UTF-8 bytes divided by 4, rounded up.

    Use it to decide, never to reserve. Compared with a real tokenizer (o200k), the median ratio is
    between 0.76 and 1.08 by kind of file; single files are between 0.39 and 1.25.
    """
    return -(-len(text.encode("utf-8", "surrogatepass")) // _BYTES_PER_TOKEN)


def allowance_tokens(provider: str | None, model_id: str) -> int:
    """Return an upper bound on the input tokens that a provider adds to a request.

    Providers add instructions for tools, chat templates and so on to a prompt and bill them. The
    figures are from a table of :data:`ALLOWANCES_DATE` by provider, with a margin. For a provider that
    is not in it, or is unknown even from *model_id*, the largest figure is used.
    """
    known = (provider or provider_of(model_id) or "").lower()
    return _ALLOWANCES_TOKENS.get(known, _LARGEST_ALLOWANCE_TOKENS)


def input_bound_tokens(model: ModelProtocol, request: Request) -> int:
    """Return an upper bound on the input tokens that *model*'s provider can bill for *request*.

    It is the model's own bound if it has ``input_bound_tokens(request)``. Otherwise it is the size of
    the request in bytes, since no token is shorter than a byte, plus the allowance for what the
    provider adds. A tokenizer that rewrites rare characters into longer text can exceed it.
    """
    own = getattr(model, "input_bound_tokens", None)
    if callable(own):
        return int(own(request))
    provider, model_id = provider_and_id(model)
    added = allowance_tokens(provider, model_id) + _TOKENS_PER_TOOL * len(request.tools)
    return request.size_bytes + added


def tokenizer_bound(model: ModelProtocol, request: Request) -> int | None:
    """Return a bound on the input tokens of *request* by the tokenizer of *model*; ``None``: unknown.

    It includes what the provider writes around messages, tools and schema. Only models at OpenAI's own
    address are known, and only those whose recorded answers show all of that, see
    :mod:`sunwell.models.openai_framing`. A request with anything else in it, for example encrypted reasoning
    or parallel calls, has no such bound. In a conversation that grows, each message is counted once.

    The first call loads the vocabulary, a quarter of a second; :func:`load_tokenizer` does it beforehand.
    """
    framing = _framing(model)
    if framing is None:
        return None
    wire, model_id = model.wire, model.model_id  # type: ignore[attr-defined]
    tuned = model.tuning.applied(request)  # type: ignore[attr-defined]
    given = (tuned.system, tuned.tools, tuned.tool_choice, tuned.response_schema, tuned.effort)
    head = _head(wire, model_id, *given)
    if head is None:
        return None
    start: Counted | None = BEGINNING
    counted = request.messages.folded((wire, model_id), start, partial(_step, framing, wire, model_id))
    return head.total(framing, counted)


def has_tokenizer(model: ModelProtocol) -> bool:
    """Whether :func:`tokenizer_bound` knows *model*, though not each request to it."""
    return _framing(model) is not None


async def load_tokenizer(model: ModelProtocol) -> None:
    """Load what :func:`tokenizer_bound` needs for *model*, if anything, while the event loop goes on."""
    framing = _framing(model)
    if framing is not None:
        await load_in_thread(framing.vocabulary)


def _framing(model: ModelProtocol) -> Framing | None:
    # The path first: it rules most models out, and each call asks.
    if getattr(getattr(model, "wire", None), "path", None) not in _APIS:
        return None
    if not isinstance(model, HttpModel) or not is_openai(model.connection):
        return None
    return framing_of(model.model_id) if can_load() else None


_APIS: Mapping[str, Api] = {"/chat/completions": "chat", "/responses": "responses"}


@lru_cache(maxsize=64)
def _head(
    wire: Wire,
    model_id: str,
    system: tuple[str, ...],
    tools: tuple[ToolSpec, ...],
    tool_choice: Literal["auto", "none"],
    response_schema: ResponseSchema | None,
    effort: Effort | None,
) -> Head | None:
    """Return the tokens of all but the conversation: from the body itself, so that nothing is forgotten."""
    request = Request(
        History(), system, tools, tool_choice=tool_choice, response_schema=response_schema, effort=effort
    )
    body = _body(wire, model_id, request)
    framing, api = framing_of(model_id), _APIS[wire.path]
    assert framing is not None
    counted: Counted | None = BEGINNING
    for item in _items(body):
        counted = step_over(framing, api, counted, item)
    head = head_of(framing, api, body)
    return (
        None if head is None or counted is None else attrs.evolve(head, tokens=head.tokens + counted.tokens)
    )


def _step(
    framing: Framing, wire: Wire, model_id: str, before: Counted | None, message: Message
) -> Counted | None:
    if before is None:
        return None
    counted: Counted | None = before
    for item in _items(_body(wire, model_id, Request(History((message,))))):
        counted = step_over(framing, _APIS[wire.path], counted, item)
    return counted


def _body(wire: Wire, model_id: str, request: Request) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(b"".join(wire.encode(model_id, request, streaming=True)))
    return body


def _items(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = body["messages"] if "messages" in body else body["input"]
    return items


def least_cacheable_tokens(model_id: str) -> tuple[int, bool]:
    """Return the shortest prefix that the provider's cache stores, and whether that is only assumed.

    A date at the end of an id is ignored. For models that are not in the table of
    :data:`ALLOWANCES_DATE`, 4,096 tokens are assumed, the largest known minimum.
    """
    known = _LEAST_CACHEABLE_TOKENS.get(undated(spelled_alike(model_id)))
    return (_ASSUMED_CACHEABLE_TOKENS, True) if known is None else (known, False)


def cache_life_seconds(provider: str | None, model_id: str) -> float:
    """Return how long the provider's cache keeps an entry after its last read, by default.

    For a provider that is not in the table of :data:`ALLOWANCES_DATE`, the shortest known life is used.
    """
    known = (provider or provider_of(model_id) or "").lower()
    return _CACHE_LIFE_SECONDS.get(known, _SHORTEST_CACHE_LIFE_SECONDS)
