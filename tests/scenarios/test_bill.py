"""The bill is true: over HTTP, what Sunwell reports is what the provider billed, to the last digit."""

import asyncio
from contextlib import aclosing
from decimal import Decimal
from pathlib import Path

import attrs
import pytest

from sunwell.agent import Agent
from sunwell.budget import Budget
from sunwell.context.options import RunOptions
from sunwell.context.session import SessionContext
from sunwell.core import ModelProtocol
from sunwell.core.task import TaskResult
from sunwell.events import Event, ModelCallStarted, RunFinished
from sunwell.gateway import RetryPolicy
from sunwell.models.anthropic_messages import AnthropicModel
from sunwell.models.connection import Connection, close_clients
from sunwell.models.openai_chat import ChatModel
from sunwell.models.openai_responses import ResponsesModel
from sunwell.models.registry import ModelRegistry
from sunwell.simulator import Fault, FaultRule, Simulator
from sunwell.simulator.scripts import smart, steps

TASK = "Generate CRUD endpoints for 5 entities"
PROVIDERS = {"anthropic": ("claude-opus-5-5", "claude-haiku-5-5"), "openai": ("gpt-6.1-sol", "gpt-6-luna")}
PROVIDERS["openai-responses"] = PROVIDERS["openai"]
WORKER = {model for _, model in PROVIDERS.values()}


def model(sim: Simulator, provider: str, model_id: str) -> ModelProtocol:
    """Return the adapter for *model_id* on the simulator."""
    if provider == "anthropic":
        return AnthropicModel(model_id, Connection("anthropic", sim.url, "key-of-a-test", stall_seconds=1))
    if provider == "openai-responses":
        connection = Connection("openai", sim.openai_url, "key-of-a-test", stall_seconds=1)
        return ResponsesModel(model_id, connection)
    return ChatModel(model_id, Connection("openai", sim.openai_url, "key-of-a-test", stall_seconds=1))


def simulator(*rules: FaultRule) -> Simulator:
    """Return a provider whose smart models write lenses and whose cheap ones make six turns."""
    scripts = {smart_id: smart for smart_id, _ in PROVIDERS.values()}
    scripts |= {cheap_id: steps(6, calls_per_turn=2) for _, cheap_id in PROVIDERS.values()}
    return Simulator(scripts, faults=rules)


async def run(sim: Simulator, provider: str, workspace: Path, stream: bool = False) -> list[Event]:
    """Return the events of a delegated run against *sim*."""
    smart_id, cheap_id = PROVIDERS[provider]
    agent = Agent(
        smart_model=model(sim, provider, smart_id),
        delegation_model=model(sim, provider, cheap_id),
        registry=ModelRegistry(),
        retry=RetryPolicy(first_wait_seconds=0.01),
    )
    options = RunOptions(enable_delegation=True, stream=stream)
    try:
        session = SessionContext.build(workspace, TASK, options=options)
        return [event async for event in agent.run(session)]
    finally:
        await close_clients()


def result_of(events: list[Event]) -> TaskResult:
    """Return the result that the last event carries."""
    last = events[-1]
    assert isinstance(last, RunFinished)
    return last.result


def check_bill(result: TaskResult, sim: Simulator, told: frozenset[str] = frozenset({"answered"})) -> None:
    """Hold Sunwell's bill against the provider's: what is known is equal, the rest is bounded.

    *told*: the ends after which the usage is known.
    """
    entries = sim.bill.entries()
    for line in result.bill.models:
        heard = [entry for entry in entries if entry.model == line.model and entry.why in told]
        unheard = [entry for entry in entries if entry.model == line.model and entry.why not in told]
        if line.uncertain_calls == 0:
            assert unheard == []
            assert line.calls == len(heard)
        spent = sum((entry.usd for entry in heard), Decimal(0))
        lost = sum((entry.usd for entry in unheard), Decimal(0))
        assert line.cost_usd is not None
        assert line.uncertain_usd is not None
        if line.calls == len(heard):
            assert line.cost_usd == spent
            assert line.usage.input_tokens == sum(entry.input_tokens for entry in heard)
            assert line.usage.output_tokens == sum(entry.output_tokens for entry in heard)
            assert line.uncertain_usd >= lost
        assert line.cost_usd + line.uncertain_usd >= spent + lost
        assert line.cost_usd <= spent
    assert {line.model for line in result.bill.models} == {entry.model for entry in entries}


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
async def test_an_undisturbed_run_is_billed_to_the_last_digit(
    provider: str, stream: bool, tmp_path: Path
) -> None:
    """Cached and uncached input, output, per model: both sides compute the same, each in its own way."""
    async with simulator() as sim:
        result = result_of(await run(sim, provider, tmp_path, stream))
        assert (result.status, result.turns) == ("ok", 7)
        assert result.bill.cost_usd == sim.bill.total_usd()
        assert result.bill.uncertain_usd == 0
        assert result.bill.usage.cache_read_tokens > 0
        check_bill(result, sim)


FAULTS = {
    "rate-limited": Fault(status=429, retry_after_seconds=0),
    "overloaded": Fault(status=529, retry_after_seconds=0),
    "server-error": Fault(status=500),
    "gateway-502": Fault(gateway_status=502),
    "gateway-524": Fault(gateway_status=524),
    "dropped-before": Fault(cut="before"),
    "dropped-midway": Fault(cut="dropped"),
    "no-terminal-event": Fault(cut="no-end"),
    "cut-after-a-tool-call": Fault(cut="after-tool"),
    "cut-body": Fault(cut="body"),
    "stalled-midway": Fault(stall_midway_seconds=30),
    "usage-missing": Fault(usage="missing"),
    "malformed-arguments": Fault(arguments="truncated"),
    "doubled-ids": Fault(tool_ids="doubled"),
    "sse-to-a-plain-request": Fault(stream_anyway=True),
    "hidden-input": Fault(hidden_input_tokens=400),
}


DISTURBED = [
    pytest.param(fault, stream, id=f"{name}-{'streamed' if stream else 'plain'}")
    for name, fault in FAULTS.items()
    for stream in (False, True)
    if stream or not fault.stall_midway_seconds  # a plain answer is not read while it is made
]


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize(("fault", "stream"), DISTURBED)
async def test_a_disturbed_run_is_billed_truly(
    fault: Fault, provider: str, stream: bool, tmp_path: Path
) -> None:
    """One call in the middle goes wrong: known usage is exact, unknown is an upper bound and apart."""
    async with simulator(FaultRule(fault, numbers={4})) as sim:
        result = result_of(await run(sim, provider, tmp_path, stream))
        assert result.status == "ok", result.error
        # Only the terminal event is missing: finish reason and usage have arrived.
        is_whole = stream and fault.cut == "no-end"
        check_bill(result, sim, frozenset({"answered", "cut"} if is_whole else {"answered"}))


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("status", [502, 524])
async def test_a_gateway_that_loses_every_answer_cannot_pass_the_cap(
    status: int, stream: bool, provider: str, tmp_path: Path
) -> None:
    """The model answers every attempt and bills it, the gateway calls each a failure: all are uncertain,
    and together with what is known they are at least the bill and at most the cap."""
    cap = Decimal("0.02")
    async with simulator(FaultRule(Fault(gateway_status=status))) as sim:
        agent = Agent(
            delegation_model=model(sim, provider, PROVIDERS[provider][1]),
            registry=ModelRegistry(),
            retry=RetryPolicy(first_wait_seconds=0.01),
        )
        options = RunOptions(
            model=model(sim, provider, PROVIDERS[provider][1]), stream=stream, budget=Budget(usd=cap)
        )
        result = await agent.result(SessionContext.build(tmp_path, "Say hello", options=options))
        await close_clients()
        billed = sim.bill.total_usd()
        attempts = len(sim.bill.entries())
    assert result.status != "ok"
    assert attempts > 1
    assert result.bill.cost_usd == 0
    assert result.bill.uncertain_usd is not None
    assert 0 < billed <= result.bill.uncertain_usd <= cap
    assert sum(line.uncertain_calls for line in result.bill.models) == attempts


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_stopped_run_lists_the_call_in_flight_as_uncertain(provider: str, tmp_path: Path) -> None:
    """Breaking off in mid-call books an upper bound for what the provider may have billed."""
    cheap_id = PROVIDERS[provider][1]
    slow = FaultRule(Fault(stall_before_seconds=30), numbers={4})
    async with simulator(slow) as sim:
        smart_id = PROVIDERS[provider][0]
        agent = Agent(
            smart_model=model(sim, provider, smart_id),
            delegation_model=model(sim, provider, cheap_id),
            registry=ModelRegistry(),
        )
        session = SessionContext.build(tmp_path, TASK, options=RunOptions(enable_delegation=True))
        finished: list[TaskResult] = []
        asked = 0
        async with aclosing(agent.run(session)) as events:
            async for event in events:
                asked += isinstance(event, ModelCallStarted)
                if asked == 4 and isinstance(event, ModelCallStarted):
                    asyncio.get_running_loop().call_later(0.2, agent.stop)
                if isinstance(event, RunFinished):
                    finished.append(event.result)
        await close_clients()
        assert finished[0].status == "cancelled"
        assert sum(line.uncertain_calls for line in finished[0].bill.models) == 1
        check_bill(finished[0], sim)


async def test_the_model_that_answered_is_priced(tmp_path: Path) -> None:
    """A dated id answers for the plain one and costs what the plain one costs."""
    dated = FaultRule(Fault(answering_model="claude-haiku-5-5-20261001"), model="claude-haiku-5-5")
    async with simulator(dated) as sim:
        result = result_of(await run(sim, "anthropic", tmp_path))
        lines = {line.model: line for line in result.bill.models}
        assert set(lines) == {"claude-opus-5-5", "claude-haiku-5-5-20261001"}
        assert result.bill.cost_usd == sim.bill.total_usd()
        assert attrs.asdict(result.bill)["price_date"]


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_work_that_meets_a_limit_gets_its_closing_answer(provider: str, tmp_path: Path) -> None:
    """The closing call stands every rule of the provider: turns alternate, calls have their results."""
    async with simulator() as sim:
        smart_id, cheap_id = PROVIDERS[provider]
        agent = Agent(
            smart_model=model(sim, provider, smart_id),
            delegation_model=model(sim, provider, cheap_id),
            registry=ModelRegistry(),
        )
        options = RunOptions(enable_delegation=True, budget=Budget(turns=3))
        result = await agent.result(SessionContext.build(tmp_path, TASK, options=options))
        await close_clients()
        assert (result.status, result.stop_reason) == ("incomplete", "turns")
        assert "closing" in dict(result.bill.by_purpose)
        assert result.answer.startswith("3 turns")
        check_bill(result, sim)


async def test_a_run_that_is_stopped_while_it_connects_owes_nothing(tmp_path: Path) -> None:
    """The server took the connection and never began TLS: the request is still here."""
    reached = asyncio.Event()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reached.set()
        try:
            await reader.read()
        finally:
            writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    connection = Connection("openai", f"https://127.0.0.1:{port}/v1", "key-of-a-test")
    agent = Agent(model=ChatModel("gpt-6-luna", connection), registry=ModelRegistry())
    running = asyncio.create_task(agent.result(SessionContext.build(tmp_path, TASK)))
    await reached.wait()
    agent.stop()
    result = await running
    server.close()
    await close_clients()
    assert result.status == "cancelled"
    assert (result.bill.cost_usd, result.bill.uncertain_usd) == (0, 0)
