"""OpenAI's Responses API on the simulator: checks and reads requests, writes answers and errors."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from sunwell.core.message import Message, Part, Text, Thinking, ToolCall, ToolResult
from sunwell.core.model import CacheLife
from sunwell.simulator.chat_wire import CHAT, check_arguments, refuse_if
from sunwell.simulator.prompt_tokens import (
    Piece,
    Prompt,
    ending_message,
    message_pieces,
    schema_piece,
    system_piece,
    tool_piece,
)
from sunwell.simulator.schema_checks import check_schema
from sunwell.simulator.script import Asked
from sunwell.simulator.signatures import as_raw, is_genuine, thinking_block
from sunwell.simulator.spoiled import Reported, told
from sunwell.simulator.wire import (
    Chunk,
    ChunkPlace,
    Inquiry,
    Refusal,
    WireAnswer,
    WireFormat,
    encode,
    pieces_of,
)

_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_KNOWN = frozenset(
    (
        "model", "input", "instructions", "tools", "tool_choice", "text", "reasoning", "store", "include",
        "stream", "max_output_tokens", "metadata", "prompt_cache_key", "prompt_cache_options", "service_tier",
        "parallel_tool_calls", "truncation", "user", "safety_identifier",
    )
)  # fmt: skip
_COUNTED = frozenset(
    ("model", "input", "instructions", "tools", "tool_choice", "text", "reasoning", "parallel_tool_calls",
     "truncation")
)  # fmt: skip
_TEXTS = {"assistant": ("output_text",), "user": ("input_text",), "system": ("input_text",)}
_PHASES = ("commentary", "final_answer")
_LONGEST_ID = 64
LEAST_OUTPUT_TOKENS = 16


def check_fields(body: Mapping[str, Any], known: Collection[str] = _KNOWN) -> None:
    """Check everything except the input."""
    refuse_if(not isinstance(body.get("model"), str), "you must provide a model parameter", "model")
    for name in body:
        refuse_if(name not in known, f"Unsupported parameter: '{name}'.", name, "unsupported_parameter")
    limit = body.get("max_output_tokens")
    whole = limit is None or (isinstance(limit, int) and not isinstance(limit, bool))
    least = f"Invalid 'max_output_tokens': expected a value >= {LEAST_OUTPUT_TOKENS}."
    refuse_if(not whole or (limit is not None and limit < LEAST_OUTPUT_TOKENS), least, "max_output_tokens")
    effort = (body.get("reasoning") or {}).get("effort")
    wrong = effort is not None and effort not in _EFFORTS
    refuse_if(wrong, f"Invalid value: {effort!r}.", "reasoning.effort")
    _check_tools(body)
    _check_format((body.get("text") or {}).get("format"))


def _check_tools(body: Mapping[str, Any]) -> None:
    tools = body.get("tools")
    for i, tool in enumerate(tools or ()):
        is_function = isinstance(tool, Mapping) and tool.get("type") == "function"
        refuse_if(not is_function, f"Invalid value for 'tools[{i}].type'.", "tools")
        name = tool.get("name")
        fits = isinstance(name, str) and _NAME.fullmatch(name)
        refuse_if(not fits, f"Invalid 'tools[{i}].name': '^[a-zA-Z0-9_-]{{1,64}}$'.", "tools")
        if tool.get("strict", True):
            check_schema(tool.get("parameters"), "openai", f"tools[{i}].parameters")
    if body.get("tool_choice") is not None and not tools:
        raise Refusal(400, "'tool_choice' is only allowed when 'tools' are specified.", "tool_choice")


def _check_format(shape: Any) -> None:
    if shape is None:
        return
    kind = shape.get("type") if isinstance(shape, Mapping) else None
    refuse_if(
        kind not in ("text", "json_object", "json_schema"), "Invalid 'text.format.type'.", "text.format"
    )
    if kind == "json_schema":
        name = shape.get("name")
        fits = isinstance(name, str) and _NAME.fullmatch(name)
        refuse_if(not fits, "Missing required parameter: 'text.format.name'.", "text.format.name")
        if shape.get("strict"):
            check_schema(shape.get("schema"), "openai", "text.format.schema")


def check_input(items: Any) -> Sequence[Mapping[str, Any]]:
    """Return the items of the input, or raise :exc:`Refusal` if their order or content is invalid."""
    if isinstance(items, str):
        return [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": items}]}]
    refuse_if(not isinstance(items, list) or not items, "Missing required parameter: 'input'.", "input")
    waiting: list[str] = []
    for i, item in enumerate(items):
        where = f"input[{i}]"
        kind = item.get("type", "message") if isinstance(item, Mapping) else None
        if kind == "message":
            _check_message(item, where)
        elif kind == "function_call":
            waiting.append(_call_id(item, where, "name", "arguments"))
            fits = re.fullmatch(r"[a-zA-Z0-9_-]{1,128}", item["name"])
            refuse_if(not fits, f"Invalid '{where}.name': '^[a-zA-Z0-9_-]{{1,128}}$'.", where)
            check_arguments(item["arguments"], f"{where}.arguments")
        elif kind == "function_call_output":
            call_id = _call_id(item, where, "output")
            lost = f"No tool call found for function call output with call_id {call_id}."
            refuse_if(call_id not in waiting, lost, where)
            waiting.remove(call_id)
        elif kind == "reasoning":
            _check_reasoning(item, where)
        else:
            raise Refusal(400, f"Invalid value: {kind!r} for '{where}.type'.", where)
    missing = f"No tool output found for function call {', '.join(waiting)}."
    refuse_if(bool(waiting), missing, "input")
    return items  # type: ignore[no-any-return]


def _call_id(item: Mapping[str, Any], where: str, *texts: str) -> str:
    for name in ("call_id", *texts):
        refuse_if(
            not isinstance(item.get(name), str), f"Missing required parameter: '{where}.{name}'.", where
        )
    refuse_if(not item["call_id"], f"Invalid '{where}.call_id': empty string.", where)
    long = f"Invalid '{where}.call_id': string too long. Expected a string with maximum length 64."
    refuse_if(len(item["call_id"]) > _LONGEST_ID, long, where)
    return str(item["call_id"])


def _check_message(item: Mapping[str, Any], where: str) -> None:
    role = item.get("role")
    known = _TEXTS.get("system" if role == "developer" else str(role))
    if known is None:
        raise Refusal(400, f"Invalid value: {role!r} for '{where}.role'.", where)
    content, phase = item.get("content"), item.get("phase")
    known_phase = phase is None or (role == "assistant" and phase in _PHASES)
    refuse_if(not known_phase, f"Invalid value: {phase!r} for '{where}.phase'.", where)
    if isinstance(content, str):
        return
    refuse_if(not isinstance(content, list) or not content, f"Invalid type for '{where}.content'.", where)
    if role == "assistant":  # a list is the content of a message that was sent before, with all its fields
        for name in ("id", "status"):
            missing = f"Missing required parameter: '{where}.{name}'."
            refuse_if(not isinstance(item.get(name), str), missing, where)
        bare = any(isinstance(part, Mapping) and "annotations" not in part for part in content or ())
        refuse_if(bare, f"Missing required parameter: '{where}.content[].annotations'.", where)
    for part in content or ():
        kind = part.get("type") if isinstance(part, Mapping) else None
        fits = kind in known and isinstance(part.get("text"), str)
        refuse_if(not fits, f"Invalid value: {kind!r} in '{where}.content'.", where)


def _check_reasoning(item: Mapping[str, Any], where: str) -> None:
    lost = f"Item with id '{item.get('id')}' not found. Items are not persisted when `store` is set to false."
    refuse_if(not item.get("encrypted_content"), lost, where)
    texts = [one.get("text") for one in item.get("summary") or () if isinstance(one, Mapping)]
    block = {
        "type": "thinking",
        "thinking": "".join(map(str, texts)),
        "signature": item.get("encrypted_content"),
    }
    wrong = "The encrypted content could not be verified: send reasoning items back as they came."
    refuse_if(not is_genuine(block), f"{wrong} ({where})", where, "invalid_encrypted_content")


_INCLUDE = "reasoning.encrypted_content"
Marked = tuple[Message, list[CacheLife | None]]


def read_responses(body: Mapping[str, Any], headers: Mapping[str, str]) -> Inquiry:
    """Read the body of ``/v1/responses``, or raise :exc:`~sunwell.simulator.wire.Refusal`."""
    check_fields(body)
    return _inquiry(body)


def read_count(body: Mapping[str, Any], headers: Mapping[str, str]) -> Inquiry:
    """Read the body of ``/v1/responses/input_tokens``, which has fewer fields."""
    check_fields(body, _COUNTED)
    return _inquiry(body)


def _inquiry(body: Mapping[str, Any]) -> Inquiry:
    items = check_input(body.get("input"))
    tools = body.get("tools") or ()
    shape = (body.get("text") or {}).get("format") or {}
    schema = shape.get("schema") if shape.get("type") == "json_schema" else None
    options = body.get("prompt_cache_options") or {}
    system = _system(body, items)
    messages = _messages([item for item in items if not _is_system(item)])
    pieces: list[Piece] = [] if schema is None else [schema_piece(encode(schema).decode())]
    pieces += (_tool(tool) for tool in tools)
    sections = [system_piece(text, mark) for text, mark in system]
    pieces += [*sections[:-1], ending_message(sections[-1])] if sections else []
    pieces += (piece for message, marks in messages for piece in message_pieces(message, marks))
    asked = Asked(
        model=body["model"],
        system="\n\n".join(text for text, _ in system),
        messages=_joined([message for message, _ in messages]),
        tools=() if body.get("tool_choice") == "none" else tuple(tool["name"] for tool in tools),
        schema=schema,
        max_output_tokens=body.get("max_output_tokens"),
    )
    effort = (body.get("reasoning") or {}).get("effort") or ""
    implicit = options.get("mode", "implicit") == "implicit"
    return Inquiry(
        asked,
        Prompt(tuple(pieces), effort.encode(), implicit=implicit),
        stream=body.get("stream") is True,
        thinking=_INCLUDE in (body.get("include") or ()),
    )


def _is_system(item: Mapping[str, Any]) -> bool:
    return item.get("role") in ("system", "developer")


def _system(
    body: Mapping[str, Any], items: Sequence[Mapping[str, Any]]
) -> list[tuple[str, CacheLife | None]]:
    given = body.get("instructions")
    sections: list[tuple[str, CacheLife | None]] = [(given, None)] if given else []
    return [*sections, *(text for item in items if _is_system(item) for text in _texts(item))]


def _tool(tool: Mapping[str, Any]) -> Piece:
    schema = encode(tool["parameters"]).decode() if "parameters" in tool else ""
    return tool_piece(tool["name"], tool.get("description") or "", schema)


def _messages(items: Sequence[Mapping[str, Any]]) -> list[Marked]:
    """Return the messages from the items: consecutive assistant items become one message."""
    out: list[Marked] = []
    for item in items:
        message, marks = _message(item)
        if message.role == "assistant" and out and out[-1][0].role == "assistant":
            last, before = out[-1]
            out[-1] = (Message("assistant", last.parts + message.parts), before + marks)
        else:
            out.append((message, marks))
    return out


def _message(item: Mapping[str, Any]) -> Marked:
    match item.get("type", "message"):
        case "function_call":
            return Message("assistant", (ToolCall(item["call_id"], item["name"], item["arguments"]),)), [None]
        case "function_call_output":
            return Message("tool", (ToolResult(item["call_id"], item["output"]),)), [None]
        case "reasoning":
            text = "".join(one["text"] for one in item.get("summary") or ())
            return Message("assistant", (Thinking(text, as_raw(item), "openai-responses"),)), [None]
    texts = _texts(item)
    parts: tuple[Part, ...] = tuple(Text(text) for text, _ in texts)
    role = "assistant" if item["role"] == "assistant" else "user"
    return Message(role, parts), [mark for _, mark in texts]  # type: ignore[arg-type]


def _texts(item: Mapping[str, Any]) -> list[tuple[str, CacheLife | None]]:
    content = item.get("content")
    if isinstance(content, str):
        return [(content, None)]
    return [(part["text"], "5m" if part.get("prompt_cache_breakpoint") else None) for part in content or ()]


def _joined(messages: Sequence[Message]) -> tuple[Message, ...]:
    """Return *messages* with the results of one turn in one message, as in ``core``."""
    out: list[Message] = []
    for message in messages:
        if message.role == "tool" and out and out[-1].role == "tool":
            out[-1] = Message("tool", out[-1].parts + message.parts)
        else:
            out.append(message)
    return tuple(out)


_REFUSAL = "I cannot help with that."


def _plain(answer: WireAnswer) -> dict[str, Any]:
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


def _head(answer: WireAnswer, status: str) -> dict[str, Any]:
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


def _items(answer: WireAnswer) -> list[dict[str, Any]]:
    if answer.said.stop == "refusal":
        content = [{"type": "refusal", "refusal": _REFUSAL}]
        return [
            {"type": "message", "id": "msg_0", "status": "completed", "role": "assistant", "content": content}
        ]
    calls = any(isinstance(part, ToolCall) for part in answer.said.parts)
    phase = "commentary" if calls else "final_answer"
    return [_item(part, i, phase) for i, part in enumerate(answer.said.parts)]


def _item(part: Part, i: int, phase: str) -> dict[str, Any]:
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
            return message | {"content": content, "phase": phase}
    raise TypeError(f"a model cannot say {part!r}")


def _stream(answer: WireAnswer) -> list[Chunk]:
    chunks: list[Chunk] = []
    for number, (kind, fields, place) in enumerate(_events(answer)):
        body = {"type": kind, "sequence_number": number, **fields}
        chunks.append(Chunk(f"event: {kind}\ndata: ".encode() + encode(body) + b"\n\n", place))
    return chunks


def _events(answer: WireAnswer) -> Iterator[tuple[str, dict[str, Any], ChunkPlace]]:
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


RESPONSES = WireFormat(
    "responses",
    read_responses,
    _plain,
    _stream,
    CHAT.refuse,
    read_count,
    {"object": "response.input_tokens"},
)
"""OpenAI's Responses API; its errors have the same format as those of Chat Completions."""
