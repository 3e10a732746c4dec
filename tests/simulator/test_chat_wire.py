"""OpenAI's SDK talks to the simulator as it does to the real service."""

import json

import openai
import pytest

GPT = "gpt-6-luna"
READ = {"type": "function", "function": {"name": "read", "parameters": {"type": "object", "properties": {}}}}
HELLO = {"model": GPT, "messages": [{"role": "user", "content": "hello"}]}
LENS = "x" * 5000


@pytest.mark.parametrize("path", ["", "/v1"])
async def test_a_plain_answer_under_both_base_urls(sim, path):
    """A base URL with ``/v1`` and one without reach the same service."""
    async with openai.AsyncOpenAI(base_url=sim.url + path, api_key="k", max_retries=0) as client:
        got = await client.chat.completions.create(**HELLO)
    assert (got.choices[0].message.content, got.choices[0].finish_reason) == ("hello", "stop")
    (entry,) = sim.bill.entries("k", GPT)
    assert (entry.input_tokens, entry.output_tokens) == (got.usage.prompt_tokens, got.usage.completion_tokens)


async def test_a_turn_with_parallel_tools(gpt):
    """Two calls go out, their results come back, and are answered; reasoning shows in the usage only."""
    first = await gpt.chat.completions.create(**HELLO, tools=[READ])
    message = first.choices[0].message
    assert (first.choices[0].finish_reason, len(message.tool_calls)) == ("tool_calls", 2)
    assert first.usage.completion_tokens_details.reasoning_tokens > 0
    results = [
        {"role": "tool", "tool_call_id": call.id, "content": json.loads(call.function.arguments)["path"]}
        for call in message.tool_calls
    ]
    turns = [*HELLO["messages"], message.model_dump(exclude_none=True), *results]
    second = await gpt.chat.completions.create(model=GPT, messages=turns, tools=[READ])
    assert second.choices[0].message.content == "read: a.py, b.py"


async def test_a_stream_says_the_same_as_a_plain_answer(gpt):
    """The chunks make up the same text, calls and finish reason; the last one carries the usage."""
    plain = await gpt.chat.completions.create(**HELLO, tools=[READ])
    options = {"stream": True, "stream_options": {"include_usage": True}}
    chunks = [chunk async for chunk in await gpt.chat.completions.create(**HELLO, tools=[READ], **options)]
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    calls: dict[int, list[str]] = {}
    for delta in deltas:
        for call in delta.tool_calls or ():
            calls.setdefault(call.index, []).append(call.function.name or call.function.arguments)
    message = plain.choices[0].message
    assert "".join(delta.content or "" for delta in deltas) == message.content
    assert [(name, "".join(rest)) for name, *rest in calls.values()] == [
        (call.function.name, call.function.arguments) for call in message.tool_calls
    ]
    assert chunks[-2].choices[0].finish_reason == "tool_calls"
    assert (chunks[-1].choices, chunks[-1].usage.completion_tokens) == ([], plain.usage.completion_tokens)


async def test_a_stream_has_no_usage_unless_asked(gpt):
    """Without ``include_usage`` no chunk carries any."""
    chunks = [chunk async for chunk in await gpt.chat.completions.create(**HELLO, stream=True)]
    assert {chunk.usage for chunk in chunks} == {None}


@pytest.mark.parametrize(
    ("mark", "cached"),
    [
        pytest.param({}, 0, id="no-breakpoint"),
        pytest.param({"prompt_cache_breakpoint": {"mode": "explicit"}}, 1256, id="explicit-breakpoint"),
    ],
)
async def test_siblings_share_a_prefix_inside_a_message_only_at_a_breakpoint(gpt, mark, cached):
    """Input includes what was cached; reads and writes are reported apart."""
    seen = []
    for task in ("one", "two"):
        content = [{"type": "text", "text": LENS, **mark}, {"type": "text", "text": task}]
        messages = [{"role": "user", "content": content}]
        got = await gpt.chat.completions.create(model=GPT, messages=messages, prompt_cache_key="batch")
        details = got.usage.prompt_tokens_details
        seen.append((got.usage.prompt_tokens, details.cached_tokens, details.cache_write_tokens))
    assert seen == [(1259, 0, 1259), (1259, cached, 1259 - cached)]


async def test_siblings_share_a_marked_system_message(gpt):
    """A breakpoint at the end of the system message is written by the first and read by the second."""
    part = {"type": "text", "text": LENS, "prompt_cache_breakpoint": {"mode": "explicit"}}
    seen = []
    for task in ("one", "two"):
        messages = [{"role": "system", "content": [part]}, {"role": "user", "content": task}]
        got = await gpt.chat.completions.create(model=GPT, messages=messages)
        seen.append(got.usage.prompt_tokens_details.cached_tokens)
    assert seen == [0, 1254]


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
async def test_the_limit_cuts_a_tool_call_in_its_json(gpt, name):
    """Both names of the limit hold; the arguments end in the middle."""
    got = await gpt.chat.completions.create(**HELLO, tools=[READ], **{name: 18})
    arguments = got.choices[0].message.tool_calls[0].function.arguments
    assert (got.choices[0].finish_reason, got.usage.completion_tokens) == ("length", 18)
    assert arguments != '{"path": "a.py"}'
    assert '{"path": "a.py"}'.startswith(arguments)


async def test_a_schema_is_obeyed(gpt):
    """An answer under a strict schema is JSON that fits it."""
    schema = {
        "type": "object",
        "properties": {"n": {"type": "integer"}},
        "required": ["n"],
        "additionalProperties": False,
    }
    shape = {"type": "json_schema", "json_schema": {"name": "count", "strict": True, "schema": schema}}
    got = await gpt.chat.completions.create(**HELLO, response_format=shape)
    assert json.loads(got.choices[0].message.content) == {"n": 0}


async def test_tools_can_be_switched_off(gpt):
    """With ``tool_choice`` none the model sees no tools."""
    got = await gpt.chat.completions.create(**HELLO, tools=[READ], tool_choice="none")
    assert got.choices[0].message.content == "hello"


async def test_models_are_listed(gpt):
    """The offered models are listed in OpenAI's shape."""
    assert [model.id async for model in gpt.models.list()] == ["claude-haiku-5-5", GPT]
