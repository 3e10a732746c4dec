"""Anthropic's Messages: writes answers, whole and in events, and errors."""

import json
from collections.abc import Iterator
from typing import Any

from sunwell.core.message import Part, Text, Thinking, ToolCall
from sunwell.simulator.anthropic_format import read_messages
from sunwell.simulator.signatures import redacted_block, thinking_block
from sunwell.simulator.spoiled import Reported, told
from sunwell.simulator.wire import Answer, Chunk, ChunkPlace, Refusal, WireFormat, encode, pieces_of

_STOPS = {
    "end": "end_turn",
    "tool_calls": "tool_use",
    "length": "max_tokens",
    "refusal": "refusal",
    "window": "model_context_window_exceeded",
    "pause": "pause_turn",
    "other": "end_turn",
}
_KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    503: "overloaded_error",
    529: "overloaded_error",
}


def _plain(answer: Answer) -> dict[str, Any]:
    message = _message(answer)
    message["content"] = [_whole(part, answer) for part in answer.said.parts]
    if answer.fault.redacted_thinking:
        message["content"].insert(0, redacted_block(answer.request_id))
    message["stop_reason"] = answer.fault.stop_word or _STOPS[answer.said.stop]
    if answer.said.stop == "refusal":
        message["stop_details"] = _refusal_details()
    if answer.usage is not None:
        message["usage"] = told(_usage(answer.usage), answer.usage, answer.fault)
    return message


def _stream(answer: Answer) -> list[Chunk]:
    return list(_events(answer))


def _events(answer: Answer) -> Iterator[Chunk]:
    opening = _message(answer)
    if answer.usage is not None:
        opening["usage"] = {**told(_usage(answer.usage), answer.usage, answer.fault), "output_tokens": 1}
        del opening["usage"]["output_tokens_details"]
    yield _event("opening", type="message_start", message=opening)
    yield _event("opening", type="ping")
    index = 0
    if answer.fault.redacted_thinking:
        block = redacted_block(answer.request_id)
        yield _event(type="content_block_start", index=0, content_block=block)
        yield _event(type="content_block_stop", index=0)
        index = 1
    for part in answer.said.parts:
        yield _event(type="content_block_start", index=index, content_block=_empty(part))
        for delta in _deltas(part):
            yield _event(type="content_block_delta", index=index, delta=delta)
        place: ChunkPlace = "call-end" if isinstance(part, ToolCall) else "content"
        yield _event(place, type="content_block_stop", index=index)
        index += 1
    delta = {"stop_reason": answer.fault.stop_word or _STOPS[answer.said.stop], "stop_sequence": None}
    if answer.said.stop == "refusal":
        delta["stop_details"] = _refusal_details()
    usage = {}
    if answer.usage is not None:
        usage = {"usage": told(_usage(answer.usage), answer.usage, answer.fault)}
    yield _event("finish", type="message_delta", delta=delta, **usage)
    yield _event("terminal", type="message_stop")


def _event(place: ChunkPlace = "content", **data: Any) -> Chunk:
    return Chunk(b"event: " + data["type"].encode() + b"\ndata: " + encode(data) + b"\n\n", place)


def _message(answer: Answer) -> dict[str, Any]:
    return {
        "id": f"msg_{answer.request_id}",
        "type": "message",
        "role": "assistant",
        "model": answer.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }


def _whole(part: Part, answer: Answer) -> dict[str, Any]:
    match part:
        case Text(text):
            return {"type": "text", "text": text}
        case Thinking(text):
            return thinking_block(text)
        case ToolCall(_, _, arguments):
            return _empty(part) | {"input": _input(arguments, cut=answer.said.stop == "length")}
    raise TypeError("a model's answer cannot hold the result of a tool")


def _empty(part: Part) -> dict[str, Any]:
    """Return the block with which a stream announces *part*."""
    match part:
        case Text():
            return {"type": "text", "text": ""}
        case Thinking():
            return {"type": "thinking", "thinking": "", "signature": ""}
        case ToolCall(call_id, name):
            known = {"id": call_id} if call_id else {}
            return {"type": "tool_use", **known, "name": name, "input": {}}
    raise TypeError("a model's answer cannot hold the result of a tool")


def _input(arguments: str, *, cut: bool) -> Any:
    """Return the arguments as the format has them: a cut JSON is nothing, a malformed one a string."""
    try:
        return json.loads(arguments or "{}")
    except ValueError:
        return {} if cut else arguments


def _deltas(part: Part) -> Iterator[dict[str, Any]]:
    match part:
        case Text(text):
            for portion in pieces_of(text):
                yield {"type": "text_delta", "text": portion}
        case Thinking(text):
            for portion in pieces_of(text):
                yield {"type": "thinking_delta", "thinking": portion}
            yield {"type": "signature_delta", "signature": thinking_block(text)["signature"]}
        case ToolCall(_, _, arguments):
            for portion in ("", *pieces_of(arguments)):
                yield {"type": "input_json_delta", "partial_json": portion}


def _usage(usage: Reported) -> dict[str, Any]:
    return {
        "input_tokens": usage.uncached_tokens,
        "cache_creation_input_tokens": usage.write_tokens + usage.write_1h_tokens,
        "cache_read_input_tokens": usage.read_tokens,
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.write_tokens,
            "ephemeral_1h_input_tokens": usage.write_1h_tokens,
        },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"thinking_tokens": usage.reasoning_tokens},
        "service_tier": "standard",
    }


def _refusal_details() -> dict[str, Any]:
    return {"type": "refusal", "category": None, "explanation": None}


def _refuse(refusal: Refusal, request_id: str) -> dict[str, Any]:
    kind = _KINDS.get(refusal.status, "api_error")
    return {"type": "error", "error": {"type": kind, "message": refusal.message}, "request_id": request_id}


MESSAGES = WireFormat("messages", read_messages, _plain, _stream, _refuse)
"""Anthropic's Messages."""
