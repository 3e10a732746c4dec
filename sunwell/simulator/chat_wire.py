"""Chat Completions on the simulator: checks and reads requests, writes answers and errors."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs

from sunwell.core.message import Message, Part, Text, ToolCall, ToolResult
from sunwell.core.model import CacheLife
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
_LONGEST_ID = 40
_ROLES = ("system", "developer", "user", "assistant", "tool")


def refuse_if(wrong: bool, message: str, param: str | None = None, code: str | None = None) -> None:
    """Raise a :exc:`Refusal` with status 400 if *wrong*."""
    if wrong:
        raise Refusal(400, message, param, code)


def check_arguments(arguments: str, where: str) -> None:
    """Raise :exc:`Refusal` if *arguments* are not the text of a JSON object, as strict servers do."""
    import msgspec

    try:
        is_object = isinstance(msgspec.json.decode(arguments), dict)
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
        is_object = False
    refuse_if(not is_object, f"Invalid '{where}': expected the text of a JSON object.", where)


def check_fields(body: Mapping[str, Any]) -> None:
    """Check everything except the messages."""
    refuse_if(not isinstance(body.get("model"), str), "you must provide a model parameter", "model")
    both = body.get("max_tokens") is not None and body.get("max_completion_tokens") is not None
    refuse_if(both, "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.")
    for name in ("max_tokens", "max_completion_tokens"):
        limit = body.get(name)
        whole = limit is None or (isinstance(limit, int) and not isinstance(limit, bool) and limit >= 1)
        refuse_if(not whole, f"Invalid '{name}': expected a whole number of at least 1.", name)
    effort = body.get("reasoning_effort")
    refuse_if(
        effort is not None and effort not in _EFFORTS, f"Invalid value: {effort!r}.", "reasoning_effort"
    )
    refuse_if(body.get("n") not in (None, 1), "The simulator gives one choice: leave 'n' out.", "n")
    stray = body.get("stream_options") is not None and body.get("stream") is not True
    refuse_if(
        stray, "The 'stream_options' parameter is only allowed when 'stream' is enabled.", "stream_options"
    )
    _check_tools(body)
    _check_response_format(body.get("response_format"))


def _check_tools(body: Mapping[str, Any]) -> None:
    tools = body.get("tools")
    refuse_if(tools is not None and not tools, "[] is too short - 'tools'", "tools")
    for i, tool in enumerate(tools or ()):
        is_function = isinstance(tool, Mapping) and tool.get("type") == "function"
        function = tool.get("function") if is_function else None
        refuse_if(
            not isinstance(function, Mapping), f"Missing required parameter: 'tools[{i}].function'.", "tools"
        )
        name = (function or {}).get("name")
        fits = isinstance(name, str) and _NAME.fullmatch(name)
        refuse_if(not fits, f"Invalid 'tools[{i}].function.name': '^[a-zA-Z0-9_-]{{1,64}}$'.", "tools")
    if body.get("tool_choice") is not None and not tools:
        raise Refusal(400, "'tool_choice' is only allowed when 'tools' are specified.", "tool_choice")


def _check_response_format(shape: Any) -> None:
    if shape is None:
        return
    kind = shape.get("type") if isinstance(shape, Mapping) else None
    refuse_if(
        kind not in ("text", "json_object", "json_schema"),
        "Invalid 'response_format.type'.",
        "response_format",
    )
    if kind == "json_schema":
        named = shape.get("json_schema")
        fits = (
            isinstance(named, Mapping)
            and isinstance(named.get("name"), str)
            and _NAME.fullmatch(named["name"])
        )
        refuse_if(not fits, "Missing or invalid 'response_format.json_schema.name'.", "response_format")
        if named.get("strict"):
            check_schema(named.get("schema"), "openai", "response_format.json_schema.schema")


def check_messages(messages: Any) -> Sequence[Mapping[str, Any]]:
    """Return *messages*, or raise :exc:`Refusal` if their order or content is invalid."""
    refuse_if(not isinstance(messages, list), "Missing required parameter: 'messages'.", "messages")
    refuse_if(not messages, "Invalid 'messages': empty array.", "messages")
    waiting: list[str] = []
    for i, message in enumerate(messages):
        where = f"messages[{i}]"
        role = message.get("role") if isinstance(message, Mapping) else None
        refuse_if(role not in _ROLES, f"Invalid value: {role!r} for '{where}.role'.", where)
        if role == "tool":
            call_id = message.get("tool_call_id")
            stray = "messages with role 'tool' must be a response to a preceding message with 'tool_calls'."
            refuse_if(call_id not in waiting, f"Invalid parameter: {stray}", where)
            waiting.remove(call_id)
        else:
            _all_answered(waiting, where)
            waiting = _calls_of(message, where) if role == "assistant" else []
        _check_content(message, where)
    _all_answered(waiting, "messages")
    return messages  # type: ignore[no-any-return]


def _all_answered(waiting: Sequence[str], where: str) -> None:
    text = "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
    text += "'tool_call_id'. The following tool_call_ids did not have response messages: "
    refuse_if(bool(waiting), text + ", ".join(waiting), where)


def _calls_of(message: Mapping[str, Any], where: str) -> list[str]:
    calls = message.get("tool_calls")
    refuse_if(calls is not None and not calls, f"[] is too short - '{where}.tool_calls'", where)
    ids = []
    for call in calls or ():
        function = call.get("function") if isinstance(call, Mapping) else None
        if not isinstance(function, Mapping):
            raise Refusal(400, f"Missing '{where}.tool_calls[].function'.", where)
        texts = (call.get("id"), function.get("name"), function.get("arguments"))
        whole = all(isinstance(text, str) for text in texts) and texts[0]
        refuse_if(not whole, f"'{where}.tool_calls' need an id, a name and arguments, all strings.", where)
        fits = _NAME.fullmatch(function["name"])
        refuse_if(
            not fits, f"Invalid '{where}.tool_calls[].function.name': '^[a-zA-Z0-9_-]{{1,64}}$'.", where
        )
        long = (
            f"Invalid '{where}.tool_calls[].id': string too long. Expected a string with maximum length 40."
        )
        refuse_if(len(call["id"]) > _LONGEST_ID, long, where)
        check_arguments(function["arguments"], f"{where}.tool_calls[].function.arguments")
        ids.append(call["id"])
    refuse_if(len(set(ids)) != len(ids), f"Duplicate ids in '{where}.tool_calls'.", where)
    return ids


def _check_content(message: Mapping[str, Any], where: str) -> None:
    content = message.get("content")
    if content is None:
        empty = f"Invalid value for 'content': expected a string, got null ({where})."
        refuse_if(message["role"] != "assistant" or not message.get("tool_calls"), empty, where)
        return
    if isinstance(content, str):
        return
    refuse_if(not isinstance(content, list) or not content, f"Invalid type for '{where}.content'.", where)
    for part in content:
        is_text = (
            isinstance(part, Mapping) and part.get("type") == "text" and isinstance(part.get("text"), str)
        )
        refuse_if(not is_text, f"'{where}.content': the simulator reads parts of type 'text' only.", where)
        mark = part.get("prompt_cache_breakpoint")
        explicit = mark is None or (isinstance(mark, Mapping) and mark.get("mode") == "explicit")
        refuse_if(not explicit, f"'{where}.content': prompt_cache_breakpoint.mode must be 'explicit'.", where)


def read_chat(body: Mapping[str, Any], headers: Mapping[str, str]) -> Inquiry:
    """Read the body of ``/v1/chat/completions``, or raise :exc:`~sunwell.simulator.wire.Refusal`."""
    check_fields(body)
    messages = check_messages(body.get("messages"))
    functions = [tool["function"] for tool in body.get("tools") or ()]
    shape = body.get("response_format") or {}
    schema = shape["json_schema"].get("schema") if shape.get("type") == "json_schema" else None
    limit = body.get("max_completion_tokens")
    options = body.get("prompt_cache_options") or {}
    pieces: list[Piece] = [] if schema is None else [schema_piece(encode(schema).decode())]
    pieces += (_tool(function) for function in functions)
    pieces += (piece for message in messages for piece in _pieces(message))
    asked = Asked(
        model=body["model"],
        system="\n\n".join(text for m in messages if _is_system(m) for text, _ in _texts(m)),
        messages=_joined([_message(m) for m in messages if not _is_system(m)]),
        tools=() if body.get("tool_choice") == "none" else tuple(function["name"] for function in functions),
        schema=schema,
        max_output_tokens=body.get("max_tokens") if limit is None else limit,
    )
    return Inquiry(
        asked,
        Prompt(
            tuple(pieces),
            (body.get("reasoning_effort") or "").encode(),
            implicit=options.get("mode", "implicit") == "implicit",
        ),
        stream=body.get("stream") is True,
        include_usage=(body.get("stream_options") or {}).get("include_usage") is True,
        thinking=False,  # this format has no field for it
    )


def _is_system(message: Mapping[str, Any]) -> bool:
    return message["role"] in ("system", "developer")


def _tool(function: Mapping[str, Any]) -> Piece:
    schema = encode(function["parameters"]).decode() if "parameters" in function else ""
    return tool_piece(function["name"], function.get("description") or "", schema)


def _pieces(message: Mapping[str, Any]) -> list[Piece]:
    texts = _texts(message)
    if _is_system(message):
        sections = [system_piece(text, mark) for text, mark in texts]
        return [*sections[:-1], ending_message(sections[-1])] if sections else []
    return message_pieces(_message(message), [mark for _, mark in texts])


def _texts(message: Mapping[str, Any]) -> list[tuple[str, CacheLife | None]]:
    content = message.get("content")
    if content is None or content == "":
        return []
    if isinstance(content, str):
        return [(content, None)]
    return [(part["text"], "5m" if part.get("prompt_cache_breakpoint") else None) for part in content]


def _message(message: Mapping[str, Any]) -> Message:
    texts = _texts(message)
    if message["role"] == "tool":
        return Message("tool", (ToolResult(message["tool_call_id"], "".join(text for text, _ in texts)),))
    parts: list[Part] = [Text(text) for text, _ in texts]
    for call in message.get("tool_calls") or ():
        function = call["function"]
        parts.append(ToolCall(call["id"], function["name"], function["arguments"]))
    return Message("assistant" if message["role"] == "assistant" else "user", tuple(parts))


def _joined(messages: Sequence[Message]) -> tuple[Message, ...]:
    """Return *messages* with the results of one turn in one message, as in ``core``."""
    out: list[Message] = []
    for message in messages:
        if message.role == "tool" and out and out[-1].role == "tool":
            out[-1] = Message("tool", out[-1].parts + message.parts)
        else:
            out.append(message)
    return tuple(out)


_STOPS = {"end": "stop", "tool_calls": "tool_calls", "length": "length", "refusal": "content_filter"}


def _plain(answer: WireAnswer) -> dict[str, Any]:
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


def _stream(answer: WireAnswer) -> list[Chunk]:
    return list(_chunks(answer))


def _chunks(answer: WireAnswer) -> Iterator[Chunk]:
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


def _call_chunks(answer: WireAnswer, index: int, call: ToolCall) -> Iterator[Chunk]:
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
    answer: WireAnswer, delta: dict[str, Any], *, place: ChunkPlace = "content", stop: str | None = None
) -> Chunk:
    body = _head(answer, "chat.completion.chunk")
    body["choices"] = [{"index": 0, "delta": delta, "finish_reason": stop, "logprobs": None}]
    if answer.include_usage:
        body["usage"] = None
    return _event(body, place)


def _event(body: dict[str, Any], place: ChunkPlace) -> Chunk:
    return Chunk(b"data: " + encode(body) + b"\n\n", place)


def _head(answer: WireAnswer, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{answer.request_id}",
        "object": kind,
        "created": answer.created,
        "model": answer.model,
        "service_tier": "default",
    }


def _text(answer: WireAnswer) -> str:
    return "".join(part.text for part in answer.said.parts if isinstance(part, Text))


def _calls(answer: WireAnswer) -> list[ToolCall]:
    return [part for part in answer.said.parts if isinstance(part, ToolCall)]


def _call(call: ToolCall) -> dict[str, Any]:
    body = {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
    if not call.id:
        del body["id"]
    return body


def _stop(answer: WireAnswer) -> str:
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

_UNKNOWN = (
    "max_completion_tokens", "reasoning_effort", "prompt_cache_key", "prompt_cache_options", "stream_options",
    "parallel_tool_calls", "service_tier", "store",
)  # fmt: skip


def read_plain(body: Mapping[str, Any], headers: Mapping[str, str]) -> Inquiry:
    """Read a request like such a server, or raise :exc:`~sunwell.simulator.wire.Refusal`."""
    for name in _UNKNOWN:
        refuse_if(name in body, f"unknown field: '{name}'", name)
    shape = body.get("response_format")
    kind = shape.get("type") if isinstance(shape, Mapping) else None
    wanted = "response_format: only 'text' is supported by this server"
    refuse_if(shape is not None and kind != "text", wanted, "response_format")
    for tool in body.get("tools") or ():
        function = tool.get("function") if isinstance(tool, Mapping) else None
        strict = isinstance(function, Mapping) and "strict" in function
        refuse_if(strict, "tools[].function: unknown field 'strict'", "tools")
    for message in body.get("messages") or ():
        content = message.get("content") if isinstance(message, Mapping) else None
        refuse_if(isinstance(content, list), "messages[].content must be a string", "messages")
    return attrs.evolve(read_chat(body, headers), include_usage=False)


PLAIN = attrs.evolve(CHAT, read=read_plain)
"""Chat Completions as on a simple compatible server."""
