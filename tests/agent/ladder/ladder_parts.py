"""What tests of the ladder share: models with prices, and a file that is checked."""

import json
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

from sunwell.agent import Agent
from sunwell.context import RunOptions, SessionContext
from sunwell.core.check import Checking, Verdict
from sunwell.core.message import ToolCall
from sunwell.core.model import Completion
from sunwell.core.price import Price, Rates
from sunwell.core.task import TaskResult
from sunwell.testing import Line, ScriptedModel, completion

TASK = "Write 42 into answer.txt"
LENS = json.dumps(
    {
        "task_scope": "answer.txt",
        "heuristics": ["The file must hold 42."],
        "patterns": [],
        "anti_patterns": [],
        "constraints": [],
        "examples": [],
        "target_files": ["answer.txt"],
    }
)


def priced(name: str, lines: Sequence[Line], usd: int) -> ScriptedModel:
    """Return a model that says *lines*; input costs *usd* dollars a million tokens, output five times it."""
    return ScriptedModel(name, lines, price=Price(Rates(Decimal(usd), Decimal(5 * usd))))


def writes(text: str, path: str = "answer.txt") -> Completion:
    """Return the call that writes *text* into the file *path*."""
    return completion(ToolCall("w", "write_file", json.dumps({"path": path, "content": f"{text}\n"})))


async def holds_42(checking: Checking) -> Verdict:
    """Check that the file holds what the task asks for."""
    assert checking.workspace is not None
    found = (checking.workspace / "answer.txt").read_text().strip()
    return Verdict(found == "42", f"answer.txt holds {found}")


async def climb(
    workspace: Path,
    cheap: ScriptedModel,
    smart: ScriptedModel,
    second: ScriptedModel | None = None,
    **options: object,
) -> TaskResult:
    """Return the result of the task in *workspace*, which climbs the ladder under *options*."""
    chosen = {"checks": (holds_42,), "escalate": True, "worth_usd": 100, **options}
    session = SessionContext.build(workspace, TASK, options=RunOptions(second_model=second, **chosen))
    async with Agent(smart_model=smart, delegation_model=cheap) as agent:
        return await agent.run(session)
