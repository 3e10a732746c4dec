"""What an orchestrator is told of its run: its workers, its limits, earlier findings, and the files."""

from collections.abc import Iterator, Sequence

from sunwell.agent.prompts import orchestrator_place_text
from sunwell.agent.run.guidance import TOOLS_OF_THE_WORKSPACE
from sunwell.agent.run.loop_config import DEFAULT_TURNS, LoopConfig
from sunwell.agent.run.toolset import Toolset
from sunwell.context.excerpts import outline_of
from sunwell.core.markdown import one_line
from sunwell.core.marks import guarded
from sunwell.core.secrets import Secrets
from sunwell.errors import ToolError
from sunwell.memory.scratchpad import ScratchpadEntry
from sunwell.tools.workspace import Workspace

OUTLINE_BYTES = 4_000
"""Maximum size of the outline of the workspace."""
_MOST_EARLIER, _SHOWN_SUMMARY = 20, 120


def orchestrator_place(
    task: str,
    config: LoopConfig,
    tools: Toolset,
    workspace: Workspace | None,
    secrets: Secrets,
    earlier: Sequence[ScratchpadEntry] = (),
) -> str:
    """Return the section of an orchestrator's system prompt on this run.

    *tools* are those of a worker, *earlier* is what other runs left in the scratchpad. The workspace is
    outlined, in at most 4,000 bytes, if a tool looks at it. Known *secrets* are replaced.
    """
    names = [spec.name for spec in tools.specs if spec.name in tools.granted]
    shown = None if TOOLS_OF_THE_WORKSPACE.isdisjoint(names) else workspace
    outline = _outline(task, shown, secrets)
    text = orchestrator_place_text(names, list(_limits(config)), list(_found(earlier)), outline)
    return secrets.redact(text)


def _limits(config: LoopConfig) -> Iterator[str]:
    at_once = config.max_concurrent
    those = "One worker runs" if at_once == 1 else f"{at_once} workers run"
    yield f"{those} at the same time; more wait in a queue."
    each = [f"{DEFAULT_TURNS} messages"]
    if config.worker_timeout_seconds is not None:
        each.append(f"{config.worker_timeout_seconds:,.0f} seconds")
    yield f"Each worker has at most {' and '.join(each)}. A worker that reaches a limit reports what it has."
    if config.max_depth > 1:
        yield "Workers may start workers of their own."
    yield f"You have at most {config.orchestrator_max_turns} messages. Several calls fit into one."


def _found(earlier: Sequence[ScratchpadEntry]) -> Iterator[str]:
    for entry in earlier[-_MOST_EARLIER:]:
        yield f"- {entry.key} · {guarded(one_line(entry.summary))[:_SHOWN_SUMMARY]!r}"
    if len(earlier) > _MOST_EARLIER:
        yield f"- and {len(earlier) - _MOST_EARLIER} more: inspect with an empty key lists them"


def _outline(task: str, workspace: Workspace | None, secrets: Secrets) -> str:
    if workspace is None:
        return ""
    try:
        return outline_of(workspace, task, limit_bytes=OUTLINE_BYTES, secrets=secrets)
    except ToolError:  # the folder is gone or cannot be read: the workers will say so
        return ""
