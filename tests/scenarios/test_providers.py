"""Runs on several providers: pace, and the bill of each."""

from pathlib import Path

from sunwell.agent import Agent
from sunwell.context.options import RunOptions
from sunwell.context.session import SessionContext
from sunwell.events import RunFinished, Warned
from sunwell.models.connection import Connection, close_clients
from sunwell.models.openai_responses import ResponsesModel
from sunwell.simulator import Simulator
from sunwell.simulator.scripts import steps


async def test_a_run_that_is_held_back_says_so(tmp_path: Path) -> None:
    """A connection that may be used once in a second holds the second call back, with an event."""
    async with Simulator({"gpt-6-luna": steps(2)}) as simulator:
        connection = Connection("openai", simulator.openai_url, "key-of-a-test", requests_per_minute=50)
        agent = Agent(model=ResponsesModel("gpt-6-luna", connection))
        session = SessionContext.build(tmp_path, "say hello", options=RunOptions())
        events = [event async for event in agent.run(session)]
        await close_clients()
    told = [event.message for event in events if isinstance(event, Warned)]
    assert any("waits about" in message for message in told)
    assert isinstance(events[-1], RunFinished)
    assert events[-1].result.status == "ok"
    assert events[-1].result.bill.cost_usd == simulator.bill.total_usd()


async def test_what_a_connection_sends_in_secret_is_in_no_journal(tmp_path: Path) -> None:
    """Key and header: where the task quotes one, the model and the journal see its name only."""
    secrets = ("key-of-a-test-1", "header-of-a-test-2")
    async with Simulator({"gpt-6-luna": steps(1)}) as simulator:
        connection = Connection(
            "openai",
            simulator.openai_url,
            secrets[0],
            headers={"X-Api-Key": secrets[1]},
        )
        agent = Agent(model=ResponsesModel("gpt-6-luna", connection))
        session = SessionContext.build(tmp_path, f"say {' and '.join(secrets)}")
        result = await agent.result(session)
        await close_clients()
    assert result.journal is not None
    written = Path(result.journal).read_text() + str([request.body for request in simulator.requests])
    assert [secret for secret in secrets if secret in written] == []
