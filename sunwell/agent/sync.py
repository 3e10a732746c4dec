"""One call for scripts and notebooks without an event loop of their own."""

import asyncio
from pathlib import Path
from typing import Any

from sunwell.agent.agent import Agent
from sunwell.context.options import RunOptions
from sunwell.context.session import SessionContext
from sunwell.core.task import TaskResult


def run_sync(task: str, workspace: str | Path = ".", **options: Any) -> TaskResult:
    """Run *task* in the folder *workspace* and return the result.

    ``options`` are the fields of :class:`~sunwell.agent.request.RunOptions`. Raises what
    :meth:`Agent.run <sunwell.agent.Agent.run>` raises, and :exc:`RuntimeError` inside a running
    event loop: there, ``await Agent().result(session)``.
    """
    if _loop_is_running():
        raise RuntimeError(
            "run_sync cannot wait inside a running event loop (a notebook has one): "
            "await Agent().result(SessionContext.build(workspace, task, options)) there"
        )
    session = SessionContext.build(workspace, task, options=RunOptions(**options))
    return asyncio.run(Agent().result(session))


def _loop_is_running() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
