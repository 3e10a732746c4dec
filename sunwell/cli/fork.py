"""``sunwell fork``: go on from a place in a run, with something changed."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from sunwell.cli.choices import (
    Chosen,
    budget_options,
    config_options,
    model_options,
    output_options,
    sandbox_option,
)
from sunwell.cli.run import EXIT_CODES

if TYPE_CHECKING:
    from sunwell.context.options import RunOptions

_CHANGED = ("model", "smart_model", "delegation_model", "effort")


@click.command(epilog=EXIT_CODES)
@click.argument("run_id", metavar="RUN")
@click.option(
    "--at",
    required=True,
    metavar="SPAN[:CALL]",
    help="Where: a span begun anew, or from one of its calls on; sunwell show RUN --spans lists them.",
)
@click.option(
    "-w", "--workspace", default=".", show_default=True, metavar="DIR", help="The folder of the run."
)
@model_options
@click.option(
    "--effort", type=click.Choice(("low", "medium", "high", "xhigh", "max")), help="Effort from there on."
)
@budget_options
@click.option("--approve", is_flag=True, help="Ask before each write and command.")
@sandbox_option
@click.option("--accept-changes", is_flag=True, help="Take the files as they are.")
@config_options
@output_options
@click.pass_context
def fork(ctx: click.Context, /, **chosen: Any) -> None:
    """Go on from a place in RUN in a new run, with what is named here changed.

    What came before is copied, and neither asked nor paid again; RUN itself stays as it is. The files
    are yours: where they are not as they were at that place, nothing is begun. Put them back first (with
    git, say, or sunwell undo RUN for a place before the first change), or --accept-changes.
    """

    from sunwell.cli.asking import Asker, require_terminal
    from sunwell.cli.configured import configured
    from sunwell.cli.driving import drive
    from sunwell.cli.ending import tell
    from sunwell.cli.view import choose_view

    options = _changed(chosen)
    if chosen["approve"]:
        require_terminal("--approve")
    held = configured(ctx, chosen, needs_key=False)
    options = attrs.evolve(options, sandbox=held.resolved.options.sandbox)
    verbose = held.loaded.values.verbose
    view = choose_view(as_json=chosen["as_json"], verbose=verbose, max_usd=options.budget.usd)
    if chosen["approve"]:
        options = attrs.evolve(options, approve=Asker(view))
    agent = held.agent()
    events = agent.fork(
        chosen["run_id"],
        chosen["at"],
        workspace=chosen["workspace"],
        options=options,
        accept_changes=chosen["accept_changes"],
    )
    ctx.exit(tell(drive(agent, events, view), chosen))


def _changed(chosen: Chosen) -> "RunOptions":
    """Return the recorded options with what is named on the command line in their place."""

    from sunwell.agent.runs.settings import batch_in, options_from
    from sunwell.cli.finding import settings_of_run
    from sunwell.cli.resume import raised
    from sunwell.errors import ConfigurationError

    settings = settings_of_run(Path(chosen["workspace"]), chosen["run_id"])
    recorded = options_from(settings)
    hands_out = recorded.enable_delegation or recorded.orchestrate or recorded.delegation_tools
    if chosen["delegation_model"] is not None and not hands_out and batch_in(settings) is None:
        raise ConfigurationError(
            "the run hands nothing out, so no call would be --delegation-model's: leave it out, or name the "
            "model that works with --model"
        )
    named = {name: chosen[name] for name in _CHANGED if chosen[name] is not None}
    return attrs.evolve(recorded, **named, budget=raised(recorded, chosen) or recorded.budget)
