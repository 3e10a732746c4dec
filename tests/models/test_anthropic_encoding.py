"""Requests in Anthropic's format: what the API takes, the same bytes for the same request."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sunwell.core.message import History, Message, Text, Thinking, ToolCall, ToolResult, user
from sunwell.core.model import Caching, Request, ResponseSchema, ToolSpec
from sunwell.models.anthropic_messages import DEFAULT_MAX_OUTPUT_TOKENS, encode_message, encode_request

TOOL = ToolSpec("read", "Reads a file.", {"type": "object", "properties": {"path": {"type": "string"}}})
OTHER = ToolSpec("list", "Lists.", {"type": "object"})
HELLO = user("hello")


def encoded(*arguments, **settings):
    return b"".join(encode_request(*arguments, **settings))


def body_of(request, **settings):
    return json.loads(encoded("claude-haiku-5-5", request, streaming=settings.get("streaming", False)))


def content_of(*parts, role="assistant"):
    return json.loads(encode_message(Message(role, parts)))["content"]


def test_a_plain_question_is_complete():
    """The least request has the model, the message and the limit that the API demands."""
    assert body_of(Request(messages=[HELLO], caching=Caching(None, False))) == {
        "model": "claude-haiku-5-5",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hello"}]}],
        "max_tokens": DEFAULT_MAX_OUTPUT_TOKENS,
    }


def test_everything_that_can_be_asked_is_sent():
    """Limit, effort, schema, choice of tools and streaming stand where the API wants them."""
    schema = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
    request = Request(
        messages=[HELLO],
        tools=[TOOL],
        max_output_tokens=0,
        tool_choice="none",
        response_schema=ResponseSchema("plan", schema),
        effort="xhigh",
        caching=Caching(None, False),
    )
    body = body_of(request, streaming=True)
    assert body["max_tokens"] == 0
    assert body["tool_choice"] == {"type": "none"}
    assert body["output_config"] == {"effort": "xhigh", "format": {"type": "json_schema", "schema": schema}}
    assert body["stream"] is True
    assert body["tools"] == [
        {"name": "read", "description": "Reads a file.", "input_schema": dict(TOOL.parameters)}
    ]


@pytest.mark.parametrize(
    ("caching", "system", "on_system", "on_tools", "on_top"),
    [
        pytest.param(Caching("5m", True), ("a", "b"), "5m", None, "5m", id="both"),
        pytest.param(Caching("1h", True), ("a", "b"), "1h", None, "1h", id="an-hour"),
        pytest.param(Caching("1h", False), (), None, "1h", None, id="no-system"),
        pytest.param(Caching("1h", False), (" ",), None, "1h", None, id="blank-system"),
        pytest.param(Caching(None, True), ("a",), None, None, "5m", id="conversation-only"),
        pytest.param(Caching(None, False), ("a",), None, None, None, id="none"),
    ],
)
def test_the_end_of_the_prefix_is_marked(caching, system, on_system, on_tools, on_top):
    """The mark stands on the last system block, else on the last tool; the conversation's at the top."""

    def life(block):
        mark = block.get("cache_control")
        return mark and mark["ttl"]

    body = body_of(Request(messages=[HELLO], system=system, tools=[TOOL, OTHER], caching=caching))
    blocks = body.get("system", [])
    assert [block["text"] for block in blocks] == [section for section in system if section.strip()]
    assert [life(block) for block in blocks[:-1]] == [None] * len(blocks[:-1])
    assert (life(blocks[-1]) if blocks else None) == on_system
    assert [life(tool) for tool in body["tools"]] == [None, on_tools]
    assert life(body) == on_top


@pytest.mark.parametrize("caching", [Caching("1h", True), Caching("5m", True), Caching("5m", False)])
@pytest.mark.parametrize(("calls", "is_marked"), [(7, False), (8, True), (40, True)])
def test_the_end_of_the_last_request_is_marked_if_it_is_far(calls, is_marked, caching):
    """The cache looks back 20 blocks: after many calls, the entry of the request before needs a mark."""
    begin = Message("user", (Text("Look."), Text("And look again.")))
    asked = Message("assistant", tuple(ToolCall(f"c{n}", "read", "{}") for n in range(calls)))
    results = Message("tool", tuple(ToolResult(f"c{n}", "nothing") for n in range(calls)))
    body = body_of(Request(messages=[begin, asked, results], system=("a",), tools=[TOOL], caching=caching))
    marks = [
        (index, at, block["cache_control"])
        for index, message in enumerate(body["messages"])
        for at, block in enumerate(message["content"])
        if "cache_control" in block
    ]
    expected = is_marked and caching.conversation
    assert marks == ([(0, 1, {"type": "ephemeral", "ttl": caching.prefix})] if expected else [])
    assert ("cache_control" in body) == caching.conversation
    plain = body_of(Request(messages=[begin], system=("a",), tools=[TOOL], caching=caching))
    assert [len(message["content"]) for message in body["messages"]] == [2, calls, calls]
    assert plain["messages"][0]["content"][0] == body["messages"][0]["content"][0]


def test_results_come_first_and_from_the_user():
    """Results of tools answer the calls at the head of a user's message; text follows."""
    results = Message("tool", (Text("and then"), ToolResult("a", "fine"), ToolResult("b", "", is_error=True)))
    assert json.loads(encode_message(results)) == {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": "a", "content": "fine"},
            {"type": "tool_result", "tool_use_id": "b", "content": "", "is_error": True},
            {"type": "text", "text": "and then"},
        ],
    }


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param('{"a": 1}', {"a": 1}, id="object"),
        pytest.param("", {}, id="nothing"),
        pytest.param('{"a": "x\ny"}', {"a": "x\ny"}, id="raw-newline"),
        pytest.param('{"a": ', {"malformed_arguments": '{"a": '}, id="cut"),
        pytest.param("[1]", {"malformed_arguments": "[1]"}, id="list"),
        pytest.param('{"a": NaN}', {"malformed_arguments": '{"a": NaN}'}, id="nan"),
        pytest.param('{"a": 1e999}', {"malformed_arguments": '{"a": 1e999}'}, id="infinite"),
        pytest.param("[" * 100_000, {"malformed_arguments": "[" * 100_000}, id="deep"),
    ],
)
def test_arguments_are_always_an_object(arguments, expected):
    """The API demands an object: what the model wrote instead is kept as text inside one.

    Raw line breaks in strings are escaped: the tools accept them, so the call was carried out as it is shown.
    """
    assert content_of(ToolCall("a", "read", arguments))[0]["input"] == expected


def test_thinking_goes_back_byte_for_byte_to_where_it_came_from():
    """A block of this provider is sent as it came, spaces and all; one of another is left out."""
    raw = '{"type": "thinking",  "thinking":"h\\u00e9", "signature":"s=="}'
    encoded = encode_message(
        Message(
            "assistant", (Thinking("x", "{}", "openai-chat"), Thinking("hé", raw, "anthropic"), Text("a"))
        )
    )
    assert raw.encode() in encoded
    assert [block["type"] for block in json.loads(encoded)["content"]] == ["thinking", "text"]


@pytest.mark.parametrize("role", ["user", "assistant", "tool"])
@pytest.mark.parametrize(
    "parts",
    [
        pytest.param((), id="none"),
        pytest.param((Text(""), Text(" \n")), id="blank"),
        pytest.param((Thinking("x", "{}", "openai-chat"),), id="foreign-thinking"),
    ],
)
def test_a_message_with_nothing_left_has_a_placeholder(role, parts):
    """The API takes neither empty messages nor blank text."""
    (block,) = content_of(*parts, role=role)
    assert block["text"].strip()


@pytest.mark.parametrize("messages", [[], [Message("assistant", (Text("hi"),))]], ids=["none", "assistant"])
def test_a_conversation_begins_with_the_user(messages):
    """Where nobody has asked yet, a placeholder asks."""
    body = body_of(Request(messages=messages))
    assert body["messages"][0]["role"] == "user"
    assert len(body["messages"]) == len(messages) + 1


@pytest.mark.parametrize("foreign", ["functions.read:0", "call|1", "", "é"])
def test_ids_of_other_servers_are_made_fit(foreign):
    """A conversation that began elsewhere goes on: call and result still have the same id."""
    call = content_of(ToolCall(foreign, "read", "{}"))[0]["id"]
    result = content_of(ToolResult(foreign, "x"), role="tool")[0]["tool_use_id"]
    assert call == result
    assert call.replace("_", "").replace("-", "").isalnum()
    assert call.isascii()


def test_ids_that_differ_stay_different():
    """Two ids do not become one where only their odd characters differ."""
    ids = {content_of(ToolCall(foreign, "read", "{}"))[0]["id"] for foreign in ("a.b", "a:b", "a_b")}
    assert len(ids) == 3


def test_siblings_share_their_first_bytes():
    """Workers with one lens send the same bytes up to the end of the system prompt."""
    one, other = (
        encoded("m", Request(messages=[user(task)], system=("s", "lens"), tools=[TOOL]), streaming=False)
        for task in ("task one", "another task")
    )
    shared = one.index(b"task one")
    assert one[:shared] == other[:shared]
    assert b"lens" in one[:shared]


def test_a_longer_history_begins_with_the_shorter():
    """A request is the bytes of the one before plus the new ones; each message is encoded once."""
    first = History([HELLO])
    before = encoded("m", Request(messages=first), streaming=False)
    after = encoded("m", Request(messages=first.plus(HELLO, HELLO)), streaming=False)
    shared = before.index(b"]}]") + 2
    assert after[:shared] == before[:shared]
    assert after == encoded("m", Request(messages=[HELLO] * 3), streaming=False)


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
    request = Request(messages=messages, system=("a",))
    body = encoded("m", request, streaming=True)
    assert len(json.loads(body)["messages"]) >= len(messages)
    assert encoded("m", Request(messages=messages, system=("a",)), streaming=True) == body
