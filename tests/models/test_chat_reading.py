"""Answers of Chat Completions, in all the ways that servers bend them, become completions."""

import json
from typing import get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sunwell.core.message import Message, Text, Thinking, ToolCall
from sunwell.core.model import Delta, Stop, Usage
from sunwell.models.answers import ErrorInAnswer, NotAnAnswer
from sunwell.models.openai_chat import ChunkReader, encode_message, read_answer
from sunwell.models.usage import ANY_CHAT

USAGE = {"prompt_tokens": 3, "completion_tokens": 2}


def answer(finish="stop", usage=USAGE, **message):
    choice = {"message": message, "finish_reason": finish}
    return json.dumps({"id": "c1", "model": "gemma", "choices": [choice], "usage": usage}).encode()


def streamed(*deltas, finish="stop", usage=USAGE):
    """Return what is shown of a stream with *deltas*, and its completion."""
    reader = ChunkReader("asked")
    chunks = [{"id": "c1", "model": "gemma", "choices": [{"delta": delta}]} for delta in deltas]
    chunks += [{"choices": [{"delta": {}, "finish_reason": finish}]}, {"choices": [], "usage": usage}]
    shown = [reader.take(json.dumps(chunk).encode()) for chunk in chunks]
    reader.take(b"[DONE]")
    return [delta for delta in shown if delta], reader.completion()


def calls(*pieces):
    return {"tool_calls": list(pieces)}


def piece(arguments=None, **fields):
    """A piece of a tool call: index, id and name as given."""
    function = {key: value for key, value in (("name", fields.pop("name", None)),) if value is not None}
    if arguments is not None:
        function["arguments"] = arguments
    return {**fields, "function": function}


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("stop", "end"),
        ("length", "length"),
        ("tool_calls", "tool_calls"),
        ("content_filter", "refusal"),
        ("something_new", "other"),
        (None, "other"),
    ],
)
def test_every_finish_reason_has_our_word(reason, expected):
    """Our word says what to do, the provider's own is kept."""
    got = read_answer(answer(reason, content="a"), "asked")
    assert (got.stop, got.provider_stop) == (expected, reason or "")


def test_calls_end_a_turn_whatever_the_server_says():
    """Several servers say ``stop`` after tool calls."""
    got = read_answer(answer("stop", tool_calls=[piece("{}", id="a", name="x")]), "asked")
    assert got.stop == "tool_calls"


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        pytest.param(USAGE, Usage(3, 2), id="plain"),
        pytest.param(
            {
                "prompt_tokens": 30,
                "completion_tokens": 9,
                "prompt_tokens_details": {"cached_tokens": 10, "cache_write_tokens": 15},
                "completion_tokens_details": {"reasoning_tokens": 4},
            },
            Usage(30, 9, cache_read_tokens=10, cache_write_tokens=15, reasoning_tokens=4),
            id="details-are-included",
        ),
        pytest.param({**USAGE, "prompt_tokens_details": None}, Usage(3, 2), id="no-details"),
        pytest.param({"prompt_tokens": 3.0, "completion_tokens": 2}, Usage(3, 2), id="whole-float"),
        pytest.param({"prompt_tokens": 3}, None, id="no-output"),
        pytest.param({"prompt_tokens": 3, "completion_tokens": float("nan")}, None, id="nan"),
        pytest.param(None, None, id="nothing"),
        pytest.param([1], None, id="list"),
    ],
)
def test_usage_is_read_or_unknown(usage, expected):
    """Cached tokens are part of the input; usage that is not told is unknown, never zero."""
    assert ANY_CHAT.read(usage).usage == expected


def test_a_refusal_is_text_and_a_stop():
    """What a model says in refusing is kept."""
    whole = read_answer(answer(content=None, refusal="I will not"), "asked")
    shown, in_pieces = streamed({"refusal": "I will "}, {"refusal": "not"})
    assert (whole.text, whole.stop) == ("I will not", "refusal")
    assert (in_pieces.text, in_pieces.stop) == ("I will not", "refusal")
    assert [delta.text for delta in shown] == ["I will ", "not"]


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_reasoning_is_kept_in_its_field(field):
    """Reasoning of compatible servers goes back under the name under which it came."""
    whole = read_answer(answer(content="a", **{field: "hm"}), "asked")
    shown, in_pieces = streamed({field: "h"}, {field: "m", "content": ""}, {"content": "a"})
    assert shown == [Delta(thinking="h"), Delta(thinking="m"), Delta(text="a")]
    for got in (whole, in_pieces):
        assert got.parts == (Thinking("hm", f'{{"{field}":"hm"}}', "openai-chat"), Text("a"))
        assert json.loads(encode_message(got.as_message()))[field] == "hm"


def test_content_may_come_in_parts():
    """A list of parts is read as its text."""
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert read_answer(answer(content=parts), "asked").text == "ab"


A, B = ToolCall("a", "read", '{"x":1}'), ToolCall("b", "list", "{}")


@pytest.mark.parametrize(
    ("deltas", "expected"),
    [
        pytest.param(
            [
                calls(piece("", index=0, id="a", name="read")),
                calls(piece('{"x":', index=0)),
                calls(piece("1}", index=0)),
                calls(piece("{}", index=1, id="b", name="list")),
            ],
            (A, B),
            id="in-order",
        ),
        pytest.param(
            [
                calls(piece("", index=0, id="a", name="read"), piece("{", index=1, id="b", name="list")),
                calls(piece("}", index=1), piece('{"x":1}', index=0)),
            ],
            (A, B),
            id="interleaved",
        ),
        pytest.param(
            [
                calls(piece('{"x":', index=0, id="a", name="read")),
                calls(piece("1}", index=0, id="a", name="read")),
            ],
            (A,),
            id="name-and-id-repeated",
        ),
        pytest.param(
            [
                calls(piece('{"x":', id="a", name="read")),
                calls(piece("1}")),
                calls(piece("{}", id="b", name="list")),
            ],
            (A, B),
            id="no-index",
        ),
        pytest.param(
            [calls(piece('{"x":', id="a", name="read")), calls(piece("1}", name="read"))],
            (A,),
            id="no-index-and-the-name-repeated",
        ),
        pytest.param(
            [
                calls(
                    piece('{"x":1}', index=0, id="a", name="read"), piece("{}", index=0, id="b", name="list")
                )
            ],
            (A, B),
            id="one-index-for-all",
        ),
        pytest.param(
            [calls(piece({"x": 1}, index=0, id="a", name="read"))], (A,), id="arguments-as-an-object"
        ),
        pytest.param([calls(piece(index=0, id="b", name="list"))], (B,), id="no-arguments-at-all"),
        pytest.param(
            [calls(piece('{"x":1}', name="read")), calls(piece('{"x":2}', name="read"))],
            (ToolCall("", "read", '{"x":1}'), ToolCall("", "read", '{"x":2}')),
            id="neither-index-nor-id",
        ),
        pytest.param(
            [calls(piece('{"x":1}', index=0, name="read"), piece('{"x":2}', index=0, name="read"))],
            (ToolCall("", "read", '{"x":1}'), ToolCall("", "read", '{"x":2}')),
            id="one-index-and-no-id",
        ),
        pytest.param(
            [calls(piece('{"x":1}', index=0, id="a", name="read")), calls(piece("", index=0, name="read"))],
            (A,),
            id="the-name-again-at-the-end",
        ),
        pytest.param(
            [
                calls(piece("", name="read")),
                calls(piece('{"x":1}')),
                calls(piece("", name="read")),
                calls(piece('{"x":')),
                calls(piece("2}")),
            ],
            (ToolCall("", "read", '{"x":1}'), ToolCall("", "read", '{"x":2}')),
            id="each-name-before-its-arguments",
        ),
    ],
)
def test_tool_calls_are_put_together(deltas, expected):
    """However a server cuts, counts and repeats, each call comes out whole, and is shown once."""
    shown, got = streamed(*deltas, finish="tool_calls")
    assert [(call.name, call.arguments) for call in got.tool_calls] == [
        (call.name, call.arguments) for call in expected
    ]
    assert all(
        call.id == wanted.id for call, wanted in zip(got.tool_calls, expected, strict=True) if wanted.id
    )
    assert "".join(delta.tool_name for delta in shown) == "".join(call.name for call in expected)


def test_only_the_first_choice_of_a_stream_is_read():
    """A second choice is another answer: the two are not one text, and its finish reason is its own."""
    reader = ChunkReader("asked")
    for index, text, finish in ((1, "yes", None), (0, "no", None), (0, "", "length"), (1, "!", "stop")):
        choice = {"index": index, "delta": {"content": text}, "finish_reason": finish}
        reader.take(json.dumps({"id": "c1", "choices": [choice], "usage": USAGE}).encode())
    reader.take(b"[DONE]")
    assert (reader.completion().text, reader.completion().stop) == ("yes!", "end")


def test_a_byte_order_mark_is_passed_over():
    """In a body and in an event."""
    data = b"\xef\xbb\xbf" + answer(content="good day")
    assert read_answer(data, "asked").text == "good day"
    assert read_answer(b"\xef\xbb\xbf" + answer(content="a\x01b", usage=None), "asked").text == "a\x01b"


def test_raw_newlines_in_arguments_are_kept():
    """Malformed arguments are kept as the model wrote them."""
    _, got = streamed(calls(piece('{"x": "a\nb"}', index=0, id="a", name="read")))
    assert got.tool_calls[0].arguments == '{"x": "a\nb"}'


def test_ids_of_calls_are_one_each():
    """Doubled or missing ids become ids that no other call of the answer has."""
    given_ids = ("a", "a", "", None)
    data = answer(tool_calls=[piece("{}", id=given_id, name="x") for given_id in given_ids])
    ids = [call.id for call in read_answer(data, "asked").tool_calls]
    assert ids[0] == "a"
    assert len(set(ids)) == 4
    assert all(ids)


def test_halves_of_a_character_find_each_other():
    """A server may cut between the halves of a surrogate pair; a lone half is replaced."""
    reader = ChunkReader("asked")
    for half in ("\\ud83d", "\\ude00", "\\ud83d"):
        reader.take(b'{"choices": [{"delta": {"content": "%s"}}]}' % half.encode())
    reader.take(b'{"choices": [{"delta": {}, "finish_reason": "stop"}]}')
    reader.take(b"[DONE]")
    assert reader.completion().text == "😀\ufffd"


def test_usage_may_come_with_the_finish_reason_or_never():
    """Usage is taken wherever it stands; a stream without any has unknown usage."""
    _, got = streamed({"content": "a"}, usage=None)
    assert got.usage is None
    assert streamed({"content": "a"})[1].usage == Usage(3, 2)


def test_an_empty_report_does_not_replace_the_usage():
    """Some servers end a stream with an empty object."""
    reader = ChunkReader("asked")
    for usage in (USAGE, {}):
        choice = {"delta": {"content": "a"}, "finish_reason": "stop"}
        reader.take(json.dumps({"id": "c1", "choices": [choice], "usage": usage}).encode())
    reader.take(b"[DONE]")
    assert reader.completion().usage == Usage(3, 2)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"{}", id="empty"),
        pytest.param(b'{"choices": []}', id="no-choice"),
        pytest.param(b'{"choices": [{}]}', id="no-message"),
        pytest.param(b'{"choices": {"message": {}}}', id="choices-is-no-list"),
    ],
)
def test_what_is_no_answer_says_so(data):
    """An answer that breaks the format is refused in words."""
    with pytest.raises(NotAnAnswer, match="sent"):
        read_answer(data, "asked")


def test_errors_inside_answers_are_found():
    """An error with a good status, or in the middle of a stream, is an error."""
    failed = b'{"error": {"message": "overloaded", "code": 503}}'
    with pytest.raises(ErrorInAnswer):
        read_answer(failed, "asked")
    with pytest.raises(ErrorInAnswer):
        ChunkReader("asked").take(failed)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def _having(*names, **known):
    """Objects with any JSON under *names*, and what is *known* under its own."""
    fields = dict.fromkeys(names, _JSON)
    fields |= {name: strategy | _JSON for name, strategy in known.items()}
    return st.fixed_dictionaries({}, optional=fields)


_CALLS = st.lists(_having("id", "index", function=_having("name", "arguments")), max_size=3)
_MESSAGES = _having("content", "refusal", "reasoning_content", tool_calls=_CALLS)
_CHOICES = st.lists(_having("finish_reason", message=_MESSAGES, delta=_MESSAGES), max_size=2)
_ANSWERS = _having("id", "model", "usage", "error", choices=_CHOICES)


@settings(max_examples=60)
@given(_ANSWERS)
def test_any_json_is_a_completion_or_refused(value):
    """No answer at all breaks the reader, and what it reads can always be sent back."""
    try:
        got = read_answer(json.dumps(value).encode(), "asked")
    except (NotAnAnswer, ErrorInAnswer):
        return
    assert got.stop in get_args(Stop)
    assert msgspec.json.decode(encode_message(Message("assistant", got.parts)))["role"] == "assistant"


@settings(max_examples=60)
@given(st.lists(_ANSWERS, max_size=5))
def test_any_chunks_are_a_completion_or_refused(chunks):
    """No stream of chunks breaks the reader, and what it reads can always be sent back."""
    reader = ChunkReader("asked")
    try:
        for chunk in chunks:
            reader.take(json.dumps(chunk).encode())
        reader.take(b'{"choices": [{"finish_reason": "stop"}]}')
        reader.take(b"[DONE]")
        got = reader.completion()
    except (NotAnAnswer, ErrorInAnswer):
        return
    assert got.stop in get_args(Stop)
    assert msgspec.json.decode(encode_message(Message("assistant", got.parts)))["role"] == "assistant"
