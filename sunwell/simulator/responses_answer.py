"""OpenAI's Responses API: writes answers, whole and as events, and errors."""

from collections.abc import Iterator
from typing import Any

from sunwell.core.message import Part, Text, Thinking, ToolCall
from sunwell.simulator.chat_answer import CHAT
from sunwell.simulator.responses_format import read_responses
from sunwell.simulator.signatures import thinking_block
from sunwell.simulator.spoiled import Reported, told
from sunwell.simulator.wire import Answer, Chunk, ChunkPlace, WireFormat, encode, pieces_of

_REFUSAL = "I cannot help with that."


def _plain(answer: Answer) -> dict[str, Any]:
    reason = answer.fault.stop_word or {"length": "max_output_tokens"}.get(answer.said.stop)
    body = _head(answer, "incomplete" if reason else "completed")
    body["incomplete_details"] = {"reason": reason} if reason else None
    if reason == "failed":
        error = {"code": "server_error", "message": "The model failed on its way."}
        body |= {"status": "failed", "incomplete_details": None, "error": error}
    body["output"] = _items(answer)
    if answer.usage is not None:
        body["usage"] = told(_usage(answer.usage), answer.usage, answer.fault)
    return body


def _head(answer: Answer, status: str) -> dict[str, Any]:
    return {
        "id": f"resp_{answer.request_id}",
        "object": "response",
        "created_at": answer.created,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "model": answer.model,
        "output": [],
        "store": False,
        "usage": None,
    }


def _items(answer: Answer) -> list[dict[str, Any]]:
    if answer.said.stop == "refusal":
        content = [{"type": "refusal", "refusal": _REFUSAL}]
        return [
            {"type": "message", "id": "msg_0", "status": "completed", "role": "assistant", "content": content}
        ]
    return [_item(part, i) for i, part in enumerate(answer.said.parts)]


def _item(part: Part, i: int) -> dict[str, Any]:
    match part:
        case Thinking(text):
            signature = thinking_block(text)["signature"]
            summary = [{"type": "summary_text", "text": text}]
            return {"type": "reasoning", "id": f"rs_{i}", "summary": summary, "encrypted_content": signature}
        case ToolCall(call_id, name, arguments):
            call = {"type": "function_call", "id": f"fc_{i}", "status": "completed", "call_id": call_id}
            if not call_id:
                del call["call_id"]
            return call | {"name": name, "arguments": arguments}
        case Text(text):
            content = [{"type": "output_text", "text": text, "annotations": []}]
            message = {"type": "message", "id": f"msg_{i}", "status": "completed", "role": "assistant"}
            return message | {"content": content}
    raise TypeError(f"a model cannot say {part!r}")


def _stream(answer: Answer) -> list[Chunk]:
    chunks: list[Chunk] = []
    for number, (kind, fields, place) in enumerate(_events(answer)):
        body = {"type": kind, "sequence_number": number, **fields}
        chunks.append(Chunk(f"event: {kind}\ndata: ".encode() + encode(body) + b"\n\n", place))
    return chunks


def _events(answer: Answer) -> Iterator[tuple[str, dict[str, Any], ChunkPlace]]:
    yield "response.created", {"response": _head(answer, "in_progress")}, "opening"
    for index, item in enumerate(_items(answer)):
        at = {"output_index": index, "item_id": item["id"]}
        yield "response.output_item.added", {"output_index": index, "item": _opened(item)}, "content"
        for kind, delta in _deltas(item):
            yield f"response.{kind}.delta", at | {"delta": delta}, "content"
        place: ChunkPlace = "call-end" if item["type"] == "function_call" else "content"
        yield "response.output_item.done", {"output_index": index, "item": item}, place
    whole = _plain(answer)
    yield f"response.{whole['status']}", {"response": whole}, "terminal"


def _opened(item: dict[str, Any]) -> dict[str, Any]:
    empty = {"arguments": "", "content": [], "summary": []}
    return {key: empty.get(key, value) for key, value in item.items()} | {"status": "in_progress"}


def _deltas(item: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if item["type"] == "function_call":
        yield from (("function_call_arguments", piece) for piece in pieces_of(item["arguments"]))
    elif item["type"] == "reasoning":
        yield from (("reasoning_summary_text", piece) for piece in pieces_of(item["summary"][0]["text"]))
    else:
        part = item["content"][0]
        kind = "refusal" if part["type"] == "refusal" else "output_text"
        yield from ((kind, piece) for piece in pieces_of(part.get("text") or part.get("refusal") or ""))


def _usage(usage: Reported) -> dict[str, Any]:
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.read_tokens,
            "cache_write_tokens": usage.write_tokens + usage.write_1h_tokens,
        },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }


RESPONSES = WireFormat("responses", read_responses, _plain, _stream, CHAT.refuse)
"""OpenAI's Responses API; its errors are those of Chat Completions."""
