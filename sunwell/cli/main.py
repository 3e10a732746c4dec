"""The command ``sunwell``. Loads nothing heavy: each command imports what it needs when it runs."""

import click

import sunwell
from sunwell.cli.ask_command import ask
from sunwell.cli.batch_command import batch
from sunwell.cli.command_line import HELP, run_line
from sunwell.cli.completion_command import completion
from sunwell.cli.demo_command import demo
from sunwell.cli.estimate_commands import estimate
from sunwell.cli.exit_codes import Commands
from sunwell.cli.lens_commands import lens
from sunwell.cli.mcp_command import mcp
from sunwell.cli.outcome_commands import outcomes
from sunwell.cli.record_commands import adopt, export, prune, runs, show
from sunwell.cli.report_command import report
from sunwell.cli.resume_commands import continue_, fork, record, replay, resume
from sunwell.cli.run_command import run
from sunwell.cli.serve_command import serve
from sunwell.cli.setup_commands import config, doctor, init, models
from sunwell.cli.simulate_command import simulate
from sunwell.cli.telemetry import start_telemetry
from sunwell.cli.undo_command import undo


@click.group(
    cls=Commands,
    context_settings=HELP,
    epilog="Start with: sunwell demo. It needs no key and no network.",
)
@click.version_option(sunwell.__version__, prog_name="sunwell")
def cli() -> None:
    """Think once, generate many.

    A smart model reads a task once and writes a lens: guidance for this task. A cheap model then does the
    work with the lens in its prompt, within a budget that is enforced.
    """
    start_telemetry()


for _command in (
    demo,
    run,
    ask,
    batch,
    resume,
    continue_,
    replay,
    fork,
    lens,
    estimate,
    outcomes,
    models,
    runs,
    show,
    report,
    adopt,
    undo,
    prune,
    record,
    export,
    init,
    config,
    doctor,
    mcp,
    serve,
    simulate,
    completion,
):
    cli.add_command(_command)


def main() -> None:
    """Run the command line and exit."""
    run_line(cli)
