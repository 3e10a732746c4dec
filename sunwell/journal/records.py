"""What a journal consists of: one frozen class for each kind of record.

A record's ``key`` finds it again when a run is taken up; it is made of the span and the place in
it, never of chance or time. ``at`` is seconds since 1970 in UTC.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, ClassVar, Literal

import attrs

from sunwell.core.lens import EphemeralLens, LensSource
from sunwell.core.message import FileChange, FileRead, Message, ToolCall, ToolResult
from sunwell.core.model import Completion, Purpose
from sunwell.core.price import DelegationDecision, Quote
from sunwell.core.task import AnswerBy, CommandRun, Conflict, Status, StopReason
from sunwell.core.verdict import LensTest, Verification

Key = tuple[str | int, ...]


@attrs.frozen
class Record:
    """The root of all records. ``kind`` names the class in the file."""

    kind: ClassVar[str] = ""

    @property
    def key(self) -> Key | None:
        """What finds the record again, with its class; ``None`` where nobody looks it up."""
        return None


@attrs.frozen
class RunOpened(Record):
    """The first record of every run."""

    kind: ClassVar[str] = "run"
    run_id: str
    task: str
    at: float
    workspace: str | None = None
    settings: Mapping[str, Any] = attrs.field(factory=dict)
    """JSON values that a resume needs to do the same again: models by name, limits, tools, versions."""

    @property
    def key(self) -> Key:
        return ()

    @property
    def continues(self) -> str:
        """The run whose conversation this one goes on with; empty if it begins its own."""
        other = self.settings.get("continues")
        name = other.get("run_id") if isinstance(other, Mapping) else ""
        return name if isinstance(name, str) else ""


@attrs.frozen
class RunResumed(Record):
    """Another process took the run up."""

    kind: ClassVar[str] = "resumed"
    at: float
    settings: Mapping[str, Any] = attrs.field(factory=dict)
    """What holds from here on in place of the earlier settings; empty: they still hold."""
    accepted: bool = False
    """Whether changes were accepted: what stands before counts, whatever was asked and read then."""
    boot: str = ""
    """Which start of the machine this is; empty: not known, as in records of older versions."""

    @property
    def key(self) -> Key:
        return ()


@attrs.frozen
class Forked(Record):
    """All that stands before was copied from another run, which has paid for it."""

    kind: ClassVar[str] = "forked"
    run_id: str
    """The other run."""
    span: str
    """Where in it this run begins anew."""
    number: int
    """The first call of the span that is made anew."""
    at: float
    accepted: bool = False
    """Whether the files were taken as they were found."""

    @property
    def key(self) -> Key:
        return ()


@attrs.frozen
class Continued(Record):
    """The conversation of another run that this one goes on with; it follows the first record."""

    kind: ClassVar[str] = "continued"
    run_id: str
    """The other run."""
    at: float
    place: Literal["direct", "work", "orchestrator"]
    """The span, below the root, in which the conversation goes on."""
    role: Literal["model", "smart_model", "delegation_model", "second_model"]
    """Who goes on with it."""
    system: tuple[str, ...]
    """Its system prompt, to be sent byte for byte; empty: as the options of this run have it."""
    messages: tuple[Message, ...]
    """All of it, and the user's next words at the end."""
    tokens_per_byte: float | None = None
    """Of its latest request, as the provider counted them; ``None``: unknown."""
    files: tuple[FileRead, ...] = ()
    """The files that it rests on, as they were when this run began."""
    entries: Any = attrs.field(factory=list)
    """The scratchpad of the other run, as JSON."""

    @property
    def key(self) -> Key:
        return ()


@attrs.frozen
class Decided(Record):
    """Whether the task is delegated."""

    kind: ClassVar[str] = "decision"
    span: str
    decision: DelegationDecision
    quote: Quote | None = None
    """What each way would cost, as the decision was made; ``None`` in records of older versions."""

    @property
    def key(self) -> Key:
        return (self.span,)


@attrs.frozen
class Quoted(Record):
    """What each way to do the task would cost, of a run that takes no decision, as it began."""

    kind: ClassVar[str] = "quote"
    span: str
    quote: Quote

    @property
    def key(self) -> Key:
        return (self.span,)


@attrs.frozen
class LensWritten(Record):
    """The lens as it was taken from the smart model's answer, or from the store of lenses."""

    kind: ClassVar[str] = "lens"
    span: str
    lens: EphemeralLens
    left_out: tuple[str, ...] = ()
    """A sentence for all that was left out of the answer, cut or removed."""
    prompt_around: tuple[str, str] | None = None
    """What stands before and after the noted text of the workspace in the lens's ``generation_prompt``,
    which is then empty here: that text is tens of kilobytes long, and once in a journal is enough."""
    source: LensSource | None = None
    """Where it comes from; ``None`` in records of older versions, and of a lens that is no model's."""

    @property
    def key(self) -> Key:
        return (self.span,)


@attrs.frozen
class Intent(Record):
    """An attempt of a call is about to be made, and its worst case is reserved."""

    kind: ClassVar[str] = "intent"
    span: str
    number: int
    attempt: int
    purpose: Purpose
    model: str
    depth: int
    digest: str
    max_output_tokens: int
    reserved_tokens: int
    reserved_usd: Decimal | None
    at: float
    provider: str = ""
    bound: str = ""
    """What the bound on the input was computed from; empty: not known, as in records of older versions."""
    reserved_new_tokens: int | None = None
    """Part of ``reserved_tokens`` that counts under a ceiling of new tokens; ``None``: all of them."""
    closing_usd: Decimal | None = None
    """What the ledger kept of the run's cap for closing calls at that moment, 0 without a cap; ``None`` in
    records of older versions."""

    @property
    def key(self) -> Key:
        return (self.span, self.number, self.attempt)


@attrs.frozen
class Leeway(Record):
    """How much may be sent from here on before the disk has its intents.

    It holds once the intent after it is durable, and until the run ends, is taken up, or gets another one.
    If the machine loses power, so much at most is missing at the end of the file.
    """

    kind: ClassVar[str] = "leeway"
    boot: str
    """The start of the machine for which it holds; see :func:`~sunwell.journal.power.boot_id`."""
    calls: int
    tokens: int
    new_tokens: int
    """Part of ``tokens`` that counts under a ceiling of new tokens."""
    usd: Decimal
    purpose: Purpose
    """Of the call that it was measured by, like the provider and the model."""
    provider: str
    model: str

    @property
    def key(self) -> Key:
        return ()


@attrs.frozen
class InputCounted(Record):
    """The provider counted the input of a call that was about to be made, for nothing."""

    kind: ClassVar[str] = "counted"
    span: str
    number: int
    digest: str
    """The request that was counted."""
    tokens: int
    at: float

    @property
    def key(self) -> Key:
        return (self.span, self.number)


@attrs.frozen
class NewTokensCounted(Record):
    """How many tokens of an answer count under a ceiling of new tokens; it precedes the answer.

    An answer without such a record counts with all that was billed.
    """

    kind: ClassVar[str] = "new_tokens"
    span: str
    number: int
    attempt: int
    tokens: int
    at: float

    @property
    def key(self) -> Key:
        return (self.span, self.number, self.attempt)


@attrs.frozen
class Answer(Record):
    """A model's answer, as received and before anybody used it."""

    kind: ClassVar[str] = "answer"
    span: str
    number: int
    attempt: int
    purpose: Purpose
    depth: int
    digest: str
    completion: Completion
    cost_usd: Decimal | None
    """``None`` where usage or price is unknown."""
    duration_seconds: float
    at: float
    remembered: bool = False
    """Whether it was kept by an earlier run, so that nobody was asked: it has no intent and no usage, and
    costs nothing."""

    @property
    def key(self) -> Key:
        return (self.span, self.number)


@attrs.frozen
class Failure(Record):
    """An attempt came to nothing."""

    kind: ClassVar[str] = "failure"
    span: str
    number: int
    attempt: int
    error: str
    """Name of the class in ``sunwell.errors``, or ``Cancelled``."""
    detail: str
    may_be_billed: bool
    """Where true, the reservation of the intent stays booked in full, as uncertain, unless
    ``completion`` has usage."""
    final: bool
    """Whether no further attempt follows."""
    at: float
    completion: Completion | None = None
    """What came with the error. Its usage is billed and booked like that of an answer."""
    cost_usd: Decimal | None = None
    """What ``completion`` cost; ``None`` if usage or price is unknown."""

    @property
    def key(self) -> Key:
        return (self.span, self.number, self.attempt)


@attrs.frozen
class Refused(Record):
    """A call found no room in a ceiling and was not made."""

    kind: ClassVar[str] = "refused"
    span: str
    number: int
    limit: str
    needed: Decimal
    used: Decimal
    ceiling: Decimal
    account: str
    detail: str = ""
    """What the ledger said in place of its usual sentence."""

    @property
    def key(self) -> Key:
        return (self.span, self.number)


@attrs.frozen
class ToolStarted(Record):
    """A tool is about to run; what it will change is known already."""

    kind: ClassVar[str] = "tool-started"
    span: str
    turn: int
    index: int
    call: ToolCall
    repeatable: bool
    changes: tuple[FileChange, ...] = ()
    foretold: ToolResult | None = None

    @property
    def key(self) -> Key:
        return (self.span, self.turn, self.index)


@attrs.frozen
class ToolFinished(Record):
    """A tool's result, as given to the model."""

    kind: ClassVar[str] = "tool"
    span: str
    turn: int
    index: int
    tool: str
    result: ToolResult
    duration_seconds: float

    @property
    def key(self) -> Key:
        return (self.span, self.turn, self.index)


@attrs.frozen
class Note(Record):
    """Something that is no function of earlier records: a time, an id, an amount shown in a prompt."""

    kind: ClassVar[str] = "note"
    span: str
    name: str
    value: Any
    """JSON."""

    @property
    def key(self) -> Key:
        return (self.span, self.name)


@attrs.frozen
class WorkerOpened(Record):
    """A worker begins: it has its slot, and nobody has been asked for it yet."""

    kind: ClassVar[str] = "sub_started"
    span: str
    parent: str
    """Path of the span that started it."""
    depth: int
    query: str
    """What it was asked to do."""
    model: str
    """The model that it is pinned to."""
    at: float
    parent_turn: int | None = None
    context_query: str | None = None
    told: str = ""
    """What it was told behind its task: its place in the larger task, its tools and limits."""

    @property
    def key(self) -> Key:
        return (self.span,)


@attrs.frozen
class WorkerClosed(Record):
    """How a worker ended: what it says, and beside it what the harness saw."""

    kind: ClassVar[str] = "sub_completion"
    span: str
    depth: int
    query: str
    status: Status
    stop_reason: StopReason
    answer: str
    error: str
    turns: int
    tokens_used: int
    cost: Decimal | None
    """US dollars of the answered calls, its own workers' included; ``None``: a price is unknown."""
    duration_ms: int
    tools_called: tuple[str, ...]
    """Names of tools, each as often as it was called; refused calls do not count."""
    result_tokens: int | None
    """Output tokens of the messages that hold the answer; ``None``: unknown, or the harness wrote it."""
    files: tuple[FileChange, ...]
    commands: tuple[CommandRun, ...]
    conflicts: tuple[Conflict, ...]
    at: float
    parent_turn: int | None = None
    """Turn of the parent in which a tool call asked for it; ``None`` where nobody's call did."""
    context_query: str | None = None
    answer_by: AnswerBy = "model"
    unresolved: tuple[str, ...] = ()
    """What the harness saw that does not fit a finished task; none in records of older versions."""
    verification: Verification | None = None
    """What the checks found; ``None`` if there was no check."""
    diff: str = ""
    """What it changed in files, as diffs of limited length, if a model started it."""

    @property
    def key(self) -> Key:
        return (self.span,)


@attrs.frozen
class RungChosen(Record):
    """The next rung of a ladder was chosen, or it was chosen to climb no further."""

    kind: ClassVar[str] = "rung"
    span: str
    """The task that climbs."""
    number: int
    """How many rungs it has climbed before."""
    rung: str
    """Name of the rung; empty: none."""
    model: str
    reason: str
    cost_usd: Decimal | None
    """What the rung was expected to cost; ``None``: unknown."""
    at: float
    after: str = ""
    """Digest of what was known then. If more is known when the run goes on, it is chosen anew."""

    @property
    def key(self) -> Key:
        return (self.span, self.number)


@attrs.frozen
class Checked(Record):
    """The checks looked at work, and this is what they found."""

    kind: ClassVar[str] = "checked"
    span: str
    """The task whose work was checked."""
    number: int
    """How often it was checked before."""
    by: tuple[str, ...]
    """The checks, as they are called."""
    passed: bool | None
    """``None``: they could not tell."""
    evidence: str
    cost_usd: Decimal | None
    """US dollars of the calls that the checks made; ``None``: a price is unknown."""
    unfinished: tuple[str, ...]
    """Siblings in the same folder whose work was not finished, by their ids."""
    duration_seconds: float
    at: float
    work: str = ""
    """Digest of the work that was checked. If the work went on since, it is checked anew."""
    missed: tuple[str, ...] = ()
    """The checks that did not pass, as they are called."""
    left_behind: tuple[str, ...] = ()
    """What their commands left of files that other programs run by themselves, a sentence each."""

    @property
    def key(self) -> Key:
        return (self.span, self.number)


@attrs.frozen
class RunClosed(Record):
    """The end of a run."""

    kind: ClassVar[str] = "closed"
    status: Status
    stop_reason: StopReason
    answer: str
    error: str
    turns: int
    duration_seconds: float
    at: float
    answer_by: AnswerBy = "model"
    unresolved: tuple[str, ...] = ()
    """As in :class:`WorkerClosed`, those of the workers included."""
    verification: Verification | None = None
    """What the checks found; ``None`` if there was no check."""
    left_behind: tuple[str, ...] = ()
    """What commands left of files that other programs run by themselves, a sentence each."""
    lens_test: LensTest | None = None
    """What running items of a batch with and without its lens has shown; ``None``: no batch under a lens."""

    @property
    def key(self) -> Key:
        return ()


@attrs.frozen
class Unknown(Record):
    """A record of a newer version: kept, shown, and passed over."""

    kind: ClassVar[str] = "unknown"
    name: str
    fields: Mapping[str, Any]


HoldReason = Literal["planner", "ledger", "rate"]
"""What is waited for. ``planner``: the first answer of siblings; ``ledger``: room in a ceiling;
``rate``: the time until a rate limit lets a call go, or until a failed attempt is made again."""

PauseReason = Literal["approval", "reader"]
"""Who was waited for. ``approval``: whoever approves what a tool is about to do; ``reader``: whoever
reads the run's events and asked for no more."""


@attrs.frozen
class Held(Record):
    """Somebody who could have gone on was made to wait, and now goes on."""

    kind: ClassVar[str] = "held"
    span: str
    reason: HoldReason
    seconds: float
    at: float


@attrs.frozen
class Paused(Record):
    """Everything waited for a person, which is no time that the run took."""

    kind: ClassVar[str] = "paused"
    reason: PauseReason
    seconds: float
    at: float
    """When it went on."""
