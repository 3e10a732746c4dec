"""Providers tell usage, ends and errors in their own ways: what is booked is what they bill."""

import json
from decimal import Decimal
from pathlib import Path

import pytest

from sunwell.agent import Agent
from sunwell.budget import Budget
from sunwell.context.options import RunOptions
from sunwell.context.session import SessionContext
from sunwell.core import Text, ToolCall
from sunwell.core.task import TaskResult
from sunwell.gateway import RetryPolicy
from sunwell.journal.reading import read_records
from sunwell.journal.records import Answer
from sunwell.models.anthropic_messages import AnthropicModel
from sunwell.models.connection import Connection, close_clients
from sunwell.models.openai_chat import ChatModel
from sunwell.models.openai_responses import ResponsesModel
from sunwell.models.registry import ModelRegistry
from sunwell.simulator import Asked, Fault, FaultRule, Reply, Simulator

CLAUDE, GPT = "claude-haiku-5-5", "gpt-6-luna"
FORMATS = ("messages", "chat", "responses")
OPENAI_FORMATS = FORMATS[1:]
PLAIN_AND_STREAMED = pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])


def thoughtful(asked: Asked) -> Reply:
    """Look around three times, thinking a lot; the depth of the listing tells the turns apart."""
    turn = sum(message.role == "assistant" for message in asked.messages)
    if turn == 3:
        return Reply((Text("All is as it should be."),), reasoning_tokens=700)
    call = ToolCall(f"call_{turn}", "list_files", f'{{"path": ".", "depth": {turn + 1}}}')
    return Reply((call,), reasoning_tokens=1_900)


def model(sim: Simulator, wire: str) -> AnthropicModel | ChatModel | ResponsesModel:
    """Return the adapter for *wire* on the simulator."""
    if wire == "messages":
        return AnthropicModel(CLAUDE, Connection("anthropic", sim.url, "key-of-a-test"))
    connection = Connection("openai", sim.openai_url, "key-of-a-test")
    return ChatModel(GPT, connection) if wire == "chat" else ResponsesModel(GPT, connection)


async def run(sim: Simulator, wire: str, workspace: Path, stream: bool, budget: Budget) -> TaskResult:
    """Return the result of a direct run against *sim*."""
    agent = Agent(
        model=model(sim, wire),
        registry=ModelRegistry(),
        retry=RetryPolicy(first_wait_seconds=0.01),
    )
    try:
        options = RunOptions(stream=stream, budget=budget)
        return await agent.result(SessionContext.build(workspace, "Look around", options=options))
    finally:
        await close_clients()


def simulator(fault: Fault, **when: set[int]) -> Simulator:
    """Return a provider whose models think, with *fault* in each answer or *when* it says."""
    return Simulator({CLAUDE: thoughtful, GPT: thoughtful}, faults=[FaultRule(fault, **when)])


@PLAIN_AND_STREAMED
@pytest.mark.parametrize("wire", OPENAI_FORMATS)
@pytest.mark.parametrize("reasoning", ["beside", "total"])
async def test_reasoning_counts_wherever_it_is_told(
    reasoning: str, wire: str, stream: bool, tmp_path: Path
) -> None:
    """xAI counts it beside the output, Gemini's compatible endpoint in the total; all of it is billed."""
    async with simulator(Fault(reasoning=reasoning)) as sim:
        result = await run(sim, wire, tmp_path, stream, Budget())
        assert result.status == "ok", result.error
        assert result.bill.cost_usd == sim.bill.total_usd() > 0
        assert result.bill.uncertain_usd == 0


@pytest.mark.parametrize("reasoning", ["beside", "total"])
async def test_a_cap_holds_where_most_of_the_output_is_reasoning(reasoning: str, tmp_path: Path) -> None:
    """Booked too low, a cap of 0.003 dollars would let the whole run through."""
    async with simulator(Fault(reasoning=reasoning)) as sim:
        result = await run(sim, "chat", tmp_path, False, Budget(usd="0.003"))
        assert (result.status, result.stop_reason) == ("incomplete", "budget_usd")
        assert result.bill.cost_usd == sim.bill.total_usd() <= Decimal("0.003")


@PLAIN_AND_STREAMED
@pytest.mark.parametrize("wire", FORMATS)
async def test_usage_of_zeros_is_no_usage(wire: str, stream: bool, tmp_path: Path) -> None:
    """What was billed is bounded by what was reserved, and stands apart as uncertain."""
    async with simulator(Fault(usage="zero")) as sim:
        result = await run(sim, wire, tmp_path, stream, Budget())
        assert result.status == "ok", result.error
        [line] = result.bill.models
        assert (line.calls, line.uncertain_calls, result.bill.cost_usd) == (0, 4, 0)
        assert result.bill.uncertain_usd is not None
        assert result.bill.uncertain_usd >= sim.bill.total_usd() > 0


@PLAIN_AND_STREAMED
@pytest.mark.parametrize("wire", FORMATS)
async def test_a_stated_cost_that_is_dearer_is_booked(wire: str, stream: bool, tmp_path: Path) -> None:
    """Four answers that the provider puts at a cent each, though their tokens cost less."""
    async with simulator(Fault(stated_usd=0.01)) as sim:
        result = await run(sim, wire, tmp_path, stream, Budget())
        assert result.bill.cost_usd == Decimal("0.04") > sim.bill.total_usd()


@PLAIN_AND_STREAMED
@pytest.mark.parametrize("wire", FORMATS)
@pytest.mark.parametrize("word", ["abort", "insufficient_system_resource", "content_filter: SAFETY"])
async def test_an_answer_that_ends_with_an_unknown_word_is_incomplete(
    word: str, wire: str, stream: bool, tmp_path: Path
) -> None:
    """Nothing in it is carried out, it is paid once, and the run says which word it was."""
    async with simulator(Fault(stop_word=word), numbers={2}) as sim:
        result = await run(sim, wire, tmp_path, stream, Budget())
        assert result.status == "incomplete"
        assert word in result.error
        assert (len(sim.bill.entries()), result.tool_calls) == (2, 1)
        assert result.bill.cost_usd == sim.bill.total_usd()


@PLAIN_AND_STREAMED
@pytest.mark.parametrize("wire", FORMATS)
async def test_an_error_in_place_of_an_end_is_booked_and_not_asked_again(
    wire: str, stream: bool, tmp_path: Path
) -> None:
    """The usage came with it, so it is known; a resume asks once more, and goes on."""
    async with simulator(Fault(stop_word="failed"), numbers={2}) as sim:
        result = await run(sim, wire, tmp_path, stream, Budget())
        assert (result.status, result.stop_reason) == ("error", "model_error")
        assert len(sim.bill.entries()) == 2
        assert result.bill.cost_usd == sim.bill.total_usd()
        assert result.bill.uncertain_usd == 0

        agent = Agent(model=model(sim, wire), registry=ModelRegistry())
        events = [event async for event in agent.resume(result.run_id, workspace=tmp_path)]
        await close_clients()
        resumed = events[-1].result
        assert resumed.status == "ok", resumed.error
        assert len(sim.bill.entries()) == 5  # the first answer is on record, the failed one asked again
        assert resumed.bill.cost_usd == sim.bill.total_usd()
        answers = [record for record in read_records(Path(resumed.journal)) if isinstance(record, Answer)]
        assert [answer.number for answer in answers] == [0, 1, 2, 3]


@PLAIN_AND_STREAMED
@pytest.mark.parametrize("wire", FORMATS)
async def test_a_message_that_was_cut_is_not_carried_out(wire: str, stream: bool, tmp_path: Path) -> None:
    """A file would be written in half; the model is told and sends it in a longer message's place."""
    content = "# " + "x" * 4_000 + "\n"

    def writes(asked: Asked) -> Reply:
        results = [part for message in asked.messages if message.role == "tool" for part in message.parts]
        if not results:
            return Reply((ToolCall("a", "write_file", json.dumps({"path": "x.py", "content": content})),))
        if len(results) == 1 and "Not carried out" in results[0].content:
            return Reply((ToolCall("b", "write_file", '{"path": "x.py", "content": "# short\\n"}'),))
        return Reply((Text("Written."),))

    async with Simulator({CLAUDE: writes, GPT: writes}) as sim:
        agent = Agent(model=model(sim, wire), registry=ModelRegistry())
        options = RunOptions(stream=stream, max_output_tokens=500)
        result = await agent.result(SessionContext.build(tmp_path, "Write x.py", options=options))
        await close_clients()
        assert result.status == "ok", result.error
        assert (tmp_path / "x.py").read_text() == "# short\n"
        assert result.bill.cost_usd == sim.bill.total_usd()


@PLAIN_AND_STREAMED
@pytest.mark.parametrize("wire", FORMATS)
async def test_an_answer_of_thought_alone_is_paid_twice_at_most(
    wire: str, stream: bool, tmp_path: Path
) -> None:
    """All of the limit goes into reasoning: the model is told once, and the same is never asked again."""
    asked_with: list[int] = []

    def thinks(asked: Asked) -> Reply:
        asked_with.append(len(asked.messages[-1].text))
        return Reply((), stop="length", output_tokens=500, reasoning_tokens=500)

    async with Simulator({CLAUDE: thinks, GPT: thinks}) as sim:
        agent = Agent(model=model(sim, wire), registry=ModelRegistry())
        options = RunOptions(stream=stream, max_output_tokens=500)
        result = await agent.result(SessionContext.build(tmp_path, "Think", options=options))
        await close_clients()
        assert (result.status, result.stop_reason) == ("incomplete", "length")
        assert len(asked_with) == len(set(asked_with)) == 2
        assert result.bill.cost_usd == sim.bill.total_usd()


@PLAIN_AND_STREAMED
async def test_a_call_that_the_server_calls_invalid_is_asked_for_once_more(
    stream: bool, tmp_path: Path
) -> None:
    """Groq rejects what its model wrote: it may be billed, and the next try succeeds."""
    async with simulator(Fault(slip=True), numbers={2}) as sim:
        result = await run(sim, "chat", tmp_path, stream, Budget())
        assert result.status == "ok", result.error
        booked = result.bill.cost_usd
        assert booked < sim.bill.total_usd() <= booked + result.bill.uncertain_usd


async def test_a_model_that_writes_nothing_but_invalid_calls_is_given_up(tmp_path: Path) -> None:
    """After the second one in a row: each may be billed."""
    async with simulator(Fault(slip=True)) as sim:
        result = await run(sim, "chat", tmp_path, False, Budget())
        assert (result.status, result.stop_reason) == ("error", "model_error")
        assert "invalid tool call" in result.error
        assert len(sim.requests) == 2


@PLAIN_AND_STREAMED
async def test_a_malformed_call_that_is_told_as_an_end_is_booked_and_asked_for_once_more(
    stream: bool, tmp_path: Path
) -> None:
    """Gemini tells it as a finish reason, with its usage."""
    async with simulator(Fault(stop_word="MALFORMED_FUNCTION_CALL"), numbers={2}) as sim:
        result = await run(sim, "chat", tmp_path, stream, Budget())
        assert result.status == "ok", result.error
        assert (result.bill.cost_usd, result.bill.uncertain_usd) == (sim.bill.total_usd(), 0)
