"""``sunwell report``: the page of a run as a file, or followed in a browser."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sunwell.cli.output import say, say_page
from sunwell.cli.record_commands import require_folder, run_in
from sunwell.cli.shared_options import StrictCommand

if TYPE_CHECKING:
    from sunwell.journal.layout import RunFile
    from sunwell.report.page.overview import Overview
    from sunwell.report.page.page_data import PageData, Requests
    from sunwell.report.page.run_view import RunView

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

    It has every call with what was sent, answered and paid, who waited for what, checks, files, and what
    failed first. A run that goes on is shown as it is now. Without RUN, it is a page about all runs of the
    workspace. A page holds the texts of its runs: give it only to those who may read them.

    With --follow, the page is served on 127.0.0.1 under a secret address, and changes as the run does. That
    ends with Ctrl-C, or two minutes after the run has ended and the page is closed.
    """
    _refuse_without_effect(output, force, opens, follow, as_json)
    if run_id is None and follow:
        raise click.UsageError("--follow needs a RUN: sunwell runs lists them")
    found = None if run_id is None else run_in(Path(workspace), run_id)
    root = require_folder(Path(workspace))
    if as_json:
        _print_data(root, found)
    elif follow and found is not None:
        _follow(root, found, opens)
    else:
        _write(root, found, output, force, opens)


def _refuse_without_effect(output: str | None, force: bool, opens: bool, follow: bool, as_json: bool) -> None:
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


def _print_data(root: Path, run: "RunFile | None") -> None:
    from sunwell.cli.terminal import print_json
    from sunwell.report.page.page_json import page_json

    print_json(page_json(_overview(root) if run is None else _data_of(run, root)))


def _overview(root: Path) -> "Overview":
    """Return all runs of a workspace, of which there must be one."""
    from sunwell.errors import ConfigurationError
    from sunwell.report.page.overview import overview

    found = overview(root)
    if not found.runs:
        raise ConfigurationError(f"there are no runs in {root} yet: name another folder with --workspace")
    return found


def _overview_page_of(root: Path) -> str:
    """Return the page of all runs under the workspace *root*.

    Raises :exc:`~sunwell.errors.ConfigurationError` if there are none.
    """
    from sunwell.report.page.html_page import overview_html
    from sunwell.report.page.page_json import page_json

    return overview_html(page_json(_overview(root)))


def page_of(run: "RunFile", root: Path) -> str:
    """Return the page of *run* of the workspace *root*, with what it sent if it is this user's run.

    Raises :exc:`~sunwell.errors.JournalError` if the journal cannot be read.
    """
    from sunwell.report.page.html_page import page_html
    from sunwell.report.page.page_json import page_json

    return page_html(page_json(_data_of(run, root)), requests=page_json(_requests_of(run, None)))


def _requests_of(run: "RunFile", key: str | None) -> "Requests":
    """Return the requests of *run*, or only that of the call *key*."""
    from sunwell.journal.reading import read_records
    from sunwell.report.page.page_data import Requests
    from sunwell.report.page.sent_messages import request_of, sent_requests

    # To make them again, the run is played: nothing is done by that, but others may have written its record.
    if _is_foreign(run):
        missing = f"This run was not started by you on this machine: see sunwell adopt {run.run_id}."
        return Requests({}, {}, missing)
    records = read_records(run.path)
    return sent_requests(records) if key is None else request_of(records, key)


def _is_foreign(run: "RunFile") -> bool:
    from sunwell.journal.ownership import is_own, user_key
    from sunwell.journal.reading import first_line

    return not is_own(run, first_line(run.path), user_key())


def _data_of(run: "RunFile", root: Path) -> "PageData":
    from sunwell.journal.reading import read_records

    view = _view_of(run, root)
    for record in read_records(run.path, torn=view.torn):
        view.take(record)
    return view.data()


def _view_of(run: "RunFile", root: Path) -> "RunView":
    """Return what takes the records of *run*, and shows changes of files under *root* as diffs."""
    from sunwell.report.page.file_view import diffs_in
    from sunwell.report.page.run_view import RunView
    from sunwell.tools.environment import secrets_from_environment
    from sunwell.tools.workspace import Workspace

    redact = secrets_from_environment().redact
    diff_of = diffs_in(Workspace(root), run.path.with_name("originals"), redact)
    return RunView(run.path, diff_of=diff_of, is_foreign=_is_foreign(run))


def _write(root: Path, run: "RunFile | None", output: str | None, force: bool, opens: bool) -> None:
    from sunwell.cli.terminal import is_terminal
    from sunwell.report.page.page_file import overview_place, page_place, write_page

    if output == _STDOUT and is_terminal():
        raise click.UsageError("standard output is a terminal: name a file with --output, or redirect it")
    page = _overview_page_of(root) if run is None else page_of(run, root)
    if output == _STDOUT:
        say_page(page)
        return
    usual = overview_place(root) if run is None else page_place(run)
    path = usual if output is None else Path(output)
    write_page(path, page, force=force)
    say(str(path))
    if opens:
        _open(path.absolute().as_uri())


def _follow(root: Path, run: "RunFile", opens: bool) -> None:
    from sunwell.cli.ending import run_async

    with suppress(KeyboardInterrupt):  # how it is usually ended
        run_async(_serve(root, run, opens))


async def _serve(root: Path, run: "RunFile", opens: bool) -> None:
    from sunwell.core.threads import in_thread
    from sunwell.journal.retention import is_running
    from sunwell.report.page.html_page import page_html
    from sunwell.report.page.page_json import page_json
    from sunwell.serve.followed_run import FollowedRun
    from sunwell.serve.live_page import LivePage

    def html(data: "PageData", version: int, address: str) -> str:
        return page_html({**page_json(data), "version": version}, live=address)

    one_at_a_time = asyncio.Lock()  # the run is played again for each, which takes a core

    async def sent(key: str) -> Mapping[str, Any] | None:
        async with one_at_a_time:
            found = await in_thread(_requests_of, run, key)
        return page_json(found) if found.sent or found.missing else None

    followed = await in_thread(FollowedRun.at, run.path, lambda: _view_of(run, root))
    async with LivePage(followed, html, sent) as page:
        say(page.url)
        say("Whoever has this address can read the run. Press Ctrl-C to stop.", err=True)
        if opens:
            await in_thread(_open, page.url_for_once)
        await page.until_idle(lambda: not is_running(run))


def _open(address: str) -> None:
    """Have the default browser show *address*, and say so if there is none."""
    from sunwell.tools.environment import desktop_environment, secrets_from_environment

    # In a process of its own: what a browser says must not be taken for the path, and Ctrl-C is not for it.
    starting = subprocess.Popen(
        [sys.executable, "-I", "-c", _OPEN, address],
        env=desktop_environment(os.environ, secrets_from_environment()),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        failed = starting.wait(_BROWSER_SECONDS) != 0
    except subprocess.TimeoutExpired:  # some stay until their window is closed
        return
    if failed:
        say("sunwell: no browser could be started here: open the address above in one yourself", err=True)
