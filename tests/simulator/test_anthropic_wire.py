"""Anthropic's SDK talks to the simulator as it does to the real service."""

import json

import pytest

CLAUDE = "claude-haiku-5-5"
READ = {"name": "read", "description": "Reads a file.", "input_schema": {"type": "object", "properties": {}}}
HELLO = {"model": CLAUDE, "max_tokens": 100, "messages": [{"role": "user", "content": "hello"}]}
LENS = "x" * 4000


def results_for(message) -> dict:
    calls = [block for block in message.content if block.type == "tool_use"]
    results = [
        {"type": "tool_result", "tool_use_id": call.id, "content": call.input["path"]} for call in calls
    ]
    return {"role": "user", "content": results}


async def test_a_plain_answer(sim, claude):
    """Text, stop reason and usage come through, and the bill agrees with the usage."""
    got = await claude.messages.create(**HELLO)
    assert (got.content[0].text, got.stop_reason, got.model) == ("hello", "end_turn", CLAUDE)
    (entry,) = sim.bill.entries("claude-key", CLAUDE)
    assert (entry.uncached_tokens, entry.output_tokens) == (got.usage.input_tokens, got.usage.output_tokens)


async def test_a_turn_with_parallel_tools_and_thinking(sim, claude):
    """Signed thinking and two calls go out, come back unchanged with results, and are answered."""
    asked = {**HELLO, "tools": [READ]}
    first = await claude.messages.create(**asked)
    assert [block.type for block in first.content] == ["thinking", "text", "tool_use", "tool_use"]
    assert (first.stop_reason, first.content[2].input) == ("tool_use", {"path": "a.py"})
    assert first.usage.output_tokens_details.thinking_tokens > 0
    turns = [*HELLO["messages"], {"role": "assistant", "content": first.content}, results_for(first)]
    second = await claude.messages.create(**{**asked, "messages": turns})
    assert second.content[0].text == "read: a.py, b.py"


async def test_a_stream_says_the_same_as_a_plain_answer(claude):
    """The message put together from events has the same blocks, stop and usage."""
    asked = {**HELLO, "tools": [READ], "system": LENS}
    plain = await claude.messages.create(**asked)
    async with claude.messages.stream(**asked) as events:
        streamed = await events.get_final_message()
    assert [block.model_dump(exclude={"parsed_output"}) for block in streamed.content] == [
        block.model_dump() for block in plain.content
    ]
    assert (streamed.stop_reason, streamed.usage.output_tokens) == (
        plain.stop_reason,
        plain.usage.output_tokens,
    )
    assert streamed.usage.input_tokens == plain.usage.input_tokens


async def test_the_events_of_a_stream_come_in_the_services_order(claude):
    """Start and ping, then start, deltas and stop of each block, then the end with the usage."""
    events = [event async for event in await claude.messages.create(**HELLO, stream=True)]
    assert [event.type for event in events] == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert events[0].message.usage.input_tokens == events[4].usage.input_tokens > 0


async def test_siblings_read_a_marked_system_prompt(sim, claude):
    """A marked block of the system prompt is written by the first and read by the second."""
    system = [{"type": "text", "text": LENS, "cache_control": {"type": "ephemeral", "ttl": "1h"}}]
    seen = []
    for task in ("one", "two"):
        messages = [{"role": "user", "content": task}]
        got = await claude.messages.create(**{**HELLO, "system": system, "messages": messages})
        usage = got.usage
        hour = usage.cache_creation.ephemeral_1h_input_tokens
        seen.append(
            (usage.input_tokens, hour, usage.cache_creation_input_tokens, usage.cache_read_input_tokens)
        )
    assert seen == [(7, 1000, 1000, 0), (7, 0, 0, 1000)]
    assert [entry.read_tokens for entry in sim.bill.entries()] == [0, 1000]


async def test_automatic_caching_marks_the_end_of_the_request(claude, clock):
    """``cache_control`` at top level writes everything; a minute before its end it is read, then gone."""
    asked = {**HELLO, "system": LENS, "cache_control": {"type": "ephemeral"}}
    reads = []
    for seconds in (0, 299, 300):
        clock.advance(seconds)
        reads.append((await claude.messages.create(**asked)).usage.cache_read_input_tokens)
    assert reads == [0, 1008, 0]


async def test_a_string_and_a_block_of_text_are_the_same(claude):
    """A string for content or system is shorthand for one block of text: the same prefix."""
    asked = {**HELLO, "cache_control": {"type": "ephemeral"}, "system": LENS}
    await claude.messages.create(**asked)
    blocks = [{"role": "user", "content": [{"type": "text", "text": "hello"}]}]
    asked |= {"system": [{"type": "text", "text": LENS}], "messages": blocks}
    assert (await claude.messages.create(**asked)).usage.cache_read_input_tokens == 1008


@pytest.mark.parametrize(
    ("change", "read"),
    [
        pytest.param({}, 1000, id="same"),
        pytest.param({"output_config": {"effort": "low"}}, 0, id="effort"),
        pytest.param({"thinking": {"type": "adaptive"}}, 0, id="thinking"),
        pytest.param({"tools": [READ]}, 0, id="tools"),
    ],
)
async def test_what_breaks_a_prefix(claude, change, read):
    """Other effort, thinking or tools, and the entry is not found."""
    system = [{"type": "text", "text": LENS, "cache_control": {"type": "ephemeral"}}]
    await claude.messages.create(**HELLO, system=system)
    got = await claude.messages.create(**HELLO, system=system, **change)
    assert got.usage.cache_read_input_tokens == read


async def test_no_output_warms_the_cache(sim, claude):
    """``max_tokens=0`` gives no content, bills no output, and leaves an entry to read."""
    asked = {**HELLO, "system": LENS, "cache_control": {"type": "ephemeral"}}
    warm = await claude.messages.create(**{**asked, "max_tokens": 0})
    assert (warm.content, warm.stop_reason, warm.usage.output_tokens) == ([], "max_tokens", 0)
    assert (await claude.messages.create(**asked)).usage.cache_read_input_tokens == 1008


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_max_tokens_cuts_a_tool_call_in_its_json(sim, claude, stream):
    """At the limit the JSON of a call ends in the middle; a plain answer has no place for half a JSON."""
    got = await claude.messages.create(**{**HELLO, "max_tokens": 18, "tools": [READ], "stream": stream})
    if stream:
        events = [event async for event in got]
        deltas = [event.delta for event in events if event.type == "content_block_delta"]
        json_text = "".join(delta.partial_json for delta in deltas if delta.type == "input_json_delta")
        stop = events[-2].delta.stop_reason
    else:
        json_text, stop = "", got.stop_reason
        assert got.content[-1].input == {}
    assert json_text == ('{"path":' if stream else "")
    assert (stop, sim.bill.entries()[0].output_tokens) == ("max_tokens", 18)


async def test_a_schema_is_obeyed(claude):
    """An answer under a schema is JSON that fits it."""
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "n": {"type": "integer"}},
        "required": ["name", "n"],
        "additionalProperties": False,
    }
    got = await claude.messages.create(
        **HELLO, output_config={"format": {"type": "json_schema", "schema": schema}}
    )
    assert json.loads(got.content[0].text) == {"name": "", "n": 0}


async def test_counting_is_free_and_says_what_will_be_billed(sim, claude):
    """``count_tokens`` gives the input of the request that follows, and bills nothing."""
    counted = await claude.messages.count_tokens(model=CLAUDE, messages=HELLO["messages"], system="Be brief.")
    assert sim.bill.total_usd() == 0
    got = await claude.messages.create(**HELLO, system="Be brief.")
    assert counted.input_tokens == got.usage.input_tokens


async def test_thinking_that_is_switched_off_is_not_shown(claude):
    """A request that disables thinking gets no thinking block."""
    got = await claude.messages.create(**HELLO, tools=[READ], thinking={"type": "disabled"})
    assert [block.type for block in got.content] == ["text", "tool_use", "tool_use"]


async def test_models_are_listed(claude):
    """The offered models are listed in Anthropic's shape."""
    assert [model.id async for model in claude.models.list()] == [CLAUDE, "gpt-6-luna"]


async def test_every_answer_has_ids_and_rate_limits(claude):
    """The request's id and the rate limit stand in the headers, as with the real service."""
    raw = await claude.messages.with_raw_response.create(**HELLO)
    assert raw.headers["request-id"] == "req_00000001"
    assert raw.headers["anthropic-ratelimit-requests-remaining"] == "3999"
