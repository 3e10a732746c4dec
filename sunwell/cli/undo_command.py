"""``sunwell undo``: put the files back that a run changed, and ask for those that other programs run."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from sunwell.cli.output import say, say_now
from sunwell.cli.record_commands import own_run_in
from sunwell.cli.shared_options import StrictCommand

if TYPE_CHECKING:
    from sunwell.tools.originals import UndoReport, UndoStep


@click.command(cls=StrictCommand)
@click.argument("run_id", metavar="RUN")
@click.option("-w", "--workspace", default=".", show_default=True, metavar="DIR", help="Folder of the run.")
@click.option(
    "--allow-write",
    multiple=True,
    metavar="GLOB",
    help="Files that are put back without asking although other programs run them, such as .envrc. [several "
    "possible]",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def undo(
    ctx: click.Context, run_id: str, workspace: str, allow_write: tuple[str, ...], as_json: bool
) -> None:
    """Restore the files that RUN changed.

    A file that was changed after the run is left as it is and listed. A file that other programs run by
    themselves, such as .envrc or AGENTS.md, is shown and asked for each time; without a terminal it is left
    unless --allow-write names it. Of a run that you adopted, each file is named before it is changed. Changes
    by shell commands and by your own tools were not saved; these calls are listed with their number. The
    exit code is 3 if a file that RUN is known to have changed was not restored.
    """
    from sunwell.cli.exit_codes import INCOMPLETE
    from sunwell.cli.terminal import print_json
    from sunwell.context.options import read_globs
    from sunwell.errors import ConfigurationError
    from sunwell.journal.ownership import is_adopted
    from sunwell.journal.retention import is_running
    from sunwell.tools.environment import secrets_from_environment
    from sunwell.tools.file_glob import GlobSet
    from sunwell.tools.originals import undo as put_back
    from sunwell.tools.workspace import Workspace

    found = own_run_in(Path(workspace), run_id)
    if is_running(found):
        raise ConfigurationError(f"the run {found.run_id} is running in another process: stop it first")
    allowed = GlobSet(read_globs("allow_write", allow_write))
    decision = _Decision(allowed.takes, secrets_from_environment().redact, is_told=is_adopted(found))
    report = put_back(found.path.parent / "originals", Workspace(workspace), refuses=decision)
    if as_json:
        print_json(_object(found.run_id, report))
    else:
        _tell(report)
    if report.refused or any(calls.paths for calls in report.uncovered):
        ctx.exit(INCOMPLETE)


@attrs.define(eq=False)
class _Decision:
    """Decides about each file before it is put back."""

    is_allowed: Callable[[str], bool]
    """Whether the file of this path was named beforehand."""
    redact: Callable[[str], str]
    is_told: bool
    """Whether each file is named: somebody else made the run."""

    def __call__(self, step: "UndoStep") -> str:
        """Return why the file of *step* is left as it is; empty if it is put back."""
        from sunwell.cli.approval_prompt import confirmed
        from sunwell.cli.ending import run_async
        from sunwell.report.figures import one_line

        if not step.reason or self.is_allowed(step.path):
            if self.is_told:
                say(f"{step.verb:<9} {one_line(step.path)}", err=True)
            return ""
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            return (
                f"{step.reason}, so only a person can allow it: undo it in a terminal, or with --allow-write"
            )
        self._show(step)
        verb = step.verb.removesuffix("s").capitalize()
        return "" if run_async(confirmed(f"{verb} {one_line(step.path)}?")) else "it was not approved"

    def _show(self, step: "UndoStep") -> None:
        from sunwell.cli.change_text import change_lines, is_diff
        from sunwell.cli.terminal import error_width
        from sunwell.report.figures import one_line
        from sunwell.tools.file_tools import Plan, difference

        text = difference(Plan(step.path, step.old, step.new or b"", ""), self.redact, whole=True)
        say_now(f"{step.verb:<9} {one_line(step.path)}", err=True)
        for row in change_lines(text, error_width(), is_diff=is_diff(text)):
            say_now(row.text, err=True, fg=row.colour)
        say_now(f"asked because {one_line(step.reason)}", err=True, wrap=0)


def _object(run_id: str, report: "UndoReport") -> dict[str, Any]:
    return {
        "run_id": run_id,
        "restored": list(report.restored),
        "removed": list(report.removed),
        "unchanged": list(report.unchanged),
        "skipped": [attrs.asdict(refusal) for refusal in report.refused],
        "not_saved": [attrs.asdict(calls) for calls in report.uncovered],
        "unknown_calls": report.unread or None,
    }


def _tell(report: "UndoReport") -> None:
    from sunwell.report.figures import one_line

    told = (("restored", report.restored), ("removed", report.removed), ("unchanged", report.unchanged))
    for word, paths in told:
        for path in paths:
            say(f"{word:<9} {one_line(path)}")
    for refusal in report.refused:
        say(f"skipped   {one_line(refusal.reason)}", err=True)
    for calls in report.uncovered:
        say(f"not saved {one_line(str(calls))}: check yourself what they changed", err=True)
    if report.unread:
        say(f"not saved unknown calls: {one_line(report.unread)}", err=True)
