"""What an orchestrator is told of its run: its workers, its limits, earlier findings, and the files."""

from collections.abc import Iterator

from sunwell.agent.orchestration.spawner import Spawner
from sunwell.agent.prompts import orchestrator_place_text
from sunwell.agent.run.guidance import TOOLS_OF_THE_WORKSPACE
from sunwell.agent.run.run_context import Run
from sunwell.context.excerpts import outline_of
from sunwell.core.markdown import one_line
from sunwell.core.marks import guarded
from sunwell.core.threads import in_thread
from sunwell.errors import ToolError
from sunwell.journal.records import Note

OUTLINE_BYTES = 4_000
"""Maximum size of the outline of the workspace."""
_MOST_EARLIER, _SHOWN_SUMMARY = 20, 120
_NOTE = "orchestrator-place"


async def orchestrator_place(spawner: Spawner) -> str:
    """Return the text for the system prompt of the orchestrator of a run.

    It is taken once, when the run begins to delegate, and recorded: files and limits may change until the run
    is resumed, and the prompt must not.
    """
    run = spawner.run
    key = (run.root.path, _NOTE)
    noted = run.journal.find(Note, key)
    if noted is not None:
        return str(noted.value)
    earlier = list(_earlier(spawner))
    tools = [spec.name for spec in spawner.leaf.specs if spec.name in spawner.leaf.granted]
    text = orchestrator_place_text(tools, list(_limits(spawner)), earlier, await _outline(run))
    text = run.gateway.redact(text)
    await run.journal.append(Note(*key, text), durable=False)
    return text


def _limits(spawner: Spawner) -> Iterator[str]:
    config, terms = spawner.options, spawner.dispatcher.terms
    at_once = spawner.dispatcher.slots.limit
    those = "One worker runs" if at_once == 1 else f"{at_once} workers run"
    yield f"{those} at the same time; more wait in a queue."
    each = [f"{terms.turns} messages"]
    if terms.timeout_seconds is not None:
        each.append(f"{terms.timeout_seconds:,.0f} seconds")
    yield f"Each worker has at most {' and '.join(each)}. A worker that reaches a limit reports what it has."
    if spawner.dispatcher.max_depth > 1:
        yield "Workers may start workers of their own."
    yield f"You have at most {config.orchestrator_max_turns} messages. Several calls fit into one."


def _earlier(spawner: Spawner) -> Iterator[str]:
    run_id = spawner.run.journal.run_id
    entries = [entry for entry in spawner.scratchpad.entries() if entry.run_id != run_id]
    for entry in entries[-_MOST_EARLIER:]:
        yield f"- {entry.key} · {guarded(one_line(entry.summary))[:_SHOWN_SUMMARY]!r}"
    if len(entries) > _MOST_EARLIER:
        yield f"- and {len(entries) - _MOST_EARLIER} more: inspect with an empty key lists them"


async def _outline(run: Run) -> str:
    workspace = run.ladder_terms.workspace
    if workspace is None or TOOLS_OF_THE_WORKSPACE.isdisjoint(run.tools.granted):
        return ""
    try:
        secrets = run.gateway.secrets
        # In a thread: a large workspace takes seconds to read, in which other work must go on.
        return await in_thread(
            lambda: outline_of(workspace, run.task, limit_bytes=OUTLINE_BYTES, secrets=secrets)
        )
    except ToolError:  # the folder is gone or cannot be read: the workers will say so
        return ""
