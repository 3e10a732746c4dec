"""The provider's own count of a request: free, what would be billed, and never a reason to fail."""

import asyncio

import attrs
import pytest

from sunwell.core.message import Message, Text, ToolCall, ToolResult, user
from sunwell.core.model import Caching, Request, ResponseSchema, ToolSpec
from sunwell.models.anthropic_messages import AnthropicModel
from sunwell.models.connection import Connection
from sunwell.models.http_model import Tuning
from sunwell.models.openai_chat import ChatModel
from sunwell.models.openai_responses import ResponsesModel
from sunwell.simulator import Fault, FaultRule, InProcessModel, Occasion, Simulator
from sunwell.testing import run_virtual

KEY = "sk-simulated-1"
TOOL = ToolSpec("read", "Reads a file.", {"type": "object", "properties": {"path": {"type": "string"}}})
SCHEMA = ResponseSchema(
    "answer",
    {
        "type": "object",
        "properties": {"text": {"type": "string"}},
        "required": ["text"],
        "additionalProperties": False,
    },
)
ASKED = Request((user("hello"),), ("Be brief.",))
WORKED = Request(
    (
        user("Read a."),
        Message("assistant", (Text("I read it."), ToolCall("c1", "read", '{"path":"a"}'))),
        Message("tool", (ToolResult("c1", "one\ntwo\n" * 200),)),
    ),
    ("Be exact.", "Write short sentences."),
    (TOOL,),
)
WIRES = pytest.mark.parametrize("wire", ["messages", "responses"])


def model_of(wire, simulator, **more):
    if wire == "messages":
        return AnthropicModel("claude-haiku-5-5", Connection("anthropic", simulator.url, KEY), **more)
    return ResponsesModel("gpt-6-luna", Connection("openai", simulator.openai_url, KEY), **more)


@WIRES
@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(ASKED, id="plain"),
        pytest.param(WORKED, id="with-tools"),
        pytest.param(attrs.evolve(WORKED, tool_choice="none", effort="high"), id="no-more-tools"),
        pytest.param(attrs.evolve(ASKED, response_schema=SCHEMA, max_output_tokens=900), id="with-a-schema"),
        pytest.param(attrs.evolve(WORKED, caching=Caching("1h", True, "batch")), id="cached"),
    ],
)
async def test_the_count_is_what_is_billed(wire, request_):
    """The provider counts exactly the input that it bills for the same request, and bills nothing for it."""
    async with Simulator() as simulator:
        model = model_of(wire, simulator)
        counted = await model.count_input_tokens(request_)
        assert (simulator.bill.entries(), len(simulator.counts)) == ((), 1)
        usage = (await model.complete(request_)).usage
    assert counted == usage.input_tokens


@WIRES
async def test_a_thinking_budget_does_not_hinder_counting(wire):
    """Settings of the model that the endpoint takes, or that it does not know, are no problem."""
    async with Simulator() as simulator:
        model = model_of(wire, simulator, tuning=Tuning(thinking_tokens=2_000, effort="low"))
        assert await model.count_input_tokens(ASKED) is not None


@WIRES
async def test_what_the_provider_adds_is_counted(wire):
    """Tokens that the provider adds to a request are in its count, as they are in its bill."""
    async with Simulator(faults=FaultRule(Fault(hidden_input_tokens=77))) as simulator:
        model = model_of(wire, simulator)
        counted = await model.count_input_tokens(ASKED)
        assert counted == (await model.complete(ASKED)).usage.input_tokens


@WIRES
@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault(status=429), id="too-many"),
        pytest.param(Fault(status=500), id="server-error"),
        pytest.param(Fault(cut="before"), id="connection-drops"),
        pytest.param(Fault(echo_key=True), id="key-refused"),
    ],
)
async def test_a_failure_is_no_count(wire, fault):
    """If the server fails there is no count, nothing is raised, and the server is left alone for a while."""
    async with Simulator(faults=FaultRule(fault, counting=True)) as simulator:
        model = model_of(wire, simulator)
        assert [await model.count_input_tokens(ASKED) for _ in range(3)] == [None] * 3
        assert len(simulator.counts) == 1
        assert (await model.complete(ASKED)).text == "hello"


@WIRES
async def test_a_server_without_the_endpoint_is_asked_once(wire):
    """A proxy that does not know the endpoint is not asked again by this model."""
    async with Simulator(faults=FaultRule(Fault(status=404), counting=True)) as simulator:
        model = model_of(wire, simulator)
        assert [await model.count_input_tokens(ASKED) for _ in range(3)] == [None] * 3
        assert len(simulator.counts) == 1


async def test_an_unreachable_server_gives_no_count():
    """Without a connection there is no count, and the real call says what is wrong."""
    model = AnthropicModel("claude-haiku-5-5", Connection("anthropic", "http://127.0.0.1:1", KEY))
    assert await model.count_input_tokens(ASKED) is None


async def test_without_a_key_there_is_no_count():
    """A missing key is the real call's error to raise."""
    assert await ResponsesModel("gpt-6-luna", Connection("openai")).count_input_tokens(ASKED) is None


async def test_the_chat_format_has_no_count():
    """Chat Completions have no such endpoint: nothing is sent."""
    async with Simulator() as simulator:
        model = ChatModel("gpt-6-luna", Connection("openai", simulator.openai_url, KEY))
        assert await model.count_input_tokens(ASKED) is None
        assert simulator.connections == 0


async def test_a_known_provider_that_cannot_count_is_not_asked():
    """The address of a provider whose preset has no such endpoint gets no request."""
    model = ResponsesModel("grok-5", Connection("xai", "https://api.x.ai/v1", KEY))
    assert await model.count_input_tokens(ASKED) is None


async def test_cancelling_a_count_cancels_it():
    """A caller that is cancelled while the provider counts is cancelled at once."""
    has_arrived = asyncio.Event()

    def stalled(_: Occasion) -> Fault:
        has_arrived.set()
        return Fault(stall_before_seconds=60)

    async with Simulator(faults=stalled) as simulator, asyncio.timeout(10):
        task = asyncio.ensure_future(model_of("messages", simulator).count_input_tokens(ASKED))
        await has_arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_silent_server_is_waited_for_once():
    """A server that does not answer in time gives no count, and does not delay the next call as well."""
    stalled = FaultRule(Fault(stall_before_seconds=60), counting=True)
    async with Simulator(faults=stalled) as simulator:
        connection = Connection("anthropic", simulator.url, KEY, first_byte_seconds=0.2)
        model = AnthropicModel("claude-haiku-5-5", connection)
        assert [await model.count_input_tokens(ASKED) for _ in range(3)] == [None] * 3
        assert len(simulator.counts) == 1


def test_a_simulated_model_counts_if_it_is_told_to():
    """A model without HTTP counts what it bills, or, by default, does not count at all."""

    async def counted() -> tuple[int | None, ...]:
        model = InProcessModel("claude-haiku-5-5", can_count=True)
        count = await model.count_input_tokens(WORKED)
        usage = (await model.complete(WORKED)).usage
        assert usage is not None
        return count, usage.input_tokens, await InProcessModel("gpt-6-luna").count_input_tokens(WORKED)

    count, billed, unknown = run_virtual(counted())
    assert (count, unknown) == (billed, None)
