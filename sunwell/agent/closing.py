"""The last call of work that met a limit: no tools, inside the limit, from a reserve kept for it."""

from decimal import Decimal

import attrs

from sunwell.core.history import History
from sunwell.core.message import Message, Text, ToolResult, user
from sunwell.core.model import ModelProtocol, Request
from sunwell.core.task import StopReason
from sunwell.gateway.attempt import claim_for
from sunwell.models.prices import PriceBook

CLOSING_OUTPUT_TOKENS = 1024
CLOSING_HISTORY_BYTES = 24_000
"""What of the conversation the closing call may show the model; the newest comes first."""
CLOSING_SECONDS = 30.0
_TIME_SHARE = 0.1
_OMITTED = "(Earlier steps are left out here.)"

_REASONS: dict[str, str] = {
    "budget_usd": "the money for this task is used up",
    "budget_tokens": "the tokens for this task are used up",
    "calls": "the number of model calls for this task is used up",
    "turns": "the number of turns for this task is used up",
    "timeout": "the time for this task is up",
}


def closing_seconds(limit_seconds: float) -> float:
    """Return the part of a time limit that is kept for the closing call."""
    return min(CLOSING_SECONDS, limit_seconds * _TIME_SHARE)


def closing_request(request: Request, reason: StopReason) -> Request:
    """Return the closing call for work whose next request would have been *request*.

    It keeps system prompt and tools, so that a cached prefix stays of use, and forbids calls.
    """
    why = _REASONS.get(reason, "a limit of this task is reached")
    text = (
        f"Stop here: {why}. No tool can be called any more. Say now, from what is above, what was done, "
        "what the answer to the task is as far as it is known, and what is missing."
    )
    return attrs.evolve(
        request,
        messages=_newest(request.messages).plus(user(text)),
        tool_choice="none",
        max_output_tokens=CLOSING_OUTPUT_TOKENS,
        response_schema=None,
    )


def closing_reserve(model: ModelProtocol, request: Request, prices: PriceBook) -> tuple[int, Decimal | None]:
    """Return the tokens and dollars that the closing call after *request* can need at most."""
    claim = claim_for(model, closing_request(request, "budget_usd"), prices.price(model), closing=True)
    tokens = claim.input_tokens + claim.max_output_tokens
    if claim.input_usd is None or claim.output_usd_per_token is None:
        return tokens, None
    return tokens, claim.input_usd + claim.max_output_tokens * claim.output_usd_per_token


def _newest(history: History) -> History:
    """Return the first message and as many of the newest as the closing call may show."""
    if history.size_bytes <= CLOSING_HISTORY_BYTES:
        return history
    kept: list[Message] = []
    room = CLOSING_HISTORY_BYTES
    for message in reversed(history[1:]):
        room -= History([message]).size_bytes
        if room < 0:
            break
        kept.append(message)
    while kept and kept[-1].role != "assistant":  # results need the calls that they answer
        kept.pop()
    first = history[0]
    opening = Message(first.role, (*first.parts, Text(f"\n\n{_OMITTED}")))
    return History([opening, *reversed(kept)])


def unanswered(message: Message, why: str) -> Message:
    """Return results for calls of *message* that were never carried out."""
    return Message("tool", tuple(ToolResult(call.id, why, is_error=True) for call in message.tool_calls))
