"""One plain line for each event, wherever it is shown: in a terminal, a pipe, a log, or another program."""

from sunwell.budget.standing import Standing
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


def _command(event: ToolCallFinished) -> str:
    """Return the tool, unless its command is all that it has, then the command and how it ended."""
    what = "" if event.command == event.tool else f" {one_line(event.command)}"
    return f"{told_tool(event.tool)}{what}: {command_end(event.exit_code, event.duration_seconds)}"


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
