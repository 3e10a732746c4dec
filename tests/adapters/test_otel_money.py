"""The costs on the spans add up to the bill, whatever becomes of a run."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from contextlib import aclosing
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sunwell import Agent, Budget, RunOptions, SessionContext
from sunwell.agent.loop import AgentLoop, LoopConfig
from sunwell.core import Price, Rates, ToolCall, Usage
from sunwell.core.task import TaskResult
from sunwell.errors import BadAnswer, ServerFailed
from sunwell.events import ModelCallStarted, RunFinished
from sunwell.gateway import RetryPolicy
from sunwell.models.anthropic_messages import AnthropicModel
from sunwell.models.connection import Connection
from sunwell.simulator import Asked, Fault, FaultRule, Reply, Simulator, running_simulator
from sunwell.simulator.scripts import cheap, smart
from sunwell.testing import ScriptedModel, completion, run_virtual
from sunwell.tools import tool
from tests.adapters.telemetry_sdk import Telemetry
from tests.scenarios.ladder_scripts import FileWriter

PRICE = Price(Rates(Decimal(1), Decimal(10)), source="test", date="2026-11-01")
TASK = "Generate CRUD endpoints for 5 entities"
SMART, CHEAP = "claude-opus-5-5", "claude-haiku-5-5"
KILLED = Path(__file__).parent / "killed_traced_run.py"


def agent_at(sim: Simulator) -> Agent:
    """Return an agent whose models are the scripted ones of *sim*."""
    models = [AnthropicModel(one, Connection("anthropic", sim.url, "a-key")) for one in (SMART, CHEAP)]
    return Agent(smart_model=models[0], delegation_model=models[1])


def session_in(workspace: Path, **given: Any) -> SessionContext:
    """Return the session of a delegated run in *workspace*."""
    return SessionContext.build(workspace, TASK, options=RunOptions(enable_delegation=True, **given))


def assert_adds_up(telemetry: Any, result: TaskResult) -> None:
    """Check spans and counters against the bill, and that no span is left open."""
    cost = sum(telemetry.values("sunwell.cost_usd"))
    uncertain = sum(telemetry.values("sunwell.uncertain_usd"))
    earlier = sum(telemetry.values("sunwell.earlier.cost_usd"))
    earlier_uncertain = sum(telemetry.values("sunwell.earlier.uncertain_usd"))
    assert cost + earlier == pytest.approx(float(result.bill.cost_usd), abs=1e-9)
    assert uncertain + earlier_uncertain == pytest.approx(float(result.bill.uncertain_usd), abs=1e-9)
    assert telemetry.total("sunwell.cost_usd") == pytest.approx(cost, abs=1e-9)
    assert telemetry.total("sunwell.uncertain_usd") == pytest.approx(uncertain, abs=1e-9)
    assert telemetry.counting.open == 0
    [told] = [one for one in telemetry.spans("invoke_agent") if one.name == "invoke_agent sunwell"]
    assert told.attributes["sunwell.bill.cost_usd"] == float(result.bill.cost_usd)
    assert told.attributes["sunwell.bill.uncertain_usd"] == float(result.bill.uncertain_usd)
    assert told.attributes["sunwell.run_id"] == result.run_id
    if not (earlier or earlier_uncertain):
        whole = result.bill.usage
        assert telemetry.total("gen_ai.client.inference.usage.input_tokens") == whole.input_tokens
        assert telemetry.total("gen_ai.client.inference.usage.output_tokens") == whole.output_tokens


async def test_a_delegated_run_with_a_check_is_a_tree(traced: Any, shop: Path) -> None:
    """The run is above its calls, tools and check; each call names its purpose; all costs are its bill."""
    async with Simulator({SMART: smart, CHEAP: cheap}) as sim:
        session = session_in(shop, checks=("true",), allow_shell=True, sandbox="off")
        result = await agent_at(sim).run(session)
        assert result.bill.cost_usd == sim.bill.total_usd()
    assert result.status == "ok", result.error
    assert_adds_up(traced, result)
    root = traced.spans()[0]
    assert root.name == "invoke_agent sunwell"
    assert root.parent is None
    assert {traced.above(one) for one in traced.spans()[1:]} == {root}
    calls = traced.spans("chat")
    assert [one.attributes["sunwell.purpose"] for one in calls][:2] == ["lens", "work"]
    assert len(calls) == result.bill.calls
    assert calls[0].name == f"chat {SMART}"
    assert all(one.attributes["sunwell.reserved_usd"] >= one.attributes["sunwell.cost_usd"] for one in calls)
    assert len(traced.spans("execute_tool")) == result.tool_calls
    [check] = [one for one in traced.spans() if one.name == "sunwell.check"]
    assert check.attributes["sunwell.check.passed"] is True


async def test_a_run_that_meets_its_cap_says_so_and_adds_up(traced: Any, shop: Path) -> None:
    """The cap is the error of the run; what was spent until then is on its spans."""
    async with Simulator({SMART: smart, CHEAP: cheap}) as sim:
        result = await agent_at(sim).run(session_in(shop, budget=Budget(calls=5)))
    assert result.stop_reason == "calls"
    assert_adds_up(traced, result)
    root = traced.spans()[0]
    assert root.attributes["error.type"] == "calls"
    assert not root.status.is_ok


async def test_a_run_that_is_left_ends_all_its_spans(traced: Any, shop: Path) -> None:
    """The call in flight may be billed: it is an error, and its bound is on its span as uncertain."""
    stall = FaultRule(Fault(stall_before_seconds=60), model=CHEAP)
    async with Simulator({SMART: smart, CHEAP: cheap}, faults=[stall]) as sim:
        agent = agent_at(sim)
        results = []
        async with aclosing(agent.run(session_in(shop))) as events:
            async for event in events:
                if isinstance(event, ModelCallStarted) and event.purpose == "work":
                    asyncio.get_running_loop().call_later(0.3, agent.stop)
                if isinstance(event, RunFinished):
                    results.append(event.result)
    [result] = results
    assert result.status == "cancelled"
    assert result.bill.uncertain_usd > 0
    assert_adds_up(traced, result)
    cut_off = traced.spans("chat")[-1]
    assert cut_off.attributes["error.type"] == "CancelledError"
    assert cut_off.attributes["gen_ai.response.finish_reasons"] == ("error",)
    assert traced.spans()[0].attributes["error.type"] == "cancelled"


async def climbing_batch(workspace: Path) -> TaskResult:
    """Return the result of a batch whose items climb a ladder, each with checks of its own."""
    slips = {f"items/{number:02d}.txt": 1 if number % 2 else 9 for number in (1, 2)}
    tasks = [f"Write the word right into items/{number:02d}.txt" for number in range(3)]
    writer = FileWriter(slips)
    async with Simulator({CHEAP: writer, SMART: FileWriter()}) as sim:
        check = "test $(cat items/*.txt | grep -c wrong) = 0"
        options = RunOptions(checks=(check,), escalate=True, worth_usd=100, allow_shell=True, sandbox="off")
        done = await agent_at(sim).batch(tasks, workspace=workspace, options=options)
        assert done.run.bill.cost_usd == sim.bill.total_usd()
    return done.run


async def orchestrated_run(workspace: Path) -> TaskResult:
    """Return the result of a run whose smart model starts workers."""
    async with Simulator({CHEAP: cheap, SMART: smart}) as sim:
        session = SessionContext.build(workspace, "Look at the parts", options=RunOptions(orchestrate=True))
        result = await agent_at(sim).run(session)
        assert result.bill.cost_usd == sim.bill.total_usd()
    return result


async def question(workspace: Path) -> TaskResult:
    """Return the answer to a question that is asked about parts of a long text."""
    (workspace / "long.txt").write_text("".join(f"line {n}: node {n % 9} is fine\n" for n in range(40_000)))
    async with Simulator({CHEAP: cheap, SMART: smart}) as sim:
        asked = agent_at(sim).ask('Where is "node 7"?', [str(workspace / "long.txt")], workspace=workspace)
        result = await asked.result()
        assert result.bill.cost_usd == sim.bill.total_usd()
    return result


@pytest.mark.timeout(120)
@pytest.mark.parametrize("flow", [climbing_batch, orchestrated_run, question])
async def test_costs_add_up_in_every_kind_of_run(traced: Telemetry, tmp_path: Path, flow: Any) -> None:
    """Workers, rungs, checks, and questions about parts: every call is below its run, once."""
    result = await flow(tmp_path)
    assert result.bill.calls > 3
    assert_adds_up(traced, result)
    assert len(traced.spans("chat")) == result.bill.calls
    ids = {one.context.span_id for one in traced.spans()}
    assert [one.name for one in traced.spans() if one.parent is None] == ["invoke_agent sunwell"]
    assert all(one.parent is None or one.parent.span_id in ids for one in traced.spans())
    assert not [one for one in traced.values("error.type") if one == "abandoned"]


def started(url: str, workspace: Path, exported: Path) -> "subprocess.Popen[bytes]":
    """Start a run in a process of its own."""
    return subprocess.Popen([sys.executable, KILLED, url, workspace, exported])


@pytest.mark.timeout(120)
async def test_a_killed_run_goes_on_in_spans_of_its_own(telemetry: Any, shop: Path, tmp_path: Path) -> None:
    """Both processes name the run. What was answered is not asked, and has no span, again.

    The spans of both, and the call that the kill cut off, come to the bill.
    """
    process: list[subprocess.Popen[bytes]] = []

    def deadly(asked: Asked) -> Reply:
        if len(asked.messages) > 6 and process and process[0].poll() is None:
            os.kill(process[0].pid, signal.SIGKILL)
            process[0].wait()
        return cheap(asked)

    exported = tmp_path / "spans.jsonl"
    with running_simulator(Simulator({SMART: smart, CHEAP: deadly})) as sim:
        process.append(started(sim.url, shop, exported))
        await asyncio.to_thread(process[0].wait)
        before = [json.loads(line) for line in exported.read_text().splitlines()]
        run_id = before[0]["sunwell.run_id"]
        with telemetry.instrument():
            result = await agent_at(sim).resume(run_id, workspace=shop)
    assert process[0].returncode == -signal.SIGKILL
    assert result.status == "ok", result.error
    spent = sum(one.get("sunwell.cost_usd", 0.0) for one in before)
    assert spent > 0
    assert_adds_up(telemetry, result)
    root = telemetry.spans()[0]
    assert root.attributes["sunwell.run_id"] == run_id
    assert root.attributes["sunwell.resumed"] is True
    assert root.attributes["sunwell.earlier.cost_usd"] == pytest.approx(spent, abs=1e-9)
    asked_before = [one for one in before if one["gen_ai.operation.name"] == "chat"]
    work = [one for one in asked_before if one["sunwell.purpose"] == "work"]
    assert root.attributes["sunwell.replayed_calls"] == len(work)  # a lens is taken whole, without its call
    assert len(telemetry.spans("chat")) + len(asked_before) == result.bill.calls
    assert root.attributes["sunwell.earlier.uncertain_usd"] == float(result.bill.uncertain_usd) > 0
    [in_flight] = [one for one in result.bill.models if one.uncertain_calls]
    assert in_flight.uncertain_calls == 1


def test_nothing_is_told_of_a_finished_run_that_is_resumed(traced: Any, tmp_path: Path) -> None:
    """Its answers are from the record: there is a span for the run, and none for a call."""

    async def main() -> TaskResult:
        agent = Agent(model=ScriptedModel("haiku", ["Done."], PRICE))
        first = await agent.run(SessionContext.build(tmp_path, "Say it"))
        traced.exporter.clear()
        return await agent.resume(first.run_id, workspace=tmp_path)

    result = asyncio.run(main())
    assert result.status == "ok"
    assert traced.spans("chat") == []
    assert sum(traced.values("sunwell.cost_usd")) == 0


@tool
async def look(place: str) -> str:
    """Look somewhere."""
    return f"nothing at {place}"


@attrs.frozen
class Said:
    """What a scripted model does at one call."""

    kind: str
    tokens: int

    def line(self) -> Any:
        """Return it as a line of a script."""
        usage = Usage(self.tokens, self.tokens // 3)
        answer = completion(
            "On.", ToolCall("c", "look", json.dumps({"place": str(self.tokens)})), usage=usage
        )
        match self.kind:
            case "answers":
                return answer
            case "is silent on its usage":
                return attrs.evolve(answer, usage=None)
            case "fails and may have billed":
                return ServerFailed("haiku", "down", may_be_billed=True, retry=True)
            case "fails":
                return ServerFailed("haiku", "down", retry=True)
            case "breaks off and has billed":
                return BadAnswer("haiku", "cut", may_be_billed=True, retry=True, answer=answer)
            case _:
                return BadAnswer("haiku", "cut", may_be_billed=True)


KINDS = (
    "answers",
    "is silent on its usage",
    "fails and may have billed",
    "fails",
    "breaks off and has billed",
    "ends it",
)


@settings(max_examples=60)
@given(
    said=st.lists(st.builds(Said, st.sampled_from(KINDS), st.integers(1, 5_000)), max_size=12),
    usd=st.one_of(st.none(), st.decimals("0.02", "0.3", places=3)),
)
def test_costs_add_up_over_any_failures_and_caps(said: list[Said], usd: Any) -> None:
    """Attempts that failed and were billed, answers without usage, and caps: nothing is lost or doubled."""
    telemetry = Telemetry()
    lines = [one.line() for one in said] + [completion("Done.", usage=Usage(10, 10))] * 60
    config = LoopConfig(budget=Budget(usd=usd), retry=RetryPolicy(), max_output_tokens=500)

    async def main() -> TaskResult:
        loop = AgentLoop(ScriptedModel("haiku", lines, PRICE), config=config)
        told = [event async for event in loop.run("Look around", (look,))]
        last = told[-1]
        assert isinstance(last, RunFinished)
        return last.result

    with telemetry.instrument():
        result = run_virtual(main())
    assert_adds_up(telemetry, result)


async def test_costs_add_up_wherever_a_run_was_cut_off(tmp_path: Path) -> None:
    """Resumed from each beginning of its journal: what was spent before and what is asked now is the bill."""
    usage = Usage(1_000, 100)
    lines = [completion(ToolCall("c", "look", f'{{"place": "{n}"}}'), usage=usage) for n in range(2)]
    said = [*lines, completion("Done.", usage=usage)]

    def agent(skipped: int = 0) -> Agent:
        return Agent(model=ScriptedModel("haiku", said[skipped:], PRICE), tools=(look,))

    whole = await agent().run(SessionContext.build(tmp_path, "Look around"))
    journal = Path(whole.journal or "")
    records = journal.read_bytes().splitlines(keepends=True)
    kinds = [json.loads(record)["kind"] for record in records]
    in_flight = 0
    for kept in range(1, len(records)):
        journal.write_bytes(b"".join(records[:kept]))
        answered = kinds[:kept].count("answer")
        telemetry = Telemetry()
        with telemetry.instrument():
            result = await agent(answered).resume(whole.run_id, workspace=tmp_path)
        assert (result.status, result.answer) == ("ok", "Done."), kept
        assert_adds_up(telemetry, result)
        assert len(telemetry.spans("chat")) == len(said) - answered
        in_flight += (result.bill.uncertain_usd or 0) > 0
    assert in_flight == len(said)


async def test_work_that_had_ended_has_no_span_again(telemetry: Telemetry, tmp_path: Path) -> None:
    """A worker from the record is counted; its sibling, who was left, is as ever."""
    options = RunOptions(budget=Budget(calls=1), max_concurrent=1)
    one = completion("One.", usage=Usage(100, 10))
    agent = Agent(model=ScriptedModel("haiku", [one], PRICE))
    first = await agent.batch(["a", "b"], workspace=tmp_path, options=options)
    assert first.run.stop_reason == "calls"
    with telemetry.instrument():
        again = Agent(model=ScriptedModel("haiku", [one] * 2, PRICE))
        result = await again.resume(first.run.run_id, workspace=tmp_path, budget=Budget(calls=9))
    assert result.status == "ok", result.error
    assert_adds_up(telemetry, result)
    works = [span for span in telemetry.spans("invoke_agent") if span.name.endswith(".worker")]
    assert len(works) == len(telemetry.spans("chat")) == 1
    assert telemetry.values("sunwell.replayed_workers") == [1]
    points = telemetry.metrics()["gen_ai.invoke_agent.duration"].data.data_points
    counts = {point.attributes["gen_ai.agent.name"]: point.count for point in points}
    assert counts == {"sunwell": 1, "sunwell.worker": 1}


async def test_an_answer_of_an_earlier_run_is_no_call(traced: Telemetry, tmp_path: Path) -> None:
    """It costs nothing and nobody is asked: the second run has as many spans fewer as answers were kept."""
    async with Simulator({CHEAP: cheap, SMART: smart}) as sim:
        agent, long = agent_at(sim), tmp_path / "long.txt"
        long.write_text("".join(f"line {n}: node {n % 9} is fine\n" for n in range(40_000)))
        options = RunOptions(cache_dir=str(tmp_path / "cache"))
        results = []
        for _ in range(2):
            traced.exporter.clear()
            asked = agent.ask('Where is "node 7"?', [str(long)], workspace=tmp_path, options=options)
            results.append(await asked.result())
    first, again = results
    kept = again.bill.remembered_calls
    assert kept > 0
    assert traced.values("sunwell.remembered_calls") == [kept]
    assert len(traced.spans("chat")) == again.bill.calls == first.bill.calls - kept
    assert sum(traced.values("sunwell.cost_usd")) == pytest.approx(float(again.bill.cost_usd), abs=1e-9)


def test_a_price_that_is_unknown_is_not_zero(traced: Any) -> None:
    """Neither the call nor the run has a cost then, and the call says why."""

    async def main() -> None:
        loop = AgentLoop(ScriptedModel("nobody-knows-it", [completion("Hm.", usage=Usage(5, 5))]))
        async for _ in loop.run("Say it", ()):
            pass

    run_virtual(main())
    [call], [root] = traced.spans("chat"), traced.spans("invoke_agent")
    assert call.attributes["sunwell.price_unknown"] is True
    assert "sunwell.cost_usd" not in call.attributes
    assert "sunwell.bill.cost_usd" not in root.attributes
    assert call.attributes["gen_ai.usage.input_tokens"] == 5


def test_two_runs_of_one_loop_keep_their_spans_apart(traced: Any) -> None:
    """Both have the same paths in them, and go on at the same time: the run's id tells them apart."""
    loops = AgentLoop(ScriptedModel("haiku", [completion("One.", usage=Usage(100, 1))] * 2, PRICE, seconds=3))

    async def result_of(task: str) -> TaskResult:
        told = [event async for event in loops.run(task, ())]
        return told[-1].result  # type: ignore[attr-defined]

    async def main() -> list[TaskResult]:
        return await asyncio.gather(result_of("First"), result_of("Second"))

    results = run_virtual(main())
    calls, roots = traced.spans("chat"), traced.spans("invoke_agent")
    assert {one.attributes["sunwell.run_id"] for one in roots} == {one.run_id for one in results}
    assert len(calls) == len(roots) == 2
    for call in calls:
        above = traced.above(call)
        assert above.attributes["sunwell.run_id"] == call.attributes["sunwell.run_id"]
    assert calls[0].context.trace_id != calls[1].context.trace_id
