"""A run on the command line: its events in a view, Ctrl-C, and the report at its end."""

import asyncio
import os
import shlex
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import attrs
import click

from sunwell.agent.agent import Agent
from sunwell.cli.exit_codes import CANCELLED, exit_code
from sunwell.cli.shared_options import Chosen
from sunwell.cli.terminal import fitted, terminal_width
from sunwell.cli.views import View
from sunwell.core.task import TaskResult
from sunwell.events import Event, RunFinished
from sunwell.report.figures import printable
from sunwell.report.forecast import Forecast
from sunwell.report.summary import summarize, summary_text

_MORE = {
    "budget_usd": " --budget-usd X",
    "budget_tokens": " --budget-tokens N",
    "turns": " --budget-turns N",
    "timeout": " --budget-seconds S",
    "calls": " --budget-calls N",
}
"""The option that lets a run continue after it reached a limit, by stop reason."""
_AGAIN = ("allow_shell", "allow_python", "approve")
_PATHS = ("journal", "files", "         ")


def tell(result: TaskResult, chosen: Chosen, forecast: Forecast | None = None, *, aside: bool = False) -> int:
    """Print *result* as *chosen* asks for, and return the exit code that goes with it.

    *aside*: standard output holds the results of workers, so answer and bill go to standard error.
    """
    from sunwell.report.figures import json_text

    planned = _planned(result)
    if chosen["as_json"]:
        told: dict[str, Any] = summarize(result, forecast=forecast)
        if planned is not None:
            told["planned"] = planned
        click.echo(json_text(told))
        return exit_code(result.status)
    if sys.stderr is not None and sys.stderr.isatty():
        click.echo("", err=True)  # an empty line after the live view
    for text in planned or ():
        click.echo(printable(text) + "\n", err=aside)
    if result.answer:
        click.echo(printable(result.answer) + "\n", err=aside)
    for line in summary_text(result, forecast=forecast, width=terminal_width()).splitlines():
        is_path = line.startswith(_PATHS)  # whole, so that it can be copied
        click.echo(line if is_path else fitted(line, indent=9), err=aside)
    if result.status in ("cancelled", "incomplete") and result.journal and not _is_settled(result):
        click.echo(f"continue {_resume_command(result, chosen)}", err=aside)
    return exit_code(result.status)


def _is_settled(result: TaskResult) -> bool:
    """Whether the run ended with a recorded answer: resuming it would give the same answer."""
    return result.stop_reason in ("refusal", "length", "window", "provider_stop") and not result.workers


def _resume_command(result: TaskResult, chosen: Chosen) -> str:
    """Return the command that resumes the run, with the options that its record does not hold."""
    place = "" if chosen["workspace"] == "." else f" --workspace {shlex.quote(str(chosen['workspace']))}"
    again = "".join(f" --{name.replace('_', '-')}" for name in _AGAIN if chosen.get(name))
    again += " --sandbox off" if chosen.get("sandbox") == "off" else ""
    again += "".join(f" --plugins {shlex.quote(name)}" for name in chosen.get("plugins") or ())
    if chosen.get("results"):
        again += f" --results {shlex.quote(str(chosen['results']))}"
    return f"sunwell resume {result.run_id}{place}{again}{_MORE.get(result.stop_reason, '')}"


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


_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def drive(agent: Agent, events: AsyncGenerator[Event, None], view: View) -> TaskResult:
    """Show *events* in *view* until the run ends, and return its result.

    The first Ctrl-C stops the run cleanly, the second ends the process immediately. Raises
    :exc:`KeyboardInterrupt` if it comes before the run has begun.
    """
    with view, _Interrupts(agent, view) as interrupts:
        try:
            return asyncio.run(_follow(events, view, interrupts))
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None


async def _follow(events: AsyncGenerator[Event, None], view: View, interrupts: "_Interrupts") -> TaskResult:
    interrupts.watch(asyncio.get_running_loop(), asyncio.current_task())
    async with aclosing(events) as stream:
        async for event in stream:
            interrupts.has_begun = True
            view.see(event)
            if isinstance(event, RunFinished):
                return event.result
    raise AssertionError("the run ended without a result")


@attrs.define(eq=False)
class _Interrupts:
    agent: Agent
    view: View
    has_begun: bool = attrs.field(default=False, init=False)
    _count: int = attrs.field(default=0, init=False)
    _loop: asyncio.AbstractEventLoop | None = attrs.field(default=None, init=False)
    _task: "asyncio.Task[Any] | None" = attrs.field(default=None, init=False)
    _before: dict[signal.Signals, Any] = attrs.field(factory=dict, init=False)

    def watch(self, loop: asyncio.AbstractEventLoop, task: "asyncio.Task[Any] | None") -> None:
        self._loop, self._task = loop, task

    def __enter__(self) -> "_Interrupts":
        for number in _SIGNALS:
            self._before[number] = signal.signal(number, self._interrupted)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _interrupted(self, _: int, __: FrameType | None) -> None:
        self._count += 1
        if self._loop is None:
            raise KeyboardInterrupt
        if self._count == 1:
            self._loop.call_soon_threadsafe(self._stop)
            return
        self.view.__exit__(None, None, None)
        with suppress(OSError):  # a full or broken standard error must not keep the process alive
            os.write(2, b"sunwell: ended at once; all answers so far are in the journal\n")
        os._exit(CANCELLED)

    def _stop(self) -> None:
        if self.has_begun:
            self.view.say("stopping; press Ctrl-C again to end immediately")
            self.agent.stop()
        elif self._task is not None:
            self._task.cancel()
