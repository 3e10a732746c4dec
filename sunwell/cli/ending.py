"""How a run is told of when it is over: the answer and the bill, or one JSON object."""

import json
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
from sunwell.report.summary import summarize
from sunwell.report.text import summary_text

_PATHS = ("journal", "files", "         ")


def tell(result: TaskResult, chosen: Chosen, forecast: Forecast | None = None, *, aside: bool = False) -> int:
    """Print *result* as *chosen* asks for, and return the exit code that goes with it.

    *aside*: standard output holds the results of workers, so answer and bill go to standard error.
    """
    planned = _planned(result)
    if chosen["as_json"]:
        told: dict[str, Any] = summarize(result, forecast=forecast)
        if planned is not None:
            told["planned"] = planned
        click.echo(json.dumps(told, ensure_ascii=False, indent=2))
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
    if result.status in ("cancelled", "incomplete") and result.journal:
        click.echo(f"go on    {_resume_command(result, chosen)}", err=aside)
    return exit_code(result.status)


def _resume_command(result: TaskResult, chosen: Chosen) -> str:
    place = "" if chosen["workspace"] == "." else f" --workspace {shlex.quote(chosen['workspace'])}"
    more = {"budget_usd": " --max-usd X", "budget_tokens": " --budget-tokens N", "turns": " --max-turns N"}
    more |= {"timeout": " --max-seconds S", "calls": " --max-calls N"}
    approve = " --approve" if chosen.get("approve") else ""
    return f"sunwell resume {result.run_id}{place}{approve}{more.get(result.stop_reason, '')}"


def _planned(result: TaskResult) -> list[str] | None:
    """Return what a dry run would have changed, as its tools told the model; ``None`` for another run."""
    from sunwell.journal.reading import read_records
    from sunwell.journal.records import RunOpened, ToolFinished

    if result.journal is None:
        return None
    records = iter(read_records(Path(result.journal)))
    opened = next(records, None)
    if not isinstance(opened, RunOpened) or not opened.settings.get("options", {}).get("dry_run"):
        return None
    texts = [record.result.content for record in records if isinstance(record, ToolFinished)]
    return [text for text in texts if text.startswith("dry run")]
