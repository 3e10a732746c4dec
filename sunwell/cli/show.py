"""``sunwell show``: the tree of a run in the terminal."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sunwell.cli.choices import Chosen

if TYPE_CHECKING:
    from sunwell.cli.tree_lines import TreeStyle
    from sunwell.journal.layout import RunFile

_LOOK_SECONDS = 0.5


@click.command()
@click.argument("run_id", metavar="RUN")
@click.option(
    "-w", "--workspace", default=".", show_default=True, metavar="DIR", help="The folder of the run."
)
@click.option("-v", "--verbose", is_flag=True, help="Show what was said, too, and what tools gave.")
@click.option("--all", "shows_all", is_flag=True, help="Show long rows of the same kind in full.")
@click.option("--spans", "shows_spans", is_flag=True, help="Show the place of each call, as --at takes it.")
@click.option("-f", "--follow", is_flag=True, help="Go on showing until the run ends.")
def show(**chosen: Any) -> None:
    """Show the tree of RUN: model, tokens, cost and time of each piece of work.

    Figures of a piece of work include all below it. It works on any run, also on one that goes on or was
    killed. Marks: ✓ done, ✗ failed, … open or not finished, · a part, = copied from the run that this
    one forked.
    """
    from sunwell.cli.finding import run_in

    run = run_in(Path(chosen["workspace"]), chosen["run_id"])
    if chosen["follow"]:
        _follow(run, chosen)
        return
    for line in _lines(run, chosen):
        click.echo(line)


def _lines(run: "RunFile", chosen: Chosen, most: int | None = None) -> list[str]:
    from sunwell.cli.tree_lines import tree_lines
    from sunwell.journal.reading import read_records
    from sunwell.journal.tree import tree

    said = dict(_texts(run.path)) if chosen["verbose"] else {}
    lines = list(tree_lines(tree(read_records(run.path)), _style(chosen), said))
    lines.append(f"journal  {run.path}")
    if most is not None and len(lines) > most:  # what happens now is at the end
        lines = [lines[0], f"… {len(lines) - most + 1:,} lines above", *lines[len(lines) - most + 2 :]]
    return lines


def _style(chosen: Chosen) -> "TreeStyle":
    from sunwell.cli.page import terminal_width
    from sunwell.cli.tree_lines import TreeStyle

    return TreeStyle(terminal_width(), chosen["shows_all"], chosen["shows_spans"])


def _follow(run: "RunFile", chosen: Chosen) -> None:
    """Show the tree anew whenever the journal has grown, until no process has the run."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    from sunwell.journal.retention import is_running

    console = Console(highlight=False)
    if console.is_terminal:
        with Live(console=console, screen=True, auto_refresh=False) as live:
            size = -1
            while is_running(run):
                if (now := run.path.stat().st_size) != size:
                    size = now
                    lines = _lines(run, chosen, console.height - 1)
                    live.update(Text("\n".join(lines), no_wrap=True), refresh=True)
                time.sleep(_LOOK_SECONDS)
    else:
        while is_running(run):
            time.sleep(_LOOK_SECONDS)
    for line in _lines(run, chosen):
        click.echo(line)


def _texts(path: Path) -> Iterator[tuple[tuple[str, int], str]]:
    """Yield what each call said, and under it the calls and results of its tools."""
    from sunwell.journal.reading import read_records
    from sunwell.journal.records import Answer, ToolFinished

    said: dict[tuple[str, int], list[str]] = {}
    for record in read_records(path):
        if isinstance(record, Answer):
            completion = record.completion
            calls = [f"→ {call.name} {call.arguments}" for call in completion.tool_calls]
            said[record.span, record.number] = [*([completion.text] if completion.text else []), *calls]
        elif isinstance(record, ToolFinished):
            said.setdefault((record.span, record.turn), []).append(
                f"← {record.tool}: {record.result.content}"
            )
    for place, texts in said.items():
        if texts:
            yield place, "\n".join(texts)
