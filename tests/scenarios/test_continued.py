"""The next question in the conversation of a run, over HTTP and with kills at its records."""

import json
from pathlib import Path

import pytest

from sunwell.agent import Agent
from sunwell.context.options import RunOptions
from sunwell.context.session import SessionContext
from sunwell.core import ModelProtocol, Text, ToolCall
from sunwell.models.anthropic_messages import AnthropicModel
from sunwell.models.connection import Connection, close_clients
from sunwell.models.openai_chat import ChatModel
from sunwell.models.openai_responses import ResponsesModel
from sunwell.models.registry import ModelRegistry
from sunwell.simulator import Asked, Reply, Simulator
from sunwell.simulator.scripts.conversation_state import ScriptedConversation
from tests.scenarios.after_kills import differing_story, outcomes_of


@pytest.mark.timeout(280)
@pytest.mark.parametrize(
    ("is_orchestrated", "stride", "least"),
    [pytest.param(False, 1, 24, id="direct"), pytest.param(True, 9, 5, id="orchestrated")],
)
def test_continued_runs_survive_a_kill_at_any_record(is_orchestrated: bool, stride: int, least: int) -> None:
    """Resumed, they end as if nothing had been; a run that is continued as a kill left it answers, too.

    The three ways of a kill take turns. Direct runs are killed at each record, orchestrated ones at every
    ninth; ``benchmarks/kills.py`` kills these at each, too. Only a call that was in flight at a kill is asked
    again, and it is listed as uncertain.
    """
    whole, killed = outcomes_of("killed_continuations.py", int(is_orchestrated), stride)
    assert whole["ends"] == [["ok", f"File {number} is written."] for number in range(3)]
    assert len(killed) >= least
    for one in killed:
        case = (one["number"], one["at"], one["how"], one["resumes"])
        assert (case, differing_story(whole, one)) == (case, {})


def on_the_wire(sim: Simulator, wire: str, name: str) -> ModelProtocol:
    """Return an adapter that speaks one format to *sim*."""
    if wire == "anthropic":
        return AnthropicModel(name, Connection("anthropic", sim.url, "key-of-a-test"))
    connection = Connection("openai", sim.openai_url, "key-of-a-test")
    return ChatModel(name, connection) if wire == "chat" else ResponsesModel(name, connection)


def reader(asked: Asked) -> Reply:
    """Read the notes once, and say how many messages there were."""
    talk = ScriptedConversation.of(asked)
    if not talk.attempts:
        arguments = json.dumps({"path": "notes.txt", "start_line": None, "end_line": None})
        return Reply((ToolCall("call_1", "read_file", arguments),))
    return Reply((Text(f"{len(asked.messages)} messages"),))


@pytest.mark.parametrize("wire", ["anthropic", "chat", "responses"])
async def test_the_cache_of_the_provider_still_has_the_conversation(wire: str, tmp_path: Path) -> None:
    """In each format the request begins with the bytes of the earlier one, and the bills add up."""
    (tmp_path / "notes.txt").write_text("A line of notes.\n" * 800)
    name = "claude-haiku-5-5" if wire == "anthropic" else "gpt-6-luna"
    sim = Simulator({name: reader})
    async with sim:
        agent = Agent(model=on_the_wire(sim, wire, name), registry=ModelRegistry())
        try:
            session = SessionContext.build(tmp_path, "What do the notes say?", options=RunOptions())
            first = await agent.run(session)
            second = await agent.continue_run("last", "And how many are there?", workspace=tmp_path)
            third = await agent.continue_run("last", "Sure?", workspace=tmp_path)
        finally:
            await close_clients()
        assert [one.answer for one in (first, second, third)] == ["3 messages", "5 messages", "7 messages"]
        assert first.bill.cost_usd + second.bill.cost_usd + third.bill.cost_usd == sim.bill.total_usd()
        for one in (second, third):
            assert one.bill.calls == 1
            assert one.bill.usage.cache_read_tokens > first.bill.usage.input_tokens // 4
