"""The task of a run or a worker, and its result."""

import math
from collections.abc import Iterable, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Literal, Self

import attrs

from sunwell.core.confinement import Confinement
from sunwell.core.coverage import AnswerCoverage
from sunwell.core.lens import EphemeralLens, LensSource
from sunwell.core.message import FileChange
from sunwell.core.model import Usage
from sunwell.core.price import DelegationDecision, Quote
from sunwell.core.verdict import LensTest, Verification
from sunwell.errors import ConfigurationError


def _not_negative(_: object, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise ConfigurationError(f"the budget's {attribute.name} must be a number, got {value!r}")
    if not _is_finite(value) or value < 0:
        raise ConfigurationError(
            f"the budget's {attribute.name} must be 0 or more, or None for no limit, got {value}"
        )


def _is_finite(value: float | Decimal) -> bool:
    return isinstance(value, int) or (
        value.is_finite() if isinstance(value, Decimal) else math.isfinite(value)
    )


def _whole(instance: object, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    _not_negative(instance, attribute, value)
    if value is not None and type(value) is not int:
        raise ConfigurationError(f"the budget's {attribute.name} must be a whole number, got {value}")


def _decimal(value: Decimal | float | str | None) -> Decimal | None:
    if value is None or isinstance(value, Decimal):
        return value
    try:
        return Decimal(str(value))
    except InvalidOperation:
        raise ConfigurationError(f"the budget's usd must be an amount such as 0.50, got {value!r}") from None


def _integer(value: float | None) -> int | None:
    """Return *value* as ``int`` if it is a whole ``float`` such as 1e6."""
    return int(value) if isinstance(value, float) and value.is_integer() else value  # type: ignore[return-value]


@attrs.frozen
class Budget:
    """Limits of a run or a worker; ``None`` means no limit. A limit does not reserve money.

    Raises :exc:`~sunwell.errors.ConfigurationError` for a value that is not a number, negative or infinite.
    """

    usd: Decimal | None = attrs.field(default=None, converter=_decimal, validator=_not_negative)
    """US dollars of all calls together."""
    tokens: int | None = attrs.field(default=None, converter=_integer, validator=_whole)
    """Input and output tokens of all calls together."""
    calls: int | None = attrs.field(default=None, converter=_integer, validator=_whole)
    """Calls of models."""
    turns: int | None = attrs.field(default=None, converter=_integer, validator=_whole)
    """Turns of all conversations together."""
    seconds: float | None = attrs.field(default=None, validator=_not_negative)
    """Wall time of the run, without the pauses between its processes."""


@attrs.frozen
class CommandRun:
    """A command that a tool ran. ``exit_code`` is ``None`` if it did not finish."""

    command: str
    exit_code: int | None
    duration_seconds: float | None = attrs.field(default=None, eq=False)
    """Wall time; ``None``: not recorded. Not compared: the same command takes another time each time."""


@attrs.frozen
class Conflict:
    """Two workers of one run worked on the same file.

    ``first`` had changed or read the file before ``second``; both are task ids. Both were told.
    """

    path: str
    first: str
    second: str
    what: str
    """One sentence: what the second worker wanted, and what happened. It names both."""
    diff: str = ""
    """What the second one wanted to change in the file of the first, as a diff of limited length; empty if a
    command made the change."""


@attrs.frozen
class Receipts:
    """What Sunwell itself recorded of the work, as evidence for the model's claims."""

    files: tuple[FileChange, ...] = ()
    """Files that have changed, each once, with the hashes before and after."""
    commands: tuple[CommandRun, ...] = ()
    """Commands in the order in which they ran."""
    tools_called: tuple[tuple[str, int], ...] = ()
    """Names of tools and the number of calls of each. Refused calls do not count."""


Status = Literal["ok", "incomplete", "error", "cancelled"]
AnswerBy = Literal["model", "harness"]
StopReason = Literal[
    "end", "budget_usd", "budget_tokens", "timeout", "turns", "calls", "depth", "refusal", "length",
    "window", "provider_stop", "model_error", "lens_failed", "cancelled", "bug",
    "not_recorded", "check_failed",
]  # fmt: skip
"""Why a run ended. Only ``end`` occurs with status ``ok``. ``provider_stop``: the provider gave a stop
reason that is not a normal end. ``not_recorded``: the journal or a file of results cannot be written.
``check_failed``: the work came to its end, and a check found it wrong."""
_SUMMARY_CHARACTERS = 200


@attrs.frozen
class ModelBill:
    """Totals of one model's calls. ``cost_usd`` is ``None`` if its price is unknown."""

    model: str
    calls: int
    usage: Usage
    cost_usd: Decimal | None
    uncertain_usd: Decimal | None = Decimal(0)
    """Upper bound of the cost of calls whose usage is not known; not part of ``cost_usd``."""
    uncertain_calls: int = 0
    provider: str = ""
    uncertain_tokens: int = 0
    """Upper bound of the tokens of those calls; not part of ``usage``."""


@attrs.frozen
class Total:
    """Totals of several calls. A cost is ``None`` if the price of any of them is unknown."""

    calls: int = 0
    """Answered calls."""
    usage: Usage = Usage()
    cost_usd: Decimal | None = Decimal(0)
    uncertain_calls: int = 0
    """At most so many attempts whose usage is not known; they are not part of the figures above."""
    uncertain_tokens: int = 0
    uncertain_usd: Decimal | None = Decimal(0)

    @classmethod
    def of(cls, totals: "Sequence[Self]") -> Self:
        """Return the sum of *totals*."""
        if len(totals) == 1:
            return totals[0]
        return cls(
            sum(one.calls for one in totals),
            Usage.of([one.usage for one in totals]),
            _total([one.cost_usd for one in totals]),
            sum(one.uncertain_calls for one in totals),
            sum(one.uncertain_tokens for one in totals),
            _total([one.uncertain_usd for one in totals]),
        )

    def __add__(self, other: "Total") -> "Total":
        if not isinstance(other, Total):
            return NotImplemented
        return Total(
            self.calls + other.calls,
            self.usage + other.usage,
            _plus(self.cost_usd, other.cost_usd),
            self.uncertain_calls + other.uncertain_calls,
            self.uncertain_tokens + other.uncertain_tokens,
            _plus(self.uncertain_usd, other.uncertain_usd),
        )


@attrs.frozen
class BillLine:
    """All calls of one model, for one purpose, at one depth of nesting, on one rung of a ladder."""

    model: str
    provider: str
    depth: int
    """The root is 0, a worker started by it is 1."""
    purpose: str
    total: Total
    rung: str = ""
    """The rung of the ladder that the calls belong to; empty: none."""


@attrs.frozen
class Bill:
    """The bill of a run: every call, booked at the price of the model that answered."""

    models: tuple[ModelBill, ...] = ()
    """The totals of each model."""
    by_purpose: tuple[tuple[str, Decimal | None], ...] = ()
    """Cost by purpose: lens, work and so on; ``None`` if a price is unknown."""
    price_date: str = ""
    """ISO day of the price table; empty if nothing was priced."""
    lines: tuple[BillLine, ...] = ()
    """The most detailed totals: every other figure is a sum of these."""
    remembered_calls: int = 0
    """Calls that an answer of an earlier run was taken for. They cost nothing and are in no other figure."""

    def split(
        self, by: Literal["model", "provider", "depth", "purpose", "rung"]
    ) -> tuple[tuple[str | int, Total], ...]:
        """Return the totals by model, provider, depth, purpose or rung, in ascending order."""
        totals: dict[Any, list[Total]] = {}
        for line in self.lines:
            totals.setdefault(getattr(line, by), []).append(line.total)
        return tuple((name, Total.of(totals[name])) for name in sorted(totals))

    @property
    def usage(self) -> Usage:
        """All reported tokens."""
        return sum((line.usage for line in self.models), Usage())

    @property
    def calls(self) -> int:
        """All answered calls."""
        return sum(line.calls for line in self.models)

    @property
    def cost_usd(self) -> Decimal | None:
        """Cost of the reported usage; ``None`` if any price is unknown."""
        return _total(line.cost_usd for line in self.models)

    @property
    def uncertain_usd(self) -> Decimal | None:
        """Upper bound of the cost of calls whose usage is not known; ``None`` if a price is unknown."""
        return _total(line.uncertain_usd for line in self.models)


def _texts(value: Iterable[str]) -> tuple[str, ...]:
    if isinstance(value, str):  # tuple("abc") would silently become ("a", "b", "c")
        raise TypeError(f"expected several strings, got the single string {value!r}")
    texts = tuple(value)
    for text in texts:
        if not isinstance(text, str):
            raise TypeError(f"expected strings, got {text!r}")
    return texts


def _task_checks(value: Any) -> tuple[Any, ...]:
    checks = (value,) if isinstance(value, str) or callable(value) else tuple(value)
    for check in checks:
        if not callable(check) and not (isinstance(check, str) and check.strip()):
            raise TypeError(f"expected commands and asynchronous functions as checks, got {check!r}")
    return checks


def _names(value: Iterable[str] | None) -> tuple[str, ...] | None:
    return None if value is None else _texts(value)


def _words(_: object, attribute: "attrs.Attribute[str]", value: str) -> None:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{attribute.name} is empty: describe the task in a sentence")


@attrs.frozen
class Task:
    """A task for a worker. The worker sees this and the lens, but no conversation."""

    text: str = attrs.field(validator=_words)
    """Description of the task."""
    tools: tuple[str, ...] | None = attrs.field(default=None, converter=_names, kw_only=True)
    """Names of the tools that the worker may call; ``None``: all of its parent's, ``()``: none."""
    budget: Budget | None = attrs.field(default=None, kw_only=True)
    """Limits of this task, in addition to all limits above it; ``None``: only those above."""
    timeout_seconds: float | None = attrs.field(
        default=None, kw_only=True, validator=attrs.validators.optional(attrs.validators.gt(0))
    )
    """Limit of wall time, from the moment the worker gets a slot; ``None``: the run's default."""
    scope: str = attrs.field(default="", kw_only=True, validator=attrs.validators.instance_of(str))
    """Boundary of the task, in one line."""
    target_files: tuple[str, ...] = attrs.field(default=(), converter=_texts, kw_only=True)
    """Paths in the workspace that the task is about."""
    done: str = attrs.field(default="", kw_only=True, validator=attrs.validators.instance_of(str))
    """Condition under which the task is done."""
    check: tuple[Any, ...] = attrs.field(default=(), converter=_task_checks, kw_only=True)
    """Commands and :class:`~sunwell.core.check.Check` that say whether its result stands, besides those of
    the run. A single one need not be in a list."""

    @property
    def prompt(self) -> str:
        """Return the user message for the worker: the same task gives the same bytes."""
        files = ", ".join(self.target_files)
        named = (("Scope", self.scope), ("Files", files), ("Done when", self.done))
        more = [f"{name}: {said.strip()}" for name, said in named if said.strip()]
        return "\n\n".join([self.text, "\n".join(more)]) if more else self.text


@attrs.frozen
class TaskResult:
    """How a task ended. Every task gives one: never an exception, never an error text as the answer."""

    task: str
    """What was to be done."""
    status: Status
    """How the task ended, in a word."""
    stop_reason: StopReason
    """Why it ended."""
    answer: str = ""
    """The model's full answer. It is only a claim: :attr:`receipts` is the evidence."""
    error: str = ""
    """One sentence if ``status`` is not ``ok``, otherwise empty."""
    files: tuple[FileChange, ...] = ()
    """Files that have changed, each once, as Sunwell observed."""
    tools_called: tuple[tuple[str, int], ...] = ()
    """Names of tools and the number of calls of each. Refused calls do not count."""
    turns: int = 0
    """Turns of the work."""
    bill: Bill = Bill()
    """The cost of the task, including all workers that it started."""
    duration_seconds: float = 0.0
    """Wall time, without the pauses between the processes of a run."""
    run_id: str = ""
    """The run; empty if there is none."""
    journal: str | None = None
    """Path of the run's journal; ``None`` if the run was only in memory."""
    decision: DelegationDecision | None = None
    """Whether the task was delegated, and why; ``None`` if delegation was off."""
    quote: Quote | None = None
    """What each way to do the task would cost, as the run began; ``None`` if delegation was off and no model
    handed work out."""
    lens: EphemeralLens | None = None
    """The lens that the work was done under; ``None`` if there is none."""
    lens_left_out: tuple[str, ...] = attrs.field(default=(), kw_only=True)
    """A sentence for all that the lens has lost of what was written: cut, left out, or a secret replaced."""
    lens_source: LensSource | None = attrs.field(default=None, kw_only=True)
    """Where the lens comes from, the store or a model; ``None`` if there is none, or it was given."""
    task_id: str = ""
    """The worker's place in the run, such as ``task-3``; empty for a whole run."""
    commands: tuple[CommandRun, ...] = ()
    """Commands that ran, with their exit codes, as Sunwell observed."""
    span: str = attrs.field(default="", kw_only=True)
    """Path of the worker in the run's tree; empty for a whole run."""
    conflicts: tuple[Conflict, ...] = ()
    """Conflicts: files that this worker and another one worked on."""
    workers: "tuple[TaskResult, ...]" = ()
    """Results of the workers, in the order in which they were started; for a batch, in the order of input."""
    confidence: float | None = None
    """Confidence of an orchestrator in its answer, 0 to 1; ``None`` if it gave none."""
    answer_by: AnswerBy = "model"
    """Who wrote the answer: the model, or Sunwell itself from what was there when the work stopped."""
    not_delegated: str = ""
    """Why a task that was to be delegated was not, and which model did the work instead; else empty."""
    verification: Verification | None = None
    """What the checks found; ``None`` if there was no check."""
    lens_test: LensTest | None = attrs.field(default=None, kw_only=True)
    """Whether the lens of a batch was tested, and what that has shown; ``None`` for all but batches under a
    lens."""
    unresolved: tuple[str, ...] = ()
    """What Sunwell itself saw that does not fit a finished task, a sentence each."""
    diff: str = attrs.field(default="", kw_only=True)
    """What a worker that a model started has changed in files, as diffs of limited length without known
    secrets. Empty for other work."""
    confinement: Confinement = attrs.field(default=Confinement(), kw_only=True)
    """How the commands of the run were confined; of a worker, see the run."""
    left_behind: tuple[str, ...] = attrs.field(default=(), kw_only=True)
    """What commands of the run left of files that other programs run by themselves, and what became of it: a
    sentence each. Of a worker, see the run."""
    coverage: AnswerCoverage | None = attrs.field(default=None, kw_only=True)
    """What an answer to a question about contexts rests on; ``None`` for other tasks."""

    @property
    def success(self) -> bool:
        """Whether the task ended successfully."""
        return self.status == "ok"

    @property
    def summary(self) -> str:
        """One line for people: the first line of the answer, or ``Failed:`` and the reason."""
        first = next((line.strip() for line in self.answer.splitlines() if line.strip()), "")
        said = first if len(first) <= _SUMMARY_CHARACTERS else f"{first[: _SUMMARY_CHARACTERS - 1]}…"
        return said if self.success else f"Failed: {self.error or said or self.stop_reason}"

    @property
    def scratchpad_key(self) -> str:
        """Where the full answer is stored."""
        return f"task:{self.task_id}"

    @property
    def receipts(self) -> Receipts:
        """What Sunwell itself recorded of the work."""
        return Receipts(self.files, self.commands, self.tools_called)

    @property
    def tool_calls(self) -> int:
        """Number of tool calls."""
        return sum(count for _, count in self.tools_called)


def _plus(one: Decimal | None, other: Decimal | None) -> Decimal | None:
    return None if one is None or other is None else one + other


def _total(values: Iterable[Decimal | None]) -> Decimal | None:
    total = Decimal(0)
    for value in values:
        if value is None:
            return None
        total += value
    return total


def with_both_sides(results: Iterable[TaskResult]) -> tuple[TaskResult, ...]:
    """Return *results*, each with all conflicts that it is part of, as reported by any of them.

    The first worker may have finished before the second one found its changes.
    """
    given = tuple(results)
    known = dict.fromkeys(conflict for one in given for conflict in one.conflicts)
    return tuple(attrs.evolve(one, conflicts=_of(one.task_id, known)) for one in given) if known else given


def _of(task_id: str, conflicts: Iterable[Conflict]) -> tuple[Conflict, ...]:
    return tuple(one for one in conflicts if task_id in (one.first, one.second))
