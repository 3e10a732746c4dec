"""What the wire formats take, what they refuse with a sentence, and what has no effect and is told."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sunwell.serve.endpoint.client_request import ClientAnswer, ClientRequest, ClientWire, Declined
from sunwell.serve.endpoint.served_chat import ChatWire
from sunwell.serve.endpoint.served_messages import MessagesWire
from sunwell.serve.endpoint.served_responses import ResponsesWire

HI: dict[str, Any] = {"role": "user", "content": "Hi"}
CHAT, RESPONSES, MESSAGES = ChatWire(), ResponsesWire(), MessagesWire()
LEAST: dict[Any, dict[str, Any]] = {
    CHAT: {"model": "m", "messages": [HI]},
    RESPONSES: {"model": "m", "input": "Hi"},
    MESSAGES: {"model": "m", "max_tokens": 9, "messages": [HI]},
}
TOOL = {"type": "function", "function": {"name": "f"}}


@pytest.mark.parametrize("wire", LEAST)
def test_the_least_request_is_read(wire: ClientWire) -> None:
    """Switches that are off and empty lists ask for nothing."""
    empty = {"tools": [], "tool_choice": "none", "stream": None, "user": "me", "metadata": {}}
    asked = wire.read({**LEAST[wire], **empty})
    assert (asked.model, asked.task, asked.system, asked.streams) == ("m", "Hi", "", False)
    assert asked.turns == (("user", "Hi"),)
    assert asked.not_used == (("max_tokens",) if wire is MESSAGES else ())


@pytest.mark.parametrize(
    ("wire", "more", "sentence"),
    [
        (CHAT, {"tools": [TOOL]}, "tools cannot be used here: tools of clients are not supported"),
        (CHAT, {"functions": [{"name": "f"}]}, "functions cannot be used here: tools of clients"),
        (CHAT, {"tool_choice": "required"}, "tool_choice cannot be used here"),
        (CHAT, {"n": 2}, "n must be 1"),
        (CHAT, {"logprobs": True}, "logprobs cannot be used here"),
        (CHAT, {"modalities": ["text", "audio"]}, "modalities must be ['text']"),
        (CHAT, {"response_format": {"type": "json_object"}}, "response_format must be text"),
        (CHAT, {"model": 4}, "model must be a text"),
        (CHAT, {"stream": "yes"}, "stream must be true or false"),
        (CHAT, {"messages": []}, "messages must be a list of at least one message"),
        (CHAT, {"messages": {}}, "messages must be a list"),
        (CHAT, {"messages": [HI, {"role": "assistant", "content": "So."}]}, "must end with a message of the"),
        (CHAT, {"messages": [{"role": "user", "content": " "}]}, "must end with a message of the user"),
        (CHAT, {"messages": [{"role": "tool", "content": "x"}, HI]}, "messages[0] has the role 'tool'"),
        (CHAT, {"messages": ["Hi"]}, "messages[0] has the role 'None'"),
        (CHAT, {"messages": [HI, {"role": "assistant", "tool_calls": [TOOL]}, HI]}, "has tool calls"),
        (
            CHAT,
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            "messages[0].content has a part of type 'image_url': only text can be given",
        ),
        (CHAT, {"messages": [{"role": "user", "content": 4}]}, "must be a text or a list of parts"),
        (CHAT, {"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "has a part without text"),
        (RESPONSES, {"input": None}, "input must be a text or a list"),
        (RESPONSES, {"input": [{"type": "function_call_output"}]}, "tools of clients are not supported"),
        (RESPONSES, {"input": [{"type": "computer"}]}, "only messages can be given"),
        (RESPONSES, {"background": True}, "background cannot be used here"),
        (RESPONSES, {"text": {"format": {"type": "json_schema"}}}, "text.format must be text"),
        (RESPONSES, {"previous_response_id": 4}, "previous_response_id must be a text"),
        (MESSAGES, {"tools": [{"name": "f"}]}, "tools cannot be used here"),
        (MESSAGES, {"mcp_servers": [{}]}, "mcp_servers cannot be used here"),
        (MESSAGES, {"output_config": {"format": {"type": "json_schema"}}}, "no other form than text"),
        (MESSAGES, {"messages": [{"role": "system", "content": "x"}, HI]}, "has the role 'system'"),
    ],
)
def test_what_cannot_be_done_is_refused(wire: ClientWire, more: dict[str, Any], sentence: str) -> None:
    """In one sentence, and with a status after which no client tries again."""
    with pytest.raises(Declined) as caught:
        wire.read({**LEAST[wire], **more})
    assert sentence in str(caught.value)
    assert str(caught.value).endswith("; nothing was spent")
    assert caught.value.status == 400
    assert sentence in json.dumps(wire.error(caught.value), ensure_ascii=False).replace('\\"', '"')


@pytest.mark.parametrize("wire", LEAST)
def test_what_has_no_effect_is_named(wire: ClientWire) -> None:
    """A temperature is that of one model, and a run has several."""
    asked = wire.read({**LEAST[wire], "temperature": 0.2, "top_p": 1, "x" * 99: 1, "seed": None})
    expected = {"temperature", "top_p", "x" * 60} | ({"max_tokens"} if wire is MESSAGES else set())
    assert set(asked.not_used) == expected


def test_instructions_and_turns_are_put_together() -> None:
    """Instructions may be in several places; texts of one side in a row are one turn."""
    messages = [
        {"role": "system", "content": "One."},
        HI,
        {"role": "user", "content": [{"type": "text", "text": "there"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "Yes?"}]},
        {"role": "developer", "content": "Two."},
        {"role": "user", "content": "Go."},
    ]
    asked = CHAT.read({"model": "m", "messages": messages})
    assert asked.system == "One.\n\nTwo."
    assert asked.turns == (("user", "Hi\n\nthere"), ("assistant", "Yes?"), ("user", "Go."))
    items = [{"type": "reasoning", "summary": []}, *({**one, "type": "message"} for one in messages)]
    other = RESPONSES.read({"model": "m", "instructions": "Zero.", "input": items})
    assert (other.system, other.turns) == ("Zero.\n\nOne.\n\nTwo.", asked.turns)
    thought = {
        "role": "assistant",
        "content": [{"type": "thinking", "thinking": "…"}, {"type": "text", "text": "A"}],
    }
    third = MESSAGES.read(
        {"model": "m", "system": [{"type": "text", "text": "S"}], "messages": [HI, thought, HI]}
    )
    assert (third.system, third.turns[1]) == ("S", ("assistant", "A"))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=12,
)
FIELDS = st.sampled_from(
    ["model", "messages", "input", "system", "instructions", "stream", "stream_options", "n", "tools", "text",
     "response_format", "output_config", "previous_response_id", "role", "content", "type"]
)  # fmt: skip


@given(st.sampled_from(list(LEAST)), st.dictionaries(FIELDS, JSON, max_size=5))
def test_any_json_is_read_or_refused(wire: Any, fields: dict[str, Any]) -> None:
    """And never anything else."""
    asked: ClientRequest | None = None
    with suppress(Declined):
        asked = wire.read({**LEAST[wire], **fields})
    assert asked is None or asked.task.strip()


@given(st.sampled_from(list(LEAST)), st.text())
def test_any_text_is_streamed_as_it_is(wire: Any, text: str) -> None:
    """Each event is one line of JSON."""
    answer = ClientAnswer("1", "m", 0, text)
    events = b"".join([*wire.begin(answer), wire.beat(), *wire.end(answer, with_usage=True)])
    data = [line.removeprefix(b"data: ") for line in events.split(b"\n") if line.startswith(b"data: ")]
    found = [json.loads(one) for one in data if one != b"[DONE]"]
    assert json.dumps(text) in json.dumps(found)
