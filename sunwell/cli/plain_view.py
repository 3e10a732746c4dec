"""One plain line for each event: for pipes, logs and ``-v``."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

import attrs

from sunwell.budget.standing import Standing
from sunwell.cli.output import holding, say
from sunwell.cli.progress import FinalAnswers
from sunwell.events import (
    BoundExceeded,
    BudgetRefused,
    BudgetWarning,
    CheckFinished,
    DelegationSkipped,
    DelegationStarted,
    EphemeralLensCreated,
    Event,
    LensFailed,
    LensGiven,
    LensTaken,
    LensTested,
    ModelCallFinished,
    ModelFellBack,
    ModelRetried,
    RunFinished,
    RungStarted,
    RunStarted,
    SandboxChosen,
    ToolCallFinished,
    ToolCallStarted,
    Warned,
)
from sunwell.report.figures import (
    command_end,
    dollars,
    one_line,
    seconds_text,
    source_said,
    told_arguments,
    told_tool,
)
from sunwell.report.lens_test_text import lens_test_sentence
from sunwell.tools.wording import counted

_GOES_ON = {
    "direct": "continuing without a lens",
    "generic": "using a generic lens",
    "fail": "ending the run",
}


def _task(span: str) -> str:
    """Return which task of a batch *span* is, for the beginning of a line; empty for a run with one task."""
    above, _, last = span.rpartition("/")
    if not last.startswith("task-"):
        return ""
    return f"{last} without the lens: " if above.endswith("/no-lens") else f"{last}: "


def notice(event: Event) -> str | None:
    """Return the line for an event that the live view prints above its table; ``None`` for others."""
    match event:
        case DelegationStarted() if event.asker:
            why = event.reason.removeprefix("exploring: ")
            return f"{event.asker} explores, and may ask {event.delegation_model} about parts: {why}"
        case DelegationSkipped() if event.asker:
            why = event.reason.removeprefix("one direct call: ")
            return f"{event.asker} answers in one direct call: {why}"
        case DelegationStarted():
            return f"delegating to {event.delegation_model}: {event.reason}"
        case DelegationSkipped():
            return f"not delegating: {event.reason}"
        case EphemeralLensCreated():
            return _lens(event)
        case LensGiven():
            return _given_lens(event)
        case LensTaken():
            return _taken_lens(event)
        case RungStarted():
            who = f"{event.lens_by} writes a lens for {event.model}" if event.lens_by else event.model
            why = event.reason.removeprefix(f"{event.rung}: ")
            return f"{_task(event.span)}rung {event.rung}: {who} ({why})"
        case ToolCallFinished() if event.command and not event.replayed:
            return f"{_task(event.span)}{_command(event)}"
        case CheckFinished():
            words = {True: "passed", False: "failed", None: "could not tell"}
            return f"{_task(event.span)}check {words[event.passed]}: {', '.join(event.missed or event.by)}"
        case LensTested():
            return f"lens {lens_test_sentence(event.test)}"
        case LensFailed():
            return f"no lens: {one_line(event.reason)}; {_GOES_ON.get(event.outcome, event.outcome)}"
        case ModelFellBack():
            return f"using {event.used} instead of {event.wanted}: {one_line(event.reason)}"
        case SandboxChosen() if event.confinement.sandbox != "off":  # of that a note warns
            return f"sandbox: {one_line(event.confinement.sentence)}"
        case BudgetWarning():
            return _warning(event)
        case BudgetRefused():
            return f"budget: a call was not sent: {one_line(event.sentence)}"
        case BoundExceeded():
            return (
                f"{event.model} billed more than was reserved for a call; from now on its calls are "
                "reserved by their bytes"
            )
        case Warned():
            return f"note: {one_line(event.message)}"
    return None


@attrs.define(eq=False)
class Refusals:
    """Calls that were not sent for lack of room: the first under each ceiling is told, others are counted."""

    _seen: dict[tuple[str, str], int] = attrs.field(factory=dict, init=False)
    _sentences: set[str] = attrs.field(factory=set, init=False)
    """Sentences of refusals whose calls have not been told as failed yet."""

    def is_told(self, event: Event) -> bool:
        """Whether *event* only says of a refused call that it failed, with the sentence of its refusal."""
        if not isinstance(event, ModelCallFinished) or event.error not in self._sentences:
            return False
        self._sentences.discard(event.error)
        return True

    def repeats(self, event: Event) -> bool:
        """Whether *event* is a refusal under a ceiling that one was told of already."""
        if not isinstance(event, BudgetRefused):
            return False
        self._sentences.add(event.sentence)
        place = (event.limit, event.account)
        self._seen[place] = self._seen.get(place, 0) + 1
        return self._seen[place] > 1

    def ended(self, event: Event) -> str | None:
        """Return, at the end of the run, how many more calls were not sent; ``None`` if none."""
        if not isinstance(event, RunFinished):
            return None
        more = sum(count - 1 for count in self._seen.values())
        self._seen.clear()
        return f"budget: {more:,} more {'call was' if more == 1 else 'calls were'} not sent" if more else None


@attrs.define(eq=False)
class RecordedReads:
    """Answers about parts that come from the journal: they are counted, and told in one line."""

    _count: int = attrs.field(default=0, init=False)

    def counts(self, event: Event) -> bool:
        """Whether *event* is such an answer, which is counted now."""
        is_one = isinstance(event, ModelCallFinished) and event.replayed and event.purpose == "read"
        self._count += is_one
        return is_one

    def over(self, event: Event) -> str | None:
        """Return how many there were, before another *event* that is told; ``None`` for none."""
        if not self._count or (line_of(event) is None and not isinstance(event, RunFinished)):
            return None
        count, self._count = self._count, 0
        return f"{counted(count, 'answer')} about parts from the journal"


def line_of(event: Event, *, verbose: bool = False) -> str | None:
    """Return the line for *event*; ``None`` if the event prints nothing."""
    match event:
        case RunStarted():
            if not event.resumed:
                return f"run {event.run_id} started with {event.model}"
            return f"run {event.run_id} resumed with {event.model}; spent so far: {dollars(event.spent_usd)}"
        case ModelCallFinished():
            return _call(event)
        case ModelRetried():
            return f"{event.model}: retry in {event.wait_seconds:.1f} s, {_said(event)}"
        case ToolCallStarted() if verbose:
            return f"{_who(event.span)}: {told_tool(event.tool)} {told_arguments(event.summary)}"
        case ToolCallFinished() if event.command:
            return f"{_who(event.span)}: {_command(event)}"
        case ToolCallFinished(is_error=True):
            why = f": {one_line(event.error)}" if event.error else ""
            return f"{_who(event.span)}: {told_tool(event.tool)} failed{why}"
        case ToolCallFinished() if event.changed and not verbose:  # else its start was printed
            told = [told_tool(event.tool), ", ".join([one_line(path) for path in event.changed])]
            return f"{_who(event.span)}: {' '.join(told)}"
    return notice(event)


@attrs.define(eq=False)
class PlainView:
    """Prints the lines, by default to standard error; prints nothing if ``quiet``.

    With ``notes_only`` it prints only warnings.
    """

    verbose: bool = False
    quiet: bool = False
    to_stderr: bool = True
    notes_only: bool = False
    _refusals: Refusals = attrs.field(factory=Refusals, init=False)
    _answers: FinalAnswers = attrs.field(factory=FinalAnswers, init=False)
    _recorded: RecordedReads = attrs.field(factory=RecordedReads, init=False)

    def see(self, event: Event) -> None:
        """Show *event*."""
        if self.notes_only and not isinstance(event, Warned):
            return
        if self._refusals.repeats(event) or self._refusals.is_told(event):
            return
        if not self.verbose and self._recorded.counts(event):
            return
        if not self.quiet and (told := self._recorded.over(event)):
            self.say(told)
        if not self.quiet and (more := self._refusals.ended(event)):
            self.say(more)
        self._answers.see(event)
        if not self.verbose and self._answers.stopped(event):
            return
        line = None if self.quiet else line_of(event, verbose=self.verbose)
        if line is not None:
            self.say(line)

    def say(self, line: str) -> None:
        """Print a line of the command itself."""
        say(line, err=self.to_stderr)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Print nothing while the user is asked a question; what comes meanwhile is printed after it."""
        with holding():
            yield

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None


def _command(event: ToolCallFinished) -> str:
    """Return the tool, unless its command is all that it has, then the command and how it ended."""
    what = "" if event.command == event.tool else f" {one_line(event.command)}"
    return f"{told_tool(event.tool)}{what}: {command_end(event.exit_code, event.duration_seconds)}"


@attrs.define(eq=False)
class QuestionView(PlainView):
    """Shows a question about a context; with ``verbose`` also who is asked about parts of it."""

    def see(self, event: Event) -> None:
        """Show *event*."""
        match event:
            case DelegationStarted() if self.verbose:
                self.say(f"Child model: {event.delegation_model}")
            case DelegationSkipped() if self.verbose:
                self.say(f"Child model: none; {event.reason}")
        super().see(event)


def _who(span: str) -> str:
    return span.removeprefix("run/")


def _said(event: ModelCallFinished | ModelRetried) -> str:
    """Return the error without the model's name in front: the line names it already."""
    return one_line(event.error.removeprefix(f"{event.model}: "))


def _call(event: ModelCallFinished) -> str:
    where = f"{_who(event.span)} {event.number + 1}: {event.model}"
    if event.error:
        return f"{where} failed: {_said(event)}"
    if event.remembered:
        return f"{where}, answered from memory, {dollars(event.cost_usd)}"
    usage = event.usage
    tokens = f"{usage.input_tokens:,} in, {usage.output_tokens:,} out" if usage else "usage unknown"
    paid = "from the journal" if event.replayed else seconds_text(event.duration_seconds)
    return f"{where}, {tokens}, {dollars(event.cost_usd)}, {paid}"


def _given_lens(event: LensGiven) -> str:
    by = f" by {event.generated_by}" if event.generated_by else ""
    told = [f"lens given{by}: {_counts(event)}; about {event.tokens:,} tokens, nothing is paid for it"]
    told += [f"for: {event.task_scope}"] if event.task_scope else []
    told += [f"target files: {', '.join(event.target_files)}"] if event.target_files else []
    told += [f"left out: {sentence}" for sentence in event.left_out]
    told += [f"look again: {sentence}" for sentence in event.remarks]
    return one_line("; ".join(told))


def _lens(event: EphemeralLensCreated) -> str:
    line = f"lens by {event.generated_by}: {_counts(event)}; {dollars(event.cost_usd)}"
    told = [line, source_said(event.source)]
    told += [f"left out: {'; '.join(event.left_out)}"] if event.left_out else []
    return "; ".join(part for part in told if part)


def _taken_lens(event: LensTaken) -> str:
    told = [f"lens {source_said(event.source)}; by {event.generated_by}: {_counts(event)}"]
    told += [f"left out: {sentence}" for sentence in event.left_out]
    return one_line("; ".join(told))


def _counts(event: EphemeralLensCreated | LensGiven | LensTaken) -> str:
    parts = (
        (event.heuristics_count, "guideline"),
        (event.patterns_count, "pattern"),
        (event.anti_patterns_count, "thing to avoid"),
        (event.constraints_count, "constraint"),
        (event.examples_count, "example"),
    )
    told = [f"{count} {_plural(count, word)}" for count, word in parts if count]
    return ", ".join(told) or "empty"


def _warning(event: BudgetWarning) -> str:
    if event.limit == "seconds":
        return f"time: {seconds_text(float(event.used))} of {seconds_text(float(event.ceiling))} are over"
    standing = Standing(event.limit, event.ceiling, event.used)
    said = [standing.amount(amount) for amount in (event.used, event.ceiling, standing.left)]
    return f"budget: {said[0]} of {said[1]} is spent or unconfirmed, {said[2]} is not"


def _plural(count: int, word: str) -> str:
    return word if count == 1 else "things to avoid" if word.startswith("thing") else f"{word}s"
