"""However a run is ended, it ends with one result."""

from contextlib import aclosing

import pytest

from sunwell.agent.agent import Agent
from sunwell.context.session import SessionContext
from sunwell.events import RunFinished
from sunwell.testing import ScriptedModel, completion


@pytest.mark.parametrize("at", range(1, 8))
async def test_a_stop_at_any_event_leaves_a_result(tmp_path, call, at: int) -> None:
    """Stopped once or twice, early or while the last record is written, the last event has the result."""
    model = ScriptedModel("haiku", [completion(call.writing("a.txt", "1\n")), "Done."])
    agent = Agent(model=model)
    events = []
    async with aclosing(agent.run(SessionContext.build(tmp_path, "Write a file"))) as told:
        async for event in told:
            events.append(event)
            if len(events) >= at:
                agent.stop()
    assert isinstance(events[-1], RunFinished)
    result = events[-1].result
    assert result.status in ("ok", "cancelled")
    assert (result.status == "cancelled") is (result.stop_reason == "cancelled")
