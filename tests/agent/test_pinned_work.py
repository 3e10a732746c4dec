"""A worker stays on the model that was named for it."""

from collections.abc import AsyncIterator

import attrs
import pytest

from sunwell.agent.loop import AgentLoop, LoopConfig
from sunwell.core import Completion, Delta, Request, ToolCall
from sunwell.errors import PinError
from sunwell.testing import ScriptedModel, completion, run_virtual
from sunwell.tools import tool

TASK = "Generate CRUD endpoints for 5 entities"


@tool
async def poke(text: str) -> str:
    """Poke it."""
    return text


@attrs.define(eq=False)
class Shifty:
    """A model that goes by another name once it has been asked, as a fallback behind its back would."""

    asked: int = 0

    @property
    def name(self) -> str:
        return "opus" if self.asked else "haiku"

    async def complete(self, request: Request) -> Completion:
        self.asked += 1
        return completion(ToolCall("a", "poke", '{"text": "x"}'), model="haiku")

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        yield Delta(completion=await self.complete(request))


def test_delegated_work_is_pinned_to_its_model() -> None:
    """A worker that is about to be asked under another name is not asked at all."""
    smart = ScriptedModel("opus", ['{"heuristics": ["Be brief."]}'])
    worker = Shifty()
    loop = AgentLoop(smart, config=LoopConfig(enable_delegation=True), delegation_model=worker)

    async def main() -> None:
        async for _ in loop.run(TASK, [poke]):
            pass

    with pytest.raises(PinError, match="pinned to haiku"):
        run_virtual(main())
    assert worker.asked == 1
