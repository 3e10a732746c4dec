"""What a provider wants back comes back, in a run, after a resume and a fork, and only to its own model."""

import json
from pathlib import Path

import pytest

from sunwell.agent import Agent
from sunwell.agent.conversation.compaction import compacted
from sunwell.budget import Budget
from sunwell.context.options import RunOptions
from sunwell.context.session import SessionContext
from sunwell.core import Text, Thinking, ToolCall
from sunwell.core.message import History, Message, ToolResult, user
from sunwell.core.task import TaskResult
from sunwell.gateway import RetryPolicy
from sunwell.models.anthropic_messages import AnthropicModel
from sunwell.models.catalog import PRESETS
from sunwell.models.connection import Connection, close_clients
from sunwell.models.openai_chat import ChatModel
from sunwell.models.openai_responses import ResponsesModel
from sunwell.models.registry import ModelRegistry
from sunwell.simulator import Asked, Fault, Reply, Simulator

CLAUDE, SONNET, GPT, SOL = "claude-haiku-5-5", "claude-sonnet-5-5", "gpt-6-luna", "gpt-6.1-sol"
DIALECTS = ("gemini", "openrouter", "deepseek", "mistral")
WIRES = ("messages", "responses", "openai", *DIALECTS)
PLAIN_AND_STREAMED = pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])


def thoughtful(asked: Asked) -> Reply:
    """Think, then look around twice at a time; the depth of the listing tells the turns apart."""
    turn = sum(message.role == "assistant" for message in asked.messages)
    if turn == 3 or not asked.tools:
        return Reply((Text("All is as it should be."),))
    calls = [
        ToolCall(f"call_{turn}{place}", "list_files", f'{{"path": "{place}", "depth": {turn + 1}}}')
        for place in ".a"
    ]
    return Reply((Thinking(f"Turn {turn}: a closer look. " * 5, "", ""), Text(f"I look, {turn}."), *calls))


def simulator(wire: str, fault: Fault | None = None) -> Simulator:
    """Return a provider for *wire*; for Chat Completions, it is the name of a dialect."""
    dialect = wire if wire in ("openai", *DIALECTS) else "openai"
    models = dict.fromkeys((CLAUDE, SONNET, GPT, SOL), thoughtful)
    return Simulator(models, dialect=dialect, faults=lambda _: fault)  # type: ignore[arg-type]


def model(sim: Simulator, wire: str, *, other: bool = False) -> AnthropicModel | ChatModel | ResponsesModel:
    """Return the adapter for *wire* on *sim*; with *other*, another model of the same provider."""
    if wire == "messages":
        return AnthropicModel(SONNET if other else CLAUDE, Connection("anthropic", sim.url, "key-of-a-test"))
    name = SOL if other else GPT
    connection = Connection("openai" if wire == "responses" else wire, sim.openai_url, "key-of-a-test")
    if wire == "responses":
        return ResponsesModel(name, connection)
    return ChatModel(name, connection, quirks=PRESETS[wire].quirks)


def agent(chosen: AnthropicModel | ChatModel | ResponsesModel) -> Agent:
    return Agent(model=chosen, registry=ModelRegistry(), retry=RetryPolicy(first_wait_seconds=0.01))


async def run(sim: Simulator, wire: str, workspace: Path, stream: bool, budget: Budget) -> TaskResult:
    """Return the result of a direct run against *sim*."""
    options = RunOptions(stream=stream, budget=budget)
    session = SessionContext.build(workspace, "Look around", options=options)
    return await agent(model(sim, wire)).result(session)


def sent(sim: Simulator) -> str:
    """Return the messages of the last request, as text."""
    body = sim.requests[-1].body
    return json.dumps(body.get("messages") or body.get("input"))


@PLAIN_AND_STREAMED
@pytest.mark.parametrize("wire", WIRES)
async def test_a_strict_provider_gets_back_what_it_sent(wire: str, stream: bool, tmp_path: Path) -> None:
    """Signatures, reasoning, thinking parts and ids: one that is missing or changed would end the run."""
    try:
        async with simulator(wire) as sim:
            result = await run(sim, wire, tmp_path, stream, Budget())
            assert (result.status, result.answer) == ("ok", "All is as it should be."), result.error
            assert len(sim.requests) == 4
    finally:
        await close_clients()


@PLAIN_AND_STREAMED
@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("broken", ["truncated", "newlines"])
async def test_malformed_arguments_do_not_end_a_run(
    broken: str, wire: str, stream: bool, tmp_path: Path
) -> None:
    """The model is told what is wrong, and a strict server accepts the conversation that shows it."""
    try:
        async with simulator(wire, Fault(arguments=broken)) as sim:  # type: ignore[arg-type]
            result = await run(sim, wire, tmp_path, stream, Budget())
            assert (result.status, len(sim.requests)) == ("ok", 4), result.error
    finally:
        await close_clients()


@pytest.mark.parametrize("wire", WIRES)
async def test_what_comes_back_survives_a_resume(wire: str, tmp_path: Path) -> None:
    """The journal keeps it: a run that met a limit goes on with the very bytes of the conversation before."""
    try:
        async with simulator(wire) as sim:
            first = await run(sim, wire, tmp_path, True, Budget(turns=2))
            assert first.stop_reason == "turns"
            before = sim.requests[1].body
            again = agent(model(sim, wire))
            result = await again.resume(first.run_id, workspace=tmp_path, budget=Budget(turns=9))
            assert result.status == "ok", result.error
            after = sim.requests[-1].body
            name = "input" if wire == "responses" else "messages"
            assert after[name][: len(before[name])] == before[name]
    finally:
        await close_clients()


def test_a_shorter_conversation_keeps_what_comes_back() -> None:
    """Compaction shortens results of tools; calls, texts and thoughts stay whole."""
    said = Message(
        "assistant",
        (
            Thinking("hm", '{"reasoning_content":"hm"}', "o"),
            Text("I look.", '{"phase":"commentary"}', "o"),
            ToolCall("c", "list_files", "{}", '{"thought_signature":"S"}', "o"),
        ),
    )
    results = Message("tool", (ToolResult("c", "x" * 9_000),))
    shorter = compacted(History([user("x"), said, results]), 0)
    assert shorter[1] == said
    assert shorter.size_bytes < 2_000


@pytest.mark.parametrize("source", ["messages", "responses", "openrouter", "mistral"])
@pytest.mark.parametrize("target", ["messages", "responses", "openai", "mistral", "gemini", "same"])
async def test_a_change_of_the_model_leaves_foreign_thinking_out(
    source: str, target: str, tmp_path: Path
) -> None:
    """A fork goes on with another model: it gets texts, calls and results, no thoughts and no signatures."""
    wire = source if target == "same" else target
    try:
        async with simulator(source) as there, simulator("openai" if target == "same" else wire) as here:
            first = await run(there, source, tmp_path, False, Budget())
            assert "closer look" in sent(there)
            other = agent(model(here, wire, other=True))
            forked = await other.fork(first.run_id, "run/direct:2", workspace=tmp_path)
            assert forked.status == "ok", forked.error
            assert "closer look" not in json.dumps(here.requests[0].body)
            assert "I look, 1." in json.dumps(here.requests[0].body)
            assert "phase" not in json.dumps(here.requests[0].body)
    finally:
        await close_clients()
