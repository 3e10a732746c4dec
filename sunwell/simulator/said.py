"""Converts a script's reply to the generated answer: counted, and cut at the token limit."""

import attrs

from sunwell.core.message import Part, Text, Thinking, ToolCall, ToolResult
from sunwell.core.model import Stop
from sunwell.simulator.prompt_tokens import BLOCK_TOKENS, BYTES_PER_TOKEN, answer_tokens, part_tokens
from sunwell.simulator.script import Reply


@attrs.frozen
class Said:
    """A generated answer."""

    parts: tuple[Part, ...]
    stop: Stop
    output_tokens: int
    """All output tokens, including reasoning."""
    reasoning_tokens: int = 0


def say(reply: Reply, max_output_tokens: int | None) -> Said:
    """Return the part of *reply* that is generated within *max_output_tokens*.

    If the limit is reached, the parts are cut to their share of it, possibly in the middle of a tool
    call's JSON, and the stop reason is ``length``.
    """
    spoken = answer_tokens(reply.parts)
    thought = answer_tokens(part for part in reply.parts if isinstance(part, Thinking))
    whole = spoken + reply.reasoning_tokens if reply.output_tokens is None else reply.output_tokens
    reasoning = min(whole, thought + reply.reasoning_tokens)
    if max_output_tokens is None or whole <= max_output_tokens:
        return Said(reply.parts, reply.stop or _natural_stop(reply.parts), whole, reasoning)
    if reply.output_tokens is None:
        room = max_output_tokens - reply.reasoning_tokens
    else:
        room = spoken * max_output_tokens // max(1, whole)
    parts = cut_parts(reply.parts, room)
    return Said(parts, "length", max_output_tokens, min(max_output_tokens, reasoning))


def cut_parts(parts: tuple[Part, ...], tokens: int) -> tuple[Part, ...]:
    """Return the beginning of *parts* that fits into *tokens*; the last part may be cut in the middle."""
    kept: list[Part] = []
    for part in parts:
        cost = part_tokens(part)
        if cost > tokens:
            if tokens > BLOCK_TOKENS:
                kept.append(_cut(part, (tokens - BLOCK_TOKENS) * BYTES_PER_TOKEN))
            break
        kept.append(part)
        tokens -= cost
    return tuple(kept)


def _cut(part: Part, size: int) -> Part:
    match part:
        case Text(text):
            return Text(_first_bytes(text, size))
        case Thinking(text):
            return attrs.evolve(part, text=_first_bytes(text, size))
        case ToolCall(_, name, arguments):
            return attrs.evolve(part, arguments=_first_bytes(arguments, max(0, size - len(name.encode()))))
        case ToolResult():
            raise TypeError("a model's answer cannot hold the result of a tool")


def _first_bytes(text: str, size: int) -> str:
    return text.encode("utf-8", "surrogatepass")[:size].decode("utf-8", "ignore")


def _natural_stop(parts: tuple[Part, ...]) -> Stop:
    return "tool_calls" if any(isinstance(part, ToolCall) for part in parts) else "end"
