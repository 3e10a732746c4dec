"""The last call of work that met a limit: no tools, inside the limit, from a reserve kept for it."""

from collections.abc import Callable
from decimal import Decimal

import attrs

from sunwell.agent.prompts import STEPS_OMITTED, closing_text
from sunwell.core.message import History, Message, Part, Text, ToolResult, user
from sunwell.core.model import CacheLife, Caching, Effort, ModelProtocol, Request
from sunwell.core.price import Price
from sunwell.core.task import StopReason
from sunwell.models.dialects import sent_effort
from sunwell.models.room import own_output_tokens
from sunwell.models.tokens import input_bound_tokens

CLOSING_OUTPUT_TOKENS = 1024
CLOSING_WORDS = 500
"""What the model is told: less than the limit, since a word may take two tokens."""
CLOSING_HISTORY_BYTES = 24_000
"""What of the conversation the closing call may show the model; the newest comes first."""
CLOSING_SECONDS = 30.0
_TIME_SHARE = 0.1
_LEAST_BYTES = 4_000
_GROWTH_BYTES = 2_000
_TEXT_BYTES = 600
_PER_MILLION = Decimal(1_000_000)


ClosingText = Callable[[str, int], str]
"""What is said at a limit, by the reason and the words that the answer may have."""


@attrs.frozen
class ClosingWords:
    """What is said in the closing call of work that is no usual task."""

    text: ClosingText
    most: int
    """Words that what is left of the budget pays for."""


def closing_words(tokens: float) -> int:
    """Return how many words are asked for where an answer of *tokens* can be paid, at least 25."""
    return max(25, CLOSING_WORDS * min(int(tokens), CLOSING_OUTPUT_TOKENS) // CLOSING_OUTPUT_TOKENS)


def closing_seconds(limit_seconds: float | None) -> float:
    """Return the part of a time limit that is kept for the closing call."""
    if limit_seconds is None:
        return 0.0
    return min(CLOSING_SECONDS, limit_seconds * _TIME_SHARE)


def closing_request(
    request: Request,
    reason: StopReason,
    history_bytes: int,
    delivered: str = "",
    most_tokens: int = CLOSING_OUTPUT_TOKENS,
    words: ClosingWords | None = None,
) -> Request:
    """Return the closing call for work whose next request would have been *request*.

    It keeps system prompt and tools, and forbids calls. Of the conversation it shows the first message and
    about *history_bytes* of the newest; *delivered* is what came of work that was handed out, and takes its
    part of these bytes. Nobody will read what is new in it again, so it is not written to a cache. The effort
    is low: thinking takes its part of a short answer, which is then cut. The choice of tools costs the cached
    messages, which a conversation that is cut has lost anyway.
    """
    most_words = max(1, CLOSING_WORDS * most_tokens // CLOSING_OUTPUT_TOKENS)
    text = closing_text(reason, most_words)
    if words is not None:
        text = words.text(reason, min(most_words, words.most))
    said = f"{delivered}\n\n{text}" if delivered else text
    shown = newest(request.messages, max(0, history_bytes - _size(delivered)))
    return attrs.evolve(
        request,
        messages=with_words(shown, said),
        tool_choice="none",
        max_output_tokens=most_tokens,
        response_schema=None,
        effort=_closing_effort(request),
        caching=attrs.evolve(request.caching, conversation=False),
    )


@attrs.frozen
class Reserve:
    """What is kept for the closing call, as far as the ceilings allow it."""

    tokens: int
    usd: Decimal | None


def bare_tokens(model: ModelProtocol, request: Request) -> int:
    """Return a bound on the input of a closing call that shows nothing of the conversation."""
    return input_bound_tokens(model, attrs.evolve(request, messages=(), tool_choice="none"))


def closing_reserve(
    input_tokens: int,
    conversation_bytes: int,
    price: Price | None,
    tokens_per_byte: float = 1.0,
    *,
    written: CacheLife | None = "1h",
) -> Reserve:
    """Return what the closing call can need at most after a conversation of so many bytes.

    *input_tokens* are the :func:`bare_tokens`, the same for each turn. *tokens_per_byte* is below 1 if the
    door can count tokens: then bytes are no bound that matters. The rates are those of the highest tier
    that the whole call can reach, its conversation included; *written* is the longest life of a cache
    entry that it may write.
    """
    history = min(max(conversation_bytes + _GROWTH_BYTES, _LEAST_BYTES), CLOSING_HISTORY_BYTES)
    # JSON escapes lengthen what is sent.
    most = round((input_tokens + history * 5 // 4 + _TEXT_BYTES) * tokens_per_byte)
    tokens = most + CLOSING_OUTPUT_TOKENS
    if price is None:
        return Reserve(tokens, None)
    input_rate, output_rate = price.worst_rates(most, written=written)
    return Reserve(tokens, (most * input_rate + CLOSING_OUTPUT_TOKENS * output_rate) / _PER_MILLION)


def shown_sizes(conversation_bytes: int, most_bytes: int | None) -> tuple[int, ...]:
    """Return how many bytes of a conversation the closing call may show, the most first.

    *most_bytes* fit into the model's window; ``None``: unknown.
    """
    most = min(conversation_bytes, CLOSING_HISTORY_BYTES)
    most = most if most_bytes is None else min(most, most_bytes)
    smaller = (most // 3, most // 9)
    return (most, *(size for size in smaller if size >= _TEXT_BYTES))


def fitting_request(
    model: ModelProtocol,
    request: Request,
    reason: StopReason,
    shown_bytes: int,
    delivered: str = "",
    answer_tokens: int | None = None,
    words: ClosingWords | None = None,
) -> Request:
    """Return the closing call with about *shown_bytes* of the conversation.

    *answer_tokens* is the most that the whole answer of this work may take; ``None``: no limit of its own.
    """
    own = own_output_tokens(model, CLOSING_OUTPUT_TOKENS) or CLOSING_OUTPUT_TOKENS
    most = min(CLOSING_OUTPUT_TOKENS, answer_tokens or CLOSING_OUTPUT_TOKENS)
    closing = closing_request(request, reason, shown_bytes, delivered, most, words)
    closing = attrs.evolve(closing, max_output_tokens=min(most, own))
    return attrs.evolve(closing, caching=closing_caching(model, request))


def _closing_effort(request: Request) -> Effort:
    asked = request.effort
    return asked if asked in ("none", "minimal") else "low"


def closing_caching(model: ModelProtocol, request: Request) -> Caching:
    """Return what is cached of the closing call for work that would have sent *request* next.

    Tools and system prompt are read from the cache if they were written with the same effort. With another
    one they would be written again, and nobody would read them.
    """
    asked = request.caching
    is_read = sent_effort(model, _closing_effort(request)) == sent_effort(model, request.effort)
    return Caching(asked.prefix if is_read else None, conversation=False, key=asked.key)


def newest(history: History, limit_bytes: int) -> History:
    """Return the first message and the newest of the others, in about *limit_bytes*.

    A tool result that is too long by itself is cut. Results never stand without their calls.
    """
    if history.size_bytes <= limit_bytes:
        return history
    kept: list[Message] = []
    room = limit_bytes
    for message in reversed(history[1:]):
        shown = _shortened(message, max(_TEXT_BYTES, room // 2))
        room -= History([shown]).size_bytes
        if room < 0:
            break
        kept.append(shown)
    while kept and kept[-1].role != "assistant":
        kept.pop()
    first = history[0]
    opening = Message(first.role, (*first.parts, Text(f"\n\n{STEPS_OMITTED}")))
    return History([opening, *reversed(kept)])


def _shortened(message: Message, limit: int) -> Message:
    def cut(part: Part) -> Part:
        if isinstance(part, ToolResult) and len(part.content) > limit:
            return attrs.evolve(part, content=part.content[:limit] + " (cut)")
        return part

    return Message(message.role, tuple(cut(part) for part in message.parts))


def with_words(history: History, said: str) -> History:
    """Return *history* with *said* at its end as the user's words.

    Where the user's side, or a tool, spoke last, they join that message: not every provider takes
    two messages of one side in a row.
    """
    last = history[-1]
    if last.role == "assistant":
        return history.plus(user(said))
    border = "\n\n" if isinstance(last.parts[-1], Text) else ""
    return History([*history[:-1], Message(last.role, (*last.parts, Text(f"{border}{said}")))])


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def unanswered(message: Message, why: str) -> Message:
    """Return results for calls of *message* that were never carried out."""
    return Message("tool", tuple(ToolResult(call.id, why, is_error=True) for call in message.tool_calls))
