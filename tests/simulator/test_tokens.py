"""The simulator's tokenizer counts less than the bytes that were sent."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sunwell.core import History, Message, Request, ResponseSchema, Text, ToolCall, ToolResult, ToolSpec
from sunwell.simulator import Asked, Billing, Fault, FaultRule, InProcessModel, Reply, echo, minimal
from sunwell.simulator.chat_wire import read_chat
from sunwell.simulator.messages_wire import read_messages
from sunwell.simulator.prompt_tokens import text_tokens
from sunwell.testing import run_virtual

VERSION = {"anthropic-version": "2026-10-21"}
TEXT = st.text(min_size=1, max_size=40).filter(str.strip)
NAMES = st.from_regex(r"[a-z]{1,8}", fullmatch=True)
SCHEMAS = st.builds(
    lambda names: {
        "type": "object",
        "properties": {name: {"type": "string"} for name in names},
        "required": names,
        "additionalProperties": False,
    },
    st.lists(NAMES, max_size=3, unique=True),
)
TOOLS = st.lists(st.tuples(NAMES, st.text(max_size=20), SCHEMAS), max_size=3, unique_by=lambda tool: tool[0])


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        pytest.param("", 0, id="empty"),
        pytest.param("abcd", 1, id="four-bytes"),
        pytest.param("abcde", 2, id="five-bytes"),
        pytest.param("\ufdfa", 1, id="three-bytes"),
        pytest.param("\U0001f600\u00e9", 2, id="six-bytes"),
    ],
)
def test_a_text_costs_a_quarter_of_its_bytes(text, tokens):
    """UTF-8 bytes divided by four, rounded up."""
    assert text_tokens(text) == tokens


@settings(max_examples=120, deadline=None)
@given(st.lists(TEXT, min_size=1, max_size=5), st.text(max_size=20), TOOLS, SCHEMAS, st.booleans())
def test_bytes_bound_the_tokens_of_anthropic_requests(texts, system, tools, schema, as_blocks):
    """However little is said in however many messages, the compact body has more bytes than tokens."""
    messages = [
        {
            "role": "assistant" if i % 2 else "user",
            "content": [{"type": "text", "text": text}] if as_blocks else text,
        }
        for i, text in enumerate(texts[: len(texts) - 1 + len(texts) % 2])
    ]
    body = {"model": "m", "max_tokens": 1, "messages": messages, "system": system}
    body["tools"] = [
        {"name": name, "description": text, "input_schema": shape} for name, text, shape in tools
    ]
    body["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
    sent = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
    assert read_messages(body, VERSION).prompt.tokens < len(sent)


@settings(max_examples=120, deadline=None)
@given(st.lists(st.text(max_size=40), min_size=1, max_size=5), TOOLS)
def test_bytes_bound_the_tokens_of_chat_requests(texts, tools):
    """The same for chat, with empty messages too."""
    messages = [
        {"role": ("user", "assistant", "system")[i % 3], "content": text} for i, text in enumerate(texts)
    ]
    body = {"model": "m", "messages": messages}
    if tools:
        functions = [{"name": name, "description": text, "parameters": shape} for name, text, shape in tools]
        body["tools"] = [{"type": "function", "function": function} for function in functions]
    sent = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
    assert read_chat(body, {}).prompt.tokens < len(sent)


MESSAGES = st.builds(
    lambda text, role: Message(role, (Text(text), ToolCall("i", "n", text), ToolResult("i", text))),
    st.text(max_size=9),
    st.sampled_from(["user", "assistant", "tool"]),
)


@settings(max_examples=120, deadline=None)
@given(st.lists(MESSAGES, max_size=4), st.lists(st.text(max_size=9), max_size=3), TOOLS, st.none() | SCHEMAS)
def test_the_size_of_a_request_bounds_its_tokens(messages, system, tools, schema):
    """In process the size that a request tells is never less than the input that is billed for it."""
    specs = [ToolSpec(*tool) for tool in tools]
    shape = None if schema is None else ResponseSchema("s", schema)
    request = Request(History(messages), system, specs, response_schema=shape)
    model = InProcessModel("claude-haiku-5-5", lambda asked: Reply(()))
    run_virtual(model.complete(request))
    assert model.billing.entries()[0].input_tokens <= request.size_bytes


def test_only_hidden_input_goes_beyond_the_bytes():
    """What a provider adds stands in no request."""
    model = InProcessModel("gpt-6-luna", faults=[FaultRule(Fault(hidden_input_tokens=9_999))])
    request = Request([])
    run_virtual(model.complete(request))
    assert model.billing.entries()[0].input_tokens == 9_999 > request.size_bytes


@settings(max_examples=30, deadline=None)
@given(st.permutations(["model", "max_tokens", "tools", "system", "messages"]))
def test_the_order_of_the_fields_of_a_body_changes_no_bill(order):
    """A body is billed by the order of a prompt, tools, system, messages, however it was written."""
    body = {
        "model": "claude-haiku-5-5",
        "max_tokens": 5,
        "tools": [{"name": "t", "description": "d" * 900, "input_schema": {"type": "object"}}],
        "system": [{"type": "text", "text": "s" * 4000, "cache_control": {"type": "ephemeral"}}],
        "messages": [{"role": "user", "content": "hi"}],
    }
    shuffled = {name: body[name] for name in order}
    bill = Billing()
    for written in (body, shuffled):
        call = bill.begin("k", "claude-haiku-5-5", read_messages(written, VERSION).prompt)
        call.begin_answer()
    first, second = (call.input_tokens for call in bill.entries())
    assert first == second
    assert [entry.read_tokens for entry in bill.entries()] == [0, 1232]


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        pytest.param({"type": "string", "minLength": 2}, "xx", id="string"),
        pytest.param({"type": "integer", "minimum": 3}, 3, id="minimum"),
        pytest.param({"type": "integer", "maximum": -3}, -3, id="maximum"),
        pytest.param({"type": "number", "exclusiveMinimum": 0}, 1, id="exclusive"),
        pytest.param({"type": ["null", "string"]}, None, id="nullable"),
        pytest.param({"anyOf": [{"const": 7}, {}]}, 7, id="alternatives"),
        pytest.param({"type": "array", "items": {"enum": ["a"]}, "minItems": 2}, ["a", "a"], id="array"),
        pytest.param({"$ref": "#/$defs/x", "$defs": {"x": {"type": "boolean"}}}, False, id="reference"),
        pytest.param({"type": "object", "properties": {"a": {"type": "null"}, "b": {}}, "required": ["a"]},
                     {"a": None}, id="object"),
    ],
)  # fmt: skip
def test_the_least_that_obeys_a_schema(schema, value):
    """The echo model fills a schema in with the least that is valid."""
    assert minimal(schema) == value
    said = echo(Asked("m", "", (), schema=schema)).parts[0].text
    assert json.loads(said) == value
