"""``sunwell replay``: play a run again from its journal."""

from typing import Any

import click

from sunwell.cli.choices import output_options
from sunwell.cli.run import EXIT_CODES


@click.command(epilog=EXIT_CODES)
@click.argument("run_id", metavar="RUN")
@click.option(
    "-w", "--workspace", default=".", show_default=True, metavar="DIR", help="The folder of the run."
)
@click.option("--accept-changes", is_flag=True, help="Go on where the code asks something else by now.")
@output_options
@click.pass_context
def replay(ctx: click.Context, /, **chosen: Any) -> None:
    """Play RUN again from its journal alone, with the code of today.

    Nothing is asked, paid, written or changed; neither key nor network is needed. Each question must be
    the recorded one. Where the record ends before the run did, the result is cancelled and says at which
    call.
    """
    from sunwell.agent.agent import Agent
    from sunwell.cli.driving import drive
    from sunwell.cli.ending import tell
    from sunwell.cli.view import choose_view

    view = choose_view(as_json=chosen["as_json"], verbose=chosen["verbose"])
    agent = Agent()
    events = agent.replay(
        chosen["run_id"], workspace=chosen["workspace"], accept_changes=chosen["accept_changes"]
    )
    ctx.exit(tell(drive(agent, events, view), chosen))
