"""``sunwell undo``: put back what a run changed."""

from pathlib import Path

import click


@click.command()
@click.argument("run_id", metavar="RUN")
@click.option(
    "-w", "--workspace", default=".", show_default=True, metavar="DIR", help="The folder of the run."
)
@click.pass_context
def undo(ctx: click.Context, run_id: str, workspace: str) -> None:
    """Put the files that RUN changed back to what they were.

    A file that somebody changed since is left as it is, and named. Nothing was kept of what commands and
    tools of your own did: the calls are named with their number. The exit code is 3 if a file that RUN is
    known to have changed was not put back.
    """
    from sunwell.cli.failing import INCOMPLETE
    from sunwell.cli.finding import run_in
    from sunwell.errors import ConfigurationError
    from sunwell.journal.retention import is_running
    from sunwell.report.figures import one_line
    from sunwell.tools.originals import undo as put_back
    from sunwell.tools.workspace import Workspace

    found = run_in(Path(workspace), run_id)
    if is_running(found):
        raise ConfigurationError(f"the run {found.run_id} goes on in another process: stop it first")
    report = put_back(found.path.parent / "originals", Workspace(workspace))
    told = (("restored", report.restored), ("removed", report.removed), ("unchanged", report.unchanged))
    for word, paths in told:
        for path in paths:
            click.echo(f"{word:<9} {one_line(path, 200)}")
    for refusal in report.refused:
        click.echo(f"left      {one_line(refusal.reason, 300)}", err=True)
    for calls in report.uncovered:
        click.echo(f"not kept  {one_line(str(calls), 300)}: look for what they changed yourself", err=True)
    if report.unread:
        click.echo(f"not kept  calls that nobody can name: {one_line(report.unread, 300)}", err=True)
    if report.refused or any(calls.paths for calls in report.uncovered):
        ctx.exit(INCOMPLETE)
