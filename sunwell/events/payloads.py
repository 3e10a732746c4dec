"""The payloads of events: frozen values, never live objects."""

from decimal import Decimal
from typing import Literal

import attrs

from sunwell.core.confinement import Confinement
from sunwell.core.lens import LensSource
from sunwell.core.message import Message, Part
from sunwell.core.model import Purpose, ToolSpec, Usage
from sunwell.core.task import Status, StopReason, TaskResult
from sunwell.core.verdict import LensTest


@attrs.frozen
class Event:
    """Any event of a run: the base class of all of them."""


@attrs.frozen
class RunStarted(Event):
    """A run has started: its journal exists, and this process has spent nothing yet."""

    run_id: str
    task: str
    model: str
    journal: str | None = None
    """Path of the journal; ``None`` if the run is only in memory."""
    resumed: bool = False
    spent_usd: Decimal | None = Decimal(0)
    """Known cost of the run in earlier processes; ``None`` if a price is unknown."""
    uncertain_usd: Decimal | None = Decimal(0)
    """Upper bound of the cost of calls of earlier processes that reported no usage, or were cut off."""


@attrs.frozen
class SandboxChosen(Event):
    """How commands are kept from the rest of the machine; sent once, if any may run."""

    confinement: Confinement


@attrs.frozen
class RunFinished(Event):
    """The last event of a run."""

    run_id: str
    result: TaskResult


@attrs.frozen
class RunFailed(Event):
    """A run has ended with an error, which its caller gets: a journal that cannot be written, a bug."""

    run_id: str
    kind: str
    """Name of the class of the error."""
    error: str
    result: TaskResult | None = None
    """What the run came to until then; ``None`` if that is unknown."""


@attrs.frozen
class DelegationStarted(Event):
    """The task will be delegated; sent once, before the smart model is called."""

    task_description: str
    smart_model: str
    """The model that writes the lens; empty if a lens was given."""
    delegation_model: str
    reason: str
    asker: str = ""
    """The model that looks into the contexts of a question, and may ask; empty for other tasks."""


@attrs.frozen
class DelegationSkipped(Event):
    """Delegation was on, and the policy decided against it."""

    task_description: str
    reason: str
    asker: str = ""
    """The model that answers a question about contexts alone; empty for other tasks."""


@attrs.frozen
class LensStarted(Event):
    """The smart model is about to be called for a lens."""

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
    target_files: tuple[str, ...] = ()
    """Paths in the workspace that the lens names."""
    left_out: tuple[str, ...] = ()
    """A sentence for all that was left out of the answer, cut or removed; empty if nothing was."""
    source: LensSource | None = None
    """Why no kept lens was taken, and the one that this one was changed from."""


@attrs.frozen
class LensTaken(Event):
    """The lens is one of the store, as it was: no model is called for one."""

    task_scope: str
    heuristics_count: int
    patterns_count: int
    anti_patterns_count: int
    constraints_count: int
    examples_count: int
    tokens: int
    """About how long it is; every turn of the work reads it."""
    generated_by: str
    """Id of the model that wrote it."""
    source: LensSource
    """When and for what it was written, and what that had cost."""
    target_files: tuple[str, ...] = ()
    """Paths in the workspace that the lens names."""
    left_out: tuple[str, ...] = ()
    """A sentence for each part in which a secret was replaced."""


@attrs.frozen
class LensGiven(Event):
    """The run was given a lens: no model is called for one, and all work is done under it."""

    task_scope: str
    heuristics_count: int
    patterns_count: int
    anti_patterns_count: int
    constraints_count: int
    examples_count: int
    tokens: int
    """About how long it is; every turn of the work reads it."""
    target_files: tuple[str, ...] = ()
    """Paths in the workspace that the lens names."""
    generated_by: str = ""
    """Id of the model that wrote it; empty if nobody says so."""
    left_out: tuple[str, ...] = ()
    """A sentence for each part in which a secret was replaced."""
    remarks: tuple[str, ...] = ()
    """A sentence for each thing that is worth a second look."""


@attrs.frozen
class LensTested(Event):
    """Items of a batch ran with its lens and without it, and this is what they show."""

    test: LensTest
    left: int
    """Items of the batch that did not run both ways."""


@attrs.frozen
class LensFailed(Event):
    """No usable lens was written; ``outcome`` is what happens next."""

    reason: str
    outcome: Literal["direct", "generic", "fail"]


@attrs.frozen
class RungStarted(Event):
    """A rung of a ladder is begun; the first one is chosen before any check."""

    span: str
    """The task that climbs."""
    rung: str
    model: str
    """Who works."""
    reason: str
    expected_usd: Decimal | None
    """What it is expected to cost; ``None``: unknown."""
    lens_by: str = ""
    """Who writes a lens for it; empty: nobody."""


@attrs.frozen
class CheckStarted(Event):
    """Checks are about to look at finished work; nobody writes meanwhile."""

    span: str
    """The task whose work is checked."""
    by: tuple[str, ...]
    """The checks, as they are called."""


@attrs.frozen
class CheckFinished(Event):
    """Checks have looked at finished work."""

    span: str
    by: tuple[str, ...]
    passed: bool | None
    """``None``: they could not tell."""
    evidence: str
    duration_seconds: float
    replayed: bool = False
    """Whether this is the recorded finding of an earlier process."""
    missed: tuple[str, ...] = ()
    """The checks that did not pass."""


@attrs.frozen
class ModelCallStarted(Event):
    """A model is about to be called."""

    span: str
    number: int
    """Number of the call in its span, from 0."""
    model: str
    purpose: Purpose
    depth: int = 0
    provider: str = ""
    """Name of the provider; empty if the model does not say."""
    address: str = ""
    """Host name of its server; empty if the model does not say."""
    port: int | None = None
    """Port of its server."""
    streamed: bool = False
    """Whether the answer is told as it arrives."""
    model_id: str = ""
    """Id of the model as its provider gets it; empty if the model does not say."""


@attrs.frozen
class ModelCallFinished(Event):
    """A model call has succeeded or failed."""

    span: str
    number: int
    model: str
    purpose: Purpose
    depth: int = 0
    attempts: int = 1
    usage: Usage | None = None
    """``None`` if the provider did not report it."""
    cost_usd: Decimal | None = None
    """``None`` if usage or price is unknown."""
    duration_seconds: float = 0.0
    stop: str = ""
    error: str = ""
    replayed: bool = False
    """Whether the answer is from the journal, without a new call."""
    remembered: bool = False
    """Whether the answer was kept by an earlier run: it has no usage and cost nothing."""
    booked_usd: Decimal | None = Decimal(0)
    """Known cost of all attempts of this process, as the bill has it, failed ones included; ``None`` if a
    price is unknown. The bill of a run is the sum of these and of what earlier processes spent."""
    booked_usage: Usage = Usage()
    """Tokens of all those attempts, and of other models that the provider called for them."""
    uncertain_usd: Decimal | None = Decimal(0)
    """Upper bound of the cost of its attempts that reported no usage; it is not part of ``booked_usd``."""
    reserved_usd: Decimal | None = None
    """What was held for the last attempt; ``None``: nothing, or the price is unknown."""
    max_output_tokens: int | None = None
    """Limit of the answer in the last attempt; ``None``: nothing was sent."""
    answered_by: str = ""
    """Id of the model that answered; empty: nobody did."""
    answer_id: str = ""
    """The provider's id of the answer."""
    provider_stop: str = ""
    """The provider's own word for ``stop``."""
    first_piece_seconds: float | None = None
    """From the last attempt's request to the first piece of its streamed answer; ``None``: not measured."""
    error_kind: str = ""
    """Name of the class of the error; empty: there is none."""


@attrs.frozen
class ModelContent(Event):
    """What a model was asked and has answered, without known secrets. It is never in the stream."""

    span: str
    number: int
    """Number of the call in its span, from 0."""
    system: tuple[str, ...]
    """Sections of the system prompt."""
    messages: tuple[Message, ...]
    tools: tuple[ToolSpec, ...]
    answer: tuple[Part, ...]
    """Empty if there is none."""


@attrs.frozen
class ModelHeld(Event):
    """A call waits for a rate limit; nothing of it was sent yet."""

    span: str
    number: int
    model: str
    reason: str
    wait_seconds: float
    """About how long; an answer of the server may shorten it."""


@attrs.frozen
class ModelRetried(Event):
    """An attempt has failed, and another one follows."""

    span: str
    number: int
    model: str
    attempt: int
    error: str
    wait_seconds: float


@attrs.frozen
class ModelTextArrived(Event):
    """A piece of an answer that is being streamed, only to be shown."""

    span: str
    text: str


@attrs.frozen
class ModelFellBack(Event):
    """A different model replaces one that could not be used."""

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
    call_id: str = ""
    """The model's id of the call."""
    turn: int = 0
    """Number of the turn in its span, from 0."""
    index: int = 0
    """Number of the call in its turn, from 0."""


@attrs.frozen
class ToolCallFinished(Event):
    """A tool has finished."""

    span: str
    tool: str
    is_error: bool
    duration_seconds: float
    changed: tuple[str, ...] = ()
    """Paths of the files that it changed."""
    replayed: bool = False
    command: str = ""
    """The command that it ran; empty: none."""
    exit_code: int | None = None
    """Exit code of the command; ``None`` if it did not finish."""
    error: str = ""
    """Why it failed, in a line of at most 300 characters; empty: it did not fail."""
    call_id: str = ""
    """The model's id of the call."""
    turn: int = 0
    """Number of the turn in its span, from 0."""
    index: int = 0
    """Number of the call in its turn, from 0."""
    error_kind: str = ""
    """Name of the error's class if the call was broken off, ``refused`` or ``tool_error`` if the tool gave an
    error; empty: none."""


@attrs.frozen
class ToolContent(Event):
    """The arguments and the result of a tool call, without known secrets. It is never in the stream."""

    span: str
    turn: int
    index: int
    arguments: str
    """JSON text, as it was carried out."""
    result: str


@attrs.frozen
class BudgetWarning(Event):
    """Most of a budget has been used."""

    limit: str
    used: Decimal
    ceiling: Decimal
    account: str = "run"


@attrs.frozen
class BudgetRefused(Event):
    """A call did not fit into the budget and was not sent."""

    limit: str
    needed: Decimal
    used: Decimal
    ceiling: Decimal
    account: str = "run"
    sentence: str = ""
    """What the ledger says of it: the parts of the budget, which add up to it, and what to do."""


@attrs.frozen
class BudgetUsedUp(Event):
    """A piece of work has reached a limit and ends; a closing call may follow."""

    span: str
    limit: str
    """One of ``usd``, ``tokens``, ``calls``, ``turns``, ``seconds``; the numbers are in its unit."""
    used: Decimal
    """The part that is settled, uncertain or reserved; the rest is kept for the closing call."""
    ceiling: Decimal
    account: str = "run"
    """Path of the account with this limit; for ``seconds``, the path of the work, on its own clock."""


@attrs.frozen
class BoundExceeded(Event):
    """A provider billed more than was reserved. It is booked in full.

    From then on calls of this model are bounded by their bytes. Calls stop only if a ceiling is exceeded.
    """

    model: str
    reserved_tokens: int
    billed_tokens: int
    reserved_usd: Decimal | None = None
    billed_usd: Decimal | None = None


@attrs.frozen
class BatchPlanned(Event):
    """How workers that share a prefix will be started, and what each way would cost."""

    span: str
    workers: int
    choice: str
    reason: str
    input_usd: Decimal | None
    """Expected cost of the shared prefix for all workers together; ``None``: price unknown."""


@attrs.frozen
class WorkerQueued(Event):
    """A worker has been requested and waits for a slot."""

    span: str
    task_id: str
    task: str
    depth: int
    parent: str = ""
    """Path of the span that requested it."""


@attrs.frozen
class WorkerStarted(Event):
    """A worker has got a slot and starts."""

    span: str
    task_id: str
    model: str
    depth: int


@attrs.frozen
class WorkerWaiting(Event):
    """A worker has released its slot while it waits for its own workers."""

    span: str
    task_id: str


@attrs.frozen
class WorkerProgressed(Event):
    """A worker has finished one more turn."""

    span: str
    task_id: str
    turns: int
    """Turns so far."""


@attrs.frozen
class WorkerFailed(Event):
    """A worker did not end successfully; its result follows in :class:`WorkerFinished`."""

    span: str
    task_id: str
    status: Status
    stop_reason: StopReason
    error: str


@attrs.frozen
class AnswerSet(Event):
    """An orchestrator has written its answer, or a draft."""

    span: str
    content: str
    ready: bool
    """Whether the run ends with this answer."""
    confidence: float | None
    turn: int
    """Number of the orchestrator's turn, from 0."""


@attrs.frozen
class HistoryCompacted(Event):
    """Old tool results and long arguments were cut, so that the conversation fits into the context window."""

    span: str
    turn: int
    stubs: int
    """Number of results and calls that are cut now."""
    saved_tokens: int
    """Estimate of the saved tokens."""


@attrs.frozen
class WorkerFinished(Event):
    """A worker has ended, successfully or not."""

    span: str
    task_id: str
    index: int
    """Index of the worker among its siblings, from 0."""
    result: TaskResult
    replayed: bool = False
    """Whether it had ended before this process resumed the run."""


@attrs.frozen
class Warned(Event):
    """A warning for the user; the run continues."""

    message: str
