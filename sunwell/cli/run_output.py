"""A run on the command line: its events in a view, Ctrl-C, and the report at its end."""

import asyncio
import shlex
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Any

import attrs

from sunwell.agent.agent import Agent
from sunwell.cli.colours import REPORT
from sunwell.cli.ending import Interrupts, interruptible, run_async
from sunwell.cli.exit_codes import code_of_result
from sunwell.cli.output import say, say_change, say_text
from sunwell.cli.shared_options import Chosen
from sunwell.cli.terminal import if_output_fails, is_terminal, terminal_width
from sunwell.cli.views import View
from sunwell.core.task import TaskResult
from sunwell.errors import ConfigurationError, JournalError, SunwellError
from sunwell.events import (
    Event,
    ModelCallFinished,
    ModelCallStarted,
    ModelRetried,
    ModelTextArrived,
    RunFinished,
    RunStarted,
)
from sunwell.report.summary import summarize, summary_text

_MORE = {
    "budget_usd": " --budget-usd X",
    "budget_tokens": " --budget-tokens N",
    "turns": " --budget-turns N",
    "timeout": " --budget-seconds S",
    "calls": " --budget-calls N",
    "check_failed": " --budget-usd X",
}
"""The option that lets a run continue after it reached a limit, by stop reason."""
_AGAIN = ("allow_shell", "allow_python", "allow_network", "approve")
_PATHS = ("journal", "files", "commands", "         ")


def tell(result: TaskResult, chosen: Chosen, *, aside: bool = False) -> int:
    """Print *result* as *chosen* asks for, and return the exit code that goes with it.

    The answer goes to standard output, the bill to standard error; with ``--json`` one object with both goes
    to standard output. *aside*: standard output holds the results of workers, so the answer goes to standard
    error, too. The trace is written first: output that fails must not cost it.
    """
    from sunwell.cli.terminal import print_json

    result = traced(result, chosen)
    planned = _planned(result)
    if chosen["as_json"]:
        told: dict[str, Any] = summarize(result, with_texts=bool(chosen.get("with_texts")))
        if planned is not None:
            told["planned"] = planned
        print_json(told)
        return code_of_result(result, strict=bool(chosen.get("strict")))
    if sys.stderr is not None and sys.stderr.isatty():
        say(err=True)  # an empty line after the live view
    for text in planned or ():
        say_change(text, err=aside)
        say(err=aside)
    if result.answer:
        say_text(result.answer, err=aside)
        say(err=aside)
    for line in summary_text(result, width=terminal_width()).split("\n"):
        is_path = line.startswith(_PATHS)  # whole, so that it can be copied
        say(line, err=True, wrap=None if is_path else 9, palette=REPORT)
    if result.stop_reason == "not_recorded":  # whole: the line above may be cut
        say(f"sunwell: {result.error}", err=True)
    if result.status in ("cancelled", "incomplete") and result.journal and not _is_settled(result):
        say(f"resume   {_resume_command(result, chosen)}", err=True, palette=REPORT)
    elif _may_be_continued(result, chosen):
        place = _place(chosen)
        say(f'next     sunwell continue last "TEXT"{place}', err=True, palette=REPORT)
    return code_of_result(result, strict=bool(chosen.get("strict")))


def traced(result: TaskResult, chosen: Chosen) -> TaskResult:
    """Write the trace if *chosen* names a file for it, and return *result*, failed if that failed."""
    from sunwell.journal.reading import read_records
    from sunwell.report.worker_entries import exported

    path = chosen.get("trace")
    if path is None or result.journal is None:
        return result
    try:
        text = exported(read_records(Path(result.journal)), with_texts=bool(chosen.get("with_texts")))
        Path(path).write_text(f"{text}\n", "utf-8")
    except (OSError, JournalError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        command = f"sunwell export {result.run_id}{_place(chosen)}"
        said = f"the trace {path} cannot be written ({reason}): get it with {command} > FILE"
        error_text = f"{result.error}; {said}" if result.error else said
        return attrs.evolve(result, status="error", stop_reason="not_recorded", error=error_text)
    return result


def _may_be_continued(result: TaskResult, chosen: Chosen) -> bool:
    """Whether a person sees the answer of a conversation, which may go on; logs are not told."""
    is_seen = is_terminal() and sys.stderr is not None and sys.stderr.isatty()
    return is_seen and result.success and result.journal is not None and chosen.get("task") is not None


def _is_settled(result: TaskResult) -> bool:
    """Whether the run ended with a recorded answer: resuming it would give the same answer."""
    if result.stop_reason == "check_failed":  # only more money makes the next rung possible
        found = [one.verification for one in (result, *result.workers)]
        return not any(one is not None and one.gave_up.startswith("no room") for one in found)
    return result.stop_reason in ("refusal", "length", "window", "provider_stop") and not result.workers


def _resume_command(result: TaskResult, chosen: Chosen) -> str:
    """Return the command that resumes the run, with the options that its record does not hold."""
    has_task_checks = any(worker.verification is not None for worker in result.workers)
    again = _again(result.run_id, chosen, has_checks=has_task_checks)
    return f"{again}{_MORE.get(result.stop_reason, '')}"


def _again(run_id: str, chosen: Chosen, *, has_checks: bool = False) -> str:
    place = _place(chosen)
    again = "".join(f" --{name.replace('_', '-')}" for name in _AGAIN if chosen.get(name))
    again += " --allow-checks" if chosen.get("checks") or has_checks else ""
    again += " --sandbox off" if chosen.get("sandbox") == "off" else ""
    again += "".join(f" --allow-write {shlex.quote(glob)}" for glob in chosen.get("allow_write") or ())
    again += "".join(f" --plugins {shlex.quote(name)}" for name in chosen.get("plugins") or ())
    again += "".join(f" -c {shlex.quote(name)}" for name in chosen.get("contexts") or ())
    if chosen.get("contexts") is not None and chosen.get("confirm_above") is not None:  # it is a question
        again += f" --confirm-above {chosen['confirm_above']}"
    if chosen.get("results"):
        again += f" --results {shlex.quote(str(chosen['results']))}"
    return f"sunwell resume {run_id}{place}{again}"


def _place(chosen: Chosen) -> str:
    place = str(chosen.get("workspace") or ".")
    return "" if place == "." else f" --workspace {shlex.quote(place)}"


def _planned(result: TaskResult) -> list[str] | None:
    """Return what a dry run would have changed, in the words of its tools; ``None`` for other runs."""
    from sunwell.journal.reading import read_records
    from sunwell.journal.records import RunOpened, ToolFinished

    if result.journal is None:
        return None
    records = iter(read_records(Path(result.journal)))
    opened = next(records, None)
    options = opened.settings.get("options") if isinstance(opened, RunOpened) else None
    if not isinstance(options, dict) or not options.get("dry_run"):
        return None
    texts = [record.result.content for record in records if isinstance(record, ToolFinished)]
    return [text for text in texts if text.startswith("dry run")]


def drive(
    agent: Agent, events: AsyncGenerator[Event, None], view: View, chosen: Chosen | None = None
) -> TaskResult:
    """Show *events* in *view* until the run ends, and return its result.

    The first Ctrl-C stops the run cleanly; the second ends the process immediately, and so does a run that
    does not stop within a second. Raises :exc:`KeyboardInterrupt` if it comes before the run has begun, and
    the run's own error if no model was called. After a call, an error such as a journal that cannot be
    written becomes a failed result: with the bill so far, and with the command of *chosen* that resumes it.
    """
    seen = _Seen(chosen or {})
    with view, interruptible() as interrupts:
        interrupts.as_json = bool(seen.chosen.get("as_json"))
        try:
            result = run_async(_follow(agent, events, view, interrupts, seen))
        except SunwellError as error:
            result = seen.result_after(error)
        except Exception:
            if seen.has_called and seen.begun is not None:  # a bug: its traceback follows
                view.say(f"run {seen.begun.run_id} broke off; its journal is {seen.begun.journal}")
            raise
        interrupts.report()
    if seen.has_called and result.journal:
        place = _place(seen.chosen)
        command = f"resume {result.run_id}" if result.success else f"show {result.run_id} --verbose"
        if_output_fails(f"sunwell {command}{place} prints the answer again, free of charge")
    return result


@attrs.define(eq=False)
class _Seen:
    """What the events of a run have told."""

    chosen: Chosen
    begun: RunStarted | None = None
    finished: TaskResult | None = None
    has_begun: bool = False
    has_called: bool = False
    """Whether a model was called, so that money may have been spent."""

    def see(self, event: Event) -> None:
        self.has_begun = True
        match event:
            case RunStarted():
                self.begun = event
            case RunFinished():
                self.finished = event.result
            case ModelCallStarted():
                self.has_called = True

    def result_after(self, error: SunwellError) -> TaskResult:
        """Return the failed result of a run that ended with *error*; raises it if nothing was spent."""
        made = self.finished or error.result
        if not self.has_called or not isinstance(made, TaskResult):
            raise error
        if isinstance(error, ConfigurationError) and not made.bill.lines:
            raise error  # the first call did not fit into the budget
        again = _resume_command(made, {"workspace": ".", **self.chosen})
        sentence = f"{error}; then resume it with: {again}"
        reason = "not_recorded" if isinstance(error, JournalError) else made.stop_reason
        return attrs.evolve(made, status="error", stop_reason=reason, error=sentence)


async def _follow(
    agent: Agent, events: AsyncGenerator[Event, None], view: View, interrupts: Interrupts, seen: _Seen
) -> TaskResult:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    waits = Waits(loop.time)
    telling = asyncio.create_task(_tell_waits(waits, view))

    def stop() -> None:
        if seen.has_begun:
            view.say("stopping; press Ctrl-C again to end immediately")
            agent.stop()
        elif task is not None:
            task.cancel()

    try:
        with interrupts.stopping_with(partial(loop.call_soon_threadsafe, stop)):
            async with aclosing(events) as stream:
                async for event in stream:
                    seen.see(event)
                    if isinstance(event, RunStarted):
                        interrupts.recovery = f"; resume it with: {_again(event.run_id, seen.chosen)}"
                    waits.see(event)
                    view.see(event)
                    if isinstance(event, RunFinished):
                        return event.result
    finally:
        telling.cancel()
    raise AssertionError("the run ended without a result")


async def _tell_waits(waits: "Waits", view: View) -> None:
    from sunwell.cli.plain_view import PlainView

    while True:
        await asyncio.sleep(1)
        lines = waits.due()
        is_quiet = isinstance(view, PlainView) and (view.quiet or view.notes_only)
        if is_quiet and not (sys.stderr is not None and sys.stderr.isatty()):
            continue
        for line in lines:
            view.say(line)


_FIRST_WAIT_SECONDS = 5.0
_LONGEST_WAIT_SECONDS = 60.0


@attrs.define(eq=False)
class Waits:
    """Which models have been asked and say nothing, and when to say so: after 5, 15, 45, 105 s, and so on."""

    clock: Callable[[], float]
    _since: dict[str, tuple[str, float]] = attrs.field(factory=dict, init=False)
    """The model that a span waits for, and since when it is silent."""
    _told: dict[str, float] = attrs.field(factory=dict, init=False)
    """How long each model had been silent when that was last said."""

    def see(self, event: Event) -> None:
        """Follow *event*."""
        match event:
            case ModelCallStarted():
                self._since[event.span] = (event.model, self.clock())
            case ModelRetried():
                self._since[event.span] = (event.model, self.clock() + event.wait_seconds)
            case ModelTextArrived() if event.span in self._since:
                self._since[event.span] = (self._since[event.span][0], self.clock())
            case ModelCallFinished():
                self._since.pop(event.span, None)

    def due(self) -> list[str]:
        """Return the lines that are to be printed now, one for each model."""
        now = self.clock()
        silent: dict[str, list[float]] = {}
        for model, since in self._since.values():
            silent.setdefault(model, []).append(now - since)
        lines = []
        for model, seconds in silent.items():
            longest, told = max(seconds), self._told.get(model, 0.0)
            if longest < told:  # another call than the one that was told
                told = 0.0
            step = min(max(_FIRST_WAIT_SECONDS, 2 * told), _LONGEST_WAIT_SECONDS)
            self._told[model] = told
            if longest >= told + step:
                self._told[model] = longest
                calls = f" ({len(seconds):,} calls)" if len(seconds) > 1 else ""
                lines.append(f"waiting for {model}{calls}, {longest:.0f} s")
        return lines
