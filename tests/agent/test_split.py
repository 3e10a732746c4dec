"""Splitting: the smart model names the items in the answer that holds the lens, and workers do them."""

import asyncio
import json
import shutil
from contextlib import aclosing
from pathlib import Path
from typing import Any

import attrs
import pytest

from sunwell.agent import Agent
from sunwell.agent.lens.lens_writer import parse_items
from sunwell.agent.run.composed_answer import COMPOSED
from sunwell.context.options import RunOptions
from sunwell.context.session import SessionContext
from sunwell.core import Completion, Request
from sunwell.core.task import TaskResult
from sunwell.events import RunFinished, WorkerFinished
from sunwell.models.registry import ModelRegistry
from sunwell.simulator import InProcessModel
from sunwell.simulator.scripts import cheap, smart
from sunwell.testing import ScriptedModel, completion

SHOP = Path(__file__).parents[2] / "examples" / "shop"
LENS = {"heuristics": ["Do it."]}
ITEM = {"text": "Write a.py", "scope": "a", "target_files": ["a.py"], "done": "it imports"}


@attrs.define(eq=False)
class Stuck:
    """A worker's model that answers the first task and never another one."""

    name: str = "haiku-x"

    async def complete(self, request: Request) -> Completion:
        if "Write b.py" in request.messages[0].text:
            await asyncio.Event().wait()
        return completion("a.py is written.", model=self.name)

    def stream(self, request: Request) -> Any:
        raise NotImplementedError


async def run(folder: Path, *, split: bool) -> TaskResult:
    """Return the result of the example's task in a copy of its code base."""
    workspace = shutil.copytree(
        SHOP, folder / "shop", ignore=shutil.ignore_patterns("__pycache__", ".sunwell")
    )
    agent = Agent(
        smart_model=InProcessModel("claude-opus-5-5", smart),
        delegation_model=InProcessModel("claude-haiku-5-5", cheap),
        registry=ModelRegistry(),
    )
    options = RunOptions(enable_delegation=True, split=split)
    session = SessionContext.build(workspace, "Generate CRUD endpoints for 5 entities", options=options)
    return await agent.result(session)


async def test_a_task_of_five_parts_is_done_by_five_workers(tmp_path: Path) -> None:
    """One call writes lens and items; the answers stand in order, each under what it answers."""
    result = await run(tmp_path, split=True)
    assert (result.status, len(result.workers)) == ("ok", 5)
    assert result.answer.count("## Result for: ") == 5
    assert dict(result.bill.by_purpose).keys() == {"lens", "work"}
    assert next(line for line in result.bill.models if line.model == "claude-opus-5-5").calls == 1
    made = {change.path for change in result.files}
    assert len(made) == 6
    assert "shop/routes.py" in made
    assert all(worker.status == "ok" for worker in result.workers)


async def test_a_split_task_that_is_stopped_leaves_what_its_workers_reported(tmp_path: Path) -> None:
    """The first line of the answer, and the result, say that the harness put it together."""
    items = [ITEM | {"text": f"Write {name}.py", "target_files": [f"{name}.py"]} for name in "ab"]
    lens = ScriptedModel("opus-x", [json.dumps(LENS | {"items": items})])
    agent = Agent(smart_model=lens, delegation_model=Stuck(), registry=ModelRegistry())
    options = RunOptions(enable_delegation=True, split=True, delegation_threshold_tokens=1)
    session = SessionContext.build(tmp_path, "Write a.py and b.py", options=options)
    async with aclosing(agent.run(session)) as events:
        async for event in events:
            if isinstance(event, WorkerFinished):
                agent.stop()
    assert isinstance(event, RunFinished)
    result = event.result
    assert (result.status, result.answer_by) == ("cancelled", "harness")
    assert result.answer.splitlines()[0] == COMPOSED
    assert "## Write a.py\n\n> a.py is written." in result.answer


async def test_nothing_is_split_unasked(tmp_path: Path) -> None:
    """Without the option the same task is one worker's."""
    result = await run(tmp_path, split=False)
    assert (result.status, result.workers) == ("ok", ())


@pytest.mark.parametrize(
    ("items", "cut", "count"),
    [
        pytest.param([ITEM, ITEM | {"text": "Write b.py"}], False, 2, id="two"),
        pytest.param([ITEM], False, 0, id="one-is-no-split"),
        pytest.param([], False, 0, id="none"),
        pytest.param([ITEM, ITEM], False, 0, id="the-same-twice"),
        pytest.param([ITEM, ITEM | {"text": " "}], False, 0, id="an-empty-one"),
        pytest.param([ITEM, "Write b.py"], False, 0, id="no-object"),
        pytest.param(
            [ITEM, ITEM | {"text": "Write b.py", "target_files": ["../b.py"]}], False, 0, id="outside"
        ),
        pytest.param([ITEM, ITEM | {"text": "Write b.py"}], True, 0, id="cut"),
        pytest.param([ITEM | {"text": f"Write {i}.py"} for i in range(200)], False, 200, id="many"),
        pytest.param([ITEM | {"text": f"Write {i}.py"} for i in range(201)], False, 0, id="too-many"),
    ],
)
def test_a_task_is_split_whole_or_not_at_all(items: list[object], cut: bool, count: int) -> None:
    """An item that is lost would be work that is lost."""
    found = parse_items(json.dumps(LENS | {"items": items}), cut=cut, tell=lambda _: None)
    assert len(found) == count
    if count:
        assert (found[0].text, found[0].target_files, found[0].done) == (
            "Write a.py",
            ("a.py",),
            "it imports",
        ) or (count > 2)
