"""Requests of Chat Completions, in the dialect that each server understands."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sunwell.core.message import Message, Text, Thinking, ToolCall, ToolResult, user
from sunwell.core.model import Caching, Request, ResponseSchema, ToolSpec
from sunwell.models.openai_chat import encode_message, encode_request
from sunwell.models.quirks import ChatQuirks, quirks_for

TOOL = ToolSpec("read", "Reads a file.", {"type": "object", "properties": {}})
HELLO = user("hello")
PLAIN = ChatQuirks()
OWN = quirks_for("openai", "gpt-6-luna")
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
    ("provider", "model_id", "limit", "breakpoints"),
    [
        pytest.param("openai", "gpt-6-luna", "max_completion_tokens", True, id="gpt-6"),
        pytest.param("openai", "gpt-6.1-sol", "max_completion_tokens", True, id="gpt-6.1"),
        pytest.param("openai", "gpt-5.6", "max_completion_tokens", True, id="first-with-breakpoints"),
        pytest.param("openai", "gpt-5.5-pro", "max_completion_tokens", False, id="last-without"),
        pytest.param("openai", "gpt-4o-mini", "max_completion_tokens", False, id="gpt-4o"),
        pytest.param("openai", "o3", "max_completion_tokens", False, id="o3"),
        pytest.param("openai", "gemma-4", "max_tokens", False, id="another-behind-the-name"),
        pytest.param("openrouter", "gpt-6-luna", "max_tokens", False, id="another-server"),
    ],
)
def test_quirks_follow_from_provider_and_id(provider, model_id, limit, breakpoints):
    """Only OpenAI's own models, from GPT-5.6 on, are sent breakpoints."""
    quirks = quirks_for(provider, model_id)
    assert (quirks.token_limit, quirks.breakpoints) == (limit, breakpoints)


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


def test_calls_go_back_as_they_were_written():
    """Arguments are text on this wire: malformed ones too are the model's own."""
    calls = (ToolCall("a", "read", '{"x":\n'), ToolCall("b", "read", ""))
    assert written(Message("assistant", calls)) == [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "read", "arguments": '{"x":\n'}},
                {"id": "b", "type": "function", "function": {"name": "read", "arguments": "{}"}},
            ],
        }
    ]


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
