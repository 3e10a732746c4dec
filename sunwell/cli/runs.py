"""``sunwell runs``: the runs of a workspace."""

import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from sunwell.journal.layout import RunFile
    from sunwell.journal.node import Node


@click.command()
@click.option("-w", "--workspace", default=".", show_default=True, metavar="DIR", help="The folder.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def runs(workspace: str, as_json: bool) -> None:
    """List the runs of a workspace, newest first: when, how they ended, what they cost, how far, the task.

    Open means that a run was cut off and can be taken up; running, that a process has it.
    """
    from sunwell.cli.ending import terminal_width
    from sunwell.cli.finding import require_folder
    from sunwell.errors import JournalError
    from sunwell.journal.layout import list_runs
    from sunwell.journal.reading import read_records
    from sunwell.journal.tree import tree

    listed: list[dict[str, Any]] = []
    for run in reversed(list_runs(require_folder(Path(workspace)))):
        try:
            listed.append(_object(run, tree(read_records(run.path))))
        except JournalError as error:
            listed.append({"run_id": run.run_id, "status": "damaged", "error": str(error)})
    if as_json:
        click.echo(json.dumps({"runs": listed}, ensure_ascii=False, indent=2))
        return
    for each in listed:
        click.echo(_line(each, terminal_width()))
    if not listed:
        click.echo("no runs here yet")


def _object(run: "RunFile", root: "Node") -> dict[str, Any]:
    from sunwell.journal.keeping import is_running
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


def _line(run: dict[str, Any], width: int) -> str:
    from decimal import Decimal

    from sunwell.report.figures import dollars, one_line

    if "started_at" not in run:
        return f"{run['run_id']}  {'':<16}  {run['status']:<10}  {one_line(run['error'], 100)}"
    at = run["started_at"]
    when = datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M") if at else "?"
    cost = dollars(None if run["cost_usd"] is None else Decimal(run["cost_usd"]))
    far = f"{run['calls']:>4} calls {run['tool_calls']:>4} tools"
    line = f"{run['run_id']}  {when}  {run['status']:<10} {cost:>10} {far}  "
    return line + one_line(run["task"] or "", max(20, width - len(line)))
