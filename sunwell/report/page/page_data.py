"""What the page of a run shows: plain values, the same for a finished page and a live one.

All amounts are US dollars with all their digits, as text; ``None`` is unknown and never 0. Times are seconds
since 1970, durations are seconds. The figures are computed here, in Python: the page only formats them.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Literal

import attrs

FORMAT = 1
"""Raised when a page of an older version could not show the data."""

TextId = str
"""Finds a text in :attr:`PageData.texts`. The same text has the same id everywhere; empty: no text."""

Usd = Decimal | None
"""An amount; ``None``: unknown."""


@attrs.frozen
class PageText:
    """A text, cut in the middle if it is long."""

    head: str
    tail: str = ""
    left_out: int = 0
    """Characters between ``head`` and ``tail`` that are not shown."""


@attrs.frozen
class TokenCounts:
    """TokenCounts as a provider reported them."""

    input: int = 0
    """All input, cached or not."""
    cache_write: int = 0
    cache_read: int = 0
    output: int = 0
    """All output, with thinking."""
    reasoning: int = 0


@attrs.frozen
class SumLine:
    """One line of the sum of a call: so many tokens at such a price."""

    what: str
    """Kind of tokens, such as ``cache read``, or of another charge."""
    tokens: int
    usd_per_million: Decimal
    usd: Decimal


@attrs.frozen
class SmartAlone:
    """What the smart model alone would have cost, estimated."""

    model: str
    usd: Usd
    saved_usd: Usd
    """Negative: delegating cost more."""
    saved_share: float | None
    basis: str


@attrs.frozen
class ExpectedCost:
    """What the run was expected to cost as it began."""

    way: str
    low_usd: Usd
    expected_usd: Usd
    high_usd: Usd


@attrs.frozen
class RunHead:
    """What a reader wants to know first."""

    run_id: str
    task: TextId
    status: str
    """As in ``sunwell runs``: a run that has not ended is ``open``."""
    stop_reason: str
    error: TextId
    answer: TextId
    answer_by: str
    started_at: float
    seconds: float
    """Of a run that has not ended: until its latest record."""
    models: tuple[tuple[str, str], ...]
    """Roles and the models that play them."""
    workspace: str
    version: str
    """The version of Sunwell that began the run; empty: not recorded."""
    verdict: str
    """The sentence that the terminal prints."""
    verified: bool | None
    """``None``: there was no check, or it could not tell."""
    delegation: str
    """Why the task was delegated or not; empty: nothing was decided."""
    notices: tuple[TextId, ...]
    """What does not fit a finished task, what commands left behind, how commands were kept apart."""
    continues: str
    forked_from: str
    foreign: bool = False
    """Whether the run was not started by this user on this machine."""
    lens_test: str = ""
    """What the test of a batch's lens has shown, or why there was none; empty: no batch under a lens."""


@attrs.frozen
class RunCost:
    """The money of the run, as the ledger has it."""

    usd: Usd
    """Settled."""
    unconfirmed_usd: Usd
    """Upper bound for attempts that may be billed and brought no usage."""
    reserved_usd: Usd
    """For attempts under way, as of the latest record; 0 in a run that has ended."""
    closing_usd: Usd
    """Kept for closing calls, as of the latest record."""
    cap_usd: Usd
    """``None``: no cap."""
    lost_usd: Usd
    """Part of ``usd`` that paid for attempts that failed."""
    tokens: TokenCounts
    calls: int
    """Answered calls that this run paid for."""
    attempts: int
    failed: int
    """Calls without an answer in the end."""
    refused: int
    """Calls that found no room in a ceiling."""
    retried: int
    """Attempts beyond the first of each call."""
    paid_twice: int
    """Answered calls that were asked again with the same request."""
    alone: SmartAlone | None
    estimate: ExpectedCost | None
    price_date: str


@attrs.frozen
class BillRow:
    """A line of the bill: what calls of one kind cost, and of which tokens the cost is made."""

    name: str
    calls: int
    tokens: TokenCounts
    usd: Usd
    unconfirmed_usd: Usd
    input_usd: Usd
    """Input that is not cached. The parts are ``None`` where they do not add up to what was booked."""
    cache_write_usd: Usd
    cache_read_usd: Usd
    output_usd: Usd
    """With thinking."""
    reasoning_usd: Usd
    """Part of ``output_usd``."""
    other_usd: Usd


@attrs.frozen
class BillTables:
    """The bill of the run, divided in different ways. The rows of each add up to the whole."""

    whole: BillRow
    by_model: tuple[BillRow, ...]
    by_purpose: tuple[BillRow, ...]
    """``lens``, ``work``, ``check`` and the others."""
    by_rung: tuple[BillRow, ...]
    """Empty without a ladder."""
    by_depth: tuple[BillRow, ...]


SpanKind = Literal["run", "worker", "part"]


@attrs.frozen
class SpanEntry:
    """A run, a worker, or a part of one. Figures include all below."""

    parent: str
    """Path of the span above; empty: none."""
    kind: SpanKind
    name: str
    """As the terminal calls it."""
    task: TextId
    model: str
    """The only model that it asked itself; empty: several or none."""
    status: str
    """As ``sunwell show`` has it; empty where nobody notes one."""
    stop_reason: str
    error: TextId
    report: TextId
    depth: int
    started_at: float | None
    seconds: float | None
    usd: Usd
    unconfirmed_usd: Usd
    tokens: TokenCounts
    calls: int
    failures: int
    """Calls that failed or were refused, failed tools and failed checks."""
    files: tuple[str, ...] = ()
    conflicts: tuple[TextId, ...] = ()
    unresolved: tuple[TextId, ...] = ()
    verified: bool | None = None
    verdict: str = ""
    """Empty: it was not checked."""


@attrs.frozen
class CallAttempt:
    """One try of a call."""

    number: int
    at: float
    ended_at: float | None
    """``None``: under way, or the process was killed."""
    model: str
    outcome: str
    """``answered``, ``failed``, ``open``; the name of the error stands in ``error``."""
    error: str
    detail: TextId
    reserved_usd: Usd
    reserved_tokens: int
    bound: str
    """What the bound on the input was computed from."""
    usd: Usd
    """``None``: nothing is booked, or the price is unknown."""
    unconfirmed_usd: Usd


@attrs.frozen
class CallEntry:
    """One call of a model, with all its attempts."""

    span: str
    number: int
    purpose: str
    model: str
    provider: str
    status: str
    """``answered``, ``failed``, ``refused``, ``open``, ``kept``: copied from a run that paid for it, or
    ``remembered``: answered by what an earlier run had kept, for nothing."""
    started_at: float | None
    seconds: float | None
    attempts: tuple[CallAttempt, ...]
    tokens: TokenCounts | None
    """``None``: the provider reported none."""
    usd: Usd
    unconfirmed_usd: Usd
    sum: tuple[SumLine, ...]
    """Empty where the lines would not add up to what was booked."""
    stop: str
    answer: TextId
    thinking: TextId
    asked_for: tuple[str, ...]
    """Keys of the tools that the answer called."""
    refusal: TextId
    """Why there was no room; empty: there was."""
    rung: str = ""


@attrs.frozen
class ToolEntry:
    """One run of a tool."""

    span: str
    turn: int
    index: int
    name: str
    subject: str
    arguments: TextId
    result: TextId
    status: str
    """``answered``, ``failed`` or ``open``."""
    started_at: float | None
    seconds: float | None
    files: tuple[str, ...]
    exit_code: int | None = None


@attrs.frozen
class CheckEntry:
    """What checks found of a piece of work."""

    span: str
    number: int
    by: tuple[str, ...]
    missed: tuple[str, ...]
    passed: bool | None
    evidence: TextId
    usd: Usd
    started_at: float
    seconds: float


@attrs.frozen
class RungEntry:
    """A step of the ladder."""

    span: str
    number: int
    rung: str
    """Empty: it climbed no further."""
    model: str
    reason: TextId
    expected_usd: Usd
    usd: Usd
    """What its calls cost, those of its checks included."""
    at: float


@attrs.frozen
class WaitEntry:
    """Somebody who could have gone on waited."""

    span: str
    """Empty: everybody."""
    reason: str
    """``planner``, ``ledger``, ``rate``, ``approval``, ``reader``, or ``stopped``: between two processes."""
    from_at: float
    to_at: float


@attrs.frozen
class MoneyPoint:
    """The money as of one moment."""

    at: float
    settled_usd: Decimal
    """Known costs."""
    reserved_usd: Decimal
    unconfirmed_usd: Decimal
    closing_usd: Decimal


@attrs.frozen
class PrefixEntry:
    """A part of prompts that several calls share."""

    name: str
    """What it is, such as the lens of a batch."""
    model: str
    readers: int
    """Workers whose prompt begins with it."""
    tokens: int
    """Its length."""
    written: int
    """Calls that wrote it to the cache or paid for it in full."""
    read: int
    """Calls that read it from the cache."""
    usd: Usd
    """What its tokens cost in all calls."""
    least_usd: Usd
    """The least for which as many calls could have had it."""
    plan: str
    """How the workers were started, and why; empty: not planned."""


@attrs.frozen
class LensEntry:
    """A lens, by whom it was written and who read it."""

    span: str
    generated_by: str
    task_scope: str
    parts: tuple[tuple[str, tuple[TextId, ...]], ...]
    """Names of the parts, and their items."""
    target_files: tuple[str, ...]
    left_out: tuple[TextId, ...]
    readers: tuple[str, ...]
    """Spans whose calls had it in their prompt."""
    usd: Usd
    """What it cost to write."""
    origin: str = ""
    """The kept lens that it was taken or changed from, or why it was not; empty: there is nothing to say."""


@attrs.frozen
class FileEntry:
    """A file that the run changed."""

    change: str
    """``made``, ``changed``, ``removed``; of several changes, what they come to."""
    by: tuple[str, ...]
    """Spans, in order."""
    diff: TextId
    conflicts: tuple[TextId, ...] = ()


@attrs.frozen
class ProcessEntry:
    """One process that worked on the run."""

    began_at: float
    last_at: float
    """Time of its latest record."""
    end: str
    """``closed``, ``killed`` (another one took the run up), or ``open``."""
    answers: int
    """Calls that it was answered."""
    taken_over: int
    """Answers of earlier processes that it did not have to ask for again."""


@attrs.frozen
class JournalHealth:
    """What the journal says of itself."""

    path: str
    records: int
    torn_bytes: int
    """At its end, left by a kill; they are not part of the run."""
    unknown_records: int
    """Of newer versions: passed over."""
    processes: tuple[ProcessEntry, ...]


@attrs.frozen
class ShellStep:
    """A command to type, and what it does."""

    command: str
    does: str


@attrs.frozen
class PageData:
    """All that the page of a run shows.

    Each mapping is from a stable key to an entry: a live page is sent the entries that have changed.
    """

    head: RunHead
    cost: RunCost
    bill: BillTables
    health: JournalHealth
    reproduce: tuple[ShellStep, ...]
    spans: Mapping[str, SpanEntry]
    """By path; parents before children, siblings in the order in which they began."""
    calls: Mapping[str, CallEntry]
    """By ``SPAN:NUMBER``, as ``sunwell show --spans`` writes it."""
    tools: Mapping[str, ToolEntry]
    """By ``SPAN:TURN:INDEX``."""
    checks: Mapping[str, CheckEntry]
    """By ``SPAN:NUMBER``."""
    rungs: Mapping[str, RungEntry]
    """By ``SPAN:NUMBER``."""
    waits: Mapping[str, WaitEntry]
    """By their number."""
    money: Mapping[str, tuple[MoneyPoint, ...]]
    """By number of the block, at most 256 points in each; a point for each record that changed an amount."""
    prefixes: Mapping[str, PrefixEntry]
    lenses: Mapping[str, LensEntry]
    """By span."""
    files: Mapping[str, FileEntry]
    """By path."""
    texts: Mapping[TextId, PageText]
    format: int = FORMAT


@attrs.frozen
class SentMessage:
    """One message of a request."""

    role: str
    parts: tuple[tuple[str, TextId], ...]
    """Kinds (``text``, ``thinking``, ``call NAME``, ``result NAME``, ``error NAME``) and texts."""


@attrs.frozen
class SentRequest:
    """What was sent for one call. Conversations repeat themselves: messages are told once."""

    system: tuple[TextId, ...]
    tools: TextId
    """The descriptions of the tools, as JSON; empty: none."""
    goes_on: str
    """Key of an earlier call whose messages come first; empty: none."""
    kept: int
    """How many of those messages."""
    messages: tuple[SentMessage, ...]
    """The messages that follow them."""
    settings: tuple[tuple[str, str], ...]
    """Such as the limit of the output and the effort."""
    agrees: bool
    """Whether its digest is the one that was recorded before it was sent."""
    schema: TextId = ""
    """The JSON schema that the answer must follow; empty: none."""


@attrs.frozen
class Requests:
    """The requests of a run, made again from its journal."""

    sent: Mapping[str, SentRequest]
    """By the key of the call."""
    texts: Mapping[TextId, PageText]
    missing: str = ""
    """Why some are not there or do not agree; empty: all are there and agree."""


Patch = Mapping[str, Any]
"""JSON: sections of :class:`PageData` with the entries that changed; null for one that is gone."""
