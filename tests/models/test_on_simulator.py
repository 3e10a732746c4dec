"""The adapters against a provider that bills, caches, checks and fails: their figures are its bill's."""

from contextlib import aclosing

import pytest

from sunwell.core.message import Message, Text, Thinking, ToolCall, ToolResult, user
from sunwell.core.model import Caching, Request, ResponseSchema, ToolSpec
from sunwell.errors import (
    BadAnswer,
    ConnectionFailed,
    ModelError,
    QuotaExhausted,
    RateLimited,
    ServerFailed,
    Unauthorized,
)
from sunwell.models.anthropic_messages import AnthropicModel
from sunwell.models.connection import Connection
from sunwell.models.openai_chat import ChatModel
from sunwell.models.openai_responses import ResponsesModel
from sunwell.models.tokens import allowance_tokens
from sunwell.simulator.faults import Fault
from sunwell.simulator.script import Asked, Reply
from sunwell.simulator.server import Simulator

KEY = "sk-simulated-1"
TOOL = ToolSpec("read", "Reads a file.", {"type": "object", "properties": {"path": {"type": "string"}}})
LENS = "Write short sentences. " * 400
WIRES = pytest.mark.parametrize("wire", ["messages", "chat", "responses"])
WAYS = pytest.mark.parametrize("streaming", [False, True], ids=["whole", "stream"])


def model_of(wire, simulator):
    if wire == "messages":
        return AnthropicModel("claude-haiku-5-5", Connection("anthropic", simulator.url, KEY))
    if wire == "responses":
        return ResponsesModel("gpt-6-luna", Connection("openai", simulator.openai_url, KEY))
    return ChatModel("gpt-6-luna", Connection("openai", simulator.openai_url, KEY))


async def answered(model, request, streaming):
    if not streaming:
        return await model.complete(request)
    async with aclosing(model.stream(request)) as deltas:
        return [delta async for delta in deltas][-1].completion


def asked(text, **fields):
    return Request(messages=[user(text)], system=("Be exact.", LENS), tools=[TOOL], **fields)


@WIRES
@WAYS
async def test_usage_is_what_the_provider_bills(wire, streaming):
    """Siblings with one lens pay for it once, and each token is told in the column of its bill."""
    async with Simulator() as simulator:
        model = model_of(wire, simulator)
        caching = Caching("5m", conversation=False, key="batch")
        got = [await answered(model, asked(f"task {n}", caching=caching), streaming) for n in range(3)]
        entries = simulator.bill.entries()
    told = [
        (
            completion.usage.uncached_input_tokens,
            completion.usage.cache_read_tokens,
            completion.usage.cache_write_tokens,
            completion.usage.output_tokens,
        )
        for completion in got
    ]
    assert told == [(e.uncached_tokens, e.read_tokens, e.write_tokens, e.output_tokens) for e in entries]
    assert [e.write_tokens > 0 for e in entries] == [True, False, False]
    assert [e.read_tokens for e in entries] == [0, entries[0].write_tokens, entries[0].write_tokens]
    assert [completion.text for completion in got] == ["task 0", "task 1", "task 2"]


async def test_an_hour_in_the_cache_is_told_apart():
    """What is written for an hour is billed, and reported, in its own column."""
    async with Simulator() as simulator:
        model = model_of("messages", simulator)
        usage = (await model.complete(asked("task", caching=Caching("1h", False)))).usage
        (entry,) = simulator.bill.entries()
    assert (usage.cache_write_tokens, usage.cache_write_1h_tokens) == (0, entry.write_1h_tokens)
    assert entry.write_1h_tokens > 0


@WIRES
async def test_the_bound_is_never_below_the_bill(wire):
    """The bound on the input holds for text that tokenizers like least."""
    async with Simulator() as simulator:
        model = model_of(wire, simulator)
        for text in ("x", "é😀" * 200, "word " * 500):
            bound = model.input_bound_tokens(asked(text))
            assert bound >= (await model.complete(asked(text))).usage.input_tokens


@WIRES
async def test_the_bound_leaves_room_for_what_a_provider_adds(wire):
    """As much hidden input as the table allows for, on a request so short that its bytes cover none of it."""
    request = Request(messages=[user("x")])
    hidden = allowance_tokens("anthropic" if wire == "messages" else "openai", "")
    async with Simulator(faults=lambda _: Fault(hidden_input_tokens=hidden)) as simulator:
        model = model_of(wire, simulator)
        bound = model.input_bound_tokens(request)
        assert bound >= (await model.complete(request)).usage.input_tokens > hidden


@WIRES
@WAYS
async def test_a_conversation_with_tools_goes_round(wire, streaming):
    """Thinking, calls and results pass a provider that checks signatures and the order of parts."""

    def script(asked_: Asked) -> Reply:
        if any(message.role == "tool" for message in asked_.messages):
            return Reply((Text("read it"),))
        thought = (Thinking("let me see", "", ""),) if wire != "chat" else ()
        return Reply((*thought, Text("I look."), ToolCall("", "read", '{"path": "a"}')))

    name = "claude-haiku-5-5" if wire == "messages" else "gpt-6-luna"
    async with Simulator(models={name: script}) as simulator:
        model = model_of(wire, simulator)
        first = await answered(model, asked("read a"), streaming)
        (call,) = first.tool_calls
        results = Message("tool", (ToolResult(call.id, "content"), Text("go on")))
        history = asked("read a").messages.plus(first.as_message(), results)
        second = await answered(model, Request(messages=history, tools=[TOOL]), streaming)
    assert (first.stop, call.name) == ("tool_calls", "read")
    assert (second.text, second.stop) == ("read it", "end")
    assert any(isinstance(part, Thinking) for part in first.parts) == (wire != "chat")


@WIRES
@WAYS
async def test_an_answer_obeys_the_schema_that_was_sent(wire, streaming):
    """The schema reaches the provider in its own format."""
    properties = {"plan": {"type": "string"}}
    schema = {"type": "object", "properties": properties, "required": ["plan"], "additionalProperties": False}
    async with Simulator() as simulator:
        request = Request(
            messages=[user("plan")], response_schema=ResponseSchema("plan", schema), effort="low"
        )
        got = await answered(model_of(wire, simulator), request, streaming)
    assert '"plan"' in got.text


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        pytest.param(Fault(status=401), Unauthorized, id="401"),
        pytest.param(Fault(echo_key=True), Unauthorized, id="key-echoed"),
        pytest.param(Fault(status=429, retry_after_seconds=7), RateLimited, id="429"),
        pytest.param(Fault(status=500), ServerFailed, id="500"),
        pytest.param(Fault(status=503), RateLimited, id="503"),
        pytest.param(Fault(status=529), RateLimited, id="529"),
        pytest.param(Fault(gateway_status=502), ServerFailed, id="gateway-502"),
        pytest.param(Fault(gateway_status=524), ServerFailed, id="gateway-524"),
        pytest.param(Fault(cut="before"), ConnectionFailed, id="cut-before"),
        pytest.param(Fault(cut="dropped"), ConnectionFailed, id="dropped"),
        pytest.param(Fault(cut="no-end"), (BadAnswer, ConnectionFailed), id="no-end"),
        pytest.param(Fault(cut="after-tool"), (BadAnswer, ConnectionFailed), id="after-tool"),
        pytest.param(Fault(cut="body"), ConnectionFailed, id="body"),
    ],
)
@WIRES
@WAYS
async def test_a_failure_that_was_billed_says_so(wire, streaming, fault, expected):
    """``may_be_billed`` is false only where the bill is empty, and no error shows the key.

    A 500 does not say whether the model has worked.
    """
    async with Simulator(faults=lambda _: fault) as simulator:
        if streaming and wire != "responses" and fault.cut in ("no-end", "after-tool"):
            # Only the terminal event is missing: finish reason and usage have come, so the answer is whole.
            got = await answered(model_of(wire, simulator), asked("a task with several words"), streaming)
            assert got.usage is not None
            assert simulator.bill.total_usd() > 0
            return
        with pytest.raises(ModelError) as caught:
            await answered(model_of(wire, simulator), asked("a task with several words in it"), streaming)
        billed = simulator.bill.total_usd() > 0
    assert isinstance(caught.value, expected)
    assert caught.value.may_be_billed == (billed or fault.status == 500)
    assert caught.value.retry_after_seconds == fault.retry_after_seconds
    assert KEY not in repr(caught.value)


@WAYS
async def test_an_account_without_credit_is_told_from_a_rate_limit(streaming):
    """``insufficient_quota`` comes with the status of a rate limit, and no wait helps against it."""
    async with Simulator(faults=lambda _: Fault(status=429, quota=True)) as simulator:
        with pytest.raises(QuotaExhausted) as caught:
            await answered(model_of("chat", simulator), asked("a task"), streaming)
    assert (caught.value.may_be_billed, caught.value.retry) == (False, False)


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault(stream_anyway=True), id="events-for-a-plain-request"),
        pytest.param(Fault(redacted_thinking=True), id="redacted-thinking"),
        pytest.param(Fault(repeated_names=True), id="repeated-names"),
        pytest.param(Fault(tool_ids="doubled"), id="doubled-ids"),
        pytest.param(Fault(tool_ids="missing"), id="missing-ids"),
        pytest.param(Fault(arguments="newlines"), id="raw-newlines"),
        pytest.param(Fault(usage="missing"), id="no-usage"),
    ],
)
@WIRES
@WAYS
async def test_a_gateway_with_habits_is_understood(wire, streaming, fault):
    """Two calls come out as two calls, each with an id of its own, whatever the gateway does to them."""

    def script(_: Asked) -> Reply:
        calls = [ToolCall("", "read", f'{{"path": "{path}"}}') for path in ("a", "b")]
        return Reply((Text("I look."), *calls))

    name = "claude-haiku-5-5" if wire == "messages" else "gpt-6-luna"
    async with Simulator(models={name: script}, faults=lambda _: fault) as simulator:
        got = await answered(model_of(wire, simulator), asked("read both"), streaming)
    assert got.text == "I look."
    assert [call.name for call in got.tool_calls] == ["read", "read"]
    assert len({call.id for call in got.tool_calls}) == 2
    # Usage in events must be asked for on this wire, and a plain request does not.
    unasked = fault.stream_anyway and wire == "chat" and not streaming
    assert (got.usage is None) == (fault.usage == "missing" or unasked)
