"""How a run is told of when it is over: the answer and the bill, or one JSON object."""

import shlex
import sys
from pathlib import Path
from typing import Any

import click

from sunwell.cli.choices import Chosen
from sunwell.cli.failing import exit_code
from sunwell.cli.page import fitted, terminal_width
from sunwell.core.task import TaskResult
from sunwell.report.figures import printable
from sunwell.report.forecast import Forecast
from sunwell.report.summary import summarize, summary_text

_MORE = {
    "budget_usd": " --max-usd X",
    "budget_tokens": " --budget-tokens N",
    "turns": " --max-turns N",
    "timeout": " --max-seconds S",
    "calls": " --max-calls N",
}
"""What lets a run go on that met a limit, by its stop reason."""
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
        click.echo("", err=True)  # parts the live view from what follows
    for text in planned or ():
        click.echo(printable(text) + "\n", err=aside)
    if result.answer:
        click.echo(printable(result.answer) + "\n", err=aside)
    for line in summary_text(result, forecast=forecast, width=terminal_width()).splitlines():
        is_path = line.startswith(_PATHS)  # whole, so that it can be copied
        click.echo(line if is_path else fitted(line, indent=9), err=aside)
    if result.status in ("cancelled", "incomplete") and result.journal and not _is_settled(result):
        click.echo(f"go on    {_resume_command(result, chosen)}", err=aside)
    return exit_code(result.status)


def _is_settled(result: TaskResult) -> bool:
    """Whether the run ended with an answer that is on record: taken up again, it would end with it again."""
    return result.stop_reason in ("refusal", "length", "window", "provider_stop") and not result.workers


def _resume_command(result: TaskResult, chosen: Chosen) -> str:
    """Return the command that goes on, with what a run's record cannot give it."""
    place = "" if chosen["workspace"] == "." else f" --workspace {shlex.quote(str(chosen['workspace']))}"
    again = "".join(f" --{name.replace('_', '-')}" for name in _AGAIN if chosen.get(name))
    again += " --sandbox off" if chosen.get("sandbox") == "off" else ""
    again += "".join(f" --plugin {shlex.quote(name)}" for name in chosen.get("plugin") or ())
    if chosen.get("results"):
        again += f" --results {shlex.quote(str(chosen['results']))}"
    return f"sunwell resume {result.run_id}{place}{again}{_MORE.get(result.stop_reason, '')}"


def _planned(result: TaskResult) -> list[str] | None:
    """Return what a dry run would have changed, as its tools told the model; ``None`` for another run."""
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
