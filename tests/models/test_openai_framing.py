"""What OpenAI bills for a request, from its texts: figures that recorded answers of the same form show."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sunwell.models.openai_framing import FRAMINGS, body_tokens
from sunwell.models.vocabulary import count_text

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
NOTHING = {"type": "object", "properties": {}, "additionalProperties": False}
PLACE = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "country": {"type": "string"}},
    "required": ["city", "country"],
    "additionalProperties": False,
}


def said(role, content):
    return {"role": role, "content": content}


def tool(api, name, parameters, description=""):
    spec = {"name": name, "description": description, "parameters": parameters}
    return {"type": "function", "function": spec} if api == "chat" else {"type": "function", **spec}


def called(api, name, arguments, result, call_id="c1"):
    """Return a call and its result as *api* writes them."""
    if api == "chat":
        function = {"name": name, "arguments": arguments}
        call = {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": call_id, "type": "function", "function": function}],
        }
        return [call, {"role": "tool", "tool_call_id": call_id, "content": result}]
    call = {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments}
    return [call, {"type": "function_call_output", "call_id": call_id, "output": result}]


def billed(api, model, items, **fields):
    return body_tokens(api, {"model": model, ("messages" if api == "chat" else "input"): items, **fields})


KEYS = st.sampled_from(
    ("type", "properties", "required", "items", "anyOf", "enum", "description", "additionalProperties",
     "role", "content", "tool_calls", "name", "function", "id", "arguments", "call_id", "output", "text",
     "format")
)  # fmt: skip
ASKED = [said("user", "What is the capital of Chile?")]  # seven tokens
ANSWERED = [*ASKED, said("assistant", "Santiago"), said("user", "And of Peru?")]


@pytest.mark.parametrize(
    ("api", "model", "items", "tokens"),
    [
        pytest.param("chat", "gpt-4o-2024-08-06", [said("user", "hello")], 8, id="one-word"),
        pytest.param("chat", "o3-mini", [said("user", "hello")], 7, id="one-word-to-a-reasoning-model"),
        pytest.param("chat", "gpt-4.1-mini", ASKED, 14, id="chat"),
        pytest.param("responses", "gpt-4.1", ASKED, 14, id="responses"),
        pytest.param("responses", "gpt-4.1", "What is the capital of Chile?", 14, id="one-text"),
        pytest.param("chat", "gpt-5-2025-08-07", ASKED, 13, id="chat-of-a-reasoning-model"),
        pytest.param("responses", "gpt-5.6-sol", ASKED, 13, id="responses-of-a-reasoning-model"),
        pytest.param("responses", "gpt-4o", ANSWERED, 28, id="a-conversation"),
        pytest.param("responses", "gpt-5", ANSWERED, 29, id="an-answer-is-on-a-channel"),
        pytest.param("chat", "o3-mini", ANSWERED, 27, id="an-answer-without-channels"),
        pytest.param("chat", "gpt-4o", [said("system", "You are brief."), *ASKED], 22, id="a-system-prompt"),
        pytest.param("chat", "gpt-4-turbo", [said("user", "hello")], 8, id="an-older-vocabulary"),
    ],
)
def test_messages(api, model, items, tokens):
    """Each message costs its text and four tokens, an answer's beginning two or three."""
    assert billed(api, model, items) == tokens


def test_instructions_are_a_message():
    """The field ``instructions`` costs what a system message costs."""
    system = billed("responses", "gpt-5", [said("system", "You are brief."), *ASKED])
    assert billed("responses", "gpt-5", ASKED, instructions="You are brief.") == system


def test_parts_of_a_message_cost_their_texts():
    """A message in several parts costs no more than in one."""
    parts = [{"type": "input_text", "text": "Look at this."}, {"type": "input_text", "text": " What is it?"}]
    joined = billed("responses", "gpt-4.1", [said("user", "Look at this. What is it?")])
    assert billed("responses", "gpt-4.1", [said("user", parts)]) == joined


# A tool without arguments is written "type get_capital = () => any;\n\n", with nine tokens.
@pytest.mark.parametrize(
    ("api", "model", "more", "system"),
    [
        pytest.param("responses", "gpt-4o", 19, False, id="responses"),
        pytest.param("responses", "gpt-4o", 19, True, id="responses-with-a-system-message"),
        pytest.param("chat", "gpt-4o", 25, False, id="chat-in-a-message-of-its-own"),
        pytest.param("chat", "gpt-4o", 21, True, id="chat-in-the-system-message"),
        pytest.param("responses", "gpt-5-mini", 24, False, id="reasoning-model"),
        pytest.param("chat", "gpt-5-mini", 106, True, id="chat-explains-channels"),
    ],
)
def test_tools(api, model, more, system):
    """Tools are written as declarations, with headings around them."""
    items = [said("system", "You are brief."), *ASKED] if system else ASKED
    tools = [tool(api, "get_capital", NOTHING)]
    assert billed(api, model, items, tools=tools) - billed(api, model, items) == more


def test_what_a_tool_says_of_itself_counts():
    """Descriptions are comments, choices are listed, what may be left out has a question mark."""
    unit = {"type": "string", "enum": ["celsius", "fahrenheit"]}
    city = {"type": "string", "description": "The city's name."}
    schema = {"type": "object", "properties": {"city": city, "unit": unit}, "required": ["city"]}
    spec = tool("responses", "get_weather", schema, "Look up the weather.")
    written = (
        "// Look up the weather.\ntype get_weather = (_: {\n// The city's name.\ncity: string,\n"
        'unit?: "celsius" | "fahrenheit"}) => any;\n\n'
    )
    bare = tool("responses", "get_capital", NOTHING)
    more = billed("responses", "gpt-4.1", ASKED, tools=[spec]) - billed(
        "responses", "gpt-4.1", ASKED, tools=[bare]
    )
    assert more == count_text(written) - 9


@pytest.mark.parametrize("choice", ["auto", "none", "required", {"type": "function", "name": "get_capital"}])
def test_the_choice_of_a_tool_costs_nothing(choice):
    """Tools are billed alike, also if the model must or must not call one."""
    tools = [tool("responses", "get_capital", NOTHING)]
    free = billed("responses", "gpt-5-mini", ASKED, tools=tools)
    assert billed("responses", "gpt-5-mini", ASKED, tools=tools, tool_choice=choice) == free


@pytest.mark.parametrize(
    ("api", "model", "more"),
    [
        pytest.param("chat", "gpt-4o", 13, id="chat"),
        pytest.param("responses", "gpt-4.1", 11, id="responses"),
        pytest.param("chat", "gpt-5.4-mini", 19, id="chat-of-a-reasoning-model"),
        pytest.param("responses", "gpt-5.2", 19, id="responses-of-a-reasoning-model"),
    ],
)
def test_calls_and_results(api, model, more):
    """A call and its result cost their texts, the tool's name twice, and a fixed number of tokens."""
    tools = [tool(api, "get_weather", CITY)]
    arguments, result = '{"city":"Lima"}', "Sunny, 22C"
    items = [*ASKED, *called(api, "get_weather", arguments, result)]
    texts = 2 * count_text("get_weather") + count_text(arguments) + count_text(result)
    assert billed(api, model, items, tools=tools) == billed(api, model, ASKED, tools=tools) + texts + more


@pytest.mark.parametrize(
    ("api", "model", "around"),
    [("responses", "gpt-4o", 7), ("chat", "gpt-4o", 7), ("responses", "gpt-5.4-mini", 7)],
)
def test_a_schema_beside_tools(api, model, around):
    """The schema of the answer counts without what every strict schema says."""
    shown = '{"type":"object","properties":{"city":{"type":"string"},"country":{"type":"string"}}}'
    named = {"name": "place", "schema": PLACE, "strict": True}
    tools = [tool(api, "get_capital", NOTHING)]
    shape = {"type": "json_schema", "json_schema": named}
    fields = (
        {"response_format": shape}
        if api == "chat"
        else {"text": {"format": {"type": "json_schema", **named}}}
    )
    more = billed(api, model, ASKED, tools=tools, **fields) - billed(api, model, ASKED, tools=tools)
    assert more == around + 1 + count_text(shown)


def test_any_json_costs_nothing():
    """Asking for a JSON object without a schema adds no tokens."""
    asked = billed("chat", "gpt-4o", ASKED, response_format={"type": "json_object"})
    assert asked == billed("chat", "gpt-4o", ASKED)


IMAGE = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]
THOUGHT = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAA"}
TWO = [
    {"type": "function_call", "call_id": "c1", "name": "get_weather", "arguments": "{}"},
    {"type": "function_call", "call_id": "c2", "name": "get_weather", "arguments": "{}"},
]


@pytest.mark.parametrize(
    ("api", "model", "items", "fields"),
    [
        pytest.param("chat", "gpt-6-luna", ASKED, {}, id="unknown-model"),
        pytest.param("chat", "ft:gpt-4o:own", ASKED, {}, id="trained-further"),
        pytest.param("responses", "gpt-4", ASKED, {}, id="unknown-format-for-the-model"),
        pytest.param("chat", "gpt-4o", [said("user", IMAGE)], {}, id="image"),
        pytest.param("responses", "gpt-5", [*ASKED, THOUGHT], {}, id="encrypted-reasoning"),
        pytest.param("responses", "gpt-4.1", [*ASKED, *TWO], {}, id="parallel-calls"),
        pytest.param("responses", "gpt-4.1", [*ASKED, TWO[0]], {}, id="call-without-result"),
        pytest.param(
            "responses", "gpt-4.1", called("responses", "f", "{}", "x")[1:], {}, id="result-without-call"
        ),
        pytest.param(
            "responses", "gpt-5", [*ASKED, *called("responses", "f", "{}", "x")], {}, id="call-of-no-tool"
        ),
        pytest.param(
            "responses", "gpt-4.1", ASKED, {"previous_response_id": "resp_1"}, id="stored-conversation"
        ),
        pytest.param("responses", "gpt-4.1", ASKED, {"tools": [{"type": "web_search"}]}, id="built-in-tool"),
        pytest.param("chat", "gpt-4o", ASKED, {"modalities": ["audio"]}, id="unknown-field"),
        pytest.param(
            "responses", "o3", ASKED, {"tools": [tool("responses", "f", NOTHING)]}, id="tools-not-shown"
        ),
        pytest.param(
            "chat",
            "gpt-4o",
            ASKED,
            {
                "tools": [
                    tool(
                        "chat",
                        "f",
                        {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}},
                    )
                ]
            },
            id="unknown-keyword",
        ),
    ],
)
def test_what_is_not_known_is_not_bounded(api, model, items, fields):
    """A model, a field, a part or a keyword that no recorded answer shows has no figure."""
    assert billed(api, model, items, **fields) is None


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@given(st.sampled_from(["chat", "responses"]), VALUES, VALUES, VALUES, VALUES)
def test_whatever_a_request_holds_nothing_breaks(api, items, parameters, schema, choice):
    """Any JSON in the place of messages, schemas and choices has a figure or none, and raises nothing."""
    tools = [tool(api, "f", parameters), tool(api, "g", {"type": "object", "properties": {"a": parameters}})]
    named = {"name": "answer", "schema": schema}
    shape = {"response_format": {"type": "json_schema", "json_schema": named}}
    if api == "responses":
        shape = {"text": {"format": {"type": "json_schema", **named}}}
    for fields in ({"tools": tools}, {"tool_choice": choice}, shape, {"tools": parameters}, {"text": choice}):
        for model in ("gpt-4o", "gpt-5"):
            found = billed(api, model, ASKED, **fields)
            assert found is None or found > 0
    found = billed(api, "gpt-4o", items)
    assert found is None or found > 0
    found = billed(api, "gpt-4o", [items, {"role": "user", "content": items}])
    assert found is None or found > 0


@given(st.sampled_from(sorted(FRAMINGS)), st.lists(st.text(max_size=30), max_size=5), st.text(max_size=30))
def test_more_text_never_costs_less(model, texts, added):
    """Another message costs at least its own text more."""
    items = [said("user", text) for text in texts]
    less, more = (billed("chat", model, some) for some in (items, [*items, said("user", added)]))
    assert more >= less + count_text(added, FRAMINGS[model].vocabulary)


@pytest.mark.parametrize("api", ["chat", "responses"])
def test_a_schema_alone_has_a_message_of_its_own(api):
    """Without tools and without a system message, the heading of a schema needs no blank line before it."""
    shown = '{"type":"object","properties":{"city":{"type":"string"},"country":{"type":"string"}}}'
    named = {"name": "place", "schema": PLACE, "strict": True}
    chat = {"response_format": {"type": "json_schema", "json_schema": named}}
    fields = chat if api == "chat" else {"text": {"format": {"type": "json_schema", **named}}}
    more = billed(api, "gpt-4o", ASKED, **fields) - billed(api, "gpt-4o", ASKED)
    assert more == 4 + 6 + 1 + count_text(shown)
