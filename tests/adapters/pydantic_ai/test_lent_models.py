"""Models of pydantic-ai in runs of ours: the same money and errors, and what they wrote goes back to them."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pydantic_ai", reason="sunwell[pydantic-ai] is not installed")

from hypothesis import given
from hypothesis import strategies as st
from pydantic_ai.exceptions import (
    ContentFilterError,
    ModelAPIError,
    ModelConnectionError,
    ModelHTTPError,
    ModelRateLimitError,
    ModelTimeoutError,
    UnexpectedModelBehavior,
    UserError,
)
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    NativeToolCallPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
)
from pydantic_ai.models import Model
from pydantic_ai.models.anthropic import AnthropicModel as HostAnthropicModel
from pydantic_ai.models.function import AgentInfo, DeltaThinkingPart, DeltaToolCall, FunctionModel
from pydantic_ai.models.test import TestModel as CannedModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.usage import RequestUsage

from sunwell import Agent, Budget, RunOptions, SessionContext
from sunwell.adapters.pydantic_ai import PydanticAIModel
from sunwell.core.message import History, Message, Text, Thinking, ToolCall, ToolResult, user
from sunwell.core.model import Delta, Request, ResponseSchema, ToolSpec, Usage
from sunwell.core.price import Price, Rates
from sunwell.errors import (
    BadAnswer,
    BadRequest,
    ConnectionFailed,
    ModelError,
    QuotaExhausted,
    RateLimited,
    RequestTooLong,
    ServerFailed,
    Unauthorized,
)
from sunwell.gateway import RetryPolicy
from sunwell.simulator import Asked, Fault, FaultRule, Reply, Simulator
from sunwell.simulator.scripts import cheap, smart
from tests.adapters.pydantic_ai.hosting import CHEAP, SMART, TASK, host_model, scripted

WIRES = ("messages", "chat", "responses")
PRICE = Price(Rates(Decimal(1), Decimal(1)))


def asking(*messages: Message, **given: Any) -> Request:
    """Return a request with these messages, or a short one."""
    return Request(History(messages or (user("Say something."),)), **given)


def lent(*lines: Any) -> PydanticAIModel:
    """Return a model of ours that gives *lines* through pydantic-ai."""
    return PydanticAIModel(scripted(*lines))


async def test_a_delegated_run_on_lent_models(shop: Path) -> None:
    """Both roles are models of pydantic-ai; the bill is the provider's, and the work is done."""
    async with Simulator({SMART: smart, CHEAP: cheap}) as sim, AsyncExitStack() as opened:
        models = []
        for name in (SMART, CHEAP):
            provider = AnthropicProvider(base_url=sim.url, api_key="a-key")
            model = PydanticAIModel(HostAnthropicModel(name, provider=provider))
            models.append(await opened.enter_async_context(model))
        agent = Agent(smart_model=models[0], delegation_model=models[1])
        options = RunOptions(enable_delegation=True, budget=Budget(usd="0.5"))
        result = await agent.run(SessionContext.build(shop, TASK, options=options))
        assert result.status == "ok", result.error
        assert result.bill.cost_usd == sim.bill.total_usd() > 0
        assert {one.model for one in result.bill.models} == {SMART, CHEAP}
    assert (shop / "shop" / "endpoints" / "order.py").exists()


def looking(asked: Asked) -> Reply:
    """A model that looks once, and says what it found."""
    last = asked.messages[-1]
    if isinstance(last.parts[0], ToolResult):
        return Reply((Text("Found: " + last.parts[0].content.splitlines()[0]),))
    return Reply((Text("I look."), ToolCall("call-1", "list_files", '{"path": "."}')))


@pytest.mark.parametrize("wire", WIRES)
async def test_each_wire_format_pays_what_the_provider_bills(shop: Path, wire: str) -> None:
    """Tools are called and their results come back; the gateway repeats a refusal, and nobody else does."""
    faults = [FaultRule(Fault(status=429), numbers=[1]), FaultRule(Fault(status=500), numbers=[3])]
    scripts = {CHEAP: looking, "gpt-6-luna": looking}
    async with Simulator(scripts, faults=faults) as sim, host_model(sim, wire) as model:
        agent = Agent(model=PydanticAIModel(model), retry=RetryPolicy(first_wait_seconds=0.01))
        options = RunOptions(enable_delegation=False, budget=Budget(usd=1))
        result = await agent.run(SessionContext.build(shop, "Say what is here.", options=options))
        assert result.status == "ok", result.error
        assert result.answer.startswith("Found: CONVENTIONS.md")
        assert len(sim.requests) == 4
        assert result.bill.cost_usd == sim.bill.total_usd() > 0
        assert result.bill.uncertain_usd > 0  # the 500 may have been billed


async def test_what_a_model_wrote_for_itself_goes_back_to_it_alone() -> None:
    """Signatures, ids and reasoning survive our record; another model does not get them."""
    seen: list[list[ModelMessage]] = []
    first = ModelResponse(
        [
            ThinkingPart("Hm.", signature="sig", provider_name="function", provider_details={"a": 1}),
            TextPart("I look.", id="msg_1", provider_name="function"),
            ToolCallPart("look", '{"path": "ü"}', "call-1", id="fc_1", provider_name="function"),
        ],
        usage=RequestUsage(input_tokens=10, output_tokens=5),
        finish_reason="tool_call",
    )

    def second(messages: list[ModelMessage]) -> ModelResponse:
        seen.append(messages)
        return ModelResponse([TextPart("Done.")], usage=RequestUsage(input_tokens=10, output_tokens=5))

    model, other = lent(first, second), lent(second)
    said = await model.complete(asking())
    assert said.stop == "tool_calls"
    assert [type(part) for part in said.parts] == [Thinking, Text, ToolCall]
    result = Message("tool", (ToolResult("call-1", "no such file", is_error=True),))
    told = asking(user("Say something."), said.as_message(), result)
    assert (await model.complete(told)).stop == "end"
    [_, response, results] = seen[0]
    assert isinstance(response, ModelResponse)
    assert list(response.parts) == list(first.parts)
    [returned] = results.parts
    assert isinstance(returned, ToolReturnPart)
    assert (returned.tool_name, returned.tool_call_id, returned.outcome) == ("look", "call-1", "failed")
    other.name = "other"
    stranger = PydanticAIModel(scripted(second, name="stranger"))
    await stranger.complete(told)
    assert list(seen[1][1].parts) == [TextPart("I look."), ToolCallPart("look", '{"path": "ü"}', "call-1")]


async def test_a_request_is_told_whole() -> None:
    """System prompt, tools, limits, schema and effort arrive; the client is told to repeat nothing."""
    heard: list[AgentInfo] = []

    async def reply(_: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        heard.append(info)
        return ModelResponse([TextPart("{}")], usage=RequestUsage(input_tokens=1, output_tokens=1))

    model = PydanticAIModel(
        FunctionModel(
            reply, model_name="m", profile={"supports_json_schema_output": True, "supports_thinking": True}
        )
    )
    schema = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
    tool = ToolSpec("look", "Look.", {"type": "object", "properties": {}})
    request = asking(
        system=("One.", "Two."),
        tools=(tool,),
        max_output_tokens=77,
        effort="high",
        timeout_seconds=9.0,
        response_schema=ResponseSchema("answer", schema),
    )
    await model.complete(request)
    await model.complete(asking(system=("One.",), tools=(tool,), tool_choice="none"))
    first, second = heard
    assert first.instructions == "One.\n\nTwo."
    assert [(one.name, one.description) for one in first.function_tools] == [("look", "Look.")]
    assert first.model_settings == {"max_retries": 0, "max_tokens": 77, "timeout": 9.0}
    assert first.model_request_parameters.output_mode == "native"
    assert first.model_request_parameters.thinking == "high"
    assert first.model_request_parameters.output_object.json_schema == schema  # type: ignore[union-attr]
    assert second.model_settings == {"max_retries": 0, "tool_choice": "none"}


async def test_a_model_without_schemas_is_told_of_them() -> None:
    """In its instructions, and the bound counts them."""
    heard: list[str | None] = []

    async def reply(_: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        heard.append(info.instructions)
        return ModelResponse([TextPart("{}")], usage=RequestUsage(input_tokens=1, output_tokens=1))

    model = PydanticAIModel(
        FunctionModel(reply, model_name="m", profile={"supports_json_schema_output": False})
    )
    wanted = asking(
        response_schema=ResponseSchema("answer", {"type": "object", "properties": {"odd_name": {}}})
    )
    await model.complete(wanted)
    assert "odd_name" in (heard[0] or "")
    assert model.input_bound_tokens(wanted) > model.input_bound_tokens(asking()) + len(heard[0] or "")


async def test_pieces_arrive_as_they_are_written() -> None:
    """Thinking, text and the names of tools; the last piece is the whole answer."""

    async def pieces(_: list[ModelMessage], __: AgentInfo) -> AsyncIterator[Any]:
        yield {0: DeltaThinkingPart(content="Hm.")}
        yield "I "
        yield "look."
        yield {2: DeltaToolCall("look", '{"path": ', tool_call_id="call-1")}
        yield {2: DeltaToolCall(json_args='"."}')}

    model = PydanticAIModel(FunctionModel(stream_function=pieces, model_name="m"))
    deltas = await streamed(model)
    assert deltas[:-1] == [
        Delta(thinking="Hm."),
        Delta(text="I "),
        Delta(text="look."),
        Delta(tool_name="look"),
    ]
    answer = deltas[-1].completion
    assert answer is not None
    assert (answer.text, answer.tool_calls[0].arguments) == ("I look.", '{"path": "."}')


HTTP: list[tuple[Exception, type[ModelError], bool, bool]] = [
    (
        ModelHTTPError(429, "m", {"error": {"type": "rate_limit_error", "message": "slow"}}),
        RateLimited,
        False,
        True,
    ),
    (ModelHTTPError(429, "m", None), RateLimited, True, True),
    (ModelHTTPError(429, "m", {"code": "insufficient_quota", "message": "no"}), QuotaExhausted, False, False),
    (
        ModelHTTPError(401, "m", {"message": "no", "type": "invalid_request_error"}),
        Unauthorized,
        False,
        False,
    ),
    (ModelHTTPError(400, "m", {"message": "no", "type": "invalid_request_error"}), BadRequest, False, False),
    (ModelHTTPError(500, "m", "oops"), ServerFailed, True, True),
    (
        ModelHTTPError(400, "m", {"message": "prompt is too long: 9 tokens > 8 maximum", "type": "x"}),
        RequestTooLong,
        False,
        False,
    ),
    (ModelHTTPError(400, "m", {"message": "no", "type": "x"}, in_stream=True), BadRequest, True, False),
    (ModelConnectionError("m", "refused", phase="connect"), ConnectionFailed, False, True),
    (ModelConnectionError("m", "reset", phase="read"), ConnectionFailed, True, True),
    (ModelTimeoutError("m", "slow", phase="read"), ConnectionFailed, True, True),
    (ModelRateLimitError("m", "slow"), RateLimited, True, True),
    (ModelAPIError("m", "odd"), ConnectionFailed, True, True),
    (ContentFilterError("no"), BadRequest, True, False),
    (UnexpectedModelBehavior("odd"), BadAnswer, True, True),
    (UserError("no images"), BadRequest, False, False),
]


async def streamed(model: PydanticAIModel) -> list[Delta]:
    """Return all pieces of an answer."""
    return [delta async for delta in model.stream(asking())]


@pytest.mark.parametrize(("raised", "kind", "billed", "retry"), HTTP, ids=[str(one[0])[:40] for one in HTTP])
@pytest.mark.parametrize("streams", [False, True])
async def test_errors_are_those_of_the_house(
    raised: Exception, kind: type[ModelError], billed: bool, retry: bool, streams: bool
) -> None:
    """What failed, whether it may be billed, and whether a retry may help."""

    async def fails(_: list[ModelMessage], __: AgentInfo) -> ModelResponse:
        raise raised

    async def breaks(_: list[ModelMessage], __: AgentInfo) -> AsyncIterator[str]:
        raise raised
        yield ""

    model = PydanticAIModel(FunctionModel(fails, stream_function=breaks, model_name="m"))
    with pytest.raises(kind) as found:
        await (streamed(model) if streams else model.complete(asking()))
    assert type(found.value) is kind
    assert (found.value.may_be_billed, found.value.retry) == (billed, retry)
    assert found.value.model == "function/m"
    assert "\n" not in str(found.value)


async def test_a_call_without_an_id_gets_one() -> None:
    """Some servers give none; the results of two calls must not be taken for one another."""
    calls = [ToolCallPart("look", {"n": 1}, None), ToolCallPart("look", None, None)]  # type: ignore[arg-type]
    answer = await lent(ModelResponse(calls)).complete(asking())
    assert [(one.id, one.arguments) for one in answer.tool_calls] == [("call-0", '{"n":1}'), ("call-1", "{}")]


async def test_a_bug_is_no_failure_of_a_model() -> None:
    """It is raised as it is."""

    async def breaks(_: list[ModelMessage], __: AgentInfo) -> ModelResponse:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await PydanticAIModel(FunctionModel(breaks, model_name="m")).complete(asking())


@pytest.mark.parametrize(
    ("response", "sentence"),
    [
        (ModelResponse([TextPart("Hal")], state="incomplete"), "is not whole"),
        (ModelResponse([TextPart("")], state="suspended"), "is not whole"),
        (ModelResponse([NativeToolCallPart("web_search", {})]), "a part that no run can use"),
    ],
)
async def test_an_answer_of_no_use_may_be_billed(response: ModelResponse, sentence: str) -> None:
    """Its usage comes with the error, so that it is booked."""
    response.usage = RequestUsage(input_tokens=100, output_tokens=10)
    with pytest.raises(BadAnswer, match=sentence) as raised:
        await lent(response).complete(asking())
    assert raised.value.may_be_billed
    assert raised.value.answer.usage == Usage(100, 10)  # type: ignore[attr-defined]


async def test_an_answer_in_time_or_none() -> None:
    """A time limit of the request holds, also between two pieces."""
    never = asyncio.Event()

    async def waits(_: list[ModelMessage], __: AgentInfo) -> ModelResponse:
        await never.wait()
        raise AssertionError

    async def stalls(_: list[ModelMessage], __: AgentInfo) -> AsyncIterator[str]:
        yield "Hal"
        await never.wait()

    model = PydanticAIModel(FunctionModel(waits, stream_function=stalls, model_name="m"))
    with pytest.raises(ConnectionFailed, match="did not arrive in time"):
        await model.complete(asking(timeout_seconds=0.01))
    with pytest.raises(ConnectionFailed, match="did not arrive in time"):
        async for _ in model.stream(asking(timeout_seconds=0.05)):
            pass


@pytest.mark.parametrize(
    ("reason", "stop"),
    [("stop", "end"), ("length", "length"), ("content_filter", "refusal"), ("error", "other"), (None, "end")],
)
async def test_why_an_answer_ended(reason: Any, stop: str) -> None:
    """In the words of the house."""
    said = ModelResponse([TextPart("Hm.")], finish_reason=reason, provider_details={"finish_reason": "raw"})
    answer = await lent(said).complete(asking())
    assert (answer.stop, answer.provider_stop) == (stop, "raw")


COUNTS = st.integers(0, 1_000)


@given(COUNTS, COUNTS, COUNTS, COUNTS, COUNTS)
def test_usage_is_read_in_full(plain: int, read: int, short: int, hour: int, output: int) -> None:
    """Cache writes for an hour are part of all writes there, and apart here; nothing at all is unknown."""
    usage = RequestUsage(
        input_tokens=plain + read + short + hour,
        cache_read_tokens=read,
        cache_write_tokens=short + hour,
        cache_write_1h_tokens=hour,
        output_tokens=output,
        output_reasoning_tokens=output // 2,
    )
    said = ModelResponse([TextPart("Hm.")], usage=usage, model_name="m")
    answer = asyncio.run(PydanticAIModel(CannedModelOf(said)).complete(asking()))
    if not usage.input_tokens and not usage.output_tokens:
        assert answer.usage is None
        return
    assert answer.usage == Usage(usage.input_tokens, output, read, short, hour, output // 2)
    assert answer.usage.uncached_input_tokens == plain


class CannedModelOf(CannedModel):
    """A model that gives one response as it is."""

    def __init__(self, response: ModelResponse) -> None:
        super().__init__()
        self.response = response

    async def request(self, *_: Any) -> ModelResponse:
        """Return the response."""
        return self.response


TEXTS = st.text(max_size=40)
PARTS = st.one_of(
    TEXTS.map(Text),
    st.builds(ToolCall, st.just("call"), st.just("look"), TEXTS),
)


@given(st.lists(st.tuples(TEXTS, st.lists(PARTS, min_size=1, max_size=4), TEXTS), max_size=4))
def test_no_text_is_lost_on_the_way(turns: list[tuple[str, list[Any], str]]) -> None:
    """Each turn arrives in its order, and the bound is at least the bytes of all of it."""
    seen: list[list[ModelMessage]] = []

    def last(messages: list[ModelMessage]) -> ModelResponse:
        seen.append(messages)
        return ModelResponse([TextPart("Done.")])

    history = History()
    for asked, parts, result in turns:
        history = history.plus(
            user(asked), Message("assistant", tuple(parts)), Message("tool", (ToolResult("call", result),))
        )
    request = Request(history.plus(user("End.")))
    model = lent(last)
    asyncio.run(model.complete(request))
    told = [part for message in seen[0] for part in message.parts]
    texts = [getattr(part, "content", None) or getattr(part, "args", "") for part in told]
    wanted = [
        text
        for asked, parts, result in turns
        for text in (
            asked,
            *(part.text if isinstance(part, Text) else part.arguments for part in parts),
            result,
        )
    ]
    assert texts == [*wanted, "End."]
    assert model.input_bound_tokens(request) >= sum(len(text.encode()) for text in wanted)
    assert all(isinstance(one, ModelRequest | ModelResponse) for one in seen[0])


def test_a_model_may_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """By pydantic-ai's name for it; prices and windows are looked up by provider and id."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", "a-key")
    model = PydanticAIModel("anthropic:claude-haiku-4-5")
    assert (model.name, model.provider, model.model_id) == (
        "anthropic/claude-haiku-4-5",
        "anthropic",
        "claude-haiku-4-5",
    )
    assert Agent().prices.price(model) is not None
    assert isinstance(model.framework_model, Model)
    assert json.dumps(model.name)
