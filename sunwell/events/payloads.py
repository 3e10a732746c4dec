"""What events carry: frozen facts, names and counts, never live objects."""

from decimal import Decimal
from typing import Literal

import attrs

from sunwell.core.model import Purpose, Usage
from sunwell.core.task import Status, StopReason, TaskResult


@attrs.frozen
class Event:
    """Any event of a run: the base class of all of them."""


@attrs.frozen
class RunStarted(Event):
    """A run is open: its journal exists, and this process has spent nothing yet."""

    run_id: str
    task: str
    model: str
    journal: str | None = None
    """Path of the journal; ``None`` where the run is in memory only."""
    resumed: bool = False
    spent_usd: Decimal | None = Decimal(0)
    """Known cost of what earlier processes did on the run; ``None`` where a price is unknown."""


@attrs.frozen
class RunFinished(Event):
    """The last event of a run."""

    run_id: str
    result: TaskResult


@attrs.frozen
class DelegationStarted(Event):
    """The task will be delegated; sent once, before the smart model is called."""

    task_description: str
    smart_model: str
    delegation_model: str
    reason: str


@attrs.frozen
class DelegationSkipped(Event):
    """Delegation was on and the policy said no."""

    task_description: str
    reason: str


@attrs.frozen
class LensStarted(Event):
    """The smart model is asked for a lens."""

    task_description: str
    smart_model: str


@attrs.frozen
class EphemeralLensCreated(Event):
    """The smart model has written a lens."""

    task_scope: str
    heuristics_count: int
    patterns_count: int
    generated_by: str
    anti_patterns_count: int = 0
    constraints_count: int = 0
    examples_count: int = 0
    cost_usd: Decimal | None = None


@attrs.frozen
class LensFailed(Event):
    """No lens came of it; ``outcome`` is what happens now."""

    reason: str
    outcome: Literal["direct", "generic", "fail"]


@attrs.frozen
class ModelCallStarted(Event):
    """A model is about to be asked."""

    span: str
    number: int
    """Place of the call in its span, from 0."""
    model: str
    purpose: Purpose
    depth: int = 0


@attrs.frozen
class ModelCallFinished(Event):
    """A model call is over, well or badly."""

    span: str
    number: int
    model: str
    purpose: Purpose
    depth: int = 0
    attempts: int = 1
    usage: Usage | None = None
    """``None`` where the provider never said."""
    cost_usd: Decimal | None = None
    """``None`` where usage or price is unknown."""
    duration_seconds: float = 0.0
    stop: str = ""
    error: str = ""
    replayed: bool = False
    """Whether the answer came from the journal and was not asked again."""


@attrs.frozen
class ModelRetried(Event):
    """An attempt failed and another follows."""

    span: str
    number: int
    model: str
    attempt: int
    error: str
    wait_seconds: float


@attrs.frozen
class ModelTextArrived(Event):
    """A piece of an answer that is being streamed: for showing only."""

    span: str
    text: str


@attrs.frozen
class ModelFellBack(Event):
    """Another model takes the part of one that could not be used."""

    role: str
    wanted: str
    used: str
    reason: str


@attrs.frozen
class ToolCallStarted(Event):
    """A tool is about to run."""

    span: str
    tool: str
    summary: str
    """The arguments, shortened to one line."""


@attrs.frozen
class ToolCallFinished(Event):
    """A tool is done."""

    span: str
    tool: str
    is_error: bool
    duration_seconds: float
    changed: tuple[str, ...] = ()
    """Paths of the files that it changed."""
    replayed: bool = False


@attrs.frozen
class BudgetWarning(Event):
    """Most of a budget is used."""

    limit: str
    used: Decimal
    ceiling: Decimal
    account: str = "run"


@attrs.frozen
class BudgetRefused(Event):
    """A call found no room and was not made."""

    limit: str
    needed: Decimal
    used: Decimal
    ceiling: Decimal
    account: str = "run"


@attrs.frozen
class BudgetUsedUp(Event):
    """A piece of work has met a limit and ends; a closing call may follow."""

    span: str
    limit: str
    """One of ``usd``, ``tokens``, ``calls``, ``turns``, ``seconds``; the numbers are in its unit."""
    used: Decimal
    """What of it is settled, uncertain or reserved; what is left of it is kept for the closing call."""
    ceiling: Decimal
    account: str = "run"
    """Path of the account whose limit it is; of ``seconds`` that of the work, on its own clock."""


@attrs.frozen
class BoundExceeded(Event):
    """A provider billed more than the reservation: booked in full, and no new calls follow."""

    model: str
    reserved_tokens: int
    billed_tokens: int
    reserved_usd: Decimal | None = None
    billed_usd: Decimal | None = None


@attrs.frozen
class BatchPlanned(Event):
    """How siblings that share a prefix will be started, and what each way would cost."""

    span: str
    workers: int
    choice: str
    reason: str
    input_usd: Decimal | None
    """Expected cost of the shared prefix, all workers together; ``None``: no price."""


@attrs.frozen
class WorkerQueued(Event):
    """A worker is wanted and waits for its turn."""

    span: str
    task_id: str
    task: str
    depth: int
    parent: str = ""
    """Path of the span that asked for it."""


@attrs.frozen
class WorkerStarted(Event):
    """A worker has its slot and begins."""

    span: str
    task_id: str
    model: str
    depth: int


@attrs.frozen
class WorkerWaiting(Event):
    """A worker has given up its slot while it waits for workers of its own."""

    span: str
    task_id: str


@attrs.frozen
class WorkerProgressed(Event):
    """A worker has come one turn further."""

    span: str
    task_id: str
    turns: int
    """Turns so far."""


@attrs.frozen
class WorkerFailed(Event):
    """A worker ended without coming to its proper end; its result comes with :class:`WorkerFinished`."""

    span: str
    task_id: str
    status: Status
    stop_reason: StopReason
    error: str


@attrs.frozen
class AnswerSet(Event):
    """An orchestrator has written its answer, or a draft of it."""

    span: str
    content: str
    ready: bool
    """Whether the run ends with it."""
    confidence: float | None
    turn: int
    """Turn of the orchestrator, from 0."""


@attrs.frozen
class HistoryCompacted(Event):
    """Old results of tools gave way to stubs, since the conversation would have outgrown the window."""

    span: str
    turn: int
    stubs: int
    """Results that are stubs now."""
    saved_tokens: int
    """About how many tokens were saved."""


@attrs.frozen
class WorkerFinished(Event):
    """A worker is done, well or badly."""

    span: str
    task_id: str
    index: int
    """Place of the worker among its siblings, from 0."""
    result: TaskResult
    replayed: bool = False
    """Whether it was done before this process took the run up."""


@attrs.frozen
class Warned(Event):
    """Something that the user should know and that stops nothing."""

    message: str
