"""Files that the workers of a batch share, when the batch is taken up in another process."""

from pathlib import Path

from sunwell.agent import Agent
from sunwell.budget import Budget
from sunwell.context.options import RunOptions
from sunwell.core import ToolCall
from sunwell.events import RunFinished
from sunwell.testing import ScriptedModel, completion


async def test_a_batch_that_is_taken_up_remembers_who_changed_what(tmp_path: Path) -> None:
    """What one worker wrote stays: another that has not read it is refused, and both sides are on record."""

    def writing(text: str) -> object:
        return completion(ToolCall("w", "write_file", f'{{"path": "a.txt", "content": "{text}\\n"}}'))

    options = RunOptions(max_concurrent=1, budget=Budget(calls=3))
    before = Agent(model=ScriptedModel("worker", [writing("first"), "Written."]))
    first = await before.batch(["one", "two"], workspace=tmp_path, options=options)
    assert [one.status for one in first] == ["ok", "incomplete"]
    after = Agent(model=ScriptedModel("worker", [writing("second"), "Refused."]))
    events = after.resume(first.run.run_id, workspace=tmp_path, budget=Budget(calls=9))
    last = [event async for event in events][-1]
    assert isinstance(last, RunFinished)
    assert (tmp_path / "a.txt").read_text() == "first\n"
    one, two = last.result.workers
    assert [(found.path, found.first, found.second) for found in two.conflicts] == [
        ("a.txt", one.task_id, two.task_id)
    ]
