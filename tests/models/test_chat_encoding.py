"""Requests of Chat Completions, in the dialect that each server understands."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sunwell.core.message import Message, Text, Thinking, ToolCall, ToolResult, user
from sunwell.core.model import Caching, Request, ResponseSchema, ToolSpec
from sunwell.models.catalog import PRESETS, quirks_for
from sunwell.models.connection import Connection
from sunwell.models.openai_chat import ChatModel, encode_message, encode_request
from sunwell.models.quirks import ChatQuirks

TOOL = ToolSpec("read", "Reads a file.", {"type": "object", "properties": {}})
HELLO = user("hello")
PLAIN = ChatQuirks()
OWN = quirks_for("openai")
SCHEMA = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}


def encoded(*arguments, **settings):
    return b"".join(encode_request(*arguments, **settings))


def body_of(request, quirks=PLAIN, *, streaming=False):
    return json.loads(encoded("m", request, quirks, streaming=streaming))


def written(message, **settings):
    return json.loads(b"[" + encode_message(message, **settings) + b"]")


def test_a_plain_question_has_nothing_to_spare():
    """A compatible server is sent only what every one of them knows."""
    assert body_of(Request(messages=[HELLO], system=("a", "b"), caching=Caching("5m", True, "key"))) == {
        "model": "m",
        "messages": [{"role": "system", "content": "a\n\nb"}, {"role": "user", "content": "hello"}],
    }


def test_openai_itself_is_sent_breakpoint_key_and_its_own_limit():
    """The end of the prefix is marked on the last system part, and siblings name one cache."""
    request = Request(
        messages=[HELLO], system=("a", "b"), max_output_tokens=9, caching=Caching("5m", True, "run-1")
    )
    body = body_of(request, OWN)
    assert body["messages"][0]["content"] == [
        {"type": "text", "text": "a"},
        {"type": "text", "text": "b", "prompt_cache_breakpoint": {"mode": "explicit"}},
    ]
    assert body["prompt_cache_key"] == "run-1"
    assert body["max_completion_tokens"] == 9
    assert "prompt_cache_options" not in body


@pytest.mark.parametrize(
    ("prefix", "conversation", "marked", "mode"),
    [
        pytest.param("5m", True, True, None, id="both"),
        pytest.param("5m", False, True, {"mode": "explicit"}, id="prefix-only"),
        pytest.param(None, True, False, None, id="conversation-only"),
        pytest.param(None, False, False, {"mode": "explicit"}, id="none"),
    ],
)
def test_only_what_is_asked_for_is_written_to_the_cache(prefix, conversation, marked, mode):
    """Where the end of the messages is not worth keeping, OpenAI is told not to write it."""
    request = Request(messages=[HELLO], system=("a",), caching=Caching(prefix, conversation))
    body = body_of(request, OWN)
    assert ("prompt_cache_breakpoint" in body["messages"][0]["content"][0]) == marked
    assert body.get("prompt_cache_options") == mode


@pytest.mark.parametrize(
    ("provider", "limit", "breakpoints"),
    [
        pytest.param("openai", "max_completion_tokens", True, id="openai"),
        pytest.param("openrouter", "max_tokens", False, id="another-server"),
    ],
)
def test_quirks_follow_from_the_provider(provider, limit, breakpoints):
    """OpenAI alone gets breakpoints and the newer name of the limit, whatever its models are called."""
    quirks = quirks_for(provider)
    assert (quirks.token_limit, quirks.breakpoints) == (limit, breakpoints)


@pytest.mark.parametrize("provider", [name for name in PRESETS if PRESETS[name].quirks is not None])
def test_a_model_that_is_made_by_hand_has_the_quirks_of_its_preset(provider):
    """As one that is looked up by name: Mistral gets ids of nine characters either way."""
    model = ChatModel("m", Connection(provider, "http://lab.test/v1", "key-of-a-test"))
    assert model.quirks == PRESETS[provider].quirks


@pytest.mark.parametrize(
    ("quirks", "field", "expected"),
    [
        pytest.param(ChatQuirks(), "max_tokens", 7, id="limit"),
        pytest.param(ChatQuirks(), "tool_choice", "none", id="choice"),
        pytest.param(ChatQuirks(), "reasoning_effort", "low", id="effort"),
        pytest.param(ChatQuirks(), "stream", True, id="stream"),
        pytest.param(ChatQuirks(), "stream_options", {"include_usage": True}, id="usage"),
        pytest.param(ChatQuirks(stream_usage=False), "stream_options", None, id="no-usage"),
        pytest.param(
            ChatQuirks(),
            "response_format",
            {"type": "json_schema", "json_schema": {"name": "plan", "schema": SCHEMA, "strict": True}},
            id="schema",
        ),
        pytest.param(ChatQuirks(schema="json_object"), "response_format", {"type": "json_object"}, id="json"),
        pytest.param(ChatQuirks(schema="none"), "response_format", None, id="no-schema"),
    ],
)
def test_each_quirk_changes_its_field(quirks, field, expected):
    """What a request asks for is sent in the way that the server knows."""
    request = Request(
        messages=[HELLO],
        tools=[TOOL],
        max_output_tokens=7,
        tool_choice="none",
        effort="low",
        response_schema=ResponseSchema("plan", SCHEMA),
    )
    assert body_of(request, quirks, streaming=True).get(field) == expected


@pytest.mark.parametrize("strict", [False, True])
def test_tools_are_functions(strict):
    """Tools go in the order given, strict where the server knows it."""
    function = {"name": "read", "description": "Reads a file.", "parameters": dict(TOOL.parameters)}
    if strict:
        function["strict"] = True
    body = body_of(Request(messages=[HELLO], tools=[TOOL]), ChatQuirks(strict_tools=strict))
    assert body["tools"] == [{"type": "function", "function": function}]


def test_each_result_is_a_message_and_text_follows():
    """One message for each result, errors marked in words, then what the user says."""
    results = Message("tool", (ToolResult("a", "fine"), Text("go on"), ToolResult("b", "no", is_error=True)))
    assert written(results) == [
        {"role": "tool", "tool_call_id": "a", "content": "fine"},
        {"role": "tool", "tool_call_id": "b", "content": "Error: no"},
        {"role": "user", "content": "go on"},
    ]


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [
        pytest.param('{"a": 1, "b":\t[2.50]}', '{"a": 1, "b":\t[2.50]}', id="valid-to-the-byte"),
        pytest.param("", "{}", id="nothing"),
        pytest.param(" \n", "{}", id="blank"),
        pytest.param('{"a": "x\ny"}', '{"a":"x\\ny"}', id="raw-newline"),
        pytest.param('{"path": "src', '{"malformed_arguments":"{\\"path\\": \\"src"}', id="cut"),
        pytest.param("[1]", '{"malformed_arguments":"[1]"}', id="list"),
        pytest.param("null", '{"malformed_arguments":"null"}', id="null"),
        pytest.param('{"a": NaN}', '{"malformed_arguments":"{\\"a\\": NaN}"}', id="nan"),
        pytest.param('{"a": 1e999}', '{"malformed_arguments":"{\\"a\\": 1e999}"}', id="infinite"),
    ],
)
def test_arguments_go_back_as_an_object(arguments, sent):
    """Arguments are text on this wire, but strict servers read it: anything else is put into an object."""
    (got,) = written(Message("assistant", (ToolCall("a", "read", arguments),)))
    assert got == {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "a", "type": "function", "function": {"name": "read", "arguments": sent}}],
    }


@pytest.mark.parametrize(
    ("call_ids", "call_id", "sent"),
    [
        pytest.param("any", "functions.read:0", "functions.read:0", id="as-it-came"),
        pytest.param("short", "c" * 40, "c" * 40, id="short-enough"),
        pytest.param("short", "c" * 41, r"[A-Za-z0-9_-]{1,40}", id="too-long"),
        pytest.param("nine", "abcDEF123", "abcDEF123", id="nine-already"),
        pytest.param("nine", "call_1", r"[A-Za-z0-9]{9}", id="made-of-it"),
    ],
)
def test_ids_are_those_that_the_server_accepts(call_ids, call_id, sent):
    """Mistral takes nine letters or digits, OpenAI at most 40 characters; the result names the same id."""
    messages = [
        Message("assistant", (ToolCall(call_id, "read", "{}"),)),
        Message("tool", (ToolResult(call_id, "x"),)),
    ]
    call, result = body_of(Request(messages=messages), ChatQuirks(call_ids=call_ids))["messages"]
    assert result["tool_call_id"] == call["tool_calls"][0]["id"]
    assert re.fullmatch(sent, result["tool_call_id"])


def test_a_name_that_no_tool_can_have_is_cleaned():
    """A model may call what is not there; strict servers reject such a name when it comes back."""
    (got,) = written(Message("assistant", (ToolCall("a", "functions.read file", "{}"),)))
    assert re.fullmatch(r"functions_read_file_[0-9a-f]{8}", got["tool_calls"][0]["function"]["name"])


def test_reasoning_goes_back_to_servers_of_its_kind():
    """Reasoning is sent in the field in which it came, to compatible servers only."""
    own = Thinking("hm", '{"reasoning_content":"hm"}', "openai-chat")
    foreign = Thinking("h", '{"type":"thinking"}', "anthropic")
    message = Message("assistant", (own, foreign, Text("a")))
    plain = {"role": "assistant", "content": "a"}
    assert body_of(Request(messages=[message]))["messages"] == [{**plain, "reasoning_content": "hm"}]
    assert body_of(Request(messages=[message]), OWN)["messages"] == [plain]


def test_siblings_share_their_first_bytes():
    """Workers with one lens send the same bytes up to the end of the system prompt."""
    one, other = (
        encoded("m", Request(messages=[user(task)], system=("s", "lens"), tools=[TOOL]), OWN, streaming=False)
        for task in ("task one", "another task")
    )
    shared = one.index(b"task one")
    assert one[:shared] == other[:shared]
    assert b"lens" in one[:shared]


_TEXTS = st.text(st.characters(), max_size=20)
_PARTS = st.one_of(
    st.builds(Text, _TEXTS),
    st.builds(ToolCall, _TEXTS, _TEXTS, _TEXTS),
    st.builds(ToolResult, _TEXTS, _TEXTS, st.booleans()),
)


@given(
    st.lists(st.builds(Message, st.sampled_from(["user", "assistant", "tool"]), st.tuples(_PARTS, _PARTS)))
)
def test_any_conversation_is_json(messages):
    """Whatever is said, half surrogate pairs included, the body is JSON in UTF-8, and always the same."""
    body = encoded("m", Request(messages=messages), OWN, streaming=True)
    assert len(json.loads(body)["messages"]) >= len(messages)
    assert encoded("m", Request(messages=messages), OWN, streaming=True) == body
