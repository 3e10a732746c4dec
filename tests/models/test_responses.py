"""Requests and answers of the Responses API, to the byte."""

import json
from typing import get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sunwell.core.message import Message, Text, Thinking, ToolCall, ToolResult, user
from sunwell.core.model import Caching, Request, ResponseSchema, Stop, ToolSpec
from sunwell.models.answers import ErrorInAnswer, NotAnAnswer
from sunwell.models.openai_responses import (
    ORIGIN,
    ResponseReader,
    ResponsesFeatures,
    encode_message,
    encode_request,
    read_answer,
)

REASONING = '{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"abc"}'
TOOL = ToolSpec("read", "Reads.", {"type": "object", "properties": {}})


def body(request: Request, model: str = "gpt-6-luna", streaming: bool = False):
    return json.loads(b"".join(encode_request(model, request, streaming=streaming)))


def answer(*items, **fields):
    return {"id": "resp_1", "status": "completed", "model": "gpt-6-luna", "output": list(items), **fields}


def said(text):
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {"type": "message", "role": "assistant", "content": content}


def test_nothing_is_stored_and_reasoning_is_asked_for_encrypted():
    """``store`` is false in every request, and each model is asked for what it thought, whatever its name."""
    got = body(Request(messages=[user("x")], max_output_tokens=99, effort="low"))
    assert (got["store"], got["include"]) == (False, ["reasoning.encrypted_content"])
    assert (got["max_output_tokens"], got["reasoning"]) == (99, {"effort": "low"})
    assert body(Request(messages=[user("x")]), "corp-model")["include"] == ["reasoning.encrypted_content"]
    without = ResponsesFeatures(include=False)
    assert "include" not in json.loads(
        b"".join(encode_request("m", Request(messages=[user("x")]), without, streaming=False))
    )
    assert body(Request(messages=[user("x")]), streaming=True)["stream"] is True


def test_a_conversation_is_a_list_of_items():
    """Reasoning goes back as it came, that of other formats does not; results answer their calls."""
    call = ToolCall("call_1", "read", '{"a":1}')
    other = Thinking("no", '{"type":"thinking"}', "anthropic")
    said_before = Message("assistant", (Thinking("", REASONING, ORIGIN), other, Text("look"), call))
    results = Message("tool", (Text("go on"), ToolResult("call_1", "gone", is_error=True)))
    items = body(Request(messages=[user("x"), said_before, results], tools=[TOOL]))["input"]
    kinds = [item["type"] for item in items]
    assert kinds == ["message", "reasoning", "message", "function_call", "function_call_output", "message"]
    assert items[1] == json.loads(REASONING)
    assert items[3] == {"type": "function_call", "call_id": "call_1", "name": "read", "arguments": '{"a":1}'}
    assert items[4]["output"] == "Error: gone"


def test_the_prefix_of_siblings_is_the_same_and_marked():
    """Tools and system prompt come first, equal to the byte; the end of the system prompt is a breakpoint."""
    requests = [
        Request(messages=[user(text)], system=("a", "lens"), tools=[TOOL], caching=Caching("5m", False, "k"))
        for text in ("one", "two")
    ]
    one, two = (encode_request("gpt-6-luna", request, streaming=False) for request in requests)
    assert one[:5] == two[:5]
    got = body(requests[0])
    assert got["input"][0]["content"][-1]["prompt_cache_breakpoint"] == {"mode": "explicit"}
    assert (got["prompt_cache_key"], got["prompt_cache_options"]) == ("k", {"mode": "explicit"})
    assert got["tools"][0]["strict"] is False


def test_a_schema_is_strict():
    """It stands under ``text.format``."""
    schema = ResponseSchema("plan", {"type": "object", "properties": {}, "required": []})
    got = body(Request(messages=[user("x")], response_schema=schema))["text"]["format"]
    assert (got["type"], got["name"], got["strict"]) == ("json_schema", "plan", True)


@pytest.mark.parametrize(
    ("given_", "stop"),
    [
        pytest.param(answer(said("hi")), "end", id="completed"),
        pytest.param(
            answer({"type": "function_call", "call_id": "c", "name": "read", "arguments": "{}"}),
            "tool_calls",
            id="call",
        ),
        pytest.param(
            answer(said("h"), status="incomplete", incomplete_details={"reason": "max_output_tokens"}),
            "length",
            id="length",
        ),
        pytest.param(
            answer(status="incomplete", incomplete_details={"reason": "content_filter"}),
            "refusal",
            id="filter",
        ),
        pytest.param(
            answer({"type": "message", "content": [{"type": "refusal", "refusal": "no"}]}), "refusal", id="no"
        ),
    ],
)
def test_why_an_answer_ended(given_, stop):
    """Status, details and content together tell."""
    assert read_answer(json.dumps(given_).encode(), "asked").stop == stop


def test_usage_counts_the_cache_into_the_input():
    """Read and written tokens are parts of the input, reasoning of the output."""
    usage = {
        "input_tokens": 100,
        "input_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 30},
        "output_tokens": 9,
        "output_tokens_details": {"reasoning_tokens": 4},
    }
    got = read_answer(json.dumps(answer(said("x"), usage=usage)).encode(), "asked").usage
    assert got is not None
    assert (got.input_tokens, got.cache_read_tokens, got.cache_write_tokens) == (100, 60, 30)
    assert (got.uncached_input_tokens, got.output_tokens, got.reasoning_tokens) == (10, 9, 4)
    assert read_answer(json.dumps(answer(said("x"))).encode(), "asked").usage is None


@pytest.mark.parametrize(
    ("events", "error"),
    [
        pytest.param([{"type": "response.output_text.delta", "delta": "x"}], NotAnAnswer, id="no-end"),
        pytest.param(
            [{"type": "response.output_item.done", "item": said("x")}], NotAnAnswer, id="items-only"
        ),
        pytest.param([{"type": "error", "message": "down"}], ErrorInAnswer, id="error"),
        pytest.param(
            [{"type": "response.failed", "response": {"error": {"message": "x"}}}], ErrorInAnswer, id="failed"
        ),
    ],
)
def test_a_stream_without_its_terminal_event_is_no_answer(events, error):
    """Only ``response.completed`` or ``response.incomplete`` ends one."""
    with pytest.raises(error):
        read_stream(events)


def read_stream(events):
    reader = ResponseReader("asked")
    for event in events:
        reader.take(json.dumps(event).encode())
    return reader.completion()


def test_a_last_event_without_output_is_filled_from_the_items():
    """Some servers leave the output out of the terminal event."""
    events = [
        {"type": "response.output_item.done", "item": said("whole")},
        {"type": "response.completed", "response": answer()},
    ]
    assert read_stream(events).text == "whole"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda kids: (
        st.lists(kids, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["type", "output", "content", "text", "usage", "status", "response", "item", "summary"]
            ),
            kids
            | st.sampled_from(["message", "reasoning", "function_call", "response.completed", "completed"]),
            max_size=4,
        )
    ),
    max_leaves=15,
)


@settings(max_examples=150)
@given(JSON)
def test_any_json_is_an_answer_or_none(value):
    """Whatever a server sends: a completion, or an error that the adapter words."""
    data = json.dumps(value).encode()
    reader = ResponseReader("asked")

    def streamed():
        reader.take(data)
        return reader.completion()

    for attempt in (lambda: read_answer(data, "asked"), streamed):
        try:
            got = attempt()
        except (NotAnAnswer, ErrorInAnswer):
            continue
        assert got.stop in get_args(Stop)
        items = msgspec.json.decode(b"[" + encode_message(Message("assistant", got.parts)) + b"]")
        assert all(isinstance(item, dict) for item in items)
