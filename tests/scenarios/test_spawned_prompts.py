"""A hundred workers that an orchestrator asks for in one message, over HTTP, with the provider's own bill."""

import json
from pathlib import Path
from typing import Any

import pytest

from sunwell.agent import Agent
from sunwell.context.options import RunOptions
from sunwell.context.session import SessionContext
from sunwell.core import ModelProtocol, ToolCall
from sunwell.events import BatchPlanned, RunFinished
from sunwell.models.anthropic_messages import AnthropicModel
from sunwell.models.connection import Connection, close_clients
from sunwell.models.openai_responses import ResponsesModel
from sunwell.models.registry import ModelRegistry
from sunwell.simulator import Asked, Reply, Simulator
from sunwell.simulator.scripts.conversation_state import ScriptedConversation
from sunwell.simulator.scripts.scripted_orchestrator import part_worker

MODELS = {"anthropic": ("claude-opus-5-5", "claude-haiku-5-5"), "responses": ("gpt-6.1-sol", "gpt-6-luna")}
SINGLE, TOGETHER, BARE = 20, 80, 5


def on_the_wire(sim: Simulator, wire: str, name: str) -> ModelProtocol:
    """Return an adapter of one wire format."""
    if wire == "anthropic":
        return AnthropicModel(name, Connection("anthropic", sim.url, "key-of-a-test"))
    return ResponsesModel(name, Connection("openai", sim.openai_url, "key-of-a-test"))


def hands_out(asked: Asked) -> Reply:
    """Ask for all workers at once, by single calls and a batch with two mistakes; wait; answer."""
    talk = ScriptedConversation.of(asked)

    def task(number: int, tools: list[str] | None = None) -> dict[str, Any]:
        return {"task": f"Part {number} of 105: go", "tools": tools}

    batch = [task(number) for number in range(SINGLE, SINGLE + TOGETHER)]
    batch += [task(number, []) for number in range(SINGLE + TOGETHER, SINGLE + TOGETHER + BARE)]
    batch[3:3] = [task(900, ["fly"]), {"task": "", "tools": None}]
    refused = [line for line in talk.results().splitlines() if "not started ·" in line]
    turns: list[list[tuple[str, dict[str, Any]]]] = [
        [*[("delegate", task(number)) for number in range(SINGLE)], ("delegate_batch", {"tasks": batch})],
        [("await_results", {"task_ids": None, "timeout_seconds": None})],
        [("set_answer", {"content": "\n".join(refused) or "none", "ready": True, "confidence": 0.9})],
    ]
    wanted = turns[talk.turns]
    return Reply(tuple(ToolCall(f"c{talk.turns}-{i}", n, json.dumps(a)) for i, (n, a) in enumerate(wanted)))


@pytest.mark.parametrize("wire", MODELS)
async def test_the_prompt_of_a_hundred_workers_is_written_once(wire: str, tmp_path: Path) -> None:
    """Those without tools have another prompt, and a task with a mistake keeps nobody else from starting."""
    smart, cheap = MODELS[wire]
    async with Simulator({smart: hands_out, cheap: part_worker()}) as sim:
        agent = Agent(
            smart_model=on_the_wire(sim, wire, smart),
            delegation_model=on_the_wire(sim, wire, cheap),
            registry=ModelRegistry(),
        )
        options = RunOptions(orchestrate=True, max_concurrent=10)
        session = SessionContext.build(tmp_path, "Write all parts down", options=options)
        try:
            events = [event async for event in agent.run(session)]
        finally:
            await close_clients()
        entries = [one for one in sim.bill.entries() if one.model == cheap]
        last = events[-1]
        assert isinstance(last, RunFinished)
        assert last.result.status == "ok", last.result.error
        assert last.result.bill.cost_usd == sim.bill.total_usd()
    assert len(last.result.workers) == SINGLE + TOGETHER + BARE
    plans = {plan.workers: plan.choice for plan in events if isinstance(plan, BatchPlanned)}
    assert plans == {SINGLE + TOGETHER: "after-first", BARE: "uncached"}
    prefix = min(one.read_tokens for one in entries if one.read_tokens)  # later turns read more
    long = [one for one in entries if one.input_tokens > prefix]
    assert sum(one.read_tokens == 0 for one in long) == 1
    assert (
        "- not started · Part 900 of 105: go · this worker cannot have 'fly'; its tools: "
        in last.result.answer
    )
    assert "- not started · (no text) · the task is empty" in last.result.answer
