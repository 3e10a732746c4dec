"""What the tests of delegation by a model share: calls, and loops whose events are gathered."""

import json
import re
from collections.abc import Sequence
from typing import Any

from sunwell.agent.loop import AgentLoop, LoopConfig
from sunwell.core import Completion, ModelProtocol, Request, TaskResult, Tool, ToolCall, ToolResult
from sunwell.events import Event, RunFinished
from sunwell.testing import Line, ScriptedModel, completion, run_virtual

TASK_ID = re.compile(r"^- (\w{26}) ·", re.MULTILINE)


def call(name: str, **arguments: Any) -> Completion:
    """Return an answer that calls the tool *name*."""
    return calls((name, arguments))


def calls(*wanted: tuple[str, dict[str, Any]]) -> Completion:
    """Return an answer with several calls."""
    made = [ToolCall(f"c{i}", name, json.dumps(given)) for i, (name, given) in enumerate(wanted)]
    return completion(*made)


def batch(*tasks: str) -> Completion:
    """Return an answer that delegates *tasks* together."""
    return call("delegate_batch", tasks=[{"task": task, "tools": None} for task in tasks])


def answer(content: str, *, ready: bool | None = True, confidence: float | None = None) -> Completion:
    """Return an answer that sets the answer."""
    return call("set_answer", content=content, ready=ready, confidence=confidence)


def results_in(request: Request) -> list[str]:
    """Return the text of all tool results in *request*, in order."""
    return [p.content for m in request.messages for p in m.parts if isinstance(p, ToolResult)]


def ids_in(request: Request) -> list[str]:
    """Return the ids of the workers that *request* tells of, in the order of their start."""
    return TASK_ID.findall("\n".join(results_in(request)))


def boss(*lines: Line) -> ScriptedModel:
    """Return an orchestrator that says *lines*."""
    return ScriptedModel("boss", list(lines))


def worker(*lines: Line, seconds: float = 1.0) -> ScriptedModel:
    """Return a model for workers."""
    return ScriptedModel("worker", list(lines), seconds=seconds)


def run(
    smart: ModelProtocol,
    cheap: ModelProtocol,
    config: LoopConfig | None = None,
    tools: Sequence[Tool | str] | None = None,
) -> tuple[TaskResult, list[Event]]:
    """Return the result of an orchestrated run on a virtual clock, and its events."""
    loop = AgentLoop(smart, smart_model=smart, delegation_model=cheap, config=config or orchestrated())

    async def gather() -> list[Event]:
        return [event async for event in loop.run("the task", tools)]

    events = run_virtual(gather())
    last = events[-1]
    assert isinstance(last, RunFinished)
    return last.result, events


def orchestrated(**given: Any) -> LoopConfig:
    """Return the settings of an orchestrated run."""
    return LoopConfig(orchestrate=True, **given)
