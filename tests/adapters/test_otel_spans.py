"""The spans: names and types as published, one inside the other, and none twice."""

import asyncio
import json
import threading
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import SpanKind

from sunwell import Agent, RunOptions, SessionContext
from sunwell.adapters.otel import genai_registry as names
from sunwell.agent.loop import AgentLoop, LoopConfig
from sunwell.core import Budget, Price, Rates, Request, Thinking, ToolCall, Usage
from sunwell.core.secrets import Secrets
from sunwell.core.task import TaskResult
from sunwell.errors import ServerFailed
from sunwell.events import RunFinished
from sunwell.gateway import RetryPolicy
from sunwell.models.anthropic_messages import AnthropicModel
from sunwell.models.catalog import PRESETS
from sunwell.models.connection import Connection
from sunwell.simulator import Simulator
from sunwell.simulator.scripts import cheap, smart
from sunwell.testing import ScriptedModel, completion, run_virtual
from sunwell.tools import Toolbox, tool
from tests.adapters.telemetry_sdk import Telemetry
from tests.agent import orchestrated

PUBLISHED = json.loads((Path(__file__).parents[1] / "data" / "genai_registry.json").read_text())
PRICE = Price(Rates(Decimal(1), Decimal(10)), source="test", date="2026-11-01")
SMART, CHEAP = "claude-opus-5-5", "claude-haiku-5-5"
TYPES: dict[str, Any] = {
    "string": str,
    "int": int,
    "double": float,
    "boolean": bool,
    "any": str,  # as JSON text, which the conventions allow on spans
}
OWN = {
    names.RUN_ID: str,
    names.SPAN_PATH: str,
    names.PURPOSE: str,
    names.CALL_NUMBER: int,
    names.ATTEMPTS: int,
    names.COST_USD: float,
    names.UNCERTAIN_USD: float,
    names.RESERVED_USD: float,
    names.PRICE_UNKNOWN: bool,
    names.BILL_COST_USD: float,
    names.BILL_UNCERTAIN_USD: float,
    names.EARLIER_USD: float,
    names.EARLIER_UNCERTAIN_USD: float,
    names.RESUMED: bool,
    names.REPLAYED_CALLS: int,
    names.REPLAYED_WORKERS: int,
    names.REMEMBERED_CALLS: int,
    names.TASK_ID: str,
    names.STATUS: str,
    names.STOP_REASON: str,
    names.CHECK_BY: str,
    names.CHECK_PASSED: bool,
}


@tool(parallel=True, repeatable=True)
async def look(place: str) -> str:
    """Look somewhere."""
    return f"nothing at {place}"


def looking(*places: str, **given: Any) -> Any:
    """Return an answer that looks at *places*."""
    calls = [ToolCall(f"c{place}", "look", json.dumps({"place": place})) for place in places]
    return completion(*calls, usage=Usage(100, 10), **given)


def result_of(loop: AgentLoop, tools: Any = (look,)) -> TaskResult:
    """Return the result of one run on a virtual clock."""

    async def main() -> TaskResult:
        told = [event async for event in loop.run("Look around", tools)]
        assert isinstance(told[-1], RunFinished)
        return told[-1].result

    return run_virtual(main())


def assert_published(attributes: Any) -> None:
    """Check that each name is published with the type of its value, or is one of our own."""
    for name, value in attributes.items():
        if name in OWN:
            assert type(value) is OWN[name], name
            continue
        wanted = PUBLISHED["attributes"][name]
        if wanted == "string[]":
            assert all(type(one) is str for one in value), name
        else:
            assert type(value) is TYPES[wanted], name


@pytest.mark.parametrize("stream", [True, False])
async def test_all_names_and_types_are_published_ones(telemetry: Telemetry, shop: Path, stream: bool) -> None:
    """Of a run over HTTP with everything switched on: spans, their kinds, and what each must have."""
    secret = "sk-planted-0123456789"
    async with Simulator({SMART: smart, CHEAP: cheap}) as sim:
        models = [AnthropicModel(one, Connection("anthropic", sim.url, secret)) for one in (SMART, CHEAP)]
        options = RunOptions(
            enable_delegation=True, checks=("true",), allow_shell=True, sandbox="off", stream=stream
        )
        session = SessionContext.build(shop, "Generate CRUD endpoints for 5 entities", options=options)
        with telemetry.instrument(content=True):
            result = await Agent(smart_model=models[0], delegation_model=models[1]).run(session)
    assert result.status == "ok", result.error
    for span in telemetry.spans():
        assert_published(span.attributes)
        operation = span.attributes.get("gen_ai.operation.name")
        if operation is None:
            assert span.name == "sunwell.check"
            continue
        rule = PUBLISHED["spans"][operation]
        assert span.kind is SpanKind[rule["kind"].upper()]
        assert set(rule["required"]) <= set(span.attributes)
        assert span.name.startswith(f"{operation} ")
        assert span.attributes.get("gen_ai.provider.name", "anthropic") in PUBLISHED["providers"]
        assert secret not in json.dumps(dict(span.attributes))
    call = telemetry.spans("chat")[-1].attributes
    assert (call["server.address"], call["server.port"]) == ("127.0.0.1", int(sim.url.rpartition(":")[2]))
    assert call["gen_ai.response.model"] == CHEAP
    assert call.get("gen_ai.request.stream", False) is stream
    assert ("gen_ai.response.time_to_first_chunk" in call) is stream
    if stream:
        assert 0 < call["gen_ai.response.time_to_first_chunk"] < 60


async def test_all_metrics_are_published_ones(telemetry: Telemetry, shop: Path) -> None:
    """Name, instrument, unit and buckets, and the attributes of each point; no point names a run."""
    async with Simulator({SMART: smart, CHEAP: cheap}) as sim:
        models = [AnthropicModel(one, Connection("anthropic", sim.url, "a-key")) for one in (SMART, CHEAP)]
        options = RunOptions(enable_delegation=True, stream=True)
        session = SessionContext.build(shop, "Generate CRUD endpoints for 5 entities", options=options)
        with telemetry.instrument():
            result = await Agent(smart_model=models[0], delegation_model=models[1]).run(session)
    found = telemetry.metrics()
    assert set(found) - {"sunwell.cost_usd"} == set(PUBLISHED["metrics"]) - {
        "gen_ai.client.inference.usage.reasoning.output_tokens"
    }
    for name, metric in found.items():
        points = metric.data.data_points
        for point in points:
            assert_published(point.attributes)
            assert names.RUN_ID not in point.attributes
        if name == "sunwell.cost_usd":
            assert metric.unit == "{USD}"
            continue
        rule = PUBLISHED["metrics"][name]
        assert metric.unit == rule["unit"]
        assert all(set(rule["required"]) <= set(point.attributes) for point in points)
        assert all(hasattr(point, "bucket_counts") == (rule["instrument"] == "histogram") for point in points)
        if "bounds" in rule:
            assert all(list(point.explicit_bounds) == rule["bounds"] for point in points)
    calls = found["gen_ai.client.inference.duration"].data.data_points
    assert sum(point.count for point in calls) == result.bill.calls
    lasted = sum((span.end_time - span.start_time) / 1e9 for span in telemetry.spans("chat"))
    assert sum(point.sum for point in calls) == pytest.approx(lasted)
    tools = found["gen_ai.execute_tool.duration"].data.data_points
    assert sum(point.count for point in tools) == result.tool_calls


def test_a_call_without_usage_counts_zero_tokens_of_unknown_kind(traced: Telemetry) -> None:
    """As the conventions want it of failures; a reasoning model's own tokens are counted apart."""
    thought = completion("Done.", usage=Usage(10, 8, reasoning_tokens=5))
    lines = [ServerFailed("haiku", "down", retry=True)] * 20
    result_of(AgentLoop(ScriptedModel("haiku", [thought], PRICE)))
    result_of(AgentLoop(ScriptedModel("haiku", lines, PRICE), config=LoopConfig(retry=RetryPolicy())))
    points = traced.metrics()["gen_ai.client.inference.usage.input_tokens"].data.data_points
    told = {point.attributes["gen_ai.token.modality"]: point.value for point in points}
    assert told == {"text": 10, "unknown": 0}
    assert set(told) <= set(PUBLISHED["modalities"])
    assert traced.total("gen_ai.client.inference.usage.reasoning.output_tokens") == 5
    failed = traced.spans("chat")[-1]
    assert failed.attributes["error.type"] == "ServerFailed"
    assert failed.attributes["sunwell.attempts"] >= 1
    assert_published(failed.attributes)


@pytest.mark.parametrize("preset", PRESETS)
def test_providers_have_their_published_names(preset: str) -> None:
    """Those that the conventions do not know keep their own; a model of a class of the caller's has none."""
    unknown = {"openrouter", "together", "ollama", "vllm", "lmstudio", "llamacpp"}
    named = names.provider_name(preset)
    assert (named in PUBLISHED["providers"]) is (preset not in unknown)
    assert named == preset or preset not in unknown
    assert names.provider_name("") == "custom"


def test_calls_of_one_tool_side_by_side_are_told_apart(traced: Telemetry) -> None:
    """Each has the id that the model gave it; a tool's own spans and what it calls are inside its span."""
    tracer = traced.tracer_provider.get_tracer("the user's")

    @tool(parallel=True, repeatable=True)
    async def ask_a_service(place: str) -> str:
        """Ask a service."""
        await asyncio.sleep(int(place))
        with tracer.start_as_current_span(f"service {place}"):
            return "asked"

    calls = [ToolCall(f"c{n}", "ask_a_service", json.dumps({"place": str(n)})) for n in (3, 1, 2)]
    result_of(AgentLoop(ScriptedModel("haiku", [completion(*calls), "Done."], PRICE)), (ask_a_service,))
    tools = traced.spans("execute_tool")
    assert [one.attributes["gen_ai.tool.call.id"] for one in tools] == ["c3", "c1", "c2"]
    for span in traced.spans():
        if span.name.startswith("service"):
            above = traced.above(span)
            assert above is not None
            assert above.attributes["gen_ai.tool.call.id"] == f"c{span.name[-1]}"
    assert {traced.above(one).name for one in tools} == {"invoke_agent sunwell"}


def test_workers_are_inside_the_tool_call_that_started_them(traced: Telemetry, tmp_path: Path) -> None:
    """Their calls are inside them, and each has the bill of its own work."""
    wait = orchestrated.call("await_results", task_ids=None, timeout_seconds=None)
    boss = ScriptedModel(
        "boss", [orchestrated.batch("one", "two"), wait, orchestrated.answer("Done.")], PRICE
    )
    worker = ScriptedModel("worker", [completion("wrote it", usage=Usage(50, 5))] * 2, PRICE)
    session = SessionContext.build(tmp_path, "Write it down", options=RunOptions(orchestrate=True))
    result = asyncio.run(_result(Agent(smart_model=boss, delegation_model=worker), session))
    assert result.status == "ok", result.error
    works = [one for one in traced.spans("invoke_agent") if one.name == "invoke_agent sunwell.worker"]
    assert [one.attributes["sunwell.task_id"] for one in works] == [one.task_id for one in result.workers]
    for work in works:
        above = traced.above(work)
        assert above is not None
        assert above.name == "execute_tool delegate_batch"
        [call] = [one for one in traced.spans("chat") if traced.above(one) is work]
        assert work.attributes["sunwell.bill.cost_usd"] == call.attributes["sunwell.cost_usd"] > 0
        assert_published(work.attributes)
    root = traced.spans()[0]
    own = [one for one in traced.spans("chat") if one.attributes["gen_ai.request.model"] == "boss"]
    assert {traced.above(one) for one in own} == {root}
    assert sum(traced.values("sunwell.cost_usd")) == pytest.approx(float(result.bill.cost_usd), abs=1e-9)
    assert traced.counting.open == 0


async def _result(agent: Agent, session: SessionContext) -> TaskResult:
    return await agent.run(session)


def test_a_tool_that_a_time_limit_breaks_off_has_its_end(traced: Telemetry) -> None:
    """Its span says that it was cancelled; the closing call is not inside it."""

    @tool
    async def wait_for_ever(place: str) -> str:
        """Wait."""
        await asyncio.sleep(10_000)
        return place

    lines = [completion(ToolCall("c", "wait_for_ever", '{"place": "a"}')), "Not done."]
    config = LoopConfig(budget=Budget(seconds=20))
    result = result_of(AgentLoop(ScriptedModel("haiku", lines, PRICE), config=config), (wait_for_ever,))
    assert result.stop_reason == "timeout"
    [broken] = traced.spans("execute_tool")
    assert broken.attributes["error.type"] == "CancelledError"
    assert not broken.status.is_ok
    closing = traced.spans("chat")[-1]
    assert closing.attributes["sunwell.purpose"] == "closing"
    assert traced.above(closing).name == "invoke_agent sunwell"


def test_words_are_recorded_only_if_wanted_and_without_secrets(telemetry: Telemetry) -> None:
    """Neither messages nor arguments, results and errors are on spans by default."""
    secret = "sk-planted-0123456789"
    known = Secrets()
    known.add(secret, "SERVICE_KEY")

    @tool
    async def tell(place: str) -> str:
        """Tell the key."""
        return f"the key is {secret}"

    def run_once() -> None:
        thought = Thinking("I wonder.", "{}", "test")
        call = ToolCall("c", "tell", json.dumps({"place": f"marked {secret}"}))
        lines = [completion(thought, "Marked words.", call), ServerFailed("haiku", "marked error")]
        loop = AgentLoop(ScriptedModel("haiku", lines, PRICE), Toolbox(Path.cwd(), secrets=known))
        result_of(loop, (tell,))

    with telemetry.instrument():
        run_once()
    silent = [json.dumps([dict(one.attributes), one.status.description]) for one in telemetry.spans()]
    assert not any(word in one for one in silent for word in ("arked", secret, "Look around", "I wonder"))
    telemetry.exporter.clear()
    with telemetry.instrument(content=True):
        run_once()
    first, failed = telemetry.spans("chat")
    [asked] = json.loads(first.attributes["gen_ai.input.messages"])
    assert (asked["role"], asked["parts"][0]["type"]) == ("user", "text")
    assert asked["parts"][0]["content"].startswith("Look around")
    [answer] = json.loads(first.attributes["gen_ai.output.messages"])
    assert [part["type"] for part in answer["parts"]] == ["reasoning", "text", "tool_call"]
    again = json.loads(failed.attributes["gen_ai.input.messages"])
    parts = [part for message in [*again, answer] for part in message["parts"]]
    assert {part["type"] for part in parts} == set(PUBLISHED["message_parts"])
    assert all(set(PUBLISHED["message_parts"][part["type"]]) <= set(part) for part in parts)
    assert json.loads(first.attributes["gen_ai.tool.definitions"]) == [{"type": "function", "name": "tell"}]
    assert json.loads(first.attributes["gen_ai.system_instructions"])[0]["type"] == "text"
    [told] = telemetry.spans("execute_tool")
    assert "marked" in json.loads(told.attributes["gen_ai.tool.call.arguments"])["place"]
    assert failed.status.description
    assert "marked error" in failed.status.description
    assert "gen_ai.output.messages" not in failed.attributes


@attrs.define(eq=False)
class Watchful:
    """A model that notes in which context it is asked."""

    inner: ScriptedModel
    name: str = "haiku"
    price: Price | None = PRICE
    seen: list[tuple[Any, Any]] = attrs.field(factory=list)

    async def complete(self, request: Request) -> Any:
        suppressed = otel_context.get_value(otel_context._SUPPRESS_INSTRUMENTATION_KEY)
        self.seen.append((trace.get_current_span().get_span_context().span_id, suppressed))
        return await self.inner.complete(request)


def test_no_other_instrumentation_tells_of_a_call_once_more(traced: Telemetry) -> None:
    """While a model is asked, its span is the current one and others keep still; not while tools work."""
    model = Watchful(ScriptedModel("haiku", [looking("a"), "Done."]))
    around: list[Any] = []

    @tool
    async def listen(place: str) -> str:
        """Listen."""
        around.append(otel_context.get_value(otel_context._SUPPRESS_INSTRUMENTATION_KEY))
        return place

    model.inner.lines[0] = completion(ToolCall("c", "listen", '{"place": "a"}'))
    result_of(AgentLoop(model), (listen,))
    assert model.seen == [(one.context.span_id, True) for one in traced.spans("chat")]
    assert around == [None]


async def test_a_run_belongs_to_the_trace_of_its_caller(traced: Telemetry) -> None:
    """The caller's span is above the run's, and is the current one again afterwards."""
    tracer = traced.tracer_provider.get_tracer("the user's")
    with tracer.start_as_current_span("request") as own:
        async for _ in AgentLoop(ScriptedModel("haiku", ["Done."], PRICE)).run("Say it", ()):
            assert trace.get_current_span() is own
        assert trace.get_current_span() is own
    [root] = traced.spans("invoke_agent")
    assert root.parent.span_id == own.get_span_context().span_id


def test_runs_in_several_threads_are_all_told(traced: Telemetry) -> None:
    """Each thread has an event loop and a run of its own."""

    def once() -> None:
        lines = [looking("a"), completion("Done.", usage=Usage(10, 1))]
        result_of(AgentLoop(ScriptedModel("haiku", lines, PRICE)))

    threads = [threading.Thread(target=once) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(traced.spans("invoke_agent")) == 6
    assert len({one.context.trace_id for one in traced.spans()}) == 6
    assert [len(traced.spans(one)) for one in ("chat", "execute_tool")] == [12, 6]
    assert traced.counting.open == 0
