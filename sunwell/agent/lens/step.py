"""Writing the lens inside a run: through the door, told of, journalled, with a declared outcome."""

from typing import Any

import attrs

from sunwell.agent.lens.prompt import LensOrder
from sunwell.agent.lens.writer import generic_lens, write_split_lens
from sunwell.agent.run.files_seen import CONTEXT
from sunwell.agent.work.execution import Execution
from sunwell.agent.workers.task_json import task_fields, task_of
from sunwell.context.excerpts import Shown
from sunwell.context.options import OnLensFailure
from sunwell.core.lens import EphemeralLens
from sunwell.core.model import Completion, ModelProtocol, Request
from sunwell.core.task import Task
from sunwell.errors import BudgetExhausted, LensError, ModelError
from sunwell.events import (
    EPHEMERAL_LENS_CREATED,
    LENS_FAILED,
    LENS_STARTED,
    EphemeralLensCreated,
    LensFailed,
    LensStarted,
)
from sunwell.journal.records import LensWritten, Note

_OUTCOME = "lens-outcome"
_ITEMS = "items"


@attrs.frozen
class Written:
    """What came of asking for a lens. Without a lens, ``outcome`` says how the run goes on."""

    lens: EphemeralLens | None
    outcome: OnLensFailure = "direct"
    reason: str = ""
    items: tuple[Task, ...] = ()
    """The items into which the task falls; none where it is one piece."""


async def write_lens(execution: Execution, smart: ModelProtocol, *, may_split: bool = False) -> Written:
    """Return the journalled lens of the run, or have *smart* write one, perhaps with items.

    What its calls cost counts against the run whatever comes of them.
    """
    run = execution.run
    span = run.root.child("lens")
    recorded = run.journal.find(LensWritten, (span.path,))
    # Where the questions of a recorded run are compared, those for the lens are, too.
    if recorded is not None and run.gateway.compare is None:
        noted = run.journal.find(Note, (span.path, _ITEMS))
        return Written(recorded.lens, items=() if noted is None else tuple(map(task_of, noted.value)))
    failed = run.journal.find(Note, (span.path, _OUTCOME))
    if failed is not None and failed.value["outcome"] != "fail":  # taken up again, it is tried again
        return Written(None, failed.value["outcome"], failed.value["reason"])
    run.tell(LENS_STARTED, LensStarted(execution.task, smart.name))

    async def ask(request: Request) -> Completion:
        return await run.gateway.ask(span, smart, request, purpose="lens")

    try:
        order = LensOrder(
            execution.task,
            await _shown(execution, span.path),
            execution.tools.specs,
            execution.config.max_lens_tokens,
            execution.config.effort,
            may_split,
        )
        written = await write_split_lens(order, ask, model_name=smart.name)
    except (LensError, ModelError, BudgetExhausted) as error:
        return await _failed(execution, span.path, str(error))
    if written.items:  # before the lens: where that is found, they are known to be all
        items = [task_fields(item) for item in written.items]
        await run.journal.append(Note(span.path, _ITEMS, items), durable=False)
    await run.journal.append(LensWritten(span.path, written.lens))
    run.tell(EPHEMERAL_LENS_CREATED, _created(execution, span.path, written.lens))
    return Written(written.lens, items=written.items)


async def _shown(execution: Execution, path: str) -> str:
    """Return what the smart model is shown of the workspace, as it was when it was first asked."""
    journal, context = execution.run.journal, execution.context
    noted = journal.find(Note, (path, CONTEXT))
    if noted is not None:
        return str(noted.value["text"])
    made = context() if callable(context) else context
    shown = Shown(made) if isinstance(made, str) else made
    reads = [[read.path, read.sha256] for read in shown.reads]
    note = Note(path, CONTEXT, {"text": shown.text, "reads": reads})
    execution.run.files.see(note)
    await journal.append(note, durable=False)  # the intent of the call comes after it, and is synced
    return shown.text


async def _failed(execution: Execution, path: str, reason: str) -> Written:
    run, outcome = execution.run, execution.config.on_lens_failure
    run.tell(LENS_FAILED, LensFailed(reason, outcome))
    if outcome == "generic":
        lens = generic_lens(execution.task)
        await run.journal.append(LensWritten(path, lens))
        return Written(lens, outcome, reason)
    value: dict[str, Any] = {"outcome": outcome, "reason": reason}
    await run.journal.append(Note(path, _OUTCOME, value))
    return Written(None, outcome, reason)


def _created(execution: Execution, path: str, lens: EphemeralLens) -> EphemeralLensCreated:
    return EphemeralLensCreated(
        lens.task_scope,
        len(lens.heuristics),
        len(lens.patterns),
        lens.generated_by,
        len(lens.anti_patterns),
        len(lens.constraints),
        len(lens.examples),
        execution.run.tally.bill(path).cost_usd,
    )
