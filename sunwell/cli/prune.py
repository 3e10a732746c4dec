"""``sunwell prune``: remove old runs."""

import re
from pathlib import Path
from typing import Any

import click

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


class _Age(click.ParamType[float]):
    name = "age"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhdw])", str(value))
        if found is None:
            self.fail(f"{value!r} is no length of time: write 30d, 12h or 90m", param, ctx)
        return float(found[1]) * _UNITS[found[2]]


@click.command()
@click.option(
    "-w", "--workspace", default=".", show_default=True, metavar="DIR", help="The folder of the runs."
)
@click.option(
    "--older-than", type=_Age(), metavar="AGE", help="Runs not written to for so long, such as 30d."
)
@click.option("--keep", type=click.IntRange(min=0), metavar="N", help="Leave the newest N in any case.")
@click.option("--dry-run", is_flag=True, help="Say what would go, and remove nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def prune(workspace: str, older_than: float | None, keep: int | None, dry_run: bool, as_json: bool) -> None:
    """Remove runs with all that was kept of them; what they did can then not be undone any more.

    A run that goes on is never removed. With both options, a run must be old and not among the newest.
    """
    import json

    from sunwell.cli.finding import require_folder
    from sunwell.journal.retention import prune as remove
    from sunwell.tools.wording import counted

    root = require_folder(Path(workspace))
    done = remove(root, older_than_seconds=older_than, keep=keep, dry_run=dry_run)
    if as_json:
        told = {
            "removed": [run.run_id for run in done.removed],
            "running": [run.run_id for run in done.running],
            "freed_bytes": done.freed_bytes,
            "dry_run": dry_run,
        }
        click.echo(json.dumps(told, indent=2))
        return
    word = "would go" if dry_run else "removed"
    for run in done.removed:
        click.echo(f"{word:<9} {run.run_id}")
    for run in done.running:
        click.echo(f"{'left':<9} {run.run_id} (it goes on in another process)")
    click.echo(f"{counted(len(done.removed), 'run')}, {counted(done.freed_bytes, 'byte')}")
