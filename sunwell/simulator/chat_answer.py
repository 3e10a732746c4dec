"""OpenAI's Chat Completions: writes answers, whole and in chunks, and errors."""

from collections.abc import Iterator
from typing import Any

from sunwell.core.message import Text, ToolCall
from sunwell.simulator.chat_format import read_chat
from sunwell.simulator.spoiled import Reported, told
from sunwell.simulator.wire import Answer, Chunk, ChunkPlace, Refusal, WireFormat, encode, pieces_of

_STOPS = {"end": "stop", "tool_calls": "tool_calls", "length": "length", "refusal": "content_filter"}


def _plain(answer: Answer) -> dict[str, Any]:
    text, calls = _text(answer), _calls(answer)
    message: dict[str, Any] = {"role": "assistant", "content": text or None, "refusal": None}
    if calls:
        message["tool_calls"] = [_call(call) for call in calls]
    else:
        message["content"] = text
    if answer.said.stop == "refusal":
        message |= {"content": None, "refusal": "I cannot help with that."}
    body = _head(answer, "chat.completion")
    body["choices"] = [{"index": 0, "message": message, "finish_reason": _stop(answer), "logprobs": None}]
    if answer.usage is not None:
        body["usage"] = told(_usage(answer.usage), answer.usage, answer.fault)
    return body


def _stream(answer: Answer) -> list[Chunk]:
    return list(_chunks(answer))


def _chunks(answer: Answer) -> Iterator[Chunk]:
    yield _delta(answer, {"role": "assistant", "content": "", "refusal": None}, place="opening")
    if answer.said.stop == "refusal":
        yield _delta(answer, {"refusal": "I cannot help with that."})
    text = _text(answer)
    for portion in pieces_of(text) if text else ():
        yield _delta(answer, {"content": portion})
    for index, call in enumerate(_calls(answer)):
        yield from _call_chunks(answer, index, call)
    yield _delta(answer, {}, place="finish", stop=_stop(answer))
    if answer.include_usage and answer.usage is not None:
        body = _head(answer, "chat.completion.chunk")
        body |= {"choices": [], "usage": told(_usage(answer.usage), answer.usage, answer.fault)}
        yield _event(body, "finish")
    yield Chunk(b"data: [DONE]\n\n", "terminal")


def _call_chunks(answer: Answer, index: int, call: ToolCall) -> Iterator[Chunk]:
    opening = _call(ToolCall(call.id, call.name, ""))
    yield _delta(answer, {"tool_calls": [{"index": index, **opening}]})
    portions = pieces_of(call.arguments)
    for i, portion in enumerate(portions):
        function = {"arguments": portion}
        if answer.fault.repeated_names:
            function["name"] = call.name
        place: ChunkPlace = "call-end" if i == len(portions) - 1 else "content"
        yield _delta(answer, {"tool_calls": [{"index": index, "function": function}]}, place=place)


def _delta(
    answer: Answer, delta: dict[str, Any], *, place: ChunkPlace = "content", stop: str | None = None
) -> Chunk:
    body = _head(answer, "chat.completion.chunk")
    body["choices"] = [{"index": 0, "delta": delta, "finish_reason": stop, "logprobs": None}]
    if answer.include_usage:
        body["usage"] = None
    return _event(body, place)


def _event(body: dict[str, Any], place: ChunkPlace) -> Chunk:
    return Chunk(b"data: " + encode(body) + b"\n\n", place)


def _head(answer: Answer, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{answer.request_id}",
        "object": kind,
        "created": answer.created,
        "model": answer.model,
        "service_tier": "default",
    }


def _text(answer: Answer) -> str:
    return "".join(part.text for part in answer.said.parts if isinstance(part, Text))


def _calls(answer: Answer) -> list[ToolCall]:
    return [part for part in answer.said.parts if isinstance(part, ToolCall)]


def _call(call: ToolCall) -> dict[str, Any]:
    body = {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
    if not call.id:
        del body["id"]
    return body


def _stop(answer: Answer) -> str:
    return answer.fault.stop_word or _STOPS.get(answer.said.stop, "stop")


def _usage(usage: Reported) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {
            "cached_tokens": usage.read_tokens,
            "cache_write_tokens": usage.write_tokens + usage.write_1h_tokens,
            "audio_tokens": 0,
        },
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _refuse(refusal: Refusal, request_id: str) -> dict[str, Any]:
    kind = "server_error" if refusal.status >= 500 else "invalid_request_error"
    if refusal.status == 429:
        kind = "insufficient_quota" if refusal.code == "insufficient_quota" else "requests"
    error = {"message": refusal.message, "type": kind, "param": refusal.param, "code": refusal.code}
    return {"error": error}


CHAT = WireFormat("chat", read_chat, _plain, _stream, _refuse)
"""OpenAI's Chat Completions."""
