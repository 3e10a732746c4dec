"""The signals, one constant each. Only this file creates signals: a misspelt name would be a new signal."""

from blinker import Namespace

_signals = Namespace()

RUN_STARTED = _signals.signal("run-started")
"""Sent when a run has started, with :class:`RunStarted`."""
SANDBOX_CHOSEN = _signals.signal("sandbox-chosen")
"""Sent after the start of a run in which commands may run, with :class:`SandboxChosen`."""
RUN_FINISHED = _signals.signal("run-finished")
"""Sent last, with :class:`RunFinished`."""
RUN_FAILED = _signals.signal("run-failed")
"""Sent in place of ``RUN_FINISHED`` if a run ends with an error, with :class:`RunFailed`."""
DELEGATION_STARTED = _signals.signal("delegation-started")
"""Sent once per delegated run, before the smart model is called, with :class:`DelegationStarted`."""
DELEGATION_SKIPPED = _signals.signal("delegation-skipped")
"""Sent if delegation is on and the policy decides against it, with :class:`DelegationSkipped`."""
LENS_STARTED = _signals.signal("lens-started")
"""Sent before the smart model is called for a lens, with :class:`LensStarted`."""
EPHEMERAL_LENS_CREATED = _signals.signal("ephemeral-lens-created")
"""Sent when a lens has been written, with :class:`EphemeralLensCreated`."""
LENS_TAKEN = _signals.signal("lens-taken")
"""Sent if the lens is taken from the store of lenses, with :class:`LensTaken`."""
LENS_GIVEN = _signals.signal("lens-given")
"""Sent if the run was given a lens, with :class:`LensGiven`."""
LENS_TESTED = _signals.signal("lens-tested")
"""Sent when the test of a batch's lens has ended, before the other items start, with :class:`LensTested`."""
LENS_FAILED = _signals.signal("lens-failed")
"""Sent when no usable lens was written, with :class:`LensFailed`."""
MODEL_CALL_STARTED = _signals.signal("model-call-started")
"""Sent before a model is called, with :class:`ModelCallStarted`."""
MODEL_CALL_FINISHED = _signals.signal("model-call-finished")
"""Sent at the end of each model call, with :class:`ModelCallFinished`."""
MODEL_CONTENT = _signals.signal("model-content")
"""Sent before ``MODEL_CALL_FINISHED`` if anybody is connected, and not in the stream,
with :class:`ModelContent`."""
MODEL_HELD = _signals.signal("model-held")
"""Sent as soon as a call must wait for a rate limit before it is sent, with :class:`ModelHeld`."""
MODEL_RETRIED = _signals.signal("model-retried")
"""Sent between two attempts, with :class:`ModelRetried`."""
MODEL_TEXT_ARRIVED = _signals.signal("model-text-arrived")
"""Sent while an answer is streamed, with :class:`ModelTextArrived`."""
MODEL_FELL_BACK = _signals.signal("model-fell-back")
"""Sent if a different model is used instead, with :class:`ModelFellBack`."""
TOOL_CALL_STARTED = _signals.signal("tool-call-started")
"""Sent before a tool runs, with :class:`ToolCallStarted`."""
TOOL_CALL_FINISHED = _signals.signal("tool-call-finished")
"""Sent at the end of each tool call, with :class:`ToolCallFinished`."""
TOOL_CONTENT = _signals.signal("tool-content")
"""Sent before ``TOOL_CALL_FINISHED`` if anybody is connected, and not in the stream,
with :class:`ToolContent`."""
BUDGET_WARNING = _signals.signal("budget-warning")
"""Sent once for each limit when 80% of it is used, with :class:`BudgetWarning`."""
BUDGET_EXHAUSTED = _signals.signal("budget-exhausted")
"""Sent when work reaches a limit, before its closing call, with :class:`BudgetUsedUp`."""
BUDGET_REFUSED = _signals.signal("budget-refused")
"""Sent when a call does not fit into the budget, with :class:`BudgetRefused`."""
BOUND_EXCEEDED = _signals.signal("bound-exceeded")
"""Sent when a provider bills more than was reserved, with :class:`BoundExceeded`."""
BATCH_PLANNED = _signals.signal("batch-planned")
"""Sent before the workers of a batch start, with :class:`BatchPlanned`."""
WORKER_QUEUED = _signals.signal("worker-queued")
"""Sent for each requested worker, with :class:`WorkerQueued`."""
WORKER_STARTED = _signals.signal("worker-started")
"""Sent when a worker starts, with :class:`WorkerStarted`."""
WORKER_WAITING = _signals.signal("worker-waiting")
"""Sent when a worker releases its slot to wait for its own workers, with :class:`WorkerWaiting`."""
WORKER_PROGRESSED = _signals.signal("worker-progressed")
"""Sent after each turn of a worker, with :class:`WorkerProgressed`."""
WORKER_FAILED = _signals.signal("worker-failed")
"""Sent before ``WORKER_FINISHED`` if a worker did not end successfully, with :class:`WorkerFailed`."""
RUNG_STARTED = _signals.signal("rung-started")
"""Sent when a rung of a ladder is begun, with :class:`RungStarted`."""
CHECK_STARTED = _signals.signal("check-started")
"""Sent before checks look at finished work, with :class:`CheckStarted`."""
CHECK_FINISHED = _signals.signal("check-finished")
"""Sent when they have looked, with :class:`CheckFinished`."""
ANSWER_SET = _signals.signal("answer-set")
"""Sent when an orchestrator sets its answer, with :class:`AnswerSet`."""
HISTORY_COMPACTED = _signals.signal("history-compacted")
"""Sent when old tool results and long arguments were cut, with :class:`HistoryCompacted`."""
WORKER_FINISHED = _signals.signal("worker-finished")
"""Sent at the end of each requested worker, with :class:`WorkerFinished`."""
WARNED = _signals.signal("warned")
"""Sent for each warning for the user, with :class:`Warned`."""

__all__ = [
    "ANSWER_SET",
    "BATCH_PLANNED",
    "BOUND_EXCEEDED",
    "BUDGET_EXHAUSTED",
    "BUDGET_REFUSED",
    "BUDGET_WARNING",
    "CHECK_FINISHED",
    "CHECK_STARTED",
    "DELEGATION_SKIPPED",
    "DELEGATION_STARTED",
    "EPHEMERAL_LENS_CREATED",
    "HISTORY_COMPACTED",
    "LENS_FAILED",
    "LENS_GIVEN",
    "LENS_STARTED",
    "LENS_TAKEN",
    "LENS_TESTED",
    "MODEL_CALL_FINISHED",
    "MODEL_CALL_STARTED",
    "MODEL_CONTENT",
    "MODEL_FELL_BACK",
    "MODEL_HELD",
    "MODEL_RETRIED",
    "MODEL_TEXT_ARRIVED",
    "RUNG_STARTED",
    "RUN_FAILED",
    "RUN_FINISHED",
    "RUN_STARTED",
    "SANDBOX_CHOSEN",
    "TOOL_CALL_FINISHED",
    "TOOL_CALL_STARTED",
    "TOOL_CONTENT",
    "WARNED",
    "WORKER_FAILED",
    "WORKER_FINISHED",
    "WORKER_PROGRESSED",
    "WORKER_QUEUED",
    "WORKER_STARTED",
    "WORKER_WAITING",
]
