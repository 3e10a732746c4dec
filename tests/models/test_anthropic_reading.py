"""Answers of the Messages API become completions, or say what is wrong with them."""

import json
from typing import get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sunwell.core.message import Message, Text, Thinking, ToolCall
from sunwell.core.model import Consulted, Delta, Stop, Usage
from sunwell.models.answers import ErrorInAnswer, NotAnAnswer
from sunwell.models.anthropic_messages import MessageReader, encode_message, read_answer, read_usage

USAGE = {"input_tokens": 3, "output_tokens": 2}


def answer(*blocks, **fields):
    whole = {"id": "msg_1", "model": "claude-x", "content": blocks, "stop_reason": "end_turn", "usage": USAGE}
    return json.dumps({**whole, **fields}).encode()


def streamed(*events, end=({"type": "message_delta", "delta": {"stop_reason": "end_turn"}},)):
    """Return the deltas and the completion of a stream with *events* between start and end."""
    reader = MessageReader("asked")
    start = {"type": "message_start", "message": {"id": "msg_1", "model": "claude-x", "usage": USAGE}}
    everything = (start, *events, *end, {"type": "message_stop"})
    deltas = [reader.take(json.dumps(event).encode()) for event in everything]
    return [delta for delta in deltas if delta], reader.completion()


def begun(block, index=0):
    return {"type": "content_block_start", "index": index, "content_block": block}


def grown(kind, field, piece, index=0):
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, field: piece}}


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("end_turn", "end"),
        ("stop_sequence", "end"),
        ("max_tokens", "length"),
        ("tool_use", "tool_calls"),
        ("pause_turn", "pause"),
        ("refusal", "refusal"),
        ("model_context_window_exceeded", "window"),
        ("something_new", "other"),
        (None, "other"),
    ],
)
def test_every_stop_reason_has_our_word(reason, expected):
    """Our word says what to do, the provider's own is kept."""
    got = read_answer(answer(stop_reason=reason), "asked")
    assert (got.stop, got.provider_stop, got.parts) == (expected, reason or "", ())


def test_who_answered_is_kept():
    """The model that answered is the one that is priced; the one asked stands in where none is named."""
    assert read_answer(answer(), "asked").model == "claude-x"
    assert read_answer(answer(model=None), "asked").model == "asked"
    assert read_answer(answer(), "asked").id == "msg_1"


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        pytest.param(USAGE, Usage(3, 2), id="plain"),
        pytest.param(
            {**USAGE, "cache_creation_input_tokens": 10, "cache_read_input_tokens": 20},
            Usage(33, 2, cache_read_tokens=20, cache_write_tokens=10),
            id="cached",
        ),
        pytest.param(
            {
                **USAGE,
                "cache_creation_input_tokens": 10,
                "cache_creation": {"ephemeral_5m_input_tokens": 4, "ephemeral_1h_input_tokens": 6},
            },
            Usage(13, 2, cache_write_tokens=4, cache_write_1h_tokens=6),
            id="both-lives",
        ),
        pytest.param(
            {**USAGE, "cache_creation": {"ephemeral_1h_input_tokens": 6}},
            Usage(9, 2, cache_write_1h_tokens=6),
            id="split-without-sum",
        ),
        pytest.param(
            {**USAGE, "output_tokens_details": {"thinking_tokens": 1}},
            Usage(3, 2, reasoning_tokens=1),
            id="reasoning",
        ),
        pytest.param({"output_tokens": 2}, None, id="no-input"),
        pytest.param({"input_tokens": 3}, None, id="no-output"),
        pytest.param({"input_tokens": -3, "output_tokens": 2}, None, id="negative"),
        pytest.param({"input_tokens": "3", "output_tokens": 2}, None, id="text"),
        pytest.param({"input_tokens": True, "output_tokens": 2}, None, id="truth"),
        pytest.param({}, None, id="nothing"),
    ],
)
def test_input_includes_what_was_cached(usage, expected):
    """All input counts, parted by the life of what was written; unknown usage is unknown."""
    assert read_usage(usage).usage == expected


def test_thinking_is_kept_as_the_provider_wrote_it():
    """A block of thinking comes back in the next request byte for byte, escapes and spaces included."""
    raw = '{"type": "thinking",  "thinking": "h\\u00e9", "signature": "s=="}'
    data = answer("BLOCK", {"type": "text", "text": "a"}).replace(b'"BLOCK"', raw.encode())
    got = read_answer(data, "asked")
    assert got.parts == (Thinking("hé", raw, "anthropic"), Text("a"))
    assert raw.encode() in encode_message(got.as_message())


@pytest.mark.parametrize("kind", ["redacted_thinking", "server_tool_use", "of_tomorrow"])
def test_blocks_that_are_not_for_us_are_sent_back(kind):
    """What is redacted or unknown is no text, and stays in the conversation as it came."""
    block = {"type": kind, "data": "x=="}
    whole = read_answer(answer(block, {"type": "text", "text": "a"}), "asked")
    _, in_pieces = streamed(
        begun(block), begun({"type": "text", "text": ""}, 1), grown("text_delta", "text", "a", 1)
    )
    for got in (whole, in_pieces):
        assert got.text == "a"
        assert json.loads(encode_message(got.as_message()))["content"][0] == block


def test_a_stream_shows_its_pieces_and_keeps_the_whole():
    """Text, thinking and the names of tools are shown as they come; the completion has it all."""
    deltas, got = streamed(
        begun({"type": "thinking", "thinking": "", "signature": ""}),
        grown("thinking_delta", "thinking", "hm "),
        grown("thinking_delta", "thinking", "so"),
        grown("signature_delta", "signature", "s=="),
        begun({"type": "tool_use", "id": "a", "name": "read", "input": {}}, 1),
        grown("input_json_delta", "partial_json", '{"x":', 1),
        grown("input_json_delta", "partial_json", " 1}", 1),
        {"type": "ping"},
    )
    assert deltas == [Delta(thinking="hm "), Delta(thinking="so"), Delta(tool_name="read")]
    raw = '{"type":"thinking","thinking":"hm so","signature":"s=="}'
    assert got.parts == (Thinking("hm so", raw, "anthropic"), ToolCall("a", "read", '{"x": 1}'))
    assert got.stop == "tool_calls"


def test_arguments_that_never_grow_are_those_of_the_start():
    """A call without arguments has an empty object, and one that is sent whole is taken whole."""
    _, got = streamed(
        begun({"type": "tool_use", "id": "a", "name": "x", "input": {}}),
        begun({"type": "tool_use", "id": "b", "name": "y", "input": {"k": 1}}, 1),
    )
    assert [call.arguments for call in got.tool_calls] == ["{}", '{"k":1}']


def test_a_stream_without_indices_is_understood():
    """Where a gateway leaves the index out, a piece belongs to the block that began last."""
    events = [begun({"type": "text", "text": ""}), grown("text_delta", "text", "a")]
    events += [begun({"type": "text", "text": ""}), grown("text_delta", "text", "b")]
    for event in events:
        del event["index"]
    _, got = streamed(*events)
    assert got.parts == (Text("a"), Text("b"))


def test_raw_newlines_in_arguments_are_kept():
    """Malformed arguments are kept as the model wrote them: the tool's answer will say so."""
    _, got = streamed(
        begun({"type": "tool_use", "id": "a", "name": "read", "input": {}}),
        grown("input_json_delta", "partial_json", '{"x": "a\nb"}'),
    )
    assert got.tool_calls[0].arguments == '{"x": "a\nb"}'


def test_the_last_usage_counts():
    """Figures at the end of a stream take the place of those at its start; the rest stays."""
    end = {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn"},
        "usage": {"input_tokens": None, "output_tokens": 40},
    }
    _, got = streamed(end=(end,))
    assert got.usage == Usage(3, 40)


def test_a_zero_at_the_end_does_not_replace_what_was_counted():
    """Counts only grow, but some servers report the input at the beginning, and zeros at the end."""
    end = {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn"},
        "usage": {"input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 40},
    }
    _, got = streamed(end=(end,))
    assert got.usage == Usage(3, 40)


ITERATIONS = [
    {"type": "message", "input_tokens": 1, "output_tokens": 1},
    {"type": "advisor_message", "model": "claude-wise", "input_tokens": 40, "output_tokens": 7},
    {"type": "message", "input_tokens": 2, "output_tokens": 1},
]


@pytest.mark.parametrize("streams", [False, True])
def test_an_advisor_and_a_batch_are_seen(streams):
    """An advisor's tokens stand in the list of iterations alone, whole or streamed."""
    told = {**USAGE, "iterations": ITERATIONS, "service_tier": "batch"}
    last = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": told}
    got = streamed(end=(last,))[1] if streams else read_answer(answer(usage=told), "asked")
    assert got.usage == Usage(3, 2)
    assert got.consulted == (Consulted("claude-wise", Usage(40, 7)),)
    assert got.is_batch
    assert got.billed_tokens == 52


def test_an_advisor_that_does_not_say_what_it_used_leaves_the_usage_unknown():
    """Unknown is not zero: the call stays booked at its upper bound."""
    told = {**USAGE, "iterations": [{"type": "advisor_message", "model": "claude-wise"}]}
    assert read_answer(answer(usage=told), "asked").usage is None


def test_ids_of_calls_are_one_each():
    """Doubled or missing ids become ids that no other call of the answer has."""
    calls = [{"type": "tool_use", "id": given, "name": "x", "input": {}} for given in ("a", "a", "", None)]
    ids = [call.id for call in read_answer(answer(*calls), "asked").tool_calls]
    assert ids[0] == "a"
    assert len(set(ids)) == 4
    assert all(ids)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"<html>", id="no-json"),
        pytest.param(b"[]", id="list"),
        pytest.param(b"{}", id="empty"),
        pytest.param(b'{"content": 3}', id="content-is-a-number"),
        pytest.param(b"[" * 100_000, id="deep"),
        pytest.param(b"\xff", id="no-utf-8"),
    ],
)
def test_what_is_no_answer_says_so(data):
    """An answer that breaks the format is refused in words."""
    with pytest.raises(NotAnAnswer, match="sent"):
        read_answer(data, "asked")


def test_errors_inside_answers_are_found():
    """An error with a good status, or in the middle of a stream, is an error."""
    failed = {"type": "error", "error": {"type": "overloaded_error"}}
    with pytest.raises(ErrorInAnswer):
        read_answer(json.dumps(failed).encode(), "asked")
    with pytest.raises(ErrorInAnswer):
        streamed(failed)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_EVENTS = ("message_start", "content_block_start", "content_block_delta", "message_delta")
_DELTAS = ("text_delta", "input_json_delta", "thinking_delta")
_FIELDS = ("id", "model", "stop_reason", "usage", "content", "type", "error")


@settings(max_examples=60)
@given(
    st.dictionaries(
        st.sampled_from(_FIELDS),
        _JSON
        | st.lists(
            st.dictionaries(
                st.sampled_from(("type", "text", "thinking", "input", "id", "name")),
                st.sampled_from(("text", "thinking", "tool_use")) | _JSON,
                max_size=4,
            ),
            max_size=3,
        ),
    )
)
def test_any_json_is_a_completion_or_refused(value):
    """No answer at all breaks the reader, and what it reads can always be sent back."""
    try:
        got = read_answer(json.dumps(value).encode(), "asked")
    except (NotAnAnswer, ErrorInAnswer):
        return
    assert got.stop in get_args(Stop)
    assert msgspec.json.decode(encode_message(Message("assistant", got.parts)))["role"] == "assistant"


@settings(max_examples=60)
@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "type": st.sampled_from(
                    ["message_start", "content_block_start", "content_block_delta", "message_delta"]
                )
            },
            optional={
                "index": st.integers(0, 2) | _JSON,
                "message": _JSON,
                "content_block": st.dictionaries(
                    st.sampled_from(["type", "text", "input"]), _JSON, max_size=3
                ),
                "delta": st.fixed_dictionaries(
                    {},
                    optional={
                        "type": st.sampled_from(_DELTAS) | _JSON,
                        "text": _JSON,
                        "partial_json": _JSON,
                        "thinking": _JSON,
                    },
                ),
                "usage": _JSON,
            },
        ),
        max_size=6,
    )
)
def test_any_events_are_a_completion_or_refused(events):
    """No stream of events breaks the reader, and what it reads can always be sent back."""
    try:
        _, got = streamed(*events)
    except (NotAnAnswer, ErrorInAnswer):
        return
    assert got.stop in get_args(Stop)
    assert msgspec.json.decode(encode_message(Message("assistant", got.parts)))["role"] == "assistant"
