"""``sunwell report``: the page of a run as a file, or followed in a browser."""

import asyncio
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sunwell.cli.output import say, say_json, say_page
from sunwell.cli.record_commands import run_in
from sunwell.cli.shared_options import StrictCommand

if TYPE_CHECKING:
    from sunwell.journal.layout import RunFile
    from sunwell.report.page.page_data import PageData

_STDOUT = "-"
_OPEN = "import sys, webbrowser; sys.exit(not webbrowser.open(sys.argv[1]))"
_BROWSER_SECONDS = 5.0


@click.command(cls=StrictCommand)
@click.argument("run_id", metavar="[RUN]", required=False)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    help='File to write, "-" for standard output (default: report.html beside the journal).',
)
@click.option("--force", is_flag=True, help="Replace FILE even if it is not a report.")
@click.option("--open", "opens", is_flag=True, help="Open the page in the default browser.")
@click.option("-f", "--follow", is_flag=True, help="Serve the page on this machine while the run goes on.")
@click.option("--json", "as_json", is_flag=True, help="Print the data of the page as one JSON object.")
@click.option("-w", "--workspace", default=".", show_default=True, metavar="DIR", help="Folder of the run.")
def report(
    run_id: str | None,
    output: str | None,
    force: bool,
    opens: bool,
    follow: bool,
    as_json: bool,
    workspace: str,
) -> None:
    """Write a page about RUN that a browser shows: one file, which asks for nothing. Prints its path.

    The page has every call with what was sent, answered and paid, who waited for what, checks, files, and
    what failed first. A run that goes on is shown as it is now. The page holds all texts of the run: give it
    only to those who may read them.

    With --follow, the page is served on 127.0.0.1 under a secret address, and changes as the run does. That
    ends with Ctrl-C, or two minutes after the run has ended and the page is closed.
    """
    _refuse_without_effect(output, force, opens, follow, as_json)
    found = run_in(Path(workspace), run_id)
    if as_json:
        _print_data(found)
    elif follow:
        _follow(found, opens)
    else:
        _write(found, output, force, opens)


def _refuse_without_effect(
    output: str | None, force: bool, opens: bool, follow: bool, as_json: bool
) -> None:
    given = {"--json": as_json, "--follow": follow, "--output": output is not None, "--open": opens}
    for one, others in (
        ("--json", ("--follow", "--output", "--open")),
        ("--follow", ("--output",)),
    ):
        for other in others:
            if given[one] and given[other]:
                raise click.UsageError(f"{other} has no effect with {one}: leave one out")
    if output == _STDOUT and opens:
        raise click.UsageError('--open has no effect with --output "-": leave one out')
    if force and output in (None, _STDOUT):
        raise click.UsageError("--force has no effect without --output FILE: leave it out")
