"""What tests share in which an orchestrator's workers change files of a workspace."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sunwell.agent import Agent
from sunwell.context import RunOptions, SessionContext
from sunwell.core import Completion, ModelProtocol, Request, TaskResult, ToolCall
from sunwell.testing import Line, ScriptedModel, completion, task_in


def calls_of(name: str, **arguments: Any) -> Completion:
    """Return an answer that calls the tool *name*."""
    return completion(ToolCall("w", name, json.dumps(arguments)))


def writes(path: str, content: str) -> Completion:
    """Return an answer that writes *content* into the file *path*."""
    return calls_of("write_file", path=path, content=content)


def by_task(lines: Mapping[str, Sequence[Line]], name: str = "worker") -> ScriptedModel:
    """Return a model for workers that has lines for each task, by its text."""
    left = {task: list(given) for task, given in lines.items()}

    def answer(request: Request) -> str | Completion:
        said = left[task_in(request)].pop(0)
        if isinstance(said, BaseException):
            raise said
        return said(request) if callable(said) else said

    return ScriptedModel(name, [answer] * sum(map(len, lines.values())))


async def orchestrate(
    workspace: Path, smart: ModelProtocol, cheap: ModelProtocol, **options: Any
) -> TaskResult:
    """Return the result of an orchestrated run in *workspace*."""
    session = SessionContext.build(workspace, "the task", options=RunOptions(orchestrate=True, **options))
    async with Agent(smart_model=smart, delegation_model=cheap) as agent:
        return await agent.run(session)
