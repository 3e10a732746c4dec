"""Chat Completions as on compatible servers that want back what they sent: reasoning, signatures, ids.

Each dialect adds what its server sends to answers with tool calls, and rejects requests in which it is
missing or changed. A server that has not written a call cannot have signed it: histories of other models
are rejected, too, if the real server does so.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import attrs

from sunwell.core.message import Thinking
from sunwell.simulator.chat_wire import CHAT, read_chat, refuse_if
from sunwell.simulator.signatures import is_genuine, signature_of, thinking_block
from sunwell.simulator.wire import Chunk, Inquiry, WireAnswer, WireFormat, encode, pieces_of

Answered = dict[str, Any]
"""The message of an answer, before it is sent as a whole or in pieces."""


def _thought_of(answer: WireAnswer) -> str:
    """Return what the model thought; a server that reasons always thinks something before a call."""
    thoughts = [part.text for part in answer.said.parts if isinstance(part, Thinking)]
    return "".join(thoughts) or "A tool is needed."


def _with_calls(body: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield place and message of each assistant message with tool calls."""
    for i, message in enumerate(body.get("messages") or ()):
        if isinstance(message, Mapping) and message.get("role") == "assistant" and message.get("tool_calls"):
            yield f"messages[{i}]", message


# Gemini: the first call of a turn is signed, in ``extra_content``.


_UNSIGNED = "skip_thought_signature_validator"  # Google's own mark for calls of other models


def _sign_call(message: Answered, answer: WireAnswer) -> None:
    for call in message.get("tool_calls", ())[:1]:
        call["extra_content"] = {"google": {"thought_signature": _call_signature(call)}}


def _call_signature(call: Mapping[str, Any]) -> str:
    function = call.get("function") or {}
    return signature_of(f"{call.get('id')}:{function.get('name')}")


def _check_call_signature(body: Mapping[str, Any]) -> None:
    for where, message in _with_calls(body):
        call = message["tool_calls"][0]
        given = ((call.get("extra_content") or {}).get("google") or {}).get("thought_signature")
        missing = "Function call is missing a thought_signature in functionCall parts."
        refuse_if(given is None, missing, where)
        refuse_if(given not in (_UNSIGNED, _call_signature(call)), "Thought signature is not valid.", where)


# OpenRouter: entries of ``reasoning_details``, streamed in pieces with an index.


def _add_details(message: Answered, answer: WireAnswer) -> None:
    if not message.get("tool_calls"):
        return
    block = thinking_block(_thought_of(answer))
    text = {"type": "reasoning.text", "text": block["thinking"], "signature": block["signature"]}
    message["reasoning"] = block["thinking"]
    message["reasoning_details"] = [text | {"format": "anthropic-claude-v1", "index": 0}]
    message["reasoning_details"] += [
        {
            "type": "reasoning.encrypted",
            "data": signature_of(call["id"]),
            "id": call["id"],
            "format": "google-gemini-v1",
            "index": 1,
        }
        for call in message["tool_calls"]
    ]


def _check_details(body: Mapping[str, Any]) -> None:
    for where, message in _with_calls(body):
        given = message.get("reasoning_details")
        refuse_if(not isinstance(given, list), f"{where}.reasoning_details: Required", where)
        details = [one for one in given or () if isinstance(one, Mapping)]
        encrypted = {one.get("id"): one.get("data") for one in details if "data" in one}
        for call in message["tool_calls"]:
            wrong = encrypted.get(call["id"]) != signature_of(call["id"])
            refuse_if(wrong, f"{where}: invalid encrypted reasoning for {call['id']}", where)
        texts = [one for one in details if "text" in one]
        signed = [
            {"type": "thinking", "thinking": one["text"], "signature": one.get("signature")} for one in texts
        ]
        unchanged = [one.get("format") for one in texts] == ["anthropic-claude-v1"] and all(
            map(is_genuine, signed)
        )
        refuse_if(not unchanged, f"{where}: Invalid `signature` in `thinking` block", where)


# DeepSeek: plain text in ``reasoning_content``, which may not be missing beside calls.


def _add_reasoning(message: Answered, answer: WireAnswer) -> None:
    if message.get("tool_calls"):
        message["reasoning_content"] = _thought_of(answer)


def _check_reasoning(body: Mapping[str, Any]) -> None:
    for where, message in _with_calls(body):
        told = message.get("reasoning_content")
        missing = f"Missing `reasoning_content` field in the assistant message ({where})."
        refuse_if(not isinstance(told, str) or not told, missing, where)


# Mistral: the content is a list of parts, ids are nine letters or digits, unknown fields are rejected.


_NINE = re.compile(r"[a-zA-Z0-9]{9}")
_ASSISTANT_FIELDS = frozenset({"role", "content", "tool_calls", "prefix"})


def _add_parts(message: Answered, answer: WireAnswer) -> None:
    for call in message.get("tool_calls", ()):
        call["id"] = signature_of(call.get("id", "")).translate(_NOT_A_LETTER)[:9]
    if not message.get("tool_calls"):
        return
    text = message["content"]
    signed = thinking_block(_thought_of(answer))
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": signed["thinking"]}], "closed": True}
    message["content"] = [thought] + ([{"type": "text", "text": text}] if text else [])


_NOT_A_LETTER = str.maketrans("+/=", "xyz")


def _check_parts(body: Mapping[str, Any]) -> None:
    for i, message in enumerate(body.get("messages") or ()):
        where = f"messages[{i}]"
        if not isinstance(message, Mapping):
            continue
        ids = [call.get("id") for call in message.get("tool_calls") or () if isinstance(call, Mapping)]
        for call_id in [*ids, *([message["tool_call_id"]] if "tool_call_id" in message else [])]:
            wrong = f"Tool call id was {call_id} but must be a-z, A-Z, 0-9, with a length of 9."
            refuse_if(not (isinstance(call_id, str) and _NINE.fullmatch(call_id)), wrong, where)
        if message.get("role") != "assistant":
            continue
        for name in message:
            refuse_if(name not in _ASSISTANT_FIELDS, f"{where}.{name}: Extra inputs are not permitted", where)
        empty = not message.get("content") and not ids
        refuse_if(empty, "Assistant message must have either content or tool_calls, but not none.", where)


def _without_thoughts(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return *body* with plain texts as content, after a look at the thinking parts."""
    messages = []
    for i, message in enumerate(body.get("messages") or ()):
        content = message.get("content") if isinstance(message, Mapping) else None
        if isinstance(content, list) and message["role"] == "assistant":
            for part in content:
                is_thought = isinstance(part, Mapping) and part.get("type") == "thinking"
                texts = part.get("thinking") if is_thought else [part]
                whole = isinstance(texts, list) and all(set(one) == {"type", "text"} for one in texts)
                refuse_if(not whole, f"messages[{i}].content: invalid part", "messages")
            message = {**message, "content": [part for part in content if part["type"] == "text"] or None}
        messages.append(message)
    return {**body, "messages": messages}


# What is common to all.

_CHARACTERS = 40


def _dialect(
    name: str,
    add: Callable[[Answered, WireAnswer], None],
    check: Callable[[Mapping[str, Any]], None],
    simplify: Callable[[Mapping[str, Any]], Mapping[str, Any]] = lambda body: body,
) -> WireFormat:
    def read(body: Mapping[str, Any], headers: Mapping[str, str]) -> Inquiry:
        check(body)
        return attrs.evolve(read_chat(simplify(body), headers), thinking=True)

    def plain(answer: WireAnswer) -> dict[str, Any]:
        body = CHAT.plain(answer)
        add(body["choices"][0]["message"], answer)
        return body

    def stream(answer: WireAnswer) -> list[Chunk]:
        whole = plain(answer)
        return [*_chunks(whole, answer)]

    return attrs.evolve(CHAT, name=name, read=read, plain=plain, stream=stream)


def _chunks(whole: Mapping[str, Any], answer: WireAnswer) -> Iterator[Chunk]:
    choice, usage = whole["choices"][0], whole.get("usage")
    head = {key: value for key, value in whole.items() if key not in ("choices", "usage")}
    head["object"] = "chat.completion.chunk"

    def chunk(delta: Mapping[str, Any], finish: str | None = None) -> Chunk:
        body = {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
        is_call = any("arguments" in call["function"] for call in delta.get("tool_calls", ()))
        place = "finish" if finish else "call-end" if is_call else "content"
        return Chunk(b"data: " + encode(body) + b"\n\n", place)  # type: ignore[arg-type]

    yield chunk({"role": "assistant", "content": ""})
    for delta in _pieces(choice["message"]):
        yield chunk(delta)
    yield chunk({}, choice["finish_reason"])
    if answer.include_usage and usage is not None:
        yield Chunk(b"data: " + encode({**head, "choices": [], "usage": usage}) + b"\n\n", "finish")
    yield Chunk(b"data: [DONE]\n\n", "terminal")


def _pieces(message: Answered) -> Iterator[dict[str, Any]]:
    for name in ("reasoning_content", "reasoning", "refusal"):
        for piece in pieces_of(message[name]) if message.get(name) else ():
            yield {name: piece}
    for entry in message.get("reasoning_details", ()):
        yield from ({"reasoning_details": [piece]} for piece in _pieces_of_entry(entry))
    content = message.get("content")
    if isinstance(content, str):
        yield from ({"content": piece} for piece in pieces_of(content) if piece)
    for part in content if isinstance(content, list) else ():
        if part["type"] == "text":
            yield {"content": part["text"]}
        else:
            text = part["thinking"][0]["text"]
            for piece in pieces_of(text):
                yield {"content": [{**part, "thinking": [{"type": "text", "text": piece}]}]}
    for index, call in enumerate(message.get("tool_calls", ())):
        yield {"tool_calls": [{"index": index, **call}]}


def _pieces_of_entry(entry: Mapping[str, Any]) -> Sequence[dict[str, Any]]:
    """Return the text in pieces, and the signature after it, as Anthropic's models stream them."""
    if "text" not in entry:
        return [dict(entry)]
    common = {key: entry[key] for key in ("type", "format", "index")}
    texts = [common | {"text": piece} for piece in pieces_of(entry["text"])]
    return [*texts, common | {"signature": entry["signature"]}]


DIALECTS: Mapping[str, WireFormat] = {
    "gemini": _dialect("chat", _sign_call, _check_call_signature),
    "openrouter": _dialect("chat", _add_details, _check_details),
    "deepseek": _dialect("chat", _add_reasoning, _check_reasoning),
    "mistral": _dialect("chat", _add_parts, _check_parts, _without_thoughts),
}
"""By the name of the server that they imitate."""
