"""Every fault as the real SDKs see it, and what of it is billed."""

import contextlib
import json

import anthropic
import httpx2
import openai
import pytest

from sunwell.simulator import Fault, FaultRule, SimulatedModel, Simulator, echo, parse_fault

CLAUDE = "claude-haiku-5-5"
GPT = "gpt-6-luna"
ASK_CLAUDE = {
    "model": CLAUDE,
    "max_tokens": 100,
    "messages": [{"role": "user", "content": "hello"}],
    "tools": [{"name": "read", "input_schema": {"type": "object"}}],
}
ASK_GPT = {
    "model": GPT,
    "messages": [{"role": "user", "content": "hello"}],
    "tools": [{"type": "function", "function": {"name": "read"}}],
}
PROVIDERS = pytest.mark.parametrize("provider", ["claude", "gpt"])


@pytest.fixture
def ask(claude, gpt):
    """Ask one of the providers with a fault in the header; a stream comes back as a list."""

    async def send(provider: str, fault: str, *, stream: bool = False, **more):
        headers = {"x-simulator-fault": fault}
        if provider == "claude":
            got = await claude.messages.create(**{**ASK_CLAUDE, **more}, stream=stream, extra_headers=headers)
        else:
            got = await gpt.chat.completions.create(
                **{**ASK_GPT, **more}, stream=stream, extra_headers=headers
            )
        return [event async for event in got] if stream else got

    return send


@pytest.mark.parametrize(
    ("fault", "claude_error", "gpt_error"),
    [
        pytest.param("429", anthropic.RateLimitError, openai.RateLimitError, id="429"),
        pytest.param("500", anthropic.InternalServerError, openai.InternalServerError, id="500"),
        pytest.param("529", anthropic.InternalServerError, openai.InternalServerError, id="529"),
        pytest.param("401", anthropic.AuthenticationError, openai.AuthenticationError, id="401"),
    ],
)
@PROVIDERS
async def test_refusals_are_not_billed(sim, ask, provider, fault, claude_error, gpt_error):
    """A refusal raises the SDK's own error, with ``Retry-After`` where the plan gives one."""
    with pytest.raises(claude_error if provider == "claude" else gpt_error) as caught:
        await ask(provider, f"{fault}; retry_after_seconds=2.5")
    assert caught.value.response.headers["retry-after"] == "2.5"
    assert sim.bill.entries() == ()


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@PROVIDERS
async def test_a_gateway_can_lose_an_answer_that_is_billed(sim, ask, provider, stream):
    """The caller sees an error status; input and the whole output are owed."""
    with pytest.raises((anthropic.InternalServerError, openai.InternalServerError)) as caught:
        await ask(provider, "gateway_status=524", stream=stream)
    (entry,) = sim.bill.entries()
    assert caught.value.status_code == 524
    assert (entry.why, entry.output_tokens > 0) == ("cut", True)


async def test_an_empty_account_has_its_own_code(ask):
    """``insufficient_quota`` is told from a rate limit by its code."""
    codes = []
    for fault in ("429; quota", "429"):
        with pytest.raises(openai.RateLimitError) as caught:
            await ask("gpt", fault)
        codes.append(caught.value.code)
    assert codes == ["insufficient_quota", "rate_limit_exceeded"]


@PROVIDERS
async def test_a_key_can_be_echoed(ask, provider):
    """Some providers repeat the key in the message of a 401."""
    with pytest.raises((anthropic.AuthenticationError, openai.AuthenticationError), match=f"{provider}-key"):
        await ask(provider, "echo_key")


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("cut", ["before", "dropped"])
@PROVIDERS
async def test_a_dropped_connection_is_an_error_and_is_billed(sim, ask, provider, cut, stream):
    """Whether before or in mid-answer: the SDK raises, the input is owed."""
    errors = (anthropic.APIConnectionError, openai.APIConnectionError, httpx2.RemoteProtocolError)
    with pytest.raises(errors):
        await ask(provider, f"cut={cut}", stream=stream)
    (entry,) = sim.bill.entries()
    assert entry.why == "cut"
    assert entry.uncached_tokens + entry.write_tokens > 0
    assert (entry.output_tokens == 0) == (cut == "before")


@pytest.mark.parametrize(
    ("cut", "last", "calls"),
    [pytest.param("no-end", "message_delta", 2, id="no-end"),
     pytest.param("after-tool", "content_block_stop", 1, id="after-tool")],
)  # fmt: skip
async def test_a_claude_stream_can_end_cleanly_without_its_end(sim, ask, cut, last, calls):
    """The SDK takes it for a success, with a call that looks complete; the terminal event is missing."""
    events = await ask("claude", f"cut={cut}", stream=True)
    started = [e for e in events if e.type == "content_block_start" and e.content_block.type == "tool_use"]
    assert (events[-1].type, len(started), sim.bill.entries()[0].why) == (last, calls, "cut")


@pytest.mark.parametrize(
    ("cut", "finish"),
    [pytest.param("no-end", "tool_calls", id="no-end"), pytest.param("after-tool", None, id="after-tool")],
)
async def test_a_chat_stream_can_end_cleanly_without_its_end(sim, ask, cut, finish):
    """Without ``[DONE]`` after its finish reason, or right after the first call."""
    chunks = await ask("gpt", f"cut={cut}", stream=True)
    arguments = "".join(c.function.arguments for k in chunks for c in k.choices[0].delta.tool_calls or ())
    assert chunks[-1].choices[0].finish_reason == finish
    assert arguments.startswith('{"path": "a.py"}')
    assert sim.bill.entries()[0].why == "cut"


@pytest.mark.parametrize("stall", ["stall_before_seconds", "stall_midway_seconds"])
@PROVIDERS
async def test_a_stall_runs_into_the_clients_time_limit(sim, ask, provider, stall):
    """Silence before or in the answer: the client gives up, and owes what was generated by then."""
    errors = (anthropic.APITimeoutError, openai.APITimeoutError, httpx2.ReadTimeout)
    with pytest.raises(errors):
        await ask(provider, f"{stall}=60", stream=True, timeout=0.5 if "before" in stall else 1.0)
    (entry,) = sim.bill.entries()
    assert (entry.output_tokens == 0) == (stall == "stall_before_seconds")


@pytest.mark.parametrize("kind", ["truncated", "newlines"])
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@PROVIDERS
async def test_malformed_arguments_are_no_json(ask, provider, kind, stream):
    """Arguments come cut off or with raw newlines, in both formats, plain and streamed."""
    got = await ask(provider, f"arguments={kind}", stream=stream)
    with pytest.raises(json.JSONDecodeError):
        json.loads(_first_arguments(provider, got, stream))


def _first_arguments(provider: str, got, stream: bool) -> str:
    if provider == "claude" and stream:
        deltas = [e for e in got if e.type == "content_block_delta" and e.delta.type == "input_json_delta"]
        return "".join(e.delta.partial_json for e in deltas if e.index == deltas[0].index)
    if provider == "claude":
        return next(block.input for block in got.content if block.type == "tool_use")
    if stream:
        calls = [call for chunk in got for call in chunk.choices[0].delta.tool_calls or ()]
        return "".join(call.function.arguments for call in calls if call.index == 0)
    return got.choices[0].message.tool_calls[0].function.arguments


@PROVIDERS
async def test_hidden_input_is_reported_and_billed(sim, ask, provider):
    """What the provider adds to the prompt stands in the usage and in the bill."""
    sizes = []
    for fault in ("", "hidden_input_tokens=500"):
        usage = (await ask(provider, fault)).usage
        sizes.append(usage.input_tokens if provider == "claude" else usage.prompt_tokens)
    assert sizes[1] - sizes[0] == 500
    assert [entry.input_tokens for entry in sim.bill.entries()] == sizes


@PROVIDERS
async def test_wrong_usage_does_not_change_the_bill(sim, ask, provider):
    """The answer reports twice of what is billed."""
    usage = (await ask(provider, "usage=wrong")).usage
    output = usage.output_tokens if provider == "claude" else usage.completion_tokens
    assert output == 2 * sim.bill.entries()[0].output_tokens


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@PROVIDERS
async def test_usage_can_be_missing(sim, ask, provider, stream):
    """An answer without usage is billed all the same."""
    got = await ask(provider, "usage=missing", stream=stream)
    if provider == "claude" and stream:
        seen = {getattr(got[0].message, "usage", None), getattr(got[-2], "usage", None)}
    else:
        seen = {getattr(item, "usage", None) for item in (got if stream else [got])}
    assert seen == {None}
    assert sim.bill.total_usd() > 0


@PROVIDERS
async def test_events_can_answer_a_plain_request(sim, claude, gpt, provider):
    """A plain request gets ``text/event-stream``."""
    headers = {"x-simulator-fault": "stream_anyway"}
    if provider == "claude":
        raw = await claude.messages.with_raw_response.create(**ASK_CLAUDE, extra_headers=headers)
    else:
        raw = await gpt.chat.completions.with_raw_response.create(**ASK_GPT, extra_headers=headers)
    assert raw.headers["content-type"].startswith("text/event-stream")
    end = 'data: {"type":"message_stop"}' if provider == "claude" else "data: [DONE]"
    assert raw.http_response.text.rstrip().endswith(end)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_a_redacted_block_can_come_first(ask, claude, stream):
    """It is accepted when it comes back unchanged."""
    got = await ask("claude", "redacted_thinking", stream=stream)
    first = (
        next(e.content_block for e in got if e.type == "content_block_start") if stream else got.content[0]
    )
    assert first.type == "redacted_thinking"
    talk = [*ASK_CLAUDE["messages"], {"role": "assistant", "content": [first, {"type": "text", "text": "a"}]}]
    assert await claude.messages.create(**{**ASK_CLAUDE, "messages": [*talk, *ASK_CLAUDE["messages"]]})
    altered = {"type": "redacted_thinking", "data": "A" + first.data}
    talk[1] = {"role": "assistant", "content": [altered, {"type": "text", "text": "a"}]}
    with pytest.raises(anthropic.BadRequestError, match="signature"):
        await claude.messages.create(**{**ASK_CLAUDE, "messages": [*talk, *ASK_CLAUDE["messages"]]})


async def test_a_tools_name_can_stand_in_every_delta(ask):
    """Some gateways repeat it; others name it once."""
    counts = []
    for fault in ("", "repeated_names"):
        chunks = await ask("gpt", fault, stream=True)
        calls = [
            call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or () if call.index == 0
        ]
        counts.append((len(calls), sum(call.function.name == "read" for call in calls)))
    assert counts == [(2, 1), (2, 2)]


@pytest.mark.parametrize(("kind", "ids"), [("doubled", ["call_same"] * 2), ("missing", [None] * 2)])
@PROVIDERS
async def test_ids_of_calls_can_be_doubled_or_missing(ask, provider, kind, ids):
    """Two calls with the same id, or with none."""
    got = await ask(provider, f"tool_ids={kind}")
    if provider == "claude":
        calls = [block for block in got.content if block.type == "tool_use"]
    else:
        calls = got.choices[0].message.tool_calls
    assert [getattr(call, "id", None) for call in calls] == ids


@pytest.mark.parametrize(
    ("kind", "start"),
    [pytest.param("fenced", "```json\n{", id="fenced"), pytest.param("prose", "Here is", id="prose"),
     pytest.param("cut", '{"', id="cut")],
)  # fmt: skip
@PROVIDERS
async def test_json_answers_can_be_spoiled(ask, provider, kind, start):
    """JSON in fences, in prose, or cut off, though a schema was sent."""
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"],
              "additionalProperties": False}  # fmt: skip
    if provider == "claude":
        shape = {"output_config": {"format": {"type": "json_schema", "schema": schema}}}
        got = (await ask(provider, f"json={kind}", **shape, tools=[])).content[0].text
    else:
        named = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema, "strict": True}}
        shape = {"response_format": named, "tools": openai.omit}
        got = (await ask(provider, f"json={kind}", **shape)).choices[0].message.content
    assert got.startswith(start)
    with pytest.raises(json.JSONDecodeError):
        json.loads(got)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@PROVIDERS
async def test_a_model_can_decline(sim, ask, provider, stream):
    """A refusal has no content and the provider's own stop reason; it is billed."""
    got = await ask(provider, "refusal", stream=stream)
    if provider == "claude":
        stop = got[-2].delta.stop_reason if stream else got.stop_reason
    else:
        stop = (got[-1] if stream else got).choices[0].finish_reason
    assert stop == ("refusal" if provider == "claude" else "content_filter")
    assert sim.bill.total_usd() > 0


@PROVIDERS
async def test_a_dated_model_can_answer(sim, ask, provider):
    """The id in the answer differs from the one asked for, and the bill does not."""
    dated = f"{CLAUDE if provider == 'claude' else GPT}-20261001"
    got = await ask(provider, f"answering_model={dated}")
    assert (got.model, sim.bill.entries()[0].model) == (dated, dated.removesuffix("-20261001"))


async def test_a_plan_decides_by_number_model_and_key():
    """A plan given to the simulator holds without any header."""
    rules = [FaultRule(Fault(status=529), numbers=[2]), FaultRule(Fault(status=500), model=GPT)]
    seen = []
    async with (
        Simulator(faults=rules) as sim,
        anthropic.AsyncAnthropic(base_url=sim.url, api_key="k", max_retries=0) as client,
    ):
        for model in (CLAUDE, CLAUDE, CLAUDE, GPT):
            try:
                await client.messages.create(**{**ASK_CLAUDE, "model": model})
                seen.append(200)
            except anthropic.APIStatusError as error:
                seen.append(error.status_code)
    assert seen == [200, 529, 200, 500]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        pytest.param("529", Fault(status=529), id="status"),
        pytest.param("status=429; quota", Fault(status=429, quota=True), id="switch"),
        pytest.param("cut=no-end;usage=missing", Fault(cut="no-end", usage="missing"), id="two"),
        pytest.param("stall-before-seconds=0.5", Fault(stall_before_seconds=0.5), id="hyphens"),
        pytest.param("", Fault(), id="nothing"),
    ],
)
def test_faults_are_read_from_a_header(text, fault):
    """Fields apart by semicolons; a number alone is a status."""
    assert parse_fault(text) == fault


@pytest.mark.parametrize("text", ["made_up=1", "cut=somewhere", "hidden_input_tokens=x"])
def test_an_unknown_fault_is_an_error(text):
    """A misspelt fault must not pass for none."""
    with pytest.raises(ValueError, match=r"known|must be one of|invalid literal"):
        parse_fault(text)


async def test_an_unknown_fault_in_a_header_is_refused(ask):
    """The answer says what is wrong with the header."""
    with pytest.raises(anthropic.BadRequestError, match="unknown fault 'made_up'"):
        await ask("claude", "made_up")


LONG = " ".join(f"word{number}" for number in range(120))


@pytest.mark.parametrize("cut", ["dropped", "no-end", "after-tool"])
@PROVIDERS
async def test_a_cut_stream_bills_what_was_generated_by_then(provider, cut):
    """The same, whether its chunks go out at once or one by one; all of it if only the end is missing."""
    model = CLAUDE if provider == "claude" else GPT
    billed = []
    for seconds in (0.0, 1e-9):
        paced = SimulatedModel(echo, chunk_seconds=seconds)
        async with Simulator({model: paced}, faults=[FaultRule(Fault(cut=cut), numbers={1})]) as sim:
            base = sim.url if provider == "claude" else sim.openai_url
            path = "/v1/messages" if provider == "claude" else "/chat/completions"
            key = (
                {"x-api-key": "k", "anthropic-version": "2026-10-21"}
                if provider == "claude"
                else {"authorization": "Bearer k"}
            )
            body = {"model": model, "max_tokens": 900, "messages": [{"role": "user", "content": LONG}]}
            async with httpx2.AsyncClient(base_url=base) as client:
                for _ in range(2):
                    with contextlib.suppress(httpx2.HTTPError):
                        await client.post(path, headers=key, json=body | {"stream": True})
            first, whole = (entry.output_tokens for entry in sim.bill.entries())
            billed.append((first, whole))
    assert billed[0] == billed[1]
    [(first, whole), _] = billed
    assert (0 < first <= whole * 2 // 3) if cut == "dropped" else (first == whole > 200)
