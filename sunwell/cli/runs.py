"""``sunwell runs``: the runs of a workspace."""

import sys
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from sunwell.journal.layout import RunFile
    from sunwell.journal.tree import Node


_WIDE, _MIDDLE, _NARROW = 140, 90, 70
_UNBOUNDED = 200


@click.command()
@click.option("-w", "--workspace", default=".", show_default=True, metavar="DIR", help="The folder.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def runs(workspace: str, as_json: bool) -> None:
    """List the runs of a workspace, newest first: when, how they ended, what they cost, how far, the task.

    Open means that a run was cut off and can be taken up; running, that a process has it.
    """
    from sunwell.cli.finding import require_folder
    from sunwell.cli.page import terminal_width
    from sunwell.errors import JournalError
    from sunwell.journal.layout import list_runs
    from sunwell.journal.reading import read_records
    from sunwell.journal.tree import tree
    from sunwell.report.figures import json_text

    listed: list[dict[str, Any]] = []
    for run in reversed(list_runs(require_folder(Path(workspace)))):
        try:
            listed.append(_object(run, tree(read_records(run.path))))
        except JournalError as error:
            listed.append({"run_id": run.run_id, "status": "damaged", "error": str(error)})
    if as_json:
        click.echo(json_text({"runs": listed}))
        return
    width = terminal_width() if sys.stdout.isatty() else _UNBOUNDED
    shown = 36 if width >= _WIDE else _telling([run["run_id"] for run in listed])
    for each in listed:
        click.echo(_line(each, width, shown))
    if not listed:
        click.echo("no runs here yet")


def _object(run: "RunFile", root: "Node") -> dict[str, Any]:
    from sunwell.journal.retention import is_running
    from sunwell.report.figures import exact

    return {
        "run_id": run.run_id,
        "started_at": root.started_at,
        "status": "running" if root.status == "open" and is_running(run) else root.status,
        "calls": sum(node.type == "call" and node.status == "answered" for node in root.walk()),
        "tool_calls": sum(node.type == "tool" for node in root.walk()),
        "cost_usd": exact(root.total_cost_usd),
        "uncertain_usd": exact(root.total_uncertain_usd),
        "task": root.query,
        "journal": str(run.path),
    }


def _telling(ids: list[str]) -> int:
    """Return how many characters of the ids tell them apart: as many as any command needs."""
    pairs = pairwise(sorted(ids))
    alike = [next((i for i, (a, b) in enumerate(zip(*pair, strict=False)) if a != b), 36) for pair in pairs]
    return max(8, *(count + 1 for count in alike)) if alike else 8


def _line(run: dict[str, Any], width: int, shown: int) -> str:
    """Return one line of at most *width* columns, with *shown* characters of the id."""
    from decimal import Decimal

    from sunwell.report.figures import dollars, fitted

    name = run["run_id"][:shown]
    if "started_at" not in run:
        line = f"{name}  {run['status']:<10}  "
        return line + fitted(run["error"], max(4, width - len(line)))
    at = run["started_at"]
    when = datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M") if at else "?"
    cost = dollars(None if run["cost_usd"] is None else Decimal(run["cost_usd"]))
    far = f"{_many(run['calls'], 'call')} {_many(run['tool_calls'], 'tool')}"
    parts = [name, when if width >= _NARROW else when[5:10], f"{run['status']:<10} {cost:>9}"]
    line = "  ".join([*parts, far] if width >= _MIDDLE else parts) + "  "
    return line + fitted(run["task"] or "", max(4, width - len(line)))


def _many(count: int, noun: str) -> str:
    return f"{count:>4} {noun if count == 1 else noun + 's':<5}"
