"""Any answer of a provider can be sent back: strict servers accept it, and what must be unchanged is."""

import base64
import functools
import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sunwell.core.message import Message, Text, Thinking, ToolCall, ToolResult, user
from sunwell.core.model import Completion, Request, ToolSpec
from sunwell.journal.codec import decode, encode
from sunwell.journal.records import Answer
from sunwell.models import anthropic_messages, openai_chat, openai_responses
from sunwell.models.quirks import OPENAI_QUIRKS, ChatQuirks
from sunwell.models.returned import joined_details, nine_characters, origin_of, sound_arguments, sound_name
from sunwell.simulator.chat_wire import read_chat
from sunwell.simulator.messages_wire import read_messages
from sunwell.simulator.responses_wire import read_responses
from sunwell.simulator.signatures import signature_of, thinking_block

TOOL = ToolSpec("read", "Reads.", {"type": "object", "properties": {}})
VERSION = {"anthropic-version": "2026-10-21"}
TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
SOME_TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc", "Z")), min_size=1, max_size=12)
ARGUMENTS = st.one_of(
    st.dictionaries(TEXTS, st.none() | st.integers() | TEXTS, max_size=3).map(json.dumps),
    st.sampled_from(
        ['{"path": "src', "", "null", "[1]", '"x"', '{"a": NaN}', '{"a": 1e999}', '{"a": "x\ny"}', "{} {}",
         '{"a": "\\ud800"}', '{"a":' * 2_000, "\ufeff{}"]
    ),
    TEXTS,
)  # fmt: skip
NAMES = st.sampled_from(["read", "functions.read", "read file", "", "x" * 200, "é"])
IDS = st.sampled_from(["call_1", "call_2", "c" * 90, "functions.read:0", ""])
CALLS = st.lists(st.tuples(IDS, NAMES, ARGUMENTS), max_size=3)
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXTS, inner, max_size=2),
    max_leaves=4,
)
SIGNATURE = st.dictionaries(
    st.sampled_from(["google", "other"]),
    st.dictionaries(SOME_TEXT, ANY_JSON, min_size=1, max_size=2),
    min_size=1,
)


def kept_in_the_journal(completion: Completion) -> Completion:
    """Return *completion* as a resumed run reads it."""
    record = Answer("run", 0, 1, "work", 0, "d", completion, None, 1.0, 2.0)
    line = decode(encode(record, 0))
    assert line is not None
    assert isinstance(line.record, Answer)
    return line.record.completion


def conversation(completion: Completion) -> Request:
    """Return the request that follows *completion*, with a result for each call."""
    message = kept_in_the_journal(completion).as_message()
    results = tuple(ToolResult(call.id, "x") for call in message.tool_calls)
    after = Message("tool", results) if results else user("go on")
    return Request(messages=[user("x"), message, after], tools=[TOOL])


def body_of(pieces: tuple[bytes, ...]) -> Any:
    return json.loads(b"".join(pieces))


@functools.cache
def published(types: str, name: str) -> Any:
    """Return the SDK's published schema of a list of messages or items."""
    import importlib

    from pydantic import TypeAdapter

    return TypeAdapter(list[getattr(importlib.import_module(types), name)])


def follows_published(types: str, name: str, value: Any) -> None:
    """Raise if *value* is not what the SDK's published schema says."""
    published(types, name).validate_python(value)


def chat_call(call_id: str, name: str, arguments: str, extra: Any) -> dict[str, Any]:
    call = {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
    return call if extra is None else call | {"extra_content": extra}


@settings(max_examples=150)
@given(
    text=TEXTS,
    calls=st.lists(st.tuples(IDS, NAMES, ARGUMENTS, st.none() | SIGNATURE), max_size=3),
    details=st.lists(st.dictionaries(SOME_TEXT, ANY_JSON, max_size=3), max_size=3),
    reasoning=TEXTS,
    call_ids=st.sampled_from(["short", "nine"]),
    streamed=st.booleans(),
)
def test_any_answer_of_chat_completions_goes_back(text, calls, details, reasoning, call_ids, streamed):
    """Malformed arguments, odd names and long ids are mended; details and signatures are unchanged."""
    made = [chat_call(*call) for call in calls]
    message = {"role": "assistant", "content": text, "reasoning": reasoning, "reasoning_details": details}
    origin = origin_of(openai_chat.ORIGIN, "lab", "m")
    if streamed:
        reader = openai_chat.ChunkReader("m", origin=origin)
        own = [
            {**entry, "type": f"t{place}"} for place, entry in enumerate(details)
        ]  # none continues another
        details = own
        for delta in (
            {"content": text, "reasoning": reasoning},
            *({"reasoning_details": [entry]} for entry in own),
            *({"tool_calls": [{"index": place, **call}]} for place, call in enumerate(made)),
        ):
            reader.take(json.dumps({"choices": [{"index": 0, "delta": delta}]}).encode())
        reader.take(b'{"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}')
        reader.take(b"[DONE]")
        got = reader.completion()
    else:
        answer = {"choices": [{"message": {**message, "tool_calls": made}, "finish_reason": "stop"}]}
        got = openai_chat.read_answer(json.dumps(answer).encode(), "m", origin=origin)
    quirks = ChatQuirks(call_ids=call_ids)
    request = conversation(got)
    body = body_of(openai_chat.encode_request("m", request, quirks, streaming=False, origin=origin))
    read_chat(body, {})
    follows_published("openai.types.chat", "ChatCompletionMessageParam", body["messages"])
    (sent,) = [one for one in body["messages"] if one["role"] == "assistant"]
    assert sent.get("reasoning_details", []) == details
    assert sent.get("reasoning", "") == reasoning
    wanted = [extra or {} for _, _, _, extra in calls]
    assert [call.get("extra_content", {}) for call in sent.get("tool_calls", ())] == wanted
    foreign = body_of(
        openai_chat.encode_request("m2", request, OPENAI_QUIRKS, streaming=False, origin="openai-chat@lab/m2")
    )
    read_chat(foreign, {})
    (bare,) = [one for one in foreign["messages"] if one["role"] == "assistant"]
    assert bare.keys() <= {"role", "content", "tool_calls"}
    assert all(call.keys() == {"id", "type", "function"} for call in bare.get("tool_calls", ()))


THOUGHTS = st.builds(
    lambda text, closed: {"type": "thinking", "thinking": [{"type": "text", "text": text}], "closed": closed},
    SOME_TEXT, st.booleans(),
)  # fmt: skip


@given(
    st.lists(THOUGHTS | SOME_TEXT.map(lambda text: {"type": "text", "text": text}), min_size=1, max_size=4)
)
def test_thinking_parts_of_the_content_go_back_in_their_place(parts):
    """As Mistral sends them; neighbouring texts may be joined, parts of other types are unchanged."""
    origin = origin_of(openai_chat.ORIGIN, "mistral", "m")
    answer = {"choices": [{"message": {"content": parts}, "finish_reason": "stop"}]}
    got = openai_chat.read_answer(json.dumps(answer).encode(), "m", origin=origin)
    assert got.text == "".join(part["text"] for part in parts if part["type"] == "text")
    (sent,) = json.loads(
        b"[" + openai_chat.encode_message(kept_in_the_journal(got).as_message(), origin=origin) + b"]"
    )
    content = sent["content"]
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]

    def flat(all_parts):
        return "".join(part["text"] if part["type"] == "text" else json.dumps(part) for part in all_parts)

    joined: list[dict[str, Any]] = []
    for part in parts:  # what a server sends in neighbouring parts may be pieces of one thought
        if not (joined and part["type"] == "thinking" and openai_chat.joined_parts(joined[-1], part)):
            joined.append(dict(part))
    assert flat(content) == flat(joined)


PHASES = st.sampled_from([None, "commentary", "final_answer"])
REASONING = st.builds(
    lambda text, kind: {
        "type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": text}],
    } | ({"encrypted_content": thinking_block(text)["signature"]} if kind else {}),
    SOME_TEXT, st.booleans(),
)  # fmt: skip
SAID = st.builds(
    lambda text, phase: {
        "type": "message", "id": "msg_1", "status": "completed", "role": "assistant",
        "content": [{"type": "output_text", "text": text, "annotations": []}],
    } | ({"phase": phase} if phase else {}),
    TEXTS, PHASES,
)  # fmt: skip
FUNCTION_CALLS = st.builds(
    lambda call_id, name, arguments: {
        "type": "function_call", "id": "fc_1", "call_id": call_id, "name": name, "arguments": arguments,
    },
    IDS, NAMES, ARGUMENTS,
)  # fmt: skip


@settings(max_examples=150)
@given(st.lists(REASONING | SAID | FUNCTION_CALLS, max_size=4))
def test_any_answer_of_responses_goes_back(items):
    """Phases and encrypted reasoning are unchanged; what only names a stored item is left out."""
    origin = origin_of(openai_responses.ORIGIN, "openai", "m")
    answer = {"id": "resp_1", "status": "completed", "output": items}
    got = openai_responses.read_answer(json.dumps(answer).encode(), "m", origin)
    request = conversation(got)
    body = body_of(openai_responses.encode_request("m", request, streaming=False, origin=origin))
    read_responses(body, {})
    follows_published("openai.types.responses", "ResponseInputItemParam", body["input"])
    sent = body["input"][1:]
    assert [item for item in sent if item.get("type") == "reasoning"] == [
        item for item in items if item.get("encrypted_content")
    ]
    assert [(item["content"], item.get("phase")) for item in sent if item.get("role") == "assistant"] == [
        (item["content"][0]["text"], item.get("phase"))
        for item in items
        if item["type"] == "message" and item["content"][0]["text"]
    ]
    foreign = body_of(
        openai_responses.encode_request("m2", request, streaming=False, origin="openai-responses@openai/m2")
    )
    read_responses(foreign, {})
    assert not [item for item in foreign["input"] if item.get("type") == "reasoning" or "phase" in item]


BLOCKS = st.one_of(
    st.builds(thinking_block, SOME_TEXT),
    SOME_TEXT.map(lambda text: {"type": "text", "text": text}),
    st.builds(lambda text: {"type": "redacted_thinking", "data": _hidden(text)}, SOME_TEXT),
)


def _hidden(text: str) -> str:
    hidden = base64.b64encode(text.encode()).decode()
    return f"{hidden}.{signature_of(hidden)}"


@settings(max_examples=150)
@given(st.lists(BLOCKS, max_size=3), CALLS)
def test_any_answer_of_messages_goes_back(blocks, calls):
    """Blocks of thinking are unchanged, and the input of each call is an object."""
    origin = origin_of(anthropic_messages.ORIGIN, "anthropic", "m")
    uses = [
        {"type": "tool_use", "id": call_id, "name": name, "input": given_} for call_id, name, given_ in calls
    ]
    answer = {"content": [*blocks, *uses], "stop_reason": "end_turn"}
    got = anthropic_messages.read_answer(json.dumps(answer).encode(), "m", origin)
    request = conversation(got)
    body = body_of(anthropic_messages.encode_request("m", request, streaming=False, origin=origin))
    read_messages(body, VERSION)
    follows_published("anthropic.types", "MessageParam", body["messages"])
    sent = body["messages"][1]["content"]
    kinds = ("thinking", "redacted_thinking")
    assert [one for one in sent if one["type"] in kinds] == [one for one in blocks if one["type"] in kinds]
    foreign = body_of(
        anthropic_messages.encode_request("m2", request, streaming=False, origin="anthropic@anthropic/m2")
    )
    read_messages(foreign, VERSION)
    assert not [one for one in foreign["messages"][1]["content"] if one["type"] in kinds]


def test_records_of_older_versions_name_no_model():
    """Their thinking goes back to any model of the wire format, except what only names a stored item."""
    block = thinking_block("hm")
    old = Message("assistant", (Thinking("hm", json.dumps(block), "anthropic"), Text("a")))
    sent = json.loads(anthropic_messages.encode_message(old, "anthropic@anthropic/m"))["content"]
    assert sent == [block, {"type": "text", "text": "a"}]
    item = '{"type":"reasoning","id":"rs_1","summary":[]}'
    stored = Message("assistant", (Thinking("", item, "openai-responses"),))
    assert openai_responses.encode_message(stored, "openai-responses@openai/m") == b""


def test_what_is_in_a_part_changes_the_digest_only_if_it_is_there():
    """Runs of older versions are resumed with the digests that they recorded."""
    plain = Message("assistant", (Text("a"), ToolCall("c", "read", "{}")))
    signed = Message("assistant", (Text("a"), ToolCall("c", "read", "{}", '{"x":1}', "o")))
    assert plain.fields() == ["assistant", "text", "a", "call", "c", "read", "{}"]
    assert signed.fields() == [*plain.fields(), "extra", "o", '{"x":1}']


@pytest.mark.parametrize(
    ("pieces", "joined"),
    [
        pytest.param(
            [{"type": "t", "index": 0, "text": "a"}, {"type": "t", "index": 0, "text": "b"},
             {"type": "t", "index": 0, "signature": "S"}],
            [{"type": "t", "index": 0, "text": "ab", "signature": "S"}],
            id="pieces-of-one",
        ),
        pytest.param(
            [{"type": "t", "index": 0, "text": "a"}, {"type": "t", "index": 1, "text": "b"},
             {"type": "t", "index": 0, "text": "c"}],
            [{"type": "t", "index": 0, "text": "ac"}, {"type": "t", "index": 1, "text": "b"}],
            id="in-turns",
        ),
        pytest.param(
            [{"type": "e", "index": 0, "id": name, "data": name} for name in "ab"],
            [{"type": "e", "index": 0, "id": name, "data": name} for name in "ab"],
            id="two-ids-at-one-index",
        ),
        pytest.param(
            [{"type": "t", "text": "a"}, {"type": "t", "text": "b"}], [{"type": "t", "text": "ab"}],
            id="text-without-index",
        ),
        pytest.param(
            [{"type": "e", "data": "A"}, {"type": "e", "data": "B"}],
            [{"type": "e", "data": "A"}, {"type": "e", "data": "B"}],
            id="data-without-index",
        ),
    ],
)  # fmt: skip
def test_pieces_of_reasoning_details_are_joined_by_their_index(pieces, joined):
    """Entries come in pieces; signatures of parallel calls share an index, but not an id."""
    assert joined_details(pieces) == joined


@given(TEXTS, TEXTS)
def test_made_ids_are_valid_and_differ(one, other):
    """Nine letters or digits, and names of a limited length; different ids stay different."""
    for text in (one, other):
        assert nine_characters(text).isalnum()
        assert (len(nine_characters(text)), len(sound_name(text * 20, 40)) <= 40) == (9, True)
        assert nine_characters(nine_characters(text)) == nine_characters(text)
    assert (nine_characters(one) == nine_characters(other)) == (one == other)


@given(ARGUMENTS)
def test_sound_arguments_stay_what_they_are(arguments):
    """They are an object, and are not changed a second time."""
    sound = sound_arguments(arguments)
    assert isinstance(json.loads(sound), Mapping)
    assert sound_arguments(sound) == sound
