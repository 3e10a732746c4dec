"""Anthropic's Messages on the simulator: checks and reads requests, writes answers and errors."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sunwell.core.message import Message, Part, Role, Text, Thinking, ToolCall, ToolResult
from sunwell.core.model import CacheLife
from sunwell.simulator.cache import MOST_BREAKPOINTS
from sunwell.simulator.prompt_tokens import (
    Piece,
    Prompt,
    marked_at_end,
    message_pieces,
    schema_piece,
    system_piece,
    tool_piece,
)
from sunwell.simulator.schema_checks import check_schema
from sunwell.simulator.script import Asked
from sunwell.simulator.signatures import as_raw, is_genuine, redacted_block, thinking_block
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

NO_SAMPLING_VERSION = "2026-10-21"
_SAMPLING = ("temperature", "top_p", "top_k")
_KNOWN = {
    "model", "messages", "max_tokens", "system", "tools", "tool_choice", "stream", "cache_control",
    "output_config", "thinking", "metadata", "service_tier", "stop_sequences", "container", "diagnostics",
    "inference_geo", "speed", "temperature", "top_p", "top_k",
}  # fmt: skip
_COUNTED = {
    "model", "messages", "system", "tools", "tool_choice", "cache_control", "output_config", "thinking",
    "speed",
}  # fmt: skip
_EFFORTS = ("low", "medium", "high", "xhigh", "max")
_ADAPTIVE = re.compile(r"claude-[a-z]+-(?:[5-9]|4-[6-9])(?!\d)")
_TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")


def refuse_if(wrong: bool, message: str, param: str | None = None) -> None:
    """Raise a :exc:`Refusal` with status 400 if *wrong*."""
    if wrong:
        raise Refusal(400, message, param)


def check_fields(body: Mapping[str, Any], headers: Mapping[str, str], *, counting: bool) -> None:
    """Check everything except the messages."""
    version = headers.get("anthropic-version", "")
    refuse_if(not version, "anthropic-version: header is required")
    for name in body:
        refuse_if(
            name not in (_COUNTED if counting else _KNOWN), f"{name}: Extra inputs are not permitted", name
        )
    if version >= NO_SAMPLING_VERSION:
        for name in _SAMPLING:
            refuse_if(name in body, f"{name}: not supported with anthropic-version {version}", name)
    refuse_if(not isinstance(body.get("model"), str), "model: Field required", "model")
    limit = body.get("max_tokens")
    if not counting:
        refuse_if(limit is None, "max_tokens: Field required", "max_tokens")
        whole = isinstance(limit, int) and not isinstance(limit, bool) and limit >= 0
        refuse_if(not whole, "max_tokens: Input should be a whole number of at least 0", "max_tokens")
    _check_tools(body)
    _check_output_config(body.get("output_config") or {})
    _check_thinking(body.get("thinking"), limit, str(body.get("model")))
    _check_breakpoints(body)


def blocks_of(content: Any, where: str) -> Sequence[Mapping[str, Any]]:
    """Return *content* as blocks; a string is one block of text."""
    if isinstance(content, str):
        return ({"type": "text", "text": content},)
    refuse_if(not isinstance(content, list), f"{where}: Input should be a string or a list", where)
    for i, block in enumerate(content):
        typed = isinstance(block, Mapping) and isinstance(block.get("type"), str)
        refuse_if(not typed, f"{where}.{i}.type: Field required", where)
    return content  # type: ignore[no-any-return]


def _check_tools(body: Mapping[str, Any]) -> None:
    tools = body.get("tools") or ()
    refuse_if(not isinstance(tools, list | tuple), "tools: Input should be a valid list", "tools")
    names = set()
    for i, tool in enumerate(tools):
        name = tool.get("name") if isinstance(tool, Mapping) else None
        fits = isinstance(name, str) and _TOOL_NAME.fullmatch(name)
        refuse_if(
            not fits, f"tools.{i}.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'", "tools"
        )
        schema = tool.get("input_schema")
        is_object = isinstance(schema, Mapping) and schema.get("type") == "object"
        refuse_if(not is_object, f"tools.{i}.input_schema.type: Input should be 'object'", "tools")
        refuse_if(name in names, "tools: Tool names must be unique.", "tools")
        names.add(name)
    choice = body.get("tool_choice")
    if choice is not None:
        known = isinstance(choice, Mapping) and choice.get("type") in ("auto", "any", "tool", "none")
        refuse_if(
            not known, "tool_choice.type: Input should be 'auto', 'any', 'tool' or 'none'", "tool_choice"
        )
        refuse_if(not tools, "tool_choice may only be specified while providing tools.", "tool_choice")


def _check_output_config(config: Mapping[str, Any]) -> None:
    effort, shape = config.get("effort"), config.get("format")
    known = effort is None or effort in _EFFORTS
    refuse_if(
        not known, f"output_config.effort: Input should be one of {', '.join(_EFFORTS)}", "output_config"
    )
    if shape is not None:
        is_schema = isinstance(shape, Mapping) and shape.get("type") == "json_schema"
        refuse_if(not is_schema, "output_config.format.type: Input should be 'json_schema'", "output_config")
        check_schema(shape.get("schema"), "anthropic", "output_config.format.schema")


def _check_thinking(thinking: Any, limit: Any, model: str) -> None:
    if thinking is None:
        return
    kind = thinking.get("type") if isinstance(thinking, Mapping) else None
    known = kind in ("adaptive", "disabled", "enabled", "between_tools")
    refuse_if(not known, "thinking.type: Input should be 'adaptive', 'disabled' or 'enabled'", "thinking")
    if kind == "enabled":
        budget = thinking.get("budget_tokens")
        refuse_if(
            not isinstance(budget, int) or budget < 1024, "thinking.budget_tokens: at least 1024", "thinking"
        )
        too_long = isinstance(limit, int) and limit <= budget
        refuse_if(too_long, "`max_tokens` must be greater than `thinking.budget_tokens`", "thinking")
    is_adaptive = _ADAPTIVE.search(model) is not None
    refuse_if(
        kind == "enabled" and is_adaptive,
        '"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive" and '
        '"output_config.effort" to control thinking behavior.',
        "thinking",
    )
    refuse_if(
        kind == "adaptive" and not is_adaptive, "adaptive thinking is not supported on this model", "thinking"
    )


def _check_breakpoints(body: Mapping[str, Any]) -> None:
    marks = [mark for mark in _marks(body) if mark is not None]
    if body.get("cache_control") is not None:
        marks.append(body["cache_control"])
    shortest_seen = False
    for mark in marks:
        is_mark = isinstance(mark, Mapping) and mark.get("type") == "ephemeral"
        refuse_if(not is_mark, "cache_control.type: Input should be 'ephemeral'", "cache_control")
        life = mark.get("ttl", "5m")
        refuse_if(
            life not in ("5m", "1h"), "cache_control.ttl: Input should be '5m' or '1h'", "cache_control"
        )
        late = life == "1h" and shortest_seen
        refuse_if(late, "a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block")
        shortest_seen = shortest_seen or life == "5m"
    many = f"A maximum of {MOST_BREAKPOINTS} blocks with cache_control may be provided. Found {len(marks)}."
    refuse_if(len(marks) > MOST_BREAKPOINTS, many, "cache_control")


def _marks(body: Mapping[str, Any]) -> Iterator[Any]:
    """Yield every ``cache_control`` in the order of the prompt: tools, system, messages."""
    holders = [body.get("tools"), body.get("system")]
    messages = body.get("messages")
    holders += (m.get("content") for m in messages or () if isinstance(m, Mapping))
    for holder in holders:
        if isinstance(holder, list):
            for block in holder:
                if isinstance(block, Mapping):
                    yield block.get("cache_control")


_TOOL_USE_ID = re.compile(r"[a-zA-Z0-9_-]+")

Turn = tuple[str, Sequence[Mapping[str, Any]]]
"""A role and its blocks."""


def turns_of(body: Mapping[str, Any]) -> list[Turn]:
    """Return the messages of *body*, or raise :exc:`~sunwell.simulator.wire.Refusal`."""
    messages = body.get("messages")
    refuse_if(not isinstance(messages, list), "messages: Field required", "messages")
    refuse_if(not messages, "messages: at least one message is required", "messages")
    turns: list[Turn] = []
    for i, message in enumerate(messages or ()):
        role = message.get("role") if isinstance(message, Mapping) else None
        refuse_if(
            role not in ("user", "assistant"), f"messages.{i}.role: must be 'user' or 'assistant'", "messages"
        )
        expected = "assistant" if i % 2 else "user"
        alternate = (
            f"messages: roles must alternate between user and assistant; messages.{i} is another {role}"
        )
        refuse_if(role != expected, alternate, "messages")
        blocks = blocks_of(message.get("content"), f"messages.{i}.content")
        refuse_if(not blocks, f"messages.{i}: all messages must have non-empty content", "messages")
        turns.append((expected, blocks))
    refuse_if(turns[-1][0] != "user", "This model does not support assistant message prefill.", "messages")
    for i, turn in enumerate(turns):
        _check_blocks(i, turn)
    _check_tool_blocks(turns, bool(body.get("tools")))
    return turns


def _check_blocks(i: int, turn: Turn) -> None:
    role, blocks = turn
    for j, block in enumerate(blocks):
        where = f"messages.{i}.content.{j}"
        kind = block["type"]
        allowed = ("text", "tool_result") if role == "user" else (
            "text", "thinking", "redacted_thinking", "tool_use",
        )  # fmt: skip
        refuse_if(
            kind not in allowed, f"{where}: blocks of type {kind!r} are not taken from the {role}", where
        )
        if kind == "text":
            text = block.get("text")
            refuse_if(not isinstance(text, str), f"{where}.text: Field required", where)
            refuse_if(
                not str(text).strip(), f"{where}: text content blocks must contain non-whitespace text", where
            )
        elif kind in ("thinking", "redacted_thinking"):
            refuse_if(
                "cache_control" in block, f"{where}.cache_control: Extra inputs are not permitted", where
            )
            refuse_if(not is_genuine(block), f"{where}: Invalid `signature` in `thinking` block", where)
        elif kind == "tool_use":
            fits = isinstance(block.get("id"), str) and _TOOL_USE_ID.fullmatch(block["id"])
            refuse_if(not fits, f"{where}.id: String should match pattern '^[a-zA-Z0-9_-]+$'", where)
            refuse_if(not isinstance(block.get("name"), str), f"{where}.name: Field required", where)
            refuse_if(
                not isinstance(block.get("input"), Mapping),
                f"{where}.input: Input should be an object",
                where,
            )


def _check_tool_blocks(turns: Sequence[Turn], has_tools: bool) -> None:
    waiting: list[str] = []
    for i, (role, blocks) in enumerate(turns):
        uses = [block["id"] for block in blocks if block["type"] == "tool_use"]
        results = [block.get("tool_use_id") for block in blocks if block["type"] == "tool_result"]
        where = f"messages.{i}"
        missing = "requests with `tool_use` or `tool_result` blocks in their history must define tools"
        refuse_if(bool(uses or results) and not has_tools, missing, "tools")
        refuse_if(len(set(uses)) != len(uses), f"{where}: `tool_use` ids must be unique", where)
        if role == "user":
            _check_results(where, blocks, results, waiting)
        waiting = uses


def _check_results(
    where: str, blocks: Sequence[Mapping[str, Any]], results: Sequence[Any], waiting: Sequence[str]
) -> None:
    for result in results:
        known = result in waiting
        refuse_if(
            not known, f"{where}: unexpected `tool_use_id` found in `tool_result` blocks: {result}", where
        )
    refuse_if(len(set(results)) != len(results), f"{where}: each tool_use must have a single result", where)
    unanswered = [use for use in waiting if use not in results]
    text = f"{where}: `tool_use` ids were found without `tool_result` blocks immediately after: "
    refuse_if(bool(unanswered), text + ", ".join(unanswered), where)
    kinds = [block["type"] for block in blocks]
    leading = kinds[: len(results)]
    refuse_if("text" in leading, f"{where}: `tool_result` blocks must come before any text", where)


ORIGIN = "anthropic"


def read_messages(body: Mapping[str, Any], headers: Mapping[str, str]) -> Inquiry:
    """Read the body of ``/v1/messages``, or raise :exc:`~sunwell.simulator.wire.Refusal`."""
    return _read(body, headers, counting=False)


def read_count(body: Mapping[str, Any], headers: Mapping[str, str]) -> Inquiry:
    """Read the body of ``/v1/messages/count_tokens``, which has fewer fields."""
    return _read(body, headers, counting=True)


def _read(body: Mapping[str, Any], headers: Mapping[str, str], *, counting: bool) -> Inquiry:
    check_fields(body, headers, counting=counting)
    turns = turns_of(body)
    sections = _system(body.get("system"))
    config = body.get("output_config") or {}
    shape = config.get("format")
    thinking = (body.get("thinking") or {}).get("type", "")
    silent = (body.get("tool_choice") or {}).get("type") == "none"
    marked = [pair for turn in turns for pair in _messages(turn)]
    pieces: list[Piece] = [schema_piece(encode(shape["schema"]).decode())] if shape else []
    pieces += (_tool(tool) for tool in body.get("tools") or ())
    pieces += (system_piece(text, mark) for text, mark in sections)
    pieces += (piece for message, marks in marked for piece in message_pieces(message, marks))
    asked = Asked(
        model=body["model"],
        system="\n\n".join(text for text, _ in sections),
        messages=tuple(message for message, _ in marked),
        tools=() if silent else tuple(tool["name"] for tool in body.get("tools") or ()),
        schema=shape["schema"] if shape else None,
        max_output_tokens=body.get("max_tokens"),
    )
    settings = f"{config.get('effort') or ''}/{thinking}".encode()
    prompt = Prompt(marked_at_end(pieces, _mark(body)), settings)
    return Inquiry(asked, prompt, body.get("stream") is True, thinking=thinking != "disabled")


def _system(system: Any) -> list[tuple[str, CacheLife | None]]:
    if system is None or system == "":
        return []
    sections: list[tuple[str, CacheLife | None]] = []
    for i, block in enumerate(blocks_of(system, "system")):
        refuse_if(block["type"] != "text", f"system.{i}.type: Input should be 'text'", "system")
        text = block.get("text")
        refuse_if(not isinstance(text, str), f"system.{i}.text: Field required", "system")
        refuse_if(not text, "system: text content blocks must be non-empty", "system")
        sections.append((str(text), _mark(block)))
    return sections


def _tool(tool: Mapping[str, Any]) -> Piece:
    schema = encode(tool["input_schema"]).decode()
    return tool_piece(tool["name"], tool.get("description") or "", schema, _mark(tool))


def _mark(block: Mapping[str, Any]) -> CacheLife | None:
    control = block.get("cache_control")
    if not control:
        return None
    life: CacheLife = "1h" if control.get("ttl") == "1h" else "5m"
    return life


def _messages(turn: Turn) -> list[tuple[Message, list[CacheLife | None]]]:
    """Return the ``core`` messages for *turn*, tool results separate, with the breakpoints of their parts."""
    role, blocks = turn
    split: dict[Role, list[Mapping[str, Any]]] = {}
    for block in blocks:
        spoken: Role = "assistant" if role == "assistant" else "user"
        split.setdefault("tool" if block["type"] == "tool_result" else spoken, []).append(block)
    return [
        (Message(name, tuple(_part(block) for block in group)), [_mark(block) for block in group])
        for name, group in split.items()
    ]


def _part(block: Mapping[str, Any]) -> Part:
    match block["type"]:
        case "text":
            return Text(block["text"])
        case "tool_use":
            return ToolCall(block["id"], block["name"], encode(block["input"]).decode())
        case "tool_result":
            content = _result_text(block.get("content", ""))
            return ToolResult(block["tool_use_id"], content, block.get("is_error") is True)
    return Thinking(block.get("thinking", ""), as_raw(block), ORIGIN)


def _result_text(content: str | Sequence[Mapping[str, Any]]) -> str:
    blocks = blocks_of(content, "tool_result.content")
    texts = []
    for block in blocks:
        refuse_if(block["type"] != "text", "tool_result.content: the simulator reads text only", "messages")
        texts.append(str(block.get("text", "")))
    return "".join(texts)


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


def _plain(answer: WireAnswer) -> dict[str, Any]:
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


def _stream(answer: WireAnswer) -> list[Chunk]:
    return list(_events(answer))


def _events(answer: WireAnswer) -> Iterator[Chunk]:
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


def _message(answer: WireAnswer) -> dict[str, Any]:
    return {
        "id": f"msg_{answer.request_id}",
        "type": "message",
        "role": "assistant",
        "model": answer.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }


def _whole(part: Part, answer: WireAnswer) -> dict[str, Any]:
    match part:
        case Text(text):
            return {"type": "text", "text": text}
        case Thinking(text):
            return thinking_block(text)
        case ToolCall(_, _, arguments):
            return _empty(part) | {"input": _input(arguments, cut=answer.said.stop == "length")}
    raise TypeError("a model's answer cannot hold the result of a tool")


def _empty(part: Part) -> dict[str, Any]:
    """Return the block that starts *part* in a stream."""
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
    """Return the arguments in this format: truncated JSON becomes empty, malformed JSON a string."""
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


MESSAGES = WireFormat(
    "messages", read_messages, _plain, _stream, _refuse, read_count, keep_alive=_event(type="ping").data
)
"""Anthropic's Messages."""
